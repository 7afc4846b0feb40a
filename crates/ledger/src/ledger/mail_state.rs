//! What has become of a test mail so far.

/// The state of a test mail. The account, its records in the store, the history and the pages all
/// speak of a mail in these states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailState {
    /// About to be handed over. A record of it from an earlier process means that the reply is not
    /// known: such a mail is doubtful.
    Sending,
    /// The SMTP server did not accept it. The account forgets such a mail at once.
    Refused,
    /// Handed over without a reply.
    Doubtful,
    /// Accepted and not seen yet.
    Outstanding,
    /// Accepted, and seen in the mailbox.
    Received,
    /// Doubtful, lost or bounced, and seen after all.
    Returned,
    /// Reported as undeliverable.
    Bounced,
    /// Accepted, and not seen for `lost_after`.
    Lost,
    /// Left the account uncounted: with the outage of a passive target, not sent for want of something of
    /// the exporter's own, under way in an older copy of the store that was put back, or not looked for by this
    /// exporter for so long that another one may have removed it.
    Left,
}

impl MailState {
    /// All of them.
    pub const ALL: [MailState; 9] = [
        MailState::Sending,
        MailState::Refused,
        MailState::Doubtful,
        MailState::Outstanding,
        MailState::Received,
        MailState::Returned,
        MailState::Bounced,
        MailState::Lost,
        MailState::Left,
    ];

    /// In one word.
    pub fn label(self) -> &'static str {
        match self {
            MailState::Sending => "sending",
            MailState::Refused => "refused",
            MailState::Doubtful => "doubtful",
            MailState::Outstanding => "outstanding",
            MailState::Received => "received",
            MailState::Returned => "returned",
            MailState::Bounced => "bounced",
            MailState::Lost => "lost",
            MailState::Left => "left",
        }
    }

    /// Whether it is under way: what becomes of it is not known yet.
    pub fn is_open(self) -> bool {
        matches!(self, MailState::Sending | MailState::Outstanding)
    }

    /// Whether something went wrong with it, and it has not turned up since.
    pub fn has_failed(self) -> bool {
        matches!(
            self,
            MailState::Refused | MailState::Doubtful | MailState::Bounced | MailState::Lost
        )
    }

    /// Whether the mail has arrived; `None` if its state says nothing of the delivery.
    pub(super) fn arrived(self) -> Option<bool> {
        match self {
            MailState::Received | MailState::Returned => Some(true),
            MailState::Lost | MailState::Bounced => Some(false),
            MailState::Sending
            | MailState::Refused
            | MailState::Doubtful
            | MailState::Outstanding
            | MailState::Left => None,
        }
    }
}
