//! How often something failed, and of what.

use std::time::SystemTime;

use crate::{Reason, Step};

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

    /// Counts one more.
    pub fn count(&mut self, cause: C, now: SystemTime) {
        let known = self.causes.iter().position(|it| it.cause == cause);
        let before = known.map_or(0, |index| self.causes.remove(index).count);
        self.causes.push(CauseCount { cause, count: before.saturating_add(1), last: now });
    }

    /// Gives all of them other dates: the clock was set.
    pub fn redate(&mut self, correct: impl Fn(SystemTime) -> SystemTime) {
        for cause in &mut self.causes {
            cause.last = correct(cause.last);
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
    const BROKEN: Cause = (Step::Greeting, Reason::Protocol);

    #[test]
    fn the_newest_is_the_one_counted_last_whatever_the_clock_says() {
        let mut failures = Failures::default();
        assert_eq!((failures.total(), failures.newest()), (0, None));
        failures.count(REFUSED, at(10));
        failures.count(BROKEN, at(20));
        failures.count(REFUSED, at(5));
        let newest = CauseCount { cause: REFUSED, count: 2, last: at(5) };
        assert_eq!(failures.newest(), Some(&newest));
        let of = |cause| failures.of(|it| it == cause);
        assert_eq!((of(REFUSED), of(BROKEN), failures.total()), (2, 1, 3));
        assert_eq!(failures.iter().count(), 2, "one for each cause");
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
