//! How often lists of addresses are asked, as `check` prints it.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::{named, rate};
use crate::config::{Config, Dnsbl, Target};

/// Questions of a round beside those about addresses: the test entries.
const TESTS: u32 = 2;
const HOUR: f64 = 3600.0;

/// What is asked of a list: about what, and the shortest time between two rounds, in seconds.
struct Load {
    about: BTreeSet<String>,
    interval: f64,
}

/// A line with the most questions to each list in an hour; `None` where no list is asked.
pub(super) fn line(config: &Config) -> Option<String> {
    let mut loads: BTreeMap<&str, Load> = BTreeMap::new();
    for (target, dnsbl) in config.targets.values().filter_map(|it| Some((it, it.dnsbl()?))) {
        let interval = dnsbl.interval.as_secs_f64();
        for list in &dnsbl.lists {
            let new = || Load { about: BTreeSet::new(), interval };
            let load = loads.entry(&list.name).or_insert_with(new);
            load.about.extend(about(target, dnsbl));
            load.interval = load.interval.min(interval);
        }
    }
    let load = |(list, load): (&str, Load)| {
        let count = u32::try_from(load.about.len()).unwrap_or(u32::MAX).saturating_add(TESTS);
        format!("{} to {list}", rate(f64::from(count) * HOUR / load.interval))
    };
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
    fn targets_with_one_address_ask_for_it_once() {
        assert_eq!(said(&["false"]), None);
        let same = "{lists: [a.example], addresses: [198.51.100.7]}";
        let line = said(&[same, same, "{lists: [a.example, b.example], interval: 30m}"]);
        let expected = "lists:     questions an hour 8 to a.example, 6 to b.example";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
