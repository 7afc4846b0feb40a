//! The looks into the mailbox on behalf of the account: when the next is due, and what they came to.

use std::time::Duration;

use super::{Ledger, Moment, Reading, SessionKind};
use crate::LoginDelay;
use crate::{Failure, LineInstant, Step};

impl Ledger {
    /// A look into the mailbox is made between two checks; it counts on behalf of the mails that are
    /// waited for.
    pub fn looked(&mut self, now: Moment) {
        self.expire(now);
        self.totals.looks += u64::from(!self.outstanding.is_empty());
    }

    /// A look or a removal has failed: counted, unless it was for want of something of our own, but the
    /// receive ability is the check's to tell.
    ///
    /// A session of a passive target that breaks off, or of which nothing comes any more, may be the first
    /// sign that its server goes down: only the next contact tells whether that was a failure.
    pub fn look_failed(&mut self, failure: &Failure, now: Moment) {
        self.expire(now);
        if failure.shortage.is_some() {
            return;
        }
        let passive = self.rules.passive;
        self.settle_broken_off(failure.down, now);
        if passive && failure.down {
            self.sides.receive.not_applicable += 1;
        } else if passive && failure.is_without_answer() {
            self.broken_off = Some(failure.clone());
        } else {
            self.sides.receive.count(failure, now);
        }
    }

    /// What the next contact makes of a session that broke off before it.
    pub(super) fn settle_broken_off(&mut self, is_down: bool, now: Moment) {
        match self.broken_off.take() {
            Some(_) if self.rules.passive && is_down => self.sides.receive.not_applicable += 1,
            Some(failure) => self.sides.receive.count(&failure, now),
            None => {}
        }
    }

    /// How long the removal of arrived mails took; part of the newest attempt.
    pub fn removed(&mut self, steps: &[(Step, Duration)]) {
        let mut all = self.sides.receive.steps.to_vec();
        for (step, duration) in steps {
            match all.iter_mut().find(|(known, _)| known == step) {
                Some((_, known)) => *known = *duration,
                None => all.push((*step, *duration)),
            }
        }
        self.sides.receive.steps = all.into();
    }

    /// A look into all of the mailbox that was asked for at `asked` has succeeded: what it was due for is
    /// late or lost if it was not shown.
    pub fn looked_everywhere(&mut self, asked: LineInstant, now: Moment) {
        self.looked = self.looked.max(Some(asked));
        self.expire(now);
    }

    /// Two looks must lie so far apart: one that is due may have to wait so long.
    pub fn looks_lie_apart(&mut self, gap: Duration) {
        self.look_gap = gap;
    }

    /// What the mailbox's server asks for between two logins, and what it asked for before.
    pub fn logins_lie_apart(&mut self, delay: LoginDelay) -> LoginDelay {
        std::mem::replace(&mut self.login_delay, delay)
    }

    /// Whether a look is due that decides about a mail.
    pub fn is_look_due(&self, now: Moment) -> bool {
        self.next_due().is_some_and(|due| due <= now.instant)
    }

    /// When the mailbox is to be looked at again; `None` if nothing is outstanding.
    pub fn next_look(
        &self,
        style: SessionKind,
        last_look: Option<LineInstant>,
    ) -> Option<LineInstant> {
        let oldest = self.outstanding.front()?.accepted.instant;
        let newest = self.outstanding.back()?.accepted.instant;
        let paced = self.pacing.next_look(style, oldest, newest, last_look, self.rules.interval);
        Some(self.next_due().map_or(paced, |due| due.min(paced)))
    }

    /// Whether a mail is being sent, will most likely be accepted, and is then looked for within `soon`.
    pub fn looks_soon(&self, style: SessionKind, soon: Duration) -> bool {
        let fails = self.send_ability == Reading::Is(0.0);
        !self.sending.is_empty() && !fails && self.pacing.first_wait(style) <= soon
    }

    /// The next moment that decides whether a mail is late or lost, if it was not looked for since.
    fn next_due(&self) -> Option<LineInstant> {
        let is_ahead = |due: &LineInstant| self.looked.is_none_or(|looked| looked < *due);
        let late = self.outstanding.iter().find(|mail| !mail.is_late);
        let late = late.and_then(|mail| mail.accepted.instant.checked_add(self.rules.late_after));
        let lost = self.outstanding.front();
        let lost = lost.and_then(|mail| mail.accepted.instant.checked_add(self.rules.lost_after));
        [late, lost].into_iter().flatten().filter(is_ahead).min()
    }
}
