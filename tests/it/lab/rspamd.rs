//! A rspamd that asks nobody: alone, and as a filter of the mail of a Postfix.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::claim::Block;

/// How long rspamd may take to begin.
const DEADLINE: Duration = Duration::from_secs(120);

/// The parts of rspamd that ask the network, or a store that is not there.
const OFF: [&str; 22] = [
    "antivirus",
    "arc",
    "asn",
    "clickhouse",
    "dkim",
    "dkim_signing",
    "dmarc",
    "elastic",
    "external_services",
    "fuzzy_check",
    "greylist",
    "history_redis",
    "mx_check",
    "neural",
    "p0f",
    "ratelimit",
    "rbl",
    "replies",
    "reputation",
    "spf",
    "surbl",
    "url_redirector",
];

/// A rspamd on loopback that ends with this.
pub(crate) struct Rspamd {
    process: Child,
    /// Where it answers `rspamc`.
    pub(crate) port: u16,
    _ports: Block,
    _folder: TempDir,
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // With its workers, which outlive it.
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.process.wait();
    }
}

impl Rspamd {
    /// Starts it.
    ///
    /// # Panics
    /// If it is not installed or does not begin.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Block::new();
        let port = ports.first_port();
        write_configuration(folder.path(), port);
        let mut command = Command::new("rspamd");
        command.args(["--no-fork", "--insecure", "--config=/etc/rspamd/rspamd.conf"]);
        for (name, part) in
            [("LOCAL_CONFDIR", ""), ("DBDIR", "db"), ("RUNDIR", "run"), ("LOGDIR", "log")]
        {
            command.arg(format!("--var={name}={}", folder.path().join(part).display()));
        }
        let log = fs::File::create(folder.path().join("output")).unwrap();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
        command.stderr(log.try_clone().unwrap()).stdout(log).process_group(0);
        let process = command.spawn().unwrap_or_else(|error| {
            panic!("rspamd is needed (`scripts/install-prerequisites test` installs it): {error}")
        });
        let mut rspamd = Self { process, port, _ports: ports, _folder: folder };
        rspamd.wait().await;
        rspamd
    }

    async fn wait(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let answers = async |port| TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        while !(answers(self.port).await && answers(self.port + 1).await) {
            let ended = self.process.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "rspamd does not begin: {ended:?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where a Postfix asks it, as a value of `smtpd_milters`.
    pub(crate) fn milter(&self) -> String {
        format!("inet:127.0.0.1:{}", self.port + 1)
    }
}

fn write_configuration(folder: &Path, port: u16) {
    for part in ["local.d", "db", "run", "log"] {
        fs::create_dir(folder.join(part)).unwrap();
    }
    let write = |name: &str, text: String| {
        fs::write(folder.join("local.d").join(name), text).unwrap();
    };
    for part in OFF {
        write(&format!("{part}.conf"), "enabled = false;\n".to_owned());
    }
    for worker in ["controller", "fuzzy"] {
        write(&format!("worker-{worker}.inc"), "enabled = false;\n".to_owned());
    }
    let socket = format!("bind_socket = \"127.0.0.1:{port}\";\ncount = 1;\n");
    write("worker-normal.inc", socket);
    let milter = format!(
        "bind_socket = \"127.0.0.1:{}\";\ncount = 1;\nmilter = yes;\ntimeout = 20s;\nupstream \"local\" {{ \
         default = yes; self_scan = yes; }}\n",
        port + 1
    );
    write("worker-proxy.inc", milter);
    write("logging.inc", "type = \"console\";\nlevel = \"error\";\n".to_owned());
    // A short list of domains, and no compiled expressions: it begins in seconds. No name server answers.
    let domains = folder.join("domains");
    fs::write(&domains, "com\ntest\n").unwrap();
    let (domains, run) = (domains.display(), folder.join("run").display().to_string());
    write(
        "options.inc",
        format!(
            "disable_hyperscan = true;\nurl_tld = \"{domains}\";\nlocal_addrs = [];\ncontrol_socket = \
             \"{run}/control mode=0600\";\ndns {{ nameserver = [\"127.0.0.1:1\"]; timeout = 0.05s; \
             retransmits = 1; }}\n"
        ),
    );
}
