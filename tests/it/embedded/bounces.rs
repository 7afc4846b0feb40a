//! Bounces and sent copies: found by their structure and their token, told to the account, removed,
//! in the watched mailbox and in the sender's own; everything else stays as it is.

use std::time::{Duration, SystemTime};

use ledger::Action;
use ledger::Reading;
use ledger::Token;
use testserver::faults::{CREDENTIALS, Fault};
use testserver::{Delivery, Message, Options, Post, Protocol, Server};

use crate::support::mails::{mail_date, report};
use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, USER, World, all, assert_balanced, quoted,
};

/// The account that the test mails come from.
const SENDER: &str = "sam";

/// Somebody else's mails that look like it.
fn foreign(mail: &str) -> Vec<String> {
    let token = mail.split("token=").nth(1).and_then(|rest| rest.get(..32)).unwrap();
    let other = mail.replace(token, "00112233445566778899aabbccddeeff");
    let receipt =
        report(mail, "failed", "5.1.1").replace("delivery-status", "disposition-notification");
    vec![
        report(&other, "failed", "5.1.1"),
        report("Subject: lunch\r\nMessage-ID: <a@b.example>\r\n\r\n", "failed", "5.1.1"),
        receipt,
        format!(
            "From: to@example.test\r\nSubject: away\r\nAuto-Submitted: auto-replied\r\n\r\n{mail}"
        ),
        format!("Subject: failure notice\r\n\r\nHi. One address did not work.\r\n\r\n{mail}"),
    ]
}

fn insert_all(post: &Post, user: &str, mails: &[String]) -> Vec<Message> {
    for mail in mails {
        post.insert(user, "INBOX", mail.as_bytes());
    }
    post.messages(user, "INBOX")
}

pub(super) fn with_sender_mailbox(target: TargetText, server: &Server, user: &str) -> TargetText {
    let protocol = match server.protocol() {
        Protocol::Pop3 => "pop3",
        Protocol::Jmap => "jmap",
        _ => "imap",
    };
    let mailbox = format!(
        "{{protocol: {protocol}, host: '{}', port: {}, tls: none, username: {user}, password: {}}}",
        server.address().ip(),
        server.port(),
        quoted(PASSWORD)
    );
    target.set("sender_mailbox", &mailbox)
}

#[tokio::test]
async fn a_bounce_in_the_watched_mailbox_ends_the_wait_and_is_removed() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.set_delivery(USER, Delivery::lost());
            let exporter = Exporter::start(&[world.target("a")]).await;
            let mail = world.sent(1).await.remove(0);
            let before = insert_all(&world.post, USER, &foreign(&mail));
            world.post.insert(USER, "INBOX", report(&mail, "delayed", "4.4.1").as_bytes());
            let delayed = exporter.until("a", "delayed", |s| s.last_report.is_some()).await;
            assert_eq!((delayed.outstanding, delayed.totals.bounced), (Reading::Is(1), 0));
            assert_eq!(delayed.last_report.unwrap().1.action, Action::Delayed);

            world.post.insert(USER, "INBOX", report(&mail, "failed", "5.1.1").as_bytes());
            let snapshot = exporter.until("a", "bounced", |s| s.totals.bounced == 1).await;
            assert_eq!((snapshot.outstanding, snapshot.totals.late), (Reading::Is(0), 0));
            assert_balanced(&snapshot);
            let notice = &snapshot.last_report.as_ref().unwrap().1;
            assert_eq!(notice.code.as_deref(), Some("5.1.1"));
            assert_eq!(notice.remote_server.as_deref(), Some("mx.example.test"));
            let text = "550 5.1.1 <b>not \\u{1b}[31mhere <secret>";
            assert_eq!(notice.text.as_deref(), Some(text), "escaped and scrubbed");
            world.inbox_holds(before.len()).await;
            assert_eq!(world.post.messages(USER, "INBOX"), before, "the rest as it was");
            let again = world.mailbox.sessions();
            let asked = |word: &str| {
                again
                    .iter()
                    .any(|session| String::from_utf8_lossy(&session.received).contains(word))
            };
            assert!(!asked("RETR") && !asked("BODY["), "read without a trace");
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn reports_in_forms_of_their_own_are_recognised_and_one_that_tells_nothing_stays() {
    // As OpenSMTPD and McAfee send them, and with what became of the mail in the first group (SurfControl).
    let mixed = |mail: &str| {
        let report = report(mail, "failed", "5.1.1");
        let report =
            report.replace("multipart/report; report-type=delivery-status", "multipart/mixed");
        report.replace("Reporting-MTA: dns; relay.example.test\r\n\r\n", "")
    };
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.set_delivery(USER, Delivery::lost());
            let exporter = Exporter::start(&[world.target("a").set("interval", "2s")]).await;
            let mail = world.sent(1).await.remove(0);
            let from_a_person = mixed(&mail).replace(
                "Return-Path: <>\r\nFrom: MAILER-DAEMON@",
                "Return-Path: <pat@a.example>\r\nFrom: pat@",
            );
            let silent = report(&mail, "failed", "5.1.1")
                .replace("Action: failed\r\n", "")
                .replace("Status: 5.1.1\r\n", "");
            let before = insert_all(&world.post, USER, &[from_a_person, silent]);
            exporter.until("a", "checked again", |s| s.totals.checks >= 2).await;
            assert_eq!(exporter.snapshot("a").totals.bounced, 0);
            world.post.insert(USER, "INBOX", mixed(&mail).as_bytes());
            let snapshot = exporter.until("a", "bounced", |s| s.totals.bounced == 1).await;
            assert_balanced(&snapshot);
            world.inbox_holds(before.len()).await;
            assert_eq!(world.post.messages(USER, "INBOX"), before, "the rest as it was");
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn bounces_and_sent_copies_are_found_in_the_senders_mailbox() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            let sender = Server::start(mailbox, &world.post, Options::new()).await.unwrap();
            world.post.add_folder(SENDER, "Sent", Some("\\Sent"));
            world.post.set_delivery(USER, Delivery::lost());
            let target = with_sender_mailbox(world.target("a"), &sender, SENDER);
            let target = target.set("interval", "20s");
            let exporter = Exporter::start(&[target]).await;
            let mail = world.sent(1).await.remove(0);
            world.post.insert(SENDER, "Sent", mail.as_bytes());
            world.post.insert(SENDER, "Sent", b"Subject: minutes\r\n\r\nhello\r\n");
            let before = insert_all(&world.post, SENDER, &foreign(&mail));
            world.post.insert(SENDER, "INBOX", report(&mail, "failed", "5.2.2").as_bytes());
            let snapshot = exporter.until("a", "bounced", |s| s.totals.bounced == 1).await;
            assert_eq!(snapshot.sender_mailbox.up, Some(true));
            assert_balanced(&snapshot);
            let is_clear = |post: &Post| post.messages(SENDER, "INBOX").len() == before.len();
            assert!(world.post.wait_until(DEADLINE, is_clear).await, "the report is removed");
            assert_eq!(world.post.messages(SENDER, "INBOX"), before, "the rest as it was");
            if mailbox == Protocol::Imap {
                let is_clear = |post: &Post| post.messages(SENDER, "Sent").len() == 1;
                let is_removed = world.post.wait_until(Duration::from_secs(40), is_clear).await;
                assert!(is_removed, "our copy is removed, the other stays");
            }
            let totals = exporter.snapshot("a").totals;
            assert_eq!((totals.received, totals.returned, totals.duplicate), (0, 0, 0));
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_copy_in_sent_is_no_arrival_where_sender_and_recipient_are_one() {
    let world = World::new(Protocol::Imap).await;
    world.post.add_folder(USER, "Sent", Some("\\Sent"));
    world.post.set_delivery(USER, Delivery::held());
    let target = with_sender_mailbox(world.target("a"), &world.mailbox, USER);
    let target = target.set("interval", "2s").set("late_after", "3s");
    let exporter = Exporter::start(&[target]).await;
    let mail = world.sent(1).await.remove(0);
    world.post.insert(USER, "Sent", mail.as_bytes());
    exporter.until("a", "checked after the copy", |s| s.totals.checks >= 3).await;
    assert_eq!(exporter.snapshot("a").totals.received, 0, "seen in Sent alone");
    world.post.set_delivery(USER, Delivery::at_once());
    world.post.release(USER);
    exporter.received("a", 1).await;
    let is_clear = |post: &Post| post.messages(USER, "Sent").is_empty();
    assert!(world.post.wait_until(DEADLINE, is_clear).await, "the copy is removed afterwards");
}

#[tokio::test]
async fn a_broken_senders_mailbox_is_told_and_stops_nothing() {
    let world = World::new(Protocol::Imap).await;
    let sender = Server::start(Protocol::Imap, &world.post, Options::new()).await.unwrap();
    sender.faults().on(CREDENTIALS, Fault::reply("{tag} NO [AUTHENTICATIONFAILED] no"));
    let exporter =
        Exporter::start(&[with_sender_mailbox(world.target("a"), &sender, SENDER)]).await;
    let snapshot = exporter
        .until("a", "received, and told", |s| {
            s.totals.received == 1 && s.sender_mailbox.up == Some(false)
        })
        .await;
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_eq!(snapshot.sides.receive.failures.total(), 0, "no failure to receive");
    assert!(snapshot.sender_mailbox.failures >= 1);
    assert!(snapshot.sender_mailbox.last_failure.is_some());
}

/// What the client said of the envelopes, connection by connection.
fn envelopes(server: &Server) -> Vec<String> {
    let sessions = server.sessions();
    let commands = sessions.iter().flat_map(|session| &session.commands);
    let is_envelope = |line: &&str| line.starts_with("MAIL") || line.starts_with("RCPT");
    commands.map(|command| command.line.as_str()).filter(is_envelope).map(str::to_owned).collect()
}

const MAIL: &str = "MAIL FROM:<from@example.test>";
const RCPT: &str = "RCPT TO:<to@example.test>";

#[tokio::test]
async fn a_server_that_reports_is_asked_to_and_told_whose_mail_it_is() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.received("a", 1).await;
    assert_eq!(envelopes(&world.smtp), [MAIL, RCPT], "not offered, not used");

    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().offer("DSN");
    let exporter = Exporter::start(&[world.target("a")]).await;
    exporter.received("a", 1).await;
    let mail = world.sent(1).await.remove(0);
    let token = mail.split("token=").nth(1).and_then(|rest| rest.get(..32)).unwrap();
    let wanted = [format!("{MAIL} RET=HDRS ENVID={token}"), format!("{RCPT} NOTIFY=FAILURE,DELAY")];
    assert_eq!(envelopes(&world.smtp), wanted);
}

#[tokio::test]
async fn a_server_that_offers_reports_and_refuses_the_parameters_gets_plain_commands() {
    for (point, refusal) in [
        ("MAIL", "555 5.5.4 RET what?"),
        ("MAIL", "501 5.5.4 no"),
        ("RCPT", "501 5.5.4 no"),
        ("RCPT", "504 5.5.4 NOTIFY is not implemented"),
    ] {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().offer("DSN");
        world.smtp.faults().once(point, Fault::reply(refusal));
        let exporter = Exporter::start(&[world.target("a").set("messages", "2")]).await;
        let snapshot = exporter.received("a", 2).await;
        assert_eq!((snapshot.send_ability, snapshot.totals.accepted), (Reading::Is(1.0), 2));
        assert_eq!(snapshot.sides.send.last_failure, None);
        let said = envelopes(&world.smtp);
        let plain = if point == "MAIL" { 1 } else { 2 };
        assert_eq!(said[plain..], [&[MAIL, RCPT][plain - 1..], &[MAIL, RCPT]].concat(), "{point}");
    }
}

#[tokio::test]
async fn a_refusal_is_not_taken_for_one_of_the_parameters_and_is_not_tried_twice_over() {
    for (refusal, times) in [("550 5.1.1 unknown", 1), ("450 4.2.0 later", 1), ("501 5.1.3 no", 2)]
    {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().offer("DSN");
        world.smtp.faults().on("RCPT", Fault::reply(refusal));
        let exporter = Exporter::start(&[world.target("a")]).await;
        let (_, failure) = exporter.measured("a").await.sides.send.last_failure.clone().unwrap();
        let told = format!("the server refused {RCPT}: {refusal}");
        assert_eq!(failure.message, told);
        let said = envelopes(&world.smtp);
        assert_eq!(said.iter().filter(|line| line.starts_with("RCPT")).count(), times, "{refusal}");
    }
}

#[tokio::test]
async fn a_report_about_a_left_over_goes_with_it_and_not_before() {
    const HOUR: Duration = Duration::from_secs(3600);
    let now = SystemTime::now();
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        let about = |expires: SystemTime, arrived: SystemTime| {
            let mail = format!(
                "X-Mailtrip: v=1; token={}; target=t; instance={}; sent={}; expires={}\r\n\r\n",
                Token::random(),
                Token::random(),
                humantime::format_rfc3339_seconds(expires - 24 * HOUR),
                humantime::format_rfc3339_seconds(expires),
            );
            // A maildrop has no other date.
            let date = mail_date(arrived);
            let received = format!("Received: from a by b; {date}\r\n");
            let text = received + &report(&mail, "failed", "5.1.1");
            world.post.insert_dated(USER, "INBOX", text.as_bytes(), arrived)
        };
        about(now - HOUR, now - 25 * HOUR);
        let kept = [about(now + HOUR, now - 25 * HOUR), about(now - HOUR, now - 23 * HOUR)];
        let exporter = Exporter::start(&[world.target("a").set("interval", "2s")]).await;
        world.inbox_holds(kept.len()).await;
        let checked = exporter.until("a", "checked again", |s| s.totals.checks >= 2).await;
        assert_eq!(checked.totals.bounced, 0);
        exporter.supervisor.stop().await;
        let messages = world.post.messages(USER, "INBOX");
        let uids: Vec<_> = messages.iter().map(|message| Some(message.uid)).collect();
        assert!(kept.iter().all(|uid| uids.contains(uid)), "{mailbox:?}: {uids:?}, {kept:?}");
    }
}
