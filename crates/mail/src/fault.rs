//! How a dialogue failed, before it is known in which step.

use std::io;

use crate::{Clue, Reason, Shortage, shortage};

/// How a dialogue failed, before it is known in which step: what the layers below [`crate::trace::Trace`]
/// report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// See [`crate::Failure::down`].
    pub down: bool,
    /// See [`crate::Failure::shortage`].
    pub shortage: Option<Shortage>,
    /// See [`crate::Failure::clue`].
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
        shortage::count(shortage);
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
