use std::collections::BTreeSet;

use super::lifecycle::REMEMBERED;
use super::*;
use crate::Action;
use crate::{LineInstant, Reason, Step};
use proptest::prelude::*;

mod availability;
mod distance;
mod expectation;
mod newest;
mod overdue;
mod schedule;
mod shortage;
mod unattended;

const RULES: Rules = Rules {
    interval: Duration::from_secs(60),
    late_after: Duration::from_secs(60),
    lost_after: Duration::from_secs(600),
    max_outstanding: 20,
    passive: false,
    expectation: None,
};

const PASSIVE: Rules = Rules { passive: true, ..RULES };

/// A ledger with a clock that is moved by hand.
struct Bench {
    ledger: Ledger,
    start: Moment,
    elapsed: Duration,
    sent: u32,
}

impl Bench {
    fn new(rules: Rules) -> Self {
        let start = Moment {
            instant: crate::some_instant(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        Self { ledger: Ledger::new(rules), start, elapsed: Duration::ZERO, sent: 0 }
    }

    fn now(&self) -> Moment {
        Moment { instant: self.start.instant + self.elapsed, wall: self.start.wall + self.elapsed }
    }

    /// Time goes by, and then the mailbox is looked into.
    fn wait(&mut self, seconds: u64) {
        self.be_away(seconds);
        self.ledger.looked_everywhere(self.now().instant, self.now());
    }

    /// Time goes by, and nobody looks.
    fn be_away(&mut self, seconds: u64) {
        self.elapsed += Duration::from_secs(seconds);
    }

    fn begin(&mut self) -> Token {
        let token = Token::random();
        self.sent += 1;
        self.ledger.period_began(self.now());
        self.ledger.sending(token, self.now());
        token
    }

    /// A period whose one mail is accepted.
    fn send(&mut self) -> Token {
        let token = self.begin();
        self.ledger.accepted(token, &Transmission::at(self.now().instant), self.now());
        self.ledger.send_ended(1, 1, &Attempt::default(), self.now());
        token
    }

    /// A period whose one mail is not.
    fn fail(&mut self, failure: Failure, is_doubtful: bool) -> Token {
        let token = self.begin();
        self.ledger.not_accepted(token, &failure, is_doubtful, self.now());
        let attempt = Attempt { failures: vec![failure], ..Attempt::default() };
        self.ledger.send_ended(0, 1, &attempt, self.now());
        token
    }

    fn check(&mut self, failure: Option<Failure>) {
        let attempt = Attempt { failures: failure.into_iter().collect(), ..Attempt::default() };
        self.ledger.check_ended(&attempt, self.now());
    }

    fn see(&mut self, token: Token) -> SightingOutcome {
        self.ledger.seen(token, sighting(self.now()), self.now())
    }

    fn snapshot(&mut self) -> Snapshot {
        self.ledger.snapshot(self.now())
    }
}

fn sighting(now: Moment) -> Sighting {
    Sighting {
        folder: FoundIn::Inbox,
        shown_at: now.instant,
        asked_at: now.instant,
        // Watched closely, unless a test says otherwise.
        previous_look: Some(now.instant),
        dated: None,
        is_stamped_once: false,
        looks_failed: false,
        network: Duration::ZERO,
        attended_since: now.instant,
        style: SessionKind::Held,
    }
}

/// By POP3 the date is that of a server on the way: a mail that lies in its queue is dated long before it arrives.
#[test]
fn a_queue_is_not_taken_for_the_clock_of_a_pop3_server() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    let date = bench.now().wall;
    bench.wait(30);
    let now = bench.now();
    let previous_look = Some(now.instant - Duration::from_secs(2));
    let style = SessionKind::PerPoll;
    let outcome = bench.ledger.seen(token, Sighting { style, previous_look, ..sighting(now) }, now);
    let SightingOutcome::Received { stamped, .. } = outcome else { panic!("{outcome:?}") };
    let mut clock = ServerClock::default();
    clock.learn(date, stamped, now);
    let offset = clock.offset(now).expect("something was learned");
    assert!(offset.least <= 0.0 && 0.0 <= offset.most, "both clocks agree: {offset:?}");
}

/// The round trip of a mail that was received now.
fn roundtrip(verdict: SightingOutcome) -> Option<Duration> {
    let SightingOutcome::Received { roundtrip, .. } = verdict else { panic!("{verdict:?}") };
    roundtrip
}

fn notice(token: Token, action: Action) -> DeliveryReport {
    DeliveryReport { token, action, code: Some("5.1.1".into()), remote_server: None, text: None }
}

fn refused() -> Failure {
    Failure {
        step: Step::Envelope,
        reason: Reason::Rejected,
        down: false,
        shortage: None,
        clue: None,
        message: "550 no".into(),
    }
}

fn down() -> Failure {
    Failure {
        step: Step::Connect,
        reason: Reason::Refused,
        down: true,
        shortage: None,
        clue: None,
        message: "connection refused".into(),
    }
}

fn adds_up(snapshot: &Snapshot, outstanding: usize) -> bool {
    let totals = *snapshot.totals;
    let ended = totals.received + totals.bounced + totals.lost + totals.left;
    totals.accepted == outstanding as u64 + ended
}

#[test]
fn before_the_first_attempt_nothing_is_measured() {
    let snapshot = Bench::new(RULES).snapshot();
    assert_eq!(snapshot.send_ability, Reading::Unmeasured);
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert_eq!(snapshot.outstanding, Reading::Unmeasured);
    assert_eq!((snapshot.roundtrip, snapshot.last_roundtrip), (Reading::Unmeasured, None));
    assert_eq!((snapshot.sides.send.up, snapshot.sides.receive.up), (None, None));
}

#[test]
fn a_mail_that_arrives_is_received_with_its_delay() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    assert_eq!(bench.snapshot().outstanding, Reading::Is(1));
    bench.wait(3);
    assert_eq!(roundtrip(bench.see(token)), Some(Duration::from_secs(3)));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(3)));
    assert_eq!(snapshot.roundtrips.counts, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((snapshot.totals.received, snapshot.totals.found), (1, [1, 0, 0]));
}

#[test]
fn the_round_trip_is_that_of_the_newest_two_periods_and_then_none() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.wait(4);
    bench.see(token);
    bench.wait(56);
    let lost = bench.send();
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(4)), "the one before");
    bench.wait(60);
    bench.send();
    assert_eq!(bench.snapshot().last_roundtrip, Some(Duration::from_secs(4)));
    assert_eq!(
        bench.snapshot().roundtrip,
        Reading::Unmeasured,
        "an old good figure does not stand"
    );
    bench.wait(5);
    bench.see(lost);
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(65)));
}

#[test]
fn the_round_trip_is_the_mean_over_the_mails_of_the_period() {
    let mut bench = Bench::new(RULES);
    let (first, second) = (bench.begin(), Token::random());
    bench.ledger.sending(second, bench.now());
    for token in [first, second] {
        bench.ledger.accepted(token, &Transmission::at(bench.now().instant), bench.now());
    }
    bench.wait(2);
    bench.see(first);
    bench.wait(4);
    bench.see(second);
    assert_eq!(bench.snapshot().roundtrip, Reading::Is(Duration::from_secs(4)));
}

#[test]
fn a_mail_may_arrive_before_the_server_says_that_it_took_it() {
    let mut bench = Bench::new(RULES);
    let token = bench.begin();
    let transmitted = bench.now().instant;
    bench.wait(1);
    assert_eq!(bench.see(token), SightingOutcome::Early);
    bench.wait(5);
    bench.ledger.accepted(token, &Transmission::at(transmitted), bench.now());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.roundtrip, Reading::Is(Duration::from_secs(1)));
    assert_eq!((snapshot.totals.received, snapshot.totals.accepted), (1, 1));
    assert_eq!(bench.see(token), SightingOutcome::Duplicate);
}

#[test]
fn a_mail_seen_before_the_reply_arrives_by_the_same_rule() {
    let bracket = |bench: &Bench, dated: Option<u64>| Sighting {
        shown_at: bench.now().instant,
        previous_look: Some(bench.start.instant + Duration::from_secs(100)),
        attended_since: bench.start.instant,
        dated: dated.map(|seconds| {
            let at = bench.start.instant + Duration::from_secs(seconds);
            Bracket { earliest: at, latest: at + Duration::from_secs(2) }
        }),
        ..sighting(bench.now())
    };
    // Nobody looked for 40 s while the server took its time to reply.
    for (dated, roundtrip) in [(Some(110), 11), (Some(90), 40), (None, 20)] {
        let mut bench = Bench::new(RULES);
        bench.wait(100);
        let token = bench.begin();
        let transmitted = bench.now().instant;
        bench.wait(40);
        let sighting = bracket(&bench, dated);
        assert_eq!(bench.ledger.seen(token, sighting, bench.now()), SightingOutcome::Early);
        bench.wait(5);
        let roundtrip = Some(Duration::from_secs(roundtrip));
        assert_eq!(
            bench.ledger.accepted(token, &Transmission::at(transmitted), bench.now()),
            roundtrip
        );
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.totals.received, 1);
        assert_eq!(snapshot.roundtrip.value(), roundtrip, "dated {dated:?}");
    }
}

#[test]
fn a_mail_seen_before_the_reply_has_returned_if_the_reply_is_never_recorded() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.begin();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.wait(1);
    assert_eq!(bench.see(token), SightingOutcome::Early);
    // The mail is removed, and then the process is killed.
    restart(&mut bench, &mut stored, 5);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.probes, totals.doubtful, totals.returned), (1, 1, 1));
    assert!(!bench.ledger.is_missing_mail(), "it is not searched for any more");
    assert_eq!(bench.see(token), SightingOutcome::Duplicate);
    stored.apply(&bench.ledger.take_changes(bench.now()));
    assert_eq!(in_state(&stored, MailState::Returned), BTreeSet::from([token]));
}

#[test]
fn late_is_counted_when_it_becomes_late_and_only_once() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.wait(59);
    assert_eq!(bench.snapshot().totals.late, 0);
    bench.wait(1);
    assert_eq!(bench.snapshot().totals.late, 1);
    bench.wait(30);
    bench.see(token);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.late, totals.received, totals.lost), (1, 1, 0));
}

#[test]
fn delivery_is_not_known_while_a_mail_is_due_and_the_mailbox_cannot_be_read() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    let first = bench.send();
    bench.see(first);
    bench.send();
    bench.check(Some(refused()));
    bench.be_away(59);
    assert_eq!(bench.snapshot().delivers, Reading::Is(true), "it may still come in time");
    bench.be_away(1);
    assert_eq!(bench.snapshot().delivers, Reading::Unmeasured);
    assert_eq!(bench.snapshot().totals.late, 0, "nobody has looked");
    bench.check(None);
    bench.wait(1);
    assert_eq!(bench.snapshot().delivers, Reading::Is(false));
}

#[test]
fn delivery_is_bad_while_a_mail_is_late_and_after_one_was_lost() {
    let mut bench = Bench::new(RULES);
    assert_eq!(bench.snapshot().delivers, Reading::Unmeasured);
    let first = bench.send();
    assert_eq!(bench.snapshot().delivers, Reading::Unmeasured, "it may still come in time");
    bench.see(first);
    assert_eq!(bench.snapshot().delivers, Reading::Is(true));
    bench.fail(refused(), true);
    assert_eq!(bench.snapshot().delivers, Reading::Is(true), "a doubtful mail tells nothing");
    let late = bench.send();
    bench.wait(60);
    assert_eq!(bench.snapshot().delivers, Reading::Is(false));
    bench.see(late);
    assert_eq!(bench.snapshot().delivers, Reading::Is(true));
    bench.send();
    bench.wait(600);
    assert_eq!(bench.snapshot().totals.lost, 1);
    let next = bench.send();
    assert_eq!(bench.snapshot().delivers, Reading::Is(false), "the newest that ended was lost");
    let mut stored = StoredAccount::default();
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.snapshot().delivers, Reading::Is(false), "a restart does not forget it");
    bench.see(next);
    assert_eq!(bench.snapshot().delivers, Reading::Is(true));
    let mut bench = Bench::new(PASSIVE);
    bench.send();
    bench.check(Some(down()));
    assert_eq!(bench.snapshot().delivers, Reading::NotApplicable);
}

#[test]
fn a_lost_mail_leaves_outstanding_and_may_return() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.wait(600);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.lost), (Reading::Is(0), 1));
    bench.wait(10);
    assert_eq!(bench.see(token), SightingOutcome::Returned);
    assert_eq!(bench.see(token), SightingOutcome::Duplicate);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.returned, snapshot.totals.received), (1, 0));
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured, "a returned mail has no round trip");
}

#[test]
fn beyond_max_outstanding_the_oldest_are_lost() {
    let mut bench = Bench::new(RULES);
    let tokens: Vec<Token> = (0..22).map(|_| bench.send()).collect();
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.lost), (Reading::Is(20), 2));
    assert_eq!(bench.see(tokens[0]), SightingOutcome::Returned);
    assert!(matches!(bench.see(tokens[2]), SightingOutcome::Received { .. }));
}

#[test]
fn a_doubtful_mail_is_never_outstanding_and_may_return() {
    let mut bench = Bench::new(RULES);
    let token = bench.fail(refused(), true);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.doubtful), (Reading::Is(0), 1));
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(bench.see(token), SightingOutcome::Returned);
    assert_eq!(bench.snapshot().totals.returned, 1);
}

#[test]
fn a_doubtful_or_lost_mail_is_missed_until_it_turns_up() {
    let mut bench = Bench::new(RULES);
    let doubtful = bench.fail(refused(), true);
    assert!(bench.ledger.is_missing_mail());
    bench.see(doubtful);
    assert!(!bench.ledger.is_missing_mail());
    bench.send();
    assert!(!bench.ledger.is_missing_mail(), "it is only outstanding");
    bench.wait(600);
    bench.snapshot();
    assert!(bench.ledger.is_missing_mail());
}

#[test]
fn a_refused_mail_is_forgotten() {
    let mut bench = Bench::new(RULES);
    let token = bench.fail(refused(), false);
    assert!(!bench.ledger.is_live(token));
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.probes, snapshot.totals.accepted), (1, 0));
    assert_eq!(snapshot.sides.send.failures_for(Reason::Rejected), 1);
    assert_eq!(snapshot.sides.send.failures_in(Step::Envelope), 1);
}

#[test]
fn the_share_of_accepted_mails_is_the_ability() {
    let mut bench = Bench::new(RULES);
    let attempt = Attempt { failures: vec![refused()], ..Attempt::default() };
    bench.ledger.send_ended(3, 4, &attempt, bench.now());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(0.75));
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(0), "it can send");
}

#[test]
fn an_active_target_that_is_down_reads_0_and_counts() {
    let mut bench = Bench::new(RULES);
    bench.fail(down(), false);
    bench.fail(down(), false);
    bench.check(Some(down()));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(2));
    assert_eq!((snapshot.totals.checks, snapshot.totals.check_failures), (1, 1));
    assert_eq!((snapshot.sides.send.up, snapshot.sides.receive.up), (Some(false), Some(false)));
    assert_eq!(snapshot.sides.send.not_applicable, 0);
}

#[test]
fn a_passive_target_that_is_down_reads_nothing_and_counts_no_failure() {
    let mut bench = Bench::new(PASSIVE);
    bench.fail(down(), false);
    bench.check(Some(down()));
    bench.ledger.look_failed(&down(), bench.now());
    let snapshot = bench.snapshot();
    for reading in
        [snapshot.send_ability.value().is_some(), snapshot.receive_ability.value().is_some()]
    {
        assert!(!reading);
    }
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::NotApplicable);
    assert_eq!((snapshot.sides.send.not_applicable, snapshot.sides.receive.not_applicable), (1, 2));
    assert_eq!((snapshot.totals.probes, snapshot.totals.checks), (0, 0));
    assert_eq!(snapshot.sides.send.failures.total(), 0);
    assert_eq!(snapshot.sides.receive.failures.total(), 0);
    assert_eq!(snapshot.sides.send.up, Some(false), "server_up is never NaN once measured");
}

#[test]
fn a_session_that_breaks_off_is_a_failure_of_a_passive_target_only_if_it_is_not_down() {
    let closed = || Failure {
        step: Step::Fetch,
        reason: Reason::Closed,
        down: false,
        shortage: None,
        clue: None,
        message: "the server closed the connection".into(),
    };
    let counts = |bench: &mut Bench| {
        let receive = bench.snapshot().sides.receive;
        (receive.failures_for(Reason::Closed), receive.not_applicable)
    };
    let mut bench = Bench::new(PASSIVE);
    bench.ledger.look_failed(&closed(), bench.now());
    assert_eq!(counts(&mut bench), (0, 0), "not known yet");
    bench.ledger.look_failed(&down(), bench.now());
    assert_eq!(counts(&mut bench), (0, 2), "it was going down");
    bench.ledger.look_failed(&closed(), bench.now());
    bench.check(None);
    assert_eq!(counts(&mut bench), (1, 2), "it was not");
    bench.ledger.look_failed(&closed(), bench.now());
    bench.ledger.look_failed(&closed(), bench.now());
    bench.check(Some(down()));
    assert_eq!(counts(&mut bench), (2, 4), "only the newest may be a sign of it");
    let mut bench = Bench::new(RULES);
    bench.ledger.look_failed(&closed(), bench.now());
    assert_eq!(counts(&mut bench), (1, 0), "an active target counts it at once");
}

#[test]
fn the_sides_of_a_passive_target_go_each_for_itself() {
    let mut bench = Bench::new(PASSIVE);
    bench.send();
    bench.check(Some(down()));
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
}

#[test]
fn mails_outstanding_when_a_passive_node_goes_down_leave_uncounted() {
    let mut bench = Bench::new(PASSIVE);
    let token = bench.send();
    bench.check(Some(down()));
    bench.wait(600);
    bench.check(None);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    assert_eq!((snapshot.totals.lost, snapshot.totals.late, snapshot.totals.left), (0, 0, 1));
    assert!(adds_up(&snapshot, 0));
    let token_again = bench.send();
    bench.check(Some(down()));
    assert_eq!(bench.see(token_again), SightingOutcome::Left);
    assert_eq!(bench.see(token), SightingOutcome::Unknown, "forgotten after lost_after");
}

#[test]
fn a_mail_that_nobody_can_look_for_is_neither_late_nor_lost() {
    let mut bench = Bench::new(PASSIVE);
    bench.check(Some(down()));
    bench.send();
    bench.wait(601);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.late, totals.lost), (0, 0));
    bench.check(Some(down()));
    let totals = bench.snapshot().totals;
    assert_eq!((totals.late, totals.lost, totals.left), (0, 0, 1));
    // Once the mailbox answers, a mail that is not in it is late.
    bench.send();
    bench.wait(60);
    bench.check(None);
    assert_eq!(bench.snapshot().totals.late, 1);
}

#[test]
fn a_passive_target_that_answers_is_measured_like_any_other() {
    let mut bench = Bench::new(PASSIVE);
    bench.fail(down(), false);
    bench.fail(refused(), false);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(1));
    bench.send();
    assert_eq!(bench.snapshot().send_ability, Reading::Is(1.0));
}

#[test]
fn a_look_that_fails_does_not_touch_the_receive_ability() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.ledger.look_failed(&down(), bench.now());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Refused), 1);
    assert_eq!(snapshot.totals.check_failures, 0);
}

#[test]
fn a_clock_that_runs_backwards_gives_no_negative_delay() {
    let mut bench = Bench::new(RULES);
    let token = bench.begin();
    let in_the_future = bench.now().instant + Duration::from_secs(50);
    bench.ledger.accepted(token, &Transmission::at(in_the_future), bench.now());
    bench.see(token);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.totals.received, snapshot.totals.roundtrips_unknown), (1, 1));
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured, "received without a round trip");
}

/// Ends the process and begins again from what it has left, so many seconds later.
fn restart(bench: &mut Bench, stored: &mut StoredAccount, seconds: u64) {
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.be_away(seconds);
    bench.ledger = Ledger::restore(bench.ledger.rules, stored, bench.now());
}

fn in_state(stored: &StoredAccount, state: MailState) -> BTreeSet<Token> {
    let there = stored.mails.iter().filter(|(_, mail)| mail.state == state);
    there.map(|(token, _)| *token).collect()
}

#[test]
fn an_outstanding_mail_is_outstanding_again_and_received_with_its_whole_delay() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.begin();
    let transmitted = bench.now().instant;
    bench.wait(2);
    bench.ledger.accepted(token, &Transmission::at(transmitted), bench.now());
    restart(&mut bench, &mut stored, 40);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.accepted), (Reading::Is(1), 1));
    assert_eq!(snapshot.send_ability, Reading::Unmeasured, "the attempt had not ended");
    assert_eq!(roundtrip(bench.see(token)), Some(Duration::from_secs(42)));
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.see(token), SightingOutcome::Duplicate);
    let Snapshot { totals, last_roundtrip, .. } = bench.snapshot();
    assert_eq!((totals.accepted, totals.received, totals.duplicate), (1, 1, 1));
    assert_eq!(last_roundtrip, Some(Duration::from_secs(42)), "it is kept");
}

#[test]
fn a_mail_without_a_recorded_reply_is_doubtful_after_a_restart() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.begin();
    restart(&mut bench, &mut stored, 10);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.probes, totals.doubtful, totals.accepted), (1, 1, 0));
    restart(&mut bench, &mut stored, 10);
    assert_eq!(bench.snapshot().totals.doubtful, 1, "counted once");
    assert_eq!(bench.see(token), SightingOutcome::Returned);
}

#[test]
fn late_and_lost_go_on_over_a_restart_and_are_counted_once() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.send();
    bench.wait(60);
    assert_eq!(bench.snapshot().totals.late, 1);
    restart(&mut bench, &mut stored, 539);
    assert_eq!(bench.snapshot().totals.late, 1);
    assert_eq!(bench.snapshot().totals.lost, 0);
    bench.wait(1);
    assert_eq!(bench.snapshot().totals.lost, 1, "the age at the restart counts");
    restart(&mut bench, &mut stored, 599);
    assert_eq!(bench.see(token), SightingOutcome::Returned);
    restart(&mut bench, &mut stored, 600);
    assert_eq!(bench.see(token), SightingOutcome::Unknown);
    bench.snapshot();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    assert!(stored.mails.is_empty(), "what is forgotten leaves no record");
}

#[test]
fn a_refused_mail_leaves_no_record() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.begin();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    assert_eq!(in_state(&stored, MailState::Sending), BTreeSet::from([token]));
    bench.ledger.not_accepted(token, &refused(), false, bench.now());
    stored.apply(&bench.ledger.take_changes(bench.now()));
    assert!(stored.mails.is_empty());
    assert_eq!(stored.account.totals.probes, 1);
}

#[test]
fn a_wall_clock_that_was_set_back_makes_a_mail_young_and_not_older_than_time() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    let token = bench.send();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.start.wall -= Duration::from_secs(86_400);
    restart(&mut bench, &mut stored, 5);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.lost), (Reading::Is(1), 0));
    assert!(snapshot.oldest_outstanding.unwrap() <= bench.now().wall);
    assert_eq!(roundtrip(bench.see(token)), Some(Duration::ZERO));
}

#[test]
fn the_time_of_the_newest_send_outlives_the_process() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    assert_eq!(bench.ledger.last_sent(), None);
    let sent = bench.now().wall;
    let token = bench.begin();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.wait(5);
    bench.ledger.not_accepted(token, &refused(), false, bench.now());
    restart(&mut bench, &mut stored, 100);
    assert_eq!(bench.ledger.last_sent(), Some(sent), "a refused mail is a send, too");
}

#[test]
fn failures_and_looks_are_counted_on_over_a_restart() {
    let (mut bench, mut stored) = (Bench::new(PASSIVE), StoredAccount::default());
    bench.fail(refused(), false);
    bench.check(Some(refused()));
    bench.check(Some(down()));
    bench.ledger.sender_mailbox_visited(Some(&refused()), bench.now());
    bench.check(None);
    bench.ledger.looked(bench.now());
    bench.send();
    bench.ledger.looked(bench.now());
    let before = bench.snapshot();
    assert_eq!(before.totals.looks, 1, "only on behalf of a mail that is waited for");
    restart(&mut bench, &mut stored, 1);
    let after = bench.snapshot();
    assert_eq!(after.totals, before.totals);
    for (after, before) in
        [(&after.sides.send, &before.sides.send), (&after.sides.receive, &before.sides.receive)]
    {
        assert_eq!(after.failures_for(Reason::Rejected), 1);
        assert_eq!(after.failures_in(Step::Envelope), 1);
        assert_eq!(after.counters(), before.counters());
        assert_eq!(after.last_attempt, before.last_attempt);
    }
    assert_eq!(after.sides.receive.not_applicable, 1);
    assert_eq!((after.sender_mailbox.failures, after.sender_mailbox.up), (1, Some(false)));
}

#[test]
fn the_dates_of_what_happened_go_with_a_wall_clock_that_is_set() {
    for jump in
        [ClockJump::Forward(Duration::from_secs(7200)), ClockJump::Back(Duration::from_secs(7200))]
    {
        let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
        bench.send();
        let unanswered = bench.begin();
        bench.ledger.look_failed(&refused(), bench.now());
        bench.check(None);
        stored.apply(&bench.ledger.take_changes(bench.now()));
        bench.wait(30);
        bench.start.wall = jump.correct(bench.start.wall);
        let happened = Some(bench.start.wall);
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.oldest_outstanding, happened, "30 s ago");
        for side in [&snapshot.sides.send, &snapshot.sides.receive] {
            assert_eq!((side.last_attempt, side.last_success), (happened, happened));
        }
        let failed = snapshot.sides.receive.failures.newest().map(|newest| newest.last);
        assert_eq!(failed, happened);
        assert_eq!(bench.ledger.last_sent(), happened);
        stored.apply(&bench.ledger.take_changes(bench.now()));
        assert_eq!(stored.account.last_sent, happened);
        assert_eq!(stored.mails[&unanswered].transmitted, happened);
        // And the age that an outstanding mail has after a restart is its true one.
        restart(&mut bench, &mut stored, 20);
        assert_eq!(bench.snapshot().totals.late, 0);
        bench.wait(10);
        assert_eq!(bench.snapshot().totals.late, 1);
    }
}

#[test]
fn records_that_do_not_add_up_are_made_to_without_lowering_a_counter() {
    let mut bench = Bench::new(RULES);
    let tokens: Vec<Token> = (0..3).map(|_| bench.send()).collect();
    bench.see(tokens[0]);
    let mut stored = StoredAccount::default();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    let mut fewer = stored.clone();
    fewer.mails.remove(&tokens[1]);
    let mut ledger = Ledger::restore(RULES, &fewer, bench.now());
    let snapshot = ledger.snapshot(bench.now());
    assert_eq!((snapshot.totals.accepted, snapshot.totals.left), (3, 1));
    assert!(adds_up(&snapshot, 1));
    stored.account = AccountRecord::default();
    let mut ledger = Ledger::restore(RULES, &stored, bench.now());
    let snapshot = ledger.snapshot(bench.now());
    assert_eq!((snapshot.totals.accepted, snapshot.totals.probes), (2, 2));
    assert!(adds_up(&snapshot, 2));
}

#[test]
fn a_bounce_ends_the_wait_and_is_counted_once() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.wait(5);
    let delayed = notice(token, Action::Delayed);
    assert_eq!(
        bench.ledger.delivery_reported(delayed.clone(), bench.now()),
        ReportOutcome::Waiting
    );
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.bounced), (Reading::Is(1), 0));
    assert_eq!(snapshot.last_report, Some((bench.now().wall, delayed).into()));

    let failed = notice(token, Action::Failed);
    assert_eq!(bench.ledger.delivery_reported(failed.clone(), bench.now()), ReportOutcome::Bounced);
    assert_eq!(bench.ledger.delivery_reported(failed.clone(), bench.now()), ReportOutcome::Over);
    bench.wait(900);
    let snapshot = bench.snapshot();
    assert_eq!((snapshot.outstanding, snapshot.totals.bounced), (Reading::Is(0), 1));
    assert_eq!(snapshot.delivers, Reading::Is(false));
    assert_eq!((snapshot.totals.late, snapshot.totals.lost), (0, 0));
    assert_eq!(snapshot.last_report.map(|it| it.1.clone()), Some(failed));
    assert!(adds_up(&bench.snapshot(), 0));
}

#[test]
fn a_bounced_mail_that_comes_after_all_is_returned() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.ledger.delivery_reported(notice(token, Action::Failed), bench.now());
    assert_eq!(bench.see(token), SightingOutcome::Returned);
    assert_eq!(bench.see(token), SightingOutcome::Duplicate);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.bounced, totals.returned, totals.received), (1, 1, 0));
}

#[test]
fn a_bounce_before_the_server_has_answered_waits_for_the_answer() {
    let mut bench = Bench::new(RULES);
    let token = bench.begin();
    let failed = notice(token, Action::Failed);
    assert_eq!(bench.ledger.delivery_reported(failed, bench.now()), ReportOutcome::Waiting);
    assert_eq!(bench.snapshot().totals.bounced, 0, "not accepted yet");
    bench.ledger.accepted(token, &Transmission::at(bench.now().instant), bench.now());
    assert_eq!(bench.snapshot().totals.bounced, 1);
    assert!(adds_up(&bench.snapshot(), 0));
}

#[test]
fn a_bounce_changes_nothing_about_a_mail_whose_wait_is_over() {
    let mut bench = Bench::new(RULES);
    let lost = bench.send();
    bench.wait(500);
    let doubtful = bench.fail(refused(), true);
    bench.wait(100);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.lost, totals.doubtful), (1, 1));
    for token in [doubtful, lost] {
        let failed = notice(token, Action::Failed);
        assert_eq!(
            bench.ledger.delivery_reported(failed.clone(), bench.now()),
            ReportOutcome::Over
        );
        let snapshot = bench.snapshot();
        assert_eq!(snapshot.totals, totals);
        assert_eq!(
            snapshot.last_report,
            Some((bench.now().wall, failed).into()),
            "it may explain it"
        );
    }
    let newest = bench.snapshot().last_report;
    let stranger = notice(Token::random(), Action::Failed);
    assert_eq!(bench.ledger.delivery_reported(stranger, bench.now()), ReportOutcome::Unknown);
    assert_eq!(bench.snapshot().last_report, newest, "it is about nobody");
    for token in [doubtful, lost] {
        assert_eq!(bench.see(token), SightingOutcome::Returned, "still a doubtful or lost one");
    }
}

#[test]
fn a_bounce_is_looked_for_moderately_and_only_while_a_mail_is_waited_for() {
    let seconds = Duration::from_secs;
    let mut bench = Bench::new(RULES);
    let looks = |bench: &Bench, style, last: Option<u64>| {
        let at = |elapsed| bench.start.instant + seconds(elapsed);
        let next = bench.ledger.next_report_look(style, last.map(at));
        next.map(|next| next.saturating_duration_since(bench.start.instant).as_secs())
    };
    let command = |bench: &Bench, last| looks(bench, SessionKind::Held, last);
    let session = |bench: &Bench, last| looks(bench, SessionKind::PerPoll, last);
    assert_eq!(command(&bench, None), None, "nothing is outstanding");
    bench.wait(100);
    let token = bench.send();
    for last in [None, Some(50), Some(101)] {
        assert_eq!(command(&bench, last), Some(102), "the first: after {last:?}");
        assert_eq!(session(&bench, last), Some(110), "the first: after {last:?}");
    }
    // Half of the wait, within the bounds of the style.
    assert_eq!(command(&bench, Some(102)), Some(107));
    assert_eq!(command(&bench, Some(140)), Some(160));
    assert_eq!(command(&bench, Some(400)), Some(460));
    assert_eq!(session(&bench, Some(110)), Some(125));
    assert_eq!(session(&bench, Some(400)), Some(460), "a period");
    bench.ledger.delivery_reported(notice(token, Action::Failed), bench.now());
    assert_eq!(command(&bench, None), None);
    let mut short = Bench::new(Rules { interval: seconds(5), ..RULES });
    short.send();
    assert_eq!(session(&short, Some(400)), Some(415), "a short period hurries nobody");
}

#[test]
fn a_mail_that_was_sent_again_by_a_forward_is_still_received() {
    let mut bench = Bench::new(RULES);
    let token = bench.send();
    bench.see(token);
    let failed = notice(token, Action::Failed);
    assert_eq!(bench.ledger.delivery_reported(failed, bench.now()), ReportOutcome::Over);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.received, totals.bounced), (1, 0));
}

#[test]
fn a_failure_in_the_senders_mailbox_says_nothing_about_receiving() {
    let mut bench = Bench::new(RULES);
    bench.check(None);
    bench.ledger.sender_mailbox_visited(Some(&down()), bench.now());
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Refused), 0);
    assert_eq!((snapshot.sender_mailbox.up, snapshot.sender_mailbox.failures), (Some(false), 1));
    bench.ledger.sender_mailbox_visited(None, bench.now());
    assert_eq!(bench.snapshot().sender_mailbox.up, Some(true));
}

#[derive(Debug, Clone)]
enum Event {
    Begin,
    Accept(u8),
    Refuse(u8, bool, bool),
    SendEnded(bool),
    Check(Option<bool>),
    LookFailed(bool),
    LookOver,
    See(u8),
    DeliveryReport(u8, bool),
    Wait(u16),
    /// The monotonic clock never goes back, but the wall clock does.
    WallJump(i16),
    SetPassive(bool),
    Expect(bool),
    /// The store writes what it was given.
    Commit,
    /// The process ends without a word and begins again this much later.
    Restart(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Begin),
        4 => any::<u8>().prop_map(Event::Accept),
        2 => any::<(u8, bool, bool)>().prop_map(|(n, a, b)| Event::Refuse(n, a, b)),
        1 => any::<bool>().prop_map(Event::SendEnded),
        1 => any::<Option<bool>>().prop_map(Event::Check),
        1 => any::<bool>().prop_map(Event::LookFailed),
        2 => Just(Event::LookOver),
        4 => any::<u8>().prop_map(Event::See),
        2 => any::<(u8, bool)>().prop_map(|(n, is_failed)| Event::DeliveryReport(n, is_failed)),
        3 => any::<u16>().prop_map(|seconds| Event::Wait(seconds % 400)),
        1 => any::<i16>().prop_map(Event::WallJump),
        1 => any::<bool>().prop_map(Event::SetPassive),
        1 => any::<bool>().prop_map(Event::Expect),
        2 => Just(Event::Commit),
        1 => any::<u16>().prop_map(|seconds| Event::Restart(seconds % 900)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_account_always_adds_up(events in prop::collection::vec(event(), 0..200), passive: bool) {
        let mut rules = Rules { passive, ..RULES };
        let mut ledger = Ledger::new(rules);
        let mut now = Bench::new(rules).now();
        // With the moment at which its transmission began.
        let mut tokens: Vec<(Token, LineInstant)> = Vec::new();
        let mut stored = StoredAccount::default();
        let mut queued = Changes::default();
        let failure = |is_down| if is_down { down() } else { refused() };
        for event in events {
            let is_begin = matches!(event, Event::Begin);
            let pick = |index: u8| tokens.get(usize::from(index) % tokens.len().max(1)).copied();
            match event {
                Event::Begin => {
                    ledger.period_began(now);
                    let token = Token::random();
                    ledger.sending(token, now);
                    tokens.push((token, now.instant));
                }
                Event::Accept(n) => if let Some((token, transmitted)) = pick(n) {
                    ledger.accepted(token, &Transmission::at(transmitted), now);
                },
                Event::Refuse(n, doubtful, is_down) => if let Some((token, _)) = pick(n) {
                    ledger.not_accepted(token, &failure(is_down), doubtful, now);
                },
                Event::SendEnded(is_down) => {
                    let attempt = Attempt { failures: vec![failure(is_down)], ..Attempt::default() };
                    ledger.send_ended(0, 1, &attempt, now);
                }
                Event::Check(outcome) => {
                    let failures = outcome.map(failure).into_iter().collect();
                    ledger.check_ended(&Attempt { failures, ..Attempt::default() }, now);
                }
                Event::LookFailed(is_down) => ledger.look_failed(&failure(is_down), now),
                Event::LookOver => ledger.looked_everywhere(now.instant, now),
                Event::See(n) => if let Some((token, _)) = pick(n) {
                    let was_live = ledger.is_live(token);
                    let verdict = ledger.seen(token, sighting(now), now);
                    prop_assert!(was_live || verdict == SightingOutcome::Unknown);
                },
                Event::DeliveryReport(n, is_failed) => if let Some((token, _)) = pick(n) {
                    let was_awaited = ledger.outstanding.iter().any(|mail| mail.token == token);
                    let bounced = ledger.snapshot(now).totals.bounced;
                    let is_awaited = ledger.outstanding.iter().any(|mail| mail.token == token);
                    let action = if is_failed { Action::Failed } else { Action::Delayed };
                    let verdict = ledger.delivery_reported(notice(token, action), now);
                    let has_bounced = verdict == ReportOutcome::Bounced;
                    prop_assert!(was_awaited || !has_bounced);
                    prop_assert_eq!(has_bounced, is_awaited && is_failed);
                    let purpose = ledger.record_of(token, now).map(|mail| mail.purpose);
                    let is_counted = has_bounced && purpose == Some(crate::Purpose::Delivery);
                    prop_assert_eq!(ledger.totals.bounced, bounced + u64::from(is_counted));
                },
                Event::Wait(seconds) => {
                    now.instant += Duration::from_secs(seconds.into());
                    now.wall += Duration::from_secs(seconds.into());
                }
                Event::WallJump(seconds) => {
                    let step = Duration::from_secs(seconds.unsigned_abs().into());
                    now.wall = if seconds < 0 { now.wall - step } else { now.wall + step };
                }
                Event::SetPassive(passive) => {
                    rules.passive = passive;
                    ledger.set_rules(rules, now);
                }
                Event::Expect(is_test) => {
                    rules.expectation = is_test.then(|| crate::Expectation::Nothing.into());
                    ledger.set_rules(rules, now);
                }
                Event::Commit => stored.apply(&std::mem::take(&mut queued)),
                Event::Restart(seconds) => {
                    queued = Changes::default();
                    now.instant += Duration::from_secs(seconds.into());
                    now.wall += Duration::from_secs(seconds.into());
                    ledger = Ledger::restore(rules, &stored, now);
                    prop_assert_eq!(ledger.totals.late, stored.account.totals.late);
                    let mut kept = in_state(&stored, MailState::Outstanding);
                    kept.retain(|token| !rules.is_out_of_place(stored.mails[token].purpose));
                    let restored: BTreeSet<Token> =
                        ledger.outstanding.iter().map(|mail| mail.token).collect();
                    prop_assert_eq!(restored, kept, "outstanding again, all of them");
                    for token in in_state(&stored, MailState::Sending) {
                        let was_seen = stored.mails[&token].ended.is_some();
                        let how = if was_seen { MailState::Returned } else { MailState::Doubtful };
                        prop_assert_eq!(ledger.ended_state(token), Some(how));
                    }
                    for mail in &ledger.outstanding {
                        prop_assert!(mail.transmitted <= mail.handed_over);
                        prop_assert!(mail.handed_over <= mail.accepted.instant);
                        prop_assert!(mail.accepted.instant <= now.instant);
                        prop_assert!(mail.accepted.wall <= now.wall);
                    }
                }
            }
            queued.then(ledger.take_changes(now));
            if is_begin {
                // Before a mail goes out its record is written, and all records before it.
                stored.apply(&std::mem::take(&mut queued));
            }
            let before = ledger.clone().snapshot(now);
            let snapshot = ledger.snapshot(now);
            prop_assert_eq!(&before, &snapshot, "snapshots repeat");
            queued.then(ledger.take_changes(now));
            prop_assert!(ledger.take_changes(now).is_empty(), "changes are told once");
            let mut written = stored.clone();
            written.apply(&queued);
            prop_assert_eq!(written.account.totals, *snapshot.totals);
            prop_assert_eq!(written.account.roundtrips.counts, snapshot.roundtrips.counts);
            for (token, mail) in &written.mails {
                let known = ledger.record_of(*token, now).map(|known| known.state);
                prop_assert_eq!(Some(mail.state), known);
            }
            let live = ledger.sending.len() + ledger.outstanding.len() + ledger.ended.len();
            prop_assert_eq!(written.mails.len(), live, "a record for each mail, and no other");
            let is_counted = |mail: &&Outstanding| mail.purpose == crate::Purpose::Delivery;
            let counted = ledger.outstanding.iter().filter(is_counted).count();
            let outstanding = ledger.outstanding.len();
            prop_assert!(adds_up(&snapshot, counted), "{:?}", snapshot.totals);
            prop_assert!(outstanding <= RULES.max_outstanding);
            prop_assert!(ledger.ended.len() <= REMEMBERED);
            prop_assert_eq!(snapshot.totals.found.iter().sum::<u64>(), snapshot.totals.received);
            let timed = snapshot.roundtrips.counts.iter().sum::<u64>();
            prop_assert_eq!(timed + snapshot.totals.roundtrips_unknown, snapshot.totals.received);
            let mut looked = ledger.clone();
            looked.looked_everywhere(now.instant, now);
            if let Some(next) = looked.next_look(SessionKind::Held, Some(now.instant)) {
                prop_assert!(next > now.instant, "a look that is due at once for ever");
            }
        }
    }
}
