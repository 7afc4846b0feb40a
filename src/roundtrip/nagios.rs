//! The output for Icinga, Nagios, Checkmk and their like: one line with performance data, as the
//! Monitoring Plugins Development Guidelines have it.

use std::time::Duration;

use super::state::{State, Thresholds, judge};
use super::verdict::{Arrival, Check, Sent, Verdict};
use crate::config::Target;
use ledger::{Failure, Side};
use mail::text;

/// The most characters before the performance data: with them it fits the 4 kB that most readers
/// take.
const TEXT_CHARS: usize = 2000;

/// The line of a verdict without its line end, and the state for the exit code.
pub fn line(verdict: &Verdict, target: &Target, thresholds: &Thresholds) -> (State, String) {
    let (state, _) = judge(verdict, target, thresholds);
    let text = status(state, &verdict.sentences(target, thresholds).join("; "));
    (state, format!("{text} | {}", performance(verdict, target, thresholds)))
}

/// The line of a state without performance data, for what could not be tested at all.
pub fn status(state: State, text: &str) -> String {
    format!("MAILTRIP {state} - {}", text::cut_to(&harmless(text), TEXT_CHARS))
}

/// The transcripts of both sides, a line each, for the long output below the first line.
pub fn transcript(verdict: &Verdict) -> Vec<String> {
    let lines = Side::ALL.into_iter().flat_map(|side| {
        let lines = verdict.side(side).transcript.iter();
        lines.map(move |line| harmless(&format!("{side} {line}")))
    });
    lines.collect()
}

/// A bar would begin the performance data, and a line break the long output, in words of anybody's.
pub(super) fn harmless(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").replace('|', "/")
}

/// `'label'=value[unit];[warning];[critical];[least];[most]`; `U` is a value that was not measured.
fn performance(verdict: &Verdict, target: &Target, thresholds: &Thresholds) -> String {
    let roundtrip = match verdict.arrival {
        Arrival::Seen { roundtrip, .. } => Some(roundtrip),
        _ => None,
    };
    let limits = (Some(thresholds.warning_or(target.late_after)), thresholds.critical);
    let handed_over = match &verdict.sent {
        Sent::Accepted { took, .. } => Some(*took),
        _ => None,
    };
    let checked = matches!(verdict.mailbox, Check::Passed).then(|| {
        let steps = verdict.side(Side::Receive).steps.iter();
        steps.filter(|(step, _)| *step != ledger::Step::Remove).map(|(_, took)| *took).sum()
    });
    [
        time("roundtrip", roundtrip, limits),
        ability("send", sending(verdict, target)),
        ability("receive", receiving(verdict, target)),
        time("send_time", handed_over, (None, None)),
        time("receive_time", checked, (None, None)),
    ]
    .join(" ")
}

/// `None`: it was not measured, or is not applicable.
pub(super) fn sending(verdict: &Verdict, target: &Target) -> Option<bool> {
    match &verdict.sent {
        Sent::NotTried | Sent::Unfinished => None,
        Sent::Accepted { .. } | Sent::Consented(_) => Some(true),
        Sent::NotAccepted(failure)
            if target.awaited().is_some_and(|awaited| awaited.is_answer(failure)) =>
        {
            Some(true)
        }
        Sent::NotAccepted(failure) | Sent::Doubtful(failure) => counted(verdict, target, failure),
    }
}

/// `None`: it was not measured, or is not applicable.
pub(super) fn receiving(verdict: &Verdict, target: &Target) -> Option<bool> {
    match &verdict.mailbox {
        Check::Unfinished => None,
        Check::Passed => Some(true),
        Check::Failed(failure) => counted(verdict, target, failure),
    }
}

/// A failure that says something about the server.
fn counted(verdict: &Verdict, target: &Target, failure: &Failure) -> Option<bool> {
    let is_none = failure.shortage.is_some() || verdict.is_standby_down(target, failure);
    (!is_none).then_some(false)
}

pub(super) fn time(
    label: &str,
    value: Option<Duration>,
    (warning, critical): (Option<Duration>, Option<Duration>),
) -> String {
    let value = value.map_or("U".to_owned(), |value| format!("{:.3}s", value.as_secs_f64()));
    let limit = |limit: Option<Duration>| limit.map(|it| it.as_secs_f64().to_string());
    let (warning, critical) = (limit(warning), limit(critical));
    format!("{label}={value};{};{};0", warning.unwrap_or_default(), critical.unwrap_or_default())
}

fn ability(label: &str, is_able: Option<bool>) -> String {
    percent(label, is_able.map(|is_able| if is_able { 100.0 } else { 0.0 }))
}

pub(super) fn percent(label: &str, value: Option<f64>) -> String {
    let value = value.map_or("U".to_owned(), |value| format!("{value:.0}%"));
    format!("{label}={value};;;0;100")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_its_bars_are_ours() {
        let text = status(State::Unknown, "two problems:\n  a | x=1\n\n  b\r\n");
        assert_eq!(text, "MAILTRIP UNKNOWN - two problems:; a / x=1; b");
        let long = status(State::Critical, &"é|".repeat(9000));
        assert!(long.chars().count() < TEXT_CHARS + 40 && !long.contains('|'));
    }

    #[test]
    fn values_have_units_and_what_was_not_measured_is_undetermined() {
        let limits = (Some(Duration::from_millis(1500)), Some(Duration::from_secs(60)));
        assert_eq!(time("a", Some(Duration::from_micros(1_234_567)), limits), "a=1.235s;1.5;60;0");
        assert_eq!(time("a", None, (None, None)), "a=U;;;0");
        assert_eq!(ability("b", Some(true)), "b=100%;;;0;100");
        assert_eq!(ability("b", None), "b=U;;;0;100");
    }
}
