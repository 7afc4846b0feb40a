//! `rate_limit`: a bucket of requests that fills again with time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// One request an interval, and a burst of several after a rest. It is one for all clients, as in
/// the exporter-toolkit.
pub(super) struct RateLimit {
    interval: Duration,
    burst: u32,
    /// When the bucket was full, or would have been, were it larger: each request moves it on by
    /// an interval.
    full_at: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// A full bucket of `burst` requests, which gets one more each `interval`.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst, full_at: Mutex::new(None) }
    }

    /// Takes a request out of the bucket; `false` if it is empty.
    pub(super) fn allows(&self, now: Instant) -> bool {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        // That many intervals are missing now; one more must still fit.
        let capacity = self.interval.saturating_mul(self.burst);
        let Some(after) = missing.checked_add(self.interval).filter(|after| *after <= capacity)
        else {
            return false;
        };
        *full_at = now.checked_add(after);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_each_interval() {
        let limit = RateLimit::new(Duration::from_secs(1), 3);
        let start = Instant::now();
        let allowed = |offset: f64| limit.allows(start + Duration::from_secs_f64(offset));
        assert_eq!([0.0, 0.0, 0.0, 0.0].map(allowed), [true, true, true, false]);
        assert_eq!([0.9, 1.0, 1.5, 2.0].map(allowed), [false, true, false, true]);
        assert_eq!([60.0, 60.0, 60.0, 60.0].map(allowed), [true, true, true, false]);
    }

    #[test]
    fn without_a_burst_nothing_is_allowed() {
        let limit = RateLimit::new(Duration::from_secs(1), 0);
        assert!(!limit.allows(Instant::now()));
    }
}
