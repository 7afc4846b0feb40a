//! When the session of the next look is made ready, where each look is a session of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Subscriber;
use super::super::reader::MailboxAccess;
use super::super::shared::Settings;
use super::{LookOutcome, MailboxTask, recipients};
use ledger::SessionKind;
use mail::trace::Trace;

/// How long before the check nothing is made ready any more: the check is a look as well.
const BEFORE_CHECK: Duration = Duration::from_millis(10);

/// For which look a session is made ready, and when it is begun.
#[derive(Clone, Copy)]
pub(super) struct PreparationPlan {
    look_at: Instant,
    pub(super) begin: Instant,
    /// Whether the mail to look for is accepted.
    is_awaited: bool,
}

impl MailboxTask {
    /// When the session for the next look is to be begun; `None` if none is wanted, or is ready. The
    /// first look for a mail may come so soon that its session must be begun while the mail is sent.
    pub(super) fn plan_preparation(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        next_look: Option<Instant>,
        check_due: Instant,
    ) -> Option<PreparationPlan> {
        if settings.session_kind() != SessionKind::PerPoll {
            return None;
        }
        let lead = self.reader.preparation().lead();
        let looks_within = |soon: Duration| {
            subscribers
                .iter()
                .any(|subscriber| subscriber.looks_soon(settings.session_kind(), soon))
        };
        let now = Instant::now();
        let look_at = match next_look {
            Some(look) => look,
            // Its mail is still on the way.
            None if self.reader.preparation().is_ready() && looks_within(Duration::MAX) => {
                return None;
            }
            None if looks_within(lead) => {
                let allowed = self.earliest_login(settings).max(self.not_before);
                now.max(allowed.unwrap_or(now))
            }
            None => {
                self.reader.preparation().discard();
                return None;
            }
        };
        let begin = self.reader.preparation().due(look_at)?.max(now);
        let is_in_time = look_at < check_due && begin + BEFORE_CHECK < check_due;
        is_in_time.then_some(PreparationPlan { look_at, begin, is_awaited: next_look.is_some() })
    }

    /// Makes the session for the next look ready if it is time to; `false` if it is not.
    pub(super) async fn prepare(
        &mut self,
        settings: &Settings,
        subscribers: &[Arc<Subscriber>],
        plan: Option<PreparationPlan>,
        check_due: Instant,
    ) -> bool {
        let Some(PreparationPlan { look_at, begin, is_awaited }) = plan else { return false };
        let began = Instant::now();
        if begin > began {
            return false;
        }
        let MailboxAccess { dialer, login, .. } = &settings.access;
        let trace = Trace::new(Some(login));
        let preparation = self.reader.preparation();
        let made = preparation.make(dialer, login, trace.clone(), check_due, look_at).await;
        match made {
            // The look has failed before it began; a server that is busy is asked again by the look.
            Err(failure) if is_awaited && !failure.is_busy() => {
                for subscriber in recipients(subscribers) {
                    subscriber.account.update(ledger::Ledger::looked);
                }
                self.end_look(settings, subscribers, began, &LookOutcome::of(trace, Err(failure)));
            }
            _ => {}
        }
        true
    }
}
