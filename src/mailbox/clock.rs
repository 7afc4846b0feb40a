//! How far a mail server's clock is off, learned from mails whose arrival was watched.

use std::time::{Duration, Instant, SystemTime};

/// A server writes whole seconds; on average it means the middle of one.
const MIDDLE: f64 = 0.5;
/// How much a new observation counts beside those before it.
const WEIGHT: f64 = 0.3;

/// The clock of the server of one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServerClock {
    /// By how many seconds it is ahead of ours; `None` before anything was learned.
    pub offset_seconds: Option<f64>,
}

impl ServerClock {
    /// The server dated a mail that we saw arrive at `arrived` by our clock.
    pub fn learn(&mut self, server_date: SystemTime, arrived: SystemTime) {
        let ahead = signed_seconds(server_date, arrived) + MIDDLE;
        self.offset_seconds = Some(match self.offset_seconds {
            // A clock that was set is not averaged with what it was before.
            Some(known) if (known - ahead).abs() < 2.0 => known + WEIGHT * (ahead - known),
            _ => ahead,
        });
    }

    /// The moment on our monotonic clock that the server's date means; `now` is one moment on both
    /// of our clocks. `None` if it lies before the monotonic clock began.
    pub fn instant(&self, server_date: SystemTime, now: (Instant, SystemTime)) -> Option<Instant> {
        let (instant, wall) = now;
        let ago = signed_seconds(wall, server_date) - MIDDLE + self.offset_seconds.unwrap_or(0.0);
        let distance = Duration::try_from_secs_f64(ago.abs()).ok()?;
        if ago >= 0.0 { instant.checked_sub(distance) } else { instant.checked_add(distance) }
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

    #[test]
    fn a_clock_that_is_five_minutes_off_is_seen_through_once_it_was_watched() {
        let mut clock = ServerClock::default();
        for seconds in [0.2, 10.9, 20.4] {
            clock.learn(at((seconds + 300.0_f64).floor()), at(seconds));
        }
        let now = (Instant::now(), at(100.0));
        let instant = clock.instant(at(300.0 + 60.0), now).unwrap();
        let ago = (now.0 - instant).as_secs_f64();
        assert!((ago - 40.0).abs() < 1.0, "{ago}");
    }

    #[test]
    fn a_clock_that_was_set_is_learned_anew() {
        let mut clock = ServerClock::default();
        clock.learn(at(0.0), at(0.5));
        clock.learn(at(400.0), at(100.5));
        assert_eq!(clock.offset_seconds, Some(300.0));
    }

    #[test]
    fn a_date_in_the_future_is_a_moment_in_the_future() {
        let now = (Instant::now(), at(0.0));
        let instant = ServerClock::default().instant(at(10.0), now).unwrap();
        assert_eq!(instant - now.0, Duration::from_secs_f64(10.5));
    }
}
