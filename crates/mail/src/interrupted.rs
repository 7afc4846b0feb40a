//! Why a command has not succeeded: the server refused it, or the session is over.

use std::fmt;

use ledger::Failure;

/// Why a command of a session has not succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interrupted {
    /// The server answered and refused; the session goes on.
    Refused(Refusal),
    /// The session is of no more use: closed, silent, or out of step.
    Broken(Failure),
}

impl Interrupted {
    /// The refusal of what was asked for, in a session that goes on.
    pub fn refused(failure: Failure) -> Self {
        Interrupted::Refused(Refusal { failure, scope: RefusalScope::Request })
    }

    /// Whether the server refused what was asked for, and named no other cause.
    pub fn is_of_the_request(&self) -> bool {
        matches!(self, Interrupted::Refused(refusal) if refusal.scope == RefusalScope::Request)
    }
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Interrupted::Broken(failure)
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Refused(refusal) => refusal.failure,
            Interrupted::Broken(failure) => failure,
        }
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interrupted::Refused(Refusal { failure, .. }) | Interrupted::Broken(failure) => {
                failure.fmt(f)
            }
        }
    }
}

impl std::error::Error for Interrupted {}

/// The answer of a server that refuses a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The refusal as it is reported.
    pub failure: Failure,
    /// What it concerns, by its response code.
    pub scope: RefusalScope,
}

/// What a refusal concerns, by its response code (RFC 5530; RFC 2449 and RFC 3206 for POP3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalScope {
    /// What was asked for: no response code names another cause.
    Request,
    /// The command, which the server does not understand (BAD).
    Syntax,
    /// The user name or the password.
    Credentials,
    /// A limit or a trouble of the server that passes.
    Passing,
    /// A defect of the server.
    Server,
}
