use super::*;
use crate::{Reason, Step};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const ABLE: PerSide<Option<f64>> = PerSide { send: Some(1.0), receive: Some(1.0) };

/// The beginning of a day.
fn start() -> SystemTime {
    UNIX_EPOCH + DAY * 20_000
}

fn failure(words: &str) -> Failure {
    let (step, reason) = (Step::Connect, Reason::Refused);
    let message = words.to_owned();
    Failure { step, reason, down: true, shortage: None, clue: None, message }
}

/// As another process finds it at `now`.
fn restarted(availability: &mut Availability, now: SystemTime) -> Availability {
    (availability.has_closed, availability.has_turned) = (true, true);
    availability.taken = PerSpan::default();
    let mut kept = KeptAvailability::default();
    kept.apply(&availability.take_changes(), now);
    Availability::restore(&kept, now)
}

fn bytes(availability: &mut Availability) -> usize {
    (availability.has_closed, availability.has_turned) = (true, true);
    availability.taken = PerSpan::default();
    let AvailabilityChanges { present, before, outages } = availability.take_changes();
    let (present, before) = (present.unwrap(), before.unwrap());
    let outages = outages.unwrap();
    let of = |outages: &Vec<Outage>| outages.iter().map(|it| it.words.len() + 32).sum::<usize>();
    let spans = [&present.hours, &present.days, &before.hours, &before.days];
    spans.iter().map(|it| it.len()).sum::<usize>() + of(&outages.send) + of(&outages.receive)
}

#[test]
fn time_falls_into_its_hours_and_days() {
    let mut availability = Availability::default();
    let half = PerSide { send: Some(0.5), receive: None };
    availability.count_time(half, start() - HOUR / 4, start() + HOUR * 5 / 4);
    let hours = availability.buckets(Span::Hour, start() + HOUR);
    let times: Vec<_> = hours
        .iter()
        .map(|(begins, it)| (*begins, it.sides.send.able(), it.sides.send.unable()))
        .collect();
    let eighth = HOUR / 8;
    assert_eq!(
        times,
        [
            (start() - HOUR, eighth, eighth),
            (start(), HOUR / 2, HOUR / 2),
            (start() + HOUR, eighth, eighth)
        ]
    );
    let days = availability.buckets(Span::Day, start() + HOUR);
    let times: Vec<_> = days.iter().map(|(at, it)| (*at, it.sides.send.measured())).collect();
    assert_eq!(times, [(start() - DAY, HOUR / 4), (start(), HOUR * 5 / 4)]);
    assert!(days.iter().all(|(_, it)| it.sides.receive.share().is_none()));
    assert_eq!(days[1].1.sides.send.share(), Some(0.5));
}

#[test]
fn hours_are_kept_for_8_days_and_days_for_90() {
    let mut availability = Availability::default();
    let now = start() + DAY * 200;
    availability.count_time(ABLE, start(), now);
    let hours = availability.buckets(Span::Hour, now);
    assert_eq!(
        (hours.len(), hours[0].0),
        (191, now - HOUR * 191),
        "the hour that begins is not known"
    );
    assert_eq!(availability.buckets(Span::Day, now).len(), 89);
    let later = now + DAY * 88;
    assert_eq!(availability.buckets(Span::Hour, later).len(), 0);
    assert_eq!(availability.buckets(Span::Day, later).len(), 1);
    let mut kept = restarted(&mut availability, later);
    kept.count_time(ABLE, later, later + HOUR);
    assert_eq!(kept.buckets(Span::Day, later + HOUR).len(), 2);
    assert_eq!(availability.buckets(Span::Day, later + DAY * 2).len(), 0);
}

#[test]
fn everything_comes_back_and_goes_on() {
    let mut availability = Availability::default();
    let now = start() + HOUR * 50;
    availability.count_time(ABLE, start(), now);
    availability.count_mails(3, 1, now);
    availability.count_roundtrip(Duration::from_millis(400), now);
    availability.failed(Side::Receive, &failure("no"), now);
    let mut again = restarted(&mut availability, now + HOUR);
    assert_eq!(again.buckets(Span::Hour, now), availability.buckets(Span::Hour, now));
    assert_eq!(again.buckets(Span::Day, now), availability.buckets(Span::Day, now));
    assert!(!again.has_turned());
    again.recovered(Side::Receive, now + HOUR);
    assert!(again.has_turned());
    let outage = again.outages(Side::Receive).next().unwrap();
    assert_eq!((outage.began, outage.ended), (now, Some(now + HOUR)), "one outage");
    assert_eq!(
        (outage.step, outage.reason, &*outage.words),
        (Step::Connect, Reason::Refused, "no")
    );
}

#[test]
fn only_what_has_changed_is_written() {
    let mut availability = Availability::default();
    availability.count_time(ABLE, start(), start() + HOUR / 2);
    let first = availability.take_changes();
    assert!(first.before.is_some(), "an hour has begun");
    availability.count_time(ABLE, start() + HOUR / 2, start() + HOUR);
    let second = availability.take_changes();
    assert_eq!((second.before, second.outages), (None, None));
    assert!(second.present.is_some());
    assert_ne!(second.present, first.present);
    let nothing = PerSide::default();
    availability.count_time(nothing, start() + HOUR / 2, start() + HOUR * 3 / 4);
    assert!(availability.take_changes().is_empty(), "nothing was measured");
    availability.count_time(ABLE, start() + HOUR, start() + HOUR * 2);
    availability.failed(Side::Send, &failure("no"), start() + HOUR * 2);
    let mut third = availability.take_changes();
    assert!(third.before.is_some() && third.outages.is_some());
    let fourth = availability.take_changes();
    third.then(fourth);
    assert!(third.before.is_some() && third.outages.is_some(), "what is not written waits");
}

#[test]
fn an_outage_lasts_from_the_first_failure_to_the_first_success() {
    let mut availability = Availability::default();
    let minute = Duration::from_secs(60);
    availability.recovered(Side::Send, start());
    availability.failed(Side::Send, &failure("first"), start());
    availability.failed(Side::Send, &failure("second"), start() + minute);
    assert_eq!(availability.outages(Side::Send).next().unwrap().ended, None);
    availability.recovered(Side::Send, start() + minute * 2);
    availability.recovered(Side::Send, start() + minute * 3);
    let outages: Vec<_> = availability.outages(Side::Send).collect();
    assert_eq!(outages.len(), 1);
    assert_eq!((&*outages[0].words, outages[0].ended), ("first", Some(start() + minute * 2)));
    assert_eq!(availability.outages(Side::Receive).count(), 0);
}

#[test]
fn the_newest_outages_are_kept_with_few_words_and_for_90_days() {
    let mut availability = Availability::default();
    for index in 0..30 {
        let at = start() + HOUR * index;
        availability.failed(Side::Send, &failure(&"ä".repeat(1000)), at);
        availability.recovered(Side::Send, at + HOUR / 2);
    }
    let newest = availability.outages(Side::Send).next().unwrap();
    assert_eq!(newest.began, start() + HOUR * 29);
    assert_eq!(newest.words.chars().count(), Outages::MOST_CHARS + 1);
    assert_eq!(availability.outages(Side::Send).count(), Outages::MOST);
    let again = restarted(&mut availability, start() + DAY * 2);
    assert!(again.outages(Side::Send).eq(availability.outages(Side::Send)), "also in few words");
    let later = restarted(&mut availability, start() + DAY * 100);
    assert_eq!(later.outages(Side::Send).count(), 0);
}

#[test]
fn of_outages_that_make_no_sense_none_is_to_come_and_one_goes_on() {
    let outage = |began, ended| {
        let (step, reason) = (Step::Auth, Reason::Auth);
        Outage { began, ended, step, reason, words: "no".into() }
    };
    let now = start();
    let send = vec![
        outage(now + HOUR, None),
        outage(now - HOUR, None),
        outage(now - HOUR * 2, Some(now - HOUR * 3)),
    ];
    let outages = PerSide { send, receive: Vec::new() };
    let kept = KeptAvailability { outages, ..KeptAvailability::default() };
    let restored = Availability::restore(&kept, now);
    let dates: Vec<_> = restored.outages(Side::Send).map(|it| (it.began, it.ended)).collect();
    let two = now - HOUR * 2;
    assert_eq!(dates, [(now, None), (now - HOUR, Some(now)), (two, Some(two))]);
}

#[test]
fn a_clock_that_is_set_redates_what_was_and_loses_nothing() {
    for years in [0, 10, 50] {
        let mut availability = Availability::default();
        let now = start() + HOUR * 30;
        availability.count_time(ABLE, start(), now);
        availability.failed(Side::Send, &failure("no"), now);
        let before = availability.buckets(Span::Hour, now);
        let by = DAY * 365 * years + HOUR * 5;
        let set = now + by;
        availability.follow(now, set);
        assert_eq!(availability.outages(Side::Send).next().unwrap().began, set);
        availability.count_time(ABLE, set, set + HOUR);
        assert_eq!(availability.buckets(Span::Hour, set + HOUR).len(), before.len() + 1);
        let back = DAY * 365 * years + HOUR * 6;
        availability.follow(now + back, now);
        let hours = availability.buckets(Span::Hour, now);
        assert_eq!(
            hours[1..],
            before[1..]
                .iter()
                .map(|(at, it)| (*at - HOUR, it.clone()))
                .chain([(now - HOUR, before[0].1.clone())])
                .collect::<Vec<_>>()[..],
            "{years}"
        );
    }
}

#[test]
fn a_clock_that_begins_in_1970_finds_what_was_before_and_gives_it_back() {
    let mut availability = Availability::default();
    let now = start() + DAY * 95;
    availability.count_time(ABLE, start(), now);
    let before = availability.buckets(Span::Day, now - HOUR);
    let boot = UNIX_EPOCH + Duration::from_secs(20);
    let mut again = restarted(&mut availability, boot);
    again.count_time(ABLE, boot, boot + HOUR);
    assert_eq!(again.buckets(Span::Day, boot).len(), before.len());
    again.follow(boot, now);
    let days = again.buckets(Span::Day, now - HOUR);
    assert_eq!(days.len(), before.len());
    assert_eq!(days[days.len() - 2].1.sides.send.share(), Some(1.0));
}

#[test]
fn what_was_kept_by_a_clock_ahead_is_redated_as_a_whole_and_kept_so() {
    let (now, ahead, minute) = (start() + HOUR * 15, HOUR * 50, HOUR / 60);
    let mut availability = Availability::default();
    availability.count_time(ABLE, now + ahead - HOUR * 3, now + ahead + minute);
    availability.failed(Side::Send, &failure("no"), now + ahead - HOUR * 2);
    availability.recovered(Side::Send, now + ahead - HOUR * 2 + minute);
    let mut again = restarted(&mut availability, now + minute * 10);
    let outage = again.outages(Side::Send).next().unwrap();
    assert_eq!((outage.began, outage.ended), (now - HOUR * 2, Some(now - HOUR * 2 + minute)));
    let hours = again.buckets(Span::Hour, now);
    assert_eq!(hours[0].0, now - HOUR * 3);
    let changes = again.take_changes();
    assert!(changes.before.is_some() && changes.outages.is_some());
}

#[test]
fn half_a_millisecond_is_not_a_whole_one() {
    let mut availability = Availability::default();
    let half = PerSide { send: Some(0.5), receive: Some(1.0) };
    for millis in 0..1000 {
        let at = start() + Duration::from_millis(millis);
        availability.count_time(half, at, at + Duration::from_millis(1));
    }
    let sides = availability.buckets(Span::Hour, start())[0].1.sides;
    assert!(sides.send.share().is_some_and(|share| share <= 0.5), "{sides:?}");
    assert_eq!(sides.receive.share(), Some(1.0));
}

#[test]
fn whenever_a_clock_is_set_the_present_stays_the_present_and_goes_on() {
    let minute = HOUR / 60;
    for (from, to) in [(1, 14), (15, 2), (15, 28), (15, 47), (23, 24), (24, 23)] {
        // Some minutes after those hours.
        let (before, now) =
            (start() + HOUR * from + minute * 10, start() + HOUR * to + minute * 40);
        let mut availability = Availability::default();
        availability.count_time(ABLE, before - minute * 5, before);
        availability.follow(before, now);
        availability.count_time(ABLE, now, now + minute * 5);
        for span in [Span::Hour, Span::Day] {
            let buckets = availability.buckets(span, now);
            let [(begins, bucket)] = &buckets[..] else { panic!("{from} {to}: {buckets:?}") };
            assert!(*begins <= now && *begins + span.width() > now, "{from} {to}: {begins:?}");
            assert_eq!(bucket.sides.send.able(), minute * 10, "{from} {to}");
        }
    }
}

/// Numbers that look random.
fn random() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 16
    }
}

#[test]
fn whatever_the_clock_does_no_hour_holds_more_than_an_hour_and_none_lies_in_the_future() {
    let mut next = random();
    let mut availability = Availability::default();
    let mut now = start() + HOUR * 15;
    let mut is_followed = true;
    for _ in 0..400 {
        let spans = [1, 90, 4000, 90_000, 10_000_000, 2_000_000_000];
        let by =
            Duration::from_millis(next() % 1000 + next() % spans[(next() % 6) as usize] * 1000);
        let ability = |value: u64| (!value.is_multiple_of(3)).then(|| (value % 101) as f64 / 100.0);
        match next() % 8 {
            0 => {
                availability.follow(now, now + by);
                now += by;
            }
            1 => {
                let set = now.checked_sub(by).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
                availability.follow(now, set);
                now = set;
            }
            // A clock that nobody has followed.
            2 if next().is_multiple_of(8) => {
                now = now.checked_sub(by).unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
                is_followed = false;
            }
            2 | 3 => {
                availability = restarted(&mut availability, now);
                is_followed = true;
            }
            4 => availability.count_roundtrip(by, now),
            5 => availability.count_mails(next() % 3, next() % 3, now),
            6 if next().is_multiple_of(2) => availability.failed(Side::Send, &failure("no"), now),
            6 => availability.recovered(Side::Send, now),
            _ => {
                let abilities = PerSide { send: ability(next()), receive: ability(next()) };
                availability.count_time(abilities, now, now + by);
                now += by;
            }
        }
        assert_sound(&restarted(&mut availability, now), now);
        if is_followed {
            assert_sound(&availability, now);
        }
    }
}

/// No hour holds more than an hour, and nothing lies in the future.
fn assert_sound(availability: &Availability, now: SystemTime) {
    for span in [Span::Hour, Span::Day] {
        let buckets = availability.buckets(span, now);
        assert!(buckets.len() as u64 <= span.length());
        assert!(buckets.is_sorted_by(|one, next| one.0 < next.0));
        for (begins, bucket) in buckets {
            assert!(begins <= now, "{begins:?} {now:?}");
            for (_, times) in bucket.sides.iter() {
                assert!(times.measured() <= span.width());
            }
        }
    }
    assert!(availability.outages(Side::Send).all(|it| it.began <= now));
}

#[test]
fn a_target_takes_a_few_kilobytes() {
    let mut next = random();
    let mut availability = Availability::default();
    let (mut now, end) = (start(), start() + DAY * 91);
    while now < end {
        let later = now + Duration::from_secs(300);
        availability.count_time(ABLE, now, later);
        availability.count_roundtrip(Duration::from_millis(350 + next() % 200), later);
        now = later;
    }
    let usual = bytes(&mut availability);
    assert!(usual < 5_000, "{usual}");

    let mut availability = Availability::default();
    let mut now = start();
    while now < end {
        let later = now + Duration::from_millis(250_000 + next() % 100_000);
        let half = PerSide { send: Some(0.3), receive: Some(0.7) };
        availability.count_time(
            if next().is_multiple_of(3) { PerSide::default() } else { half },
            now,
            later,
        );
        availability.count_roundtrip(Duration::from_millis(1 << (next() % 24)), later);
        availability.count_mails(next() % 3, next() % 2, later);
        now = later;
    }
    for index in 0..40 {
        let at = now + HOUR * index;
        for side in Side::ALL {
            availability.failed(side, &failure(&"words ".repeat(100)), at);
            availability.recovered(side, at + HOUR / 2);
        }
    }
    let worst = bytes(&mut availability);
    println!("{usual} bytes as a rule, {worst} at worst");
    assert!(worst < 20_000, "{worst}");
}
