//! What the account makes of the time: the availability is the ability over the time.

use super::*;
use crate::{Outage, Shortage, Side, Span, Times};

const MINUTE: u64 = 60;

impl Bench {
    /// How long each side was able, from the beginning.
    fn times(&mut self) -> PerSide<Times> {
        let (now, mut sum) = (self.now(), crate::Bucket::default());
        for (_, hour) in self.ledger.availability(now).buckets(Span::Hour, now.wall) {
            sum.merge(&hour);
        }
        sum.sides
    }

    /// The same as seconds able and unable.
    fn seconds(&mut self, side: Side) -> (u64, u64) {
        let times = self.times()[side];
        (times.able().as_secs(), times.unable().as_secs())
    }

    fn outages(&mut self, side: Side) -> Vec<Outage> {
        let now = self.now();
        self.ledger.availability(now).outages(side).cloned().collect()
    }

    /// The process ends and another begins so much later.
    fn restart(&mut self, stored: &mut StoredAccount, seconds: u64) {
        stored.apply(&self.ledger.take_changes(self.now()));
        let (now, changes) = (self.now().wall, self.ledger.take_availability(self.now()));
        stored.availability.apply(&changes, now);
        self.be_away(seconds);
        self.ledger = Ledger::restore(self.ledger.rules, stored, self.now());
    }
}

fn gone() -> Failure {
    Failure { down: true, ..refused() }
}

/// Another failure than that of a server which is not there.
fn denied() -> Failure {
    Failure { step: Step::Auth, reason: Reason::Auth, down: false, ..refused() }
}

#[test]
fn a_side_is_able_from_a_success_to_a_failure_and_unknown_before() {
    let mut bench = Bench::new(RULES);
    bench.snapshot();
    bench.be_away(100);
    bench.check(None);
    bench.be_away(MINUTE);
    bench.check(None);
    bench.be_away(MINUTE);
    bench.check(Some(refused()));
    bench.be_away(MINUTE);
    bench.check(None);
    assert_eq!(bench.seconds(Side::Receive), (2 * MINUTE, MINUTE));
    assert_eq!(bench.seconds(Side::Send), (0, 0));
    assert_eq!(bench.times().receive.share(), Some(2.0 / 3.0));
}

#[test]
fn an_ability_counts_until_it_is_outlived_however_late_that_is_noticed() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.send();
    bench.be_away(3 * 3600);
    assert_eq!(bench.seconds(Side::Receive), (2 * MINUTE + 2, 0));
    assert_eq!(bench.seconds(Side::Send), (2 * MINUTE + 17, 0));
}

#[test]
fn an_attempt_that_overran_counts_against_the_server_from_its_deadline_on() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.send();
    bench.be_away(MINUTE);
    for (side, seconds) in [(Side::Receive, 50), (Side::Send, 30)] {
        let deadline = bench.now().instant + Duration::from_secs(seconds);
        bench.ledger.attempt_began(side, deadline, bench.now());
    }
    bench.be_away(600);
    assert_eq!(bench.seconds(Side::Receive), (MINUTE + 51, 600 - 51));
    assert_eq!(bench.seconds(Side::Send), (MINUTE + 31, 600 - 31));
    for (side, seconds) in [(Side::Receive, 51), (Side::Send, 31)] {
        let began = bench.start.wall + Duration::from_secs(MINUTE + seconds);
        assert_eq!(bench.outages(side)[0].began, began, "not when it was noticed");
    }
}

#[test]
fn a_standby_that_is_down_and_what_was_not_measured_count_neither_way() {
    let mut bench = Bench::new(PASSIVE);
    bench.check(None);
    bench.be_away(MINUTE);
    bench.check(Some(denied()));
    bench.be_away(MINUTE);
    bench.check(Some(gone()));
    bench.be_away(MINUTE);
    bench.check(Some(Failure { shortage: Some(Shortage::Descriptors), ..denied() }));
    bench.be_away(MINUTE);
    bench.check(None);
    assert_eq!(bench.seconds(Side::Receive), (MINUTE, MINUTE));
    let outages = bench.outages(Side::Receive);
    assert_eq!(outages.len(), 1);
    assert_eq!(outages[0].ended, Some(bench.start.wall + Duration::from_secs(2 * MINUTE)));
}

#[test]
fn half_of_the_mails_is_half_able_and_no_outage() {
    let mut bench = Bench::new(RULES);
    bench.begin();
    let attempt = Attempt { failures: vec![denied()], ..Attempt::default() };
    bench.ledger.send_ended(1, 2, &attempt, bench.now());
    bench.be_away(MINUTE);
    assert_eq!(bench.seconds(Side::Send), (MINUTE / 2, MINUTE / 2));
    assert_eq!(bench.outages(Side::Send), []);
}

#[test]
fn an_absence_is_unknown_and_an_outage_is_one_over_a_short_one_only() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.fail(denied(), false);
    bench.be_away(30);
    let mut stored = StoredAccount::default();
    bench.restart(&mut stored, 60);
    bench.be_away(10);
    assert_eq!(bench.seconds(Side::Receive), (40, 0), "what was measured before holds on");
    assert_eq!(bench.seconds(Side::Send), (0, 40));
    let seen = bench.now().wall;
    bench.restart(&mut stored, 5 * 3600);
    assert_eq!(bench.outages(Side::Send)[0].ended, Some(seen), "nobody knows how it went on");
    bench.be_away(1000);
    assert_eq!(bench.seconds(Side::Receive), (40, 0), "it does not hold so long");
    let again = bench.now().wall;
    bench.fail(refused(), false);
    bench.be_away(MINUTE);
    bench.send();
    let end = bench.now().wall;
    let outages = bench.outages(Side::Send);
    let dates: Vec<_> = outages.iter().map(|outage| (outage.began, outage.ended)).collect();
    assert_eq!(dates, [(again, Some(end)), (bench.start.wall, Some(seen))]);
    assert_eq!((outages[1].step, outages[1].reason), (Step::Auth, Reason::Auth), "the first");
    assert_eq!(bench.outages(Side::Receive), []);
}

#[test]
fn the_outage_of_a_server_ends_where_the_target_has_another() {
    let mut bench = Bench::new(RULES);
    let server = |name: &str| Servers { send: name.into(), receive: "imap://u@h:143".into() };
    bench.ledger.measures(server("smtp://u@one:25"), bench.now());
    bench.fail(refused(), false);
    bench.be_away(MINUTE);
    bench.ledger.measures(server("smtp://u@two:25"), bench.now());
    bench.be_away(MINUTE);
    assert_eq!(bench.outages(Side::Send)[0].ended, Some(bench.start.wall + RULES.interval));
    assert_eq!(bench.seconds(Side::Send), (0, MINUTE));
}

#[test]
fn mails_count_in_the_hour_in_which_they_came_or_did_not() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.wait(2);
    bench.see(token);
    bench.send();
    bench.wait(3600);
    let now = bench.now();
    let hours = bench.ledger.availability(now).buckets(Span::Hour, now.wall);
    let counts: Vec<_> = hours.iter().map(|(_, it)| (it.late, it.lost, it.trips.count())).collect();
    assert_eq!(counts, [(0, 0, 1), (1, 1, 0)]);
    let worst = hours[0].1.trips.worst();
    assert_eq!(worst, Some(Duration::from_secs(2)));
    bench.restart(&mut StoredAccount::default(), 10);
    let now = bench.now();
    let again = bench.ledger.availability(now).buckets(Span::Hour, now.wall);
    let lost: u32 = again.iter().map(|(_, it)| it.lost).sum();
    assert_eq!(lost, 1, "counted once");
}

#[test]
fn a_clock_that_is_set_neither_adds_time_nor_takes_it() {
    for by in [5, 3600, 20 * 86_400, 3 * 365 * 86_400] {
        for is_forward in [true, false] {
            let mut bench = Bench::new(RULES);
            bench.fail(refused(), false);
            bench.check(None);
            bench.be_away(MINUTE);
            bench.snapshot();
            let by = Duration::from_secs(by);
            let began = bench.start.wall;
            bench.start.wall = if is_forward { began + by } else { began - by };
            bench.be_away(MINUTE);
            assert_eq!(bench.seconds(Side::Receive), (2 * MINUTE, 0), "{by:?} {is_forward}");
            assert_eq!(bench.seconds(Side::Send), (0, 2 * MINUTE), "{by:?} {is_forward}");
            assert_eq!(bench.outages(Side::Send)[0].began, bench.start.wall);
        }
    }
}

proptest! {
    /// Whoever adds up the abilities second by second finds the same as whoever asks at the end.
    #[test]
    fn the_time_is_counted_as_the_abilities_show_it(
        events in prop::collection::vec((0_u8..8, 1_u64..200), 1..40)
    ) {
        let mut bench = Bench::new(RULES);
        bench.snapshot();
        // Asked every second.
        let mut watched = bench.ledger.clone();
        let mut seconds = [[0.0; 2]; 2];
        for (kind, wait) in events {
            for ledger in [&mut bench.ledger, &mut watched] {
                let now = Moment {
                    instant: bench.start.instant + bench.elapsed,
                    wall: bench.start.wall + bench.elapsed,
                };
                let deadline = now.instant + Duration::from_secs(20);
                // Judged by its deadline before somebody tells, as where it is asked for every second.
                ledger.snapshot(now);
                let failed = Attempt { failures: vec![denied()], ..Attempt::default() };
                match kind {
                    0 => ledger.check_ended(&Attempt::default(), now),
                    1 => ledger.check_ended(&failed, now),
                    2 => ledger.send_ended(1, 1, &Attempt::default(), now),
                    3 => ledger.send_ended(1, 4, &failed, now),
                    4 => ledger.send_ended(0, 1, &failed, now),
                    5 => ledger.attempt_began(Side::Send, deadline, now),
                    6 => ledger.attempt_began(Side::Receive, deadline, now),
                    _ => {}
                }
            }
            for _ in 0..wait {
                let snapshot = watched.snapshot(bench.now());
                let receive = snapshot.receive_ability.map(|able| if able { 1.0 } else { 0.0 });
                let abilities = [snapshot.send_ability.value(), receive.value()];
                for (ability, [able, unable]) in abilities.into_iter().zip(&mut seconds) {
                    if let Some(ability) = ability {
                        *able += ability;
                        *unable += 1.0 - ability;
                    }
                }
                bench.be_away(1);
            }
        }
        let times = bench.times();
        for ((side, times), [able, unable]) in times.iter().zip(seconds) {
            let near = |time: Duration, seconds: f64| (time.as_secs_f64() - seconds).abs() < 0.5;
            prop_assert!(near(times.able(), able), "{side} {times:?} {able}");
            prop_assert!(near(times.unable(), unable), "{side} {times:?} {unable}");
        }
    }
}
