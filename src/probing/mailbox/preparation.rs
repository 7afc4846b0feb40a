//! POP3 sessions that are made ready beforehand: all but the last command of the login, so that a look
//! lasts no longer than that. At most one, and one for each look: a server may count those who do not log in.

use std::time::Duration;

use tokio::time::Instant;

use super::pop3::Prepared;
use crate::config::Login;
use ledger::Failure;
use mail::outer::enforced;
use mail::trace::Trace;
use mail::wire::Dialer;

/// How long before a look its session is begun, when nothing is known of the server yet.
const LEAD: Duration = Duration::from_millis(500);
/// How much later than usual it may be ready; then the look begins afresh.
const OVERTIME: Duration = Duration::from_secs(1);
/// How long it may take in any case: the mailbox task does nothing else meanwhile.
const LONGEST: Duration = Duration::from_secs(10);

/// The session for the next look.
#[derive(Default)]
pub struct Preparation {
    ready: Option<Box<Prepared>>,
    /// Whether it was tried for the next look already.
    is_spent: bool,
    /// How long it took last.
    took: Option<Duration>,
}

impl Preparation {
    /// How long before a look its session is begun.
    pub fn lead(&self) -> Duration {
        self.took.map_or(LEAD, |took| took + took / 4 + LEAD / 10)
    }

    /// How long it took last; zero before the first time.
    pub fn took(&self) -> Duration {
        self.took.unwrap_or_default()
    }

    /// When to begin with the session for the look at `next_look`; `None` if that is done.
    pub fn due(&self, next_look: Instant) -> Option<Instant> {
        let begin = next_look.checked_sub(self.lead()).unwrap_or(next_look);
        (!self.is_spent).then_some(begin)
    }

    /// Makes it ready for the look at `next_look`, by `until` at the latest. That it takes too long is no
    /// failure: the look begins afresh, and reports it.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn make(
        &mut self,
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        until: Instant,
        next_look: Instant,
    ) -> Result<(), Failure> {
        self.is_spent = true;
        let began = Instant::now();
        let until = until.min(began + LONGEST);
        // Nothing is known of the server the first time.
        let limit = self.took.map_or(until, |_| next_look.max(began) + self.lead() + OVERTIME);
        // The dialogue itself ends later: what is cut short here must not read as the server's silence.
        let end = began + LONGEST * 2;
        let made = Prepared::new(dialer.resuming(), login.clone(), trace, end);
        // Begun sooner next time, if it was too slow; LONGEST bounds that.
        let made = enforced(limit.min(until), made).await.transpose()?;
        self.took = Some(began.elapsed());
        self.ready = made.map(Box::new);
        Ok(())
    }

    /// The record of the session, if there is one that the server has not given up by now.
    pub fn trace(&self) -> Option<&Trace> {
        self.ready.as_ref().filter(|prepared| !prepared.is_stale()).map(|it| it.trace())
    }

    /// Whether there is one.
    pub fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// The session, if there is one that the server has not given up by now.
    pub fn take(&mut self) -> Option<Prepared> {
        self.ready.take().filter(|prepared| !prepared.is_stale()).map(|it| *it)
    }

    /// The look is over.
    pub fn begin_anew(&mut self) {
        self.is_spent = false;
    }

    /// Nobody wants to look any more: the connection is closed, for in the middle of a login there is no
    /// farewell.
    pub fn discard(&mut self) {
        self.ready = None;
    }
}
