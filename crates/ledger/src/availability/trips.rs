//! Round trips in few bytes: how many there were of which size, and the worst.

use std::time::Duration;

/// Round trips. Their median is known to within a tenth where they have few sizes, and nearly else; the longest
/// exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trips {
    /// Size and count, by size.
    cells: Vec<(u8, u32)>,
    /// The longest, in milliseconds.
    worst: u32,
}

impl Trips {
    /// So many sizes are told apart in one hour or day. Beyond that two neighbours become one.
    pub(super) const MOST_CELLS: usize = 8;
    /// The greatest size, of 12 days and more.
    const LARGEST: u8 = 120;
    /// So many sizes until the time is twice as long.
    const PER_DOUBLING: f64 = 4.0;

    /// Of what was kept; `None` if that makes no sense.
    pub(super) fn of(cells: Vec<(u8, u32)>, worst: u32) -> Option<Self> {
        let is_ordered = cells.is_sorted_by(|one, next| one.0 < next.0);
        let is_known = |&(size, count): &(u8, u32)| size <= Self::LARGEST && count > 0;
        let is_sound = is_ordered && cells.iter().all(is_known);
        (is_sound && cells.len() <= Self::MOST_CELLS).then_some(Self { cells, worst })
    }

    pub(super) fn parts(&self) -> (&[(u8, u32)], u32) {
        (&self.cells, self.worst)
    }

    /// Adds a round trip.
    pub(super) fn observe(&mut self, trip: Duration) {
        let millis = u32::try_from(trip.as_millis()).unwrap_or(u32::MAX).max(1);
        self.worst = self.worst.max(millis);
        let size = (f64::from(millis).log2() * Self::PER_DOUBLING).round();
        self.add((size as u8).min(Self::LARGEST), 1);
        if self.cells.len() > Self::MOST_CELLS {
            self.narrow();
        }
    }

    /// Adds those of another span; sizes stay apart.
    pub(super) fn merge(&mut self, other: &Self) {
        self.worst = self.worst.max(other.worst);
        for (size, count) in &other.cells {
            self.add(*size, *count);
        }
    }

    fn add(&mut self, size: u8, more: u32) {
        match self.cells.binary_search_by_key(&size, |cell| cell.0) {
            Ok(index) => {
                if let Some((_, count)) = self.cells.get_mut(index) {
                    *count = count.saturating_add(more);
                }
            }
            Err(index) => self.cells.insert(index, (size, more)),
        }
    }

    /// Makes one of the two neighbours that are the fewest, the one with more of them.
    fn narrow(&mut self) {
        let pairs = self.cells.windows(2).enumerate().filter_map(|(index, pair)| match pair {
            [(_, one), (_, next)] => Some((one.saturating_add(*next), index)),
            _ => None,
        });
        let Some((together, index)) = pairs.min() else { return };
        let next = self.cells.remove(index + 1);
        if let Some(cell) = self.cells.get_mut(index) {
            let size = if next.1 > cell.1 { next.0 } else { cell.0 };
            *cell = (size, together);
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.cells.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    /// The median, to within a tenth unless sizes had to become one; `None`: there were none.
    pub fn median(&self) -> Option<Duration> {
        let middle = self.count().div_ceil(2);
        let mut passed = 0;
        let (size, _) = self.cells.iter().find(|(_, count)| {
            passed += u64::from(*count);
            passed >= middle
        })?;
        let millis = (f64::from(*size) / Self::PER_DOUBLING).exp2();
        Some(Duration::from_secs_f64(millis.min(self.worst.into()) / 1000.0))
    }

    /// The longest; `None`: there were none.
    pub fn worst(&self) -> Option<Duration> {
        (!self.cells.is_empty()).then(|| Duration::from_millis(self.worst.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Trips {
        let mut trips = Trips::default();
        for millis in millis {
            trips.observe(Duration::from_millis(millis));
        }
        trips
    }

    fn near(median: Option<Duration>, millis: f64) -> bool {
        median.is_some_and(|it| (it.as_secs_f64() * 1000.0 / millis - 1.0).abs() < 0.1)
    }

    #[test]
    fn the_median_is_right_to_a_tenth_at_any_size_and_the_worst_exactly() {
        assert_eq!((of([]).median(), of([]).worst(), of([]).count()), (None, None, 0));
        for exponent in 0..30 {
            for millis in [1_u64 << exponent, (1 << exponent) * 6 / 5, (1 << exponent) * 7 / 5] {
                let trips = of([1, millis, 1 << 31]);
                assert!(near(trips.median(), millis as f64), "{millis}: {:?}", trips.median());
                assert_eq!(trips.worst(), Some(Duration::from_millis(1 << 31)));
            }
        }
        assert_eq!(of([0]).worst(), Some(Duration::from_millis(1)));
        assert_eq!(of([u64::MAX]).worst(), Some(Duration::from_millis(u32::MAX.into())));
    }

    #[test]
    fn many_sizes_take_no_more_room_and_leave_the_median_near() {
        let mut trips = of((0..1000).map(|index| 1 << (index % 30)));
        assert_eq!(trips.cells.len(), Trips::MOST_CELLS);
        assert_eq!(trips.count(), 1000);
        let usual = of([400; 500]);
        trips = of((0..500).map(|index| 1 << (index % 30)).chain([400; 501]));
        trips.merge(&usual);
        assert!(near(trips.median(), 400.0), "{:?}", trips.median());
    }

    #[test]
    fn the_median_of_spans_is_that_of_all_their_mails() {
        let mut day = of([100; 10]);
        day.merge(&of([5_000; 11]));
        assert!(near(day.median(), 5_000.0));
        assert_eq!((day.count(), day.worst()), (21, Some(Duration::from_secs(5))));
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        for cells in [vec![(3, 1), (3, 1)], vec![(4, 1), (3, 1)], vec![(121, 1)], vec![(1, 0)]] {
            assert_eq!(Trips::of(cells, 1), None);
        }
        assert_eq!(Trips::of((0..9).map(|size| (size, 1)).collect(), 1), None);
        assert!(Trips::of(vec![(0, 1), (120, u32::MAX)], 1).is_some());
    }
}
