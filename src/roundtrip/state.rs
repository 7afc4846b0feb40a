//! What a verdict is to a monitoring system: one of four states.

use std::fmt;
use std::time::Duration;

use super::verdict::{Arrival, Ending, Removal, Verdict};
use crate::config::Target;
use ledger::{FoundIn, Reading, Reason, Side};

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
    /// All of them, in the order of their exit codes.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Critical, Self::Unknown];

    /// How bad it is among several, as the monitoring plugins have it: what is known to fail is worse than
    /// what is not known.
    pub fn badness(self) -> u8 {
        match self {
            State::Ok => 0,
            State::Unknown => 1,
            State::Warning => 2,
            State::Critical => 3,
        }
    }

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
    /// The first of them; the default is `late_after` of the target.
    pub fn warning_or(&self, late_after: Duration) -> Duration {
        self.warning
            .unwrap_or_else(|| self.critical.map_or(late_after, |most| most.min(late_after)))
    }

    /// What this round trip is, and the threshold that it exceeds.
    pub fn judge(&self, roundtrip: Duration, late_after: Duration) -> (State, Option<Duration>) {
        let warning = self.warning_or(late_after);
        match self.critical {
            Some(most) if roundtrip > most => (State::Critical, Some(most)),
            _ if roundtrip > warning => (State::Warning, Some(warning)),
            _ => (State::Ok, None),
        }
    }
}

/// The state that a verdict stands for, and the threshold that the round trip exceeds, if one.
pub fn judge(
    verdict: &Verdict,
    target: &Target,
    thresholds: &Thresholds,
) -> (State, Option<Duration>) {
    if let Some((_, shown)) = verdict.expectation(target) {
        let state = match shown.is_met {
            Reading::Is(false) => State::Critical,
            Reading::Is(true) => State::Ok,
            _ if verdict.is_not_applicable(target) => State::Ok,
            Reading::Unmeasured | Reading::NotApplicable => State::Unknown,
        };
        return (state, None);
    }
    if let Arrival::Seen { roundtrip, folder } = verdict.arrival {
        if let Some(failure) = verdict.failure(Side::Send) {
            let is_cut_off = matches!(verdict.ending, Ending::LackedTime(_))
                && failure.reason == Reason::Timeout;
            let is_measured = failure.shortage.is_none() && !is_cut_off;
            return (if is_measured { State::Critical } else { State::Unknown }, None);
        }
        let is_well = folder != FoundIn::Junk && verdict.removal == Removal::Done;
        return match thresholds.judge(roundtrip, target.late_after) {
            (State::Ok, _) if !is_well => (State::Warning, None),
            judged => judged,
        };
    }
    let has_failure = Side::ALL.into_iter().any(|side| verdict.failure(side).is_some());
    let state = match verdict.ending {
        _ if verdict.is_not_applicable(target) => State::Ok,
        _ if verdict.has_failed(target) => State::Critical,
        Ending::Interrupted | Ending::LackedTime(_) => State::Unknown,
        Ending::OutOfTime(_) if verdict.is_held_back => State::Unknown,
        // Of what this machine was short of, and of a standby that is down.
        _ if has_failure => State::Unknown,
        Ending::Complete | Ending::OutOfTime(_) => State::Critical,
    };
    (state, None)
}

/// Whether the mail was sent, received and removed, and not too late for the threshold that was given; or whether what
/// must not pass was seen not to.
pub fn is_successful(verdict: &Verdict, target: &Target, thresholds: &Thresholds) -> bool {
    if let Some((_, shown)) = verdict.expectation(target) {
        return shown.is_met == Reading::Is(true);
    }
    verdict.is_good() && judge(verdict, target, thresholds).0 != State::Critical
}

#[cfg(test)]
mod tests;
