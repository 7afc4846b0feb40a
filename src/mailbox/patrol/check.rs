//! The check of a period, and until when each turn of the watch may last.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::Member;
use super::super::watch::Settings;
use super::{Patrol, recipients};
use crate::mail::trace::Trace;
use crate::mail::{Failure, Side};
use crate::target::ledger::{Attempt, LookStyle};
use crate::target::send::next_tick;

impl Patrol {
    /// The check of a period: a fresh login, in place of the session that was held. It is for `slot`, and
    /// was due at `due`.
    pub(super) async fn check(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        slot: Instant,
        due: Instant,
    ) {
        self.close_session().await;
        let began = Instant::now();
        let trace = Trace::new(Some(&settings.login));
        let until = end_of_check(settings, due);
        for member in recipients(members) {
            member.account.attempt_began(Side::Receive, until, &trace);
        }
        let mut outcome = match settings.style() {
            LookStyle::Command => self.open_imap(settings, members, trace, until).await,
            LookStyle::Session => self.check_pop3(settings, members, trace, until, slot).await,
        };
        if settings.style() == LookStyle::Command {
            self.report_check(members, &outcome.trace, outcome.result.as_ref().err(), slot);
            outcome.trace.clear();
            self.keep(settings);
            let until = self.end_of_look(settings, slot + settings.period);
            outcome.removal_failure = self.remove_imap(settings, members, true, until).await;
        }
        match &outcome.result {
            Ok(()) => self.watch.shared().took = began.elapsed() + self.preparation.took(),
            Err(_) => self.back_off(settings),
        }
        self.conclude(settings, members, began, &outcome);
        self.plan_next(settings, members, slot);
    }

    pub(super) fn report_check(
        &self,
        members: &[Arc<Member>],
        trace: &Trace,
        failure: Option<&Failure>,
        slot: Instant,
    ) {
        let attempt = Attempt {
            failures: failure.cloned().into_iter().collect(),
            stages: trace.durations(),
            address: trace.address(),
            tls: trace.tls_facts(),
            tokens: Vec::new(),
            transcript: trace.transcript(),
        };
        for member in recipients(members) {
            member.account.check_ended(&attempt);
        }
        self.watch.checked.send_replace(Some(slot));
    }

    /// A look, or a removal, ends when the check is due; one that begins shortly before has the time of
    /// one answer.
    pub(super) fn end_of_look(&self, settings: &Settings, check_due: Instant) -> Instant {
        check_due.max(Instant::now() + settings.timeout.min(settings.period))
    }

    /// Tells the targets how often their mailbox is checked.
    pub(super) fn tell_rhythm(&self, settings: &Settings, members: &[Arc<Member>]) {
        for member in recipients(members) {
            member.account.checks_are_made_every(settings.period_of_checks());
            member.account.logins_lie_apart(self.pop3.login_delay, settings.period);
        }
    }

    /// The next check is for the next slot of the grid that is not over yet.
    fn plan_next(&self, settings: &Settings, members: &[Arc<Member>], slot: Instant) {
        let (next, skipped) = next_tick(slot, settings.period, Instant::now());
        let mut shared = self.watch.shared();
        // A member that came meanwhile may have asked for an earlier one.
        if shared.next_check == Some(slot) {
            shared.next_check = Some(next);
        }
        drop(shared);
        if skipped > 0 {
            for member in recipients(members) {
                member.account.checks_skipped(skipped);
            }
        }
    }
}

/// A check that was due at `due` is over when the next one would be due; one that begins late has the
/// time of one answer at least.
fn end_of_check(settings: &Settings, due: Instant) -> Instant {
    let least = Instant::now() + settings.timeout.min(settings.period);
    (due + settings.period).max(least)
}
