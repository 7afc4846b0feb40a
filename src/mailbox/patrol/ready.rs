//! When the session of the next look is made ready, where each look is a session of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Member;
use super::super::watch::Settings;
use super::{Outcome, Patrol, recipients};
use crate::mail::trace::Trace;
use crate::target::ledger::LookStyle;

impl Patrol {
    /// When the session for the next look is to be made ready.
    pub(super) fn preparation_due(
        &self,
        settings: &Settings,
        next_look: Option<Instant>,
    ) -> Option<Instant> {
        next_look
            .filter(|_| settings.style() == LookStyle::Session)
            .and_then(|look| self.preparation.due(look))
    }

    /// Makes the session for the next look ready if it is time to; `false` if it is not. The first look
    /// for a mail may come so soon that its session must be begun while the mail is being sent.
    pub(super) async fn prepare(
        &mut self,
        settings: &Settings,
        members: &[Arc<Member>],
        next_look: Option<Instant>,
        check_due: Instant,
    ) -> bool {
        let lead = self.preparation.lead();
        let looks_within =
            |soon: Duration| members.iter().any(|member| member.looks_soon(settings.style(), soon));
        let look_at = match next_look {
            Some(look) => look,
            // Its mail is still on the way.
            None if self.preparation.is_ready() && looks_within(Duration::MAX) => return false,
            None if looks_within(lead) => {
                let allowed = self.earliest_login(settings).max(self.not_before);
                Instant::now().max(allowed.unwrap_or_else(Instant::now))
            }
            None => {
                self.preparation.discard();
                return false;
            }
        };
        let due = self.preparation_due(settings, Some(look_at));
        if due.is_none_or(|at| at > Instant::now()) || look_at >= check_due {
            return false;
        }
        let began = Instant::now();
        let Settings { dialer, login, timeout, .. } = settings;
        let trace = Trace::new(Some(login));
        let made = self.preparation.make(dialer, login, trace.clone(), *timeout, look_at).await;
        if let Err(failure) = made
            && next_look.is_some()
        {
            // The look has failed before it began.
            for member in recipients(members) {
                member.account.looked();
            }
            let outcome =
                Outcome { trace, asked: None, result: Err(failure), removal_failure: None };
            self.end_look(settings, members, began, &outcome);
        }
        true
    }
}
