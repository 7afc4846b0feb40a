//! Mails that must not pass: whether they did, and that they are counted nowhere.

use super::*;
use crate::{Awaited, Clue, Expectation, Servers};

const MINUTE: u64 = 60;

fn expecting(expectation: Expectation) -> Bench {
    Bench::new(Rules { expectation: Some(expectation.into()), ..RULES })
}

fn refusal() -> Failure {
    Failure { down: false, ..failure(Step::Envelope, Reason::Rejected) }
}

fn failure(step: Step, reason: Reason) -> Failure {
    let message = format!("{step} {reason}");
    Failure { step, reason, down: false, shortage: None, clue: None, message }
}

impl Bench {
    fn is_met(&mut self) -> Reading<bool> {
        self.snapshot().expectation.unwrap().is_met
    }

    fn words(&mut self) -> String {
        self.snapshot().expectation.unwrap().words.to_string()
    }

    fn see_in(&mut self, token: Token, folder: FoundIn) {
        let sighting = Sighting { folder, ..sighting(self.now()) };
        self.ledger.seen(token, sighting, self.now());
    }
}

#[test]
fn only_a_refusal_for_good_is_one() {
    use Reading::{Is, Unmeasured};
    for (failure, of_refused, of_junk, of_nothing) in [
        (failure(Step::Envelope, Reason::Rejected), Is(true), Is(false), Is(true)),
        (failure(Step::Data, Reason::Rejected), Is(true), Is(false), Is(true)),
        (failure(Step::Envelope, Reason::Deferred), Unmeasured, Unmeasured, Unmeasured),
        (failure(Step::Envelope, Reason::Quota), Unmeasured, Unmeasured, Unmeasured),
        (failure(Step::Greeting, Reason::Rejected), Unmeasured, Unmeasured, Unmeasured),
        (failure(Step::Auth, Reason::Auth), Unmeasured, Unmeasured, Unmeasured),
        (failure(Step::Connect, Reason::Timeout), Unmeasured, Unmeasured, Unmeasured),
    ] {
        for (expectation, is_met) in [
            (Expectation::Refused, of_refused),
            (Expectation::Junk, of_junk),
            (Expectation::Nothing, of_nothing),
        ] {
            let mut bench = expecting(expectation);
            assert_eq!(bench.is_met(), Unmeasured, "before the first test");
            bench.fail(failure.clone(), false);
            assert_eq!(bench.is_met(), is_met, "{expectation:?} {failure}");
            assert_eq!(bench.words(), failure.message);
            bench.fail(failure.clone(), true);
            assert_eq!(bench.is_met(), Unmeasured, "nobody knows whether the server has it");
        }
    }
}

#[test]
fn junk_is_met_by_a_mail_in_the_folder_for_junk() {
    let mut bench = expecting(Expectation::Junk);
    for (folder, is_met) in
        [(FoundIn::Junk, true), (FoundIn::Inbox, false), (FoundIn::Other, false)]
    {
        let token = bench.send();
        bench.wait(1);
        bench.see_in(token, folder);
        assert_eq!(bench.is_met(), Reading::Is(is_met), "{folder:?}");
    }
    bench.send();
    bench.wait(10 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(false), "it was found nowhere");
}

#[test]
fn nothing_is_met_by_a_look_that_finds_nothing_in_time() {
    let mut bench = expecting(Expectation::Nothing);
    bench.send();
    bench.wait(9 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Unmeasured, "it may still come");
    bench.wait(MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(true));
    let token = bench.send();
    bench.wait(1);
    bench.see(token);
    assert_eq!(bench.is_met(), Reading::Is(false));
    assert_eq!(bench.words(), "the mail was found in the inbox");
}

#[test]
fn where_nobody_could_look_nothing_is_proved() {
    for expectation in [Expectation::Nothing, Expectation::Junk] {
        let mut bench = expecting(expectation);
        bench.send();
        bench.be_away(10 * MINUTE);
        assert_eq!(bench.is_met(), Reading::Unmeasured, "a look is due");
        bench.be_away(2 * MINUTE);
        assert_eq!(bench.is_met(), Reading::Unmeasured);
        assert_eq!(bench.words(), "nobody could look for the mail");
    }
}

#[test]
fn a_mail_that_comes_after_all_has_passed_however_old_it_is() {
    let mut bench = expecting(Expectation::Nothing);
    let old = bench.send();
    bench.wait(10 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(true));
    bench.wait(MINUTE);
    bench.see(old);
    assert_eq!(bench.is_met(), Reading::Is(false));
    // One that was sent before it says nothing any more.
    let (first, second) = (bench.send(), bench.send());
    bench.wait(1);
    bench.see(second);
    assert_eq!(bench.is_met(), Reading::Is(false));
    bench.see_in(first, FoundIn::Inbox);
    bench.wait(11 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(false), "the newest mail decides");
}

#[test]
fn nothing_is_to_be_expected_of_a_passive_node_that_is_down() {
    let rules = Rules { expectation: Some(Expectation::Refused.into()), ..PASSIVE };
    let mut bench = Bench::new(rules);
    bench.fail(down(), false);
    assert_eq!(bench.is_met(), Reading::NotApplicable);
    bench.fail(refusal(), false);
    assert_eq!(bench.is_met(), Reading::Is(true));
    let mut active = expecting(Expectation::Refused);
    active.fail(down(), false);
    assert_eq!(active.is_met(), Reading::Unmeasured);
}

#[test]
fn what_was_found_is_outlived() {
    let mut bench = expecting(Expectation::Refused);
    bench.fail(refusal(), false);
    bench.be_away(2 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(true));
    bench.be_away(5);
    assert_eq!(bench.is_met(), Reading::Unmeasured);
    assert!(!bench.words().is_empty(), "what was said is still shown");
}

#[test]
fn nothing_of_such_mails_is_counted_or_measured() {
    let mut bench = expecting(Expectation::Nothing);
    bench.send();
    bench.wait(11 * MINUTE);
    let token = bench.send();
    bench.wait(1);
    bench.see(token);
    bench.fail(failure(Step::Connect, Reason::Refused), false);
    bench.check(Some(failure(Step::Connect, Reason::Refused)));
    let snapshot = bench.snapshot();
    let mails = Totals { checks: 0, check_failures: 0, looks: 0, ..*snapshot.totals };
    assert_eq!(mails, Totals { periods_skipped: mails.periods_skipped, ..Totals::default() });
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable);
    assert_eq!((snapshot.late_outstanding, snapshot.oldest_outstanding), (0, None));
    for (_, side) in snapshot.sides.iter() {
        assert_eq!(side.consecutive_failures, Reading::NotApplicable, "no alert about a side");
        assert_eq!(side.failures_for(Reason::Refused), 1, "but its failures are counted");
    }
}

#[test]
fn a_mail_under_way_survives_a_restart() {
    let (mut bench, mut stored) = (expecting(Expectation::Nothing), StoredAccount::default());
    bench.send();
    bench.wait(30);
    restart(&mut bench, &mut stored, 1);
    assert_eq!(bench.is_met(), Reading::Unmeasured);
    bench.wait(10 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(true));
    bench.send();
    restart(&mut bench, &mut stored, 1);
    assert_eq!(*bench.snapshot().totals, Totals::default(), "its mails are in no counter");
}

#[test]
fn what_was_judged_stands_over_a_restart_until_it_is_outlived() {
    for away in [1, 100] {
        let (mut bench, mut stored) = (expecting(Expectation::Refused), StoredAccount::default());
        bench.ledger.measures(tested("#refused "), bench.now());
        bench.fail(refusal(), false);
        let before = bench.snapshot().expectation;
        restart(&mut bench, &mut stored, away);
        bench.ledger.measures(tested("#refused "), bench.now());
        assert_eq!(bench.snapshot().expectation, before, "with its words and its date");
        restart(&mut bench, &mut stored, 0);
        bench.be_away(2 * MINUTE - away);
        assert_eq!(bench.is_met(), Reading::Is(true));
        bench.be_away(2);
        assert_eq!(bench.is_met(), Reading::Unmeasured, "by its own time");
        assert_eq!(bench.words(), before.unwrap().words.to_string());
    }
}

#[test]
fn what_was_judged_before_a_restart_holds_by_the_shorter_period() {
    let (mut bench, mut stored) = (expecting(Expectation::Refused), StoredAccount::default());
    bench.fail(refusal(), false);
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.be_away(3 * MINUTE);
    let rules = Rules { interval: Duration::from_secs(3600), ..bench.ledger.rules };
    bench.ledger = Ledger::restore(rules, &stored, bench.now());
    assert_eq!(bench.is_met(), Reading::Unmeasured);
}

#[test]
fn what_another_test_has_shown_does_not_stand_over_a_restart() {
    let judged = || {
        let mut bench = expecting(Expectation::Nothing);
        bench.ledger.measures(tested("#nothing a "), bench.now());
        bench.fail(refusal(), false);
        bench
    };
    // Of another recipient.
    let (mut bench, mut stored) = (judged(), StoredAccount::default());
    restart(&mut bench, &mut stored, 1);
    bench.ledger.measures(tested("#nothing b "), bench.now());
    assert_eq!((bench.is_met(), bench.words()), (Reading::Unmeasured, String::new()));
    // With something else to be shown.
    let (mut bench, mut stored) = (judged(), StoredAccount::default());
    stored.apply(&bench.ledger.take_changes(bench.now()));
    let rules = Rules { expectation: Some(Expectation::Junk.into()), ..RULES };
    bench.ledger = Ledger::restore(rules, &stored, bench.now());
    assert_eq!((bench.is_met(), bench.words()), (Reading::Unmeasured, String::new()));
    // At a date to come.
    let (mut bench, mut stored) = (judged(), StoredAccount::default());
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.start.wall -= Duration::from_secs(3600);
    bench.ledger = Ledger::restore(bench.ledger.rules, &stored, bench.now());
    assert_eq!(bench.is_met(), Reading::Unmeasured);
}

#[test]
fn the_date_of_what_was_judged_goes_with_a_clock_that_is_set() {
    let mut bench = expecting(Expectation::Refused);
    bench.fail(refusal(), false);
    let judged = bench.now().wall;
    bench.start.wall += Duration::from_secs(3600);
    let at = bench.snapshot().expectation.unwrap().at;
    assert_eq!(at, Some(judged + Duration::from_secs(3600)));
}

#[test]
fn what_refuses_something_else_proves_nothing() {
    let of_data = Awaited { judged_from: Step::Data, ..Expectation::Refused.into() };
    let forged = Awaited { is_sender_tested: true, ..Expectation::Refused.into() };
    let plain = Awaited::from(Expectation::Refused);
    let with = |step, clue| Failure { clue, ..failure(step, Reason::Rejected) };
    for (awaited, failure, is_answer) in [
        (plain, with(Step::Envelope, None), true),
        (plain, with(Step::Envelope, Some(Clue::LoginFirst)), true),
        (plain, with(Step::Envelope, Some(Clue::SenderDomain)), false),
        (forged, with(Step::Envelope, Some(Clue::SenderDomain)), true),
        (plain, with(Step::Envelope, Some(Clue::AnotherMatter)), false),
        (plain, with(Step::Envelope, Some(Clue::TlsFirst)), false),
        (plain, with(Step::Data, None), true),
        (of_data, with(Step::Envelope, None), false),
        (of_data, with(Step::Data, None), true),
        (plain, with(Step::Auth, Some(Clue::TlsFirst)), false),
        (
            Awaited { judged_from: Step::Auth, ..plain },
            with(Step::Auth, Some(Clue::TlsFirst)),
            true,
        ),
    ] {
        let mut bench = Bench::new(Rules { expectation: Some(awaited), ..RULES });
        bench.fail(failure.clone(), false);
        let is_met = if is_answer { Reading::Is(true) } else { Reading::Unmeasured };
        assert_eq!(bench.is_met(), is_met, "{awaited:?} {failure:?}");
    }
}

#[test]
fn a_folder_for_junk_that_nobody_sees_leaves_nothing_proved() {
    for expectation in [Expectation::Nothing, Expectation::Junk] {
        let mut bench = expecting(expectation);
        bench.ledger.hides_junk(true);
        bench.send();
        bench.wait(10 * MINUTE);
        assert_eq!(bench.is_met(), Reading::Unmeasured, "{expectation:?}");
        let words = r"the mail was found nowhere, and the server marks no folder for junk: name it in `folders` in place of \Junk";
        assert_eq!(bench.words(), words);
    }
}

#[test]
fn a_folder_that_may_be_the_one_for_junk_proves_nothing() {
    for is_known_before in [true, false] {
        for (expectation, is_met) in [
            (Expectation::Junk, Reading::Unmeasured),
            // It has passed, wherever it is.
            (Expectation::Nothing, Reading::Is(false)),
        ] {
            let mut bench = expecting(expectation);
            bench.ledger.hides_junk(is_known_before);
            let token = bench.send();
            bench.see_in(token, FoundIn::Other);
            bench.ledger.hides_junk(true);
            assert_eq!(bench.is_met(), is_met, "{expectation:?}");
            let says = bench.words().contains(r"in place of \Junk");
            assert_eq!(says, is_met == Reading::Unmeasured, "{}", bench.words());
            let token = bench.send();
            bench.see(token);
            assert_eq!(bench.is_met(), Reading::Is(false), "in the inbox it is no junk");
        }
    }
}

#[test]
fn a_mail_that_lay_in_a_queue_has_passed() {
    let mut bench = expecting(Expectation::Nothing);
    let token = bench.send();
    bench.wait(30 * MINUTE);
    assert_eq!(bench.is_met(), Reading::Is(true));
    assert_eq!(bench.see(token), SightingOutcome::Left);
    assert_eq!(bench.is_met(), Reading::Is(false));
}

fn tested(what: &str) -> Servers {
    Servers { send: format!("{what}smtp://h:25").into(), receive: "imap://u@h:143".into() }
}

#[test]
fn a_test_of_another_server_begins_anew() {
    let mut bench = expecting(Expectation::Nothing);
    bench.ledger.measures(tested("#nothing a "), bench.now());
    let token = bench.send();
    bench.fail(refusal(), false);
    assert_eq!(bench.is_met(), Reading::Is(true));
    bench.ledger.measures(tested("#nothing b "), bench.now());
    assert_eq!(bench.is_met(), Reading::Unmeasured);
    bench.see(token);
    assert_eq!(bench.is_met(), Reading::Unmeasured, "it was no test of this");
    bench.ledger.judged("#nothing a smtp://h:25", Reading::Is(false), "late", bench.now());
    assert_eq!(bench.is_met(), Reading::Unmeasured, "nor is the end of the test before");
    let token = bench.send();
    bench.see(token);
    assert_eq!(bench.is_met(), Reading::Is(false));
}

#[test]
fn mails_that_were_to_be_delivered_are_not_judged() {
    let mut bench = Bench::new(RULES);
    let (under_way, lost) = (bench.send(), bench.begin());
    let rules = Rules { expectation: Some(Expectation::Nothing.into()), ..RULES };
    bench.ledger.set_rules(rules, bench.now());
    for token in [under_way, lost] {
        bench.see(token);
        assert_eq!(bench.is_met(), Reading::Unmeasured);
    }
}

#[test]
fn a_mark_in_the_name_of_a_user_makes_no_test_of_a_mail() {
    let mut bench = Bench::new(RULES);
    let servers = |host: &str| Servers {
        send: format!("smtp://anna_b.example#EXT#@c.example@{host}:25").into(),
        receive: "imap://u@h:143".into(),
    };
    bench.ledger.measures(servers("a"), bench.now());
    bench.send();
    bench.ledger.measures(servers("b"), bench.now());
    assert_eq!(bench.snapshot().totals.left, 0, "it is still waited for");
}

#[test]
fn a_test_before_a_restart_is_not_lost_as_a_mail_after_it() {
    let (mut bench, mut stored) = (expecting(Expectation::Nothing), StoredAccount::default());
    bench.ledger.measures(tested("#nothing a "), bench.now());
    let (accepted, under_way) = (bench.send(), bench.begin());
    stored.apply(&bench.ledger.take_changes(bench.now()));
    bench.be_away(1);
    bench.ledger = Ledger::restore(RULES, &stored, bench.now());
    bench.ledger.measures(tested(""), bench.now());
    assert_eq!(bench.snapshot().outstanding, Reading::Unmeasured);
    bench.wait(10 * MINUTE - 1);
    assert_eq!(bench.see(accepted), SightingOutcome::Left, "it is known, and removed");
    bench.see(under_way);
    let counted =
        |totals: &Totals| Totals { looks: 0, checks_skipped: 0, periods_skipped: 0, ..*totals };
    assert_eq!(counted(&bench.snapshot().totals), Totals::default(), "none of them was a mail");
    restart(&mut bench, &mut stored, 1);
    assert_eq!(counted(&bench.snapshot().totals), Totals::default());
}

#[test]
fn a_test_that_is_handed_over_while_the_expectation_ends_is_no_mail() {
    let mut bench = expecting(Expectation::Nothing);
    bench.ledger.measures(tested("#nothing a "), bench.now());
    let (token, late) = (bench.begin(), Token::random());
    bench.ledger.set_rules(RULES, bench.now());
    bench.ledger.measures(tested(""), bench.now());
    // The loop that was let go finishes what it is in the middle of, and may register a mail only now.
    bench.ledger.sending_by("#nothing a smtp://h:25", late, bench.now());
    for token in [token, late] {
        bench.ledger.accepted(token, &Transmission::at(bench.now().instant), bench.now());
        assert_eq!(bench.snapshot().totals.accepted, 0);
        assert!(bench.ledger.outstanding_mails(9).is_empty());
        assert_eq!(bench.see(token), SightingOutcome::Left, "it is known, and removed");
    }
    let token = bench.send();
    bench.see(token);
    assert_eq!(bench.snapshot().totals.received, 1, "the next one is one");
}

#[test]
fn a_mail_before_a_restart_is_counted_and_not_judged_after_it() {
    let (mut bench, mut stored) = (Bench::new(RULES), StoredAccount::default());
    bench.ledger.measures(tested(""), bench.now());
    let token = bench.send();
    stored.apply(&bench.ledger.take_changes(bench.now()));
    let rules = Rules { expectation: Some(Expectation::Nothing.into()), ..RULES };
    bench.ledger = Ledger::restore(rules, &stored, bench.now());
    bench.ledger.measures(tested("#nothing a "), bench.now());
    bench.see(token);
    assert_eq!(bench.is_met(), Reading::Unmeasured);
    let totals = bench.snapshot().totals;
    assert_eq!((totals.accepted, totals.left), (1, 1), "as one that nobody waits for any more");
}

#[test]
fn what_was_no_test_of_this_is_none_after_a_restart_either() {
    let (mut bench, mut stored) = (expecting(Expectation::Junk), StoredAccount::default());
    bench.ledger.measures(tested("#junk a "), bench.now());
    let token = bench.send();
    let rules = Rules { expectation: Some(Expectation::Nothing.into()), ..RULES };
    bench.ledger.set_rules(rules, bench.now());
    bench.ledger.measures(tested("#nothing a "), bench.now());
    restart(&mut bench, &mut stored, 1);
    bench.ledger.measures(tested("#nothing a "), bench.now());
    assert_eq!(bench.see(token), SightingOutcome::Left);
    assert_eq!(bench.is_met(), Reading::Unmeasured);
}

#[test]
fn a_test_without_a_mail_holds_the_next_back_after_a_restart() {
    let (mut bench, mut stored) = (expecting(Expectation::Refused), StoredAccount::default());
    let asked = bench.now();
    bench.ledger.asks(asked);
    restart(&mut bench, &mut stored, 5);
    assert_eq!(bench.ledger.last_sent(), Some(asked.wall));
}

#[test]
fn another_expectation_begins_anew() {
    let mut bench = expecting(Expectation::Nothing);
    let token = bench.send();
    let rules = Rules { expectation: Some(Expectation::Junk.into()), ..RULES };
    bench.fail(refusal(), false);
    bench.ledger.set_rules(rules, bench.now());
    assert_eq!(bench.is_met(), Reading::Unmeasured);
    bench.ledger.set_rules(RULES, bench.now());
    assert_eq!(bench.snapshot().expectation, None);
    assert_eq!(bench.see(token), SightingOutcome::Left);
    assert_eq!(bench.snapshot().totals.returned, 0);
}
