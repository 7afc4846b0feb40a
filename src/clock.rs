//! The clocks, read. The monotonic clock stands still while the machine is suspended, and the mails
//! do not: the time line of the accounts is the monotonic clock with the suspended time added, so
//! that a delay over a suspension is as long as it was, and nobody looked meanwhile.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant as Timer;

use ledger::{LineInstant, Moment};

/// The time now. The monotonic clock is tokio's, so that a test may stop it.
pub fn now() -> Moment {
    Moment { instant: on_time_line(Timer::now()), wall: wall() }
}

/// What the clock on the wall shows; that of a simulation, in one.
pub fn wall() -> SystemTime {
    #[cfg(feature = "simulation")]
    if let Some(now) = simulated::wall() {
        return now;
    }
    SystemTime::now()
}

/// Whether this thread lives in a simulation.
pub fn is_simulated() -> bool {
    #[cfg(feature = "simulation")]
    return simulated::wall().is_some();
    #[cfg(not(feature = "simulation"))]
    false
}

#[cfg(feature = "simulation")]
pub use simulated::{WallClock, read_wall_from};

/// A clock on the wall that is set by a simulation, for a thread.
#[cfg(feature = "simulation")]
mod simulated {
    use std::cell::RefCell;
    use std::time::SystemTime;

    /// Tells the time.
    pub type WallClock = Box<dyn Fn() -> SystemTime>;

    thread_local! {
        static WALL: RefCell<Option<WallClock>> = const { RefCell::new(None) };
    }

    /// Has this thread read the time from `clock` from now on; `None`: from the system again.
    pub fn read_wall_from(clock: Option<WallClock>) {
        WALL.with_borrow_mut(|present| *present = clock);
    }

    pub(in crate::clock) fn wall() -> Option<SystemTime> {
        WALL.with_borrow(|clock| clock.as_ref().map(|clock| clock()))
    }
}

/// The point of the time line that the monotonic clock showed as `at` a moment ago.
pub fn on_time_line(at: Timer) -> LineInstant {
    LineInstant::new(at.into_std(), suspended())
}

/// What the monotonic clock will show at this point of the time line, for a timer.
pub fn for_timer(at: LineInstant) -> Timer {
    Timer::from_std(at.monotonic(suspended()))
}

/// How long the machine was suspended since it was started, in whole seconds: the two clocks are not
/// read in the same nanosecond, and the time line should not tremble.
pub fn suspended() -> Duration {
    if is_simulated() {
        return Duration::ZERO;
    }
    let monotonic = clock_gettime(ClockId::Monotonic);
    let boot = clock_gettime(ClockId::Boottime);
    let ahead = boot.tv_sec - monotonic.tv_sec - i64::from(boot.tv_nsec < monotonic.tv_nsec);
    Duration::from_secs(u64::try_from(ahead).unwrap_or_default())
}

/// The next tick after `now` of a grid with this interval, above zero, of which `tick` is one; and how
/// many between the two were missed.
pub fn next_tick(tick: Timer, interval: Duration, now: Timer) -> (Timer, u64) {
    let mut next = tick + interval;
    let mut skipped = 0;
    while next < now {
        next += interval;
        skipped += 1;
    }
    (next, skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_line_goes_on_with_the_monotonic_clock() {
        let timer = Timer::now();
        let point = on_time_line(timer);
        assert_eq!(for_timer(point), timer);
        let later = on_time_line(timer + Duration::from_secs(5));
        assert_eq!(later - point, Duration::from_secs(5));
        assert!(now().instant >= point);
    }

    #[test]
    fn a_start_that_finds_the_one_before_still_sending_is_skipped() {
        let tick = Timer::now();
        let minute = Duration::from_secs(60);
        assert_eq!(next_tick(tick, minute, tick + minute / 2), (tick + minute, 0));
        assert_eq!(next_tick(tick, minute, tick + minute), (tick + minute, 0));
        assert_eq!(next_tick(tick, minute, tick + minute * 5 / 2), (tick + minute * 3, 2));
    }
}
