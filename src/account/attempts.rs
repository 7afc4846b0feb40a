//! The attempts of the two sides: how they begin and end, and what the time makes of those that do not.

use std::time::Duration;

use tokio::time::Instant;

use super::{Account, side_log};
use crate::clock::{on_time_line, suspended};
use ledger::LoginDelay;
use ledger::Side;
use ledger::{Attempt, Ledger, Moment, Reading, Snapshot};
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

    /// Enters it into the ledger, before anything else is done with that.
    pub(super) fn report_to(&mut self, ledger: &mut Ledger) {
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

/// Why a period does not begin when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// The one before is still sending.
    Sending,
    /// No connection is free to the server and account: `max_connections`.
    Connection,
    /// As many test mails begin as may at one time: `max_concurrent_probes`.
    Place,
    /// The exporter itself is late by a period or more.
    Exporter,
}

impl Delay {
    /// What is told of a period that is skipped because of it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Sending => "the previous one was still sending",
            Self::Connection => {
                "the one before still waits for a free connection (`max_connections`)"
            }
            Self::Place => "the one before still waits for a place among `max_concurrent_probes`",
            Self::Exporter => "the exporter was late by a period",
        }
    }
}

/// The ability of a side as the log tells it; nothing of mails that must not pass.
fn shown(snapshot: &Snapshot, ability: Reading<bool>) -> Reading<bool> {
    if snapshot.expectation.is_some() { Reading::Unmeasured } else { ability }
}

impl Account {
    /// An attempt on a side begins, with this record. At `deadline` it is a failure, whatever becomes of
    /// whoever makes it: see [`Ledger::attempt_began`].
    pub fn attempt_began(&self, side: Side, deadline: Instant, trace: &Trace) {
        let mut state = self.lock();
        // The record of an attempt before says nothing of this one.
        state.progress.set(side, None);
        state.catch_up();
        state.ledger.attempt_began(side, on_time_line(deadline), crate::clock::now());
        state.progress.set(side, Some(trace.clone()));
    }

    /// See [`Ledger::send_ended`].
    pub fn send_ended(&self, accepted: u32, total: u32, attempt: &Attempt) {
        self.attempt_ended(Side::Send, attempt, |ledger, now| {
            ledger.send_ended(accepted, total, attempt, now);
            let snapshot = ledger.snapshot(now);
            shown(&snapshot, snapshot.send_ability.map(|share| share > 0.0))
        });
    }

    /// See [`Ledger::check_ended`].
    pub fn check_ended(&self, attempt: &Attempt) {
        self.attempt_ended(Side::Receive, attempt, |ledger, now| {
            ledger.check_ended(attempt, now);
            let snapshot = ledger.snapshot(now);
            shown(&snapshot, snapshot.receive_ability)
        });
    }

    /// See [`Ledger::check_abandoned`].
    pub fn check_abandoned(&self) {
        self.with(|state, now| {
            state.ledger.check_abandoned(now);
            state.progress.set(Side::Receive, None);
        });
    }

    /// See [`Ledger::sending_abandoned`].
    pub fn sending_abandoned(&self) {
        self.change(|state, now| {
            state.ledger.sending_abandoned(now);
            state.progress.set(Side::Send, None);
        });
    }

    /// See [`Ledger::periods_skipped`]; the log says why.
    pub fn periods_skipped(&self, count: u64, why: Delay) {
        let passed = self.change(|state, now| {
            state.ledger.periods_skipped(count);
            state.log().periods_skipped(now.instant)
        });
        side_log::log_skipped_periods(self.name(), count, why, passed);
    }

    /// See [`Ledger::logins_lie_apart`]; it is logged once what that means for checks that are to be
    /// made once a `period`.
    pub fn logins_lie_apart(&self, delay: LoginDelay, period: Duration) {
        let before = self.with(|state, _| state.ledger.logins_lie_apart(delay));
        if before != delay {
            side_log::log_login_delay(self.name(), delay, period);
        }
    }

    /// Whether an attempt on this side is under way that was to be over long ago.
    pub fn has_overrun(&self, side: Side) -> bool {
        self.update(|ledger, now| {
            ledger.snapshot(now);
            ledger.has_overrun(side)
        })
    }

    /// An attempt is over: `enter` enters it and gives the new state of its side.
    fn attempt_ended(
        &self,
        side: Side,
        attempt: &Attempt,
        enter: impl FnOnce(&mut Ledger, Moment) -> Reading<bool>,
    ) {
        let change = self.change(|state, now| {
            let ability = enter(&mut state.ledger, now);
            state.progress.set(side, None);
            state.history().attempt_ended(side, attempt, now);
            state.log().attempt_ended(side, ability, attempt, now.instant)
        });
        self.reached.note(side, attempt);
        side_log::log_attempt(self.name(), side, attempt, change);
    }
}
