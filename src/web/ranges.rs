//! How a target was over the last day, week and month, and its outages, for the JSON, the pages and the badge.

use std::time::{Duration, SystemTime};

use ledger::{Availability, Bucket, Outage, Side, Span, Times};

/// A time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Range {
    /// The present hour and the 24 before it.
    Day,
    /// The present hour and the 168 before it.
    Week,
    /// Today and the 29 days before, of UTC: the days of the strip.
    Month,
}

impl Range {
    /// All of them, the shortest first.
    pub(in crate::web) const ALL: [Range; 3] = [Range::Day, Range::Week, Range::Month];

    /// Its name in an address and in the JSON.
    pub(in crate::web) fn name(self) -> &'static str {
        match self {
            Range::Day => "24h",
            Range::Week => "7d",
            Range::Month => "30d",
        }
    }

    /// For people.
    pub(in crate::web) fn words(self) -> &'static str {
        match self {
            Range::Day => "24 h",
            Range::Week => "7 d",
            Range::Month => "30 d",
        }
    }

    /// The one of this name.
    pub(in crate::web) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|range| range.name() == name)
    }

    fn span(self) -> (Span, u32) {
        match self {
            Range::Day => (Span::Hour, 24),
            Range::Week => (Span::Hour, 7 * 24),
            Range::Month => (Span::Day, 29),
        }
    }

    /// How long it is, without the present hour or day.
    pub(in crate::web) fn length(self) -> Duration {
        let (span, count) = self.span();
        span.width() * count
    }

    /// All that is known of it.
    pub(in crate::web) fn of(self, availability: &Availability, now: SystemTime) -> Bucket {
        let (span, _) = self.span();
        self.sum(&availability.buckets(span, now), now)
    }

    /// The same of the hours or days.
    fn sum(self, buckets: &[(SystemTime, Bucket)], now: SystemTime) -> Bucket {
        let (span, count) = self.span();
        let reach = span.width() * (count + 1);
        let mut sum = Bucket::default();
        for (begins, bucket) in buckets {
            if now.duration_since(*begins).is_ok_and(|age| age < reach) {
                sum.merge(bucket);
            }
        }
        sum
    }
}

/// All that is shown of a target, read once.
pub(in crate::web) struct Summary {
    /// Of each range, the shortest first, all that is known of it.
    pub(in crate::web) ranges: [(Range, Bucket); 3],
    /// The hours of which something is known, oldest first,
    pub(in crate::web) hours: Vec<(SystemTime, Bucket)>,
    /// and the days.
    pub(in crate::web) days: Vec<(SystemTime, Bucket)>,
}

impl Summary {
    /// As it is at `now`.
    pub(in crate::web) fn of(availability: &Availability, now: SystemTime) -> Self {
        let [hours, days] = [Span::Hour, Span::Day].map(|span| availability.buckets(span, now));
        let ranges = Range::ALL.map(|range| match range.span().0 {
            Span::Hour => (range, range.sum(&hours, now)),
            Span::Day => (range, range.sum(&days, now)),
        });
        Self { ranges, hours, days }
    }
}

/// The outages of both sides, the newest first.
pub(in crate::web) fn outages(availability: &Availability) -> Vec<(Side, &Outage)> {
    let both = Side::ALL.into_iter();
    let both = both.flat_map(|side| availability.outages(side).map(move |outage| (side, outage)));
    let mut outages: Vec<_> = both.collect();
    outages.sort_by_key(|(_, outage)| std::cmp::Reverse(outage.began));
    outages
}

/// The side that was able for the lesser share of its time, with the times; `None`: neither was measured.
pub(in crate::web) fn lesser(bucket: &Bucket) -> Option<(Side, Times)> {
    let shares = Side::ALL.into_iter().filter_map(|side| {
        let times = bucket.sides[side];
        Some((times.share()?, side, times))
    });
    shares.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, side, times)| (side, times))
}

/// The share of the measured time in which a side was able, in hundredths of a percent and rounded down: it
/// is 10,000 only if there was no other time. `None`: nothing was measured.
pub(in crate::web) fn hundredths(times: &Times) -> Option<u64> {
    let (able, measured) = (times.able().as_millis(), times.measured().as_millis());
    let share = (able * 10_000).checked_div(measured)?;
    u64::try_from(share).ok()
}

/// The same for people: `99.98 %`, `100 %`.
pub(in crate::web) fn percent(times: &Times) -> Option<String> {
    Some(match hundredths(times)? {
        10_000 => "100 %".to_owned(),
        0 if times.able().is_zero() => "0 %".to_owned(),
        share => format!("{}.{:02} %", share / 100, share % 100),
    })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use ledger::PerSide;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn times(able: Duration, unable: Duration) -> Times {
        let (mut availability, at) = (Availability::default(), UNIX_EPOCH + DAY * 20_000);
        let able_then = PerSide { send: Some(1.0), receive: None };
        availability.count_time(able_then, at, at + able);
        let unable_then = PerSide { send: Some(0.0), receive: None };
        availability.count_time(unable_then, at + able, at + able + unable);
        Range::Month.of(&availability, at + able + unable).sides.send
    }

    #[test]
    fn no_share_is_rounded_up_to_all() {
        let second = Duration::from_secs(1);
        for (able, unable, words) in [
            (DAY * 20, Duration::ZERO, Some("100 %")),
            (DAY * 20, second / 1000, Some("99.99 %")),
            (DAY, DAY / 10_000, Some("99.99 %")),
            (HOUR, HOUR, Some("50.00 %")),
            (second / 1000, DAY, Some("0.00 %")),
            (Duration::ZERO, DAY, Some("0 %")),
            (Duration::ZERO, Duration::ZERO, None),
        ] {
            assert_eq!(percent(&times(able, unable)).as_deref(), words);
        }
    }

    #[test]
    fn a_range_reaches_as_far_as_it_says_and_no_further() {
        let mut availability = Availability::default();
        let now = UNIX_EPOCH + DAY * 20_000 + HOUR * 5;
        let able = PerSide { send: Some(1.0), receive: Some(1.0) };
        availability.count_time(able, now - DAY * 60, now);
        let measured = |range: Range| range.of(&availability, now + HOUR / 2).sides.send.measured();
        assert_eq!(measured(Range::Day), HOUR * 24);
        assert_eq!(measured(Range::Week), HOUR * 24 * 7);
        assert_eq!(measured(Range::Month), DAY * 29 + HOUR * 5);
    }

    #[test]
    fn the_side_that_is_shown_is_the_worse_of_those_that_were_measured() {
        let mut availability = Availability::default();
        let at = UNIX_EPOCH + DAY * 20_000;
        assert_eq!(lesser(&Range::Day.of(&availability, at)), None);
        availability.count_time(PerSide { send: Some(0.5), receive: None }, at, at + HOUR);
        let side = |availability: &Availability| {
            lesser(&Range::Day.of(availability, at + HOUR)).map(|(side, _)| side)
        };
        assert_eq!(side(&availability), Some(Side::Send));
        availability.count_time(PerSide { send: Some(1.0), receive: Some(0.1) }, at, at + HOUR);
        assert_eq!(side(&availability), Some(Side::Receive));
    }
}
