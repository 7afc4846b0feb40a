//! How a dialogue failed: in which step, for which reason, and what it shows beyond that.

use std::fmt;

use crate::{Clue, Shortage, Side, Step};

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

/// What a failure means for what is tried next. Whoever has to decide asks here: [`Failure::reason`] is for the
/// account of it.
impl Failure {
    /// Whether the server ended the connection.
    pub fn is_closed(&self) -> bool {
        self.reason == Reason::Closed
    }

    /// Whether the server did not answer in time.
    pub fn is_silence(&self) -> bool {
        self.reason == Reason::Timeout
    }

    /// Whether the dialogue ended without an answer.
    pub fn is_without_answer(&self) -> bool {
        self.is_closed() || self.is_silence()
    }

    /// Whether the login was refused: the same one would be refused again.
    pub fn is_refused_login(&self) -> bool {
        self.reason == Reason::Auth
    }

    /// Whether another session holds the mailbox.
    pub fn is_busy(&self) -> bool {
        self.reason == Reason::Busy
    }

    /// Whether the same attempt at this server may succeed in a moment: another session holds the mailbox, or the
    /// server has a trouble that passes. The provider of access tokens is another server.
    pub fn is_passing(&self) -> bool {
        (self.is_busy() || self.reason == Reason::Deferred) && self.step != Step::Token
    }

    /// Whether the server did not keep to the protocol.
    pub fn is_breach_of_protocol(&self) -> bool {
        self.reason == Reason::Protocol
    }

    /// That of a server that offers TLS and refuses the command that begins it.
    #[must_use]
    pub fn of_offered_tls(self) -> Self {
        Self { reason: Reason::Tls, clue: Some(Clue::TlsBroken), ..self }
    }
}
