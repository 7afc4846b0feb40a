//! How far a mail server's clock is off, learned from mails whose arrival was watched.

use std::time::{Duration, Instant, SystemTime};

use crate::target::ledger::{Moment, WallClock};

/// A server writes whole seconds; on average it means the middle of one.
const MIDDLE: f64 = 0.5;
/// How much a new observation counts beside those before it.
const WEIGHT: f64 = 0.3;

/// The clock of the server of one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServerClock {
    /// By how many seconds it is ahead of ours as ours is set now; `None` before anything was learned.
    offset_seconds: Option<f64>,
    ours: WallClock,
}

impl ServerClock {
    /// A clock that was ahead by so many seconds, as it was learned before.
    pub fn new(offset_seconds: Option<f64>) -> Self {
        Self { offset_seconds, ours: WallClock::default() }
    }

    /// By how many seconds it is ahead of our wall clock as that is set now; `None` before anything was
    /// learned.
    pub fn offset_seconds(&mut self, now: Moment) -> Option<f64> {
        // Ours was set, and the server's goes on as before.
        if let Some(step) = self.ours.step(now)
            && let Some(offset) = &mut self.offset_seconds
        {
            *offset -= step.seconds();
        }
        self.offset_seconds
    }

    /// The server dated a mail that we saw arrive at `arrived`; `now` is not before that.
    pub fn learn(&mut self, server_date: SystemTime, arrived: Instant, now: Moment) {
        let ahead = signed_seconds(server_date, now.date_of(arrived)) + MIDDLE;
        self.offset_seconds = Some(match self.offset_seconds(now) {
            // A clock that was set is not averaged with what it was before.
            Some(known) if (known - ahead).abs() < 2.0 => known + WEIGHT * (ahead - known),
            _ => ahead,
        });
    }

    /// The moment on our monotonic clock that the server's date means. `None` if it lies before the
    /// monotonic clock began.
    pub fn instant(&mut self, server_date: SystemTime, now: Moment) -> Option<Instant> {
        let ahead = self.offset_seconds(now).unwrap_or(0.0);
        let ago = signed_seconds(now.wall, server_date) - MIDDLE + ahead;
        let distance = Duration::try_from_secs_f64(ago.abs()).ok()?;
        if ago >= 0.0 {
            now.instant.checked_sub(distance)
        } else {
            now.instant.checked_add(distance)
        }
    }
}

/// `later - earlier`, which may be negative.
fn signed_seconds(later: SystemTime, earlier: SystemTime) -> f64 {
    match later.duration_since(earlier) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(error) => -error.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(1_800_000_000.0 + seconds)
    }

    /// A moment at which both clocks go together, so many seconds after a beginning.
    fn moment(zero: Instant, seconds: f64) -> Moment {
        Moment { instant: zero + Duration::from_secs_f64(seconds), wall: at(seconds) }
    }

    #[test]
    fn a_clock_that_is_five_minutes_off_is_seen_through_once_it_was_watched() {
        let (mut clock, zero) = (ServerClock::default(), Instant::now());
        for seconds in [0.2, 10.9, 20.4] {
            let now = moment(zero, seconds);
            clock.learn(at((seconds + 300.0_f64).floor()), now.instant, now);
        }
        let now = moment(zero, 100.0);
        let instant = clock.instant(at(300.0 + 60.0), now).unwrap();
        let ago = (now.instant - instant).as_secs_f64();
        assert!((ago - 40.0).abs() < 1.0, "{ago}");
    }

    #[test]
    fn a_clock_that_was_set_is_learned_anew() {
        let (mut clock, zero) = (ServerClock::default(), Instant::now());
        let (before, after) = (moment(zero, 0.5), moment(zero, 100.5));
        clock.learn(at(0.0), before.instant, before);
        clock.learn(at(400.0), after.instant, after);
        assert_eq!(clock.offset_seconds(after), Some(300.0));
    }

    #[test]
    fn setting_our_own_clock_does_not_move_the_servers() {
        for step in [-7200.0, 7200.0] {
            let (mut clock, zero) = (ServerClock::default(), Instant::now());
            let before = moment(zero, 0.5);
            clock.learn(at(300.0), before.instant, before);
            let now = Moment { wall: at(100.0 + step), ..moment(zero, 100.0) };
            let instant = clock.instant(at(300.0 + 60.0), now).unwrap();
            let seen = (instant - zero).as_secs_f64();
            assert!((seen - 60.5).abs() < 0.01, "{seen}");
            assert_eq!(clock.offset_seconds(now), Some(300.0 - step), "as it is kept");
        }
    }

    #[test]
    fn a_clock_that_is_slewed_is_followed() {
        let (mut clock, zero) = (ServerClock::default(), Instant::now());
        let start = moment(zero, 0.5);
        clock.learn(at(0.0), start.instant, start);
        for minutes in 1..=60_u32 {
            let seconds = f64::from(minutes) * 60.0;
            let now = Moment { wall: at(seconds * 1.0005), ..moment(zero, seconds) };
            assert_eq!(clock.offset_seconds(now), Some(0.0));
        }
    }

    #[test]
    fn a_date_in_the_future_is_a_moment_in_the_future() {
        let now = moment(Instant::now(), 0.0);
        let instant = ServerClock::default().instant(at(10.0), now).unwrap();
        assert_eq!(instant - now.instant, Duration::from_secs_f64(10.5));
    }
}
