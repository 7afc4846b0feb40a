//! The check of a period, and what the targets are told of it.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::Member;
use super::super::watch::Settings;
use super::{Patrol, recipients};
use crate::clock::next_tick;
use ledger::{Attempt, LookStyle};
use ledger::{Failure, Side};
use mail::departure;
use mail::trace::Trace;

/// The outcome of a check. Where a passive target receives in this mailbox, the server may have gone down
/// meanwhile, as it is meant to.
pub(super) async fn judged<T>(
    settings: &Settings,
    members: &[Arc<Member>],
    outcome: Result<T, Failure>,
    until: Instant,
) -> Result<T, Failure> {
    match outcome {
        Err(failure)
            if recipients(members)
                .any(|member| member.account.read(|ledger, _| ledger.is_passive())) =>
        {
            Err(departure::judged(&settings.dialer, failure, until).await)
        }
        outcome => outcome,
    }
}

impl Patrol {
    /// The check of a period: a fresh login, in place of the session that was held.
    pub(super) async fn check(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        slot: Instant,
    ) {
        self.close_session().await;
        let began = Instant::now();
        let trace = Trace::new(Some(&settings.login));
        let until = began + settings.longest_turn();
        for member in recipients(members) {
            member.account.attempt_began(Side::Receive, until, &trace);
        }
        let mut outcome = match settings.style() {
            LookStyle::Command => self.open_imap(settings, members, trace, until).await,
            LookStyle::Session => self.check_pop3(settings, members, trace, until, slot).await,
        };
        if settings.style() == LookStyle::Command {
            outcome.result = judged(settings, members, outcome.result, until).await;
            self.report_check(members, &outcome.trace, outcome.result.as_ref().err(), slot);
            outcome.trace.clear();
            self.keep(settings);
            outcome.removal_failure = self.remove_imap(settings, members, true).await;
        }
        match &outcome.result {
            Ok(()) => self.watch.shared().took = began.elapsed() + self.preparation.took(),
            Err(failure) => self.back_off(settings, failure),
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
            server: self.watch.id.to_string().into(),
            failures: failure.cloned().into_iter().collect(),
            steps: trace.durations(),
            address: trace.address(),
            handshake: trace.handshake(),
            tls: trace.tls_facts(),
            tokens: Vec::new(),
            transcript: trace.transcript(),
        };
        // One that has left for another mailbox meanwhile is told of that.
        let current = self.watch.shared().members.clone();
        let stays = |member: &&Arc<Member>| {
            recipients(&current).any(|it| Arc::ptr_eq(&it.account, &member.account))
        };
        for member in recipients(members).filter(stays) {
            member.account.check_ended(&attempt);
        }
        self.watch.checked.send_replace(Some(slot));
    }

    /// Tells the targets how often their mailbox is checked.
    pub(super) fn tell_rhythm(&self, settings: &Settings, members: &[Arc<Member>]) {
        for member in recipients(members) {
            settings.tell_rhythm(&member.account);
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
                member.account.update(|ledger, _| ledger.checks_skipped(skipped));
            }
        }
    }
}
