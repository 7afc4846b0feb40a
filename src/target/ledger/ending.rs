//! How the wait for a mail ends: it has become late and lost, it is doubtful, it has left; and how
//! long the ended ones are remembered.

use std::time::Instant;

use super::{Ledger, Moment, Reading};
use crate::target::message::Token;

/// How many ended mails are remembered at most, so that one that turns up again is known.
pub(super) const REMEMBERED: usize = 10_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) token: Token,
    pub(super) how: Ending,
    pub(super) at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Received,
    Doubtful,
    Lost,
    Bounced,
    Left,
}

impl Ending {
    /// Whether the mail has arrived; `None` if that tells nothing of the delivery.
    pub(super) fn arrived(self) -> Option<bool> {
        match self {
            Ending::Received => Some(true),
            Ending::Lost | Ending::Bounced => Some(false),
            Ending::Doubtful | Ending::Left => None,
        }
    }
}

impl Ledger {
    /// Nobody knows whether the server has it; if it was seen already, it has returned.
    pub(super) fn doubt(&mut self, token: Token, was_seen: bool, now: Moment) {
        self.totals.probes += 1;
        self.totals.doubtful += 1;
        self.end(token, Ending::Doubtful, now);
        if was_seen {
            self.totals.returned += 1;
            self.end(token, Ending::Received, now);
        }
    }

    pub(super) fn leave(&mut self, now: Moment) {
        while let Some(mail) = self.outstanding.pop_front() {
            self.totals.left += 1;
            self.end(mail.token, Ending::Left, now);
        }
    }

    /// Marks what has become late, ends what has become lost, forgets what ended long ago. Needs no
    /// timer: it runs before every event and every snapshot.
    pub(super) fn expire(&mut self, now: Moment) {
        self.follow_wall_clock(now);
        // What nobody can look for is not late: it leaves with the outage, or is seen after it.
        if !self.send.is_not_applicable() && !self.receive.is_not_applicable() {
            self.expire_outstanding(now);
        }
        let age = |since: Instant| now.instant.saturating_duration_since(since);
        while let Some(oldest) = self.ended.front()
            && age(oldest.at) >= self.rules.lost_after
        {
            self.forget_oldest();
        }
    }

    /// After the wall clock was set, what happened before it has another date: ages come from the
    /// monotonic clock, and the dates that are shown and kept go with it.
    fn follow_wall_clock(&mut self, now: Moment) {
        let Some(step) = self.wall_clock.step(now) else { return };
        for mail in &mut self.outstanding {
            mail.accepted.wall = step.correct(mail.accepted.wall);
            self.journal.touch(mail.token);
        }
        for (token, sending) in &mut self.sending {
            sending.began.wall = step.correct(sending.began.wall);
            self.journal.touch(*token);
        }
        for state in [&mut self.send, &mut self.receive] {
            state.last_attempt = state.last_attempt.map(|date| step.correct(date));
            state.last_success = state.last_success.map(|date| step.correct(date));
        }
        self.journal.follow(step);
    }

    fn expire_outstanding(&mut self, now: Moment) {
        let age = |since: Instant| now.instant.saturating_duration_since(since);
        for mail in &mut self.outstanding {
            if age(mail.accepted.instant) < self.rules.late_after {
                break;
            }
            if !mail.is_late {
                mail.is_late = true;
                self.journal.touch(mail.token);
                self.totals.late += 1;
            }
        }
        while let Some(oldest) = self.outstanding.front()
            && age(oldest.accepted.instant) >= self.rules.lost_after
        {
            self.lose_oldest(now);
        }
    }

    pub(super) fn lose_oldest(&mut self, now: Moment) {
        if let Some(mail) = self.outstanding.pop_front() {
            self.totals.lost += 1;
            self.end(mail.token, Ending::Lost, now);
        }
    }

    pub(super) fn ending_of(&self, token: Token) -> Option<Ending> {
        self.ended.iter().find(|ended| ended.token == token).map(|ended| ended.how)
    }

    pub(super) fn end(&mut self, token: Token, how: Ending, now: Moment) {
        self.ended.retain(|ended| ended.token != token);
        self.ended.push_back(Ended { token, how, at: now.instant });
        self.newest_end = how.arrived().map_or(self.newest_end, Reading::Is);
        self.journal.touch(token);
        if self.ended.len() > REMEMBERED {
            self.forget_oldest();
        }
    }

    pub(super) fn forget_oldest(&mut self) {
        if let Some(mail) = self.ended.pop_front() {
            self.journal.touch(mail.token);
        }
    }
}
