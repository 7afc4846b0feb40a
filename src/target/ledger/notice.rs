//! What a delivery status notification does to the account, and how the mailbox fares in which they
//! are looked for beside the target's own.

use super::{Ending, Ledger, Moment, Notice, NoticeVerdict};
use crate::mail::Failure;
use crate::mail::bounce::Action;
use crate::target::message::Token;

impl Ledger {
    /// A delivery status notification about a mail of ours was read.
    ///
    /// Only a mail that is waited for can bounce. One that was received has bounced as another copy
    /// only (a forward, a second recipient of an alias); one that is lost stays lost, as it was
    /// counted, and one that is doubtful stays doubtful: what was never accepted cannot add to the
    /// accepted ones. The notice is kept in all these cases, because it may be the explanation. A mail
    /// that comes after it has bounced is returned.
    pub fn noticed(&mut self, notice: Notice, now: Moment) -> NoticeVerdict {
        self.expire(now);
        let token = notice.token;
        if !self.is_live(token) {
            return NoticeVerdict::Unknown;
        }
        let is_bounce = notice.action == Action::Failed;
        if is_bounce || notice.action == Action::Delayed {
            self.last_notice = Some((now.wall, notice));
        }
        if let Some(sending) = self.sending.get_mut(&token) {
            sending.has_bounced |= is_bounce;
            return NoticeVerdict::Waiting;
        }
        let Some(index) = self.outstanding.iter().position(|mail| mail.token == token) else {
            return NoticeVerdict::Over;
        };
        if !is_bounce {
            return NoticeVerdict::Waiting;
        }
        self.outstanding.remove(index);
        self.bounce(token, now);
        NoticeVerdict::Bounced
    }

    /// A session or a look in the sender's own mailbox is over. It says nothing about the server's
    /// ability to receive.
    pub fn sender_mailbox_visited(&mut self, failure: Option<&Failure>, now: Moment) {
        let state = &mut self.sender_mailbox;
        state.up = Some(failure.is_none());
        if let Some(failure) = failure {
            state.failures += 1;
            state.last_failure = Some((now.wall, failure.clone()));
        }
    }

    pub(super) fn bounce(&mut self, token: Token, now: Moment) {
        self.totals.bounced += 1;
        self.end(token, Ending::Bounced, now);
    }
}
