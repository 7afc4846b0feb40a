//! How the wait for a mail ends: it was not accepted, it has become late and lost, it is doubtful, it has left; and how
//! long the ended ones are remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Ledger, MailState, Moment, Outstanding, Reading, Rules, Sending};
use crate::Failure;
use crate::LineInstant;
use crate::Purpose;
use crate::Token;

/// How many ended mails are remembered at most, so that one that turns up again is known.
pub(super) const REMEMBERED: usize = 10_000;

/// How long a mail that must not pass may be on its way.
const LONGEST_WAY: Duration = Duration::from_secs(24 * 3600);

/// A look that is due for a mail is waited for a period or twice the time between two looks, and not
/// less than this.
const LEAST_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) token: Token,
    pub(super) purpose: Purpose,
    pub(super) state: MailState,
    pub(super) at: LineInstant,
    /// Whether it came late, as only its date tells.
    pub(super) is_late: bool,
}

impl Outstanding {
    fn is_past(&self, age: Duration, now: Moment) -> bool {
        now.instant.saturating_duration_since(self.accepted.instant) >= age
    }

    /// Whether a look that was asked for so long `after` its acceptance has succeeded, or was waited for
    /// in vain.
    fn was_looked_for(
        &mut self,
        after: Duration,
        looked: Option<LineInstant>,
        patience: Duration,
        now: Moment,
    ) -> bool {
        let due = self.accepted.instant.checked_add(after);
        let overdue = *self.overdue.get_or_insert(now.instant);
        looked.zip(due).is_some_and(|(looked, due)| looked >= due)
            || now.instant.saturating_duration_since(overdue) >= patience
    }
}

impl Ledger {
    /// Whether what was accepted arrives. What is doubtful or left with an outage tells nothing. That mail arrived before
    /// does not hold any more once a mail is due and nobody can see whether it has come.
    pub(super) fn delivers(&self, now: Moment) -> Reading<bool> {
        if self.outstanding.front().is_some_and(|oldest| oldest.is_late) {
            return Reading::Is(false);
        }
        let oldest = self.outstanding.iter().find(|mail| !mail.is_unattended);
        let is_due = oldest.is_some_and(|mail| mail.is_past(self.rules.late_after, now));
        if is_due
            && self.receive_ability != Reading::Is(true)
            && self.newest_end == Reading::Is(true)
        {
            return Reading::Unmeasured;
        }
        self.newest_end
    }

    /// The SMTP server has not accepted a mail, because of `failure`; `is_doubtful` if it may have
    /// it nevertheless.
    pub fn not_accepted(
        &mut self,
        token: Token,
        failure: &Failure,
        is_doubtful: bool,
        now: Moment,
    ) {
        self.expire(now);
        let Some(sending) = self.take_sending(token) else { return };
        let purpose = sending.purpose;
        self.judge_not_accepted(purpose, failure, is_doubtful, now);
        let is_unmeasured = failure.shortage.is_some() && !is_doubtful && sending.seen.is_none();
        if is_unmeasured || (self.rules.passive && failure.down) {
            self.end(token, purpose, MailState::Left, now);
            return;
        }
        if is_doubtful || sending.seen.is_some() {
            self.doubt(token, purpose, sending.seen.is_some(), now);
        } else {
            self.tally(purpose).probes += 1;
            self.journal.touch(token);
        }
    }

    /// Takes out a mail whose reply has come. The last one leaves nothing behind: an empty map would keep the
    /// room of eleven mails.
    pub(super) fn take_sending(&mut self, token: Token) -> Option<Sending> {
        let sending = self.sending.remove(&token)?;
        if self.sending.is_empty() {
            self.sending = BTreeMap::new();
        }
        Some(sending)
    }

    /// Nobody knows whether the server has it; if it was seen already, it has returned.
    pub(super) fn doubt(&mut self, token: Token, purpose: Purpose, was_seen: bool, now: Moment) {
        self.tally(purpose).probes += 1;
        self.tally(purpose).doubtful += 1;
        self.end(token, purpose, MailState::Doubtful, now);
        if was_seen {
            self.tally(purpose).returned += 1;
            self.end(token, purpose, MailState::Returned, now);
        }
    }

    pub(super) fn leave(&mut self, now: Moment) {
        self.leave_if(|_| true, now);
    }

    /// These are not waited for any more.
    pub(super) fn leave_if(&mut self, leaves: impl Fn(Purpose) -> bool, now: Moment) {
        let outstanding = std::mem::take(&mut self.outstanding);
        for mail in outstanding {
            if leaves(mail.purpose) {
                self.tally(mail.purpose).left += 1;
                self.end(mail.token, mail.purpose, MailState::Left, now);
            } else {
                self.outstanding.push_back(mail);
            }
        }
    }

    /// Marks what has become late, ends what has become lost, forgets what ended long ago. Needs no
    /// timer: it runs before every event and every snapshot.
    pub(super) fn expire(&mut self, now: Moment) {
        self.follow_wall_clock(now);
        self.expire_attempts(now);
        // What nobody can look for is not late: it leaves with the outage, or is seen after it.
        if self.rules.expectation.is_some() || !self.is_not_applicable() {
            self.expire_outstanding(now);
        }
        self.account_mails(now);
        let age = |since: LineInstant| now.instant.saturating_duration_since(since);
        while let Some(oldest) = self.ended.front()
            && age(oldest.at) >= self.rules.remember()
        {
            self.forget_oldest();
        }
    }

    /// After the wall clock was set, what happened before it has another date: ages come from the
    /// monotonic clock, and the dates that are shown and kept go with it.
    fn follow_wall_clock(&mut self, now: Moment) {
        let Some(jump) = self.wall_clock.jump(now) else { return };
        for mail in &mut self.outstanding {
            mail.accepted.wall = jump.correct(mail.accepted.wall);
            self.journal.touch(mail.token);
        }
        for (token, sending) in &mut self.sending {
            sending.began.wall = jump.correct(sending.began.wall);
            self.journal.touch(*token);
        }
        for (_, state) in self.sides.iter_mut() {
            state.last_attempt = state.last_attempt.map(|date| jump.correct(date));
            state.last_success = state.last_success.map(|date| jump.correct(date));
            if let Some((at, _)) = &mut state.last_failure {
                *at = jump.correct(*at);
            }
            state.failures.redate(|date| jump.correct(date));
        }
        let visit = &mut self.sender_mailbox.last_visit;
        *visit = visit.map(|date| jump.correct(date));
        if let Some(began) = &mut self.period_began {
            began.wall = jump.correct(began.wall);
        }
        if let Some(judgement) = &mut self.judgement {
            judgement.follow(jump);
        }
        self.journal.follow(jump);
        self.accounted.follow(jump);
        self.availability.follow(jump.undo(now.wall), now.wall);
    }

    /// A mail that nobody has looked for since it became old enough waits for that look, though not for
    /// ever: a mailbox that cannot be looked into holds up no alert.
    fn expire_outstanding(&mut self, now: Moment) {
        let Rules { late_after, lost_after, expectation, .. } = self.rules;
        let looked = self.looked;
        let patience = self.rules.interval.max(LEAST_PATIENCE).max(self.look_gap * 2);
        let is_over = |mail: &mut Outstanding, after: Duration| {
            mail.is_past(after, now) && mail.was_looked_for(after, looked, patience, now)
        };
        for mail in &mut self.outstanding {
            if expectation.is_some() || !mail.is_past(late_after, now) {
                break;
            }
            if !mail.is_late && !mail.is_unattended && is_over(mail, late_after) {
                (mail.is_late, mail.overdue) = (true, None);
                self.journal.touch(mail.token);
                self.totals.late += 1;
            }
        }
        while self.outstanding.front_mut().is_some_and(|oldest| is_over(oldest, lost_after)) {
            self.lose_oldest(now);
        }
    }

    /// The oldest is lost; one that nobody has attended leaves uncounted.
    pub(super) fn lose_oldest(&mut self, now: Moment) {
        let Some(mail) = self.outstanding.pop_front() else { return };
        self.judge_given_up(&mail, now);
        // What must not pass is not lost.
        let has_left = mail.is_unattended || mail.purpose != Purpose::Delivery;
        let totals = self.tally(mail.purpose);
        let (count, state) = match has_left {
            true => (&mut totals.left, MailState::Left),
            false => (&mut totals.lost, MailState::Lost),
        };
        *count += 1;
        self.end(mail.token, mail.purpose, state, now);
    }

    pub(super) fn ended_state(&self, token: Token) -> Option<MailState> {
        self.ended.iter().find(|ended| ended.token == token).map(|ended| ended.state)
    }

    pub(super) fn end(&mut self, token: Token, purpose: Purpose, state: MailState, now: Moment) {
        self.ended.retain(|ended| ended.token != token);
        self.ended.push_back(Ended { token, purpose, state, at: now.instant, is_late: false });
        if purpose == Purpose::Delivery {
            self.newest_end = state.arrived().map_or(self.newest_end, Reading::Is);
        }
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

impl Rules {
    /// How long a mail is known after its end. One that must not pass may lie in a queue while its filter does not run.
    pub fn remember(&self) -> Duration {
        match self.expectation {
            Some(_) => self.lost_after.max(LONGEST_WAY),
            None => self.lost_after,
        }
    }
}
