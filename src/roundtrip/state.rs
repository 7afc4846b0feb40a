//! What a verdict is to a monitoring system: one of four states.

use std::fmt;
use std::time::Duration;

use super::verdict::{Arrival, Ending, Removal, Verdict, seconds};
use crate::config::Target;
use ledger::FoundIn;
use ledger::Side;

/// The states of the Monitoring Plugins Development Guidelines, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well, or a passive node is down, as it may be.
    Ok,
    /// Mail arrives, but late, as junk, or so that it cannot be removed.
    Warning,
    /// Mail does not arrive.
    Critical,
    /// Nothing was tested to the end.
    Unknown,
}

impl State {
    /// The exit code of a plugin.
    pub fn exit_code(self) -> u8 {
        match self {
            State::Ok => 0,
            State::Warning => 1,
            State::Critical => 2,
            State::Unknown => 3,
        }
    }

    /// As it stands in JSON.
    pub fn label(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Critical => "critical",
            State::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label().to_ascii_uppercase())
    }
}

/// From which round trip on a mail that arrives is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thresholds {
    /// Longer than this is a warning; `None`: `late_after` of the target.
    pub warning: Option<Duration>,
    /// Longer than this is critical; `None`: no round trip is.
    pub critical: Option<Duration>,
}

impl Thresholds {
    /// The first of them, with the default of the target.
    pub fn warning_for(&self, target: &Target) -> Duration {
        let default = target.late_after;
        self.warning.unwrap_or_else(|| self.critical.map_or(default, |most| most.min(default)))
    }
}

/// The state that a verdict stands for, and what of the round trip made it so, if that did.
pub fn judge(
    verdict: &Verdict,
    target: &Target,
    thresholds: &Thresholds,
) -> (State, Option<String>) {
    if verdict.ending == Ending::Interrupted {
        return (State::Unknown, None);
    }
    if verdict.shortage().is_some() {
        return (State::Unknown, None);
    }
    if verdict.is_not_applicable(target) {
        return (State::Ok, None);
    }
    let Arrival::Seen { roundtrip, folder } = verdict.arrival else {
        return (State::Critical, None);
    };
    if verdict.failure(Side::Send).is_some() {
        return (State::Critical, None);
    }
    let above = |limit| format!("the round trip took more than {}", seconds(limit));
    match thresholds.critical {
        Some(most) if roundtrip > most => return (State::Critical, Some(above(most))),
        _ => {}
    }
    let warning = thresholds.warning_for(target);
    if roundtrip > warning {
        return (State::Warning, Some(above(warning)));
    }
    let is_well = folder != FoundIn::Junk && verdict.removal == Removal::Done;
    (if is_well { State::Ok } else { State::Warning }, None)
}
