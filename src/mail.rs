//! What the loops see of a mail server: a dialogue succeeds, or it ends in a failure with a stage
//! and a reason.

use std::fmt;

/// The two halves of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The SMTP server that accepts the test mail.
    Send,
    /// The IMAP or POP3 server that shows it.
    Receive,
}

impl Side {
    /// Both sides, in the order in which they are shown.
    pub const ALL: [Side; 2] = [Side::Send, Side::Receive];

    /// The value of the label `side`.
    pub fn label(self) -> &'static str {
        match self {
            Side::Send => "send",
            Side::Receive => "receive",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The step of a dialogue, the value of the label `stage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Resolving the host name.
    Dns,
    /// The TCP handshake.
    Connect,
    /// Waiting for the server's first words, and asking for its capabilities.
    Greeting,
    /// The command that starts TLS, and the handshake.
    Tls,
    /// Logging in.
    Auth,
    /// MAIL and RCPT.
    Envelope,
    /// DATA, the message, and the reply after the final dot.
    Data,
    /// Opening the folder (IMAP) or listing the maildrop (POP3).
    Select,
    /// Asking for new mail and reading its header.
    Fetch,
    /// Taking our mail out of the mailbox.
    Remove,
}

impl Stage {
    /// The stages of the send side, in the order in which they happen.
    pub const SEND: [Stage; 7] = [
        Stage::Dns,
        Stage::Connect,
        Stage::Greeting,
        Stage::Tls,
        Stage::Auth,
        Stage::Envelope,
        Stage::Data,
    ];

    /// The stages of the receive side, in the order in which they happen.
    pub const RECEIVE: [Stage; 8] = [
        Stage::Dns,
        Stage::Connect,
        Stage::Greeting,
        Stage::Tls,
        Stage::Auth,
        Stage::Select,
        Stage::Fetch,
        Stage::Remove,
    ];

    /// The stages of one side.
    pub fn of(side: Side) -> &'static [Stage] {
        match side {
            Side::Send => &Stage::SEND,
            Side::Receive => &Stage::RECEIVE,
        }
    }

    /// The value of the label `stage`.
    pub fn label(self) -> &'static str {
        match self {
            Stage::Dns => "dns",
            Stage::Connect => "connect",
            Stage::Greeting => "greeting",
            Stage::Tls => "tls",
            Stage::Auth => "auth",
            Stage::Envelope => "envelope",
            Stage::Data => "data",
            Stage::Select => "select",
            Stage::Fetch => "fetch",
            Stage::Remove => "remove",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
