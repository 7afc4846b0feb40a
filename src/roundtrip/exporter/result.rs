//! What the measurements of an exporter come to.

use std::time::Duration;

use super::answer::{CauseReport, ExpectationReport, FailureReport, ProbeReport, Report};
use crate::roundtrip::state::{State, Thresholds};
use ledger::durations::precise as seconds;
use ledger::{Condition, FoundIn, Side};
use mail::text;

/// The most characters of a cause, as in a verdict of our own.
const CAUSE_CHARS: usize = 300;

/// What the exporter has measured, and what that is to a monitoring system.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What it says.
    pub(super) report: Report,
    /// The state.
    pub state: State,
    /// In sentences whose words agree with it.
    pub sentences: Vec<String>,
}

impl Finding {
    /// Judges what it says, with these thresholds for the newest round trip.
    pub fn of(report: Report, thresholds: &Thresholds) -> Self {
        let (state, sentences) = judge(&report, thresholds);
        Self { report, state, sentences }
    }

    /// Whether mail is sent and received, and not too late for the threshold that was given.
    pub fn is_successful(&self) -> bool {
        self.state <= State::Warning && self.report.condition != Condition::NotApplicable
    }
}

fn judge(report: &Report, thresholds: &Thresholds) -> (State, Vec<String>) {
    let name = &report.name;
    if let Some(expectation) = &report.expectation {
        return match report.condition {
            Condition::NotApplicable if expectation.words.is_empty() => {
                (State::Ok, vec![not_applicable(report, name)])
            }
            Condition::NotApplicable => (State::Ok, vec![standby(name, &expectation.words)]),
            _ => expected(name, expectation),
        };
    }
    let lost = report.newest().and_then(|probe| loss(name, probe));
    match (report.condition, report.roundtrip()) {
        (Condition::Failing, _) => (State::Critical, failures(report, name)),
        (Condition::NotApplicable, _) => (State::Ok, vec![not_applicable(report, name)]),
        (Condition::Late, _) => (State::Critical, vec![late(report, name)]),
        (Condition::Unmeasured, _) => (State::Unknown, vec![unmeasured(report, name)]),
        (Condition::Impaired | Condition::Well, _) if lost.is_some() => {
            (State::Critical, lost.into_iter().collect())
        }
        (Condition::Impaired | Condition::Well, Some(roundtrip)) => {
            let (state, sentence) = waiting(report, name, thresholds)
                .filter(|(state, _)| *state >= thresholds.judge(roundtrip, report.late_after()).0)
                .unwrap_or_else(|| delivery(report, name, roundtrip, thresholds));
            (state, vec![sentence])
        }
        (Condition::Impaired | Condition::Well, None) => {
            let waiting = waiting(report, name, thresholds);
            let (state, sentence) =
                waiting.unwrap_or_else(|| (State::Unknown, unmeasured(report, name)));
            (state, vec![sentence])
        }
    }
}

/// Of a target whose mails must not pass.
fn expected(name: &str, expectation: &ExpectationReport) -> (State, Vec<String>) {
    let ExpectationReport { expect, met, words } = expectation;
    let words = text::cut_to(words, CAUSE_CHARS);
    let (state, outcome) = match met {
        Some(true) => (State::Ok, "and so it is"),
        Some(false) => (State::Critical, "in vain"),
        None => (State::Unknown, "and nothing is proved"),
    };
    (state, vec![format!("{name} expects `{expect}`, {outcome}: {words}")])
}

/// That a passive target is down whose mails must not pass.
fn standby(name: &str, words: &str) -> String {
    let words = text::cut_to(words, CAUSE_CHARS);
    format!("{name} is passive and down: not applicable: {words}")
}

/// A sentence for each side that does not work.
fn failures(report: &Report, name: &str) -> Vec<String> {
    let failing = Side::ALL
        .into_iter()
        .filter(|side| report.ability(*side).is_some_and(|percent| percent < 100.0));
    let mut sentences: Vec<String> = failing
        .map(|side| match &report.side(side).last_failure {
            Some(failure) => format!(
                "{name} cannot {side} ({}): {}; {}",
                place(side, failure),
                cause(failure),
                failure.advice
            ),
            None => format!("{name} cannot {side}"),
        })
        .collect();
    if sentences.is_empty() {
        sentences
            .push(format!("{name} is failing, and the exporter does not say why: see its page"));
    }
    sentences
}

fn not_applicable(report: &Report, name: &str) -> String {
    let mut down = Side::ALL.into_iter().filter(|side| report.ability(*side).is_none());
    let failure = down.find_map(|side| {
        let CauseReport { step, reason, words, .. } = report.why_down(side)?;
        let words = text::cut_to(words, CAUSE_CHARS);
        Some(format!(" (side {side}, step {step}, reason {reason}): {words}"))
    });
    format!("{name} is passive and down: not applicable{}", failure.unwrap_or_default())
}

fn late(report: &Report, name: &str) -> String {
    let (count, within) = (report.late_messages, seconds(report.late_after()));
    let mails = if count == 1 { "1 mail is" } else { &format!("{count} mails are") };
    format!(
        "{name} accepted the mail, but it was not seen in the mailbox within {within}: {mails} late"
    )
}

/// What was wrong with a mail that did not come, if it did not.
fn loss(name: &str, probe: &ProbeReport) -> Option<String> {
    let words = probe.report.as_deref().map(|words| format!(": {words}"));
    let words = words.unwrap_or_default();
    match probe.outcome.as_str() {
        "bounced" | "returned" => {
            Some(format!("{name} accepted the newest mail, but it bounced{words}"))
        }
        "lost" => Some(format!(
            "{name} accepted the newest mail, but it was not seen in the mailbox and is given up{words}"
        )),
        _ => None,
    }
}

fn unmeasured(report: &Report, name: &str) -> String {
    let short = Side::ALL.into_iter().find_map(|side| {
        let is_unmeasured = report.ability(side).is_none();
        let failure = report.side(side).last_failure.as_ref().filter(|_| is_unmeasured)?;
        failure.shortage.as_ref()?;
        Some(format!(" ({}): {}; {}", place(side, failure), cause(failure), failure.advice))
    });
    let why = short.unwrap_or_else(|| match report.roundtrip_absence.as_deref() {
        Some("no_mail_yet") => ": it has received no mail yet".to_owned(),
        Some("no_mail_lately") => ": it has received no mail in the newest periods".to_owned(),
        Some("arrival_unknown") => ": mail arrived, and nobody can tell when".to_owned(),
        Some("not_measured_yet") => ": there is no measurement yet".to_owned(),
        _ => ": its newest measurement is older than its period".to_owned(),
    });
    format!("{name} was not tested by the exporter{why}")
}

fn delivery(
    report: &Report,
    name: &str,
    roundtrip: Duration,
    thresholds: &Thresholds,
) -> (State, String) {
    let (state, exceeded) = thresholds.judge(roundtrip, report.late_after());
    let folder = report.newest().and_then(|probe| probe.folder.as_deref());
    let is_junk = folder == Some(FoundIn::Junk.label());
    let (state, verb) = match (state, exceeded) {
        (State::Critical, _) => (State::Critical, "is too slow"),
        (_, Some(_)) => (State::Warning, "is slow"),
        _ if is_junk => (State::Warning, "delivers"),
        _ => (State::Ok, "works"),
    };
    let limit = exceeded.map_or_else(String::new, |most| format!(", more than {}", seconds(most)));
    let junk = if is_junk { ", but filed as junk" } else { "" };
    let impaired = match report.condition {
        Condition::Impaired => "; the exporter calls it impaired: see its page",
        _ => "",
    };
    let time = seconds(roundtrip);
    (state, format!("{name} {verb}: received after {time}{limit}{junk}{impaired}"))
}

/// What is wrong with a mail that is under way: its age is less than its round trip will be.
fn waiting(report: &Report, name: &str, thresholds: &Thresholds) -> Option<(State, String)> {
    let age = report.oldest_age()?;
    let (state, exceeded) = thresholds.judge(age, report.late_after());
    let verb = if state == State::Critical { "is too slow" } else { "is slow" };
    let (age, limit) = (seconds(age), seconds(exceeded?));
    let what = format!("a mail has been under way for {age}, more than {limit}");
    Some((state, format!("{name} {verb}: {what}")))
}

fn place(side: Side, failure: &FailureReport) -> String {
    format!("side {side}, step {}, reason {}", failure.step, failure.reason)
}

fn cause(failure: &FailureReport) -> String {
    text::cut_to(&failure.words, CAUSE_CHARS)
}

#[cfg(test)]
mod tests;
