//! What `check` prints: each target and warning while they are few or all are asked for, else what many
//! have in common; at the end a summary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, Endpoint, Expected, Target};

mod domains;
mod lists;
mod needs;

pub(crate) use domains::warning as too_many_domains;

/// More targets than this are counted and not listed.
const MANY_TARGETS: usize = 10;

/// More warnings than this are counted, where they are not all asked for.
const MANY_WARNINGS: usize = 20;

/// So many of the targets with the same warning are named.
const NAMED: usize = 3;

/// What is said of a configuration that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// What will be probed, one line a target; none of many.
    pub targets: Vec<String>,
    /// What is worth a look.
    pub warnings: Vec<String>,
    /// Each server with what its accounts get, where all is asked for.
    pub servers: Vec<String>,
    /// How much is sent where, and found where; how much the servers get, and the exporter needs.
    pub overview: Vec<String>,
    /// The last line.
    pub summary: String,
}

impl Findings {
    /// Those of the configuration in `file`, with these warnings; all of them if `verbose`. `limit` is that of file
    /// descriptors.
    pub fn of(
        file: &Path,
        config: &Config,
        warnings: Vec<String>,
        limit: u64,
        verbose: bool,
    ) -> Self {
        let is_short = !verbose && config.targets.len() > MANY_TARGETS;
        let targets = match config.shard {
            Some(shard) => {
                let all = config.targets.len() + config.in_other_shards;
                format!("{} of {all} in shard {shard}", counted(config.targets.len(), "target"))
            }
            None => counted(config.targets.len(), "target"),
        };
        let passive = match config.targets.values().filter(|target| target.passive).count() {
            0 => String::new(),
            passive => format!(" ({passive} passive)"),
        };
        let counts = format!("{targets}{passive}, {}", counted(warnings.len(), "warning"));
        let way = if is_short { "; `check --verbose` lists all of them" } else { "" };
        Self {
            targets: if is_short { Vec::new() } else { config.describe() },
            warnings: if is_short { in_short(warnings) } else { warnings },
            servers: if verbose { needs::servers(config) } else { Vec::new() },
            overview: [overview(config), needs::lines(config, limit)].concat(),
            summary: format!("{} is good: {counts}{way}", file.display()),
        }
    }
}

/// A line about each direction.
fn overview(config: &Config) -> Vec<String> {
    let targets = || config.targets.values().map(|target| &**target);
    if targets().next().is_none() {
        return Vec::new();
    }
    let senders: BTreeSet<_> = targets().map(|it| server(&it.send.endpoint)).collect();
    let receiving = || targets().filter_map(|it| it.receive.as_ref());
    let servers: BTreeSet<_> = receiving().map(|it| server(&it.endpoint)).collect();
    let mailboxes: BTreeSet<String> = receiving().map(|it| it.mailbox_id().to_string()).collect();
    let mut protocols: BTreeMap<&str, usize> = BTreeMap::new();
    for side in receiving() {
        *protocols.entry(side.protocol.label()).or_default() += 1;
    }
    let protocols: Vec<String> =
        protocols.iter().map(|(protocol, count)| format!("{count} by {protocol}")).collect();
    let sending = format!(
        "sending:   {} by smtp through {}, {} mails a day",
        config.targets.len(),
        counted(senders.len(), "server"),
        mails_a_day(targets().filter(|target| sends_mail(target)))
    );
    let receiving = format!(
        "receiving: {} in {} on {}",
        protocols.join(", "),
        match mailboxes.len() {
            1 => "1 mailbox".to_owned(),
            count => format!("{count} mailboxes"),
        },
        counted(servers.len(), "server")
    );
    let receiving = Some(receiving).filter(|_| !mailboxes.is_empty());
    [Some(sending), receiving].into_iter().flatten().collect()
}

/// Whether its tests do not end before a mail is sent.
fn sends_mail(target: &Target) -> bool {
    target.expected().and_then(Expected::stops_at).is_none()
}

fn server(endpoint: &Endpoint) -> (&str, u16) {
    (endpoint.name(), endpoint.port)
}

fn mails_a_day<'a>(targets: impl Iterator<Item = &'a Target>) -> String {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let mails = targets.map(|target| {
        f64::from(target.messages.get()) * DAY.as_secs_f64() / target.interval.as_secs_f64()
    });
    needs::rate(mails.fold(0.0, |all, one| all + one))
}

/// The last line where something is wrong: `problems` has one a line, and indented lines that belong to
/// the one above.
pub fn summary_of_problems(problems: &str) -> String {
    let count = problems.lines().filter(|line| !line.starts_with(' ')).count();
    format!("{}; the exporter does not start with this configuration", counted(count, "problem"))
}

/// Each warning once, with the targets that it is for.
fn in_short(warnings: Vec<String>) -> Vec<String> {
    let mut order = Vec::new();
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for warning in warnings {
        let of_target = warning.strip_prefix("target `").and_then(|rest| rest.split_once("`: "));
        let (name, message) = match of_target {
            Some((name, message)) => (Some(name.to_owned()), message.to_owned()),
            None => (None, warning),
        };
        if !targets.contains_key(&message) {
            order.push(message.clone());
        }
        targets.entry(message).or_default().extend(name);
    }
    let left = order.len().saturating_sub(MANY_WARNINGS);
    let listed = order.into_iter().take(MANY_WARNINGS).map(|message| {
        let names = targets.remove(&message).unwrap_or_default();
        format!("{}{message}", of_targets(&names))
    });
    let more = (left > 0).then(|| format!("and {left} more"));
    listed.chain(more).collect()
}

/// For whom a warning is, before it.
fn of_targets(names: &[String]) -> String {
    let named: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    let named = named.join(", ");
    match names.len() {
        0 => String::new(),
        1 => format!("target {named}: "),
        count if count <= NAMED => format!("targets {named}: "),
        count => format!("{count} targets, among them {named}: "),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shard;

    fn config(targets: usize, more: &str) -> Config {
        let mut text = "targets:\n".to_owned();
        for number in 0..targets {
            text += &format!(
                "- {{name: t{number}, host: h{number}.example, from: a@b.example, to: a@b.example, {more} \
                 receive: {{protocol: imap, username: u{number}, password: hunter2}}}}\n"
            );
        }
        Config::parse(&text, Path::new("mailtrip.yml")).unwrap()
    }

    fn findings(config: &Config, verbose: bool) -> Findings {
        Findings::of(Path::new("mailtrip.yml"), config, config.warnings(), 1024, verbose)
    }

    #[test]
    fn few_targets_are_listed_and_the_last_line_counts() {
        let said = findings(&config(10, ""), false);
        assert_eq!(said.targets.len(), 10);
        assert_eq!(said.summary, "mailtrip.yml is good: 10 targets, no warnings");
        let said = findings(&config(1, "interval: 2d,"), false);
        assert_eq!(said.summary, "mailtrip.yml is good: 1 target, no warnings");
    }

    #[test]
    fn of_many_targets_is_told_what_they_have_in_common_unless_each_is_asked_for() {
        let config = config(500, "lost_after: 1m, late_after: 1m,");
        let early =
            "`lost_after` is shorter than `interval`: a mail is given up before the next is sent";
        let said = findings(&config, false);
        assert_eq!(said.targets, [""; 0]);
        assert_eq!(said.warnings, [format!("500 targets, among them `t0`, `t1`, `t10`: {early}")]);
        let way = "; `check --verbose` lists all of them";
        assert_eq!(said.summary, format!("mailtrip.yml is good: 500 targets, 500 warnings{way}"));
        let all = findings(&config, true);
        assert_eq!((all.targets.len(), all.warnings.len()), (500, 500));
        assert_eq!(all.summary, "mailtrip.yml is good: 500 targets, 500 warnings");
    }

    #[test]
    fn the_summary_tells_how_many_targets_are_left_to_other_shards() {
        let (mut targets, mut all) = (0, 0);
        for words in ["0/2", "1/2"] {
            let part = config(10, "").part_of(Shard::parse(words, "").ok());
            targets += part.targets.len();
            all += part.targets.len() + part.in_other_shards;
            let said = Findings::of(Path::new("mailtrip.yml"), &part, Vec::new(), 1024, false);
            let expected = format!(
                "{} of 10 in shard {words}, no warnings",
                counted(part.targets.len(), "target")
            );
            assert!(said.summary.ends_with(&expected), "{}", said.summary);
        }
        assert_eq!((targets, all), (10, 20));
    }

    #[test]
    fn the_summary_counts_servers_mailboxes_and_mails() {
        let target = |name: &str, host: &str, more: &str, receive: &str| {
            format!(
                "- {{name: {name}, host: {host}, from: a@b.example, to: a@b.example, {more} \
                 receive: {{{receive}, password: hunter2}}}}\n"
            )
        };
        let text = [
            target("a", "one.example", "interval: 1h, messages: 2,", "protocol: imap, username: u"),
            target("b", "one.example", "interval: 1h,", "protocol: imap, username: u"),
            target(
                "c",
                "two.example",
                "interval: 2d, passive: true,",
                "protocol: pop3, username: u",
            ),
        ];
        let parse = |text: &str| Config::parse(text, Path::new("mailtrip.yml")).unwrap();
        let said = findings(&parse(&format!("targets:\n{}", text.concat())), false);
        assert_eq!(
            said.overview[..2],
            [
                "sending:   3 by smtp through 2 servers, 72 mails a day",
                "receiving: 2 by imap, 1 by pop3 in 2 mailboxes on 2 servers"
            ]
        );
        assert_eq!(said.summary, "mailtrip.yml is good: 3 targets (1 passive), no warnings");
        let said = findings(&parse(&format!("targets:\n{}", text.get(2).unwrap())), false);
        assert!(said.overview.concat().contains("1 server, 0.5 mails a day"), "{said:?}");
        assert!(said.overview.concat().contains("1 by pop3 in 1 mailbox on 1 server"), "{said:?}");
    }

    #[test]
    fn different_warnings_stay_apart_up_to_a_bound() {
        let of = |number: usize| format!("target `a`: number {number}");
        let two =
            ["target `a`: same".to_owned(), "of all".to_owned(), "target `b`: same".to_owned()];
        assert_eq!(in_short(two.to_vec()), ["targets `a`, `b`: same", "of all"]);
        let said = in_short((0..25).map(of).collect());
        assert_eq!((said.len(), said.last().map(String::as_str)), (21, Some("and 5 more")));
    }

    #[test]
    fn problems_are_counted() {
        let said = summary_of_problems("a.yml:1: b\n  more of it\na.yml:2: c");
        assert_eq!(said, "2 problems; the exporter does not start with this configuration");
    }

    #[test]
    fn a_test_without_a_mail_is_no_mail_and_has_no_mailbox() {
        let yaml = "targets: [{name: relay, host: h, from: a@b.example, to: c@d.example, expect: refused}]\n";
        let config = Config::parse(yaml, Path::new("a.yml")).unwrap();
        let lines = overview(&config);
        assert_eq!(lines, ["sending:   1 by smtp through 1 server, 0 mails a day"]);
        let described = config.describe();
        assert!(
            described[0].contains("expects the recipient to be refused; no mail is sent"),
            "{described:?}"
        );
        assert!(!described[0].contains("lost after"), "{described:?}");
    }
}
