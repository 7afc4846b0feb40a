//! How often lists of addresses are asked, as `check` prints it.

use std::collections::BTreeMap;

use super::needs::{named, rate};
use crate::config::{Config, Dnsbl, Target};
use crate::standing::limiter::PASSED_STANDS;

/// Questions of a test: about its two entries.
const TEST: f64 = 2.0;
const HOUR: f64 = 3600.0;

/// Rounds that ask the same.
#[derive(Default)]
struct Asked {
    /// How many of them begin in an hour, where nobody remembers an answer.
    rounds: f64,
    /// The shortest interval of one of them, in hours.
    interval: Option<f64>,
}

impl Asked {
    fn add(&mut self, interval: f64) {
        self.rounds += 1.0 / interval;
        self.interval = Some(self.interval.map_or(interval, |known| known.min(interval)));
    }

    /// How often it is asked in an hour, where an answer stands for half an interval, and no longer than
    /// `longest` hours.
    fn rate(&self, longest: f64) -> f64 {
        let stands = self.interval.map_or(longest, |interval| longest.min(interval / 2.0));
        self.rounds.min(1.0 / stands)
    }
}

/// What a list is asked.
#[derive(Default)]
struct Load {
    about: BTreeMap<String, Asked>,
    /// By all who ask; and by those who name an address of IPv6, for which there is another test.
    tests: [Asked; 2],
}

impl Load {
    fn rate(&self) -> f64 {
        let about: f64 = self.about.values().map(|asked| asked.rate(f64::INFINITY)).sum();
        let tests: f64 =
            self.tests.iter().map(|asked| asked.rate(PASSED_STANDS.as_secs_f64() / HOUR)).sum();
        about + TEST * tests
    }
}

/// A line with the most questions to each list in an hour while it lists nothing; `None` where no list is asked.
pub(super) fn line(config: &Config) -> Option<String> {
    let mut loads: BTreeMap<&str, Load> = BTreeMap::new();
    for (target, dnsbl) in config.targets.values().filter_map(|it| Some((it, it.dnsbl()?))) {
        let interval = dnsbl.interval.as_secs_f64() / HOUR;
        let has_ipv6 = dnsbl.addresses.iter().any(|address| address.is_ipv6());
        for list in &dnsbl.lists {
            let load = loads.entry(&list.name).or_default();
            for about in about(target, dnsbl) {
                load.about.entry(about).or_default().add(interval);
            }
            let [every, ipv6] = &mut load.tests;
            every.add(interval);
            if has_ipv6 {
                ipv6.add(interval);
            }
        }
    }
    let load = |(list, load): (&str, Load)| format!("{} to {list}", rate(load.rate()));
    let words: Vec<String> = loads.into_iter().map(load).collect();
    (!words.is_empty())
        .then(|| format!("lists:     questions an hour {}", named(words.into_iter(), ", ", "list")))
}

/// Each address, or the target itself whose mails show one.
fn about(target: &Target, dnsbl: &Dnsbl) -> Vec<String> {
    match dnsbl.addresses.is_empty() {
        true => vec![format!("target {}", target.name)],
        false => dnsbl.addresses.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn said(lists: &[&str]) -> Option<String> {
        let target = |(number, dnsbl): (usize, &&str)| {
            format!(
                "- {{name: t{number}, host: h, from: a@b.example, to: a@b.example, receive: \
                 {{protocol: imap, username: u{number}, password: p}}, dnsbl: {dnsbl}}}\n"
            )
        };
        let targets: String = lists.iter().enumerate().map(target).collect();
        let config = Config::parse(&format!("targets:\n{targets}"), Path::new("a.yml")).unwrap();
        line(&config)
    }

    #[test]
    fn what_targets_ask_in_common_is_asked_twice_an_interval_at_most() {
        assert_eq!(said(&["false"]), None);
        let same = "{lists: [a.example], addresses: [198.51.100.7]}";
        for (lists, expected) in [
            (vec![same], "3 to a.example"),
            (vec![same, same], "6 to a.example"),
            (vec![same; 9], "6 to a.example"),
            // A test that was passed stands for half an hour.
            (vec!["{lists: [a.example], interval: 24h}"; 9], "1.1 to a.example"),
            (
                vec![same, same, "{lists: [a.example, b.example], interval: 30m}"],
                "12 to a.example, 6 to b.example",
            ),
            (
                vec!["{lists: [a.example], addresses: [198.51.100.7, '2001:db8::7']}"],
                "6 to a.example",
            ),
        ] {
            let expected = format!("lists:     questions an hour {expected}");
            assert_eq!(said(&lists), Some(expected), "{lists:?}");
        }
    }
}
