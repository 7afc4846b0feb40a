//! The command line: flags and subcommands, nothing else. The doc comments are the help texts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::build;
use crate::config::{NoShard, Shard};
use crate::log::Log;
use crate::roundtrip::arguments::{Probe, duration};
use crate::roundtrip::nagios;
use crate::roundtrip::state::State;
use crate::web::elsewhere::{AddressTemplate, Elsewhere};
use crate::web::mount::{ExternalUrl, Mount, PathPrefix};
use crate::web::routes;
use crate::web::server::ListenAddress;
use mail::net;

pub mod init;
mod own_flags;

/// Prometheus exporter that proves that mail handed to a server arrives.
///
/// Without a subcommand it runs the exporter: in each test period it sends a small test mail
/// through every configured server, finds it in the mailbox, and reports the results on /metrics.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(
    name = "mailtrip_exporter",
    version,
    propagate_version = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// The configuration: the mail servers and how to test them; `check` and `probe` take
    /// /etc/mailtrip_exporter/mailtrip.yml where neither the flag is given nor its default is there
    #[arg(
        long = "config.file",
        value_name = "FILE",
        default_value = "mailtrip.yml",
        global = true
    )]
    pub config_file: PathBuf,

    /// Whether it was given.
    #[arg(skip)]
    pub names_config_file: bool,

    /// Check the configuration and that of --web.config.file, list all problems, and exit with 0 or
    /// 1
    #[arg(long = "config.check")]
    pub config_check: bool,

    /// When the configuration is read again.
    #[command(flatten)]
    pub reload: AutoReload,

    /// Test only a part of the targets, as one of N exporters with the same configuration: I is its number,
    /// from 0 to N-1, or `hostname` for the number at the end of the host's name, as in a StatefulSet
    #[arg(long, value_name = "I/N", value_parser = shard, global = true)]
    pub shard: Option<Shard>,

    /// How metrics and pages are served.
    #[command(flatten)]
    pub web: Web,

    /// What is logged to standard error.
    #[command(flatten)]
    pub log: Log,

    /// What to do instead of exporting.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  mailtrip_exporter demo                       see it work without any set-up
  mailtrip_exporter init probe@example.com     a first configuration, found and tested
  mailtrip_exporter check                      what would be probed, or every problem
  mailtrip_exporter probe mailserver           one round trip now, step by step
  mailtrip_exporter --config.file=/etc/mailtrip_exporter/mailtrip.yml
  mailtrip_exporter --web.listen-address=127.0.0.1:9925 --web.listen-address=[::1]:9925";

/// The flags about reading the configuration again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AutoReload {
    /// Reload the configuration when one of its files has changed: itself, what it includes, secrets and
    /// certificates
    #[arg(long = "config.enable-auto-reload")]
    pub enable_auto_reload: bool,

    /// How often the files are looked at
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub auto_reload_interval: Duration,
}

impl AutoReload {
    /// How often the files are looked at; `None`: never.
    pub fn interval(&self) -> Option<Duration> {
        self.enable_auto_reload.then_some(self.auto_reload_interval)
    }
}

/// The flags that start with `--web.`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct Web {
    /// Where to serve, as it was given; empty if it was not.
    #[arg(
        help = "Address to listen on: :9925 for all addresses, 127.0.0.1:9925, [::1]:9925 or \
                localhost:9925; can be repeated [default: :9925; demo: loopback only]",
        long = "web.listen-address",
        value_name = "ADDRESS",
        global = true
    )]
    pub given_listen_addresses: Vec<ListenAddress>,

    /// Serve on the sockets that systemd passes, and leave --web.listen-address unused
    #[arg(long = "web.systemd-socket")]
    pub systemd_socket: bool,

    /// TLS, users, headers and rate limit of the HTTP server, in the format of the
    /// exporter-toolkit
    #[arg(id = "web.config.file", long = "web.config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,

    /// The path of the metrics, below --web.route-prefix
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = telemetry_path,
        global = true
    )]
    pub telemetry_path: String,

    /// The address at which readers find the pages where it is not that of the exporter, as behind
    /// a proxy: https://monitor.example.com/mailtrip, or its path /mailtrip; links begin with it
    #[allow(rustdoc::bare_urls, reason = "`--help` shows it as it is written")]
    #[arg(long = "web.external-url", value_name = "URL", global = true)]
    pub external_url: Option<ExternalUrl>,

    /// What the path of every page and of the metrics begins with [default: the path of
    /// --web.external-url]; / for a proxy that removes that path
    #[arg(long = "web.route-prefix", value_name = "PATH", global = true)]
    pub route_prefix: Option<PathPrefix>,

    /// The address of the alerts of a target, to which its page links; {target} stands for its name:
    /// https://alerts.example.com/#/alerts?filter=%7Btarget%3D%22{target}%22%7D
    #[allow(rustdoc::bare_urls, reason = "`--help` shows it as it is written")]
    #[arg(long = "web.alerts-url", value_name = "URL", global = true)]
    pub alerts_url: Option<AddressTemplate>,

    /// The address of the dashboard of a target, likewise:
    /// https://grafana.example.com/d/mailtrip-server?var-target={target}
    #[allow(rustdoc::bare_urls, reason = "`--help` shows it as it is written")]
    #[arg(long = "web.dashboard-url", value_name = "URL", global = true)]
    pub dashboard_url: Option<AddressTemplate>,

    /// Let POST /-/reload reload the configuration; SIGHUP always does
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub enable_lifecycle: bool,

    /// Show transcripts and the running configuration to every client, not only to clients on this
    /// machine
    #[arg(long = "web.enable-details", global = true)]
    pub enable_details: bool,
}

impl Web {
    /// Where to serve, in the forms of [`ListenAddress`]; never empty.
    pub fn listen_addresses(&self) -> Vec<ListenAddress> {
        match self.given_listen_addresses.as_slice() {
            [] => vec![ListenAddress::All(DEFAULT_PORT)],
            given => given.to_vec(),
        }
    }

    /// Where the pages are.
    pub fn mount(&self) -> Mount {
        Mount::new(self.external_url.as_ref(), self.route_prefix.as_ref())
    }

    /// Where else there is something to see of a target.
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere { alerts: self.alerts_url.clone(), dashboard: self.dashboard_url.clone() }
    }
}

/// The port that the exporter listens on unless another is given.
pub const DEFAULT_PORT: u16 = 9925;

/// What can be done instead of exporting.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// List every problem of the configuration, or what will be probed; exit with 0 or 1
    Check(Check),

    /// Make one round trip now and show each step as it happens; exit with 0 if the mail was sent,
    /// received and removed, else 1
    ///
    /// It opens no store and uses its own instance id, so that it works alongside the running
    /// exporter.
    #[command(
        override_usage = "\
        mailtrip_exporter probe [OPTIONS] <TARGET>\n       \
        mailtrip_exporter probe [OPTIONS] --all",
        after_help = "Examples:\n  \
        mailtrip_exporter probe mailserver\n  \
        mailtrip_exporter probe mailserver --timeout 90s --config.file=/etc/mailtrip.yml\n  \
        mailtrip_exporter probe mailserver --output=json --show-transcript\n  \
        mailtrip_exporter probe mailserver --output=nagios -t 50 -w 20 -c 40\n  \
        mailtrip_exporter probe mailserver --output=nagios --from-exporter=http://127.0.0.1:9925\n  \
        mailtrip_exporter probe --all -t 2m"
    )]
    Probe(Probe),

    /// Find the servers of a mail address, and write a configuration that tests them, with its password in a
    /// file of its own
    ///
    /// The servers are found by what the domain says in the DNS (SRV) and in its file for mail programs, else by
    /// usual names; the most protected way of the first of these is taken, and never one without TLS. The password is
    /// used once the certificates are good, and only files that are not there yet are written. A probe follows: exit
    /// with 0 if it was successful, else 1.
    #[command(after_help = "Examples:\n  \
        mailtrip_exporter init probe@example.com\n  \
        mailtrip_exporter init --folder=/etc/mailtrip_exporter --name=mailserver probe@example.com\n  \
        mailtrip_exporter init --password-file=/run/secrets/probe --yes probe@example.com")]
    Init(init::Init),

    /// Ask the exporter that runs on this machine whether it is healthy; exit with 0 or 1
    ///
    /// For the health check of a container. It takes the exporter's own flags that say where it
    /// listens and how.
    Healthcheck,

    /// Run the exporter against built-in mail servers on loopback, without any set-up
    Demo,

    /// Write man pages, completions for a shell, or the schema of the configuration
    ///
    /// What is written depends on the program alone: no configuration is read and no connection made.
    #[command(
        subcommand,
        after_help = "Examples:\n  \
        mailtrip_exporter generate man /usr/local/share/man/man1\n  \
        mailtrip_exporter generate completions bash > /etc/bash_completion.d/mailtrip_exporter"
    )]
    Generate(Generate),
}

/// What `generate` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Generate {
    /// Write the man pages into a folder
    ///
    /// They are named as man expects it, such as mailtrip_exporter.1: those that end in 1 belong into a folder
    /// man1, those that end in 5 into man5. Files of the same name are replaced.
    Man {
        /// The folder; it is made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },

    /// Write a script to standard output that completes commands, flags and their values in a shell
    #[command(after_help = "Examples:\n  \
        mailtrip_exporter generate completions bash > /etc/bash_completion.d/mailtrip_exporter\n  \
        mailtrip_exporter generate completions zsh > /usr/local/share/zsh/site-functions/_mailtrip_exporter\n  \
        mailtrip_exporter generate completions fish > ~/.config/fish/completions/mailtrip_exporter.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Write the JSON schema of the configuration to standard output
    ///
    /// An editor with the YAML language server completes and checks the configuration by it, once its first line
    /// is: # yaml-language-server: $schema=mailtrip.schema.json
    Schema(Schema),
}

/// What `generate schema` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Schema {
    /// That of a file that another one includes
    #[arg(long)]
    pub included: bool,
}

/// The shells that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash with the package bash-completion or without
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// What `check` is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct Check {
    /// List every target and every warning
    #[arg(long)]
    pub verbose: bool,
}

impl Cli {
    /// The command line of this process.
    ///
    /// # Errors
    /// The exit code, after the problem or the requested help was printed. With `--output=nagios`
    /// the problem is printed in that format.
    pub fn from_arguments() -> Result<Self, u8> {
        Self::parse_all(std::env::args_os()).map_err(|error| {
            // As they are: words that are no UTF-8 are what is complained about.
            let words: Vec<OsString> = std::env::args_os().collect();
            let wants_nagios = words.iter().any(|word| word == "--output=nagios")
                || words
                    .iter()
                    .zip(words.iter().skip(1))
                    .any(|(option, value)| option == "--output" && value == "nagios");
            if wants_nagios && error.use_stderr() {
                println!("{}", nagios::status(State::Unknown, &error.to_string()));
                return State::Unknown.exit_code();
            }
            // Its exit codes are states as well.
            let tests_all = ["probe", "--all"].iter().all(|it| words.iter().any(|word| word == it));
            if tests_all && error.use_stderr() {
                drop(error.print());
                return State::Unknown.exit_code();
            }
            match error.kind() {
                // Prometheus' programs have a form of their own for it.
                ErrorKind::DisplayVersion => print!("{}", build::description()),
                _ => drop(error.print()),
            }
            u8::try_from(error.exit_code()).unwrap_or(u8::MAX)
        })
    }

    /// All flags and subcommands, each subcommand with its own flags only, for what describes them.
    pub fn described() -> clap::Command {
        own_flags::separate(Self::command())
    }

    /// The command line in these words, the first of which is the name of the program.
    fn parse_all(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = own_flags::hide_foreign(Self::command());
        let matches = command.try_get_matches_from_mut(words)?;
        own_flags::refuse_foreign(&command, &matches)?;
        let source = matches.value_source("config_file");
        let mut cli =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        cli.names_config_file = source != Some(ValueSource::DefaultValue);
        cli.checked()
    }

    /// What clap cannot say of one option alone, and what it would repeat a secret for.
    fn checked(self) -> Result<Self, clap::Error> {
        let Some(Command::Probe(probe)) = &self.command else { return Ok(self) };
        let wrong = match (probe.question(), probe.warning, probe.critical) {
            (Err(wrong), ..) => format!("--from-exporter: {wrong}"),
            _ if probe.target.is_none() && !probe.all => {
                "name a target of the configuration, or write --all for all of them".to_owned()
            }
            (_, Some(warning), Some(critical)) if warning > critical => {
                "--warning must not be longer than --critical".to_owned()
            }
            _ => return Ok(self),
        };
        Err(own_flags::error("probe", ErrorKind::ValueValidation, wrong))
    }
}

/// A path for the metrics that leaves the other pages reachable.
fn telemetry_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%".contains(&byte));
    if !is_path {
        return Err("write a path such as /metrics".to_owned());
    }
    if routes::is_taken(text) {
        return Err("another page has this path; choose one such as /metrics".to_owned());
    }
    Ok(text.to_owned())
}

/// A part of the targets, by the name of this host if the words say so.
fn shard(text: &str) -> Result<Shard, NoShard> {
    Shard::parse(text, &net::host::short_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{LogFormat, LogLevel};
    use crate::roundtrip::arguments::Output;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        let words = ["mailtrip_exporter"].into_iter().chain(words.split_whitespace());
        Cli::parse_all(words.map(OsString::from))
    }

    fn addresses(words: &str) -> Vec<String> {
        parse(words).unwrap().web.listen_addresses().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let cli = parse("").unwrap();
        assert_eq!(cli.config_file, PathBuf::from("mailtrip.yml"));
        assert!(!cli.names_config_file);
        assert_eq!(addresses(""), [":9925"]);
        assert_eq!(cli.web.telemetry_path, "/metrics");
        assert_eq!(cli.log, Log { level: LogLevel::Info, format: LogFormat::Logfmt });
        assert!(!cli.config_check && !cli.web.enable_lifecycle && !cli.web.enable_details);
        assert_eq!((cli.web.config_file, cli.command, cli.shard), (None, None, None));
        assert_eq!(cli.reload.interval(), None);
    }

    #[test]
    fn every_flag_is_taken() {
        let cli = parse(
            "--config.file a.yml --config.check --web.config.file=web.yml \
             --web.telemetry-path=/mail --web.enable-lifecycle --web.enable-details \
             --web.external-url=https://h.test/a --web.route-prefix=/ --log.level=trace \
             --web.alerts-url=https://a.test/{target} --web.dashboard-url=https://d.test/ \
             --log.format=json --config.enable-auto-reload --shard=1/3 \
              --config.auto-reload-interval=1m",
        )
        .unwrap();
        assert_eq!(cli.config_file, PathBuf::from("a.yml"));
        assert_eq!(cli.web.config_file, Some(PathBuf::from("web.yml")));
        assert_eq!(cli.web.telemetry_path, "/mail");
        assert_eq!(cli.web.mount().external_url(), Some("https://h.test/a"));
        assert_eq!(cli.web.mount().routes(), &PathPrefix::default());
        let [alerts, dashboard] =
            ["https://a.test/{target}", "https://d.test/"].map(|url| url.parse().ok());
        assert_eq!(cli.web.elsewhere(), Elsewhere { alerts, dashboard });
        assert_eq!(cli.log, Log { level: LogLevel::Trace, format: LogFormat::Json });
        assert!(cli.config_check && cli.web.enable_lifecycle && cli.web.enable_details);
        assert_eq!(cli.reload.interval(), Some(Duration::from_secs(60)));
        assert_eq!(cli.shard.map(|it| it.to_string()).as_deref(), Some("1/3"));
        let default = parse("--config.enable-auto-reload").unwrap().reload.interval();
        assert_eq!(default, Some(Duration::from_secs(30)));
    }

    #[test]
    fn listen_addresses_replace_the_default_and_add_up() {
        let both = "--web.listen-address=127.0.0.1:1 --web.listen-address=[::1]:2";
        assert_eq!(addresses(both), ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(addresses(&format!("{both} demo")), ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(addresses(&format!("demo {both}")), ["127.0.0.1:1", "[::1]:2"]);
        let error = parse("--web.listen-address=9925").unwrap_err().to_string();
        assert!(error.contains("write :9925 for all addresses"), "{error}");
    }

    #[test]
    fn flags_stand_before_or_after_the_subcommand() {
        for words in ["check --config.file=a.yml", "--config.file=a.yml check"] {
            let cli = parse(words).unwrap();
            assert_eq!(cli.config_file, PathBuf::from("a.yml"), "{words}");
            assert!(cli.names_config_file, "{words}");
            assert_eq!(cli.command, Some(Command::Check(Check { verbose: false })));
        }
        let verbose = parse("check --verbose").unwrap().command;
        assert_eq!(verbose, Some(Command::Check(Check { verbose: true })));
        let cli = parse("--log.level=debug demo").unwrap();
        assert_eq!(cli.log.level, LogLevel::Debug);
        let cli = parse("probe corp --timeout=1m30s").unwrap();
        let Some(Command::Probe(probe)) = cli.command else { panic!("{cli:?}") };
        assert_eq!(
            (probe.target.as_deref(), probe.timeout),
            (Some("corp"), Some(Duration::from_secs(90)))
        );
        assert_eq!((probe.output, probe.show_transcript), (Output::Text, false));
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_to_write() {
        for (words, expected) in [
            ("--web.telemetry-path=metrics", "write a path such as /metrics"),
            ("--shard=3/3", "of 3 shards the last is 2"),
            ("--shard=1", "write it as I/N"),
            ("probe corp --shard=0/3", "--shard is not for `probe`"),
            ("--web.telemetry-path=/", "another page has this path"),
            ("--web.telemetry-path=/sd", "another page has this path"),
            ("--web.telemetry-path=/-/ready", "another page has this path"),
            ("--web.telemetry-path=/runbook", "another page has this path"),
            ("--web.telemetry-path=/docs/metrics", "another page has this path"),
            ("--web.external-url=h.test/a", "https://monitor.example.com/mailtrip, or its path"),
            ("--web.external-url=http://h.test/?a", "has a wrong path: write a path such as"),
            ("--web.alerts-url=/alerts", "must begin with http:// or https://"),
            ("--web.dashboard-url=https://g.test/?a={name}", "only {target} is"),
            ("--web.route-prefix=/a/../b", "write a path such as /mailtrip"),
            ("--web.telemetry-path=/targets/a", "another page has this path"),
            ("--web.telemetry-path=/api/targets", "another page has this path"),
            ("--web.telemetry-path=/a?b", "write a path such as /metrics"),
            ("probe corp --timeout=0s", "write a duration above zero, such as 50, 90s or 5m"),
            ("probe corp -t fast", "write a duration above zero, such as 50, 90s or 5m"),
            (
                "probe a --from-exporter=https://u:p@h",
                "--from-exporter: every user of this machine",
            ),
            ("probe a --exporter-ca-file=a", "--from-exporter <URL>"),
            ("probe a --from-exporter=http://h --show-transcript", "cannot be used with"),
            ("probe a --from-exporter=http://h --config.file=a", "cannot be used with"),
            ("probe corp -w 10:20", "a round trip can only be too long: write the longest"),
            ("probe", "name a target of the configuration, or write --all"),
            ("probe", "Usage: mailtrip_exporter probe"),
            ("probe a -t 9223372036854775807", "write a year (365d) at most"),
            ("probe a --from-exporter=http://h --exporter-login-file=f", "could read the password"),
            ("probe a --all", "cannot be used with"),
            ("probe --all --dns", "cannot be used with"),
            ("probe a --dns --from-exporter=http://h", "cannot be used with"),
            ("probe --all --from-exporter=http://h", "cannot be used with"),
            ("probe a --output=xml", "[possible values: text, json, nagios]"),
            ("probe a --warning=2m --critical=1m", "--warning must not be longer than --critical"),
            ("--web.systemd-socket demo", "--web.systemd-socket is not for `demo`"),
            ("demo --config.file=a", "--config.file is not for `demo`"),
            ("--config.check probe a", "--config.check is not for `probe`; `mailtrip_exporter"),
            ("probe a --log.level=debug", "--log.level is not for `probe`; `mailtrip_exporter"),
            ("check --web.telemetry-path=/a", "--web.telemetry-path is not for `check`"),
            ("--web.enable-details --log.format=json check", "--log.format, --web.enable-details"),
            ("--log.level=loud", "[possible values: error, warn, info, debug, trace]"),
            ("--log.format=xml", "[possible values: logfmt, json]"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words}: {error}");
        }
    }

    #[test]
    fn the_help_of_a_subcommand_has_its_own_flags_only() {
        for (command, own, foreign) in [
            ("probe", &["--config.file", "-w, --warning"][..], &["--web.", "--log."][..]),
            ("check", &["--config.file", "--web.config.file", "--verbose"], &["--log.", "--web.t"]),
            ("demo", &["--web.listen-address", "--log.level"], &["--config.file <", "-socket"]),
        ] {
            let help = parse(&format!("{command} --help")).unwrap_err().to_string();
            let flags = help.replace("--web.config.file <", "--web.config.file of");
            for flag in own {
                assert!(help.contains(flag), "no {flag} in {help}");
            }
            for flag in foreign {
                assert!(!flags.contains(flag), "{flag} in {help}");
            }
        }
    }

    #[test]
    fn help_and_version_are_there() {
        let help = parse("--help").unwrap_err().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("[::1]:9925 or localhost:9925"), "{help}");
        for words in ["-h", "--help", "probe --help"] {
            let error = parse(words).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{words}");
            assert!(error.to_string().contains("Examples:"), "{words}");
        }
        for words in ["-V", "probe -V"] {
            assert_eq!(parse(words).unwrap_err().kind(), ErrorKind::DisplayVersion, "{words}");
        }
    }
}
