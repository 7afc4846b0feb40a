//! The time line of the accounts.

use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, Instant};

/// A point on the time line of the accounts: the monotonic clock, with the time added for which the
/// machine was suspended. A type of its own, so that nobody compares it with an [`Instant`] of the
/// monotonic clock, which stands still meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineInstant(Instant);

impl LineInstant {
    /// The point at which the monotonic clock shows `monotonic` and the machine was `suspended` for so
    /// long since it was started.
    pub fn new(monotonic: Instant, suspended: Duration) -> Self {
        Self(monotonic.checked_add(suspended).unwrap_or(monotonic))
    }

    /// What the monotonic clock shows at this point if the machine was `suspended` for so long by then.
    pub fn monotonic(self, suspended: Duration) -> Instant {
        self.0.checked_sub(suspended).unwrap_or(self.0)
    }

    /// The point so much later; `None` where the clock does not reach.
    pub fn checked_add(self, distance: Duration) -> Option<Self> {
        self.0.checked_add(distance).map(Self)
    }

    /// The point so much earlier; `None` where the clock does not reach.
    pub fn checked_sub(self, distance: Duration) -> Option<Self> {
        self.0.checked_sub(distance).map(Self)
    }

    /// How long after `earlier` it is; `None` if it is before that.
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// How long after `earlier` it is; zero if it is before that.
    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

impl Add<Duration> for LineInstant {
    type Output = Self;

    fn add(self, distance: Duration) -> Self {
        Self(self.0 + distance)
    }
}

impl AddAssign<Duration> for LineInstant {
    fn add_assign(&mut self, distance: Duration) {
        self.0 += distance;
    }
}

impl Sub<Duration> for LineInstant {
    type Output = Self;

    fn sub(self, distance: Duration) -> Self {
        Self(self.0 - distance)
    }
}

impl Sub for LineInstant {
    type Output = Duration;

    /// Zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_lengthens_the_line_and_a_timer_goes_by_the_clock() {
        let (clock, hour) = (crate::some_clock(), Duration::from_secs(3600));
        let (before, after) =
            (LineInstant::new(clock, Duration::ZERO), LineInstant::new(clock, hour));
        assert_eq!(after - before, hour);
        assert_eq!(before.checked_duration_since(after), None);
        assert_eq!([before.monotonic(Duration::ZERO), after.monotonic(hour)], [clock; 2]);
    }
}
