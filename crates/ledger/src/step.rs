//! Where in a dialogue something happens: the labels `side` and `step`.

use std::fmt;

/// The two halves of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The SMTP server that accepts the test mail.
    Send,
    /// The IMAP, POP3 or JMAP server that shows it.
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

/// The step of a dialogue, the value of the label `step`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Resolving the host name.
    Dns,
    /// The TCP handshake.
    Connect,
    /// Waiting for the server's first words, and asking for its capabilities.
    Greeting,
    /// The command that starts TLS, and the handshake.
    Tls,
    /// Asking an OAuth2 provider for the access token to log in with.
    Token,
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

impl Step {
    /// The steps of the send side, in the order in which they happen.
    pub const SEND: [Step; 8] = [
        Step::Dns,
        Step::Connect,
        Step::Greeting,
        Step::Tls,
        Step::Token,
        Step::Auth,
        Step::Envelope,
        Step::Data,
    ];

    /// The steps of the receive side, in the order in which they happen.
    pub const RECEIVE: [Step; 9] = [
        Step::Dns,
        Step::Connect,
        Step::Greeting,
        Step::Tls,
        Step::Token,
        Step::Auth,
        Step::Select,
        Step::Fetch,
        Step::Remove,
    ];

    /// The steps of one side.
    pub fn of(side: Side) -> &'static [Step] {
        match side {
            Side::Send => &Step::SEND,
            Side::Receive => &Step::RECEIVE,
        }
    }

    /// The value of the label `step`.
    pub fn label(self) -> &'static str {
        match self {
            Step::Dns => "dns",
            Step::Connect => "connect",
            Step::Greeting => "greeting",
            Step::Tls => "tls",
            Step::Token => "token",
            Step::Auth => "auth",
            Step::Envelope => "envelope",
            Step::Data => "data",
            Step::Select => "select",
            Step::Fetch => "fetch",
            Step::Remove => "remove",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
