//! What is wrong with a target now, in the order in which a reader should look: what fails, the cause
//! in the server's words, and what to do.

use std::time::{Duration, SystemTime};

use super::CONFIGURATION;
use crate::account::advice::{
    new_chain, next_step, next_step_for_bounce, next_step_for_late_mail, next_step_for_port,
    next_step_for_silence, renewal,
};
use crate::account::history::{NEWEST_PROBES, Probe};
use crate::config::Target;
use crate::supervisor::View;
use crate::web::pages::words::{Prose, When, rough, spelled};
use ledger::{
    Column, Condition, Failure, Judged, Layer, MailState, Reading, Side, SideState, Snapshot, Step,
};
use mail::text;

/// A certificate that ends within this is told of.
pub(in crate::web::pages) const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// What a passive node that is down has to say.
const STANDBY_DOWN: &str = "The standby is down, as a passive node may be: that is no failure";

/// So many of the newest mails are looked at.
const LATEST: usize = NEWEST_PROBES;

/// Something that a reader should know of a target.
pub(in crate::web::pages) struct Note {
    /// What the style sheet calls it.
    pub(in crate::web::pages) class: &'static str,
    /// What is wrong, in few words.
    pub(in crate::web::pages) what: String,
    /// Step and reason of a failure.
    pub(in crate::web::pages) cause: Option<(&'static str, &'static str)>,
    pub(in crate::web::pages) when: Option<When>,
    /// The words of a server.
    pub(in crate::web::pages) words: Option<String>,
    /// What to do; `None` for a passive node that is down, as it may be, and where it was just said.
    pub(in crate::web::pages) advice: Option<Prose>,
    /// The side whose dialogue shows it.
    pub(in crate::web::pages) side: Option<Side>,
    /// Where the runbook has the alert about it; `None`: there is none.
    pub(in crate::web::pages) runbook: Option<&'static str>,
}

impl Note {
    fn new(class: &'static str, what: String, advice: String, runbook: &'static str) -> Self {
        let (advice, runbook) = (Some(Prose::new(advice)), Some(runbook));
        Self { class, what, cause: None, when: None, words: None, advice, side: None, runbook }
    }
}

/// The newest failure of a side, and whether it is over.
pub(super) fn of_side(
    target: &Target,
    side: Side,
    state: &SideState,
    now: SystemTime,
) -> Option<(Note, bool)> {
    let (at, failure) = state.last_failure.as_ref()?;
    let is_failing = matches!(state.consecutive_failures, Reading::Is(1..));
    // A removal follows a check: one that failed is over with the next check that none follows.
    let is_stuck =
        failure.step == Step::Remove && state.last_success.is_none_or(|success| *at >= success);
    let (class, what, runbook) = match side {
        _ if is_stuck => ("late", "Cannot remove mail", None),
        Side::Send if is_failing => ("failing", "Cannot send", Some("mailtripcannotsend")),
        Side::Receive if is_failing => ("failing", "Cannot receive", Some("mailtripcannotreceive")),
        Side::Send => ("", "Latest failure to send", None),
        Side::Receive => ("", "Latest failure to receive", None),
    };
    let is_excused = target.passive && failure.down;
    let note = Note {
        class,
        what: what.to_owned(),
        cause: Some((failure.step.label(), failure.reason.label())),
        when: Some(When::new(*at, now)),
        words: Some(shown(failure)),
        advice: (!is_excused).then(|| Prose::new(next_step(target, side, failure, CONFIGURATION))),
        side: Some(side),
        runbook,
    };
    Some((note, !is_failing && !is_stuck))
}

/// What else is wrong; `probes` are the newest ones, newest first.
pub(super) fn beside_failures(
    view: &View,
    condition: Condition,
    probes: &[Probe],
    now: SystemTime,
) -> Vec<Note> {
    let snapshot = &view.snapshot;
    if let Some(judged) = &snapshot.expectation {
        let mut notes: Vec<Note> = not_met(view, judged, now).into_iter().collect();
        notes.extend(certificates(&view.target, snapshot, now));
        return notes;
    }
    let mut notes = gone(view, probes, now);
    // What cannot be read cannot be seen: then the failure says what to do.
    if snapshot.is_late() && snapshot.receive_ability != Reading::Is(false) {
        let mut late = late(view, now);
        if notes.iter().any(|gone| gone.advice == late.advice) {
            late.advice = None;
        }
        notes.push(late);
    }
    if condition == Condition::NotApplicable {
        let note = Note::new("", STANDBY_DOWN.to_owned(), String::new(), "");
        notes.push(Note { advice: None, runbook: None, ..note });
    }
    if condition == Condition::Impaired {
        match Column::of(snapshot, &view.layers.evidence()).to_blame() {
            Some(Layer::Tcp) => notes.extend(ports(view)),
            Some(Layer::Network) => notes.push(silence(view)),
            _ => {}
        }
    }
    notes.extend(certificates(&view.target, snapshot, now));
    notes
}

/// That what must not pass has passed.
fn not_met(view: &View, judged: &Judged, now: SystemTime) -> Option<Note> {
    let expected = view.target.expected()?;
    let what = format!("Expected {}, in vain", expected.words());
    let advice = "see the runbook: what to do depends on what passed".to_owned();
    let note = Note::new("failing", what, advice, "mailtripexpectationnotmet");
    let when = judged.at.map(|at| When::new(at, now));
    (judged.is_met == Reading::Is(false)).then(|| Note {
        when,
        words: Some(judged.words.to_string()),
        ..note
    })
}

fn late(view: &View, now: SystemTime) -> Note {
    let View { target, snapshot, lacks_junk_folder, .. } = view;
    let age =
        snapshot.oldest_outstanding.map(|oldest| now.duration_since(oldest).unwrap_or_default());
    let since = age.map(|age| format!(", the oldest for {}", rough(age))).unwrap_or_default();
    let what = match snapshot.late_outstanding {
        1 => format!("A mail is late: accepted, but {}{since}", missing(target)),
        count => format!("{count} mails are late: accepted, but {}{since}", missing(target)),
    };
    let advice = next_step_for_late_mail(target, *lacks_junk_folder);
    Note::new("late", what, advice, "mailtripmailoverdue")
}

/// What is not so of a mail that was accepted and is late.
fn missing(target: &Target) -> &'static str {
    match target.takes_replies() {
        true => "no answer was found in the mailbox",
        false => "not found in the mailbox",
    }
}

/// Mails that were lost or bounced of late, even if others have arrived since: a note of each kind, that with
/// the newest mail first.
fn gone(view: &View, probes: &[Probe], now: SystemTime) -> Vec<Note> {
    let was_accepted = |probe: &&Probe| {
        use MailState::{Bounced, Lost, Outstanding, Received, Returned};
        matches!(probe.state, Outstanding | Received | Returned | Bounced | Lost)
    };
    let accepted: Vec<&Probe> = probes.iter().take(LATEST).filter(was_accepted).collect();
    let kinds = [MailState::Lost, MailState::Bounced].into_iter().filter_map(|kind| {
        let newest = accepted.iter().position(|probe| probe.state == kind)?;
        let probe: &Probe = accepted.get(newest)?;
        let count = accepted.iter().filter(|probe| probe.state == kind).count();
        let mails = some_of(count, accepted.len());
        let note = match kind {
            MailState::Lost => lost(view, &mails, count),
            _ => bounced(view, probe, &mails),
        };
        let class = if view.snapshot.delivers == Reading::Is(false) { "failing" } else { "late" };
        let when = probe.ended.map(|ended| When::new(ended, now));
        Some((newest, Note { class, when, ..note }))
    });
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_by_key(|(newest, _)| *newest);
    kinds.into_iter().map(|(_, note)| note).collect()
}

/// So many of the latest mails.
fn some_of(count: usize, all: usize) -> String {
    match (count, all) {
        (1, 1) => "The latest mail".to_owned(),
        (1, _) => format!("One of the latest {all} mails"),
        _ if count == all => format!("All of the latest {all} mails"),
        _ => format!("{count} of the latest {all} mails"),
    }
}

fn lost(view: &View, mails: &str, count: usize) -> Note {
    let View { target, lacks_junk_folder, .. } = view;
    let were = if count == 1 { "was" } else { "were" };
    let after = spelled(target.lost_after);
    let what = match target.takes_replies() {
        true => {
            format!("{mails} {were} lost: accepted, and no answer in the mailbox after {after}")
        }
        false => format!("{mails} {were} lost: accepted, and not in the mailbox after {after}"),
    };
    let advice = next_step_for_late_mail(target, *lacks_junk_folder);
    Note::new("late", what, advice, "mailtripmailslost")
}

fn bounced(view: &View, newest: &Probe, mails: &str) -> Note {
    let report = view.snapshot.last_report.as_ref().map(|newest| &newest.1);
    let report = report.filter(|report| report.token == newest.token);
    let by_whom = report.and_then(|report| report.remote_server.as_deref());
    let by_whom = by_whom.map(|server| format!(", refused by {server}")).unwrap_or_default();
    let code = report.and_then(|report| report.code.as_deref());
    let advice = next_step_for_bounce(&view.target, code);
    let words = newest.report.as_ref().map(|words| text::shown(words.as_bytes()));
    let what = format!("{mails} bounced{by_whom}");
    Note { words, ..Note::new("late", what, advice, "mailtripmailsbounced") }
}

/// The ports that do not answer.
fn ports(view: &View) -> impl Iterator<Item = Note> {
    view.layers.ports.iter().filter_map(|port| {
        let fault = port.fault.as_ref().filter(|_| port.newest == Reading::Is(None))?;
        let check = &port.check;
        let what =
            format!("Port {} of {} ({}) does not answer", check.port, check.host, check.name);
        let words = text::shown(format!("{}: {}", fault.reason, fault.message).as_bytes());
        let advice = next_step_for_port(&check.host, check.port);
        let note = Note::new("late", what, advice, "mailtripportunreachable");
        Some(Note { words: Some(words), ..note })
    })
}

fn silence(view: &View) -> Note {
    let advice = next_step_for_silence(&view.target.send.endpoint.host);
    let what = "The network does not answer".to_owned();
    Note::new("late", what, advice, "mailtripnetworkunreachable")
}

/// The certificates that end soon or have ended, though the side works.
fn certificates(
    target: &Target,
    snapshot: &Snapshot,
    now: SystemTime,
) -> impl Iterator<Item = Note> {
    let sides = [
        Some((Side::Send, &snapshot.sides.send, &target.send.endpoint)),
        target
            .receive
            .as_ref()
            .map(|side| (Side::Receive, &snapshot.sides.receive, &side.endpoint)),
    ];
    sides.into_iter().flatten().filter_map(move |(side, state, endpoint)| {
        if !matches!(state.consecutive_failures, Reading::Is(0)) {
            return None;
        }
        let facts = state.tls.as_deref()?;
        let is_own = facts.leaf_not_after <= facts.chain_not_after;
        let (which, end, advice) = match is_own {
            true => ("The certificate", facts.leaf_not_after, renewal(target, side)),
            false => ("A certificate in the chain", facts.chain_not_after, new_chain(target, side)),
        };
        let (ends, runbook) = match end.duration_since(now) {
            Ok(left) if left >= ENDS_SOON => return None,
            Ok(left) => (format!("ends in {}", rough(left)), "mailtripcertificateexpiring"),
            Err(over) => {
                (format!("ended {} ago", rough(over.duration())), "mailtripcertificateexpired")
            }
        };
        let note = Note::new("late", format!("{which} of {endpoint} {ends}"), advice, runbook);
        Some(Note { side: Some(side), ..note })
    })
}

/// Escaped and cut where it was read; the page does not rely on that.
fn shown(failure: &Failure) -> String {
    text::shown(failure.message.as_bytes())
}
