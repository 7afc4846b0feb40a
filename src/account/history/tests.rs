use std::time::UNIX_EPOCH;

use super::*;
use ledger::{Ledger, Rules, SessionKind, Sighting, Step, Transmission};

const SECOND: Duration = Duration::from_secs(1);

/// A ledger and a history that are told the same, as the account tells them, and the time.
struct Bench {
    ledger: Ledger,
    history: History,
    archive: Arc<Archive>,
    now: Moment,
}

impl Bench {
    fn new() -> Self {
        let rules = Rules {
            interval: SECOND * 60,
            late_after: SECOND * 60,
            lost_after: SECOND * 600,
            max_outstanding: 1_000,
            passive: false,
            expectation: None,
        };
        let archive = Archive::new(Archive::MOST_BYTES);
        let now = Moment {
            instant: crate::clock::now().instant,
            wall: UNIX_EPOCH + SECOND * 1_800_000_000,
        };
        let history = History::new(Arc::clone(&archive));
        Self { ledger: Ledger::new(rules), history, archive, now }
    }

    fn pass(&mut self, time: Duration) {
        self.now = Moment { instant: self.now.instant + time, wall: self.now.wall + time };
        self.ledger.looked_everywhere(self.now.instant, self.now);
        self.keep();
    }

    fn keep(&mut self) {
        let changes = self.ledger.take_changes(self.now);
        self.history.apply(&changes);
    }

    fn sending(&mut self) -> Token {
        let token = Token::random();
        self.history.sending(token, self.now);
        self.ledger.sending(token, self.now);
        self.keep();
        token
    }

    /// Accepted a second after its transmission began.
    fn accepted(&mut self) -> Token {
        let token = self.sending();
        let transmitted = self.now.instant;
        self.pass(SECOND);
        self.accept(token, transmitted);
        token
    }

    fn accept(&mut self, token: Token, transmitted: ledger::LineInstant) {
        self.history.accepted(token, transmitted, self.now);
        if let Some(roundtrip) =
            self.ledger.accepted(token, &Transmission::at(transmitted), self.now)
        {
            self.history.arrived_early(token, roundtrip);
        }
        self.keep();
    }

    fn refused(&mut self, reason: Reason, is_doubtful: bool) -> Token {
        let token = self.sending();
        let failure = failure(reason, "550 5.1.1 no such user");
        self.history.not_accepted(token, &failure);
        self.ledger.not_accepted(token, &failure, is_doubtful, self.now);
        self.keep();
        token
    }

    fn seen(&mut self, token: Token) {
        let sighting = Sighting {
            folder: FoundIn::Junk,
            shown_at: self.now.instant,
            asked_at: self.now.instant,
            network: Duration::ZERO,
            attended_since: self.now.instant,
            previous_look: Some(self.now.instant),
            dated: None,
            is_stamped_once: false,
            looks_failed: false,
            style: SessionKind::Held,
        };
        let verdict = self.ledger.seen(token, sighting, self.now);
        self.history.seen(token, sighting.folder, verdict);
        self.keep();
    }

    fn received(&mut self) -> Token {
        let token = self.accepted();
        self.pass(SECOND * 2);
        self.seen(token);
        token
    }

    fn attempt(&mut self, side: Side, failure: Option<Failure>, transcript: &str) {
        let attempt = Attempt {
            failures: failure.into_iter().collect(),
            steps: vec![(Step::Dns, SECOND / 4), (Step::Connect, SECOND)],
            transcript: transcript.to_owned(),
            ..Attempt::default()
        };
        self.history.attempt_ended(side, &attempt, self.now);
    }

    fn outcome(&self, token: Token) -> Option<&'static str> {
        let evidence = self.history.evidence();
        evidence
            .probes
            .iter()
            .find(|probe| probe.token == token)
            .map(|probe| probe.outcome().label())
    }

    fn probe(&self, token: Token) -> Probe {
        let evidence = self.history.evidence();
        evidence.probes.into_iter().find(|probe| probe.token == token).unwrap()
    }

    fn transcripts(&self) -> Vec<(DialogueKind, bool, String)> {
        let text = |text: Option<Arc<str>>| text.as_deref().unwrap_or("(gone)").to_owned();
        let evidence = self.history.evidence();
        evidence.transcripts.into_iter().map(|t| (t.kind, t.has_failed, text(t.text))).collect()
    }
}

fn failure(reason: Reason, message: &str) -> Failure {
    Failure {
        step: Step::Envelope,
        reason,
        down: false,
        shortage: None,
        clue: None,
        message: message.to_owned(),
    }
}

#[test]
fn a_probe_tells_its_way_from_the_transmission_to_the_mailbox() {
    let mut bench = Bench::new();
    let began = bench.now.wall;
    let token = bench.accepted();
    let attempt = Attempt {
        steps: vec![(Step::Dns, SECOND / 4), (Step::Data, SECOND / 2)],
        tokens: vec![token],
        ..Attempt::default()
    };
    bench.history.attempt_ended(Side::Send, &attempt, bench.now);
    assert_eq!(bench.outcome(token), Some("outstanding"));
    bench.pass(SECOND * 2);
    bench.seen(token);
    let probe = bench.probe(token);
    assert_eq!((probe.outcome().label(), probe.began, probe.is_late), ("received", began, false));
    assert_eq!((probe.accepted_after, probe.roundtrip), (Some(SECOND), Some(SECOND * 3)));
    assert_eq!((probe.delivery(), probe.folder), (Some(SECOND * 2), Some(FoundIn::Junk)));
    assert_eq!(probe.ended, Some(bench.now.wall));
    let steps: Vec<_> = probe.steps.iter().map(|time| (time.step, time.duration())).collect();
    assert_eq!(steps, [(Step::Dns, SECOND / 4), (Step::Data, SECOND / 2)]);
}

#[test]
fn a_mail_that_is_seen_before_its_acceptance_has_its_round_trip_too() {
    let mut bench = Bench::new();
    let token = bench.sending();
    let transmitted = bench.now.instant;
    bench.pass(SECOND);
    bench.seen(token);
    bench.pass(SECOND);
    bench.accept(token, transmitted);
    let probe = bench.probe(token);
    assert_eq!((probe.outcome().label(), probe.roundtrip), ("received", Some(SECOND)));
    assert_eq!((probe.delivery(), probe.folder), (Some(Duration::ZERO), Some(FoundIn::Junk)));
}

#[test]
fn what_was_not_accepted_is_told_apart_by_its_reason() {
    let mut bench = Bench::new();
    for (reason, outcome) in [
        (Reason::Rejected, "refused"),
        (Reason::Quota, "refused"),
        (Reason::Deferred, "deferred"),
        (Reason::Timeout, "failed"),
        (Reason::Auth, "failed"),
    ] {
        let token = bench.refused(reason, false);
        let probe = bench.probe(token);
        assert_eq!(probe.outcome().label(), outcome, "{reason}");
        assert_eq!(probe.failure.unwrap().message, "550 5.1.1 no such user");
    }
    let unsent = bench.sending();
    let shortage = Some(ledger::Shortage::Descriptors);
    bench
        .history
        .not_accepted(unsent, &Failure { shortage, ..failure(Reason::Other, "none left") });
    let (ledger, now) = (&mut bench.ledger, bench.now);
    ledger.not_accepted(unsent, &Failure { shortage, ..failure(Reason::Other, "") }, false, now);
    bench.keep();
    assert_eq!(bench.probe(unsent).outcome().label(), "unmeasured");
    let doubtful = bench.refused(Reason::Closed, true);
    assert_eq!(bench.outcome(doubtful), Some("doubtful"));
    bench.seen(doubtful);
    assert_eq!(bench.outcome(doubtful), Some("returned"));
}

#[test]
fn a_mail_becomes_late_and_lost_and_may_return() {
    let mut bench = Bench::new();
    let token = bench.accepted();
    bench.pass(SECOND * 61);
    assert!(bench.probe(token).is_late);
    assert_eq!(bench.outcome(token), Some("outstanding"));
    bench.pass(SECOND * 600);
    assert_eq!(bench.outcome(token), Some("lost"));
    bench.seen(token);
    assert_eq!(bench.outcome(token), Some("returned"));
}

#[test]
fn a_report_tells_what_the_server_said_and_stays() {
    let mut bench = Bench::new();
    let token = bench.accepted();
    bench.history.reported(token, "delayed \u{202e}4.4.1");
    assert_eq!(bench.probe(token).report.as_deref(), Some("delayed \\u{202e}4.4.1"));
    assert_eq!(bench.outcome(token), Some("outstanding"));
    bench.history.reported(token, "5.1.1 unknown");
    let record = MailRecord {
        state: MailState::Bounced,
        purpose: ledger::Purpose::Delivery,
        is_late: false,
        transmitted: None,
        handed_over: None,
        accepted: None,
        ended: Some(bench.now.wall),
    };
    let mails = [(token, Some(record))].into();
    bench.history.apply(&Changes { mails, ..Changes::default() });
    let probe = bench.probe(token);
    assert_eq!(
        (probe.outcome().label(), probe.report.as_deref()),
        ("bounced", Some("5.1.1 unknown"))
    );
}

#[test]
fn a_failure_is_there_long_after_the_newest_twenty() {
    let mut bench = Bench::new();
    let refused = bench.refused(Reason::Deferred, false);
    let late = bench.accepted();
    bench.now.instant += SECOND * 70;
    bench.now.wall += SECOND * 70;
    bench.seen(late);
    let good = bench.received();
    for _ in 0..500 {
        bench.received();
    }
    let count = bench.history.evidence().probes.len();
    assert_eq!(count, NEWEST_PROBES + 2);
    assert_eq!((bench.outcome(refused), bench.outcome(good)), (Some("deferred"), None));
    assert!(bench.probe(late).is_late, "a late one counts as a failure");
    for _ in 0..500 {
        bench.refused(Reason::Rejected, false);
    }
    assert_eq!(bench.history.evidence().probes.len(), NEWEST_PROBES + OLDER_FAILURES);
    assert_eq!(bench.outcome(refused), None, "bounded all the same");
}

#[test]
fn mails_under_way_do_not_push_out_what_failed() {
    let mut bench = Bench::new();
    let refused = bench.refused(Reason::Rejected, false);
    for _ in 0..100 {
        bench.accepted();
        bench.now.instant = bench.now.instant - SECOND;
    }
    assert_eq!(bench.outcome(refused), Some("refused"));
    assert_eq!(bench.history.evidence().probes.len(), NEWEST_PROBES + OLDER_FAILURES);
}

#[test]
fn a_check_that_failed_outlives_those_that_passed() {
    let mut bench = Bench::new();
    bench.attempt(Side::Receive, Some(failure(Reason::Auth, "NO [AUTHENTICATIONFAILED]")), "");
    let failed_at = bench.now.wall;
    for _ in 0..100 {
        bench.pass(SECOND);
        bench.attempt(Side::Receive, None, "");
    }
    let checks = bench.history.evidence().checks;
    assert_eq!(checks.len(), NEWEST_CHECKS + 1);
    let oldest = checks.last().unwrap();
    assert_eq!(oldest.failure.as_ref().unwrap().message, "NO [AUTHENTICATIONFAILED]");
    assert_eq!(oldest.began, failed_at - SECOND * 5 / 4);
    for _ in 0..100 {
        let failure = failure(Reason::Timeout, "no answer");
        bench.history.look_failed(&failure, "", bench.now);
    }
    let evidence = bench.history.evidence();
    assert_eq!(evidence.failed_looks.len(), FAILED_LOOKS);
    assert_eq!(evidence.checks.len(), NEWEST_CHECKS + 1, "a failed look is no failed check");
}

#[test]
fn three_failed_dialogues_and_the_newest_good_one_of_each_side_are_kept() {
    let mut bench = Bench::new();
    let no = || Some(failure(Reason::Rejected, "no"));
    for text in ["good 1", "good 2"] {
        bench.attempt(Side::Send, None, text);
    }
    bench.attempt(Side::Receive, None, "check good");
    bench.attempt(Side::Receive, no(), "check bad");
    for text in ["bad 1", "bad 2", "bad 3", "bad 4"] {
        bench.attempt(Side::Send, no(), text);
    }
    let kept = bench.transcripts();
    let kept: Vec<_> = kept.iter().map(|(kind, _, text)| (*kind, text.as_str())).collect();
    let expected = [
        (DialogueKind::Send, "bad 4"),
        (DialogueKind::Send, "bad 3"),
        (DialogueKind::Check, "check bad"),
        (DialogueKind::Check, "check good"),
        (DialogueKind::Send, "good 2"),
    ];
    assert_eq!(kept, expected);
    let bytes = bench.archive.bytes();
    assert!(bytes > 0);
    drop(bench.history);
    assert_eq!(bench.archive.bytes(), 0);
}

#[test]
fn a_transcript_that_made_room_is_said_to_be_gone() {
    let mut bench = Bench::new();
    bench.history.set_archive(Archive::new(300));
    bench.attempt(Side::Send, None, &"g".repeat(100));
    bench.attempt(Side::Send, Some(failure(Reason::Rejected, "no")), &"b".repeat(100));
    let kept = bench.transcripts();
    assert_eq!(kept[0].2, "b".repeat(100));
    assert_eq!((kept[1].1, kept[1].2.as_str()), (false, "(gone)"));
}

#[test]
fn after_a_restart_the_mails_are_known_from_the_store() {
    let mut bench = Bench::new();
    let mut stored = StoredAccount::default();
    let token = Token::random();
    bench.history.sending(token, bench.now);
    bench.ledger.sending(token, bench.now);
    stored.apply(&bench.ledger.take_changes(bench.now));
    let began = bench.now.wall;
    let transmitted = bench.now.instant;
    bench.now.instant += SECOND;
    bench.now.wall += SECOND;
    bench.ledger.accepted(token, &Transmission::at(transmitted), bench.now);
    stored.apply(&bench.ledger.take_changes(bench.now));
    let mut next = Bench::new();
    next.ledger = Ledger::restore(
        Rules {
            interval: SECOND * 60,
            late_after: SECOND * 60,
            lost_after: SECOND * 600,
            max_outstanding: 10,
            passive: false,
            expectation: None,
        },
        &stored,
        bench.now,
    );
    next.now = bench.now;
    next.history.restore(&stored);
    next.keep();
    let probe = next.probe(token);
    assert_eq!((probe.outcome().label(), probe.began), ("outstanding", began));
    assert_eq!(probe.accepted_after, Some(SECOND));
    next.pass(SECOND * 9);
    next.seen(token);
    assert_eq!(next.outcome(token), Some("received"));
    let roundtrip = next.probe(token).roundtrip.unwrap();
    assert!(roundtrip.abs_diff(SECOND * 10) < SECOND / 100, "{roundtrip:?}");
}

#[test]
fn a_server_that_goes_on_saying_the_same_fills_one_place() {
    let mut bench = Bench::new();
    let tokens = [(); 3].map(|()| bench.refused(Reason::Rejected, false));
    let failures = tokens.map(|token| bench.probe(token).failure.unwrap());
    assert!(Arc::ptr_eq(&failures[0], &failures[2]));
}

#[test]
fn ten_thousand_full_histories_take_a_third_of_the_memory_there_is() {
    // What a probe and a check take beside the failure they share, with all their steps.
    let steps = 16 + Step::SEND.len() * size_of::<StepTime>();
    let probes = NEWEST_PROBES * (size_of::<Probe>() + steps);
    let checks = NEWEST_CHECKS * (size_of::<Check>() + steps);
    assert!(size_of::<StepTime>() == 8);
    let all = 10_000 * (probes + checks + size_of::<History>());
    assert!(all < 200_000_000 / 3, "{all}");
}
