use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

fn of(intervals: &[Duration]) -> Starts {
    Starts::new(intervals.iter().copied())
}

/// The first starts of so many new targets.
fn placed(count: usize, interval: Duration) -> Vec<Duration> {
    let mut starts = of(&vec![interval; count]);
    (0..count).map(|_| starts.place(interval)).collect()
}

/// The most starts of a second, and how many seconds have one.
fn fullest(firsts: &[Duration]) -> (usize, usize) {
    let mut seconds: BTreeMap<u64, usize> = BTreeMap::new();
    firsts.iter().for_each(|first| *seconds.entry(first.as_secs()).or_default() += 1);
    (seconds.values().copied().max().unwrap_or_default(), seconds.len())
}

#[test]
fn a_few_targets_start_at_once_and_beside_each_other() {
    assert_eq!(placed(1, FIVE_MINUTES), [Duration::ZERO]);
    let three = placed(3, HOUR);
    assert_eq!(three, [0, 50, 100].map(Duration::from_millis));
}

#[test]
fn two_hundred_targets_start_within_ten_seconds() {
    let firsts = placed(200, FIVE_MINUTES);
    assert_eq!(fullest(&firsts), (20, 10));
    let mut apart = firsts.clone();
    apart.dedup();
    assert_eq!(apart.len(), 200, "no two at the same moment");
}

#[test]
fn ten_thousand_targets_fill_the_period_evenly() {
    let firsts = placed(10_000, FIVE_MINUTES);
    assert_eq!(fullest(&firsts), (34, 300));
    assert!(firsts.iter().all(|first| *first < FIVE_MINUTES));
    let early = firsts.iter().filter(|first| first.as_secs() < 30).count();
    assert_eq!(early, 1_000, "a tenth of them in a tenth of the period");
}

#[test]
fn what_runs_stays_and_what_is_new_fills_the_gaps() {
    let intervals = vec![FIVE_MINUTES; 6_000];
    let mut starts = of(&intervals);
    // All seconds but the hundredth are full; the running ones begin in their next period.
    for second in (0..300).filter(|second| *second != 100) {
        (0..20).for_each(|_| starts.occupy(FIVE_MINUTES + SECOND * second, FIVE_MINUTES));
    }
    let news: Vec<Duration> = (0..20).map(|_| starts.place(FIVE_MINUTES)).collect();
    assert!(news.iter().all(|first| first.as_secs() == 100), "{news:?}");
    assert_eq!(starts.load.iter().max(), Some(&20));
}

#[test]
fn periods_of_ten_seconds_and_of_an_hour_share_the_seconds() {
    let intervals = [vec![SECOND * 10; 300], vec![HOUR; 300]].concat();
    let mut starts = of(&intervals);
    let often: Vec<Duration> = (0..300).map(|_| starts.place(SECOND * 10)).collect();
    let seldom: Vec<Duration> = (0..300).map(|_| starts.place(HOUR)).collect();
    assert!(often.iter().all(|first| *first < SECOND * 10));
    let (most, least) = (starts.load.iter().max(), starts.load.iter().min());
    assert_eq!((most, least), (Some(&31), Some(&30)), "30.08 a second");
    assert!(seldom.iter().any(|first| *first > HOUR / 2));
}

#[test]
fn more_targets_than_any_share_are_spread_as_evenly_as_can_be() {
    let mut starts = of(&[]);
    let firsts: Vec<Duration> = (0..1_000).map(|_| starts.place(SECOND * 10)).collect();
    assert_eq!(fullest(&firsts), (100, 10));
}

#[test]
fn a_phase_is_kept_where_there_is_room() {
    let intervals = vec![FIVE_MINUTES; 200];
    let mut starts = of(&intervals);
    for index in 0..200 {
        let due = Duration::from_millis(1_500 * index);
        assert_eq!(starts.keep(due, due, FIVE_MINUTES), due);
    }
}

#[test]
fn phases_that_crowd_a_second_are_moved_to_the_next_gap_and_not_before_their_time() {
    let intervals = vec![FIVE_MINUTES; 10_000];
    let mut starts = of(&intervals);
    // All of them within 30 s, as earlier versions began.
    let dues: Vec<Duration> = (0..10_000).map(|index| Duration::from_millis(3 * index)).collect();
    let firsts: Vec<Duration> =
        dues.iter().map(|due| starts.keep(*due, *due, FIVE_MINUTES)).collect();
    let all_in_time = dues.iter().zip(&firsts).all(|(due, first)| first >= due);
    assert!(all_in_time && firsts.iter().zip(&dues).all(|(at, due)| *at < *due + FIVE_MINUTES));
    assert_eq!(starts.load.iter().max(), Some(&34));
    let stayed = dues.iter().zip(&firsts).filter(|(due, first)| due == first).count();
    assert!(stayed >= 34, "{stayed}");
}

#[test]
fn phases_beyond_an_hour_are_moved_apart_as_well() {
    let interval = HOUR * 6;
    let mut starts = of(&vec![interval; 2_000]);
    let due = HOUR * 4;
    let firsts: Vec<Duration> =
        (0..2_000).map(|index| starts.keep(due + SECOND / 100 * index, due, interval)).collect();
    assert_eq!(fullest(&firsts).0, 20);
    assert!(firsts.iter().all(|first| *first >= due && *first < due + HOUR));
}

#[test]
fn one_that_is_not_due_by_a_mail_begins_a_period_earlier() {
    let intervals = vec![SECOND * 10; 300];
    let mut starts = of(&intervals);
    // Their period was an hour before.
    let firsts: Vec<Duration> =
        (0..300).map(|_| starts.keep(SECOND * 10, Duration::ZERO, SECOND * 10)).collect();
    assert!(firsts.iter().all(|first| *first <= SECOND * 10), "{firsts:?}");
    assert_eq!(fullest(&firsts).0, 30);
}

#[test]
fn after_a_restart_the_seconds_are_counted_anew_and_nobody_moves_far() {
    let intervals = vec![FIVE_MINUTES; 10_000];
    let before = placed(10_000, FIVE_MINUTES);
    let mut starts = of(&intervals);
    // Sent a little after its time, and due by a clock whose seconds begin elsewhere.
    let mut dues: Vec<Duration> = before
        .iter()
        .enumerate()
        .map(|(index, first)| {
            *first + Duration::from_millis(370 + u64::try_from(index % 30).unwrap())
        })
        .collect();
    dues.sort();
    let moved: Vec<Duration> =
        dues.iter().map(|due| starts.keep(*due, *due, FIVE_MINUTES) - *due).collect();
    assert_eq!(starts.load.iter().max(), Some(&34));
    assert!(moved.iter().max() <= Some(&(SECOND * 5)), "{:?}", moved.iter().max());
    let stay = moved.iter().filter(|by| by.is_zero()).count();
    assert!(stay > 9_700, "{stay}");
}

proptest! {
    #[test]
    fn each_start_lies_within_a_period(
        targets in prop::collection::vec((1_u32..4_000, 0_u64..8_000, 0_u8..3), 1..80),
    ) {
        let interval = |tenths: u32| (SECOND * tenths / 10).max(SECOND);
        let intervals: Vec<Duration> =
            targets.iter().map(|(tenths, ..)| interval(*tenths)).collect();
        let mut starts = of(&intervals);
        for ((_, due, how), interval) in targets.iter().zip(&intervals) {
            let (due, interval) = (Duration::from_millis(*due), *interval);
            match how {
                0 => {
                    let first = starts.place(interval);
                    prop_assert!(first < interval.max(SECOND));
                }
                1 => {
                    let first = starts.keep(due, due, interval);
                    prop_assert!(first >= due && first < due + interval.max(SECOND));
                }
                _ => starts.occupy(due, interval),
            }
        }
        let taken: u64 = starts.load.iter().map(|load| u64::from(*load)).sum();
        prop_assert!(taken >= u64::try_from(targets.len()).unwrap());
    }
}
