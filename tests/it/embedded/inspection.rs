//! What the header of an arrived mail tells, from the mailbox to `/metrics`: fetched for our mails
//! alone, never more than the header, and never at the cost of a measure.

use std::sync::Arc;
use std::time::Duration;

use ledger::Snapshot;
use mail::inspection::{Delay, Inspection, Outcome};
use mailtrip_exporter::metrics::{self, ExporterFacts, Syntax};
use testserver::faults::Fault;
use testserver::{Delivery, Protocol};
use tokio::time::{Instant, sleep};

use crate::support::{DEADLINE, Exporter, MAILBOXES, TargetText, USER, World, all};

/// What the servers on the way have written above the mail; one of them lies.
const TRACE: &str = "\
Return-Path: <from@example.test>\r
Received: from out.example.test (out.example.test [203.0.113.5])\r
\tby mx.example.test (Postfix) with ESMTPS id 1; Fri, 31 Dec 2100 10:00:00 +0000\r
Authentication-Results: mx.example.test; spf=fail smtp.mailfrom=example.test\r
X-Spam-Status: Yes, score=7.5 required=5.0\r
Received: from <script>alert(1)</script> by \x1b[31mout with ESMTP id 2; garbage\r
Authentication-Results: mx.example.test; dkim=pass; dmarc=pass; spf=pass\r
";

/// The first mail of this target, delivered below [`TRACE`] once it was accepted, and mail of others.
async fn deliver(world: &World, target: TargetText) -> Exporter {
    world.post.set_delivery(USER, Delivery::lost());
    let exporter = Exporter::start(&[target]).await;
    let mail = world.sent(1).await.remove(0);
    exporter.until("a", "accepted", |snapshot| snapshot.totals.accepted == 1).await;
    for foreign in [
        "X-Spam-Score: 1\r\nSubject: a\r\n\r\nb\r\n",
        "Date: x\r\nFrom: b@example.test\r\n\r\n",
        "Subject: c\r\n\r\n",
    ] {
        world.post.insert(USER, "INBOX", foreign.as_bytes());
    }
    world.post.insert(USER, "INBOX", format!("{TRACE}{mail}").as_bytes());
    exporter
}

/// Waits until the mail was received and taken out.
async fn gone(world: &World, exporter: &Exporter) -> Snapshot {
    let snapshot = exporter.received("a", 1).await;
    world.inbox_holds(3).await;
    snapshot
}

async fn inspected(exporter: &Exporter) -> Arc<Inspection> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(inspection) = exporter.supervisor.view("a").unwrap().inspection {
            return inspection;
        }
        assert!(Instant::now() < deadline, "nothing was inspected");
        sleep(Duration::from_millis(5)).await;
    }
}

/// How many whole headers were asked for.
fn asked(world: &World) -> usize {
    let sessions = world.mailbox.sessions();
    let said =
        sessions.iter().map(|session| String::from_utf8_lossy(&session.received).into_owned());
    said.map(|said| said.matches("BODY.PEEK[HEADER]<0.65536>").count()).sum()
}

#[tokio::test]
async fn the_header_of_an_arrived_mail_tells_what_it_can_and_no_lies() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let exporter = deliver(&world, world.target("a")).await;
            let inspection = inspected(&exporter).await;
            let snapshot = gone(&world, &exporter).await;
            assert!(snapshot.roundtrip.value().is_some());

            let outcomes: Vec<Outcome> =
                inspection.authentication.iter().map(|verdict| verdict.outcome).collect();
            assert_eq!(outcomes, [Outcome::Fail]);
            let delays: Vec<Delay> = inspection.hops.iter().map(|hop| hop.delay).collect();
            assert_eq!(delays, [Delay::Unknown, Delay::Unknown]);
            assert!(inspection.last_hop.as_ref().is_some_and(|hop| hop.is_protected));
            assert!(!format!("{inspection:?}").contains('\x1b'));

            let supervisor = &exporter.supervisor;
            let facts = ExporterFacts::of(supervisor, None);
            let page: String =
                metrics::pieces(supervisor.views(), Some(facts), Syntax::OpenMetrics).collect();
            for sample in [
                "mailtrip_authentication_result{target=\"a\",method=\"spf\",result=\"fail\"} 1.0",
                "mailtrip_spam_score{target=\"a\",filter=\"spamassassin\"} 7.5",
                "mailtrip_spam_flag{target=\"a\",filter=\"spamassassin\"} 1.0",
                "mailtrip_last_hop_tls{target=\"a\"} 1.0",
            ] {
                assert!(page.contains(sample), "{sample}\n{page}");
            }
            assert!(!page.contains("mailtrip_hop_delay_seconds{"));
            let expected = if mailbox == Protocol::Imap { 1 } else { 0 };
            assert_eq!(asked(&world), expected);
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn nothing_is_fetched_where_nothing_is_wanted() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            let exporter = deliver(&world, world.target("a").set("inspect", "false")).await;
            gone(&world, &exporter).await;
            assert_eq!(exporter.supervisor.view("a").unwrap().inspection, None);
            assert_eq!(asked(&world), 0);
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_configured_id_is_the_only_one_that_is_believed() {
    let world = World::new(Protocol::Imap).await;
    let target = world.target("a").set("authserv_id", "other.example.test");
    let exporter = deliver(&world, target).await;
    assert_eq!(inspected(&exporter).await.authentication, []);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_header_that_is_not_shown_costs_no_measure() {
    let refusals = ["{tag} NO not now", "{tag} BAD no partial fetch"];
    let cases = refusals.map(|refusal| {
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            // The look is answered, the question for the whole header is not.
            world.mailbox.faults().once("UID FETCH", Fault::None);
            world.mailbox.faults().once("UID FETCH", Fault::reply(refusal));
            let exporter = deliver(&world, world.target("a")).await;
            let snapshot = gone(&world, &exporter).await;
            assert_eq!(asked(&world), 1);
            assert_eq!(exporter.supervisor.view("a").unwrap().inspection, None);
            assert!(snapshot.roundtrip.value().is_some());
            let snapshot = exporter.snapshot("a");
            assert_eq!(snapshot.sides.receive.failures.total(), 0, "{snapshot:#?}");
            exporter.supervisor.stop().await;
        };
        (refusal.to_owned(), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_session_that_breaks_there_has_measured_all_the_same() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().once("UID FETCH", Fault::None);
    world.mailbox.faults().once("UID FETCH", Fault::Close);
    let exporter = deliver(&world, world.target("a").set("interval", "2s")).await;
    let snapshot = gone(&world, &exporter).await;
    assert!(snapshot.roundtrip.value().is_some());
    let snapshot = exporter.snapshot("a");
    assert_eq!((snapshot.totals.check_failures, snapshot.totals.duplicate), (0, 0));
    exporter.supervisor.stop().await;
}
