//! What fails for want of something of the exporter's own is not measured.

use super::*;
use crate::Shortage;

fn short() -> Failure {
    Failure {
        step: Step::Dns,
        reason: Reason::Dns,
        down: false,
        shortage: Some(Shortage::LookUps),
        clue: None,
        message: "no turn".into(),
    }
}

/// Everything that counts or judges a side.
fn counts(snapshot: &Snapshot) -> (Totals, SideCounters, SideCounters) {
    (*snapshot.totals, snapshot.sides.send.counters(), snapshot.sides.receive.counters())
}

#[test]
fn a_shortage_of_our_own_is_no_measure_and_no_failure() {
    for rules in [RULES, PASSIVE] {
        let mut bench = Bench::new(rules);
        let token = bench.send();
        bench.check(None);
        bench.see(token);
        let before = bench.snapshot();
        bench.wait(30);
        bench.fail(short(), false);
        bench.check(Some(short()));
        bench.ledger.look_failed(&short(), bench.now());
        let after = bench.snapshot();
        assert_eq!(after.send_ability, Reading::Unmeasured);
        assert_eq!(after.receive_ability, Reading::Unmeasured);
        assert_eq!(counts(&after), counts(&before));
        for (after, before) in
            [(&after.sides.send, &before.sides.send), (&after.sides.receive, &before.sides.receive)]
        {
            assert_eq!(after.up, Some(true));
            assert_eq!(after.consecutive_failures, Reading::Is(0));
            // Nobody has asked the server: a target that is not probed is told by this.
            assert_eq!(after.last_attempt, before.last_attempt);
            assert_eq!(after.last_failure, None);
        }
    }
}

#[test]
fn the_sender_s_mailbox_is_not_measured_either() {
    let mut bench = Bench::new(RULES);
    bench.ledger.sender_mailbox_visited(None, bench.now());
    bench.ledger.sender_mailbox_visited(Some(&short()), bench.now());
    let sender = bench.snapshot().sender_mailbox;
    assert_eq!((sender.up, sender.failures, &sender.last_failure), (None, 0, &None));
}

#[test]
fn a_shortage_ends_no_row_of_failures_and_begins_none() {
    let mut bench = Bench::new(RULES);
    bench.fail(refused(), false);
    bench.check(Some(down()));
    bench.fail(short(), false);
    bench.check(Some(short()));
    bench.fail(refused(), false);
    bench.check(Some(down()));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(2));
    assert_eq!(snapshot.sides.receive.consecutive_failures, Reading::Is(2));
    assert_eq!(snapshot.totals.probes, 2);
    assert_eq!((snapshot.totals.checks, snapshot.totals.check_failures), (2, 2));
}

#[test]
fn of_several_mails_those_that_were_not_measured_are_no_part_of_the_share() {
    let mut bench = Bench::new(RULES);
    let tokens: Vec<Token> = (0..2).map(|_| bench.begin()).collect();
    let now = bench.now();
    bench.ledger.accepted(tokens[0], &Transmission::at(now.instant), now);
    bench.ledger.not_accepted(tokens[1], &short(), false, now);
    let attempt = Attempt { failures: vec![short()], ..Attempt::default() };
    bench.ledger.send_ended(1, 2, &attempt, now);
    assert_eq!(bench.snapshot().send_ability, Reading::Is(1.0));
    // A server that has refused one was measured.
    let attempt = Attempt { failures: vec![refused(), short()], ..Attempt::default() };
    bench.ledger.send_ended(0, 2, &attempt, now);
    assert_eq!(bench.snapshot().send_ability, Reading::Is(0.0));
}

#[test]
fn a_mail_that_may_have_gone_out_is_doubtful_whatever_ended_the_connection() {
    let mut bench = Bench::new(RULES);
    bench.fail(short(), true);
    assert_eq!(bench.snapshot().totals.doubtful, 1);
}
