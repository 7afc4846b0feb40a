//! When a mail arrived: at the look that first showed it, or, where nobody looked for a while, at
//! the moment that the server's own date picks.

use std::time::{Duration, Instant};

use super::{LookStyle, Sighting};

/// What is looked for no further apart than this is watched, whatever the schedule.
const WATCHED: Duration = Duration::from_secs(1);
/// A server's date so far outside of what is possible is still believed.
const BELIEVED: Duration = Duration::from_secs(2);

/// When a mail arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was looked for as the schedule says: the look that first showed it tells.
    Watched(Instant),
    /// Between two looks that lie further apart; the server's date picks the moment.
    Dated(Instant),
    /// Nobody can tell: received, without a round trip.
    Unknown,
}

impl Arrival {
    /// The moment, if it is known.
    pub(super) fn instant(self) -> Option<Instant> {
        match self {
            Arrival::Watched(instant) | Arrival::Dated(instant) => Some(instant),
            Arrival::Unknown => None,
        }
    }
}

/// The arrival of a mail that was transmitted and accepted at these moments.
pub(super) fn arrival(transmitted: Instant, accepted: Instant, sighting: &Sighting) -> Arrival {
    let latest = sighting.shown_at;
    if latest < transmitted {
        // A mistake, not a delay of nothing.
        return Arrival::Unknown;
    }
    let earliest = sighting.previous_look.map_or(transmitted, |look| look.max(transmitted));
    let waited = latest.saturating_duration_since(accepted);
    let step = match sighting.style {
        LookStyle::Command => waited / 8,
        LookStyle::Session => waited / 3,
    };
    if latest.saturating_duration_since(earliest) <= step + WATCHED {
        return Arrival::Watched(latest);
    }
    match sighting.dated {
        Some(dated) if dated + BELIEVED >= earliest && dated <= latest + BELIEVED => {
            Arrival::Dated(dated.max(earliest).min(latest))
        }
        _ => Arrival::Unknown,
    }
}

/// Whether the looks tell the arrival to a second: good enough to learn the server's clock from.
pub(super) fn is_narrow(transmitted: Instant, sighting: &Sighting) -> bool {
    let earliest = sighting.previous_look.map_or(transmitted, |look| look.max(transmitted));
    sighting.shown_at >= transmitted
        && sighting.shown_at.saturating_duration_since(earliest) <= WATCHED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::ledger::FoundIn;

    const SECOND: Duration = Duration::from_secs(1);

    /// Transmitted at 100 s; all times in seconds on one clock.
    fn arrived(
        previous: Option<u32>,
        shown: u32,
        dated: Option<u32>,
        style: LookStyle,
    ) -> Option<f64> {
        let zero = Instant::now();
        let at = |seconds: u32| zero + SECOND * seconds;
        let sighting = Sighting {
            folder: FoundIn::Inbox,
            shown_at: at(shown),
            previous_look: previous.map(at),
            dated: dated.map(at),
            style,
        };
        let arrival = arrival(at(100), at(101), &sighting);
        arrival.instant().map(|instant| (instant - zero).as_secs_f64())
    }

    #[test]
    fn a_watched_mail_arrives_at_the_look_whatever_the_server_dates() {
        assert_eq!(arrived(Some(139), 140, Some(120), LookStyle::Command), Some(140.0));
        assert_eq!(arrived(Some(130), 140, None, LookStyle::Session), Some(140.0));
        assert_eq!(arrived(Some(50), 101, Some(5), LookStyle::Command), Some(101.0));
    }

    #[test]
    fn where_nobody_looked_the_servers_date_picks_the_moment() {
        for style in [LookStyle::Command, LookStyle::Session] {
            assert_eq!(arrived(Some(110), 400, Some(250), style), Some(250.0));
            assert_eq!(arrived(None, 400, Some(150), style), Some(150.0), "after a restart");
        }
    }

    #[test]
    fn a_date_a_little_outside_is_moved_in_and_one_far_outside_is_not_believed() {
        assert_eq!(arrived(Some(110), 400, Some(108), LookStyle::Command), Some(110.0));
        assert_eq!(arrived(Some(110), 400, Some(402), LookStyle::Command), Some(400.0));
        assert_eq!(arrived(Some(110), 400, Some(107), LookStyle::Command), None);
        assert_eq!(arrived(Some(110), 400, Some(403), LookStyle::Command), None);
        assert_eq!(arrived(Some(110), 400, None, LookStyle::Command), None);
    }

    #[test]
    fn a_sighting_from_before_the_transmission_is_a_mistake() {
        assert_eq!(arrived(None, 99, Some(99), LookStyle::Command), None);
    }

    #[test]
    fn only_a_bracket_of_a_second_is_good_enough_for_learning_a_clock() {
        let zero = Instant::now();
        let sighting = |previous: u32, shown: u32| Sighting {
            folder: FoundIn::Inbox,
            shown_at: zero + SECOND * shown,
            previous_look: Some(zero + SECOND * previous),
            dated: None,
            style: LookStyle::Command,
        };
        assert!(is_narrow(zero, &sighting(600, 601)));
        assert!(
            !is_narrow(zero, &sighting(600, 660)),
            "watched by the schedule, but a minute wide"
        );
        assert!(!is_narrow(zero + SECOND * 700, &sighting(600, 601)), "before the transmission");
    }
}
