//! There and back: test mails to somebody else's servers, which answer them or send them back.

use std::time::{Duration, SystemTime};

use ledger::{FoundIn, Snapshot};
use mail::inspection::ThereAndBack;

use crate::lab::{Account, Answering, Lab, until};
use crate::real::stack::{PROTOCOLS, plain, target};
use crate::support::{Exporter, TargetText};

/// The page that says how the other side is configured.
const PAGE: &str = include_str!("../../../docs/replies.md");

/// Its scripts, in their order: a notice for each test mail, and a rule that sends it back to the address of a reader.
fn scripts(reader: &str) -> [String; 2] {
    let blocks = PAGE.split("```sieve\n").skip(1).filter_map(|rest| rest.split("```").next());
    let scripts = blocks.map(|script| script.replace("probe@example.com", reader));
    scripts.collect::<Vec<_>>().try_into().expect("two scripts")
}

/// As a person writes it: one answer a week to each sender.
const VACATION_OF_A_WEEK: &str = "require [\"vacation\"];\nvacation \"I am away.\";\n";

/// A target from `reader`, whose mailbox gets the answers, to `echo`.
fn there_and_back(here: &Lab, name: &str, reader: &Account, echo: &Account) -> TargetText {
    target(here, name, reader)
        .set("from", &reader.address)
        .set("to", &echo.address)
        .set("match", "reply")
}

/// The lab of the exporter's mailbox, that of the other side, and accounts there.
async fn two_sides(accounts: &[(&str, Answering<'_>)], readers: &[&str]) -> TwoSides {
    let (here, there) = tokio::join!(Lab::start(), Lab::start());
    let (mut echoes, mut all) = (Vec::new(), Vec::new());
    for (name, _) in accounts {
        echoes.push(there.user(name, "secret").await);
    }
    for name in readers {
        all.push(here.user(name, "secret").await);
    }
    let answering: Vec<(&Account, Answering<'_>)> = echoes
        .iter()
        .zip(accounts)
        .map(|(account, (_, answering))| (account, *answering))
        .collect();
    there.be_other_side_of(&here, &answering, &all.iter().collect::<Vec<_>>()).await;
    TwoSides { here, there, echoes, readers: all }
}

struct TwoSides {
    here: Lab,
    there: Lab,
    echoes: Vec<Account>,
    readers: Vec<Account>,
}

/// What the header of the newest mail tells of the two ways.
async fn ways(exporter: &Exporter, name: &str) -> ThereAndBack {
    let inspected = || exporter.supervisor.view(name).unwrap().inspection;
    until("the header was read", async || inspected().is_some()).await;
    inspected().unwrap().there_and_back.expect("a way out and a way back")
}

/// Both ways are known, and together they are no longer than this.
fn assert_known(ways: ThereAndBack, whole: Duration) {
    let (Some(out), Some(back)) = (ways.out.measured(), ways.back.measured()) else {
        panic!("{ways:?}");
    };
    assert!(out + back <= whole, "{ways:?}");
}

#[tokio::test]
async fn the_answer_of_a_vacation_script_is_the_arrival() {
    let [notice, _] = scripts("");
    let sides = two_sides(&[("away", Answering::Sieve(&notice))], &["imap", "pop3"]).await;
    let (here, away) = (&sides.here, &sides.echoes[0]);
    let ports = here.ports();
    let targets = PROTOCOLS.iter().zip([ports.imap, ports.pop3]).zip(&sides.readers).map(
        |((protocol, port), reader)| {
            there_and_back(here, protocol, reader, away).every("5s").receive(
                protocol,
                &plain(port),
                reader,
            )
        },
    );
    let foreign =
        "From: a@b.example\r\nSubject: Re: lunch\r\nIn-Reply-To: <x@b.example>\r\n\r\nYes.\r\n";
    sides.readers.iter().for_each(|reader| here.inject(reader, "INBOX", foreign));
    let exporter = Exporter::start(&targets.collect::<Vec<_>>()).await;
    for protocol in PROTOCOLS {
        let snapshot = exporter.received(protocol, 2).await;
        assert_eq!(snapshot.totals.late, 0, "{snapshot:?}");
        let it = ways(&exporter, protocol).await;
        assert!(it.is_answer, "{it:?}");
        assert_known(it, Duration::from_secs(15));
        let seen = |now: &Snapshot| now.totals.received == now.totals.accepted;
        exporter.until(protocol, "nothing is under way", seen).await;
    }
    until("the answers are gone", async || {
        sides.readers.iter().all(|reader| here.mails(reader).len() == 1)
    })
    .await;
    exporter.supervisor.stop().await;
    for reader in &sides.readers {
        let left = here.mails(reader);
        assert!(left.iter().any(|mail| mail.text().contains("Re: lunch")), "the stranger's mail");
    }
    until("the script has discarded the test mails", async || sides.there.mails(away).is_empty())
        .await;
}

#[tokio::test]
async fn a_vacation_notice_of_a_week_answers_once() {
    let sides = two_sides(&[("week", Answering::Sieve(VACATION_OF_A_WEEK))], &["one"]).await;
    let target = there_and_back(&sides.here, "week", &sides.readers[0], &sides.echoes[0]);
    let exporter = Exporter::start(&[target.set("late_after", "3s").every("3s")]).await;
    let late = |now: &Snapshot| now.totals.received == 1 && now.totals.late >= 1;
    exporter.until("week", "answered once, then late", late).await;
    exporter.supervisor.stop().await;
    let kept = sides.there.mails(&sides.echoes[0]);
    assert!(kept.len() >= 2, "the test mails stay on the other side");
    assert!(!kept[0].text().contains("Auto-Submitted"), "{}", kept[0].text());
}

#[tokio::test]
async fn a_mail_that_a_rule_sends_back_is_the_arrival() {
    let [_, rule] = scripts("one@lab.test");
    let sides = two_sides(&[("forward", Answering::Sieve(&rule))], &["one"]).await;
    let reader = &sides.readers[0];
    let target = there_and_back(&sides.here, "forward", reader, &sides.echoes[0]);
    let exporter = Exporter::start(&[target.every("5s")]).await;
    let snapshot = exporter.received("forward", 2).await;
    assert_eq!(snapshot.totals.found[FoundIn::Inbox as usize], snapshot.totals.received);
    let it = ways(&exporter, "forward").await;
    assert!(!it.is_answer, "{it:?}");
    assert_known(it, Duration::from_secs(15));
    until("it is removed", async || sides.here.mails(reader).is_empty()).await;
    exporter.supervisor.stop().await;
    assert!(sides.there.mails(&sides.echoes[0]).is_empty(), "a redirect keeps nothing");
}

#[tokio::test]
async fn a_program_that_names_no_more_than_the_subject_is_an_answer_and_its_second_one_a_duplicate()
{
    let by_subject = "\"Subject: [echo] $subject\" 'Auto-Submitted: auto-replied'";
    let by_id = "'Subject: Received' \"In-Reply-To: $id\" 'Precedence: bulk'";
    let accounts = [("subject", Answering::Program(by_subject)), ("id", Answering::Program(by_id))];
    let sides = two_sides(&accounts, &["one"]).await;
    let reader = &sides.readers[0];
    let target = |name, echo| there_and_back(&sides.here, name, reader, echo).every("5s");
    // A target that waits for no answer shares the mailbox.
    let plain = target("plain", &sides.echoes[0]).unset("match").every("1h");
    let targets = [target("subject", &sides.echoes[0]), target("id", &sides.echoes[1]), plain];
    let exporter = Exporter::start(&targets).await;
    for name in ["subject", "id"] {
        exporter.received(name, 2).await;
        let it = ways(&exporter, name).await;
        assert!(it.is_answer);
        assert_known(it, Duration::from_secs(15));
    }
    until("the answer to the other target stays alone", async || {
        sides.here.mails(reader).len() == 1
    })
    .await;
    assert_eq!(exporter.snapshot("plain").totals.received, 0);
    exporter.supervisor.stop().await;
    let left = sides.here.mails(reader);
    assert!(left.iter().any(|mail| mail.text().contains("[echo]")), "it is the one");
}

#[tokio::test]
async fn an_answer_that_comes_after_the_life_of_its_token_stays() {
    let [notice, _] = scripts("");
    let sides = two_sides(&[("late", Answering::Sieve(&notice))], &["one"]).await;
    let (here, reader) = (&sides.here, &sides.readers[0]);
    here.hold(reader);
    let target = there_and_back(here, "late", reader, &sides.echoes[0]).every("12s");
    let target = target.set("late_after", "500ms").set("lost_after", "2s");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("late", "lost", |now| now.totals.lost == 1).await;
    let lost = SystemTime::now();
    // For as long again an answer would be taken as one that turned up after all.
    until("its token is forgotten", async || lost.elapsed().unwrap() > Duration::from_secs(3))
        .await;
    here.release(reader).await;
    here.wait_for_mails(reader, 1).await;
    // The next answer is found beside it.
    let snapshot = exporter.received("late", 1).await;
    assert_eq!((snapshot.totals.returned, snapshot.totals.duplicate), (0, 0));
    until("the new answer is gone", async || here.mails(reader).len() == 1).await;
    exporter.supervisor.stop().await;
}
