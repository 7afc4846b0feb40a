//! A point in time on both clocks, and how the wall clock is set in between.

use crate::LineInstant;
use std::time::{Duration, SystemTime};

/// What the wall clock goes ahead or behind by less than this is no jump: it may be slewed, and the
/// time of a suspension is known in whole seconds.
const STEADY: Duration = Duration::from_secs(2);

/// A point in time, on both clocks: delays come from the monotonic one, dates from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time line of the accounts: the monotonic clock, with the time added for which the machine
    /// was suspended.
    pub instant: LineInstant,
    /// The wall clock, which may be set.
    pub wall: SystemTime,
}

impl Moment {
    /// The moment of a date that is over, by the wall clock as it is set now; `None` for one to come. What
    /// lies ahead by no more than a clock is slewed by was just now.
    pub fn moment_of(self, date: SystemTime) -> Option<LineInstant> {
        match self.wall.duration_since(date) {
            Ok(age) => self.instant.checked_sub(age),
            Err(ahead) => (ahead.duration() < STEADY).then_some(self.instant),
        }
    }

    /// The date of a moment that is over, by the wall clock as it is set now.
    pub fn date_of(self, past: LineInstant) -> SystemTime {
        let ago = self.instant.saturating_duration_since(past);
        self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// How the wall clock goes beside the monotonic one. It is followed where it is slewed, and tells when
/// it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WallClock {
    last: Option<Moment>,
}

/// The wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClockJump {
    /// Forward by so much.
    Forward(Duration),
    /// Back by so much.
    Back(Duration),
}

impl WallClock {
    /// By how much the clock was set since this was last asked, if it was.
    pub(super) fn jump(&mut self, now: Moment) -> Option<ClockJump> {
        let last = self.last.replace(now)?;
        // Two loops may tell of their moments in the other order.
        let expected = match now.instant.checked_duration_since(last.instant) {
            Some(elapsed) => last.wall.checked_add(elapsed)?,
            None => last.wall.checked_sub(last.instant - now.instant)?,
        };
        let jump = match now.wall.duration_since(expected) {
            Ok(ahead) => ClockJump::Forward(ahead),
            Err(behind) => ClockJump::Back(behind.duration()),
        };
        let (ClockJump::Forward(by) | ClockJump::Back(by)) = jump;
        (by >= STEADY).then_some(jump)
    }
}

impl ClockJump {
    /// An older date, by the clock as it is set now.
    pub(super) fn correct(self, date: SystemTime) -> SystemTime {
        let corrected = match self {
            ClockJump::Forward(by) => date.checked_add(by),
            ClockJump::Back(by) => date.checked_sub(by),
        };
        corrected.unwrap_or(date)
    }

    /// What the clock would show at this date if it had not been set.
    pub(super) fn undo(self, date: SystemTime) -> SystemTime {
        match self {
            ClockJump::Forward(by) => ClockJump::Back(by),
            ClockJump::Back(by) => ClockJump::Forward(by),
        }
        .correct(date)
    }

    /// The seconds by which the clock was set forward; negative if it was set back.
    pub(super) fn seconds(self) -> f64 {
        match self {
            ClockJump::Forward(by) => by.as_secs_f64(),
            ClockJump::Back(by) => -by.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_date_to_come_has_no_moment_unless_the_clock_was_slewed() {
        let now = Moment { instant: crate::some_instant(), wall: SystemTime::UNIX_EPOCH + HOUR };
        let second = Duration::from_secs(1);
        assert_eq!(now.moment_of(now.wall - second), Some(now.instant - second));
        assert_eq!(now.moment_of(now.wall + second), Some(now.instant));
        assert_eq!(now.moment_of(now.wall + STEADY), None);
    }

    #[test]
    fn moments_told_in_the_other_order_are_no_jump() {
        let early = Moment { instant: crate::some_instant(), wall: SystemTime::UNIX_EPOCH + HOUR };
        let late = Moment { instant: early.instant + HOUR, wall: early.wall + HOUR };
        let mut clock = WallClock::default();
        assert_eq!([clock.jump(late), clock.jump(early), clock.jump(late)], [None; 3]);
        let set = Moment { wall: late.wall - HOUR, ..late };
        assert_eq!([clock.jump(set), clock.jump(set)], [Some(ClockJump::Back(HOUR)), None]);
    }
}
