//! The attempts of the two sides: how they begin and end, and what the time makes of those that do not.

use std::time::Duration;

use tokio::time::Instant;

use super::Account;
use crate::clock::{on_time_line, suspended};
use ledger::LoginDelay;
use ledger::Side;
use ledger::{Attempt, Ledger, Moment, Reading};
use mail::trace::Trace;

/// What the ledger cannot see by itself: how far the attempts under way have come, and whether the machine
/// stood still meanwhile.
#[derive(Debug)]
pub(super) struct Progress {
    traces: [Option<Trace>; 2],
    suspended: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { traces: [None, None], suspended: suspended() }
    }

    /// Tells the ledger, before anything else is asked of it.
    pub(super) fn tell(&mut self, ledger: &mut Ledger) {
        let suspended = suspended();
        let more = suspended.saturating_sub(self.suspended);
        if !more.is_zero() {
            ledger.stood_still(more);
        }
        self.suspended = suspended;
        for (side, trace) in Side::ALL.into_iter().zip(&self.traces) {
            if let Some(trace) = trace {
                let (step, is_heard) = trace.progress();
                ledger.attempt_reached(side, step, !is_heard);
            }
        }
    }

    fn set(&mut self, side: Side, trace: Option<Trace>) {
        if let Some(known) = self.traces.get_mut(side as usize) {
            *known = trace;
        }
    }
}

impl Account {
    /// An attempt on a side begins, with this record. At `deadline` it is a failure, whatever becomes of
    /// whoever makes it: see [`Ledger::attempt_began`].
    pub fn attempt_began(&self, side: Side, deadline: Instant, trace: &Trace) {
        self.progress().set(side, None);
        self.ledger().attempt_began(side, on_time_line(deadline), crate::clock::now());
        self.progress().set(side, Some(trace.clone()));
    }

    /// See [`Ledger::send_ended`].
    pub fn send_ended(&self, accepted: u32, total: u32, attempt: &Attempt) {
        let mut ledger = self.ledger();
        let now = crate::clock::now();
        ledger.send_ended(accepted, total, attempt, now);
        let ability = ledger.snapshot(now).send_ability.map(|share| share > 0.0);
        drop(ledger);
        self.attempt_ended(Side::Send, ability, attempt, now);
    }

    /// See [`Ledger::check_ended`].
    pub fn check_ended(&self, attempt: &Attempt) {
        let mut ledger = self.ledger();
        let now = crate::clock::now();
        ledger.check_ended(attempt, now);
        let ability = ledger.snapshot(now).receive_ability;
        drop(ledger);
        self.attempt_ended(Side::Receive, ability, attempt, now);
    }

    /// See [`Ledger::check_abandoned`].
    pub fn check_abandoned(&self) {
        self.ledger().check_abandoned(crate::clock::now());
        self.progress().set(Side::Receive, None);
    }

    /// See [`Ledger::sending_abandoned`].
    pub fn sending_abandoned(&self) {
        self.ledger().sending_abandoned(crate::clock::now());
        self.progress().set(Side::Send, None);
        self.keep();
    }

    /// See [`Ledger::periods_skipped`].
    pub fn periods_skipped(&self, count: u64) {
        self.ledger().periods_skipped(count);
        self.keep();
        self.log().periods_skipped(&self.name, count, crate::clock::now().instant);
    }

    /// See [`Ledger::checks_skipped`].
    pub fn checks_skipped(&self, count: u64) {
        self.ledger().checks_skipped(count);
        self.keep();
    }

    /// See [`Ledger::checks_are_made_every`].
    pub fn checks_are_made_every(&self, interval: Duration, longest: Duration) {
        self.ledger().checks_are_made_every(interval, longest, crate::clock::now());
    }

    /// See [`Ledger::logins_lie_apart`]; the log is told once what it means for checks that are to be
    /// made once a `period`.
    pub fn logins_lie_apart(&self, delay: LoginDelay, period: Duration) {
        let before = self.ledger().logins_lie_apart(delay);
        if before != delay {
            self.log().login_delay(&self.name, delay, period);
        }
    }

    /// Whether an attempt on this side is under way that was to be over long ago.
    pub fn has_overrun(&self, side: Side) -> bool {
        self.snapshot();
        self.ledger().has_overrun(side)
    }

    /// The new state of a side and what led to it, for the history and the log.
    fn attempt_ended(&self, side: Side, ability: Reading<bool>, attempt: &Attempt, now: Moment) {
        self.progress().set(side, None);
        self.reached.send_modify(|reached| reached.note(side, attempt));
        self.history().attempt_ended(side, attempt, now);
        self.keep();
        self.log().attempt_ended(&self.name, side, ability, attempt, now.instant);
    }
}
