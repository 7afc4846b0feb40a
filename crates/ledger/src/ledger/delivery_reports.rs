//! What a delivery status notification does to the account, and how the mailbox fares in which they
//! are looked for beside the target's own.

use std::time::Duration;

use super::{DeliveryReport, Ledger, MailState, Moment, ReportOutcome, SessionKind};
use crate::Action;
use crate::Failure;
use crate::LineInstant;
use crate::Purpose;
use crate::Token;

/// How long after its acceptance a mail's bounce is first looked for over a held session, and the
/// least and the most time between such looks; IDLE tells between them.
const FIRST_COMMAND: Duration = Duration::from_secs(2);
const LEAST_COMMAND: Duration = Duration::from_secs(5);
const MOST_COMMAND: Duration = Duration::from_secs(60);
/// The same where each look is a session; the most is a period.
const FIRST_SESSION: Duration = Duration::from_secs(10);
const LEAST_SESSION: Duration = Duration::from_secs(15);

impl Ledger {
    /// A delivery status notification about a mail of ours was read.
    ///
    /// Only a mail that is waited for can bounce. One that was received has bounced as another copy
    /// only (a forward, a second recipient of an alias); one that is lost stays lost, as it was
    /// counted, and one that is doubtful stays doubtful: what was never accepted cannot add to the
    /// accepted ones. The report is kept in all these cases, because it may be the explanation. A mail
    /// that comes after it has bounced is returned.
    pub fn delivery_reported(&mut self, report: DeliveryReport, now: Moment) -> ReportOutcome {
        self.expire(now);
        let token = report.token;
        if !self.is_live(token) {
            return ReportOutcome::Unknown;
        }
        let is_bounce = report.is_bounce();
        if is_bounce || report.action == Action::Delayed {
            self.last_report = Some((now.wall, report).into());
        }
        if let Some(sending) = self.sending.get_mut(&token) {
            sending.has_bounced |= is_bounce;
            return ReportOutcome::Waiting;
        }
        let Some(index) = self.outstanding.iter().position(|mail| mail.token == token) else {
            return ReportOutcome::Over;
        };
        if !is_bounce {
            return ReportOutcome::Waiting;
        }
        if let Some(mail) = self.outstanding.remove(index) {
            self.bounce(token, mail.purpose, now);
        }
        ReportOutcome::Bounced
    }

    /// A session or a look in the sender's own mailbox is over. It says nothing about the server's
    /// ability to receive. One that failed for want of something of our own was not measured.
    /// Gives what was known before.
    pub fn sender_mailbox_visited(
        &mut self,
        failure: Option<&Failure>,
        now: Moment,
    ) -> Option<bool> {
        let state = &mut self.sender_mailbox;
        if failure.is_some_and(|failure| failure.shortage.is_some()) {
            return state.up.take();
        }
        state.last_visit = Some(now.wall);
        let before = state.up.replace(failure.is_none());
        if let Some(failure) = failure {
            state.failures += 1;
            state.last_failure = Some((now.wall, failure.clone()));
        }
        before
    }

    /// Whether this mail is still waited for, or just being sent.
    pub fn is_awaited(&self, token: Token) -> bool {
        self.sending.contains_key(&token) || self.outstanding.iter().any(|mail| mail.token == token)
    }

    /// When the sender's own mailbox is to be looked into again; `None` if nothing is outstanding. A
    /// bounce hurries nobody: the looks are moderate, and get rare while the oldest mail waits.
    pub fn next_report_look(
        &self,
        style: SessionKind,
        last_look: Option<LineInstant>,
    ) -> Option<LineInstant> {
        let (first, least, most) = match style {
            SessionKind::Held => (FIRST_COMMAND, LEAST_COMMAND, MOST_COMMAND),
            SessionKind::PerPoll => (FIRST_SESSION, LEAST_SESSION, self.rules.interval),
        };
        let oldest = self.outstanding.front()?.accepted.instant;
        let Some(last) = last_look.filter(|last| *last >= oldest + first) else {
            return Some(oldest + first);
        };
        let waited = last.saturating_duration_since(oldest);
        Some(last + (waited / 2).clamp(least, most.max(least)))
    }

    pub(super) fn bounce(&mut self, token: Token, purpose: Purpose, now: Moment) {
        self.tally(purpose).bounced += 1;
        self.judge_bounced(purpose, now);
        self.end(token, purpose, MailState::Bounced, now);
    }
}
