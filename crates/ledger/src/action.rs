//! What a delivery report says of a mail.

/// What became of a mail (RFC 3464 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It was given to a list, whose members it goes to.
    Expanded,
    /// It was given to a server that sends no notifications.
    Relayed,
    /// It lies in a mailbox.
    Delivered,
    /// It could not be delivered yet and is tried again.
    Delayed,
    /// It could not be delivered and is given up.
    Failed,
}

impl Action {
    /// The word of the report, in lower case.
    pub fn label(self) -> &'static str {
        match self {
            Action::Expanded => "expanded",
            Action::Relayed => "relayed",
            Action::Delivered => "delivered",
            Action::Delayed => "delayed",
            Action::Failed => "failed",
        }
    }
}
