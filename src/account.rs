//! The account of a target as the loops see it: one method for each event, the time is now. What an
//! event has changed goes to the store, and beside the ledger the history keeps the evidence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::config::TargetName;
use crate::store::Store;
use attempts::Progress;
use history::{Archive, Evidence, History, Probe};
use ledger::Action;
use ledger::Token;
use ledger::{
    Awaited, Ledger, LookStyle, Notice, NoticeVerdict, Rules, Servers, Sighting, Snapshot,
    StoredAccount, Transmission, Verdict,
};
use ledger::{Failure, Step};
use mail::inspection::Inspection;
use mail::throttle::LogThrottle;
use reached::Reached;
use side_log::TargetLog;

pub mod advice;
mod attempts;
pub mod history;
pub mod reached;
mod side_log;

/// A ledger that several tasks write to. Its lock is held for one event, never across an await and
/// never while the store is spoken to.
pub struct Account {
    name: TargetName,
    ledger: Mutex<Ledger>,
    /// Told to the ledger whenever it is asked; its lock is taken inside that of the ledger.
    progress: Mutex<Progress>,
    /// What the newest mail told whose header was read; it ends with the process.
    inspection: Mutex<Option<Arc<Inspection>>>,
    history: Mutex<History>,
    reached: watch::Sender<Reached>,
    log: Mutex<TargetLog>,
    /// `None`: it ends with the process.
    store: Option<Arc<Store>>,
    /// Held from taking the changes to handing them over, so that the store sees them in order.
    handing_over: Mutex<()>,
    /// When notices and failures in the sender's mailbox were last told of in the log.
    notices: Mutex<LogThrottle>,
    sender_mailbox_failures: Mutex<LogThrottle>,
    remarks: Mutex<LogThrottle>,
    /// Whether nobody looks for its mails among the junk.
    lacks_junk_folder: AtomicBool,
}

impl Account {
    /// An empty account that ends with the process.
    pub fn new(name: TargetName, rules: Rules) -> Self {
        Self {
            name,
            ledger: Mutex::new(Ledger::new(rules)),
            progress: Mutex::new(Progress::new()),
            inspection: Mutex::default(),
            history: Mutex::new(History::new(Archive::new(Archive::MOST_BYTES))),
            reached: watch::Sender::default(),
            log: Mutex::default(),
            store: None,
            handing_over: Mutex::new(()),
            notices: Mutex::default(),
            sender_mailbox_failures: Mutex::default(),
            remarks: Mutex::default(),
            lacks_junk_folder: AtomicBool::new(false),
        }
    }

    /// The account that the store has kept, and goes on keeping.
    pub fn restore(
        name: TargetName,
        rules: Rules,
        stored: &StoredAccount,
        store: Arc<Store>,
    ) -> Self {
        let ledger = Ledger::restore(rules, stored, crate::clock::now());
        let account =
            Self { ledger: Mutex::new(ledger), store: Some(store), ..Self::new(name, rules) };
        account.history().restore(stored);
        account.keep();
        account
    }

    /// Files its transcripts in this archive, with those of other targets. For the beginning: what
    /// was filed before stays where it is.
    #[must_use]
    pub fn with_archive(self, archive: Arc<Archive>) -> Self {
        self.history().set_archive(archive);
        self
    }

    /// The target's name.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// Goes by other rules from now on; the mails under way stay.
    pub fn set_rules(&self, rules: Rules) {
        self.ledger().set_rules(rules, crate::clock::now());
    }

    /// See [`Ledger::measures`].
    pub fn measures(&self, servers: Servers) {
        self.ledger().measures(servers, crate::clock::now());
        self.keep();
    }

    /// See [`Ledger::period_began`].
    pub fn period_began(&self) {
        self.ledger().period_began(crate::clock::now());
        self.keep();
    }

    /// See [`Ledger::sending`]. Waits until the store has it, for a second at most: a mail that goes
    /// out is known after whatever happens, but a store that fails does not hold it up.
    pub async fn sending(&self, tokens: &[Token]) {
        for token in tokens {
            // The history first, here and below: the ledger's record then finds its place.
            let now = crate::clock::now();
            self.history().sending(*token, now);
            self.ledger().sending(*token, now);
        }
        self.keep();
        if let Some(store) = &self.store {
            store.committed().await;
        }
    }

    /// See [`Ledger::accepted`].
    pub fn accepted(&self, token: Token, transmission: &Transmission) {
        let now = crate::clock::now();
        self.history().accepted(token, transmission.began, now);
        let early = self.ledger().accepted(token, transmission, now);
        if let Some(roundtrip) = early {
            self.history().arrived_early(token, roundtrip);
        }
        self.keep();
        debug!(target = %self.name, side = "send", %token, "accepted");
    }

    /// See [`Ledger::not_accepted`].
    pub fn not_accepted(&self, token: Token, failure: &Failure, is_doubtful: bool) {
        self.history().not_accepted(token, failure);
        self.ledger().not_accepted(token, failure, is_doubtful, crate::clock::now());
        self.keep();
        debug!(target = %self.name, side = "send", %token, is_doubtful, step = %failure.step,
            reason = %failure.reason, error = %failure, "not accepted");
    }

    /// The newest connection of each side, and word of each new one.
    pub fn reached(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    /// See [`Ledger::looked`].
    pub fn looked(&self) {
        self.ledger().looked(crate::clock::now());
        self.keep();
    }

    /// See [`Ledger::looked_everywhere`] and [`Ledger::looks_lie_apart`].
    pub fn looked_everywhere(&self, asked: Option<Instant>, gap: Duration) {
        let mut ledger = self.ledger();
        ledger.looks_lie_apart(gap);
        if let Some(asked) = asked {
            ledger.looked_everywhere(asked, crate::clock::now());
        }
        drop(ledger);
        self.keep();
    }

    /// See [`Ledger::is_look_due`].
    pub fn is_look_due(&self) -> bool {
        self.ledger().is_look_due(crate::clock::now())
    }

    /// See [`Ledger::looks_soon`].
    pub fn looks_soon(&self, style: LookStyle, soon: Duration) -> bool {
        self.ledger().looks_soon(style, soon)
    }

    /// See [`Ledger::look_failed`]; `transcript` is of the dialogue that failed.
    pub fn look_failed(&self, failure: &Failure, transcript: &str) {
        let now = crate::clock::now();
        self.ledger().look_failed(failure, now);
        self.history().look_failed(failure, transcript, now);
        self.keep();
        self.log().look_failed(&self.name, failure, transcript, now.instant);
    }

    /// See [`Ledger::removed`].
    pub fn removed(&self, steps: &[(Step, Duration)]) {
        self.ledger().removed(steps);
    }

    /// See [`Ledger::seen`].
    pub fn seen(&self, token: Token, sighting: Sighting) -> Verdict {
        let verdict = self.ledger().seen(token, sighting, crate::clock::now());
        self.history().seen(token, sighting.folder, verdict);
        self.keep();
        debug!(target = %self.name, side = "receive", %token, ?verdict, "seen");
        if let Verdict::Received { roundtrip: None, .. } = verdict {
            info!(target = %self.name, side = "receive", %token,
                "a mail was received, and nobody can tell when: the exporter was not there to look");
        }
        verdict
    }

    /// Keeps what the header of a mail has told, in place of what an earlier one told.
    pub fn inspected(&self, inspection: Inspection) {
        let mut newest = self.inspection.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.as_ref().is_none_or(|newest| newest.seen <= inspection.seen) {
            *newest = Some(Arc::new(inspection));
        }
    }

    /// What the newest mail has told; `None` before the first, and without inspection.
    pub fn inspection(&self) -> Option<Arc<Inspection>> {
        self.inspection.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets what the newest mail has told: its header is not to be read any more.
    pub fn forget_inspection(&self) {
        *self.inspection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// See [`Ledger::transmitted`].
    pub fn transmitted(&self, token: Token) -> Option<SystemTime> {
        self.ledger().transmitted(token)
    }

    /// See [`Ledger::noticed`]. Told of in the log, at most once a minute above `debug`.
    pub fn noticed(&self, notice: Notice) -> NoticeVerdict {
        let Notice { token, action, .. } = notice;
        let code = notice.code.as_deref().unwrap_or("none").to_owned();
        let server = notice.remote_server.as_deref().unwrap_or("not named").to_owned();
        let text = notice.text.as_deref().unwrap_or("none").to_owned();
        let words = [&notice.code, &notice.remote_server, &notice.text];
        let words: Vec<&str> = words.into_iter().filter_map(|part| part.as_deref()).collect();
        let words = format!("{}: {}", action.label(), words.join(" "));
        let verdict = self.ledger().noticed(notice, crate::clock::now());
        self.keep();
        if verdict != NoticeVerdict::Unknown {
            self.history().reported(token, &words);
        }
        let name = &self.name;
        let is_telling = verdict != NoticeVerdict::Unknown && action >= Action::Delayed;
        match is_telling.then(|| pass(&self.notices)).flatten() {
            Some(held_back) => {
                info!(target = %name, %token, action = action.label(), code, server, text, ?verdict,
                    held_back, "a delivery status notification came back");
            }
            None => {
                debug!(target = %name, %token, action = action.label(), code, server, text,
                    ?verdict, "a delivery status notification came back");
            }
        }
        verdict
    }

    /// See [`Ledger::sender_mailbox_visited`]. Told of in the log: a failure at most once a minute.
    pub fn sender_mailbox_visited(&self, failure: Option<&Failure>) {
        let before = self.ledger().sender_mailbox_visited(failure, crate::clock::now());
        let name = &self.name;
        match failure {
            // The log tells once for all targets.
            Some(failure) if failure.shortage.is_some() => {}
            Some(failure) => {
                if let Some(held_back) = pass(&self.sender_mailbox_failures) {
                    warn!(target = %name, step = %failure.step, reason = %failure.reason,
                        error = %failure, held_back, "the sender's mailbox cannot be looked into");
                }
            }
            None if before == Some(false) => {
                info!(target = %name, "the sender's mailbox can be looked into again");
            }
            None => {}
        }
    }

    /// Something about the mailbox is told in the log, at most once a minute above `debug`.
    pub fn remark(&self, words: &str) {
        match pass(&self.remarks) {
            Some(held_back) => warn!(target = %self.name, side = "receive", held_back, "{words}"),
            None => debug!(target = %self.name, side = "receive", "{words}"),
        }
    }

    /// Whether the folder for junk that is named by its use is not there, so that nobody looks into one.
    pub fn set_lacks_junk_folder(&self, lacks: bool) {
        self.lacks_junk_folder.store(lacks, Ordering::Relaxed);
    }

    /// See [`Account::set_lacks_junk_folder`].
    pub fn lacks_junk_folder(&self) -> bool {
        self.lacks_junk_folder.load(Ordering::Relaxed)
    }

    /// See [`Ledger::is_awaited`].
    pub fn is_awaited(&self, token: Token) -> bool {
        self.ledger().is_awaited(token)
    }

    /// See [`Ledger::next_notice_look`].
    pub fn next_notice_look(
        &self,
        style: LookStyle,
        last_look: Option<Instant>,
    ) -> Option<Instant> {
        self.ledger().next_notice_look(style, last_look)
    }

    /// See [`Ledger::is_live`].
    pub fn is_live(&self, token: Token) -> bool {
        self.ledger().is_live(token)
    }

    /// See [`Ledger::next_look`].
    pub fn next_look(&self, style: LookStyle, last_look: Option<Instant>) -> Option<Instant> {
        self.ledger().next_look(style, last_look)
    }

    /// See [`Ledger::oldest_outstanding`].
    pub fn oldest_outstanding(&self) -> Option<SystemTime> {
        self.ledger().oldest_outstanding()
    }

    /// See [`Ledger::is_sent`].
    pub fn is_sent(&self, token: Token) -> bool {
        self.ledger().is_sent(token)
    }

    /// Whether its servers may be down without anything being wrong.
    pub fn is_passive(&self) -> bool {
        self.ledger().is_passive()
    }

    /// See [`Ledger::is_sending`].
    pub fn is_sending(&self) -> bool {
        self.ledger().is_sending()
    }

    /// See [`Ledger::is_missing_mail`].
    pub fn is_missing_mail(&self) -> bool {
        self.ledger().is_missing_mail()
    }

    /// See [`Ledger::lost_after`].
    pub fn lost_after(&self) -> Duration {
        self.ledger().lost_after()
    }

    /// Everything that is known now.
    pub fn snapshot(&self) -> Snapshot {
        let snapshot = self.ledger().snapshot(crate::clock::now());
        // Time alone makes a mail late or lost.
        self.keep();
        snapshot
    }

    /// What happened lately, newest first; ask for the [`Account::snapshot`] first, which tells
    /// late and lost mails.
    pub fn evidence(&self) -> Evidence {
        self.history().evidence()
    }

    /// See [`History::newest_probes`].
    pub fn newest_probes(&self) -> Vec<Probe> {
        self.history().newest_probes()
    }

    /// See [`Ledger::awaited`].
    pub fn awaited(&self, most: usize) -> Vec<Awaited> {
        self.ledger().awaited(most)
    }

    /// See [`Ledger::last_sent`].
    pub fn last_sent(&self) -> Option<SystemTime> {
        self.ledger().last_sent()
    }

    /// Gives the store what has changed.
    fn keep(&self) {
        let _in_order = self.handing_over.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.ledger().take_changes(crate::clock::now());
        self.history().apply(&changes);
        if let Some(store) = &self.store {
            store.record(&self.name, changes);
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // Evidence that lacks a record is still evidence.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> MutexGuard<'_, TargetLog> {
        // At worst a line is told twice.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic in the pure ledger is a bug; its counters are still better than none.
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        self.progress().tell(&mut ledger);
        ledger
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // At worst a failure is told of the step before.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event that happens now is to be told, and how many before it were not.
fn pass(gate: &Mutex<LogThrottle>) -> Option<u64> {
    gate.lock().unwrap_or_else(PoisonError::into_inner).pass(crate::clock::now().instant)
}

#[cfg(test)]
mod tests;
