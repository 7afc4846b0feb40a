//! The sender's own mailbox, watched for a bounce beside the wait for the mail.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::mailbox::Mailbox;
use super::test_mail::{left_over, reported};
use crate::config::{ReceiveSide, Target};
use crate::probing::mailbox::Found;
use ledger::Token;
use ledger::{DeliveryReport, Failure, SessionKind};
use mail::wire::Dialer;

/// How long after the acceptance the first look is taken, and how far apart the looks are: somebody is
/// waiting.
const LOOKS: Duration = Duration::from_secs(2);
/// The same where each look is a session of its own.
const SESSIONS: Duration = Duration::from_secs(5);

/// The most time between looks where they fail.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// The task that reads it.
pub(super) struct SenderMailbox<'a> {
    target: &'a Target,
    side: &'a ReceiveSide,
    token: Token,
    mailbox: Mailbox<'a>,
    /// What came back about the mail.
    pub(super) notice: Option<DeliveryReport>,
    /// Why the newest look failed.
    pub(super) failure: Option<Failure>,
    /// Why the report is still there.
    pub(super) removal_failure: Option<Failure>,
}

impl<'a> SenderMailbox<'a> {
    /// Nothing is looked into yet; every dialogue ends at `end`.
    pub(super) fn new(
        target: &'a Target,
        side: &'a ReceiveSide,
        dialer: Dialer,
        token: Token,
        end: Instant,
    ) -> Self {
        let longest = target.interval.max(side.endpoint.timeout * 2);
        let mailbox = Mailbox::new(side, dialer, None, end, longest, target.lost_after);
        let (notice, failure, removal_failure) = (None, None, None);
        Self { target, side, token, mailbox, notice, failure, removal_failure }
    }

    /// Mails are taken out only while this is held.
    pub(super) fn sharing_removal(self, removal: Option<Arc<Mutex<()>>>) -> Self {
        Self { mailbox: self.mailbox.sharing_removal(removal), ..self }
    }

    /// Looks until a report says that the mail cannot be delivered; else it never ends.
    pub(super) async fn bounce(&mut self) {
        let gap = match self.side.protocol.session_kind() {
            SessionKind::Held => LOOKS,
            SessionKind::PerPoll => SESSIONS,
        };
        let mut wait = gap;
        while !self.has_bounced() {
            let wake = Instant::now() + wait.max(self.mailbox.least_gap());
            // A connection that breaks while nothing is asked is opened again by the look.
            let _ = self.mailbox.wait(wake).await;
            self.look().await;
            // A wrong password that is tried again and again locks the account.
            if self.failure.as_ref().is_some_and(Failure::is_refused_login) {
                std::future::pending::<()>().await;
            }
            wait = if self.failure.is_some() { (wait * 2).min(LONGEST_BACK_OFF) } else { gap };
        }
    }

    /// A last look, unless the one before failed, that does not take longer than this; then the
    /// session ends.
    pub(super) async fn end(mut self, limit: Duration) -> Self {
        let is_allowed = self.mailbox.earliest_login().is_none_or(|at| at <= Instant::now());
        if is_allowed && !self.has_bounced() && self.failure.is_none() {
            let _ = timeout(limit, self.look()).await;
        }
        self.mailbox.close().await;
        self
    }

    fn has_bounced(&self) -> bool {
        self.notice.as_ref().is_some_and(DeliveryReport::is_bounce)
    }

    async fn look(&mut self) {
        let (target, token, notice) = (self.target, self.token, &mut self.notice);
        let mut judge = |found: &Found| match reported(target, token, found) {
            Some((disposition, report)) => {
                *notice = report.or(notice.take());
                disposition
            }
            None => left_over(target, found),
        };
        match self.mailbox.look(None, true, &mut judge).await {
            Ok(looked) => (self.failure, self.removal_failure) = (None, looked.removal_failure),
            Err(failure) => self.failure = Some(failure),
        }
    }
}
