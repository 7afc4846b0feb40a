//! The results of all targets for Icinga, Nagios and their like, which read 8 kB and cut what is longer, even
//! within a number.

use std::collections::BTreeSet;
use std::time::Duration;

use super::output::roundtrip;
use super::{Results, Tested};
use crate::roundtrip::nagios;
use crate::roundtrip::state::{State, Thresholds};
use mail::text;

/// The most bytes of all lines, line ends included; Nagios reads 8192.
const MOST_BYTES: usize = 8000;
/// The most bytes of the names in the first line.
const NAMES_BYTES: usize = 1000;
/// The most bytes of the times of the targets: no number of targets that fail changes whether they are there.
const TIMES_BYTES: usize = 4000;
/// The most lines of long output.
const LONG_LINES: usize = 20;
/// The most characters of each.
const LINE_CHARS: usize = 250;
/// The most targets that a line names.
const NAMED: usize = 10;
/// More than the line that counts what is left out.
const MORE_BYTES: usize = 40;

/// The line of all, a line for each that is not well, and performance data: of all on the first line, and the
/// time of each on the last if there is room for all of them.
pub fn lines(results: &Results, thresholds: &Thresholds) -> Vec<String> {
    let mut bad: Vec<&Tested> =
        results.0.values().filter(|tested| tested.state != State::Ok).collect();
    bad.sort_by_key(|tested| std::cmp::Reverse(tested.state.badness()));
    let text = format!("{}{}", results.summary(), names(&bad));
    let first = nagios::status(results.state(), &text);
    let mut lines = vec![format!("{first} | {}", performance(results))];
    let times = times(results, thresholds);
    let used: usize = lines.iter().chain(&times).map(|line| line.len() + 1).sum();
    lines.extend(long_output(&bad, MOST_BYTES.saturating_sub(used)));
    lines.extend(times);
    lines
}

/// Who is not well, in parentheses.
fn names(bad: &[&Tested]) -> String {
    let named = bad.iter().take(NAMED).map(|tested| tested.target.name.as_str().to_owned());
    let named = fitting(named, NAMES_BYTES);
    match bad.len() - named.len() {
        _ if named.is_empty() => String::new(),
        0 => format!(" ({})", named.join(", ")),
        _ => format!(" ({}, …)", named.join(", ")),
    }
}

/// What does not depend on the names of the targets.
fn performance(results: &Results) -> String {
    let all = results.0.len();
    let counts =
        State::ALL.map(|state| format!("{}={};;;0;{all}", state.label(), results.count(state)));
    let mut times: Vec<Duration> = results.0.values().filter_map(roundtrip).collect();
    times.sort();
    // Of an even number the lower of both in the middle: one that was measured.
    let median = times.get(times.len().saturating_sub(1) / 2).copied();
    let of_all = [("roundtrip_median", median), ("roundtrip_max", times.last().copied())]
        .map(|(label, time)| nagios::time(label, time, (None, None)));
    [counts.join(" "), of_all.join(" ")].join(" ")
}

/// A line for each that is not well, in so many bytes at most.
fn long_output(bad: &[&Tested], most_bytes: usize) -> Vec<String> {
    let lines = bad.iter().take(LONG_LINES).map(|tested| {
        let words = format!("{} - {}", tested.state, tested.sentences.join("; "));
        text::cut_to(&nagios::harmless(&words), LINE_CHARS)
    });
    let mut lines = fitting(lines, most_bytes.saturating_sub(MORE_BYTES));
    let left = bad.len() - lines.len();
    if left > 0 {
        lines.push(format!("and {left} more"));
    }
    lines
}

/// The time of each target; `None` if there is no room for all.
fn times(results: &Results, thresholds: &Thresholds) -> Option<String> {
    let mut labels = BTreeSet::new();
    let times = results.0.values().map(|tested| {
        let label = label(tested.target.name.as_str(), &mut labels);
        let limits = (Some(thresholds.warning_or(tested.target.late_after)), thresholds.critical);
        nagios::time(&format!("'{label}'"), roundtrip(tested), limits)
    });
    let times: Vec<String> = times.collect();
    let line = format!("round trips | {}", times.join(" "));
    (line.len() <= TIMES_BYTES).then_some(line)
}

/// A label that no other target has; what a label cannot hold is replaced.
fn label(name: &str, taken: &mut BTreeSet<String>) -> String {
    let name = nagios::harmless(&name.replace(['\'', '='], "_"));
    let first = format!("roundtrip {name}");
    let more = (2..).map(|number| format!("{first} {number}"));
    let free = std::iter::once(first.clone()).chain(more).find(|label| !taken.contains(label));
    let label = free.unwrap_or(first);
    taken.insert(label.clone());
    label
}

/// The first of the items, as many as fit with a separator of two bytes.
fn fitting(items: impl Iterator<Item = String>, most_bytes: usize) -> Vec<String> {
    let mut used = 0;
    let fits = |item: &String| {
        used += item.len() + 2;
        used <= most_bytes
    };
    items.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use crate::roundtrip::Verdict;
    use crate::roundtrip::all::NotBegun;
    use crate::roundtrip::verdict::{Arrival, Check, Removal, Sent};
    use ledger::{FoundIn, Token};

    /// Targets of these names, every second of which was not begun.
    fn results(names: &[String]) -> Results {
        let mut text = "targets:\n".to_owned();
        for name in names {
            text += &format!(
                "- {{name: '{name}', host: h.example, from: a@b.example, to: a@b.example, receive: \
                 {{protocol: imap, username: u, password: p}}}}\n"
            );
        }
        let config = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
        let tested = config.targets.into_iter().enumerate().map(|(number, (name, target))| {
            let verdict = if number % 2 == 0 { Ok(seen(number)) } else { Err(NotBegun::OutOfTime) };
            (name, Tested::new(Arc::clone(&target), verdict, &Thresholds::default()))
        });
        Results(tested.collect())
    }

    fn seen(number: usize) -> Box<Verdict> {
        let mut verdict = Verdict::new(Token::random(), "mailtrip.yml:1");
        let roundtrip = Duration::from_millis(100 + u64::try_from(number).unwrap());
        verdict.mailbox = Check::Passed;
        verdict.sent = Sent::Accepted { took: Duration::ZERO, reply: "250 ok".into(), bytes: 1000 };
        verdict.arrival = Arrival::Seen { roundtrip, folder: FoundIn::Inbox };
        verdict.removal = Removal::Done;
        Box::new(verdict)
    }

    fn of(names: &[String]) -> Vec<String> {
        lines(&results(names), &Thresholds::default())
    }

    #[test]
    fn the_output_of_many_targets_fits_what_nagios_reads_and_ends_with_a_whole_line() {
        let name = |number: usize| format!("{} {number:03}", "ü€".repeat(24));
        let names: Vec<String> = (0..500).map(name).collect();
        let lines = of(&names);
        assert!(lines.iter().map(|line| line.len() + 1).sum::<usize>() < 8192, "{lines:#?}");
        let (first, data) = lines.first().and_then(|line| line.split_once(" | ")).unwrap();
        assert!(first.contains("500 targets: 250 ok, 250 unknown (ü€"), "{first}");
        assert!(first.ends_with(", …)"), "{first}");
        let expected = "ok=250;;;0;500 warning=0;;;0;500 critical=0;;;0;500 unknown=250;;;0;500 \
                        roundtrip_median=0.348s;;;0 roundtrip_max=0.598s;;;0";
        assert_eq!(data, expected);
        assert!(lines.len() > 10, "{lines:#?}");
        assert_eq!(lines.last(), Some(&format!("and {} more", 250 - (lines.len() - 2))));
        let few = of(names.get(..4).unwrap());
        let times = few.last().and_then(|line| line.strip_prefix("round trips | ")).unwrap();
        assert_eq!(times.matches("=0.10").count() + times.matches("=U;").count(), 4, "{times}");
    }

    #[test]
    fn no_two_labels_are_the_same() {
        let names = ["ok", "a|b", "a/b", "a/b 2", "roundtrip_max"].map(str::to_owned);
        let lines = of(&names);
        let data: String =
            lines.iter().filter_map(|line| line.split_once(" | ")).map(|it| it.1).collect();
        let labels: Vec<&str> =
            ["'roundtrip a/b'=", "'roundtrip a/b 2'=", "'roundtrip a/b 3'=", "'roundtrip ok'="]
                .into_iter()
                .filter(|label| data.matches(label).count() == 1)
                .collect();
        assert_eq!(labels.len(), 4, "{data}");
        assert_eq!((data.matches(" ok=").count(), data.matches(" roundtrip_max=").count()), (0, 1));
    }
}
