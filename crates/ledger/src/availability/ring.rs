//! The latest hours, or days: those that are over as bytes, the present one open.

use std::sync::Arc;
use std::time::Duration;

use super::LATEST;
use super::bucket::Bucket;
use super::series::{self, Dated};
use crate::PerSide;

/// An hour, or a day of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Span {
    /// How long it is.
    pub fn width(self) -> Duration {
        Duration::from_millis(self.millis())
    }

    /// How many of them are kept, the present one included.
    pub fn length(self) -> u64 {
        match self {
            Span::Hour => 8 * 24,
            Span::Day => 90,
        }
    }

    pub(super) fn millis(self) -> u64 {
        match self {
            Span::Hour => 3_600_000,
            Span::Day => 86_400_000,
        }
    }

    /// The greatest number.
    pub(super) fn latest(self) -> u64 {
        LATEST / self.millis()
    }
}

/// The latest hours, or days, of which something is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ring {
    span: Span,
    /// Those that are over,
    closed: Arc<[u8]>,
    /// and the number of the last of them.
    last: u64,
    /// The number of the present one.
    number: u64,
    open: Bucket,
}

impl Ring {
    pub(super) fn new(span: Span) -> Self {
        Self { span, closed: Arc::default(), last: 0, number: 0, open: Bucket::default() }
    }

    /// As it was kept, at `now`, in milliseconds; and how far ahead of that the clock was by which it was
    /// kept, in whole hours or days.
    pub(super) fn restore(span: Span, before: &[u8], present: &[u8], now: u64) -> (Self, Duration) {
        let mut buckets = series::read(span, before);
        let last = buckets.last().map_or(0, |(number, _)| *number);
        let present = series::read(span, present).pop().filter(|(number, _)| *number > last);
        buckets.extend(present);
        let (number, open) = buckets.pop().unwrap_or_default();
        let mut ring = Self { number, open, ..Self::new(span) };
        ring.close_all(&buckets);
        let ahead = number.saturating_sub(now / span.millis());
        if ahead > 0 {
            ring.renumber(|number| number.checked_sub(ahead));
        }
        (ring, Duration::from_millis(ahead.saturating_mul(span.millis())))
    }

    /// The present one, as bytes.
    pub(super) fn present(&self) -> Arc<[u8]> {
        let open = Some((self.number, &self.open)).filter(|(_, open)| !open.is_empty());
        series::write(self.span, open.into_iter()).into()
    }

    /// Those that are over, as bytes.
    pub(super) fn before(&self) -> Arc<[u8]> {
        Arc::clone(&self.closed)
    }

    /// The present one, to be changed; [`Ring::go_to`] comes first.
    pub(super) fn open(&mut self) -> &mut Bucket {
        &mut self.open
    }

    /// All of them that are kept at `now`, in milliseconds; oldest first.
    pub(super) fn buckets(&self, now: u64) -> Vec<Dated> {
        let mut buckets = series::read(self.span, &self.closed);
        if !self.open.is_empty() {
            buckets.push((self.number, self.open.clone()));
        }
        let now = now / self.span.millis();
        buckets.retain(|(number, _)| number + self.span.length() > now);
        buckets
    }

    /// Goes on to the one of `now`, in milliseconds; whether those that are over have changed. The
    /// present one stays while the clock shows an earlier one.
    pub(super) fn go_to(&mut self, now: u64) -> bool {
        let number = now / self.span.millis();
        if number <= self.number {
            return false;
        }
        let oldest = (number + 1).saturating_sub(self.span.length());
        let mut closed = series::from(self.span, &self.closed, oldest);
        if closed.is_empty() {
            self.last = 0;
        }
        if self.number >= oldest && !self.open.is_empty() {
            series::append(self.span, &mut closed, self.last, (self.number, &self.open));
            self.last = self.number;
        }
        self.closed = closed.into();
        (self.number, self.open) = (number, Bucket::default());
        true
    }

    /// Each side had this ability between these moments; whether those that are over have changed.
    pub(super) fn count_time(
        &mut self,
        abilities: PerSide<Option<f64>>,
        from: u64,
        to: u64,
    ) -> bool {
        if abilities.iter().all(|(_, ability)| ability.is_none()) {
            return false;
        }
        let width = self.span.millis();
        // More is not kept.
        let mut from = from.max(to.saturating_sub(width * self.span.length()));
        let mut has_closed = false;
        while from < to {
            let end = (from - from % width + width).min(to);
            has_closed |= self.go_to(from);
            for (side, times) in self.open.sides.iter_mut() {
                if let Some(ability) = abilities[side] {
                    times.add(end - from, ability, width);
                }
            }
            from = end;
        }
        has_closed
    }

    /// Gives all of them other dates: a clock that showed `before` shows `now`, both in milliseconds, and what
    /// was the present one stays the present one. Whether something has changed.
    pub(super) fn shift(&mut self, before: u64, now: u64) -> bool {
        let (before, now) = (before / self.span.millis(), now / self.span.millis());
        if before == now {
            return false;
        }
        self.renumber(|number| (number + now).checked_sub(before));
        true
    }

    /// Gives all of them other numbers, in the same order; one without a number is forgotten.
    fn renumber(&mut self, renumber: impl Fn(u64) -> Option<u64>) {
        let renumber = |number| renumber(number).filter(|number| *number <= self.span.latest());
        let buckets = series::read(self.span, &self.closed).into_iter();
        let buckets = buckets.filter_map(|(number, it)| Some((renumber(number)?, it)));
        let buckets: Vec<_> = buckets.collect();
        let number = renumber(self.number);
        if number.is_none() {
            self.open = Bucket::default();
        }
        self.number = number.unwrap_or_default();
        self.close_all(&buckets);
    }

    fn close_all(&mut self, buckets: &[Dated]) {
        self.last = buckets.last().map_or(0, |(number, _)| *number);
        let buckets = buckets.iter().map(|(number, it)| (*number, it));
        self.closed = series::write(self.span, buckets).into();
    }
}
