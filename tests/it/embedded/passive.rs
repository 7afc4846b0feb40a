//! The standby node of a cluster: while a side is down nothing is measured and nothing counted, and
//! once it answers it is measured like any other.

use std::time::Duration;

use ledger::{Reading, SideState, Snapshot};
use ledger::{Reason, Side};
use mailtrip_exporter::config::TlsMode;
use testserver::faults::{CONNECT, CREDENTIALS, Fault, GREETING};
use testserver::{Certificate, Delivery, Options, Protocol};

use crate::support::{
    DEADLINE, Exporter, MAILBOXES, TargetText, Trust, USER, World, all, protected,
};

fn passive(world: &World) -> TargetText {
    world.target("a").set("passive", "true").set("interval", "1s")
}

fn assert_not_applicable(side: Side, state: &SideState) {
    assert_eq!(state.consecutive_failures, Reading::NotApplicable, "{side}");
    assert!(state.not_applicable >= 1, "{side}");
    assert_eq!(state.up, Some(false), "{side}");
    assert_eq!(state.failures.total(), 0, "{side}: {state:?}");
}

fn assert_nothing_counted(snapshot: &Snapshot) {
    assert_eq!(snapshot.outstanding, Reading::NotApplicable, "{snapshot:#?}");
    assert_eq!(snapshot.roundtrip, Reading::NotApplicable, "{snapshot:#?}");
    assert_eq!(snapshot.oldest_outstanding, None);
    let totals = *snapshot.totals;
    assert_eq!((totals.check_failures, totals.late, totals.lost), (0, 0, 0), "{snapshot:#?}");
}

#[tokio::test]
async fn both_sides_down_measure_nothing_and_then_like_any_other() {
    for mailbox in MAILBOXES {
        let mut world = World::new(mailbox).await;
        world.smtp.stop().await;
        world.mailbox.stop().await;
        let exporter = Exporter::start(&[passive(&world)]).await;
        let snapshot = exporter
            .until("a", "tried twice", |s| {
                s.sides.send.not_applicable >= 2 && s.sides.receive.not_applicable >= 2
            })
            .await;
        assert_eq!(snapshot.send_ability, Reading::NotApplicable);
        assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
        assert_not_applicable(Side::Send, &snapshot.sides.send);
        assert_not_applicable(Side::Receive, &snapshot.sides.receive);
        assert_nothing_counted(&snapshot);
        assert_eq!((snapshot.totals.probes, snapshot.totals.checks), (0, 0));

        world.smtp.start_again().await.unwrap();
        world.mailbox.start_again().await.unwrap();
        exporter.received("a", 1).await;
        // A look may find the mail before the next check tells of the ability.
        let is_measured = |s: &Snapshot| {
            s.send_ability == Reading::Is(1.0)
                && s.receive_ability == Reading::Is(true)
                && (s.sides.send.up, s.sides.receive.up) == (Some(true), Some(true))
                && s.outstanding.value().is_some()
                && s.roundtrip.value().is_some()
        };
        exporter.until("a", "measured like any other", is_measured).await;
    }
}

#[tokio::test]
async fn each_side_is_down_for_itself() {
    let mut world = World::new(Protocol::Imap).await;
    world.smtp.stop().await;
    let exporter = Exporter::start(&[passive(&world)]).await;
    let snapshot = exporter
        .until("a", "measured", |s| s.sides.send.not_applicable >= 1 && s.totals.checks >= 1)
        .await;
    assert_not_applicable(Side::Send, &snapshot.sides.send);
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    assert_nothing_counted(&snapshot);

    let mut world = World::new(Protocol::Imap).await;
    world.mailbox.stop().await;
    let exporter = Exporter::start(&[passive(&world)]).await;
    let snapshot = exporter
        .until("a", "measured", |s| s.sides.receive.not_applicable >= 2 && s.totals.left >= 1)
        .await;
    assert_not_applicable(Side::Receive, &snapshot.sides.receive);
    assert_eq!(snapshot.receive_ability, Reading::NotApplicable);
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    assert_nothing_counted(&snapshot);
}

/// A standby node is stopped in the middle of a dialogue: what was open is closed, and nobody listens any more.
#[tokio::test]
async fn a_node_that_goes_down_in_the_middle_of_an_attempt_is_down() {
    for (mailbox, side, command) in [
        (Protocol::Imap, Side::Send, "MAIL"),
        (Protocol::Imap, Side::Receive, "SELECT"),
        (Protocol::Pop3, Side::Receive, "STAT"),
    ] {
        let mut world = World::new(mailbox).await;
        let server = if side == Side::Send { &mut world.smtp } else { &mut world.mailbox };
        server.faults().on(command, Fault::Hang);
        let target = world.target("a").set("passive", "true").set("interval", "10s");
        let exporter = Exporter::start(&[target]).await;
        let server = if side == Side::Send { &mut world.smtp } else { &mut world.mailbox };
        assert!(server.wait_until(DEADLINE, |stats| stats.count(command) >= 1).await);
        server.stop().await;
        let is_down = |s: &Snapshot| {
            let state = if side == Side::Send { &s.sides.send } else { &s.sides.receive };
            state.not_applicable >= 1
        };
        let snapshot = exporter.until("a", "down", is_down).await;
        let state = if side == Side::Send { &snapshot.sides.send } else { &snapshot.sides.receive };
        assert_not_applicable(side, state);
        // One that is still there has failed.
        let server = if side == Side::Send { &mut world.smtp } else { &mut world.mailbox };
        server.faults().clear();
        server.faults().on(command, Fault::Close);
        server.start_again().await.unwrap();
        let has_failed = |s: &Snapshot| {
            let state = if side == Side::Send { &s.sides.send } else { &s.sides.receive };
            state.failures_for(Reason::Closed) >= 1
        };
        exporter.until("a", "a failure", has_failed).await;
    }
}

#[tokio::test]
async fn mails_under_way_leave_with_an_outage() {
    let mut world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    let target = passive(&world).set("interval", "2s").set("late_after", "1h");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    // The farewell is over, so that no send is cut short.
    assert!(world.smtp.wait_until(DEADLINE, |stats| stats.connections_open == 0).await);
    world.smtp.stop().await;
    world.mailbox.stop().await;
    let snapshot = exporter.until("a", "left", |s| s.totals.left == 1).await;
    assert_eq!(snapshot.outstanding, Reading::NotApplicable);
    assert_eq!(snapshot.oldest_outstanding, None);
    assert_eq!((snapshot.totals.late, snapshot.totals.lost), (0, 0));
    // They may still turn up: removed, and counted nowhere.
    world.post.release(USER);
    world.mailbox.start_again().await.unwrap();
    world.inbox_holds(0).await;
    let totals = exporter.snapshot("a").totals;
    assert_eq!((totals.received, totals.returned, totals.duplicate), (0, 0, 0));
}

#[tokio::test]
async fn a_mail_that_nobody_could_have_seen_is_not_late() {
    let world = World::new(Protocol::Imap).await;
    // The check that finds the mailbox down takes longer than a mail needs to be late.
    world.mailbox.faults().on(CONNECT, Fault::Hang);
    let target = passive(&world).set("timeout", "1s").set("late_after", "100ms");
    let exporter = Exporter::start(&[target]).await;
    let snapshot = exporter.until("a", "two mails left", |s| s.totals.left >= 2).await;
    assert_nothing_counted(&snapshot);
    world.mailbox.faults().clear();
    world.mailbox.close_sessions();
    exporter.received("a", 1).await;
    // The ability is the next check's to tell.
    exporter.until("a", "able to receive", |s| s.receive_ability == Reading::Is(true)).await;
}

/// A fault of one side, and the reason if it is a real one; `None`: the node is down.
struct Outage {
    side: Side,
    tls: TlsMode,
    certificate: Certificate,
    point: &'static str,
    fault: Fault,
    reason: Option<Reason>,
}

fn outages() -> Vec<Outage> {
    let mut outages = Vec::new();
    let mut add = |side, tls, certificate, point, fault, reason| {
        outages.push(Outage { side, tls, certificate, point, fault, reason });
    };
    let good = Certificate::Good;
    let alert = Fault::Raw(b"\x15\x03\x03\x00\x02\x02\x28".to_vec());
    for side in Side::ALL {
        let greetings: &[&str] =
            if side == Side::Send { &["421 busy", "554 no"] } else { &["* BYE no"] };
        for greeting in greetings {
            add(side, TlsMode::None, good, GREETING, Fault::last_words(*greeting), None);
        }
        for fault in [Fault::Hang, Fault::Close, Fault::Reset] {
            add(side, TlsMode::None, good, GREETING, fault.clone(), None);
            add(side, TlsMode::Implicit, good, CONNECT, fault, None);
        }
        let real = |fault, reason| (fault, Some(reason));
        for (fault, reason) in
            [real(Fault::Garbage, Reason::Protocol), real(Fault::Cut(2), Reason::Closed)]
        {
            add(side, TlsMode::None, good, GREETING, fault, reason);
        }
        add(side, TlsMode::Implicit, good, CONNECT, alert.clone(), Some(Reason::Tls));
        let refused = if side == Side::Send { "535 5.7.8 no" } else { "{tag} NO no" };
        add(side, TlsMode::None, good, CREDENTIALS, Fault::reply(refused), Some(Reason::Auth));
        for (certificate, reason) in [
            (Certificate::Expired, Reason::CertificateExpired),
            (Certificate::SelfSigned, Reason::CertificateUntrusted),
            (Certificate::WrongName, Reason::CertificateName),
        ] {
            add(side, TlsMode::StartTls, certificate, CONNECT, Fault::None, Some(reason));
        }
    }
    let going = Fault::last_words("421 4.3.2 going down");
    for point in ["EHLO", "MAIL", "RCPT", "DATA"] {
        add(Side::Send, TlsMode::None, good, point, going.clone(), None);
    }
    let tired = Fault::last_words("421 4.7.0 too many errors");
    add(Side::Send, TlsMode::None, good, "RCPT", tired, Some(Reason::Deferred));
    outages
}

#[tokio::test]
async fn down_is_not_applicable_and_everything_else_is_a_real_zero() {
    all(outages().into_iter().map(|outage| {
        let Outage { side, tls, certificate, point, .. } = outage;
        let name = format!("{side} {tls:?} {certificate:?} {point} {:?}", outage.fault);
        (name, check_outage(outage))
    }))
    .await;
}

async fn check_outage(outage: Outage) {
    let trust = Trust::new();
    let odd = protected(outage.tls, &trust, outage.certificate);
    let (send, receive) = match outage.side {
        Side::Send => (odd, Options::new()),
        Side::Receive => (Options::new(), odd),
    };
    let world = World::with(Protocol::Imap, send, receive).await;
    let server = if outage.side == Side::Send { &world.smtp } else { &world.mailbox };
    server.faults().on(outage.point, outage.fault.clone());
    let target = world.target("a").sender_logs_in().set("passive", "true");
    let is_hang = outage.fault == Fault::Hang;
    let target = target.set("timeout", if is_hang { "1s" } else { "10s" });
    let exporter =
        Exporter::start(&[target.protect(outage.side.label(), outage.tls, &trust)]).await;
    let snapshot = exporter.measured("a").await;
    let state =
        if outage.side == Side::Send { &snapshot.sides.send } else { &snapshot.sides.receive };
    match outage.reason {
        None => {
            assert_not_applicable(outage.side, state);
            assert_nothing_counted(&snapshot);
        }
        Some(reason) => {
            assert_eq!(state.up, Some(true), "{state:?}");
            assert_eq!(state.failures_for(reason), 1, "{state:?}");
            assert_eq!((state.not_applicable, state.consecutive_failures), (0, Reading::Is(1)));
            assert!(snapshot.outstanding.value().is_some());
        }
    }
    let is_na = outage.reason.is_none();
    match outage.side {
        Side::Send => {
            let zero = if is_na { Reading::NotApplicable } else { Reading::Is(0.0) };
            assert_eq!(snapshot.send_ability, zero);
        }
        Side::Receive => {
            let zero = if is_na { Reading::NotApplicable } else { Reading::Is(false) };
            assert_eq!(snapshot.receive_ability, zero);
        }
    }
}

#[tokio::test]
async fn a_target_that_is_not_passive_shows_zero_for_the_same_outage() {
    let mut world = World::new(Protocol::Imap).await;
    world.smtp.stop().await;
    world.mailbox.stop().await;
    let exporter = Exporter::start(&[world.target("a").set("interval", "1s")]).await;
    let snapshot = exporter
        .until("a", "failed twice", |s| {
            s.sides.send.failures_for(Reason::Refused) >= 2
                && s.sides.receive.failures_for(Reason::Refused) >= 2
        })
        .await;
    assert_eq!(snapshot.send_ability, Reading::Is(0.0));
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.outstanding, Reading::Is(0));
    assert_eq!(snapshot.roundtrip, Reading::Unmeasured, "no figure is invented");
    assert_eq!((snapshot.sides.send.not_applicable, snapshot.sides.receive.not_applicable), (0, 0));
    assert!(snapshot.sides.send.consecutive_failures.value() >= Some(2));
    assert!(snapshot.totals.check_failures >= 2);
    assert!(snapshot.interval == Duration::from_secs(1));
}
