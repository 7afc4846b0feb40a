//! Targets that share a mailbox of a real Dovecot: what its log counts, and whose rules hold.

use std::net::TcpListener;
use std::time::Duration;

use ledger::{Reading, Snapshot};

use crate::lab::{Account, Lab, Service, until};
use crate::real::stack::{failures, plain, target};
use crate::support::{Exporter, TargetText};

/// Waits until each target has received as many mails, and returns the accounts.
async fn all_receive(exporter: &Exporter, names: &[String], count: u64) -> Vec<Snapshot> {
    let what = format!("{count} mails received");
    let mut snapshots = Vec::new();
    for name in names {
        let received = |now: &Snapshot| now.totals.received >= count;
        snapshots.push(exporter.until(name, &what, received).await);
    }
    snapshots
}

/// Each target has found its own mails, and all of them, and no other's.
fn assert_own_mails(names: &[String], snapshots: &[Snapshot]) {
    for (name, snapshot) in names.iter().zip(snapshots) {
        let totals = *snapshot.totals;
        let outstanding = snapshot.outstanding.value().unwrap() as u64;
        assert_eq!(totals.accepted, totals.received + outstanding, "{name}: {snapshot:#?}");
        assert_eq!((totals.duplicate, totals.returned, totals.lost), (0, 0, 0), "{name}");
        assert_eq!(
            failures(&snapshot.sides.receive),
            0,
            "{name}: {:?}",
            snapshot.sides.receive.last_failure
        );
    }
}

#[tokio::test]
async fn two_hundred_targets_share_one_login_a_period() {
    const TARGETS: usize = 200;
    let lab = Lab::shared().await;
    let reader = lab.user("shared-imap", "secret").await;
    // They come in another order than they were sent.
    lab.delay(&reader, Duration::from_millis(100));
    let names: Vec<String> = (0..TARGETS).map(|number| format!("shared-{number:03}")).collect();
    let shared = |name| target(lab, name, &reader).every("8s");
    let targets: Vec<TargetText> = names.iter().map(|name| shared(name)).collect();
    let exporter = Exporter::start(&targets).await;
    let snapshots = all_receive(&exporter, &names, 1).await;
    let checks = exporter.snapshot(&names[0]).totals.checks;
    exporter.supervisor.stop().await;
    assert_own_mails(&names, &snapshots);
    until("a login for each check is in the log", async || {
        lab.imap_logins(&reader) as u64 >= checks
    })
    .await;
    let logins = lab.imap_logins(&reader) as u64;
    assert!(logins <= checks + 1, "{logins} logins for {checks} checks and the one under way");
    assert_eq!(lab.most_sessions(&reader), 1, "a session ends before the next begins");
}

#[tokio::test]
async fn targets_share_the_sessions_of_a_maildrop() {
    let lab = Lab::shared().await;
    let reader = lab.user("shared-pop3", "secret").await;
    let names: Vec<String> = (0..5).map(|number| format!("drop-{number}")).collect();
    let pop3 = plain(lab.ports().pop3);
    let shared = |name| target(lab, name, &reader).every("2s");
    let targets: Vec<TargetText> =
        names.iter().map(|name| shared(name).receive("pop3", &pop3, &reader)).collect();
    let exporter = Exporter::start(&targets).await;
    let snapshots = all_receive(&exporter, &names, 2).await;
    exporter.supervisor.stop().await;
    assert_own_mails(&names, &snapshots);
    assert!(lab.pop3_logins(&reader) as u64 >= snapshots[0].totals.checks);
    assert_eq!(lab.most_sessions(&reader), 1, "a session ends before the next begins");
}

/// A target whose name tells the protocol and whether it is passive.
fn node(lab: &Lab, name: &str, reader: &Account) -> TargetText {
    let (protocol, role) = name.split_once('-').unwrap();
    let port = if protocol == "imap" { lab.ports().imap } else { lab.ports().pop3 };
    let target = target(lab, name, reader).every("1s").set("late_after", "1h");
    let target = target.receive(protocol, &plain(port), reader);
    if role == "active" { target } else { target.set("passive", "true") }
}

#[tokio::test]
async fn an_active_and_a_passive_target_on_one_mailbox_go_each_by_its_own_rule() {
    let lab = Lab::start().await;
    let (imap, pop3) =
        tokio::join!(lab.user("both-imap", "secret"), lab.user("both-pop3", "secret"));
    // Nobody listens there: the SMTP server of the standby is down.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let targets = [
        node(&lab, "imap-active", &imap),
        node(&lab, "imap-passive", &imap),
        node(&lab, "imap-standby", &imap).send(&plain(closed), None),
        node(&lab, "pop3-active", &pop3),
        node(&lab, "pop3-passive", &pop3),
    ];
    let exporter = Exporter::start(&targets).await;
    let measured = |now: &Snapshot| now.totals.received >= 1 && now.roundtrip.value().is_some();
    for name in ["imap-active", "imap-passive", "pop3-active", "pop3-passive"] {
        exporter.until(name, "measured", measured).await;
    }
    let down = |now: &Snapshot| now.sides.send.not_applicable >= 2;
    let snapshot = exporter.until("imap-standby", "sending does not apply", down).await;
    assert_eq!(snapshot.send_ability, Reading::NotApplicable);
    assert_eq!(snapshot.receive_ability, Reading::Is(true), "the mailbox is there");
    assert_eq!((snapshot.outstanding, failures(&snapshot.sides.send)), (Reading::NotApplicable, 0));

    lab.stop_service(Service::Imap).await;
    lab.stop_service(Service::Pop3).await;
    for name in ["imap-active", "pop3-active"] {
        let fails = |now: &Snapshot| {
            now.receive_ability == Reading::Is(false) && now.outstanding.value() >= Some(2)
        };
        let snapshot = exporter.until(name, "receiving fails and mail waits", fails).await;
        assert!(failures(&snapshot.sides.receive) >= 1, "{name}: {snapshot:#?}");
        assert_eq!((snapshot.sides.receive.not_applicable, snapshot.totals.left), (0, 0), "{name}");
    }
    for name in ["imap-passive", "pop3-passive"] {
        let left = |now: &Snapshot| now.totals.left >= 2;
        let snapshot = exporter.until(name, "mails leave with the outage", left).await;
        assert_eq!(snapshot.receive_ability, Reading::NotApplicable, "{name}");
        assert_eq!(snapshot.outstanding, Reading::NotApplicable, "{name}");
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
        assert_eq!(failures(&snapshot.sides.receive), 0, "{name}: {snapshot:#?}");
    }

    lab.start_dovecot().await;
    for name in ["imap-active", "pop3-active"] {
        let caught_up = |now: &Snapshot| {
            now.receive_ability == Reading::Is(true)
                && now.outstanding.value().is_some_and(|count| count <= 1)
        };
        let snapshot = exporter.until(name, "what waited has come", caught_up).await;
        assert_eq!((snapshot.totals.lost, snapshot.totals.left), (0, 0), "{name}");
    }
    for name in ["imap-passive", "pop3-passive"] {
        let before = exporter.snapshot(name).totals.received;
        let again = |now: &Snapshot| now.totals.received > before && measured(now);
        let totals = exporter.until(name, "measured like any other", again).await.totals;
        assert_eq!((totals.returned, totals.duplicate, totals.lost), (0, 0, 0), "{name}");
    }
    exporter.supervisor.stop().await;
}
