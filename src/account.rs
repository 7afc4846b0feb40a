//! The account of a target as the loops see it: the ledger under one lock, with the store, the evidence
//! and the log. What an event has changed is handed to the store under the same lock, so that the store
//! sees the changes in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{debug, info, warn};

use crate::clock::for_timer;
use crate::config::TargetName;
use crate::store::{KeptInspection, Store};
use history::{Archive, Evidence, History, Probe};
use ledger::Action;
use ledger::Failure;
use ledger::Side;
use ledger::Token;
use ledger::{
    Availability, DeliveryReport, Ledger, Moment, Reading, ReportOutcome, Rules, Sighting,
    SightingOutcome, Snapshot, StoredAccount, Transmission,
};
use mail::inspection::Inspection;
use state::State;
use usual::Learned;

pub use attempts::Delay;
pub use usual::UsualWay;

pub mod advice;
mod attempts;
pub mod history;
pub mod reached;
mod side_log;
mod sizes;
mod state;
mod usual;

/// A ledger that several tasks write to. Its lock is held for one event, never across an await and
/// never while a line is logged; the store takes what it is handed without waiting for the disk.
pub struct Account {
    name: TargetName,
    state: Mutex<State>,
    sizes: sizes::Sizes,
    reached: reached::Watch,
    /// `None`: it ends with the process.
    store: Option<Arc<Store>>,
}

impl Account {
    /// An empty account that ends with the process.
    pub fn new(name: TargetName, rules: Rules) -> Self {
        Self::of(name, Ledger::new(rules), None)
    }

    /// The account that the store has kept, and goes on keeping.
    pub fn restore(
        name: TargetName,
        rules: Rules,
        stored: &StoredAccount,
        store: Arc<Store>,
    ) -> Self {
        let ledger = Ledger::restore(rules, stored, crate::clock::now());
        let account = Self::of(name, ledger, Some(store));
        account.change(|state, _| {
            if !stored.mails.is_empty() {
                state.history().restore(stored);
            }
        });
        account
    }

    fn of(name: TargetName, ledger: Ledger, store: Option<Arc<Store>>) -> Self {
        let state = Mutex::new(State::new(ledger));
        let (sizes, reached) = (sizes::Sizes::default(), reached::Watch::default());
        Self { name, state, sizes, reached, store }
    }

    /// Files its transcripts in this archive, with those of other targets. For the beginning: what
    /// was filed before stays where it is.
    #[must_use]
    pub fn with_archive(self, archive: Arc<Archive>) -> Self {
        self.with(|state, _| state.set_archive(archive));
        self
    }

    /// The target's name.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// The newest connection of each side, and word of each new one.
    pub fn reached(&self) -> &reached::Watch {
        &self.reached
    }

    /// Reads the ledger as it is now. The lock is held meanwhile: no reading may wait.
    pub fn read<T>(&self, read: impl FnOnce(&Ledger, Moment) -> T) -> T {
        self.with(|state, now| read(&state.ledger, now))
    }

    /// Enters an event that happens now and concerns the ledger alone, and persists what it changes. The
    /// lock is held meanwhile: no event may wait.
    pub fn update<T>(&self, event: impl FnOnce(&mut Ledger, Moment) -> T) -> T {
        self.change(|state, now| event(&mut state.ledger, now))
    }

    /// See [`Ledger::sending_by`]. Waits until the store has it, for a second at most: a mail that goes
    /// out is known after whatever happens, but a store that fails does not hold it up.
    pub async fn sending(&self, server: &str, tokens: &[Token]) {
        self.change(|state, _| {
            for token in tokens {
                // The history first, here and below: the ledger's record then finds its place.
                let now = crate::clock::now();
                state.history().sending(*token, now);
                state.ledger.sending_by(server, *token, now);
            }
        });
        if let Some(store) = &self.store {
            store.committed().await;
        }
    }

    /// See [`Ledger::accepted`].
    pub fn accepted(&self, token: Token, transmission: &Transmission) {
        self.change(|state, now| {
            state.history().accepted(token, transmission.began, now);
            let early = state.ledger.accepted(token, transmission, now);
            if let Some(roundtrip) = early {
                state.history().arrived_early(token, roundtrip);
            }
        });
        debug!(target = %self.name, side = "send", %token, "accepted");
    }

    /// A test of what must not pass is over without a mail that is waited for; see [`Ledger::judged`].
    pub fn judged(&self, server: &str, is_met: Reading<bool>, words: &str) {
        self.update(|ledger, now| ledger.judged(server, is_met, words, now));
        self.log_expectation();
    }

    /// Logs whether what must not pass passes, where that has changed.
    pub fn log_expectation(&self) {
        let change = self.change(|state, now| {
            let judged = state.ledger.newest_judgement(now)?;
            state.log().judged(judged.is_met).then_some(judged)
        });
        if let Some(judged) = change {
            side_log::log_expectation(&self.name, &judged);
        }
    }

    /// See [`Ledger::not_accepted`].
    pub fn not_accepted(&self, token: Token, failure: &Failure, is_doubtful: bool) {
        self.change(|state, now| {
            state.history().not_accepted(token, failure);
            state.ledger.not_accepted(token, failure, is_doubtful, now);
        });
        debug!(target = %self.name, side = "send", %token, is_doubtful, step = %failure.step,
            reason = %failure.reason, error = %failure, "not accepted");
    }

    /// See [`Ledger::look_failed`]; `transcript` is of the dialogue that failed.
    pub fn look_failed(&self, failure: &Failure, transcript: &str) {
        let passed = self.change(|state, now| {
            state.ledger.look_failed(failure, now);
            state.history().look_failed(failure, transcript, now);
            state.log().look_failed(failure, now.instant)
        });
        side_log::log_failed_look(&self.name, failure, transcript, passed);
    }

    /// See [`Ledger::seen`].
    pub fn seen(&self, token: Token, sighting: Sighting) -> SightingOutcome {
        let verdict = self.change(|state, now| {
            let verdict = state.ledger.seen(token, sighting, now);
            state.history().seen(token, sighting.folder, verdict);
            verdict
        });
        self.log_expectation();
        debug!(target = %self.name, side = "receive", %token, ?verdict, "seen");
        if let SightingOutcome::Received { roundtrip: None, .. } = verdict {
            info!(target = %self.name, side = "receive", %token,
                "a mail was received, but its time of arrival is unknown: the exporter was not \
                 running");
        }
        verdict
    }

    /// A mail of so many bytes is about to be handed over.
    pub fn weighs(&self, token: Token, bytes: u64) {
        self.sizes.note(token, bytes);
    }

    /// How many bytes a mail had when it was sent, if this process noted it.
    pub fn sent_bytes(&self, token: Token) -> Option<u64> {
        self.sizes.of(token)
    }

    /// Keeps what the header of a mail in this mailbox says, in place of what that of an earlier one said.
    /// A look that began before the target had another mailbox tells nothing. Where it is to be learned what
    /// is usual on the way, its way is added to that.
    pub fn inspected(&self, mailbox: Arc<str>, inspection: Inspection, learns: bool) {
        self.with(|state, _| {
            if state.ledger.is_of_another(Side::Receive, &mailbox) {
                return;
            }
            if state.inspection.as_ref().is_some_and(|newest| newest.seen > inspection.seen) {
                return;
            }
            let inspection = Arc::new(inspection);
            state.inspection = Some(Arc::clone(&inspection));
            if learns {
                state.learned.get_or_insert_default().learn(&inspection);
            } else {
                state.learned = None;
            }
            if let Some(store) = &self.store {
                let usual = state.learned.as_ref().map(|learned| learned.usual.clone());
                let kept = KeptInspection { mailbox, inspection, usual };
                store.record_inspection(&self.name, Some(kept));
            }
        });
    }

    /// With what the store has kept of the header of the newest mail. For the beginning; forgotten if it
    /// did not come to this mailbox, or headers are not to be read.
    #[must_use]
    pub fn with_inspection(self, kept: Option<KeptInspection>, mailbox: Option<&str>) -> Self {
        match kept {
            Some(kept) if mailbox == Some(&*kept.mailbox) => {
                self.with(|state, _| {
                    let restored = |usual| Learned::restored(usual, &kept.inspection).into();
                    state.learned = kept.usual.map(restored);
                    state.inspection = Some(kept.inspection);
                });
            }
            Some(_) => self.forget_inspection(),
            None => {}
        }
        self
    }

    /// What the header of the newest mail says; `None` before the first, and without inspection.
    pub fn inspection(&self) -> Option<Arc<Inspection>> {
        self.with(|state, _| state.inspection.clone())
    }

    /// The same, with what was usual on the way of that mail before it; `None` where that was not learned.
    pub fn inspection_and_usual(&self) -> (Option<Arc<Inspection>>, Option<Arc<UsualWay>>) {
        self.with(|state, _| {
            let usual = state.learned.as_ref().map(|learned| Arc::clone(&learned.way));
            (state.inspection.clone(), usual)
        })
    }

    /// Forgets what the header of the newest mail says, and what is usual: headers are not to be read any more, or that mail
    /// came to another mailbox.
    pub fn forget_inspection(&self) {
        self.with(|state, _| {
            state.inspection = None;
            state.learned = None;
            if let Some(store) = &self.store {
                store.record_inspection(&self.name, None);
            }
        });
    }

    /// See [`Ledger::delivery_reported`]. Logged at most once a minute above `debug`.
    pub fn delivery_reported(&self, notice: DeliveryReport) -> ReportOutcome {
        let DeliveryReport { token, action, .. } = notice;
        let code = notice.code.as_deref().unwrap_or("none").to_owned();
        let server = notice.remote_server.as_deref().unwrap_or("not named").to_owned();
        let text = notice.text.as_deref().unwrap_or("none").to_owned();
        let words = [&notice.code, &notice.remote_server, &notice.text];
        let words: Vec<&str> = words.into_iter().filter_map(|part| part.as_deref()).collect();
        let words = format!("{}: {}", action.label(), words.join(" "));
        let (verdict, passed) = self.change(|state, now| {
            let verdict = state.ledger.delivery_reported(notice, now);
            let is_known = verdict != ReportOutcome::Unknown;
            if is_known {
                state.history().reported(token, &words);
            }
            let is_news = is_known && action >= Action::Delayed;
            (
                verdict,
                is_news
                    .then(|| state.log().notices.pass(for_timer(now.instant).into_std()))
                    .flatten(),
            )
        });
        let name = &self.name;
        match passed {
            Some(held_back) => {
                info!(target = %name, %token, action = action.label(), code, server, text, ?verdict,
                    held_back, "delivery status notification received");
            }
            None => {
                debug!(target = %name, %token, action = action.label(), code, server, text,
                    ?verdict, "delivery status notification received");
            }
        }
        verdict
    }

    /// See [`Ledger::sender_mailbox_visited`]. A failure is logged at most once a minute.
    pub fn sender_mailbox_visited(&self, failure: Option<&Failure>) {
        // The log says once for all targets what the exporter itself is short of.
        let is_theirs = failure.is_some_and(|failure| failure.shortage.is_none());
        let (before, passed) = self.with(|state, now| {
            let before = state.ledger.sender_mailbox_visited(failure, now);
            let gate = &mut state.log().sender_mailbox_failures;
            (before, is_theirs.then(|| gate.pass(for_timer(now.instant).into_std())).flatten())
        });
        let name = &self.name;
        if let (Some(failure), Some(held_back)) = (failure, passed) {
            warn!(target = %name, step = %failure.step, reason = %failure.reason,
                error = %failure, held_back, "the sender's mailbox cannot be read");
        } else if failure.is_none() && before == Some(false) {
            info!(target = %name, "the sender's mailbox can be read again");
        }
    }

    /// Logs something about the mailbox, at most once a minute above `debug`.
    pub fn remark(&self, words: &str) {
        match self.with(|state, now| state.log().remarks.pass(for_timer(now.instant).into_std())) {
            Some(held_back) => warn!(target = %self.name, side = "receive", held_back, "{words}"),
            None => debug!(target = %self.name, side = "receive", "{words}"),
        }
    }

    /// Whether the folder for junk that is named by its use is not there, so that nobody looks into one.
    pub fn set_lacks_junk_folder(&self, lacks: bool) {
        self.with(|state, _| state.lacks_junk_folder = lacks);
    }

    /// See [`Account::set_lacks_junk_folder`].
    pub fn lacks_junk_folder(&self) -> bool {
        self.with(|state, _| state.lacks_junk_folder)
    }

    /// Everything that is known now. Time alone makes a mail late or lost, so this is persisted too.
    pub fn snapshot(&self) -> Snapshot {
        self.update(Ledger::snapshot)
    }

    /// How it was over the latest hours and days.
    pub fn availability(&self) -> Availability {
        self.update(Ledger::availability)
    }

    /// Hands the store how it was over the latest hours and days. To be called often enough: what was not
    /// handed over is lost if the process is killed. Only that an outage begins or ends is handed over at once.
    pub fn keep_availability(&self) {
        if let Some(store) = &self.store {
            self.with(|state, now| {
                let changes = state.ledger.take_availability(now);
                store.record_availability(&self.name, changes);
            });
        }
    }

    /// What happened lately, newest first; ask for the [`Account::snapshot`] first, which finds
    /// late and lost mails.
    pub fn evidence(&self) -> Evidence {
        self.with(|state, _| state.known_history().map(History::evidence)).unwrap_or_default()
    }

    /// See [`history::History::newest_probes`].
    pub fn newest_probes(&self) -> Vec<Probe> {
        self.with(|state, _| state.known_history().map(History::newest_probes)).unwrap_or_default()
    }

    /// Changes the state, and hands the store what has changed.
    fn change<T>(&self, event: impl FnOnce(&mut State, Moment) -> T) -> T {
        self.with(|state, now| {
            let outcome = event(state, now);
            self.persist(state, now);
            outcome
        })
    }

    /// Hands the store what has changed. For whoever holds the lock: the store sees it in order.
    fn persist(&self, state: &mut State, now: Moment) {
        let changes = state.take_changes(now);
        if let Some(store) = &self.store {
            store.record(&self.name, changes);
            if state.ledger.has_turned() {
                store.record_availability(&self.name, state.ledger.take_availability(now));
            }
        }
    }

    /// Works on the state as it is now, under the lock.
    fn with<T>(&self, work: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.lock();
        state.catch_up();
        work(&mut state, crate::clock::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the pure ledger is a bug; its counters are still better than none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
