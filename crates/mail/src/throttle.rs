//! Events that may happen often, in the log once a minute.

use std::time::{Duration, Instant};

/// The same event is in the log once in this time at most.
const ONCE_IN: Duration = Duration::from_secs(60);

/// The rule of one event that may happen often: it is told once a minute, with the number of those
/// that were not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gate {
    told: Option<Instant>,
    held_back: u64,
}

impl Gate {
    /// The rule of an event that has not happened yet.
    pub const fn new() -> Self {
        Self { told: None, held_back: 0 }
    }

    /// The event happens at `now`. Gives how many were held back before it if it is to be told, and
    /// `None` if it is held back itself.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if !self.is_open(now) {
            self.held_back += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }

    /// Whether the event would be told at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        self.told.is_none_or(|told| now.saturating_duration_since(told) >= ONCE_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_once_a_minute_with_the_number_held_back() {
        let mut gate = Gate::default();
        let start = Instant::now();
        let told: Vec<_> =
            [0, 1, 59, 60, 61, 200].map(|at| gate.pass(start + Duration::from_secs(at))).into();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
