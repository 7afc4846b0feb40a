//! Which domains are checked, as `check` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::posture::Check;

use super::needs::named;
use crate::config::Config;
use crate::standing::domains::VISITS_AT_ONCE;
use ledger::durations::Written;

/// How long a domain takes whose servers do not answer: a try of each of its MX, four side by side.
const SILENT_DOMAIN: Duration = Duration::from_secs(10);

/// That visits to servers that do not answer would not be over within the interval, if that is so: of each domain one an
/// interval, or two where several targets have it, for which an answer stands half of one.
pub(crate) fn warning(config: &Config) -> Option<String> {
    let mut visited: BTreeMap<String, (Duration, u32)> = BTreeMap::new();
    for (target, wanted) in config.targets.values().filter_map(|it| Some((it, it.domain_checks()?)))
    {
        let mut visiting = wanted.checks.iter().filter(|check| visits(**check));
        let Some(check) = visiting.next() else { continue };
        let domain = target.domain_of(wanted, *check).to_ascii_lowercase();
        let (interval, targets) = visited.entry(domain).or_insert((wanted.interval, 0));
        *interval = wanted.interval.min(*interval);
        *targets += 1;
    }
    let share = |(interval, targets): &(Duration, u32)| {
        SILENT_DOMAIN.as_secs_f64() / interval.as_secs_f64() * f64::from((*targets).min(2))
    };
    let busy: f64 = visited.values().map(share).sum::<f64>() / f64::from(VISITS_AT_ONCE);
    (busy > 1.0).then(|| {
        format!(
            "the servers of {} domains are visited for `domain_checks`, {VISITS_AT_ONCE} at a time: if none of them \
             answers, for {} each, that takes {busy:.1} times as long as their `interval`, and results are older than \
             that or missing; raise `domain_checks.interval`, or leave `mx`, `mta_sts` and `dane` out of its `checks`",
            visited.len(),
            Written(SILENT_DOMAIN),
        )
    })
}

/// Whether the servers of a domain are visited for this.
fn visits(check: Check) -> bool {
    matches!(check, Check::Mx | Check::MtaSts | Check::Dane)
}

/// A line with the domains, each with the shortest time between two checks; `None` where none is checked. At those
/// that receive, the servers are visited.
pub(super) fn line(config: &Config) -> Option<String> {
    let mut domains: BTreeMap<String, (Duration, bool)> = BTreeMap::new();
    for (target, wanted) in config.targets.values().filter_map(|it| Some((it, it.domain_checks()?)))
    {
        // The one of `ptr` is an address.
        for check in wanted.checks.iter().filter(|check| **check != Check::Ptr) {
            let domain = target.domain_of(wanted, *check).to_ascii_lowercase();
            let (interval, is_visited) = domains.entry(domain).or_insert((wanted.interval, false));
            *interval = wanted.interval.min(*interval);
            *is_visited |= visits(*check);
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
    fn too_many_domains_for_their_interval_are_warned_of() {
        let of = |count: usize, checks: &str| {
            let target = |number: usize| {
                format!(
                    "- {{name: t{number}, host: h, from: a@send.example, to: a@d{number}.example, receive: {{protocol: \
                     imap, username: u{number}, password: p}}, domain_checks: {checks}}}\n"
                )
            };
            let targets: String = (0..count).map(target).collect();
            let yaml = format!("targets:\n{targets}");
            warning(&Config::parse(&yaml, Path::new("a.yml")).unwrap())
        };
        // A place is taken for ten seconds: 16 of them have room for 960 in ten minutes.
        assert_eq!(of(950, "{interval: 10m}"), None);
        let said = of(1150, "{interval: 10m}").unwrap();
        assert!(said.contains("1150 domains") && said.contains("1.2 times"), "{said}");
        assert_eq!(of(1150, "{interval: 10m, checks: [spf, tls_rpt]}"), None, "nobody is visited");
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
