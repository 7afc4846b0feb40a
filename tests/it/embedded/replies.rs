//! Answers to test mails, and mails that were sent back: the arrival for those who wait for them, somebody's mail for
//! all others.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use ledger::Token;
use mailtrip_exporter::metrics::{self, Syntax};
use testserver::Delivery;

use crate::support::http;
use crate::support::mails::{mail_date, report};
use crate::support::{Exporter, MAILBOXES, TargetText, USER, World, all, serve};

const SECOND: Duration = Duration::from_secs(1);

/// A target whose mails go elsewhere, and whose answers come into its mailbox.
fn waiting(world: &World, name: &str) -> TargetText {
    world.post.set_delivery(USER, Delivery::lost());
    world.target(name).set("match", "reply")
}

fn token(mail: &str) -> Token {
    Token::find(mail.split("Subject: ").nth(1).unwrap_or_default()).unwrap()
}

/// An answer with these fields to the mail with this token.
fn answer(token: Token, fields: &str) -> String {
    let fields = fields.replace("$id", &format!("<{token}.mailtrip@example.test>"));
    let fields = fields.replace("$token", &token.to_string());
    let date = mail_date(SystemTime::now());
    format!("From: echo@other.test\nTo: from@example.test\nDate: {date}\n{fields}\n\nThanks.\n")
        .replace('\n', "\r\n")
}

const ANSWERS: [&str; 5] = [
    "Subject: Out of office\nIn-Reply-To: $id\nAuto-Submitted: auto-replied\nReturn-Path: <>",
    "Subject: I have it\nReferences: <a@b.test>\n $id\nPrecedence: bulk",
    "Subject: Re: Mail round-trip test $token",
    "Subject: Fwd: $token\nContent-Type: message/rfc822",
    "Return-Path: <>\nSubject: Auto: $token\nContent-Type: multipart/mixed; boundary=b",
];

#[tokio::test]
async fn an_answer_is_the_arrival_and_is_removed_and_one_to_a_strangers_mail_stays() {
    let cases = MAILBOXES.into_iter().flat_map(|mailbox| ANSWERS.map(|fields| (mailbox, fields)));
    let cases = cases.map(|(mailbox, fields)| {
        let case = async move {
            let world = World::new(mailbox).await;
            let exporter = Exporter::start(&[waiting(&world, "a")]).await;
            let mail = world.sent(1).await.remove(0);
            exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
            let token = token(&mail);
            let strangers = answer(Token::random(), fields);
            world.post.insert(USER, "INBOX", strangers.as_bytes());
            world.post.insert(USER, "INBOX", answer(token, fields).as_bytes());
            exporter.received("a", 1).await;
            world.inbox_holds(1).await;
            let left = world.post.messages(USER, "INBOX");
            assert_eq!(&*left[0].bytes, strangers.as_bytes(), "{fields}");
            assert!(left[0].flags.is_empty(), "{fields}");
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?} {fields}"), case)
    });
    all(cases).await;
}

/// What a server puts into the mailbox of who sent it has the stamp of its acceptance at most.
#[tokio::test]
async fn a_copy_that_never_left_is_no_arrival_and_the_mail_that_comes_back_is() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let target = waiting(&world, "a").set("late_after", "300ms").set("interval", "2s");
            let exporter = Exporter::start(&[target]).await;
            let mail = world.sent(1).await.remove(0);
            let date = mail_date(SystemTime::now());
            let stamp = |by: &str| format!("Received: from a by {by} with ESMTP; {date}\r\n");
            exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
            // By POP3 a copy stays until the time has passed that stands in it.
            let (begin, end) = mail.split_once("expires=").unwrap();
            let expires = humantime::format_rfc3339_seconds(SystemTime::now() + SECOND * 3);
            let copy = format!("{begin}expires={expires}{}", &end[expires.to_string().len()..]);
            let copies = [copy.clone(), format!("{}{copy}", stamp("mail.example"))];
            for copy in &copies {
                world.post.insert(USER, "INBOX", copy.as_bytes());
            }
            // A look that was asked for after this has decided so.
            let snapshot = exporter.until("a", "late", |s| s.late_outstanding >= 1).await;
            assert_eq!((snapshot.totals.received, snapshot.totals.duplicate), (0, 0));
            let back = format!("{}{}{mail}", stamp("here.example"), stamp("mail.example"));
            world.post.insert(USER, "INBOX", back.as_bytes());
            let snapshot = exporter.received("a", 1).await;
            assert_eq!(snapshot.totals.duplicate, 0);
            // The copies go as well.
            world.inbox_holds(0).await;
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn the_second_answer_to_a_mail_is_a_duplicate() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let exporter = Exporter::start(&[waiting(&world, "a")]).await;
            let token = token(&world.sent(1).await.remove(0));
            exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
            world.post.insert(USER, "INBOX", answer(token, ANSWERS[0]).as_bytes());
            world.post.insert(USER, "INBOX", answer(token, ANSWERS[1]).as_bytes());
            let snapshot = exporter.until("a", "two seen", |s| s.totals.duplicate == 1).await;
            assert_eq!(snapshot.totals.received, 1);
            world.inbox_holds(0).await;
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_target_that_waits_for_no_answer_leaves_it_and_so_does_one_whose_it_is_not() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let other = waiting(&world, "b");
            // Their first mails are spread over this.
            let targets = [world.target("a"), other].map(|target| target.set("interval", "2s"));
            let exporter = Exporter::start(&targets).await;
            for name in ["a", "b"] {
                exporter.until(name, "accepted", |s| s.totals.accepted >= 1).await;
            }
            let mails = world.mails_sent();
            let of = |name: &str| {
                let target = format!("target={name};");
                token(mails.iter().find(|mail| mail.contains(&target)).unwrap())
            };
            for fields in ANSWERS {
                world.post.insert(USER, "INBOX", answer(of("a"), fields).as_bytes());
            }
            world.post.insert(USER, "INBOX", answer(of("b"), ANSWERS[0]).as_bytes());
            exporter.received("b", 1).await;
            world.inbox_holds(ANSWERS.len()).await;
            assert_eq!(exporter.snapshot("a").totals.received, 0);
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn reports_are_no_answers_and_a_bounce_ends_the_wait() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let exporter = Exporter::start(&[waiting(&world, "a")]).await;
            let mail = world.sent(1).await.remove(0);
            exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
            let named = format!("In-Reply-To: <{}.mailtrip@example.test>\r\n", token(&mail));
            let receipt = report(&mail, "failed", "5.1.1")
                .replace("delivery-status", "disposition-notification");
            let plain =
                "From: Mailer-Daemon@other.test\r\nSubject: Warning: message delayed\r\n\r\n";
            world.post.insert(USER, "INBOX", format!("{named}{receipt}").as_bytes());
            world.post.insert(USER, "INBOX", format!("{named}{plain}").as_bytes());
            let bounce = format!("{named}{}", report(&mail, "failed", "5.1.1"));
            world.post.insert(USER, "INBOX", bounce.as_bytes());
            let snapshot = exporter.until("a", "bounced", |s| s.totals.bounced == 1).await;
            assert_eq!(snapshot.totals.received, 0);
            world.inbox_holds(2).await;
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

/// The value of a series of the target a.
fn value(exporter: &Exporter, name: &str) -> Option<f64> {
    let page: String =
        metrics::pieces(exporter.supervisor.views(), None, Syntax::OpenMetrics).collect();
    let sample = format!("{name}{{target=\"a\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok())
}

#[tokio::test]
async fn the_two_ways_are_told_where_the_answer_has_a_date_and_for_other_targets_never() {
    let world = World::new(MAILBOXES[0]).await;
    let exporter = Exporter::start(&[waiting(&world, "a")]).await;
    let ways = ["mailtrip_way_out_seconds", "mailtrip_way_back_seconds"];
    let token = token(&world.sent(1).await.remove(0));
    let [out, back] = ways.map(|name| value(&exporter, name).expect("from the start"));
    assert!(out.is_nan() && back.is_nan(), "nothing was measured");
    exporter.until("a", "accepted", |s| s.totals.accepted == 1).await;
    world.post.insert(USER, "INBOX", answer(token, ANSWERS[0]).as_bytes());
    let snapshot = exporter.received("a", 1).await;
    world.inbox_holds(0).await;
    let [out, back] = ways.map(|name| value(&exporter, name).unwrap());
    let roundtrip = snapshot.roundtrip.value().unwrap().as_secs_f64();
    // A date of whole seconds lies up to one before what it dates.
    assert!(out >= 0.0 && back >= 0.0 && out + back <= roundtrip + 1.0, "{out} {back} {roundtrip}");
    assert!(out + back >= roundtrip - 0.01, "{out} {back} {roundtrip}");

    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let page = http::get(&address.to_string(), "/targets/a").await;
    for words in ["<dt>Way out</dt><dd>", "<dt>Way back</dt><dd>"] {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    let document = http::get(&address.to_string(), "/api/targets/a").await;
    let compact = document.text().replace([' ', '\n'], "");
    assert!(compact.contains("\"there_and_back\":{\"out_seconds\":"), "{compact}");
    exporter.supervisor.stop().await;

    let plain = Exporter::start(&[world.target("a")]).await;
    assert_eq!(ways.map(|name| value(&plain, name)), [None, None]);
    plain.supervisor.stop().await;
}

#[tokio::test]
async fn a_late_answer_is_waited_for_in_words() {
    let world = World::new(MAILBOXES[0]).await;
    let target = waiting(&world, "a").set("late_after", "50ms");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("a", "late", |s| s.late_outstanding == 1).await;
    let (address, _serving) = serve(&exporter.supervisor, false).await;
    let page = http::get(&address.to_string(), "/targets/a").await;
    for words in
        ["accepted, but no answer was found in the mailbox", "to@example.test answers each"]
    {
        assert!(page.text().contains(words), "{words}: {}", page.text());
    }
    exporter.supervisor.stop().await;
}

/// What the program of the page sends to answer this mail of this sender: its arguments, and the answer.
fn echoed(sender: &str, mail: &str) -> String {
    let page = include_str!("../../../docs/replies.md");
    let script = page.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let script = script.replace("/usr/sbin/sendmail", "keep");
    let script = format!("keep() {{ printf '%s\\n' \"$@\"; cat; }}\n{script}");
    let mut shell = Command::new("sh")
        .args(["-c", &script, "echo-mail", sender])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(output.status.success(), "{mail}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_program_of_the_page_answers_test_mails_and_nothing_else() {
    let mail = "X-Mailtrip: v=1; token=ab\nSubject: Test\nSubject: Bcc: x@a.test\nMessage-ID: <i@a.test>\n\nSubject: b\n";
    let sender = "probe@a.test";
    let answer = echoed(sender, mail);
    assert!(answer.starts_with("-i\n-f\n<>\n--\nprobe@a.test\nFrom: "), "{answer}");
    assert!(
        answer.contains("\nSubject: Re: Test\nIn-Reply-To: <i@a.test>\nAuto-Submitted: "),
        "{answer}"
    );
    for sender in ["", "MAILER-DAEMON", "-t"] {
        assert_eq!(echoed(sender, mail), "", "{sender}");
    }
    assert_eq!(echoed(sender, &mail.replace("X-Mailtrip", "X-Other")), "", "somebody's mail");
    let automatic = format!("auto-submitted: auto-replied\n{mail}");
    assert_eq!(echoed(sender, &automatic), "", "an answer to an answer");
}
