//! How a target was over the latest hours and days: how long each side was able, which mails were late
//! and lost, how long the round trips took, and the outages. For people: a metric is not made of it.
//!
//! The share of time that a side was able is the mean of its ability over the time in which it was
//! measured. Time without a measurement (the exporter was away, a passive node was down, what was
//! measured was too old) counts neither way. Hours and days are those of UTC.
//!
//! All of it is bounded: [`Span::length`] hours and days in few bytes each, [`Outages::MOST`] outages a
//! side. Dates come from outside and may jump: nothing lies in the future, no hour holds more than an hour,
//! and no jump costs more than to go over all hours once.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Failure, PerSide, Side};
pub use bucket::{Bucket, Times};
pub use outages::{Outage, Outages};
use ring::Ring;
pub use ring::Span;
pub use trips::Trips;

mod bucket;
mod outages;
mod ring;
mod series;
mod trips;

/// How a target was; see the module.
#[derive(Debug, Clone, PartialEq)]
pub struct Availability {
    hours: Ring,
    days: Ring,
    outages: Outages,
    /// The present hour and day as they were last taken,
    taken: PerSpan,
    /// whether those that are over have changed since then,
    has_closed: bool,
    /// and the outages.
    has_turned: bool,
}

/// What is kept of it. The bytes are a format of their own, which checks itself when it is read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeptAvailability {
    /// The present hour and day.
    pub present: PerSpan,
    /// Those before.
    pub before: PerSpan,
    /// The outages, oldest first.
    pub outages: PerSide<Vec<Outage>>,
    /// When the present hour and day were last written, by the clock of then; `None`: never.
    pub written: Option<SystemTime>,
}

/// The hours, and the days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerSpan {
    /// The hours.
    pub hours: Arc<[u8]>,
    /// The days.
    pub days: Arc<[u8]>,
}

/// What is to be kept of it now.
#[derive(Debug, Clone, PartialEq)]
pub struct AvailabilityChanges {
    /// The present hour and day; `None`: they have not changed, as the others.
    pub present: Option<PerSpan>,
    /// Those before.
    pub before: Option<PerSpan>,
    /// The outages, oldest first.
    pub outages: Option<PerSide<Vec<Outage>>>,
}

impl AvailabilityChanges {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.present.is_none() && self.before.is_none() && self.outages.is_none()
    }

    /// Adds what has changed after these.
    pub fn then(&mut self, newer: Self) {
        self.present = newer.present.or(self.present.take());
        self.before = newer.before.or(self.before.take());
        self.outages = newer.outages.or(self.outages.take());
    }
}

impl KeptAvailability {
    /// Brings it up to date with changes of this moment.
    pub fn apply(&mut self, changes: &AvailabilityChanges, now: SystemTime) {
        self.written = Some(now);
        if let Some(present) = &changes.present {
            self.present = present.clone();
        }
        if let Some(before) = &changes.before {
            self.before = before.clone();
        }
        if let Some(outages) = &changes.outages {
            self.outages = outages.clone();
        }
    }
}

impl Default for Availability {
    fn default() -> Self {
        Self {
            hours: Ring::new(Span::Hour),
            days: Ring::new(Span::Day),
            outages: Outages::default(),
            taken: PerSpan::default(),
            has_closed: false,
            has_turned: false,
        }
    }
}

impl Availability {
    /// As it was kept. What does not make sense is left out. Where the newest would lie in the future, for the
    /// clock was another, all of it is redated so that this ends now.
    pub fn restore(kept: &KeptAvailability, now: SystemTime) -> Self {
        let KeptAvailability { present, before, outages, written } = kept;
        let restore = |span, before, present| Ring::restore(span, before, present, millis(now));
        let (hours, hours_ahead) = restore(Span::Hour, &before.hours, &present.hours);
        let (days, days_ahead) = restore(Span::Day, &before.days, &present.days);
        let mut outages = Outages::restore(outages, hours_ahead, now);
        let has_ended = written.is_some_and(|written| outages.leave_unseen(written, now));
        // What has another date now is to be kept anew.
        let (has_closed, has_turned) =
            (!hours_ahead.max(days_ahead).is_zero(), !hours_ahead.is_zero() || has_ended);
        Self { hours, days, outages, taken: PerSpan::default(), has_closed, has_turned }
    }

    /// What is to be kept now, and what of it has changed since this was last asked.
    pub fn take_changes(&mut self) -> AvailabilityChanges {
        let present = PerSpan { hours: self.hours.present(), days: self.days.present() };
        let before = PerSpan { hours: self.hours.before(), days: self.days.before() };
        let has_changed = present != self.taken;
        self.taken = present.clone();
        AvailabilityChanges {
            present: has_changed.then_some(present),
            before: std::mem::take(&mut self.has_closed).then_some(before),
            outages: std::mem::take(&mut self.has_turned).then(|| self.outages.all()),
        }
    }

    /// Whether an outage has begun or ended since the changes were last taken.
    pub fn has_turned(&self) -> bool {
        self.has_turned
    }

    /// Each side had this ability, from 0 to 1, between these two dates; `None`: it was not measured.
    pub fn count_time(
        &mut self,
        abilities: PerSide<Option<f64>>,
        from: SystemTime,
        to: SystemTime,
    ) {
        let (from, to) = (millis(from), millis(to));
        for ring in [&mut self.hours, &mut self.days] {
            self.has_closed |= ring.count_time(abilities, from, to);
        }
    }

    /// So many mails became late and were lost.
    pub fn count_mails(&mut self, late: u64, lost: u64, now: SystemTime) {
        if late > 0 || lost > 0 {
            self.change(now, |bucket| bucket.count_mails(late, lost));
        }
    }

    /// A mail has arrived after this round trip.
    pub fn count_roundtrip(&mut self, roundtrip: Duration, now: SystemTime) {
        self.change(now, |bucket| bucket.trips.observe(roundtrip));
    }

    fn change(&mut self, now: SystemTime, change: impl Fn(&mut Bucket)) {
        for ring in [&mut self.hours, &mut self.days] {
            self.has_closed |= ring.go_to(millis(now));
            change(ring.open());
        }
    }

    /// An attempt on a side has failed: an outage begins, if none goes on.
    pub fn failed(&mut self, side: Side, failure: &Failure, now: SystemTime) {
        self.has_turned |= self.outages.begin(side, failure, now);
    }

    /// An attempt on a side has succeeded, or its failures say nothing any more: the outage that goes on
    /// ends.
    pub fn recovered(&mut self, side: Side, now: SystemTime) {
        self.has_turned |= self.outages.end(side, now);
    }

    /// The clock was set while it showed `before`, and shows `now`: what happened until then has another date.
    pub fn follow(&mut self, before: SystemTime, now: SystemTime) {
        for ring in [&mut self.hours, &mut self.days] {
            self.has_closed |= ring.shift(millis(before), millis(now));
        }
        self.has_turned |= self.outages.redate(before, now);
    }

    /// The hours or days of which something is known, oldest first, each with its beginning; no older ones
    /// than are kept at `now`.
    pub fn buckets(&self, span: Span, now: SystemTime) -> Vec<(SystemTime, Bucket)> {
        let ring = match span {
            Span::Hour => &self.hours,
            Span::Day => &self.days,
        };
        let buckets = ring.buckets(millis(now)).into_iter();
        buckets.map(|(number, bucket)| (beginning(span, number), bucket)).collect()
    }

    /// The outages of a side, newest first.
    pub fn outages(&self, side: Side) -> impl Iterator<Item = &Outage> {
        self.outages.of(side)
    }
}

/// Hours and days are counted from so long before 1970: where a clock begins with that year, because it
/// was not set yet, those before it have a number too.
const BEFORE_1970: Duration = Duration::from_secs(100 * 86_400);

/// The latest date, so that what is reckoned from it does not overflow: some year 70,000.
const LATEST: u64 = 1 << 51;

/// Milliseconds since the first hour and day.
fn millis(date: SystemTime) -> u64 {
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default() + BEFORE_1970;
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(LATEST)
}

/// The beginning of an hour or a day.
fn beginning(span: Span, number: u64) -> SystemTime {
    let since = Duration::from_millis(number.saturating_mul(span.millis()).min(LATEST));
    UNIX_EPOCH
        .checked_sub(BEFORE_1970)
        .and_then(|first| first.checked_add(since))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
