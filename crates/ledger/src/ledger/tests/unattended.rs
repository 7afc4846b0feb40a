//! Mails under way when an exporter gives a target up, and comes back to it: another one may have tested it meanwhile,
//! and have removed them as left-overs.

use super::*;

/// An account with one mail under way, given up after a check for so many seconds.
fn away(seconds: u64) -> (Bench, StoredAccount, Token) {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.send();
    bench.wait(30);
    bench.check(None);
    restart(&mut bench, &mut stored, seconds);
    (bench, stored, token)
}

#[test]
fn what_another_may_have_removed_meanwhile_is_neither_lost_nor_late() {
    let (mut bench, mut stored, token) = away(600);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.outstanding, Reading::Is(1), "until somebody has looked");
    assert_eq!(snapshot.oldest_outstanding, None, "no alert is to call it overdue");
    assert!(bench.ledger.oldest_outstanding().is_some(), "and yet it is looked for");
    bench.wait(1);
    let snapshot = bench.snapshot();
    let totals = snapshot.totals.clone();
    assert_eq!((totals.left, totals.lost, totals.late, totals.received), (1, 0, 0, 0));
    assert!(adds_up(&snapshot, 0));
    assert_eq!(bench.see(token), SightingOutcome::Left);
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.snapshot().totals, totals, "counted once");
}

#[test]
fn one_that_still_lies_there_is_received() {
    let (mut bench, _, token) = away(600);
    let before = bench.start.instant + Duration::from_secs(30);
    let shown = Sighting { previous_look: Some(before), ..sighting(bench.now()) };
    let outcome = bench.ledger.seen(token, shown, bench.now());
    assert!(matches!(outcome, SightingOutcome::Received { .. }), "{outcome:?}");
    let totals = bench.snapshot().totals;
    assert_eq!((totals.received, totals.left, totals.lost), (1, 0, 0));
}

#[test]
fn within_the_time_that_others_respect_it_is_lost_as_ever() {
    // It is old enough to be lost, but nobody else can have removed what came after the check.
    let (mut bench, _, _) = away(599);
    bench.wait(1);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.late, totals.lost, totals.left), (1, 1, 0));
}

#[test]
fn a_mail_that_nobody_can_look_for_after_the_return_leaves_as_well() {
    let (mut bench, _, _) = away(600);
    bench.snapshot();
    bench.be_away(60);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.late, totals.lost, totals.left), (0, 0, 1));
}
