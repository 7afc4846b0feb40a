//! The records of a history beside the probes: checks, failed looks, and transcripts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::transcripts::Filed;
use super::trim::Weight;
use ledger::Token;
use ledger::{Failure, Step};

/// One check of the mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// When it began.
    pub began: SystemTime,
    /// Its steps.
    pub steps: Steps,
    /// Why it failed; `None`: it passed.
    pub failure: Option<Arc<Failure>>,
}

/// A look or a removal that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedLook {
    /// When it failed.
    pub at: SystemTime,
    /// Why.
    pub failure: Arc<Failure>,
}

/// The steps of an attempt with their times, in order.
pub type Steps = Arc<[StepTime]>;

/// How long a step took, in four bytes: there are many of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepTime {
    /// The step.
    pub step: Step,
    seconds: f32,
}

/// What a transcript is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogueKind {
    /// A transmission.
    Send,
    /// A check.
    Check,
    /// A look between two checks, or a removal.
    Look,
}

/// A transcript as it is kept; see [`Transcript`].
#[derive(Debug)]
pub(super) struct Dialogue {
    pub(super) kind: DialogueKind,
    pub(super) ended: SystemTime,
    pub(super) token: Option<Token>,
    pub(super) filed: Filed,
}

/// The transcript of a dialogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// Of what.
    pub kind: DialogueKind,
    /// When the dialogue ended.
    pub ended: SystemTime,
    /// Whether it failed.
    pub has_failed: bool,
    /// The first mail that was sent in it.
    pub token: Option<Token>,
    /// Its newest lines: `>` the client's, `<` the server's, `*` remarks; `None` if they had to make
    /// room for those of other targets.
    pub text: Option<Arc<str>>,
}

impl Check {
    pub(super) fn weight(&self) -> Weight {
        if self.failure.is_some() { Weight::Bad } else { Weight::Good }
    }
}

impl StepTime {
    /// How long it took, to seven digits.
    pub fn duration(self) -> Duration {
        Duration::try_from_secs_f32(self.seconds).unwrap_or_default()
    }
}

impl DialogueKind {
    /// For people and for JSON.
    pub fn label(self) -> &'static str {
        match self {
            DialogueKind::Send => "send",
            DialogueKind::Check => "check",
            DialogueKind::Look => "look",
        }
    }
}

/// The steps as they are kept.
pub(super) fn steps(durations: &[(Step, Duration)]) -> Steps {
    let time =
        |&(step, duration): &(Step, Duration)| StepTime { step, seconds: duration.as_secs_f32() };
    durations.iter().map(time).collect()
}
