//! The check of a period, and what is reported of it to the targets.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::Subscriber;
use super::super::shared::Settings;
use super::{MailboxTask, recipients};
use crate::clock::next_tick;
use ledger::{Attempt, SessionKind};
use ledger::{Failure, Side};
use mail::departure;
use mail::trace::Trace;

/// The outcome of a check. Where a passive target receives in this mailbox, the server may have gone down
/// meanwhile, as it is meant to.
pub(super) async fn judge_departure<T>(
    settings: &Settings,
    subscribers: &[Arc<Subscriber>],
    outcome: Result<T, Failure>,
    until: Instant,
) -> Result<T, Failure> {
    match outcome {
        Err(failure)
            if recipients(subscribers)
                .any(|subscriber| subscriber.account.read(|ledger, _| ledger.is_passive())) =>
        {
            Err(departure::judged(&settings.access.dialer, failure, until).await)
        }
        outcome => outcome,
    }
}

impl MailboxTask {
    /// The check of a period: a fresh login, in place of the session that was held.
    pub(super) async fn check(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        slot: Instant,
    ) {
        self.close_session().await;
        let began = Instant::now();
        let trace = Trace::new(Some(&settings.access.login));
        let until = began + settings.longest_turn();
        for subscriber in recipients(subscribers) {
            subscriber.account.attempt_began(Side::Receive, until, &trace);
        }
        let mut outcome = self.open(settings, trace.clone(), until, true).await;
        outcome.result = judge_departure(settings, subscribers, outcome.result, until).await;
        self.report_check(subscribers, &trace, outcome.result.as_ref().err(), slot);
        if settings.session_kind() == SessionKind::Held {
            // What the session does from now on is no part of the check.
            trace.clear();
        }
        if outcome.result.is_ok() {
            self.persist(settings);
            outcome.removal_failure = self.remove(settings, subscribers, &trace, true).await;
        }
        match &outcome.result {
            Ok(()) => {
                self.shared.schedule().took = began.elapsed() + self.reader.preparation_took()
            }
            Err(failure) => self.back_off(settings, failure),
        }
        self.conclude(settings, subscribers, began, &outcome);
        self.plan_next(settings, subscribers, slot);
    }

    pub(super) fn report_check(
        &self,
        subscribers: &[Arc<Subscriber>],
        trace: &Trace,
        failure: Option<&Failure>,
        slot: Instant,
    ) {
        let attempt = Attempt {
            server: self.shared.id.to_string().into(),
            failures: failure.cloned().into_iter().collect(),
            steps: trace.durations(),
            address: trace.address(),
            handshake: trace.handshake(),
            tls: trace.tls_facts(),
            tokens: Vec::new(),
            transcript: trace.transcript(),
        };
        // One that has left for another mailbox meanwhile hears from that.
        let current = self.shared.schedule().subscribers.clone();
        let stays = |subscriber: &&Arc<Subscriber>| {
            recipients(&current).any(|it| Arc::ptr_eq(&it.account, &subscriber.account))
        };
        for subscriber in recipients(subscribers).filter(stays) {
            subscriber.account.check_ended(&attempt);
        }
        self.shared.checked.set(Some(slot));
    }

    /// Tells the targets how often their mailbox is checked.
    pub(super) fn report_rhythm(&self, settings: &Settings, subscribers: &[Arc<Subscriber>]) {
        for subscriber in recipients(subscribers) {
            settings.report_rhythm(&subscriber.account);
            subscriber.account.logins_lie_apart(self.reader.login_delay(), settings.period);
        }
    }

    /// The next check is for the next slot of the grid that is not over yet.
    fn plan_next(&self, settings: &Settings, subscribers: &[Arc<Subscriber>], slot: Instant) {
        let mut schedule = self.shared.schedule();
        // The configuration may have changed the period while the check was under way.
        let settings = schedule.settings.as_deref().unwrap_or(settings);
        let (next, skipped) = next_tick(slot, settings.period, Instant::now());
        // A subscriber that came meanwhile may have asked for an earlier one.
        if schedule.next_check == Some(slot) {
            schedule.next_check = Some(next);
        }
        drop(schedule);
        if skipped > 0 {
            for subscriber in recipients(subscribers) {
                subscriber.account.update(|ledger, _| ledger.checks_skipped(skipped));
            }
        }
    }
}
