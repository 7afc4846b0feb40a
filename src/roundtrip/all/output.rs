//! The results of all targets for people and for scripts.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Value, json};

use super::{Results, Tested};
use crate::roundtrip::state::{State, Thresholds};
use crate::roundtrip::terminal::{Look, Terminal};
use crate::roundtrip::verdict::{Arrival, Ending, seconds};
use crate::roundtrip::{json as one, nagios};
use ledger::{FoundIn, Side};
use mail::text;

/// The most columns for the name of a target.
const NAME_COLUMNS: usize = 28;

/// The most paragraphs about targets that are not well.
const PARAGRAPHS: usize = 20;
/// The most targets that one of them names.
const NAMED: usize = 10;

/// A sentence for those that are not well, and what is left behind; the table and the summary are last, where
/// they are seen.
pub fn show<W: Write>(results: &Results, terminal: &mut Terminal<W>) {
    not_well(results, terminal);
    left_behind(results, terminal);
    let longest = results.0.keys().map(|name| name.as_str().chars().count()).max().unwrap_or(0);
    let width = longest.clamp(6, NAME_COLUMNS);
    let (send, receive, roundtrip) = ("SEND", "RECEIVE", "ROUND TRIP");
    let head = format!("{:<width$}  {send:<6}  {receive:<7}  {roundtrip:>10}  STATE", "TARGET");
    terminal.line(&[(Look::Strong, &head)]);
    for tested in results.0.values() {
        row(tested, width, terminal);
    }
    let look = if results.state() == State::Ok { Look::Good } else { Look::Bad };
    terminal.paragraph(&[(look, &results.summary())]);
}

/// What is true of several is said once.
fn not_well<W: Write>(results: &Results, terminal: &mut Terminal<W>) {
    let mut causes: Vec<(&str, Vec<&Tested>)> = Vec::new();
    let mut places = BTreeMap::new();
    for tested in results.0.values().filter(|tested| tested.state != State::Ok) {
        for sentence in &tested.sentences {
            let cause = sentence.strip_prefix(tested.target.name.as_str()).unwrap_or(sentence);
            let place = *places.entry(cause).or_insert_with(|| {
                causes.push((sentence, Vec::new()));
                causes.len() - 1
            });
            causes.get_mut(place).into_iter().for_each(|(_, of)| of.push(tested));
        }
    }
    for (sentence, of) in causes.iter().take(PARAGRAPHS) {
        let others = likewise(of);
        let parts = [(Look::Bad, "Verdict: "), (Look::Plain, sentence), (Look::Plain, &others)];
        terminal.paragraph(&parts);
    }
    if let more @ 1.. = causes.len().saturating_sub(PARAGRAPHS) {
        terminal.paragraph(&[(Look::Plain, &format!("and {more} more; see the table"))]);
    }
}

/// For whom else a sentence is.
fn likewise(of: &[&Tested]) -> String {
    let names: Vec<&str> = of.iter().skip(1).map(|tested| tested.target.name.as_str()).collect();
    let named = names.get(..NAMED).unwrap_or(&names).join(", ");
    match names.len() {
        0 => String::new(),
        count if count > NAMED => format!(" (likewise {named}, and {} more)", count - NAMED),
        _ => format!(" (likewise {named})"),
    }
}

fn row<W: Write>(tested: &Tested, width: usize, terminal: &mut Terminal<W>) {
    let name = tested.target.name.as_str();
    let name = match name.chars().count() > width {
        true => text::cut_to(name, width - 1),
        false => name.to_owned(),
    };
    let ability = |side| match ability(tested, side) {
        Some(true) => "ok",
        Some(false) => "failed",
        None => "-",
    };
    let roundtrip = roundtrip(tested).map_or_else(|| "-".to_owned(), seconds);
    let cells = format!(
        "{name:<width$}  {:<6}  {:<7}  {roundtrip:>10}  ",
        ability(Side::Send),
        ability(Side::Receive)
    );
    let look = if tested.state == State::Ok { Look::Good } else { Look::Bad };
    let (state, cause) = (tested.state.to_string(), cause(tested));
    let gap = if cause.is_empty() { 0 } else { 10 };
    terminal.line(&[
        (Look::Plain, &cells),
        (look, &state),
        (Look::Plain, &" ".repeat(gap - gap.min(state.len()))),
        (Look::Plain, &cause),
    ]);
}

fn ability(tested: &Tested, side: Side) -> Option<bool> {
    let verdict = tested.verdict.as_ref().ok()?;
    match side {
        Side::Send => nagios::sending(verdict, &tested.target),
        Side::Receive => nagios::receiving(verdict, &tested.target),
    }
}

pub(super) fn roundtrip(tested: &Tested) -> Option<std::time::Duration> {
    match tested.verdict.as_ref().ok()?.arrival {
        Arrival::Seen { roundtrip, .. } => Some(roundtrip),
        _ => None,
    }
}

/// In a few words; the sentences say it whole.
fn cause(tested: &Tested) -> String {
    let verdict = match &tested.verdict {
        Ok(verdict) => verdict,
        Err(not_begun) => return not_begun.to_string(),
    };
    if verdict.is_not_applicable(&tested.target) {
        return "passive and down".to_owned();
    }
    let failure = Side::ALL.into_iter().find_map(|side| Some((side, verdict.failure(side)?)));
    match (failure, verdict.ending, verdict.arrival) {
        (_, _, Arrival::Bounced(_)) => "bounced".to_owned(),
        (Some((side, failure)), ..) => format!("{side}: {}, {}", failure.step, failure.reason),
        (None, Ending::Interrupted, _) => "interrupted".to_owned(),
        (None, Ending::OutOfTime(_) | Ending::LackedTime(_), _) => "`--timeout` expired".to_owned(),
        (None, _, Arrival::NotSeen(_)) => "mail not seen".to_owned(),
        (None, _, Arrival::Seen { folder: FoundIn::Junk, .. }) => "filed as junk".to_owned(),
        (None, ..) if tested.state != State::Ok => "slow".to_owned(),
        (None, ..) => String::new(),
    }
}

/// Mails that nobody watches any more.
fn left_behind<W: Write>(results: &Results, terminal: &mut Terminal<W>) {
    let left: Vec<String> = results.0.values().filter_map(left).collect();
    if left.is_empty() {
        return;
    }
    let advice = "These mails may still arrive or are still in a mailbox. An exporter that watches the \
                  mailbox, or a later `probe`, removes each after `lost_after` of its target; if you run \
                  neither, delete them by hand:";
    terminal.paragraph(&[(Look::Plain, advice)]);
    for line in left {
        terminal.paragraph(&[(Look::Plain, &line)]);
    }
}

fn left(tested: &Tested) -> Option<String> {
    let verdict = tested.verdict.as_ref().ok()?;
    verdict.left_behind(&tested.target)?;
    let subject = tested.target.subject(verdict.token, verdict.written);
    let answer = if tested.target.takes_replies() { ", its answer, by hand" } else { "" };
    Some(format!("  {}: subject \"{subject}\"{answer}", tested.target.name))
}

/// One document.
pub fn document(results: &Results, thresholds: &Thresholds) -> Value {
    let targets = results.0.values().map(|tested| match &tested.verdict {
        Ok(verdict) => one::document(verdict, &tested.target, thresholds, false),
        Err(_) => one::not_begun(Some(tested.target.name.as_str()), &tested.sentences.join("; ")),
    });
    let targets: Vec<Value> = targets.collect();
    let is_good = targets.iter().all(|target| target.get("successful") == Some(&json!(true)));
    let [ok, warning, critical, unknown] = State::ALL.map(|state| results.count(state));
    json!({
        "successful": is_good,
        "state": results.state().label(),
        "verdict": results.summary(),
        "counts": { "ok": ok, "warning": warning, "critical": critical, "unknown": unknown },
        "targets": targets,
    })
}
