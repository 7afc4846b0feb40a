//! Bounces and sent copies: found by their structure and their token, told to the account, removed,
//! in the watched mailbox and in the sender's own; everything else stays as it is.

use std::time::Duration;

use mailtrip_exporter::demo::server::faults::{CREDENTIALS, Fault};
use mailtrip_exporter::demo::server::{Delivery, Message, Options, Post, Protocol, Server};
use mailtrip_exporter::mail::bounce::Action;
use mailtrip_exporter::target::ledger::Reading;

use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, USER, World, all, assert_balanced, quoted,
};

/// The account that the test mails come from.
const SENDER: &str = "sam";

/// A report about a mail, as servers write them.
pub(crate) fn report(mail: &str, action: &str, status: &str) -> String {
    let header = mail.split("\r\n\r\n").next().unwrap_or_default();
    format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example.test\r\nSubject: Returned\r\n\
         Auto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=cut\r\n\r\n\
         --cut\r\nContent-Type: text/plain\r\n\r\nThe mail came back.\r\n\
         --cut\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; relay.example.test\r\n\r\n\
         Final-Recipient: rfc822; to@example.test\r\nAction: {action}\r\nStatus: {status}\r\n\
         Remote-MTA: dns; mx.example.test\r\n\
         Diagnostic-Code: smtp; 550 {status} <b>not\r\n  \x1b[31mhere {PASSWORD}\r\n\r\n\
         --cut\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n\r\n--cut--\r\n"
    )
}

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

fn with_sender_mailbox(target: TargetText, server: &Server, user: &str) -> TargetText {
    let protocol = if server.protocol() == Protocol::Pop3 { "pop3" } else { "imap" };
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
            let delayed = exporter.until("a", "delayed", |s| s.last_notice.is_some()).await;
            assert_eq!((delayed.outstanding, delayed.totals.bounced), (Reading::Is(1), 0));
            assert_eq!(delayed.last_notice.unwrap().1.action, Action::Delayed);

            world.post.insert(USER, "INBOX", report(&mail, "failed", "5.1.1").as_bytes());
            let snapshot = exporter.until("a", "bounced", |s| s.totals.bounced == 1).await;
            assert_eq!((snapshot.outstanding, snapshot.totals.late), (Reading::Is(0), 0));
            assert_balanced(&snapshot);
            let (_, notice) = snapshot.last_notice.unwrap();
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
    assert_eq!(snapshot.receive.by_reason.iter().sum::<u64>(), 0, "no failure to receive");
    assert!(snapshot.sender_mailbox.failures >= 1);
    assert!(snapshot.sender_mailbox.last_failure.is_some());
}
