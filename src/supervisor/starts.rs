//! In which second each target begins its periods, so that no second has more starts than its share. Pure: it reads
//! no clock, and all times are counted from the moment for which it is asked.
//!
//! A target takes a phase, a place within its period, and begins there in each period. The share of a second is 20,
//! or the even rate of all targets if that is more. Where the rate is no whole number the shares of the seconds
//! differ by one, so that the starts fill the period evenly and what is free lies everywhere.

use std::collections::BTreeMap;
use std::time::Duration;

/// The least share of a second, in starts.
const LEAST_SHARE: f64 = 20.0;
/// So many seconds are looked at; a new target with a longer period begins within them.
const HORIZON: u32 = 3600;
/// A sum of rates is wrong by less than this.
const ROUNDING: f64 = 1e-6;

/// The starts of each second.
pub(super) struct Starts {
    /// The mean share of a second.
    rate: f64,
    /// The starts of each second of the horizon.
    load: Vec<u32>,
    /// Where to look for the next place, by period. No second becomes free, so that what was passed over stays so.
    searches: BTreeMap<Duration, Search>,
}

/// How far the seconds of a period are known to be taken.
#[derive(Debug, Clone, Copy, Default)]
struct Search {
    /// By new targets: all seconds before this one, with so many starts beyond their share.
    second: u32,
    beyond: u32,
    /// By those that had a phase: all seconds, with less than so many beyond it.
    kept_beyond: u32,
}

impl Starts {
    /// For targets with these periods: all that there are, those that run already included.
    pub(super) fn new(intervals: impl Iterator<Item = Duration>) -> Self {
        let even: f64 = intervals.map(|interval| interval.as_secs_f64().max(1.0).recip()).sum();
        let load = vec![0; usize::try_from(HORIZON).unwrap_or_default()];
        Self { rate: even.max(LEAST_SHARE), load, searches: BTreeMap::new() }
    }

    /// A target begins then, whatever the share is.
    pub(super) fn occupy(&mut self, first: Duration, interval: Duration) {
        for second in seconds(first, interval) {
            if let Some(load) = self.load.get_mut(second) {
                *load += 1;
            }
        }
    }

    /// When a target begins that had a phase, by which it is due then: at that time, or in the next second
    /// that has room; a period before that one, if that is not before `not_before`.
    pub(super) fn keep(
        &mut self,
        due: Duration,
        not_before: Duration,
        interval: Duration,
    ) -> Duration {
        let mut beyond = self.search(interval).kept_beyond;
        let first = loop {
            let mut later =
                (0..candidates(interval)).map(|step| due + Duration::from_secs(step.into()));
            if let Some(found) = later.find(|at| self.has_room(*at, interval, Share::Whole, beyond))
            {
                break found;
            }
            beyond += 1;
        };
        self.search(interval).kept_beyond = beyond;
        self.occupy(first, interval);
        let earlier = first.checked_sub(interval).filter(|earlier| *earlier >= not_before);
        earlier.filter(|_| first > due).unwrap_or(first)
    }

    /// When a target begins that has no phase yet: in the earliest second of one of its periods that has room, or
    /// in one of those with the fewest beyond their share; within the second beside the others.
    pub(super) fn place(&mut self, interval: Duration) -> Duration {
        self.place_after(Duration::ZERO, interval)
    }

    /// The same, of seconds that lie so much later; all targets with this period have the same distance.
    pub(super) fn place_after(&mut self, distance: Duration, interval: Duration) -> Duration {
        let from = u32::try_from(distance.as_secs()).unwrap_or(HORIZON).min(HORIZON);
        let Search { mut second, mut beyond, .. } = *self.search(interval);
        let first = loop {
            let first = self.beside_others(from + second);
            if self.has_room(first, interval, Share::OfSecond, beyond) {
                break first;
            }
            second += 1;
            if second >= candidates(interval) {
                (second, beyond) = (0, beyond + 1);
            }
        };
        let search = self.search(interval);
        (search.second, search.beyond) = (second, beyond);
        self.occupy(first, interval);
        first
    }

    fn search(&mut self, interval: Duration) -> &mut Search {
        self.searches.entry(interval).or_default()
    }

    /// Whether a target may begin then, with so many starts `beyond` the share of a second at any of its own.
    fn has_room(&self, first: Duration, interval: Duration, share: Share, beyond: u32) -> bool {
        seconds(first, interval).all(|second| {
            let load = self.load.get(second).copied().unwrap_or_default();
            load < self.share(share, second).saturating_add(beyond)
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count of starts, above zero; a float is cut off at the bounds of its type"
    )]
    fn share(&self, share: Share, second: usize) -> u32 {
        let until = |second: usize| (second as f64 * self.rate + ROUNDING).floor();
        match share {
            Share::Whole => (self.rate - ROUNDING).ceil() as u32,
            Share::OfSecond => (until(second + 1) - until(second)) as u32,
        }
    }

    /// A moment in this second, apart from the starts that it has.
    fn beside_others(&self, second: u32) -> Duration {
        let index = usize::try_from(second).unwrap_or_default();
        let load = self.load.get(index).copied().unwrap_or_default();
        let share = self.share(Share::OfSecond, index).max(1);
        Duration::from_secs(second.into()) + Duration::from_secs(1) * (load % share) / share
    }
}

/// Which share of a second.
#[derive(Clone, Copy)]
enum Share {
    /// That by which all starts fill the period evenly.
    OfSecond,
    /// The same, rounded up: what begins at a fixed distance from others may straddle two seconds.
    Whole,
}

/// How many seconds of a period are looked at.
fn candidates(interval: Duration) -> u32 {
    u32::try_from(interval.as_secs()).unwrap_or(HORIZON).clamp(1, HORIZON)
}

/// The seconds of the horizon in which a target begins, as if it always had. Periods that are longer share it: to each
/// second of the horizon belong all that lie whole horizons later.
fn seconds(first: Duration, interval: Duration) -> impl Iterator<Item = usize> {
    let interval = interval.max(Duration::from_secs(1));
    let phase = first.as_nanos() % interval.as_nanos();
    let phase = phase % Duration::from_secs(HORIZON.into()).as_nanos();
    let phase = Duration::from_nanos(u64::try_from(phase).unwrap_or_default());
    let second = |at: &Duration| usize::try_from(at.as_secs()).unwrap_or_default();
    std::iter::successors(Some(phase), move |at| at.checked_add(interval))
        .take_while(|at| at.as_secs() < HORIZON.into())
        .map(move |at| second(&at))
}

#[cfg(test)]
mod tests;
