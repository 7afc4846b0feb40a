//! What is wrong with a target now, in the order in which a reader should look: what fails, the cause
//! in the server's words, and what to do.

use std::time::{Duration, SystemTime};

use super::CONFIGURATION;
use crate::account::advice::{
    next_step, next_step_for_bounce, next_step_for_late_mail, next_step_for_port,
    next_step_for_silence, renewal,
};
use crate::account::history::{NEWEST_PROBES, Probe};
use crate::config::{Endpoint, Target};
use crate::supervisor::View;
use crate::web::pages::words::{Prose, When, rough, spelled};
use ledger::{
    Column, Condition, Failure, Layer, MailState, Reading, Side, SideState, Snapshot, Step,
};
use mail::options::BracketedHost;
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
}

impl Note {
    fn new(class: &'static str, what: String, advice: String) -> Self {
        let advice = Some(Prose::new(advice));
        Self { class, what, cause: None, when: None, words: None, advice, side: None }
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
    let (class, what) = match side {
        _ if is_stuck => ("late", "Cannot remove mail"),
        Side::Send if is_failing => ("failing", "Cannot send"),
        Side::Receive if is_failing => ("failing", "Cannot receive"),
        Side::Send => ("", "Latest failure to send"),
        Side::Receive => ("", "Latest failure to receive"),
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
    let mut notes: Vec<Note> = gone(view, probes, now).into_iter().collect();
    // What cannot be read cannot be seen: then the failure says what to do.
    if snapshot.is_late() && snapshot.receive_ability != Reading::Is(false) {
        let mut late = late(view, now);
        if notes.iter().any(|gone| gone.advice == late.advice) {
            late.advice = None;
        }
        notes.push(late);
    }
    if condition == Condition::NotApplicable {
        notes.push(Note { advice: None, ..Note::new("", STANDBY_DOWN.to_owned(), String::new()) });
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

fn late(view: &View, now: SystemTime) -> Note {
    let View { target, snapshot, lacks_junk_folder, .. } = view;
    let age =
        snapshot.oldest_outstanding.map(|oldest| now.duration_since(oldest).unwrap_or_default());
    let since = age.map(|age| format!(", the oldest for {}", rough(age))).unwrap_or_default();
    let what = match snapshot.late_outstanding {
        1 => format!("A mail is late: accepted, but not found in the mailbox{since}"),
        count => format!("{count} mails are late: accepted, but not found in the mailbox{since}"),
    };
    Note::new("late", what, next_step_for_late_mail(target, *lacks_junk_folder))
}

/// Mails that were lost or bounced of late, even if others have arrived since.
fn gone(view: &View, probes: &[Probe], now: SystemTime) -> Option<Note> {
    let View { target, snapshot, lacks_junk_folder, .. } = view;
    let is_gone = |probe: &&Probe| matches!(probe.state, MailState::Lost | MailState::Bounced);
    let newest = probes.iter().take(LATEST).find(is_gone)?;
    let class = if snapshot.delivers == Reading::Is(false) { "failing" } else { "late" };
    let when = newest.ended.map(|ended| When::new(ended, now));
    let alike = probes.iter().take(LATEST).filter(|probe| probe.state == newest.state).count();
    let of_all = format!("of the latest {} mails", probes.len().min(LATEST));
    if newest.state == MailState::Lost {
        let after = spelled(target.lost_after);
        let what = match alike {
            1 => format!("One {of_all} was lost: accepted, and not in the mailbox after {after}"),
            _ => format!(
                "{alike} {of_all} were lost: accepted, and not in the mailbox after {after}"
            ),
        };
        let advice = next_step_for_late_mail(target, *lacks_junk_folder);
        return Some(Note { when, ..Note::new(class, what, advice) });
    }
    let report = snapshot.last_report.as_ref().map(|(_, report)| report);
    let report = report.filter(|report| report.token == newest.token);
    let by_whom = report.and_then(|report| report.remote_server.as_deref());
    let by_whom = by_whom.map(|server| format!(", refused by {server}")).unwrap_or_default();
    let what = format!("{alike} {of_all} bounced{by_whom}");
    let advice = next_step_for_bounce(target, report.and_then(|report| report.code.as_deref()));
    let words = newest.report.as_ref().map(|words| text::shown(words.as_bytes()));
    Some(Note { when, words, ..Note::new(class, what, advice) })
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
        Some(Note { words: Some(words), ..Note::new("late", what, advice) })
    })
}

fn silence(view: &View) -> Note {
    let host = &view.target.send.endpoint.host;
    Note::new("late", "The network does not answer".to_owned(), next_step_for_silence(host))
}

/// The certificates that end soon.
fn certificates(
    target: &Target,
    snapshot: &Snapshot,
    now: SystemTime,
) -> impl Iterator<Item = Note> {
    let sides = [
        (Side::Send, &snapshot.sides.send, &target.send.endpoint),
        (Side::Receive, &snapshot.sides.receive, &target.receive.endpoint),
    ];
    sides.into_iter().filter_map(move |(side, state, endpoint)| {
        if !matches!(state.consecutive_failures, Reading::Is(0)) {
            return None;
        }
        let facts = state.tls.as_deref()?;
        let end = facts.leaf_not_after.min(facts.chain_not_after);
        let left = end.duration_since(now).ok().filter(|left| *left < ENDS_SOON)?;
        let Endpoint { host, port, .. } = endpoint;
        let host = BracketedHost(host);
        let what = format!("The certificate of {host}:{port} ends in {}", rough(left));
        Some(Note { side: Some(side), ..Note::new("late", what, renewal(target, side)) })
    })
}

/// Escaped and cut where it was read; the page does not rely on that.
fn shown(failure: &Failure) -> String {
    text::shown(failure.message.as_bytes())
}
