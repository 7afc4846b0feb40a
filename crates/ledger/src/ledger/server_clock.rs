//! How far a mail server's clock is off ours: an interval that each mail narrows, that widens as the
//! clocks drift apart, and that is thrown away when a mail contradicts it, for then a clock was set.
//! Pure, as the rest of the ledger.

use std::time::{Duration, SystemTime};

use super::{Bracket, Moment, WallClock};
use crate::LineInstant;

/// A server writes whole seconds and drops the rest.
const RESOLUTION: f64 = 1.0;
/// A server may date a mail this long before it shows it.
const EARLY: f64 = 0.1;
/// How much two clocks drift apart in a second, at most: as fast as an operating system slews its own.
const DRIFT: f64 = 0.000_5;

/// By how many seconds the server's clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockOffset {
    /// Not by less.
    pub least: f64,
    /// Nor by more.
    pub most: f64,
    /// When that was so, by our clock.
    pub known_at: SystemTime,
}

impl ClockOffset {
    /// What is left of it at `now`.
    fn widened(&self, now: SystemTime) -> Self {
        let apart = signed_seconds(now, self.known_at).abs() * DRIFT;
        Self { least: self.least - apart, most: self.most + apart, known_at: now }
    }

    fn common(&self, other: &Self) -> Option<Self> {
        let both = Self {
            least: self.least.max(other.least),
            most: self.most.min(other.most),
            known_at: other.known_at,
        };
        (both.least <= both.most).then_some(both)
    }
}

/// The clock of the server of one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServerClock {
    /// As ours is set now; `None` before anything was learned.
    offset: Option<ClockOffset>,
    ours: WallClock,
}

impl ServerClock {
    /// A clock of which this was learned before.
    pub fn new(offset: Option<ClockOffset>) -> Self {
        let is_sound =
            |it: &ClockOffset| it.least.is_finite() && it.most.is_finite() && it.least <= it.most;
        Self { offset: offset.filter(is_sound), ours: WallClock::default() }
    }

    /// By how much it is ahead of our wall clock as that is set now, and when that was learned; `None`
    /// before anything was.
    pub fn offset(&mut self, now: Moment) -> Option<ClockOffset> {
        // Ours was set, and the server's goes on as before.
        if let Some(jump) = self.ours.jump(now)
            && let Some(offset) = &mut self.offset
        {
            offset.least -= jump.seconds();
            offset.most -= jump.seconds();
            offset.known_at = jump.correct(offset.known_at);
        }
        self.offset
    }

    /// The server dated a mail that arrived within `arrived`; `now` is not before that.
    pub fn learn(&mut self, server_date: SystemTime, arrived: Bracket, now: Moment) {
        let (earliest, latest) = (now.date_of(arrived.earliest), now.date_of(arrived.latest));
        let told = ClockOffset {
            least: signed_seconds(server_date, latest),
            most: signed_seconds(server_date, earliest) + RESOLUTION + EARLY,
            known_at: now.wall,
        };
        let known = self.offset(now).map(|offset| offset.widened(now.wall));
        self.offset = Some(known.and_then(|known| known.common(&told)).unwrap_or(told));
    }

    /// The span on our time line that the server's date means. `None` before its clock was learned.
    pub fn span(&mut self, server_date: SystemTime, now: Moment) -> Option<Bracket> {
        let offset = self.offset(now)?.widened(now.wall);
        let date = signed_seconds(server_date, now.wall);
        Some(Bracket {
            earliest: shifted(now.instant, date - offset.most)?,
            latest: shifted(now.instant, date - offset.least + RESOLUTION + EARLY)?,
        })
    }
}

/// The moment so many seconds after `instant`, or before it; `None` where the time line does not reach.
fn shifted(instant: LineInstant, seconds: f64) -> Option<LineInstant> {
    let distance = Duration::try_from_secs_f64(seconds.abs()).ok()?;
    if seconds < 0.0 { instant.checked_sub(distance) } else { instant.checked_add(distance) }
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
    fn moment(zero: LineInstant, seconds: f64) -> Moment {
        Moment { instant: zero + Duration::from_secs_f64(seconds), wall: at(seconds) }
    }

    /// A mail that came at `seconds` and was watched to a tenth, dated by a clock that is `ahead`.
    fn came(clock: &mut ServerClock, zero: LineInstant, seconds: f64, ahead: f64) {
        let now = moment(zero, seconds + 0.05);
        let arrived =
            Bracket { earliest: moment(zero, seconds - 0.05).instant, latest: now.instant };
        clock.learn(at((seconds + ahead).floor()), arrived, now);
    }

    fn span(
        clock: &mut ServerClock,
        zero: LineInstant,
        date: f64,
        now: Moment,
    ) -> Option<(f64, f64)> {
        let span = clock.span(at(date), now)?;
        let seconds = |instant: LineInstant| (instant - zero).as_secs_f64();
        Some((seconds(span.earliest), seconds(span.latest)))
    }

    #[test]
    fn before_anything_is_learned_a_date_means_nothing() {
        let now = moment(crate::some_instant(), 0.0);
        assert_eq!(ServerClock::default().span(at(-5.0), now), None);
    }

    #[test]
    fn each_mail_narrows_what_is_known() {
        let (mut clock, zero) =
            (ServerClock::default(), crate::some_instant() + Duration::from_secs(900));
        let mut widths = Vec::new();
        for seconds in [10.3, 20.8, 30.1, 40.6, 50.95] {
            came(&mut clock, zero, seconds, 300.0);
            let offset = clock.offset(moment(zero, seconds + 0.05)).unwrap();
            assert!(offset.least <= 300.0 && 300.0 <= offset.most, "{offset:?}");
            widths.push(offset.most - offset.least);
        }
        assert!(widths[0] > 1.0 && widths[4] < 0.5, "{widths:?}");
        let now = moment(zero, 100.0);
        let (earliest, latest) = span(&mut clock, zero, 360.0, now).unwrap();
        assert!(
            earliest <= 60.0 && 61.0 <= latest && latest - earliest < 1.7,
            "{earliest} {latest}"
        );
    }

    #[test]
    fn a_mail_that_nobody_watched_teaches_as_well() {
        let (mut clock, zero) =
            (ServerClock::default(), crate::some_instant() + Duration::from_secs(900));
        let now = moment(zero, 60.0);
        let arrived = Bracket { earliest: moment(zero, 50.0).instant, latest: now.instant };
        clock.learn(at(55.0 + 5.0), arrived, now);
        let offset = clock.offset(now).unwrap();
        assert!(offset.least <= 5.0 && 5.0 <= offset.most, "{offset:?}");
        assert!(offset.most - offset.least < 12.0, "{offset:?}");
    }

    #[test]
    fn a_clock_that_was_set_is_learned_anew() {
        let (mut clock, zero) =
            (ServerClock::default(), crate::some_instant() + Duration::from_secs(900));
        came(&mut clock, zero, 0.5, 0.0);
        came(&mut clock, zero, 100.5, 300.0);
        let offset = clock.offset(moment(zero, 101.0)).unwrap();
        assert!(offset.least > 298.0 && offset.most < 302.0, "{offset:?}");
    }

    #[test]
    fn what_is_known_widens_as_clocks_drift() {
        let (mut clock, zero) =
            (ServerClock::default(), crate::some_instant() + Duration::from_secs(900));
        came(&mut clock, zero, 0.5, 0.0);
        let width = |clock: &mut ServerClock, seconds: f64| {
            span(clock, zero, seconds, moment(zero, seconds)).map(|(from, to)| to - from)
        };
        let (soon, later) = (width(&mut clock, 1.0).unwrap(), width(&mut clock, 3601.0).unwrap());
        assert!((later - soon - 3.6).abs() < 0.1, "{soon} {later}");
    }

    #[test]
    fn setting_our_own_clock_does_not_move_the_servers() {
        for jump in [-7200.0, 7200.0] {
            let zero = crate::some_instant() + Duration::from_secs(9000);
            let mut clock = ServerClock::default();
            came(&mut clock, zero, 0.5, 300.0);
            let now = Moment { wall: at(100.0 + jump), ..moment(zero, 100.0) };
            let (earliest, latest) = span(&mut clock, zero, 360.0, now).unwrap();
            assert!(earliest <= 60.0 && 61.0 <= latest && latest - earliest < 3.5);
            let kept = clock.offset(now).unwrap();
            assert!((kept.least - (300.0 - jump)).abs() < 2.0, "as it is kept: {kept:?}");
        }
    }

    #[test]
    fn what_is_kept_makes_sense_or_is_not_used() {
        let known_at = at(0.0);
        for (least, most) in [(f64::NAN, 1.0), (f64::NEG_INFINITY, 1.0), (2.0, 1.0)] {
            let offset = ClockOffset { least, most, known_at };
            assert_eq!(ServerClock::new(Some(offset)), ServerClock::default());
        }
    }
}
