//! Limits how often one kind of event is logged: once a minute.

use std::time::{Duration, Instant};

/// The same event is in the log once in this time at most.
const ONCE_IN: Duration = Duration::from_secs(60);

/// The limit for one kind of event: it is logged once a minute, with the number of events that were
/// suppressed since.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogThrottle {
    logged: Option<Instant>,
    suppressed: u64,
}

impl LogThrottle {
    /// The limit for an event that has not happened yet.
    pub const fn new() -> Self {
        Self { logged: None, suppressed: 0 }
    }

    /// Counts an event at `now`. Returns how many were suppressed before it if it is to be logged, and
    /// `None` if it is suppressed itself.
    pub fn pass(&mut self, now: Instant) -> Option<u64> {
        if !self.is_open(now) {
            self.suppressed += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }

    /// Whether an event would be logged at `now`.
    pub fn is_open(&self, now: Instant) -> bool {
        self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= ONCE_IN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_once_a_minute_with_the_number_held_back() {
        let mut gate = LogThrottle::default();
        let start = Instant::now();
        let told: Vec<_> =
            [0, 1, 59, 60, 61, 200].map(|at| gate.pass(start + Duration::from_secs(at))).into();
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
