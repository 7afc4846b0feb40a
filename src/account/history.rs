//! What happened lately to one target: its newest probes with their steps and what became of them,
//! its newest checks, failed looks, and transcripts. Evidence, no account: nothing is counted here,
//! and the state of a mail comes from the ledger's own records.
//!
//! Failures are kept longer than successes. Of the probes the newest [`NEWEST_PROBES`] are there
//! whatever became of them, and of those before them the newest [`OLDER_FAILURES`] that went wrong;
//! of the checks likewise, with [`NEWEST_CHECKS`]. All of it is in memory: it outlives a reload; of a
//! restart it knows only what the store has, the mails and their states.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ledger::LineInstant;
use ledger::Token;
use ledger::{Attempt, Changes, FoundIn, MailRecord, MailState, Moment};
use ledger::{Failure, Reason, Side};
use ledger::{SightingOutcome, StoredAccount};
use mail::text;
pub use records::{Check, DialogueKind, FailedLook, StepTime, Steps, Transcript};
use records::{Dialogue, steps};
pub use transcripts::{Archive, Filed};
use trim::{Weight, trim};

mod records;
mod transcripts;
mod trim;

/// So many probes are kept whatever became of them.
pub const NEWEST_PROBES: usize = 20;
/// So many checks are kept whatever came of them.
pub const NEWEST_CHECKS: usize = 10;
/// So many of each that went wrong are kept beyond that.
pub const OLDER_FAILURES: usize = 20;
/// So many failed looks are kept.
pub const FAILED_LOOKS: usize = 20;
/// So many transcripts of dialogues that failed are kept.
pub const FAILED_TRANSCRIPTS: usize = 3;

/// What happened lately to one target; see the module.
#[derive(Debug)]
pub struct History {
    /// Oldest first, as everything here.
    probes: VecDeque<Probe>,
    checks: VecDeque<Check>,
    failed_looks: VecDeque<FailedLook>,
    failed: VecDeque<Dialogue>,
    succeeded: VecDeque<Dialogue>,
    archive: Arc<Archive>,
}

/// One test mail.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Its token.
    pub token: Token,
    /// When its transmission began.
    pub began: SystemTime,
    /// The steps of its transmission; mails of one connection share them. Empty while it is under
    /// way, and where an earlier process sent it.
    pub steps: Steps,
    /// Why it was not accepted.
    pub failure: Option<Arc<Failure>>,
    /// The time from `began` to the acceptance.
    pub accepted_after: Option<Duration>,
    /// The time from `began` to the arrival; `None` also where nobody can tell when it arrived.
    pub roundtrip: Option<Duration>,
    /// Where it was found.
    pub folder: Option<FoundIn>,
    /// What became of it.
    pub state: MailState,
    /// Whether it was not seen within `late_after`.
    pub is_late: bool,
    /// When the wait for it ended.
    pub ended: Option<SystemTime>,
    /// What a report about it says, as that of a bounce.
    pub report: Option<Arc<str>>,
}

/// What became of a mail, with the reason why one was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was not sent for want of something of the exporter's own.
    Unmeasured,
    /// The server asked to have it sent later.
    Deferred,
    /// It was not accepted for another reason than that the server refused or deferred it.
    NotAccepted,
    /// Its state says it all; [`MailState::Refused`]: the server refused it for good.
    Is(MailState),
}

/// What a history holds, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// The probes.
    pub probes: Vec<Probe>,
    /// The checks.
    pub checks: Vec<Check>,
    /// Looks and removals that failed.
    pub failed_looks: Vec<FailedLook>,
    /// Transcripts: of the newest dialogues that failed, then the newest of each side that did not.
    pub transcripts: Vec<Transcript>,
}

impl History {
    /// An empty history; its transcripts are filed here.
    pub fn new(archive: Arc<Archive>) -> Self {
        Self {
            probes: VecDeque::new(),
            checks: VecDeque::new(),
            failed_looks: VecDeque::new(),
            failed: VecDeque::new(),
            succeeded: VecDeque::new(),
            archive,
        }
    }

    /// Files its transcripts here from now on.
    pub fn set_archive(&mut self, archive: Arc<Archive>) {
        self.archive = archive;
    }

    /// Notes what the store knows of mails that an earlier process has sent.
    pub fn restore(&mut self, stored: &StoredAccount) {
        let mut mails: Vec<(SystemTime, Token, &MailRecord)> = stored
            .mails
            .iter()
            .filter_map(|(token, mail)| Some((mail.transmitted?, *token, mail)))
            .collect();
        mails.sort_by_key(|(began, token, _)| (*began, *token));
        for (began, token, mail) in mails {
            let mut probe = Probe::new(token, began);
            let waited = mail.accepted.and_then(|accepted| accepted.duration_since(began).ok());
            probe.accepted_after = waited;
            probe.note(mail);
            probe.state = match (mail.state, waited) {
                // An earlier process was sending it, or had sent it without a reply.
                (MailState::Sending, None) => MailState::Doubtful,
                (MailState::Received, None) => MailState::Returned,
                (MailState::Sending, Some(_)) => MailState::Outstanding,
                (state, _) => state,
            };
            self.push_probe(probe);
        }
    }

    /// A mail is about to be sent.
    pub fn sending(&mut self, token: Token, now: Moment) {
        self.push_probe(Probe::new(token, now.wall));
    }

    /// A mail whose transmission began at `transmitted` is accepted.
    pub fn accepted(&mut self, token: Token, transmitted: LineInstant, now: Moment) {
        let Some(probe) = self.probe(token) else { return };
        let waited = now.instant.saturating_duration_since(transmitted);
        probe.began = now.wall.checked_sub(waited).unwrap_or(probe.began);
        probe.accepted_after = Some(waited);
        if probe.state == MailState::Sending {
            probe.state = MailState::Outstanding;
        }
    }

    /// A mail is not accepted; whether it is doubtful, the ledger's record says.
    pub fn not_accepted(&mut self, token: Token, failure: &Failure) {
        let failure = self.share(failure);
        let Some(probe) = self.probe(token) else { return };
        probe.failure = Some(failure);
        if probe.state == MailState::Sending {
            probe.state = MailState::Refused;
        }
    }

    /// A mail was seen in this folder, and that is what it means.
    pub fn seen(&mut self, token: Token, folder: FoundIn, outcome: SightingOutcome) {
        let Some(probe) = self.probe(token) else { return };
        match outcome {
            SightingOutcome::Received { roundtrip, .. } => {
                probe.folder = Some(folder);
                probe.roundtrip = roundtrip;
            }
            SightingOutcome::Early | SightingOutcome::Returned => probe.folder = Some(folder),
            SightingOutcome::Duplicate | SightingOutcome::Left | SightingOutcome::Unknown => {}
        }
    }

    /// The round trip of a mail that was seen before it was accepted.
    pub fn arrived_early(&mut self, token: Token, roundtrip: Duration) {
        if let Some(probe) = self.probe(token) {
            probe.roundtrip = Some(roundtrip);
        }
    }

    /// A report about a mail says this, as a bounce or that of a delay.
    pub fn reported(&mut self, token: Token, words: &str) {
        if let Some(probe) = self.probe(token) {
            probe.report = Some(text::shown(words.as_bytes()).into());
        }
    }

    /// The sending of a period or a check is over.
    pub fn attempt_ended(&mut self, side: Side, attempt: &Attempt, now: Moment) {
        let steps = steps(&attempt.steps);
        match side {
            Side::Send => {
                for token in &attempt.tokens {
                    if let Some(probe) = self.probe(*token) {
                        probe.steps = Arc::clone(&steps);
                    }
                }
            }
            Side::Receive => {
                let took = attempt.steps.iter().map(|(_, duration)| *duration).sum();
                let began = now.wall.checked_sub(took).unwrap_or(now.wall);
                let failure = attempt.failures.first().map(|failure| self.share(failure));
                self.checks.push_back(Check { began, steps, failure });
                trim(&mut self.checks, NEWEST_CHECKS, Check::weight);
            }
        }
        let kind = if side == Side::Send { DialogueKind::Send } else { DialogueKind::Check };
        let token = attempt.tokens.first().copied();
        let has_failed = !attempt.failures.is_empty();
        self.file(kind, token, has_failed, &attempt.transcript, now);
    }

    /// A look or a removal has failed.
    pub fn look_failed(&mut self, failure: &Failure, transcript: &str, now: Moment) {
        let failure = self.share(failure);
        self.failed_looks.push_back(FailedLook { at: now.wall, failure });
        if self.failed_looks.len() > FAILED_LOOKS {
            self.failed_looks.pop_front();
        }
        self.file(DialogueKind::Look, None, true, transcript, now);
    }

    /// Takes over the states of the mails from the ledger.
    pub fn apply(&mut self, changes: &Changes) {
        for (token, record) in &changes.mails {
            if let Some(record) = record
                && let Some(probe) = self.probe(*token)
            {
                probe.note(record);
            }
        }
        if !changes.mails.is_empty() {
            trim(&mut self.probes, NEWEST_PROBES, Probe::weight);
        }
    }

    /// Everything, newest first.
    pub fn evidence(&self) -> Evidence {
        let shown = |has_failed| {
            move |dialogue: &Dialogue| Transcript {
                kind: dialogue.kind,
                ended: dialogue.ended,
                has_failed,
                token: dialogue.token,
                text: dialogue.filed.text(),
            }
        };
        let failed = self.failed.iter().rev().map(shown(true));
        let succeeded = self.succeeded.iter().rev().map(shown(false));
        Evidence {
            probes: self.probes.iter().rev().cloned().collect(),
            checks: self.checks.iter().rev().cloned().collect(),
            failed_looks: self.failed_looks.iter().rev().cloned().collect(),
            transcripts: failed.chain(succeeded).collect(),
        }
    }

    /// The newest [`NEWEST_PROBES`] probes, newest first.
    pub fn newest_probes(&self) -> Vec<Probe> {
        self.probes.iter().rev().take(NEWEST_PROBES).cloned().collect()
    }

    fn push_probe(&mut self, probe: Probe) {
        self.probes.push_back(probe);
        trim(&mut self.probes, NEWEST_PROBES, Probe::weight);
    }

    fn probe(&mut self, token: Token) -> Option<&mut Probe> {
        self.probes.iter_mut().rev().find(|probe| probe.token == token)
    }

    /// The failure as it is kept: a server that goes on saying the same fills one place.
    fn share(&self, failure: &Failure) -> Arc<Failure> {
        let probes = self.probes.iter().rev().filter_map(|probe| probe.failure.as_ref()).take(1);
        let checks = self.checks.iter().rev().filter_map(|check| check.failure.as_ref()).take(1);
        let looks = self.failed_looks.iter().rev().map(|look| &look.failure).take(1);
        let known = probes.chain(checks).chain(looks).find(|known| known.as_ref() == failure);
        known.cloned().unwrap_or_else(|| Arc::new(failure.clone()))
    }

    /// Keeps a transcript. A side that fails all the time does not displace the other's transcripts:
    /// beyond four failures the oldest of the most frequent kind is evicted.
    fn file(
        &mut self,
        kind: DialogueKind,
        token: Option<Token>,
        has_failed: bool,
        text: &str,
        now: Moment,
    ) {
        if text.is_empty() {
            return;
        }
        let dialogue =
            Dialogue { kind, ended: now.wall, token, filed: self.archive.file(has_failed, text) };
        if !has_failed {
            self.succeeded.retain(|known| known.kind != kind);
            self.succeeded.push_back(dialogue);
            return;
        }
        self.failed.push_back(dialogue);
        if self.failed.len() > FAILED_TRANSCRIPTS {
            let count = |kind| self.failed.iter().filter(|known| known.kind == kind).count();
            let most = self.failed.iter().map(|known| count(known.kind)).max();
            let index = self.failed.iter().position(|known| Some(count(known.kind)) == most);
            self.failed.remove(index.unwrap_or(0));
        }
    }
}

impl Probe {
    fn new(token: Token, began: SystemTime) -> Self {
        Self {
            token,
            began,
            steps: Arc::default(),
            failure: None,
            accepted_after: None,
            roundtrip: None,
            folder: None,
            state: MailState::Sending,
            is_late: false,
            ended: None,
            report: None,
        }
    }

    /// The time from acceptance to arrival.
    pub fn delivery(&self) -> Option<Duration> {
        Some(self.roundtrip?.saturating_sub(self.accepted_after?))
    }

    /// Whether it was not sent for want of something of the exporter's own.
    pub fn is_unmeasured(&self) -> bool {
        let failure = self.failure.as_ref();
        matches!(self.state, MailState::Refused | MailState::Left)
            && failure.is_some_and(|it| it.shortage.is_some())
    }

    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        if self.is_unmeasured() {
            return Outcome::Unmeasured;
        }
        match (self.state, self.failure.as_ref().map(|failure| failure.reason)) {
            (MailState::Refused, Some(Reason::Deferred)) => Outcome::Deferred,
            (MailState::Refused, Some(Reason::Rejected | Reason::Quota)) => {
                Outcome::Is(MailState::Refused)
            }
            (MailState::Refused, _) => Outcome::NotAccepted,
            (state, _) => Outcome::Is(state),
        }
    }

    fn note(&mut self, record: &MailRecord) {
        self.is_late |= record.is_late;
        self.ended = record.ended.or(self.ended);
        // Of a mail that is being sent, the history may know the reply already.
        if record.state != MailState::Sending {
            self.state = record.state;
        }
    }

    fn weight(&self) -> Weight {
        match self.state {
            MailState::Received | MailState::Left if !self.is_late => Weight::Good,
            state if state.is_open() && !self.is_late => Weight::Open,
            _ => Weight::Bad,
        }
    }
}

impl Outcome {
    /// In one word, for JSON.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Unmeasured => "unmeasured",
            Outcome::Deferred => "deferred",
            Outcome::NotAccepted => "failed",
            Outcome::Is(MailState::Left) => "not_applicable",
            Outcome::Is(state) => state.label(),
        }
    }
}

#[cfg(test)]
mod tests;
