//! The newest measurement outlives the process, and no restart makes it younger or that of another server.

use super::*;
use crate::{Shortage, Side, TlsFacts};

const CHECK_OUTLIVED: u64 = 2 * 60 + 2;
const SEND_OUTLIVED: u64 = 2 * 60 + 15 + 2;

fn servers(send: &str, receive: &str) -> Servers {
    Servers { send: send.into(), receive: receive.into() }
}

/// A target that was measured: a mail that took two seconds, a check that failed for the second time.
fn measured(rules: Rules) -> (Bench, StoredAccount) {
    let mut bench = Bench::new(rules);
    bench.ledger.measures(servers("smtp://a", "imap://a"), bench.now());
    let token = bench.send();
    bench.be_away(2);
    bench.see(token);
    bench.ledger.visits("imap://s".into());
    bench.ledger.sender_mailbox_visited(None, bench.now());
    bench.check(Some(refused()));
    let attempt = Attempt {
        failures: vec![refused()],
        steps: vec![(Step::Dns, Duration::from_millis(1)), (Step::Tls, Duration::from_millis(20))],
        address: "192.0.2.1:143".parse().ok(),
        tls: Some(tls(bench.now().wall)),
        ..Attempt::default()
    };
    bench.ledger.check_ended(&attempt, bench.now());
    (bench, StoredAccount::default())
}

fn tls(end: SystemTime) -> TlsFacts {
    TlsFacts {
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        leaf_not_after: end,
        chain_not_after: end,
        is_resumed: false,
    }
}

/// Everything that this is about.
fn shown(bench: &mut Bench) -> impl PartialEq + std::fmt::Debug + use<> {
    let it = bench.snapshot();
    (
        it.send_ability,
        it.receive_ability,
        it.roundtrip,
        it.outstanding,
        it.is_arrival_unknown,
        (it.delivery, it.delivers),
        it.sides,
        it.sender_mailbox,
    )
}

#[test]
fn what_was_measured_is_shown_again_after_a_restart() {
    let (mut bench, mut stored) = measured(RULES);
    let before = shown(&mut bench);
    restart(&mut bench, &mut stored, 20);
    assert_eq!(shown(&mut bench), before);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(2)));
    restart(&mut bench, &mut stored, 20);
    assert_eq!(shown(&mut bench), before, "a second one as well");
    bench.check(Some(refused()));
    assert_eq!(bench.snapshot().sides.receive.consecutive_failures, Reading::Is(3), "in a row");
}

#[test]
fn it_is_outlived_as_if_there_had_been_no_restart() {
    for (away, then) in
        [(0, CHECK_OUTLIVED - 1), (60, CHECK_OUTLIVED - 61), (CHECK_OUTLIVED - 1, 0)]
    {
        let (mut bench, mut stored) = measured(RULES);
        restart(&mut bench, &mut stored, away);
        bench.ledger.checks_are_made_every(RULES.interval, RULES.interval, bench.now());
        bench.be_away(then);
        assert_eq!(bench.snapshot().receive_ability, Reading::Is(false));
        bench.be_away(1);
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.receive_ability, Reading::Unmeasured, "{away} s away");
        assert!(snapshot.sides.receive.is_outlived);
        // The mail went out two seconds before.
        bench.be_away(SEND_OUTLIVED - CHECK_OUTLIVED - 3);
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.send_ability, Reading::Is(1.0));
        assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(2)));
        bench.be_away(1);
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.send_ability, Reading::Unmeasured);
        assert_eq!(snapshot.roundtrip, Reading::Unmeasured);
        assert_eq!(snapshot.outstanding, Reading::Is(0), "what was accepted is known for ever");
    }
}

#[test]
fn what_is_too_old_at_the_start_is_nothing_at_once_and_its_failures_are_none_in_a_row() {
    let (mut bench, mut stored) = measured(RULES);
    let checked = bench.now().wall;
    restart(&mut bench, &mut stored, 3600);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Unmeasured);
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured);
    assert_eq!((snapshot.delivers, snapshot.delivery), (Reading::Unmeasured, None));
    for side in [&snapshot.sides.send, &snapshot.sides.receive] {
        assert_eq!((side.up, side.consecutive_failures), (None, Reading::Unmeasured));
        assert!(side.last_attempt.is_some(), "what happened has happened then");
    }
    let receive = &snapshot.sides.receive;
    assert!(receive.steps.is_empty() && snapshot.sender_mailbox.up.is_none());
    assert_eq!(receive.tls.as_deref(), Some(&tls(checked)), "a certificate ends when it does");
    assert_eq!(receive.last_failure.as_ref().map(|(at, _)| *at), Some(checked));
    assert_eq!(snapshot.sides.receive.last_attempt, Some(checked));
    let totals = snapshot.totals;
    assert_eq!((totals.periods_skipped, totals.checks_skipped), (0, 0), "nobody was there to skip");
    bench.check(Some(refused()));
    assert_eq!(bench.snapshot().sides.receive.consecutive_failures, Reading::Is(1));
    // And so it is after one more restart.
    restart(&mut bench, &mut stored, 3600);
    assert_eq!(bench.snapshot().sides.receive.consecutive_failures, Reading::Unmeasured);
}

#[test]
fn what_gets_too_old_before_the_first_attempt_is_over_takes_its_failures_with_it() {
    let (mut bench, mut stored) = measured(RULES);
    restart(&mut bench, &mut stored, 60);
    bench.be_away(CHECK_OUTLIVED - 60);
    let receive = bench.snapshot().sides.receive;
    assert_eq!((receive.up, receive.consecutive_failures), (None, Reading::Unmeasured));
}

#[test]
fn another_mailbox_of_the_sender_shows_nothing_of_the_one_before() {
    let (mut bench, mut stored) = measured(RULES);
    restart(&mut bench, &mut stored, 1);
    bench.ledger.visits("imap://s".into());
    assert_eq!(bench.snapshot().sender_mailbox.up, Some(true));
    restart(&mut bench, &mut stored, 1);
    bench.ledger.visits("imap://other".into());
    assert_eq!(bench.snapshot().sender_mailbox.up, None);
}

#[test]
fn a_measurement_that_fails_for_want_of_our_own_leaves_the_outstanding_mails_known() {
    let (mut bench, mut stored) = measured(RULES);
    let short = Failure { shortage: Some(Shortage::Descriptors), ..refused() };
    bench.fail(short, false);
    for _ in 0..2 {
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.send_ability, Reading::Unmeasured);
        assert_eq!(snapshot.outstanding, Reading::Is(0));
        restart(&mut bench, &mut stored, 1);
    }
}

#[test]
fn an_attempt_that_was_under_way_is_no_measurement() {
    let (mut bench, mut stored) = measured(RULES);
    bench.be_away(58);
    bench.begin();
    let deadline = bench.now().instant + Duration::from_secs(30);
    for side in Side::ALL {
        bench.ledger.attempt_began(side, deadline, bench.now());
    }
    let before = bench.snapshot();
    restart(&mut bench, &mut stored, 40);
    let after = bench.snapshot();
    assert_eq!(after.send_ability, Reading::Is(1.0));
    assert_eq!(after.receive_ability, Reading::Is(false));
    for (after, before) in
        [(after.sides.send, before.sides.send), (after.sides.receive, before.sides.receive)]
    {
        assert_eq!(after.counters(), before.counters(), "no failure by its deadline either");
        assert_eq!(after.consecutive_failures, before.consecutive_failures);
    }
}

#[test]
fn what_overran_its_deadline_stands_no_longer_than_another() {
    let (mut bench, mut stored) = measured(RULES);
    let deadline = bench.now().instant + Duration::from_secs(30);
    bench.ledger.attempt_began(Side::Receive, deadline, bench.now());
    bench.be_away(31);
    assert_eq!(bench.snapshot().sides.receive.consecutive_failures, Reading::Is(3));
    restart(&mut bench, &mut stored, CHECK_OUTLIVED - 1);
    assert_eq!(bench.snapshot().receive_ability, Reading::Is(false));
    bench.be_away(1);
    assert_eq!(bench.snapshot().receive_ability, Reading::Unmeasured);
}

#[test]
fn what_does_not_apply_stays_so_however_long_the_exporter_was_away() {
    let (mut bench, mut stored) = (Bench::new(PASSIVE), StoredAccount::default());
    bench.fail(down(), false);
    bench.check(None);
    for away in [20, 3600, 86_400] {
        restart(&mut bench, &mut stored, away);
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.send_ability, Reading::NotApplicable, "{away}");
        assert_eq!(snapshot.outstanding, Reading::NotApplicable);
        assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
        assert_eq!(snapshot.sides.send.consecutive_failures, Reading::NotApplicable);
        assert_eq!(snapshot.sides.send.up, (away == 20).then_some(false), "not known any more");
    }
    // A target that is not passive any more is not excused by what it was.
    bench.ledger.rules = RULES;
    restart(&mut bench, &mut stored, 1);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Unmeasured);
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Unmeasured);
}

#[test]
fn a_wall_clock_that_was_set_back_makes_no_value_young() {
    let (mut bench, mut stored) = measured(RULES);
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.start.wall -= Duration::from_secs(1);
    let mut slewed = Ledger::restore(RULES, &stored, bench.now());
    assert_eq!(slewed.snapshot(bench.now()).send_ability, Reading::Is(1.0), "no jump");
    bench.start.wall -= Duration::from_secs(3600);
    bench.ledger = Ledger::restore(RULES, &stored, bench.now());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Unmeasured, "nobody knows how old it is");
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured);
    for side in [snapshot.sides.send, snapshot.sides.receive] {
        assert_eq!((side.up, side.consecutive_failures), (None, Reading::Unmeasured));
        assert_eq!((side.last_attempt, side.last_success), (None, None), "no date is to come");
    }
}

#[test]
fn the_newest_failure_is_the_newest_after_a_clock_that_was_set_back_between_two_processes() {
    let (mut bench, mut stored) = measured(RULES);
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.start.wall -= Duration::from_secs(7200);
    bench.ledger = Ledger::restore(RULES, &stored, bench.now());
    let kept = bench.snapshot().sides.receive.failures.clone();
    assert_eq!(kept.newest().map(|it| it.last), Some(bench.now().wall), "no date is to come");
    bench.be_away(60);
    bench.check(Some(Failure { reason: Reason::Timeout, ..refused() }));
    for _ in 0..2 {
        let failures = bench.snapshot().sides.receive.failures.clone();
        assert_eq!(failures.newest().map(|it| it.cause.1), Some(Reason::Timeout));
        restart(&mut bench, &mut stored, 60);
    }
}

#[test]
fn the_kept_times_go_with_a_wall_clock_that_is_set_meanwhile() {
    let (mut bench, mut stored) = measured(RULES);
    bench.start.wall -= Duration::from_secs(7200);
    bench.snapshot();
    restart(&mut bench, &mut stored, 60);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(2)));
}

#[test]
fn another_server_takes_its_value_away_over_a_reload_and_a_restart_alike() {
    for is_restarted in [false, true] {
        for (now, lost) in [
            (servers("smtp://a", "imap://a"), [false, false]),
            (servers("smtp://b", "imap://a"), [true, false]),
            (servers("smtp://a", "imap://b"), [false, true]),
        ] {
            let (mut bench, mut stored) = measured(RULES);
            let totals = bench.snapshot().totals;
            if is_restarted {
                restart(&mut bench, &mut stored, 5);
            }
            bench.ledger.measures(now, bench.now());
            let snapshot = bench.snapshot();
            assert_eq!(snapshot.send_ability.value().is_none(), lost[0], "{is_restarted}");
            assert_eq!(snapshot.receive_ability.value().is_none(), lost[1], "{is_restarted}");
            assert_eq!(snapshot.roundtrip.value().is_none(), lost[0] || lost[1]);
            for (side, lost) in
                [&snapshot.sides.send, &snapshot.sides.receive].into_iter().zip(lost)
            {
                assert_eq!(side.up.is_none(), lost);
                assert_eq!(side.consecutive_failures == Reading::Unmeasured, lost);
                assert_eq!(side.last_attempt.is_none(), lost);
                assert!(!side.is_outlived);
            }
            assert_eq!(snapshot.totals, totals, "what happened stays counted");
        }
    }
}

#[test]
fn what_the_server_before_still_does_counts_and_measures_nothing() {
    let (mut bench, _) = measured(RULES);
    let waiting = bench.send();
    let attempt =
        |server: &str, failures| Attempt { server: server.into(), failures, ..Attempt::default() };
    bench.ledger.measures(servers("smtp://b", "imap://b"), bench.now());
    let before = bench.snapshot();
    bench.ledger.send_ended(0, 1, &attempt("smtp://a", vec![refused()]), bench.now());
    bench.ledger.check_ended(&attempt("imap://a", vec![refused()]), bench.now());
    bench.be_away(3);
    bench.see(waiting);
    let after = bench.snapshot();
    assert_eq!(
        (after.send_ability, after.receive_ability),
        (Reading::Unmeasured, Reading::Unmeasured)
    );
    assert_eq!(after.roundtrip, Reading::Unmeasured);
    assert_eq!(after.sides.send.consecutive_failures, Reading::Unmeasured);
    assert_eq!(after.sides.send.failures_for(Reason::Rejected), 1);
    assert_eq!(after.totals.check_failures, before.totals.check_failures + 1);
    assert_eq!(after.totals.received, before.totals.received + 1);
    bench.ledger.send_ended(1, 1, &attempt("smtp://b", Vec::new()), bench.now());
    assert_eq!(bench.snapshot().send_ability, Reading::Is(1.0));
}

#[test]
fn another_period_is_judged_by_the_shorter_one() {
    let hour = Rules { interval: Duration::from_secs(3600), ..RULES };
    for (before, after) in [(hour, RULES), (RULES, hour)] {
        for (away, is_shown) in [(60, true), (600, false)] {
            let (mut bench, mut stored) = measured(before);
            bench.ledger.rules = before;
            stored.apply(&bench.ledger.take_changes(bench.now()));
            bench.be_away(away);
            bench.ledger = Ledger::restore(after, &stored, bench.now());
            let snapshot = bench.snapshot();
            assert_eq!(snapshot.send_ability.value().is_some(), is_shown, "{away}");
            assert_eq!(snapshot.receive_ability.value().is_some(), is_shown, "{away}");
            assert_eq!(snapshot.roundtrip.value().is_some(), is_shown, "{away}");
        }
    }
}

#[test]
fn the_mean_goes_on_over_a_restart_within_a_period() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    bench.ledger.period_began(bench.now());
    let tokens: Vec<Token> = (0..2).map(|_| Token::random()).collect();
    for token in &tokens {
        bench.ledger.sending(*token, bench.now());
        bench.ledger.accepted(*token, &Transmission::at(bench.now().instant), bench.now());
    }
    bench.be_away(2);
    bench.see(tokens[0]);
    restart(&mut bench, &mut stored, 0);
    bench.be_away(2);
    bench.see(tokens[1]);
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(3)), "of 2 s and 4 s");
    bench.be_away(60);
    bench.ledger.period_began(bench.now());
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(3)), "the one before");
    bench.be_away(60);
    bench.ledger.period_began(bench.now());
    assert_eq!(bench.snapshot().roundtrip, Reading::Unmeasured);
}

#[test]
fn nothing_is_written_anew_while_nothing_is_measured() {
    let (mut bench, mut stored) = measured(RULES);
    restart(&mut bench, &mut stored, 10);
    bench.ledger.measures(servers("smtp://a", "imap://a"), bench.now());
    bench.snapshot();
    assert!(bench.ledger.take_changes(bench.now()).is_empty());
    bench.be_away(30);
    bench.snapshot();
    assert!(bench.ledger.take_changes(bench.now()).is_empty());
}

#[test]
fn the_first_attempt_after_a_restart_stands_as_long_as_any() {
    let stands = |attempt: fn(&mut Bench)| {
        let (mut bench, mut stored) = measured(RULES);
        restart(&mut bench, &mut stored, 60);
        attempt(&mut bench);
        bench.be_away(CHECK_OUTLIVED - 1);
        let ability = bench.snapshot().receive_ability;
        bench.be_away(1);
        (ability, bench.snapshot().sides.receive.consecutive_failures)
    };
    assert_eq!(stands(|bench| bench.check(None)), (Reading::Is(true), Reading::Is(0)));
    let overrun = |bench: &mut Bench| {
        let deadline = bench.now().instant + Duration::from_secs(30);
        bench.ledger.attempt_began(Side::Receive, deadline, bench.now());
        bench.be_away(31);
        bench.snapshot();
        bench.ledger.check_abandoned(bench.now());
    };
    assert_eq!(stands(overrun), (Reading::Is(false), Reading::Is(3)));
}
