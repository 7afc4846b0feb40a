//! What a configuration needs: of this machine, of Prometheus, and of the mail servers. The figures are those of
//! docs/sizing.md, which a test compares.

use super::{domains, lists};
use crate::config::{Config, ServerLoad};
use crate::descriptors::Need;

/// Resident memory without a target, in bytes.
const OWN_MEMORY: f64 = 22e6;
/// What each target adds, in bytes; one that fails has more.
const TARGET_MEMORY: f64 = 30e3;
/// The most series of a target with two ports beside those of its sides.
const TARGET_SERIES: usize = 100;
/// How many ports that is with.
const PORTS: usize = 2;
/// What each further port adds.
const PORT_SERIES: usize = 4;
/// What it adds where what is usual is learned: one a hop.
const USUAL_SERIES: usize = mail::inspection::MAX_HOPS;
/// A line of a scrape without the labels of the configuration, in bytes.
const SERIES_BYTES: f64 = 66.0;
/// What a label adds to each beside its name and its value, in bytes.
const LABEL_BYTES: f64 = 4.0;

/// So many servers are named in a line.
const NAMED: usize = 3;

/// What the configuration asks of the servers, and needs itself; `limit` is that of file descriptors.
pub(super) fn lines(config: &Config, limit: u64) -> Vec<String> {
    let mut loads = config.server_loads();
    if loads.is_empty() {
        return Vec::new();
    }
    let by_connections = loads.iter().map(|load| {
        format!("{} by {} to {}", load.connections(), load.server.protocol, load.server)
    });
    let at_once = format!("at once:   {}", named(by_connections, ", ", "server"));
    loads.retain(|load| load.mails_an_hour() > 0.0);
    loads.sort_by(|one, other| other.mails_an_hour().total_cmp(&one.mails_an_hour()));
    let mails = format!("mails:     an hour {}", named(loads.iter().map(mails), "; ", "server"));
    let needs = format!("needs:     {}", of_machine(config, limit));
    let wanted = [lists::line(config), domains::line(config)];
    let wanted = wanted.into_iter().flatten();
    [at_once, mails].into_iter().chain(wanted).chain([needs]).collect()
}

/// Each server with its accounts.
pub(super) fn servers(config: &Config) -> Vec<String> {
    let loads = config.server_loads();
    let line = |load: &ServerLoad| {
        let sends = load.server.protocol == "smtp";
        let accounts = load.accounts.iter().map(|(user, account)| {
            let user = if user.is_empty() { "no login" } else { user };
            match sends {
                true => format!("{user} {} ({})", account.connections, rate(account.mails_an_hour)),
                false => format!("{user} {}", account.connections),
            }
        });
        let accounts: Vec<String> = accounts.collect();
        let what = if sends { "connections at once (mails an hour)" } else { "sessions at once" };
        let ServerLoad { server, .. } = load;
        format!("{} {server}: {what}: {}", server.protocol, accounts.join(", "))
    };
    loads.iter().map(line).collect()
}

fn mails(load: &ServerLoad) -> String {
    let busiest = load.accounts.values().map(|account| account.mails_an_hour).fold(0.0, f64::max);
    let account = match load.accounts.len() {
        1 => String::new(),
        _ => format!(", {} of them by the busiest account", rate(busiest)),
    };
    format!("{} to {}{account}", rate(load.mails_an_hour()), load.server)
}

fn of_machine(config: &Config, limit: u64) -> String {
    let targets = config.targets.len();
    let mut series = 0;
    let mut bytes = 0.0;
    for target in config.targets.values() {
        let own = TARGET_SERIES + PORT_SERIES * target.ports.len().saturating_sub(PORTS);
        let own = own + if target.usual { USUAL_SERIES } else { 0 };
        let own = own + target.dnsbl().map_or(0, |dnsbl| dnsbl.lists.len());
        let own = own + target.domain_checks().map_or(0, |wanted| wanted.checks.len());
        let labels = target.labels.iter().map(|(name, value)| number(name.len() + value.len()));
        let labels: f64 = labels.map(|length| length + LABEL_BYTES).sum();
        series += own;
        bytes += number(own) * (SERIES_BYTES + labels);
    }
    let limit = match limit {
        u64::MAX => String::new(),
        limit => format!(" (the limit here is {limit})"),
    };
    format!(
        "{} file descriptors{limit}, {} of memory, up to {series} series in a scrape of {}",
        Need::of(config).total(),
        size(OWN_MEMORY + TARGET_MEMORY * number(targets)),
        size(bytes),
    )
}

/// The first of them, and how many are left.
pub(super) fn named(
    words: impl ExactSizeIterator<Item = String>,
    between: &str,
    what: &str,
) -> String {
    let left = words.len().saturating_sub(NAMED);
    let words: Vec<String> = words.take(NAMED).collect();
    let more = match left {
        0 => String::new(),
        1 => format!("{between}and 1 {what} more"),
        _ => format!("{between}and {left} {what}s more"),
    };
    words.join(between) + &more
}

/// A whole number, with decimals where they say more.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        few if few >= 10.0 || few.fract() == 0.0 => format!("{few:.0}"),
        few if few >= 1.0 => format!("{few:.1}"),
        fewest => format!("{fewest:.2}").trim_end_matches('0').to_owned(),
    }
}

fn size(bytes: f64) -> String {
    if bytes < 1e6 { format!("{:.0} kB", bytes / 1e3) } else { format!("{:.0} MB", bytes / 1e6) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory stay below 2^53")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(count: usize, host: impl Fn(usize) -> String, more: &str) -> Config {
        let target = |number: usize| {
            format!(
                "- {{name: t{number}, host: {}, from: a@b.example, to: a@b.example, {more} send: {{username: \
                 u{number}, password: p}}, receive: {{protocol: imap, username: u{number}, password: p}}}}\n",
                host(number)
            )
        };
        let text = format!("targets:\n{}", (0..count).map(target).collect::<String>());
        Config::parse(&text, Path::new("mailtrip.yml")).unwrap()
    }

    #[test]
    fn of_one_target_three_lines_tell_all() {
        let one = config(1, |_| "mail.example".to_owned(), "interval: 10m, messages: 2,");
        assert_eq!(
            lines(&one, 1024),
            [
                "at once:   1 by imap to mail.example:143, 1 by smtp to mail.example:25",
                "mails:     an hour 12 to mail.example:25",
                "needs:     34 file descriptors (the limit here is 1024), 22 MB of memory, up to 100 series in a \
                 scrape of 7 kB",
            ]
        );
        assert_eq!(
            lines(&config(1, |_| "h".to_owned(), ""), u64::MAX).concat().matches('(').count(),
            0
        );
    }

    #[test]
    fn of_many_servers_the_busiest_are_named_and_the_others_counted() {
        // One with 97 accounts, and three others.
        let host = |number: usize| format!("mail{}.example", number.min(3));
        let lines = lines(&config(100, host, "interval: 1h,"), 4096);
        assert!(
            lines[0].starts_with(
                "at once:   97 by imap to mail3.example:143, 97 by smtp to mail3.example:25, 1 by"
            ) && lines[0].ends_with(", and 5 servers more"),
            "{lines:?}"
        );
        let busiest = "mails:     an hour 97 to mail3.example:25, 1 of them by the busiest account; 1 to mail0";
        assert!(lines[1].starts_with(busiest), "{lines:?}");
        assert!(lines[1].ends_with("; and 1 server more"), "{lines:?}");
        assert!(lines[2].contains("25 MB of memory, up to 10000 series"), "{lines:?}");
    }

    #[test]
    fn each_server_can_be_listed_with_its_accounts() {
        let config = config(2, |_| "mail.example".to_owned(), "interval: 1d,");
        assert_eq!(
            servers(&config),
            [
                "imap mail.example:143: sessions at once: u0 1, u1 1",
                "smtp mail.example:25: connections at once (mails an hour): u0 1 (0.04), u1 1 (0.04)",
            ]
        );
    }

    #[test]
    fn ports_and_labels_are_counted() {
        let more = "ports: [1, 2, 3, 4, 5], labels: {site: frankfurt},";
        let lines = lines(&config(10, |_| "mail.example".to_owned(), more), 4096);
        assert!(lines[2].ends_with("up to 1120 series in a scrape of 93 kB"), "{lines:?}");
    }

    #[test]
    fn the_documentation_has_the_same_figures() {
        let page = include_str!("../../docs/sizing.md");
        let megabytes = |bytes: f64| bytes / 1e6;
        for words in [
            format!("memory: {} MB + {} MB × *n*", megabytes(OWN_MEMORY), megabytes(TARGET_MEMORY)),
            format!(
                "{TARGET_SERIES} × *n* at most with {PORTS} further ports, and {PORT_SERIES} more"
            ),
            format!("{SERIES_BYTES} bytes × series, and {LABEL_BYTES} bytes"),
        ] {
            assert!(page.contains(&words), "docs/sizing.md does not say {words:?}");
        }
    }
}
