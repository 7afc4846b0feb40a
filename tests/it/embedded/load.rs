//! The load of the exporter itself is even: when mails are sent after a start, a restart and a reload, and what
//! becomes of the others while servers hang.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ledger::Reading;
use mailtrip_exporter::config::Config;
use mailtrip_exporter::probing::lag::{Lateness, Part};
use mailtrip_exporter::probing::pace::LEASE;
use mailtrip_exporter::store::Store;
use mailtrip_exporter::supervisor::Supervisor;
use tempfile::TempDir;
use testserver::faults::{Fault, GREETING};
use testserver::{Options, Post, Protocol, Server};

use crate::support::{DEADLINE, Exporter, TargetText, World, config, origin, yaml};

const HOUR: Duration = Duration::from_secs(3600);

/// An exporter with a store in this folder.
async fn with_store(folder: &TempDir, config: Config) -> Exporter {
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let supervisor = Supervisor::start_with_store(config, None, origin(), store).await.unwrap();
    Exporter { supervisor }
}

/// When the next mail of a target is due.
fn next_mail(exporter: &Exporter, name: &str) -> SystemTime {
    exporter.supervisor.view(name).unwrap().next_mail_at().expect("nothing is being sent")
}

#[tokio::test]
async fn a_restart_keeps_the_time_of_the_next_mail_and_sends_what_is_overdue() {
    let (world, folder) = (World::new(Protocol::Imap).await, tempfile::tempdir().unwrap());
    let targets = ["one", "two"].map(|name| world.target(name).set("interval", "1h"));
    let exporter = with_store(&folder, config(&targets)).await;
    exporter.received("one", 1).await;
    exporter.received("two", 1).await;
    let sent = exporter.snapshot("one").sides.send.last_attempt.unwrap();
    exporter.supervisor.stop().await;
    drop(exporter);

    let exporter = with_store(&folder, config(&targets)).await;
    let period = next_mail(&exporter, "one").duration_since(sent).unwrap();
    assert!(period > HOUR - Duration::from_secs(60) && period <= HOUR, "{period:?}");
    assert_eq!(world.mails_sent().len(), 2);
    let kept = next_mail(&exporter, "two");
    exporter.supervisor.stop().await;
    drop(exporter);

    // As if it had been away for more than a period.
    let file = rusqlite::Connection::open(folder.path().join("mailtrip.db")).unwrap();
    let sql = "UPDATE target SET last_sent = last_sent - 4000 WHERE name = 'one'";
    assert_eq!(file.execute(sql, []).unwrap(), 1);
    drop(file);
    let exporter = with_store(&folder, config(&targets)).await;
    exporter.receives("one", 1).await;
    let again = next_mail(&exporter, "two");
    let moved = again.duration_since(kept).unwrap_or_else(|early| early.duration());
    assert!(moved < Duration::from_secs(60), "what is overdue moves no other: {moved:?}");
    assert_eq!(world.mails_sent().len(), 3);
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn targets_share_a_connection_that_is_always_busy_evenly() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().on("MAIL", Fault::delay(Duration::from_millis(700)));
    let names = ["a", "b", "c", "d", "e"];
    let targets = names.map(|name| {
        let target = world.target(name).sender_logs_in().set("late_after", "1h");
        target.set("interval", "1s").set("send.max_connections", "1")
    });
    let began = Instant::now();
    let exporter = Exporter::start(&targets).await;
    // Each has its turn once in 3.5 s, so that three periods of four are skipped while it waits.
    for name in names {
        exporter.until(name, "four mails", |s| s.totals.accepted >= 4).await;
    }
    for name in names {
        let totals = exporter.snapshot(name).totals;
        let (sent, skipped) = (totals.accepted, totals.periods_skipped);
        assert!(sent <= 6, "{name} sent {sent}");
        assert!(skipped + 1 >= 2 * (sent - 1), "{name}: {skipped} skipped, {sent} sent");
        let periods = began.elapsed().as_secs() + 2;
        assert!(skipped + sent <= periods, "{name}: {skipped} skipped, {sent} sent of {periods}");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_server_that_answers_no_farewell_makes_no_start_late() {
    let world = World::new(Protocol::Imap).await;
    // The mail waits for the check, and the farewell lasts into the next period by as much.
    world.mailbox.faults().on(GREETING, Fault::delay(Duration::from_millis(900)));
    world.smtp.faults().on("QUIT", Fault::delay(Duration::from_millis(2_900)));
    let exporter = Exporter::start(&[world.target("a").set("interval", "2s")]).await;
    exporter.received("a", 3).await;
    let Lateness { counts, .. } = exporter.supervisor.lag().of(Part::Start);
    let beyond_half_a_second = counts.iter().skip(5).sum::<u64>();
    assert_eq!(beyond_half_a_second, 0, "{counts:?}");
    assert!(counts.iter().sum::<u64>() >= 3, "{counts:?}");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_reload_with_a_higher_limit_lets_all_in_who_wait_for_a_place() {
    let (world, folder) = (World::new(Protocol::Imap).await, tempfile::tempdir().unwrap());
    let hanging = Server::start(Protocol::Smtp, &Post::new(), Options::new()).await.unwrap();
    hanging.faults().on(GREETING, Fault::Hang);
    let target = |number: usize| {
        let target = TargetText::new(&format!("t{number}"), &hanging, &world.mailbox);
        let target = target.set("interval", "1h").set("timeout", "10m");
        target.set("send.max_connections", "200")
    };
    // One after the other, for a second each, they would take longer than is waited for.
    let text = yaml(&(0..200).map(target).collect::<Vec<_>>());
    let file = folder.path().join("mailtrip.yml");
    let write = |most: u32| {
        std::fs::write(&file, format!("max_concurrent_probes: {most}\n{text}")).unwrap();
    };
    write(1);
    let config = Config::load(&file).unwrap();
    let supervisor = Supervisor::start(config, Some(file.clone()), origin()).await.unwrap();
    assert!(hanging.wait_until(DEADLINE, |stats| stats.connections >= 1).await);
    write(200);
    supervisor.reload().await.unwrap();
    let let_in = hanging.wait_until(DEADLINE, |stats| stats.connections == 200).await;
    assert!(let_in, "{:?}", hanging.stats());
    supervisor.stop().await;
}

#[tokio::test]
async fn servers_that_hang_hold_up_no_start_for_longer_than_the_lease_and_no_round_trip() {
    let world = World::new(Protocol::Imap).await;
    let hanging = Server::start(Protocol::Smtp, &Post::new(), Options::new()).await.unwrap();
    hanging.faults().on(GREETING, Fault::Hang);
    // They hang for longer than the test waits, and their names come first.
    let hangs = |name: &str| {
        let target = TargetText::new(name, &hanging, &world.mailbox);
        target.set("interval", "1h").set("timeout", "10m")
    };
    let healthy = world.target("healthy").set("interval", "1h");
    let text = yaml(&[hangs("a"), hangs("b"), healthy]);
    let config = Config::parse(
        &format!("max_concurrent_probes: 1\n{text}"),
        std::path::Path::new("mailtrip.yml"),
    )
    .unwrap();
    let supervisor = Supervisor::start(config, None, origin()).await.unwrap();
    let exporter = Exporter { supervisor };
    let snapshot = exporter.received("healthy", 1).await;
    assert_eq!(exporter.snapshot("a").sides.send.last_attempt, None, "it still hangs");
    let greeted = hanging.wait_until(DEADLINE, |stats| stats.connections == 2).await;
    assert!(greeted, "both of them were let in");
    let Lateness { counts, sum } = exporter.supervisor.lag().of(Part::Start);
    assert_eq!(counts.iter().sum::<u64>(), 3);
    assert!(sum >= LEASE, "two of the three have waited: {sum:?}");
    let Reading::Is(roundtrip) = snapshot.roundtrip else { panic!("{snapshot:#?}") };
    assert!(roundtrip < sum, "{roundtrip:?} of {sum:?}: the wait is no part of it");
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_reload_leaves_what_runs_alone_and_places_what_is_new() {
    let (world, folder) = (World::new(Protocol::Imap).await, tempfile::tempdir().unwrap());
    let file = folder.path().join("mailtrip.yml");
    let target = |name: &str| world.target(name).set("interval", "1h");
    let write = |targets: &[TargetText]| std::fs::write(&file, yaml(targets)).unwrap();
    write(&[target("one"), target("two")]);
    let config = Config::load(&file).unwrap();
    let supervisor = Supervisor::start(config, Some(file.clone()), origin()).await.unwrap();
    let exporter = Exporter { supervisor };
    for name in ["one", "two"] {
        exporter.received(name, 1).await;
    }
    let before = ["one", "two"].map(|name| next_mail(&exporter, name));
    write(&[target("one"), target("two").set("messages", "2"), target("three")]);
    exporter.supervisor.reload().await.unwrap();
    exporter.received("three", 1).await;
    for (name, before) in ["one", "two"].into_iter().zip(before) {
        let after = next_mail(&exporter, name);
        let moved = after.duration_since(before).unwrap_or_else(|early| early.duration());
        assert!(moved < Duration::from_secs(60), "{name}: {moved:?}");
        assert_eq!(exporter.snapshot(name).totals.received, 1, "{name}");
    }
    exporter.supervisor.stop().await;
}
