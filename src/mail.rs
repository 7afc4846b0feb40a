//! What the loops see of a mail server: a dialogue succeeds, or it ends in a failure with a step
//! and a reason.
//!
//! [`wire`] reads and writes bounded lines under a deadline; [`smtp`], [`imap`] and [`pop3`] speak
//! over it; [`outer`] ends a dialogue whatever goes on in it; [`trace`] keeps what happened: the steps, the transcript, the facts about TLS. Only the
//! modules below speak a wire protocol, and none keeps state between two dialogues.

use std::fmt;
use std::io;

pub mod bounce;
mod clue;
pub mod departure;
pub mod header;
pub mod imap;
pub mod oauth;
pub mod outer;
pub mod pop3;
pub(crate) mod sasl;
mod shortage;
pub mod smtp;
pub mod text;
pub mod trace;
pub mod visit;
pub mod wire;

pub use clue::Clue;
pub use shortage::{Shortage, news as shortages};

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

/// Why a dialogue failed, the value of the label `reason`; set from typed errors and reply codes at
/// the place where they happen, never from the words of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The name has no address, or nobody could tell.
    Dns,
    /// The TCP connection was refused.
    Refused,
    /// No route to the host or its network.
    Unreachable,
    /// No answer within the time allowed.
    Timeout,
    /// The server ended the connection.
    Closed,
    /// TLS is not offered, or its handshake failed.
    Tls,
    /// The certificate is past its time, or its time has not begun.
    CertificateExpired,
    /// The certificate is not signed by a trusted authority.
    CertificateUntrusted,
    /// The certificate is for another name.
    CertificateName,
    /// The login was refused, or no mechanism fits.
    Auth,
    /// A permanent refusal (5xx).
    Rejected,
    /// A temporary refusal (4xx), as a greylist gives; on the receive side, that of a token endpoint, a
    /// limit of IMAP (`[LIMIT]`), or a trouble of the server that passes (`[UNAVAILABLE]` of RFC 5530,
    /// `[SYS/TEMP]` of RFC 3206).
    Deferred,
    /// The mailbox is full (x.2.2, or 552 without another code).
    Quota,
    /// The mailbox is in use by another session, and stayed so.
    Busy,
    /// Somebody else's mail is marked as deleted, and the server takes out all marked mails or none (IMAP
    /// without UIDPLUS).
    Marked,
    /// The answer is not the protocol.
    Protocol,
    /// None of the above.
    Other,
}

impl Reason {
    /// What can happen on the send side.
    pub const SEND: [Reason; 15] = [
        Reason::Dns,
        Reason::Refused,
        Reason::Unreachable,
        Reason::Timeout,
        Reason::Closed,
        Reason::Tls,
        Reason::CertificateExpired,
        Reason::CertificateUntrusted,
        Reason::CertificateName,
        Reason::Auth,
        Reason::Rejected,
        Reason::Deferred,
        Reason::Quota,
        Reason::Protocol,
        Reason::Other,
    ];

    /// What can happen on the receive side.
    pub const RECEIVE: [Reason; 16] = [
        Reason::Dns,
        Reason::Refused,
        Reason::Unreachable,
        Reason::Timeout,
        Reason::Closed,
        Reason::Tls,
        Reason::CertificateExpired,
        Reason::CertificateUntrusted,
        Reason::CertificateName,
        Reason::Auth,
        Reason::Rejected,
        Reason::Deferred,
        Reason::Busy,
        Reason::Marked,
        Reason::Protocol,
        Reason::Other,
    ];

    /// The reasons of one side.
    pub fn of(side: Side) -> &'static [Reason] {
        match side {
            Side::Send => &Reason::SEND,
            Side::Receive => &Reason::RECEIVE,
        }
    }

    /// The value of the label `reason`.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Dns => "dns",
            Reason::Refused => "refused",
            Reason::Unreachable => "unreachable",
            Reason::Timeout => "timeout",
            Reason::Closed => "closed",
            Reason::Tls => "tls",
            Reason::CertificateExpired => "certificate_expired",
            Reason::CertificateUntrusted => "certificate_untrusted",
            Reason::CertificateName => "certificate_name",
            Reason::Auth => "auth",
            Reason::Rejected => "rejected",
            Reason::Deferred => "deferred",
            Reason::Quota => "quota",
            Reason::Busy => "busy",
            Reason::Marked => "marked",
            Reason::Protocol => "protocol",
            Reason::Other => "other",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// How a dialogue failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// Why.
    pub reason: Reason,
    /// Whether the service is not there at all: no address, no connection, silence before the
    /// greeting, or its own word for it. A passive target that is down is not applicable.
    pub down: bool,
    /// What the exporter itself had too little of, if that is why: then nothing was measured, and it is
    /// no failure of the server.
    pub shortage: Option<Shortage>,
    /// What it shows beyond the reason, for the advice.
    pub clue: Option<Clue>,
    /// One sentence for people, the server's own words included; secrets are scrubbed and control
    /// characters escaped.
    pub message: String,
}

impl Failure {
    /// That of a server that offers TLS and refuses the command that begins it.
    fn of_offered_tls(self) -> Self {
        Self { reason: Reason::Tls, clue: Some(Clue::TlsBroken), ..self }
    }
}

/// How a dialogue failed, before it is known in which step: what the layers below [`trace::Trace`]
/// report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// See [`Failure::down`].
    pub down: bool,
    /// See [`Failure::shortage`].
    pub shortage: Option<Shortage>,
    /// See [`Failure::clue`].
    pub clue: Option<Clue>,
    /// One sentence, not yet scrubbed.
    pub message: String,
}

impl Fault {
    /// A fault of a service that is there.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, down: false, shortage: None, clue: None, message: message.into() }
    }

    /// A fault that means that the service is not there.
    pub fn down(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, down: true, shortage: None, clue: None, message: message.into() }
    }

    /// A fault of the exporter's own, which had too little of something; it is counted.
    pub fn short(shortage: Shortage, reason: Reason, message: impl Into<String>) -> Self {
        shortage.count();
        Self { reason, ..Self::short_and_counted(shortage, message) }
    }

    /// The same of one that was counted where it happened.
    pub fn short_and_counted(shortage: Shortage, message: impl Into<String>) -> Self {
        let message = format!("{}; {}", message.into(), shortage.words());
        let shortage = Some(shortage);
        Self { reason: Reason::Other, down: false, shortage, clue: None, message }
    }

    /// The fault of a system call that failed: [`Fault::short`] if that is for want of something of our
    /// own, else with this reason.
    pub fn of_system(error: &io::Error, reason: Reason, message: impl Into<String>) -> Self {
        match Shortage::of(error) {
            Some(shortage) => Self::short(shortage, Reason::Other, message),
            None => Self::new(reason, message),
        }
    }

    /// The same with a clue to its cause.
    #[must_use]
    pub fn with(self, clue: Option<Clue>) -> Self {
        Self { clue, ..self }
    }
}
