//! Which domains are checked, as `check` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::posture::Check;

use super::needs::named;
use crate::config::Config;
use ledger::durations::Written;

/// A line with the domains, each with the shortest time between two checks; `None` where none is checked. At those
/// that receive, the servers are visited.
pub(super) fn line(config: &Config) -> Option<String> {
    let mut domains: BTreeMap<String, (Duration, bool)> = BTreeMap::new();
    for (target, wanted) in config.targets.values().filter_map(|it| Some((it, it.domain_checks()?)))
    {
        // The one of `ptr` is an address.
        for check in wanted.checks.iter().filter(|check| **check != Check::Ptr) {
            let domain = target.domain_of(wanted, *check).to_ascii_lowercase();
            let (interval, visits) = domains.entry(domain).or_insert((wanted.interval, false));
            *interval = wanted.interval.min(*interval);
            *visits |= matches!(check, Check::Mx | Check::MtaSts | Check::Dane);
        }
    }
    let words = |(domain, (interval, visits)): (String, (Duration, bool))| {
        let and_visit = if visits { " with a visit to port 25 of each MX" } else { "" };
        format!("{domain} every {}{and_visit}", Written(interval))
    };
    let words: Vec<String> = domains.into_iter().map(words).collect();
    (!words.is_empty()).then(|| format!("domains:   {}", named(words.into_iter(), ", ", "domain")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn said(checks: &[&str]) -> Option<String> {
        let target = |(number, checks): (usize, &&str)| {
            format!(
                "- {{name: t{number}, host: h, from: a@send.example, to: a@receive.example, receive: \
                 {{protocol: imap, username: u{number}, password: p}}, domain_checks: {checks}}}\n"
            )
        };
        let targets: String = checks.iter().enumerate().map(target).collect();
        let config = Config::parse(&format!("targets:\n{targets}"), Path::new("a.yml")).unwrap();
        line(&config)
    }

    #[test]
    fn a_domain_of_many_targets_is_told_once() {
        assert_eq!(said(&["false", "{checks: [ptr]}"]), None);
        let line = said(&["true", "{interval: 30m, checks: [spf]}", "true"]);
        let expected = "domains:   receive.example every 1h with a visit to port 25 of each MX, \
                        send.example every 30m";
        assert_eq!(line.as_deref(), Some(expected));
        let line = said(&["{checks: [tls_rpt]}"]);
        assert_eq!(line.as_deref(), Some("domains:   receive.example every 1h"));
    }
}
