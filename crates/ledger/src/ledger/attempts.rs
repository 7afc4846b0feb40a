//! What the attempts of the two sides come to: a send each period, and a check of the mailbox.

use std::sync::Arc;

use super::{Attempt, Ledger, Moment, Reading};
use crate::{Failure, Side, Token};

impl Ledger {
    /// Whether this mail is just being sent.
    pub fn is_sent(&self, token: Token) -> bool {
        self.sending.contains_key(&token)
    }

    /// Whether a mail is just being sent.
    pub fn is_sending(&self) -> bool {
        !self.sending.is_empty()
    }

    /// The sending of a period is over: of `total` mails so many were accepted. Nothing is measured if
    /// none was, for want of something of our own.
    pub fn send_ended(&mut self, accepted: u32, total: u32, attempt: &Attempt, now: Moment) {
        if self.is_of_another(Side::Send, &attempt.server) {
            self.ended_elsewhere(Side::Send, attempt, now);
            return;
        }
        if self.was_overrun(Side::Send, attempt, now) {
            return;
        }
        self.settle_send(accepted, total, attempt, now);
    }

    /// A check of the mailbox is over; it has failed if the attempt holds a failure. Nothing is
    /// measured if that is for want of something of our own.
    pub fn check_ended(&mut self, attempt: &Attempt, now: Moment) {
        if self.is_of_another(Side::Receive, &attempt.server) {
            self.ended_elsewhere(Side::Receive, attempt, now);
            return;
        }
        if self.was_overrun(Side::Receive, attempt, now) {
            return;
        }
        self.settle_check(attempt, now);
    }

    /// Nobody told the end of an attempt, and it is a failure by its deadline.
    pub(super) fn settle_overrun(&mut self, side: Side, failure: Failure, now: Moment) {
        let attempt = Attempt { failures: vec![failure], ..Attempt::default() };
        match side {
            Side::Send => self.settle_send(0, 1, &attempt, now),
            Side::Receive => self.settle_check(&attempt, now),
        }
    }

    /// An attempt is over that was made on a server which the target has no longer: it counts, and is no
    /// measurement of the one it has.
    fn ended_elsewhere(&mut self, side: Side, attempt: &Attempt, now: Moment) {
        self.expire(now);
        self.schedules[side].abandon();
        if attempt.is_unmeasured() {
            return;
        }
        let is_down = attempt.failures.iter().any(|failure| failure.down);
        let passive = self.rules.passive;
        let state = &mut self.sides[side];
        if passive && is_down {
            state.not_applicable += 1;
            return;
        }
        let newest = state.last_failure.take();
        for failure in &attempt.failures {
            state.count(failure, now);
        }
        state.last_failure = newest;
        if side == Side::Receive {
            self.totals.checks += 1;
            self.totals.check_failures += u64::from(!attempt.failures.is_empty());
        }
    }

    /// Whether the attempt that ends was a failure by its deadline already: it is not judged twice, and
    /// what came after the deadline is no success.
    fn was_overrun(&mut self, side: Side, attempt: &Attempt, now: Moment) -> bool {
        if !attempt.failures.is_empty() {
            self.schedules[side].is_told(now);
        }
        self.expire(now);
        self.schedules[side].end(now)
    }

    fn settle_send(&mut self, accepted: u32, total: u32, attempt: &Attempt, now: Moment) {
        self.sides.send.is_outlived = false;
        if attempt.is_unmeasured() && accepted == 0 {
            self.send_ability = Reading::Unmeasured;
            self.sides.send.steps = Arc::default();
            return;
        }
        // What was not measured is no part of the share.
        let total = if attempt.is_unmeasured() { accepted } else { total };
        let is_down = attempt.failures.iter().any(|failure| failure.down);
        self.record(Side::Send, is_down, accepted > 0, attempt, now);
        self.send_ability = if self.sides.send.is_not_applicable() {
            Reading::NotApplicable
        } else {
            Reading::Is(f64::from(accepted) / f64::from(total.max(1)))
        };
    }

    fn settle_check(&mut self, attempt: &Attempt, now: Moment) {
        self.sides.receive.is_outlived = false;
        if attempt.is_unmeasured() {
            self.receive_ability = Reading::Unmeasured;
            self.sides.receive.steps = Arc::default();
            return;
        }
        let has_passed = attempt.failures.is_empty();
        let is_down = attempt.failures.iter().any(|failure| failure.down);
        self.settle_broken_off(is_down, now);
        self.record(Side::Receive, is_down, has_passed, attempt, now);
        if self.sides.receive.is_not_applicable() {
            self.receive_ability = Reading::NotApplicable;
            return;
        }
        self.receive_ability = Reading::Is(has_passed);
        self.totals.checks += 1;
        self.totals.check_failures += u64::from(!has_passed);
    }

    /// Notes an attempt on a side. While a passive target is down it is no failure, and the mails
    /// under way leave the account.
    fn record(
        &mut self,
        side: Side,
        is_down: bool,
        succeeded: bool,
        attempt: &Attempt,
        now: Moment,
    ) {
        let passive = self.rules.passive;
        let state = &mut self.sides[side];
        state.up = Some(!is_down);
        state.last_attempt = Some(now.wall);
        state.steps = attempt.steps.as_slice().into();
        state.address = attempt.address;
        // An attempt that failed before TLS says nothing about it; one that needed none does.
        if attempt.tls.is_some() || attempt.failures.is_empty() {
            state.tls = attempt.tls.clone().map(Arc::new);
        }
        if passive && is_down {
            state.not_applicable += 1;
            state.consecutive_failures = Reading::NotApplicable;
            self.availability.recovered(side, now.wall);
            self.leave(now);
            return;
        }
        for failure in &attempt.failures {
            state.count(failure, now);
        }
        if self.rules.expectation.is_some() {
            // Whether all is as it should be tells the expectation.
            state.consecutive_failures = Reading::NotApplicable;
            if attempt.failures.is_empty() {
                state.last_success = Some(now.wall);
            }
            return;
        }
        let before = state.consecutive_failures.value().unwrap_or(0);
        if succeeded {
            state.last_success = Some(now.wall);
            state.consecutive_failures = Reading::Is(0);
            self.availability.recovered(side, now.wall);
            return;
        }
        state.consecutive_failures = Reading::Is(before.saturating_add(1));
        if let Some(first) = attempt.failures.iter().find(|failure| failure.shortage.is_none()) {
            // By its deadline, whenever that was noticed.
            let over = self.schedules[side].overran_at().unwrap_or(now.instant);
            self.availability.failed(side, first, now.date_of(over));
        }
    }
}
