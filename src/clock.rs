//! The clocks, read. The monotonic clock stands still while the machine is suspended, and the mails
//! do not: the time line of the accounts is the monotonic clock with the suspended time added, so
//! that a delay over a suspension is as long as it was, and nobody looked meanwhile.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use ledger::{LineInstant, Moment};

/// The time now. The monotonic clock is tokio's, so that a test may stop it.
pub fn now() -> Moment {
    Moment { instant: on_time_line(tokio::time::Instant::now()), wall: SystemTime::now() }
}

/// The point of the time line that the monotonic clock showed as `at` a moment ago.
pub fn on_time_line(at: tokio::time::Instant) -> LineInstant {
    LineInstant::new(at.into_std(), suspended())
}

/// What the monotonic clock will show at this point of the time line, for a timer.
pub fn for_timer(at: LineInstant) -> tokio::time::Instant {
    tokio::time::Instant::from_std(at.monotonic(suspended()))
}

/// How long the machine was suspended since it was started, in whole seconds: the two clocks are not
/// read in the same nanosecond, and the time line should not tremble.
pub fn suspended() -> Duration {
    let monotonic = clock_gettime(ClockId::Monotonic);
    let boot = clock_gettime(ClockId::Boottime);
    let ahead = boot.tv_sec - monotonic.tv_sec - i64::from(boot.tv_nsec < monotonic.tv_nsec);
    Duration::from_secs(u64::try_from(ahead).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_line_goes_on_with_the_monotonic_clock() {
        let timer = tokio::time::Instant::now();
        let point = on_time_line(timer);
        assert_eq!(for_timer(point), timer);
        let later = on_time_line(timer + Duration::from_secs(5));
        assert_eq!(later - point, Duration::from_secs(5));
        assert!(now().instant >= point);
    }
}
