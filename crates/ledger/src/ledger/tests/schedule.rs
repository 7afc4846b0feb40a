//! How long a measurement stands, and what its deadline makes of an attempt whose end nobody tells.

use super::*;
use crate::LoginDelay;
use crate::Side;

const MINUTE: u64 = 60;
/// After so many seconds without another a measurement of a minute's schedule is too old: a period, the
/// deadline of the next attempt, and what both may be late by.
const CHECK_OUTLIVED: u64 = 2 * MINUTE + 2;
const SEND_OUTLIVED: u64 = 2 * MINUTE + 15 + 2;

impl Bench {
    fn begin_check(&mut self, seconds: u64) {
        let deadline = self.now().instant + Duration::from_secs(seconds);
        self.ledger.attempt_began(Side::Receive, deadline, self.now());
    }

    fn begin_send(&mut self, seconds: u64) -> Token {
        let token = self.begin();
        let deadline = self.now().instant + Duration::from_secs(seconds);
        self.ledger.attempt_began(Side::Send, deadline, self.now());
        token
    }

    fn receive_ability(&mut self) -> Reading<bool> {
        self.snapshot().receive_ability
    }

    fn send_ability(&mut self) -> Reading<f64> {
        self.snapshot().send_ability
    }
}

#[test]
fn a_check_that_nobody_makes_any_more_holds_a_period_and_its_deadline() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.be_away(CHECK_OUTLIVED - 1);
    assert_eq!(bench.receive_ability(), Reading::Is(true));
    assert_eq!(bench.snapshot().totals.checks_skipped, 0);
    bench.be_away(1);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert!(snapshot.sides.receive.is_outlived);
    assert_eq!((snapshot.totals.checks_skipped, snapshot.totals.checks), (1, 1));
    bench.be_away(10 * MINUTE);
    assert_eq!(bench.snapshot().totals.checks_skipped, 11);
    bench.check(None);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert!(!snapshot.sides.receive.is_outlived);
}

#[test]
fn a_send_that_nobody_makes_any_more_holds_a_period_and_its_deadline() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.see(token);
    bench.be_away(SEND_OUTLIVED - 1);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.roundtrip, Reading::Is(Duration::ZERO));
    bench.be_away(1);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Unmeasured);
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured, "mail that no longer goes out has no mean");
    assert_eq!(snapshot.totals.periods_skipped, 1);
    assert_eq!(snapshot.roundtrips.counts.iter().sum::<u64>(), 1, "what happened stays counted");
}

#[test]
fn a_failure_does_not_stand_for_ever_either() {
    let mut bench = Bench::new(RULES);
    bench.check(Some(refused()));
    bench.fail(refused(), false);
    bench.be_away(SEND_OUTLIVED);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
    assert_eq!(bench.send_ability(), Reading::Unmeasured);
}

#[test]
fn a_check_whose_end_nobody_tells_has_failed_at_its_deadline() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.be_away(MINUTE);
    bench.begin_check(30);
    bench.ledger.attempt_reached(Side::Receive, Step::Select, false);
    bench.be_away(30);
    assert_eq!(bench.receive_ability(), Reading::Is(true), "it may be told any moment");
    bench.be_away(1);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!((snapshot.totals.checks, snapshot.totals.check_failures), (2, 1));
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Timeout), 1);
    assert_eq!(snapshot.sides.receive.failures_in(Step::Select), 1);
    assert!(bench.ledger.has_overrun(Side::Receive));
    // Whoever hangs there goes on hanging: that is a failure, not nothing.
    bench.be_away(100 * MINUTE);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Timeout), 1, "one attempt, one failure");
}

#[test]
fn what_comes_after_the_deadline_is_no_success_and_counted_once() {
    for is_asked_meanwhile in [false, true] {
        let mut bench = Bench::new(RULES);
        bench.begin_check(30);
        let token = bench.begin_send(30);
        bench.be_away(40);
        if is_asked_meanwhile {
            bench.snapshot();
        }
        bench.check(None);
        bench.ledger.accepted(token, &Transmission::at(bench.now().instant), bench.now());
        bench.ledger.send_ended(1, 1, &Attempt::default(), bench.now());
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.receive_ability, Reading::Is(false));
        assert_eq!(snapshot.send_ability, Reading::Is(0.0));
        assert_eq!((snapshot.totals.checks, snapshot.totals.check_failures), (1, 1));
        assert_eq!(snapshot.totals.accepted, 1, "where the mail is does not depend on it");
        for state in [&snapshot.sides.receive, &snapshot.sides.send] {
            assert_eq!(state.failures_for(Reason::Timeout), 1);
            assert_eq!(state.consecutive_failures, Reading::Is(1));
        }
        assert!(!bench.ledger.has_overrun(Side::Receive));
    }
}

#[test]
fn an_attempt_that_tells_its_own_failure_is_not_judged_by_its_deadline() {
    let mut bench = Bench::new(RULES);
    bench.begin_check(30);
    bench.be_away(40);
    bench.check(Some(refused()));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Rejected), 1);
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Timeout), 0);
}

#[test]
fn a_passive_node_that_has_said_nothing_by_the_deadline_is_down() {
    let mut bench = Bench::new(PASSIVE);
    bench.begin_check(30);
    bench.be_away(40);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
    assert_eq!((snapshot.sides.receive.not_applicable, snapshot.totals.checks), (1, 0));
    bench.check(None);
    bench.begin_check(30);
    bench.ledger.attempt_reached(Side::Receive, Step::Greeting, false);
    bench.be_away(40);
    assert_eq!(bench.receive_ability(), Reading::Is(false), "it has said something");
}

#[test]
fn the_value_of_a_passive_node_is_outlived_as_well() {
    let mut bench = Bench::new(PASSIVE);
    bench.check(None);
    bench.be_away(CHECK_OUTLIVED);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
}

#[test]
fn a_machine_that_slept_is_no_failure_of_the_server_and_its_value_is_too_old() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.be_away(MINUTE);
    bench.begin_check(30);
    bench.be_away(3600);
    bench.ledger.stood_still(Duration::from_secs(3600));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Timeout), 0);
    bench.be_away(31);
    assert_eq!(
        bench.receive_ability(),
        Reading::Is(false),
        "the deadline holds for the time awake"
    );
}

#[test]
fn what_the_loop_tells_was_skipped_is_not_counted_twice() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.send();
    bench.be_away(SEND_OUTLIVED + 2 * MINUTE);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.periods_skipped, totals.checks_skipped), (3, 3));
    bench.ledger.periods_skipped(4);
    bench.ledger.checks_skipped(4);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.periods_skipped, totals.checks_skipped), (4, 4));
    bench.begin_send(30);
    bench.ledger.send_ended(1, 1, &Attempt::default(), bench.now());
    bench.ledger.periods_skipped(2);
    assert_eq!(bench.snapshot().totals.periods_skipped, 6);
}

#[test]
fn a_send_that_waits_for_a_free_connection_is_nothing_measured() {
    let mut bench = Bench::new(RULES);
    bench.send();
    bench.be_away(MINUTE);
    bench.ledger.period_began(bench.now());
    bench.be_away(MINUTE);
    bench.ledger.periods_skipped(1);
    bench.ledger.period_began(bench.now());
    bench.be_away(17);
    assert_eq!(bench.send_ability(), Reading::Unmeasured);
    assert_eq!(bench.snapshot().totals.periods_skipped, 1);
    assert_eq!(bench.snapshot().sides.send.failures_for(Reason::Timeout), 0);
}

#[test]
fn the_periods_of_a_long_wait_are_counted_once_whatever_becomes_of_the_send() {
    for failures in [vec![], vec![refused()]] {
        let mut bench = Bench::new(RULES);
        bench.ledger.period_began(bench.now());
        bench.be_away(SEND_OUTLIVED);
        bench.ledger.periods_skipped(2);
        let deadline = bench.now().instant + Duration::from_secs(MINUTE);
        bench.ledger.attempt_began(Side::Send, deadline, bench.now());
        bench.be_away(1);
        let attempt = Attempt { failures, ..Attempt::default() };
        bench.ledger.send_ended(0, 1, &attempt, bench.now());
        assert_eq!(bench.snapshot().totals.periods_skipped, 2, "{attempt:?}");
    }
}

#[test]
fn the_round_trip_of_a_mail_that_waited_for_a_connection_stands_as_long_as_any_other() {
    let mut bench = Bench::new(RULES);
    bench.ledger.period_began(bench.now());
    bench.be_away(SEND_OUTLIVED - 10);
    bench.ledger.periods_skipped(2);
    let token = Token::random();
    bench.ledger.sending(token, bench.now());
    bench.ledger.accepted(token, &Transmission::at(bench.now().instant), bench.now());
    bench.ledger.send_ended(1, 1, &Attempt::default(), bench.now());
    bench.wait(1);
    bench.see(token);
    bench.be_away(SEND_OUTLIVED - 2);
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(1)));
    bench.be_away(1);
    assert_eq!(bench.snapshot().roundtrip, Reading::Unmeasured);
}

#[test]
fn the_round_trip_before_a_long_wait_stands_no_longer_for_it() {
    let mut bench = Bench::new(RULES);
    bench.ledger.period_began(bench.now());
    let token = bench.send();
    bench.wait(1);
    bench.see(token);
    assert!(matches!(bench.snapshot().roundtrip, Reading::Is(_)));
    let interval = RULES.interval.as_secs();
    bench.be_away(interval);
    bench.ledger.period_began(bench.now());
    bench.be_away(interval);
    bench.ledger.sending(Token::random(), bench.now());
    assert_eq!(bench.snapshot().roundtrip, Reading::Unmeasured);
}

#[test]
fn a_mailbox_that_others_check_more_often_holds_no_longer_than_their_period() {
    let mut bench = Bench::new(Rules { interval: Duration::from_secs(3600), ..RULES });
    bench.ledger.checks_are_made_every(
        Duration::from_secs(MINUTE),
        Duration::from_secs(MINUTE),
        bench.now(),
    );
    bench.check(None);
    bench.be_away(CHECK_OUTLIVED);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
}

#[test]
fn another_period_begins_when_it_is_set() {
    let mut bench = Bench::new(Rules { interval: Duration::from_secs(3600), ..RULES });
    bench.ledger.checks_are_made_every(
        Duration::from_secs(3600),
        Duration::from_secs(3600),
        bench.now(),
    );
    bench.check(None);
    bench.send();
    bench.be_away(3000);
    bench.ledger.set_rules(RULES, bench.now());
    bench.ledger.checks_are_made_every(
        Duration::from_secs(MINUTE),
        Duration::from_secs(MINUTE),
        bench.now(),
    );
    bench.be_away(MINUTE);
    assert_eq!(bench.receive_ability(), Reading::Is(true), "the next is due now");
    assert_eq!(bench.send_ability(), Reading::Is(1.0));
    bench.be_away(SEND_OUTLIVED - MINUTE);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
    assert_eq!(bench.send_ability(), Reading::Unmeasured);
}

#[test]
fn a_login_delay_is_the_period_of_the_checks() {
    let mut bench = Bench::new(RULES);
    bench.ledger.checks_are_made_every(
        Duration::from_secs(MINUTE),
        Duration::from_secs(MINUTE),
        bench.now(),
    );
    let delay = |seconds: u64| LoginDelay::of(Duration::from_secs(seconds));
    bench.ledger.logins_lie_apart(delay(600));
    bench.check(None);
    bench.be_away(600 + MINUTE + 1);
    assert_eq!(bench.receive_ability(), Reading::Is(true));
    assert_eq!(bench.snapshot().check_interval, Duration::from_secs(600));
    bench.be_away(1);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
    // One that nobody can keep to keeps nothing on the wall.
    bench.ledger.logins_lie_apart(delay(999_999_999_999));
    bench.check(None);
    bench.be_away(CHECK_OUTLIVED);
    assert_eq!(bench.receive_ability(), Reading::Unmeasured);
}

#[test]
fn a_mail_that_nobody_was_allowed_to_look_for_is_not_late() {
    let gap = Duration::from_secs(200);
    let see = |gap: Duration, dated: Option<u64>| {
        let mut bench = Bench::new(RULES);
        bench.ledger.looks_lie_apart(gap);
        let token = bench.send();
        let accepted = bench.now().instant;
        bench.be_away(200);
        let arrived = dated.map(|seconds| accepted + Duration::from_secs(seconds));
        let dated = arrived.map(|at| Bracket { earliest: at, latest: at + Duration::from_secs(1) });
        let now = bench.now();
        let sighting = Sighting { previous_look: None, dated, ..sighting(now) };
        let sighting = Sighting { attended_since: accepted, ..sighting };
        bench.ledger.seen(token, sighting, now);
        bench.snapshot().totals.late
    };
    assert_eq!(see(gap, None), 0, "it may have come in time");
    assert_eq!(see(Duration::ZERO, None), 1, "it was to be looked for, and was not there");
    assert_eq!(see(gap, Some(100)), 1, "its date tells");
    assert_eq!(see(gap, Some(1)), 0);
}

#[test]
fn a_loop_that_was_ended_leaves_no_attempt_behind() {
    let mut bench = Bench::new(RULES);
    bench.begin_check(30);
    bench.begin_send(30);
    bench.ledger.check_abandoned(bench.now());
    bench.ledger.sending_abandoned(bench.now());
    bench.be_away(40);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Timeout), 0);
    assert_eq!(snapshot.sides.send.failures_for(Reason::Timeout), 0);
}

#[test]
fn checks_that_never_come_are_counted() {
    let mut bench = Bench::new(RULES);
    bench.ledger.checks_are_made_every(
        Duration::from_secs(MINUTE),
        Duration::from_secs(MINUTE),
        bench.now(),
    );
    bench.be_away(CHECK_OUTLIVED);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert!(!snapshot.sides.receive.is_outlived, "nothing was measured that could be too old");
    assert_eq!(snapshot.totals.checks_skipped, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    /// Whatever the loops do or leave undone: no ability is older than a period and its deadline, no
    /// attempt counts twice, and what is told depends on the time alone and not on who asks.
    #[test]
    fn no_measure_outlives_its_schedule(events in prop::collection::vec((0..6_u8, 0..100_u64), 0..60)) {
        let mut bench = Bench::new(RULES);
        bench.ledger.checks_are_made_every(RULES.interval, RULES.interval, bench.now());
        let mut checked: Option<Duration> = None;
        let mut deadline: Option<Duration> = None;
        let (mut checks, mut asked_never) = (0, bench.ledger.clone());
        for (event, seconds) in events {
            let (now, elapsed) = (bench.now(), bench.elapsed);
            for ledger in [&mut bench.ledger, &mut asked_never] {
                match event {
                    0 => ledger.attempt_began(Side::Receive, now.instant + RULES.interval, now),
                    1 => ledger.check_ended(&Attempt::default(), now),
                    2 => {
                        let attempt = Attempt { failures: vec![refused()], ..Attempt::default() };
                        ledger.check_ended(&attempt, now);
                    }
                    3 => ledger.check_abandoned(now),
                    _ => {}
                }
            }
            match event {
                0 => {
                    checks += u64::from(deadline.is_some_and(|it| elapsed > it));
                    deadline = Some(elapsed + RULES.interval);
                }
                1 | 2 => (deadline, checked, checks) = (None, Some(elapsed), checks + 1),
                3 => {
                    checks += u64::from(deadline.is_some_and(|it| elapsed > it));
                    deadline = None;
                }
                _ => bench.be_away(seconds),
            }
            let snapshot = bench.snapshot();
            if snapshot.receive_ability == Reading::Is(true) {
                let age = bench.elapsed.saturating_sub(checked.unwrap_or_default());
                prop_assert!(age < Duration::from_secs(CHECK_OUTLIVED), "{age:?}");
            }
            prop_assert!(snapshot.totals.checks <= checks + 1, "{} checks", snapshot.totals.checks);
            let mut late = asked_never.clone();
            prop_assert_eq!(late.snapshot(bench.now()).receive_ability, snapshot.receive_ability);
        }
    }
}
