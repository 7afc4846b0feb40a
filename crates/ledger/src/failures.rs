//! How often something failed, and of what.

use std::time::{Duration, SystemTime};

use crate::{Reason, Step};

/// How far the dates of two causes lie apart at least: their order is all that a later process has.
const APART: Duration = Duration::from_micros(1);

/// The cause of a failed dialogue: in which step, and why.
pub type Cause = (Step, Reason);

/// How often something failed, by cause, and when each was seen last. Only causes that happened take
/// memory; a cause is one of a closed set, which bounds it. The counts outlive the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures<C> {
    /// At most one for each cause, the newest last.
    causes: Vec<CauseCount<C>>,
}

/// How often one cause has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseCount<C> {
    /// The cause.
    pub cause: C,
    /// How often it has happened.
    pub count: u64,
    /// When it happened last.
    pub last: SystemTime,
}

impl<C: Copy + PartialEq> Failures<C> {
    /// Those that an earlier process has counted.
    pub fn counted(counts: impl IntoIterator<Item = CauseCount<C>>) -> Self {
        let mut causes: Vec<CauseCount<C>> = Vec::new();
        for count in counts {
            if causes.iter().all(|known| known.cause != count.cause) {
                causes.push(count);
            }
        }
        causes.sort_by_key(|it| it.last);
        Self { causes }
    }

    /// Counts one more, which is the newest whatever the clock says.
    pub fn count(&mut self, cause: C, now: SystemTime) {
        let last = self.newest().map_or(now, |newest| {
            let after = newest.last.checked_add(APART).unwrap_or(now);
            now.max(after)
        });
        let known = self.causes.iter().position(|it| it.cause == cause);
        let before = known.map_or(0, |index| self.causes.remove(index).count);
        self.causes.push(CauseCount { cause, count: before.saturating_add(1), last });
    }

    /// Gives all of them other dates: the clock was set.
    pub fn redate(&mut self, correct: impl Fn(SystemTime) -> SystemTime) {
        for cause in &mut self.causes {
            cause.last = correct(cause.last);
        }
    }

    /// Whether a date is to come, or two are the same, as [`Self::are_over`] leaves none.
    pub fn lie_ahead(&self, now: SystemTime) -> bool {
        let mut latest = now;
        self.causes.iter().rev().any(|cause| {
            let is_ahead = cause.last > latest;
            latest = cause.last.checked_sub(APART).unwrap_or(cause.last);
            is_ahead
        })
    }

    /// Dates to come, of before the clock was set back, become `now`, and age from then on. The order
    /// stays.
    pub fn are_over(&mut self, now: SystemTime) {
        let mut latest = now;
        for cause in self.causes.iter_mut().rev() {
            cause.last = cause.last.min(latest);
            latest = cause.last.checked_sub(APART).unwrap_or(cause.last);
        }
    }

    /// How many there were, whatever the cause.
    pub fn total(&self) -> u64 {
        self.of(|_| true)
    }

    /// How many there were of the causes that are `wanted`.
    pub fn of(&self, wanted: impl Fn(C) -> bool) -> u64 {
        let counts = self.causes.iter().filter(|it| wanted(it.cause)).map(|it| it.count);
        counts.fold(0, u64::saturating_add)
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&CauseCount<C>> {
        self.causes.last()
    }

    /// Every cause that has happened, the newest last.
    pub fn iter(&self) -> std::slice::Iter<'_, CauseCount<C>> {
        self.causes.iter()
    }
}

impl<C> Default for Failures<C> {
    fn default() -> Self {
        Self { causes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    const REFUSED: Cause = (Step::Connect, Reason::Refused);
    const LATE: Cause = (Step::Dns, Reason::Timeout);
    const BROKEN: Cause = (Step::Greeting, Reason::Protocol);

    #[test]
    fn the_newest_is_the_one_counted_last_whatever_the_clock_says() {
        let mut failures = Failures::default();
        assert_eq!((failures.total(), failures.newest()), (0, None));
        failures.count(REFUSED, at(10));
        failures.count(BROKEN, at(20));
        failures.count(REFUSED, at(5));
        let newest = CauseCount { cause: REFUSED, count: 2, last: at(20) + APART };
        assert_eq!(failures.newest(), Some(&newest));
        let later = Failures::counted(failures.iter().rev().copied());
        assert_eq!(later, failures, "in whatever order they were kept");
        let of = |cause| failures.of(|it| it == cause);
        assert_eq!((of(REFUSED), of(BROKEN), failures.total()), (2, 1, 3));
        assert_eq!(failures.iter().count(), 2, "one for each cause");
    }

    #[test]
    fn no_date_is_to_come_and_the_order_stays() {
        let counts = [(BROKEN, 70), (REFUSED, 60), (LATE, 10)];
        let counts = counts.map(|(cause, last)| CauseCount { cause, count: 1, last: at(last) });
        let mut failures = Failures::counted(counts);
        assert!(failures.lie_ahead(at(20)));
        failures.are_over(at(20));
        assert!(!failures.lie_ahead(at(20)));
        let dates = |failures: &Failures<Cause>| -> Vec<(Cause, SystemTime)> {
            failures.iter().map(|it| (it.cause, it.last)).collect()
        };
        let expected = [(LATE, at(10)), (REFUSED, at(20) - APART), (BROKEN, at(20))];
        assert_eq!(dates(&failures), expected);
        failures.are_over(at(30));
        assert_eq!(dates(&failures), expected, "they age");
        failures.count(LATE, at(40));
        failures = Failures::counted(failures.iter().rev().copied());
        assert_eq!(failures.newest().map(|it| it.cause), Some(LATE));
    }

    #[test]
    fn what_was_counted_goes_on_with_the_newest_last() {
        let counts = [(BROKEN, 4, 20), (REFUSED, u64::MAX, 10), (BROKEN, 7, 30)];
        let counts = counts.map(|(cause, count, last)| CauseCount { cause, count, last: at(last) });
        let mut failures = Failures::counted(counts);
        assert_eq!(failures.newest().map(|it| (it.cause, it.count)), Some((BROKEN, 4)));
        assert_eq!(failures.total(), u64::MAX);
        failures.count(REFUSED, at(40));
        assert_eq!(failures.newest().map(|it| it.cause), Some(REFUSED));
    }
}
