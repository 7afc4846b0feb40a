//! The round trip: a mail is sent, found, timed and removed, over every protocol, protection and
//! login; how many sessions and commands that takes; and the places a mail can go to.

use std::time::Duration;

use ledger::{Histogram, Reading, Snapshot};
use ledger::{Reason, Step};
use mailtrip_exporter::config::TlsMode;
use testserver::faults::{self, Fault};
use testserver::{Certificate, Delivery, Options, Protocol};
use tokio::time::Instant;

use crate::support::{
    DEADLINE, Exporter, MAILBOXES, PASSWORD, TargetText, Trust, USER, World, all, assert_balanced,
    dialogues, protected, quoted,
};

/// One mail was sent and has arrived, and nothing failed.
fn assert_one_round_trip(snapshot: &Snapshot) {
    assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{snapshot:#?}");
    assert_eq!(snapshot.receive_ability, Reading::Is(true), "{snapshot:#?}");
    assert_eq!(snapshot.outstanding, Reading::Is(0), "{snapshot:#?}");
    assert!(snapshot.roundtrip.value().is_some(), "{snapshot:#?}");
    let totals = *snapshot.totals;
    assert_eq!((totals.probes, totals.accepted, totals.received), (1, 1, 1), "{snapshot:#?}");
    assert_eq!(snapshot.sides.send.last_failure, None);
    assert_eq!(snapshot.sides.receive.last_failure, None);
}

#[tokio::test]
async fn a_mail_goes_round_over_every_protocol_protection_and_login() {
    let passwords = [PASSWORD, r#"p"a\ss 'w' rd "#, "pässwörd €", "  {5} ", "%00\\\"", "a"];
    let mut cases = Vec::new();
    for (index, password) in passwords.into_iter().enumerate() {
        for mailbox in MAILBOXES {
            let is_jmap = mailbox == Protocol::Jmap;
            for auth in ["plain", if is_jmap { "plain" } else { "login" }, "auto"] {
                let tls =
                    [TlsMode::None, TlsMode::StartTls, TlsMode::Implicit][(index + auth.len()) % 3];
                let is_beside = is_jmap && tls == TlsMode::StartTls;
                let tls = if is_beside { TlsMode::Implicit } else { tls };
                let name = format!("{mailbox:?} {auth} {tls:?} {password:?}");
                cases.push((name, go_round(mailbox, auth, tls, password)));
            }
        }
    }
    all(cases).await;
}

async fn go_round(mailbox: Protocol, auth: &'static str, tls: TlsMode, password: &'static str) {
    let trust = Trust::new();
    let options = protected(tls, &trust, Certificate::Good);
    let world = World::with(mailbox, options.clone().login_required(), options).await;
    world.post.set_password(USER, password);
    world.post.set_password("sam", password);
    let mut target = world.target("a").sender_logs_in();
    for side in ["send", "receive"] {
        target = target
            .protect(side, tls, &trust)
            .set(&format!("{side}.auth"), auth)
            .set(&format!("{side}.password"), &quoted(password));
    }
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.received("a", 1).await;
    assert_one_round_trip(&snapshot);
    assert_eq!(snapshot.sides.send.tls.is_some(), tls != TlsMode::None);
    assert_eq!(snapshot.sides.receive.tls.is_some(), tls != TlsMode::None);
    world.inbox_holds(0).await;
}

#[tokio::test]
async fn a_mail_goes_round_over_ipv6() {
    let listen = || Options::new().listen("[::1]:0".parse().unwrap());
    for mailbox in MAILBOXES {
        let world = World::with(mailbox, listen(), listen()).await;
        let exporter = Exporter::start(&[world.target("a").set("ip_family", "6")]).await;
        assert_one_round_trip(&exporter.received("a", 1).await);
    }
}

#[tokio::test]
async fn an_imap_server_with_nothing_but_the_base_protocol_will_do() {
    let missing = ["UIDPLUS", "IDLE", "SASL-IR", "SPECIAL-USE", "LITERAL+", "LIST-EXTENDED"];
    let cases = missing.map(|one| vec![one]).into_iter().chain([missing.to_vec()]);
    all(cases.map(|missing| {
        let name = format!("without {missing:?}");
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            for capability in &missing {
                world.mailbox.faults().leave_out(capability);
            }
            // Long enough to come to the looks that IDLE would bridge.
            world.post.deliver_next(USER, Delivery::at_once().after(Duration::from_millis(700)));
            let exporter = Exporter::start(&[world.target("a")]).await;
            assert_one_round_trip(&exporter.received("a", 1).await);
            world.inbox_holds(0).await;
        };
        (name, case)
    }))
    .await;
}

#[tokio::test]
async fn the_round_trip_is_the_delay_of_the_delivery() {
    let delays = [0, 300, 1000].map(Duration::from_millis);
    let cases = MAILBOXES.iter().flat_map(|mailbox| delays.map(|delay| (*mailbox, delay)));
    all(cases.map(|(mailbox, delay)| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.set_delivery(USER, Delivery::at_once().after(delay));
            let exporter = Exporter::start(&[world.target("a")]).await;
            let snapshot = exporter.received("a", 1).await;
            assert_one_round_trip(&snapshot);
            let roundtrip = snapshot.roundtrip.value().unwrap();
            assert!(roundtrip >= delay, "{roundtrip:?} for {delay:?}");
            // The machine may be busy; a period or a timeout would still show.
            assert!(roundtrip < delay + Duration::from_secs(3), "{roundtrip:?} for {delay:?}");
            assert!(snapshot.delivery.unwrap() <= roundtrip);
            assert_eq!(snapshot.roundtrips.counts.iter().sum::<u64>(), 1);
            assert_eq!(snapshot.roundtrips.sum, roundtrip);
            assert_eq!(Histogram::BOUNDS_SECONDS.len() + 1, snapshot.roundtrips.counts.len());
        };
        (format!("{mailbox:?} {delay:?}"), case)
    }))
    .await;
}

#[tokio::test]
async fn one_login_a_period_and_never_two_sessions_at_once() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::at_once().after(Duration::from_millis(300)));
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let snapshot = exporter
        .until("a", "four checks", |s| s.totals.checks >= 4 && s.totals.received >= 3)
        .await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    exporter.supervisor.stop().await;
    let stats = world.mailbox.stats();
    let checks = snapshot.totals.checks;
    assert!((checks..=checks + 1).contains(&stats.logins), "{checks} checks, {stats:?}");
    assert_eq!(stats.sessions_most, 1);
    assert_eq!(dialogues(&world.mailbox).len() as u64, stats.logins);
    for session in world.mailbox.sessions() {
        for command in session.commands.iter().map(|command| command.line.as_str()) {
            assert!(!command.contains("SEARCH HEADER"), "{command}");
            assert!(!command.contains("CLOSE"), "{command}");
            let is_fetch = command.contains("FETCH");
            assert!(!is_fetch || command.contains("UID FETCH"), "{command}");
            assert!(!is_fetch || command.contains("BODY.PEEK["), "{command}");
        }
    }
}

#[tokio::test]
async fn a_session_without_a_mail_under_way_is_not_held_for_a_send_far_away() {
    let world = World::new(Protocol::Imap).await;
    let exporter = Exporter::start(&[world.target("a").set("interval", "2h")]).await;
    exporter.received("a", 1).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    assert_eq!(world.mailbox.stats().count("LOGOUT"), 1);
}

#[tokio::test]
async fn a_session_is_held_while_a_mail_is_under_way() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a")]).await;
    // 5.5 s after the acceptance the looks are far enough apart for IDLE.
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("IDLE") >= 2).await);
    let stats = world.mailbox.stats();
    assert_eq!((stats.logins, stats.sessions_open), (1, 1));
    assert!(stats.commands < 60, "{stats:?}");
    let before = Instant::now();
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert!(before.elapsed() < Duration::from_secs(3), "the server has told of it at once");
    assert!(snapshot.roundtrip.value().unwrap() > Duration::from_secs(5));
    assert_eq!(world.mailbox.stats().logins, 1);
}

#[tokio::test]
async fn a_session_that_breaks_while_a_mail_is_under_way_is_opened_again() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::held());
        let (point, times) = match mailbox {
            Protocol::Imap => ("NOOP", 1),
            // What is closed between two questions is opened again.
            Protocol::Jmap => ("EMAIL/CHANGES", 2),
            _ => ("STAT", 1),
        };
        world.mailbox.faults().once(point, Fault::None);
        world.mailbox.faults().times(times, point, Fault::Close);
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot =
            exporter.until("a", "a failure", |s| s.sides.receive.last_failure.is_some()).await;
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "the check alone tells");
        assert_eq!(snapshot.sides.receive.failures_for(Reason::Closed), 1);
        world.post.release(USER);
        let snapshot = exporter.received("a", 1).await;
        assert_eq!(snapshot.totals.check_failures, 0);
        assert!(world.mailbox.stats().sessions_most <= 1);
        world.inbox_holds(0).await;
    }
}

#[tokio::test]
async fn a_mail_is_late_then_lost_then_returned() {
    let cases = MAILBOXES.map(|mailbox| {
        let case = async move {
            let world = World::new(mailbox).await;
            world.post.deliver_next(USER, Delivery::held());
            let target = world.target("a").set("interval", "1s");
            let target = target.set("late_after", "500ms").set("lost_after", "1500ms");
            let exporter = Exporter::start(&[target]).await;
            let snapshot = exporter.until("a", "late", |s| s.totals.late == 1).await;
            assert_eq!(snapshot.totals.lost, 0);
            assert!(snapshot.outstanding.value().unwrap() >= 1);
            assert!(snapshot.oldest_outstanding.is_some());
            exporter.until("a", "lost", |s| s.totals.lost == 1).await;
            world.post.release(USER);
            let snapshot = exporter.until("a", "returned", |s| s.totals.returned == 1).await;
            assert_eq!((snapshot.totals.late, snapshot.totals.lost), (1, 1));
            assert_eq!(snapshot.totals.duplicate, 0);
            world.post.set_delivery(USER, Delivery::lost());
            world.inbox_holds(0).await;
            exporter.supervisor.stop().await;
        };
        (format!("{mailbox:?}"), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_late_mail_that_comes_is_received() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[world.target("a").set("late_after", "100ms")]).await;
    exporter.until("a", "late", |s| s.totals.late == 1).await;
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!((snapshot.totals.late, snapshot.totals.lost), (1, 0));
}

#[tokio::test]
async fn a_mail_without_a_reply_is_doubtful_and_returns() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.smtp.faults().once(faults::ACCEPTED, Fault::Close);
        let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
        let snapshot = exporter.until("a", "doubtful", |s| s.totals.doubtful == 1).await;
        assert_eq!((snapshot.totals.accepted, snapshot.totals.probes), (0, 1));
        let snapshot = exporter.until("a", "returned", |s| s.totals.returned == 1).await;
        assert_eq!(snapshot.sides.send.failures_for(Reason::Closed), 1);
        assert_eq!(snapshot.sides.send.failures_in(Step::Data), 1);
        assert_eq!(snapshot.totals.duplicate, 0);
        world.post.set_delivery(USER, Delivery::lost());
        world.inbox_holds(0).await;
    }
}

#[tokio::test]
async fn further_copies_are_duplicates_and_removed() {
    for mailbox in MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.deliver_next(USER, Delivery::at_once().copies(3));
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot = exporter.until("a", "two duplicates", |s| s.totals.duplicate == 2).await;
        assert_eq!(snapshot.totals.received, 1);
        assert_eq!(snapshot.roundtrips.counts.iter().sum::<u64>(), 1);
        world.inbox_holds(0).await;
    }
}

#[tokio::test]
async fn a_mail_may_arrive_before_it_is_accepted() {
    let world = World::new(Protocol::Imap).await;
    // The first mail keeps the watch looking while the reply to the second is held back.
    world.post.deliver_next(USER, Delivery::held());
    world.smtp.faults().once(faults::ACCEPTED, Fault::None);
    world.smtp.faults().once(faults::ACCEPTED, Fault::delay(Duration::from_millis(1500)));
    let exporter = Exporter::start(&[world.target("a").set("messages", "2")]).await;
    world.inbox_holds(1).await;
    world.inbox_holds(0).await;
    assert_eq!(exporter.snapshot("a").totals.accepted, 1, "it was removed before its reply came");
    let snapshot = exporter.received("a", 1).await;
    assert_eq!((snapshot.totals.accepted, snapshot.outstanding), (2, Reading::Is(1)));
    assert_eq!(snapshot.delivery, Some(Duration::ZERO));
    assert_eq!(snapshot.totals.duplicate, 0);
}

#[tokio::test]
async fn a_refused_mail_is_passed_over_and_the_next_goes_on() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().once("RCPT", Fault::None);
    world.smtp.faults().once("RCPT", Fault::reply("550 5.7.1 not this one"));
    let exporter = Exporter::start(&[world.target("a").set("messages", "3")]).await;
    let snapshot = exporter.received("a", 2).await;
    assert_eq!(snapshot.send_ability, Reading::Is(2.0 / 3.0));
    assert_eq!((snapshot.totals.probes, snapshot.totals.accepted), (3, 2));
    assert_eq!(snapshot.sides.send.failures_for(Reason::Rejected), 1);
    assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(0));
    let stats = world.smtp.stats();
    assert_eq!((stats.connections, stats.count("RSET"), stats.count("MAIL")), (1, 1, 3));
}

#[tokio::test]
async fn a_lost_connection_leaves_the_rest_not_accepted() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().once("MAIL", Fault::None);
    world.smtp.faults().once("MAIL", Fault::Close);
    let exporter = Exporter::start(&[world.target("a").set("messages", "3")]).await;
    let snapshot = exporter.received("a", 1).await;
    let snapshot2 = exporter.until("a", "sent", |s| s.sides.send.last_attempt.is_some()).await;
    assert_eq!(snapshot2.send_ability, Reading::Is(1.0 / 3.0), "{snapshot:#?}");
    assert_eq!((snapshot2.totals.probes, snapshot2.totals.accepted), (3, 1));
    assert_eq!(snapshot2.totals.doubtful, 0);
    assert_eq!(snapshot2.sides.send.failures_for(Reason::Closed), 1);
    assert_eq!(snapshot2.sides.send.failures_in(Step::Envelope), 1);
    assert_eq!(world.smtp.stats().connections, 1, "no second try");
}

#[tokio::test]
async fn greylisting_is_not_tried_again_and_a_full_mailbox_is_told_apart() {
    let answers = [
        ("RCPT", "450 4.2.0 greylisted", Step::Envelope, Reason::Deferred),
        ("RCPT", "452 4.2.2 full", Step::Envelope, Reason::Quota),
        ("RCPT", "552 5.2.2 full", Step::Envelope, Reason::Quota),
        ("RCPT", "550 5.1.1 unknown", Step::Envelope, Reason::Rejected),
        ("MAIL", "451 4.7.1 later", Step::Envelope, Reason::Deferred),
        ("DATA", "554 5.7.1 no", Step::Data, Reason::Rejected),
        (faults::AFTER_DATA, "552 mailbox full", Step::Data, Reason::Quota),
        (faults::AFTER_DATA, "554 5.7.1 spam", Step::Data, Reason::Rejected),
        (faults::AFTER_DATA, "451 4.3.0 try again", Step::Data, Reason::Deferred),
    ];
    all(answers.map(|(point, answer, step, reason)| {
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            world.smtp.faults().once(point, Fault::reply(answer));
            let exporter = Exporter::start(&[world.target("a")]).await;
            let snapshot = exporter.measured("a").await;
            let (_, failure) = snapshot.sides.send.last_failure.clone().unwrap();
            assert_eq!((failure.step, failure.reason, failure.down), (step, reason, false));
            assert!(failure.message.contains(answer), "{failure}");
            assert_eq!(snapshot.send_ability, Reading::Is(0.0));
            assert_eq!(snapshot.sides.send.consecutive_failures, Reading::Is(1));
            assert_eq!((snapshot.totals.probes, snapshot.totals.accepted), (1, 0));
            assert_eq!(snapshot.totals.doubtful, 0);
            assert_eq!(snapshot.outstanding, Reading::Is(0));
            // QUIT comes after the account is settled: nothing else was tried before it.
            assert!(world.smtp.wait_until(DEADLINE, |stats| stats.count("QUIT") == 1).await);
            assert_eq!(world.smtp.stats().count("MAIL"), 1);
            assert_eq!(world.smtp.stats().connections, 1);
        };
        (format!("{point} {answer}"), case)
    }))
    .await;
}

#[tokio::test]
async fn no_more_connections_than_allowed_are_open_to_one_server() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().on("DATA", Fault::delay(Duration::from_millis(50)));
    let targets: Vec<_> = (0..12)
        .map(|number| {
            let target = world.target(&format!("t{number}")).sender_logs_in();
            target.set("interval", "1s").set("send.max_connections", "2")
        })
        .collect();
    let exporter = Exporter::start(&targets).await;
    for number in 0..12 {
        let snapshot = exporter.received(&format!("t{number}"), 2).await;
        assert_balanced(&snapshot);
        assert_eq!(snapshot.sides.send.last_failure, None);
    }
    let stats = world.smtp.stats();
    assert!(stats.sessions_most <= 2, "{stats:?}");
}

#[tokio::test]
async fn the_wait_for_a_free_connection_is_no_part_of_the_round_trip() {
    let world = World::new(Protocol::Imap).await;
    // Whoever comes first keeps the only connection for two seconds.
    world.smtp.faults().once("MAIL", Fault::delay(Duration::from_secs(2)));
    let targets = ["a", "b"].map(|name| {
        let target = world.target(name).set("interval", "1s");
        target.set("send.max_connections", "1").set("late_after", "1h")
    });
    let exporter = Exporter::start(&targets).await;
    let second = exporter.received("b", 1).await;
    let roundtrip = second.roundtrips.sum / u32::try_from(second.totals.received).unwrap();
    assert!(roundtrip < Duration::from_secs(1), "{roundtrip:?}");
}

#[tokio::test]
async fn a_period_that_finds_the_one_before_still_sending_is_skipped_and_counted() {
    let world = World::new(Protocol::Imap).await;
    // Each reply comes within the period, the whole send takes two and is cut short at one.
    world.smtp.faults().on("MAIL", Fault::Hang);
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let snapshot = exporter.until("a", "two sends", |s| s.sides.send.failures.total() >= 2).await;
    assert_eq!(snapshot.sides.send.failures_for(Reason::Timeout), 2);
    assert!(snapshot.totals.periods_skipped >= 1, "{snapshot:#?}");
    assert_eq!(snapshot.totals.check_failures, 0, "the checks go on");
    assert!(world.smtp.stats().connections_open <= 1);
}

#[tokio::test]
async fn one_target_that_hangs_delays_no_other() {
    let (hung, good) = (World::new(Protocol::Imap).await, World::new(Protocol::Imap).await);
    hung.smtp.faults().on(faults::CONNECT, Fault::Hang);
    hung.mailbox.faults().on(faults::CONNECT, Fault::Hang);
    let deaf = TargetText::new("a-deaf", &good.smtp, &hung.mailbox).set("interval", "30s");
    let targets = [
        deaf.set("receive.username", "another"),
        hung.target("hung").set("interval", "1s"),
        good.target("well").set("interval", "1s"),
    ];
    let exporter = Exporter::start(&targets).await;
    let started = Instant::now();
    let snapshot = exporter.received("well", 3).await;
    assert!(started.elapsed() < Duration::from_secs(7), "{:?}", started.elapsed());
    assert_eq!(snapshot.totals.periods_skipped, 0);
    // A broken mailbox never stops sending: the wait for its check is 3 s, its timeout 10 s.
    let snapshot = exporter.until("a-deaf", "sent", |s| s.totals.accepted == 1).await;
    let waited = started.elapsed();
    assert_eq!(snapshot.receive_ability, Reading::Unmeasured);
    assert!(waited > Duration::from_secs(2) && waited < Duration::from_secs(8), "{waited:?}");
}

#[tokio::test]
async fn news_told_during_a_removal_shorten_no_later_round_trip() {
    let delay = Duration::from_secs(1);
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().once(faults::AFTER_DATA, Fault::None);
    world.smtp.faults().once(faults::AFTER_DATA, Fault::delay(delay));
    let slow = Fault::delay(Duration::from_millis(300));
    world.mailbox.faults().once("UID EXPUNGE", slow);
    let exporter = Exporter::start(&[world.target("a").set("messages", "2")]).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("UID EXPUNGE") == 1).await);
    assert_eq!(exporter.snapshot("a").totals.accepted, 1, "the second is still being sent");
    world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhello\r\n");
    let snapshot = exporter.received("a", 2).await;
    assert!(snapshot.roundtrips.sum >= delay, "{:?}", snapshot.roundtrips);
    assert_eq!(snapshot.roundtrips.counts.iter().sum::<u64>(), 2);
    world.inbox_holds(1).await;
}

#[tokio::test]
async fn a_session_that_ends_with_its_period_is_no_failure() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    world.mailbox.faults().on(faults::DONE, Fault::delay(Duration::from_millis(60)));
    // Looks this far apart are bridged by IDLE, and the last of a period by one until the check.
    let target = world.target("a").set("interval", "1500ms").set("late_after", "1h");
    let exporter = Exporter::start(&[target.set("receive.min_look_interval", "900ms")]).await;
    let snapshot = exporter.until("a", "checked", |s| s.totals.checks >= 5).await;
    assert!(world.mailbox.stats().count("IDLE") >= 5, "{:?}", world.mailbox.stats());
    assert_eq!(snapshot.sides.receive.last_failure, None);
    assert_eq!(snapshot.sides.receive.failures.total(), 0);
    assert_eq!(snapshot.sides.send.last_failure, None);
}
