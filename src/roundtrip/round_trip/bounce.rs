//! The look for a bounce in the sender's own mailbox, beside that for the mail.

use std::io::Write;
use std::time::Duration;

use tokio::time::Instant;

use super::RoundTrip;
use crate::config::ReceiveSide;
use crate::roundtrip::mailbox::Mailbox;
use crate::roundtrip::sender_mailbox::SenderMailbox;
use crate::roundtrip::verdict::Removal;
use ledger::{DeliveryReport, Side};

/// How long the last look into the sender's own mailbox may take.
const FAREWELL_LOOK: Duration = Duration::from_secs(5);

impl<'a, W: Write> RoundTrip<'a, W> {
    /// Looks for the mail, and in the sender's own mailbox for its bounce; one does not hold up the
    /// other.
    pub(super) async fn look_for_both(&mut self, mailbox: &mut Mailbox<'a>, wait: Duration) {
        let Some(mut sender) = self.sender_mailbox() else {
            return self.look_for_it(mailbox, wait).await;
        };
        tokio::select! {
            biased;
            () = self.look_for_it(mailbox, wait) => {}
            () = sender.bounce() => {}
        }
        let limit = self.end().map_or(FAREWELL_LOOK, |end| {
            (end.saturating_duration_since(Instant::now()) / 2).min(FAREWELL_LOOK)
        });
        let sender = if self.mail.seen.is_some() { sender } else { sender.end(limit).await };
        let has_bounced = sender.notice.as_ref().is_some_and(DeliveryReport::is_bounce);
        if let Some(notice) = sender.notice {
            self.mail.apply_report(notice);
        }
        if has_bounced {
            self.verdict.removal = sender.removal_failure.map_or(Removal::Done, Removal::Failed);
            self.end_waiting(mailbox, wait);
        }
        self.verdict.sender_mailbox_failure = sender.failure;
    }

    /// The sender's own mailbox; `None` if there is none, it is the watched one, or the files of its
    /// TLS options cannot be used.
    fn sender_mailbox(&mut self) -> Option<SenderMailbox<'a>> {
        let target = self.target;
        let side = target.sender_mailbox.as_deref()?;
        let own = target.receive.as_ref().map(ReceiveSide::mailbox_id);
        if own == Some(side.mailbox_id()) {
            return None;
        }
        let dialer = self.dialer(Side::Receive, &side.endpoint, Some(&side.login)).ok()?;
        let end = self.end_of_dialogues(side);
        let sender = SenderMailbox::new(target, side, dialer, self.mail.token, end);
        Some(sender.sharing_removal(self.options.shared.sender_removal.clone()))
    }
}
