//! The account of a target as the loops see it: one method for each event, the time is now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{debug, info, warn};

use super::ledger::{
    Attempt, Ledger, LookStyle, Moment, Reading, Rules, Sighting, Snapshot, Verdict,
};
use super::message::Token;
use crate::config::TargetName;
use crate::mail::{Failure, Side, Stage};

/// A ledger that several tasks write to. The lock is held for one event, never across an await.
pub struct Account {
    name: TargetName,
    ledger: Mutex<Ledger>,
}

impl Moment {
    /// The time now. The monotonic clock is tokio's, so that a test may stop it.
    pub fn now() -> Self {
        Self { instant: tokio::time::Instant::now().into_std(), wall: SystemTime::now() }
    }
}

impl Account {
    /// An empty account.
    pub fn new(name: TargetName, rules: Rules) -> Self {
        Self { name, ledger: Mutex::new(Ledger::new(rules)) }
    }

    /// The target's name.
    pub fn name(&self) -> &TargetName {
        &self.name
    }

    /// Goes by other rules from now on; the mails under way stay.
    pub fn set_rules(&self, rules: Rules) {
        self.ledger().set_rules(rules);
    }

    /// See [`Ledger::period_began`].
    pub fn period_began(&self) {
        self.ledger().period_began(Moment::now());
    }

    /// See [`Ledger::periods_skipped`].
    pub fn periods_skipped(&self, count: u64) {
        self.ledger().periods_skipped(count);
        warn!(target = %self.name, count, "a period was skipped: the one before was still sending");
    }

    /// See [`Ledger::sending`].
    pub fn sending(&self, tokens: &[Token]) {
        let mut ledger = self.ledger();
        for token in tokens {
            ledger.sending(*token);
        }
    }

    /// See [`Ledger::sending_abandoned`].
    pub fn sending_abandoned(&self) {
        self.ledger().sending_abandoned(Moment::now());
    }

    /// See [`Ledger::accepted`].
    pub fn accepted(&self, token: Token, transmitted: Instant) {
        self.ledger().accepted(token, transmitted, Moment::now());
        debug!(target = %self.name, side = "send", %token, "accepted");
    }

    /// See [`Ledger::not_accepted`].
    pub fn not_accepted(&self, token: Token, failure: &Failure, is_doubtful: bool) {
        self.ledger().not_accepted(token, failure, is_doubtful, Moment::now());
        debug!(target = %self.name, side = "send", %token, is_doubtful, stage = %failure.stage,
            reason = %failure.reason, error = %failure, "not accepted");
    }

    /// See [`Ledger::send_ended`].
    pub fn send_ended(&self, accepted: u32, total: u32, attempt: &Attempt) {
        let mut ledger = self.ledger();
        let now = Moment::now();
        let before = ledger.snapshot(now).send_ability;
        ledger.send_ended(accepted, total, attempt, now);
        let after = ledger.snapshot(now).send_ability;
        drop(ledger);
        self.log_change(
            Side::Send,
            before.map(|share| share > 0.0),
            after.map(|share| share > 0.0),
            attempt,
        );
    }

    /// See [`Ledger::check_ended`].
    pub fn check_ended(&self, attempt: &Attempt) {
        let mut ledger = self.ledger();
        let now = Moment::now();
        let before = ledger.snapshot(now).receive_ability;
        ledger.check_ended(attempt, now);
        let after = ledger.snapshot(now).receive_ability;
        drop(ledger);
        self.log_change(Side::Receive, before, after, attempt);
    }

    /// See [`Ledger::look_failed`].
    pub fn look_failed(&self, failure: &Failure) {
        self.ledger().look_failed(failure, Moment::now());
        debug!(target = %self.name, side = "receive", stage = %failure.stage,
            reason = %failure.reason, error = %failure, "a look failed");
    }

    /// See [`Ledger::removed`].
    pub fn removed(&self, stages: &[(Stage, Duration)]) {
        self.ledger().removed(stages);
    }

    /// See [`Ledger::seen`].
    pub fn seen(&self, token: Token, sighting: Sighting) -> Verdict {
        let verdict = self.ledger().seen(token, sighting, Moment::now());
        debug!(target = %self.name, side = "receive", %token, ?verdict, "seen");
        verdict
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

    /// See [`Ledger::is_sending`].
    pub fn is_sending(&self) -> bool {
        self.ledger().is_sending()
    }

    /// See [`Ledger::lost_after`].
    pub fn lost_after(&self) -> Duration {
        self.ledger().lost_after()
    }

    /// Everything that is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.ledger().snapshot(Moment::now())
    }

    /// One line when a side changes its state, none while it stays as it is.
    fn log_change(
        &self,
        side: Side,
        before: Reading<bool>,
        after: Reading<bool>,
        attempt: &Attempt,
    ) {
        for failure in &attempt.failures {
            debug!(target = %self.name, %side, stage = %failure.stage, reason = %failure.reason,
                error = %failure, "failed");
        }
        if before == after {
            return;
        }
        let name = &self.name;
        match (after, attempt.failures.first()) {
            (Reading::Is(true), _) => info!(target = %name, %side, "able to {side}"),
            (Reading::Is(false), Some(failure)) => {
                warn!(target = %name, %side, stage = %failure.stage, reason = %failure.reason,
                    error = %failure, "not able to {side}");
            }
            (Reading::NotApplicable, Some(failure)) => {
                info!(target = %name, %side, stage = %failure.stage, reason = %failure.reason,
                    error = %failure, "the passive node is down");
            }
            _ => {}
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // A panic in the pure ledger is a bug; its counters are still better than none.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Reading<T> {
    /// The same reading of something that follows from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Reading::Unmeasured => Reading::Unmeasured,
            Reading::NotApplicable => Reading::NotApplicable,
            Reading::Is(value) => Reading::Is(f(value)),
        }
    }
}
