//! Late and lost: only after a look that was due for the mail.

use super::*;

fn next_look(bench: &Bench, style: SessionKind, last: u64) -> Duration {
    let last = bench.start.instant + Duration::from_secs(last);
    bench.ledger.next_look(style, Some(last)).unwrap() - bench.start.instant
}

#[test]
fn a_look_is_due_when_a_mail_becomes_late_and_when_it_is_lost() {
    for style in [SessionKind::Held, SessionKind::PerPoll] {
        let mut bench = Bench::new(RULES);
        bench.send();
        assert_eq!(next_look(&bench, style, 59), Duration::from_secs(60), "{style:?}");
        bench.wait(60);
        assert!(next_look(&bench, style, 60) > Duration::from_secs(60), "{style:?}");
        let last = 600 - 1;
        assert_eq!(next_look(&bench, style, last), Duration::from_secs(600), "{style:?}");
    }
    let hasty = Rules { late_after: Duration::from_millis(100), ..RULES };
    let mut bench = Bench::new(hasty);
    bench.send();
    let next = bench.ledger.next_look(SessionKind::PerPoll, None).unwrap() - bench.start.instant;
    assert_eq!(next, Duration::from_millis(100), "sooner than the schedule would");
}

#[test]
fn a_mail_is_late_or_lost_only_once_it_was_looked_for() {
    let mut bench = Bench::new(RULES);
    bench.send();
    bench.be_away(61);
    assert_eq!(bench.snapshot().totals.late, 0, "nobody has looked since 60 s");
    let before = bench.start.instant + Duration::from_secs(59);
    bench.ledger.looked_everywhere(before, bench.now());
    assert_eq!(bench.snapshot().totals.late, 0, "that look began too early");
    bench.ledger.looked_everywhere(bench.now().instant, bench.now());
    assert_eq!(bench.snapshot().totals.late, 1);
    bench.be_away(540);
    assert_eq!(bench.snapshot().totals.lost, 0);
    bench.ledger.looked_everywhere(bench.now().instant, bench.now());
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.late, snapshot.totals.lost), (1, 1));
}

#[test]
fn a_mailbox_that_nobody_can_look_into_holds_up_no_alert() {
    let mut bench = Bench::new(RULES);
    bench.send();
    bench.be_away(60);
    assert_eq!(bench.snapshot().totals.late, 0);
    bench.be_away(59);
    assert_eq!(bench.snapshot().totals.late, 0);
    bench.be_away(1);
    assert_eq!(bench.snapshot().totals.late, 1, "a period after the look was due");
}

#[test]
fn where_looks_must_lie_far_apart_the_one_that_is_due_has_so_much_time() {
    let mut bench = Bench::new(RULES);
    bench.ledger.looks_lie_apart(Duration::from_secs(200));
    bench.send();
    bench.be_away(60);
    assert_eq!(bench.snapshot().totals.late, 0);
    bench.be_away(399);
    assert_eq!(bench.snapshot().totals.late, 0);
    bench.be_away(1);
    assert_eq!(bench.snapshot().totals.late, 1);
}

#[test]
fn what_the_look_that_was_due_shows_came_in_time() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.be_away(61);
    let at = |seconds| bench.start.instant + Duration::from_secs(seconds);
    let shown = Sighting {
        asked_at: at(60),
        previous_look: Some(at(50)),
        attended_since: at(0),
        ..sighting(bench.now())
    };
    assert!(matches!(
        bench.ledger.seen(token, shown, bench.now()),
        SightingOutcome::Received { .. }
    ));
    bench.ledger.looked_everywhere(at(60), bench.now());
    let totals = bench.snapshot().totals;
    assert_eq!((totals.received, totals.late, totals.lost), (1, 0, 0));
}

#[test]
fn after_a_restart_the_date_tells_what_came_in_time() {
    for (dated, late, lost) in [(55, 0, 0), (70, 1, 0), (605, 1, 1)] {
        let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
        let token = bench.send();
        bench.wait(30);
        restart(&mut bench, &mut stored, 670);
        assert_eq!(bench.snapshot().totals.late, 0, "it is looked for first");
        let at = bench.start.instant + Duration::from_secs(dated);
        let span = Bracket { earliest: at, latest: at + Duration::from_secs(1) };
        let found = Sighting { previous_look: None, dated: Some(span), ..sighting(bench.now()) };
        let verdict = bench.ledger.seen(token, found, bench.now());
        let snapshot = bench.snapshot();
        assert_eq!((snapshot.totals.late, snapshot.totals.lost), (late, lost), "{dated}");
        assert!(adds_up(&snapshot, 0));
        if lost == 0 {
            let expected = Duration::from_secs(dated) + Duration::from_millis(500);
            assert_eq!(roundtrip(verdict), Some(expected));
        } else {
            assert_eq!((verdict, snapshot.totals.returned), (SightingOutcome::Returned, 1));
        }
    }
}

#[test]
fn what_came_while_nobody_was_there_and_has_no_date_is_received_without_a_round_trip() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.send();
    restart(&mut bench, &mut stored, 150);
    let found = Sighting { previous_look: None, ..sighting(bench.now()) };
    assert_eq!(roundtrip(bench.ledger.seen(token, found, bench.now())), None);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.received, snapshot.totals.roundtrips_unknown), (1, 1));
    assert_eq!(snapshot.totals.late, 0, "nor can anybody tell that it came late");
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured);
    assert!(snapshot.is_arrival_unknown);
    bench.send();
    bench.send();
    assert!(!bench.snapshot().is_arrival_unknown, "not of the newest two periods");
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.snapshot().totals.roundtrips_unknown, 1, "counted on");
}

#[test]
fn a_further_mail_of_a_period_begins_with_its_own_transmission() {
    let mut bench = Bench::new(RULES);
    let (first, second) = (bench.begin(), Token::random());
    bench.ledger.sending(second, bench.now());
    let began = bench.now().instant;
    bench.be_away(2);
    bench.ledger.accepted(first, &Transmission::at(began), bench.now());
    let own = Transmission::at(bench.now().instant);
    bench.be_away(1);
    bench.ledger.accepted(second, &own, bench.now());
    assert_eq!(roundtrip(bench.see(first)), Some(Duration::from_secs(3)));
    assert_eq!(roundtrip(bench.see(second)), Some(Duration::from_secs(1)));
}
