//! The account over the end of the process, however it ends.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailtrip_exporter::store::Store;
use mailtrip_exporter::supervisor::Supervisor;
use rusqlite::Connection;
use tempfile::TempDir;
use testserver::faults::{ACCEPTED, AFTER_DATA, Fault, Gate};
use testserver::{Delivery, Options, Post, Protocol, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::lab::until;
use crate::support;
use crate::support::program::{
    LIMIT, Running, folder, is, log_line, post, program, run, sqlite, target, value,
};

/// Mail servers, and the folder of an exporter that sends a mail in each period.
struct World {
    post: Post,
    smtp: Server,
    _imap: Server,
    folder: TempDir,
}

impl World {
    async fn new(interval: &str) -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let target = target("one", smtp.port(), imap.port());
        let target = target.replace("interval: 1s", &format!("interval: {interval}"));
        let folder = folder(&format!("state_dir: state\ntargets:\n{target}"));
        Self { post, smtp, _imap: imap, folder }
    }

    async fn exporter(&self) -> Running {
        Running::start(self.folder.path(), &[]).await
    }

    async fn accepted(&self, mails: u64) {
        let accepted = self.smtp.wait_until(LIMIT, |stats| stats.mails_accepted >= mails).await;
        assert!(accepted, "{:?}", self.smtp.stats());
    }
}

#[tokio::test]
async fn a_mail_under_way_is_outstanding_again_after_kill_9_and_received() {
    let world = World::new("1h").await;
    world.post.set_delivery("b", Delivery::held());
    let exporter = world.exporter().await;
    exporter.until("/metrics", |page| is(page, "mailtrip_outstanding_messages", 1.0)).await;
    exporter.has_kept_all(world.folder.path()).await;
    exporter.kill().await;
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    assert_eq!(value(&page, "mailtrip_outstanding_messages"), Some(1.0));
    assert_eq!(value(&page, "mailtrip_probes_accepted_total"), Some(1.0));
    assert_eq!(world.post.release("b"), 1);
    let page =
        exporter.until("/metrics", |page| is(page, "mailtrip_probes_received_total", 1.0)).await;
    for (name, wanted) in [
        ("mailtrip_probes_total", 1.0),
        ("mailtrip_probes_accepted_total", 1.0),
        ("mailtrip_probes_doubtful_total", 0.0),
        ("mailtrip_probes_lost_total", 0.0),
        ("mailtrip_store_errors_total", 0.0),
    ] {
        assert_eq!(value(&page, name), Some(wanted), "{name}");
    }
    assert_eq!(world.smtp.stats().mails_accepted, 1, "the restart sent no mail of its own");
    let emptied = world.post.wait_until(LIMIT, |post| post.messages("b", "INBOX").is_empty()).await;
    assert!(emptied, "the mail was taken out");
}

#[tokio::test]
async fn a_server_whose_clock_is_off_makes_no_absurd_delay() {
    // By so much that no date of the server can be meant by our clock.
    const AHEAD_SECONDS: i64 = 300;
    for is_learned in [false, true] {
        let world = World::new("1h").await;
        world.post.set_clock_offset_seconds(AHEAD_SECONDS);
        world.post.set_delivery("b", Delivery::held());
        let mut watched = 0.0;
        if is_learned {
            // A mail whose arrival is watched tells how far the clock is off.
            let file = world.folder.path().join("mailtrip.yml");
            let text = std::fs::read_to_string(&file).unwrap();
            let text = text.replace("interval: 1h", "interval: 1h\n  messages: 2");
            std::fs::write(&file, text).unwrap();
            world.post.deliver_next("b", Delivery::at_once());
            watched = 1.0;
        }
        let started = Instant::now();
        let exporter = world.exporter().await;
        let is_under_way = |page: &str| {
            is(page, "mailtrip_outstanding_messages", 1.0)
                && is(page, "mailtrip_probes_received_total", watched)
        };
        exporter.until("/metrics", is_under_way).await;
        let offset = || sqlite(world.folder.path(), "SELECT max(clock_offset_most) FROM folder");
        until("the offset is kept", async || is_learned != offset().trim().is_empty()).await;
        exporter.has_kept_all(world.folder.path()).await;
        exporter.kill().await;
        world.post.release("b");
        // Nobody looks for so long that the date has to tell.
        let delivered = Instant::now();
        until("some time has passed", async || delivered.elapsed() > Duration::from_secs(3)).await;
        let exporter = world.exporter().await;
        let received = |page: &str| is(page, "mailtrip_probes_received_total", watched + 1.0);
        let page = exporter.until("/metrics", received).await;
        let roundtrips = value(&page, "mailtrip_roundtrip_seconds_count").unwrap();
        let sum = value(&page, "mailtrip_roundtrip_seconds_sum").unwrap();
        assert_eq!(roundtrips, watched * 2.0, "{page}");
        assert!((0.0..started.elapsed().as_secs_f64()).contains(&sum), "{page}");
        let has_none = value(&page, "mailtrip_roundtrip_minutes").unwrap().is_nan();
        assert_eq!(has_none, !is_learned, "received without a round trip: {page}");
    }
}

#[tokio::test]
async fn a_mail_without_a_recorded_reply_is_doubtful_after_kill_9() {
    let world = World::new("1h").await;
    world.post.set_delivery("b", Delivery::held());
    // The server takes the mail and is slow to say so.
    world.smtp.faults().on(AFTER_DATA, Fault::delay(Duration::from_secs(60)));
    let exporter = world.exporter().await;
    let commands =
        |name: &'static str| world.smtp.wait_until(LIMIT, move |stats| stats.count(name) >= 1);
    assert!(commands("DATA").await);
    exporter.kill().await;
    world.smtp.faults().clear();
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    for (name, wanted) in [
        ("mailtrip_probes_total", 1.0),
        ("mailtrip_probes_doubtful_total", 1.0),
        ("mailtrip_probes_accepted_total", 0.0),
    ] {
        assert_eq!(value(&page, name), Some(wanted), "{name}");
    }
    let state = sqlite(world.folder.path(), "SELECT state FROM mails");
    assert_eq!(state.trim(), "doubtful");
}

#[tokio::test]
async fn counters_go_on_over_a_proper_restart() {
    let world = World::new("1s").await;
    let exporter = world.exporter().await;
    let received = |least: f64| {
        move |page: &str| {
            value(page, "mailtrip_probes_received_total").is_some_and(|count| count >= least)
        }
    };
    exporter.until("/metrics", received(2.0)).await;
    exporter.signal("-TERM");
    let mut exporter = exporter;
    assert!(exporter.child.wait().await.unwrap().success());
    let rows = sqlite(
        world.folder.path(),
        "SELECT accepted = received + lost + left_with_outage + (SELECT count(*) FROM mail WHERE \
         state = 'outstanding') AND received >= 2 FROM target WHERE name = 'one'",
    );
    assert_eq!(rows.trim(), "1", "the account adds up in the file");
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    assert!(received(2.0)(&page), "{page}");
    exporter.until("/metrics", received(4.0)).await;
}

#[tokio::test]
async fn the_failures_of_ports_go_on_after_kill_9_and_a_removal() {
    let world = World::new("1s").await;
    let file = world.folder.path().join("mailtrip.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let checks = format!("interval: 1s\n  ports: ['web:{closed}']");
    std::fs::write(&file, text.replace("interval: 1s", &checks)).unwrap();
    let failed = "SELECT count FROM failure WHERE target = 'one' AND place = 'port.web'";
    let counters = [
        (
            failed.to_owned(),
            "mailtrip_tcp_port_failure_reasons_total{target=\"one\",port_name=\"web\",\
             reason=\"refused\"}",
        ),
        (failed.to_owned(), "mailtrip_tcp_port_failures_total{target=\"one\",port_name=\"web\"}"),
        (
            failed.replace("count", "printf('%!.17g', newest)"),
            "mailtrip_tcp_port_last_failure_timestamp_seconds{target=\"one\",port_name=\"web\",\
             reason=\"refused\"}",
        ),
    ];
    let kept =
        |query: &str| sqlite(world.folder.path(), query).trim().parse::<f64>().unwrap_or(0.0);
    let exporter = world.exporter().await;
    until("three rounds are kept", async || counters.iter().all(|(query, _)| kept(query) >= 3.0))
        .await;
    exporter.kill().await;
    let before = counters.each_ref().map(|(query, _)| kept(query));
    // No round comes between the start and the scrape.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("interval: 1s", "interval: 1h")).unwrap();
    let exporter = world.exporter().await;
    let shown = |page: &str| counters.each_ref().map(|(_, series)| value(page, series).unwrap());
    let page = exporter.get("/metrics").await;
    assert_eq!(shown(&page), before, "{page}");
    let with = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with.replace("name: one", "name: two")).unwrap();
    exporter.signal("-HUP");
    exporter.until("/metrics", |page| !page.contains("target=\"one\"")).await;
    std::fs::write(&file, with).unwrap();
    exporter.signal("-HUP");
    let page = exporter.until("/metrics", |page| page.contains("target=\"one\"")).await;
    assert_eq!(shown(&page), before, "{page}");
}

#[tokio::test]
async fn a_restart_loop_is_no_flood_of_mails() {
    let world = World::new("1h").await;
    let exporter = world.exporter().await;
    world.accepted(1).await;
    exporter.kill().await;
    for _ in 0..3 {
        let exporter = world.exporter().await;
        exporter.until("/-/ready", |answer| answer.starts_with("ready")).await;
        exporter.kill().await;
    }
    assert_eq!(world.smtp.stats().mails_accepted, 1);
}

#[tokio::test]
async fn a_target_that_was_taken_out_and_comes_back_finds_its_account() {
    let world = World::new("1h").await;
    world.post.set_delivery("b", Delivery::held());
    let file = world.folder.path().join("mailtrip.yml");
    let with = std::fs::read_to_string(&file).unwrap();
    let exporter = world.exporter().await;
    exporter.until("/metrics", |page| is(page, "mailtrip_outstanding_messages", 1.0)).await;
    std::fs::write(&file, with.replace("name: one", "name: two")).unwrap();
    exporter.signal("-HUP");
    exporter.until("/metrics", |page| !page.contains("target=\"one\"")).await;
    std::fs::write(&file, with).unwrap();
    exporter.signal("-HUP");
    let page = exporter.until("/metrics", |page| page.contains("target=\"one\"")).await;
    assert!(is(&page, "mailtrip_outstanding_messages", 1.0), "{page}");
    world.post.release("b");
    exporter.until("/metrics", |page| is(page, "mailtrip_probes_received_total", 1.0)).await;
}

#[tokio::test]
async fn a_second_exporter_on_the_same_state_is_refused() {
    let world = World::new("1h").await;
    let exporter = world.exporter().await;
    let output = run(world.folder.path(), &["--web.listen-address", "127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    let process = format!("(process {})", exporter.child.id().unwrap());
    assert!(words.contains("the state directory state is in use"), "{words}");
    assert!(words.contains(&process), "{words}");
}

#[tokio::test]
async fn a_full_disk_does_not_stop_the_measuring_and_is_made_up_for() {
    let world = World::new("1s").await;
    // A file may grow to 120 kB: the empty account fits, its growth soon does not.
    let limited = "trap '' XFSZ; ulimit -S -f 120; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_mailtrip_exporter")]);
    command.current_dir(world.folder.path()).kill_on_drop(true);
    let mut exporter = Running::spawn(&mut command).await;
    let failed = |page: &str| value(page, "mailtrip_store_errors_total") > Some(0.0);
    let page = exporter.until("/metrics", failed).await;
    let received = value(&page, "mailtrip_probes_received_total").unwrap();
    let more = |page: &str| value(page, "mailtrip_probes_received_total") >= Some(received + 2.0);
    let page = exporter.until("/metrics", more).await;
    assert!(is(&page, "mailtrip_send_ability_percent", 100.0), "{page}");
    log_line(&mut exporter.log, "the state cannot be written; the exporter continues from memory")
        .await;
    let process = exporter.child.id().unwrap().to_string();
    let raised = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited"]).status();
    assert!(raised.await.unwrap().success());
    log_line(&mut exporter.log, "the state directory is writable again").await;
    let kept = sqlite(world.folder.path(), "SELECT received FROM target");
    assert!(kept.trim().parse::<f64>().unwrap() >= received + 2.0, "{kept}");
}

#[tokio::test]
async fn a_mail_is_taken_out_only_once_its_arrival_is_in_the_file() {
    let removals = [(Protocol::Imap, "UID STORE"), (Protocol::Pop3, "DELE")];
    support::all(removals.map(|(protocol, removal)| {
        (removal.to_owned(), removed_after_the_commit(protocol, removal))
    }))
    .await;
}

async fn removed_after_the_commit(protocol: Protocol, removal: &'static str) {
    let world = support::World::new(protocol).await;
    world.post.set_delivery(support::USER, Delivery::held());
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let config =
        support::config(&[world.target("a").set("interval", "1s").set("late_after", "1h")]);
    let supervisor = Supervisor::start_with_store(config, None, support::origin(), store).await;
    let exporter = support::Exporter { supervisor: supervisor.unwrap() };
    let file = Connection::open(folder.path().join("mailtrip.db")).unwrap();
    let began = Instant::now();
    loop {
        exporter.until("a", "outstanding", |s| s.outstanding.value() >= Some(1)).await;
        let received = exporter.snapshot("a").totals.received;
        let removed = world.mailbox.stats().count(removal);
        // Nobody else can write; the store waits half a second for that, and then goes on from memory.
        file.execute_batch("BEGIN IMMEDIATE").unwrap();
        let locked = Instant::now();
        world.post.release(support::USER);
        let is_seen = || exporter.snapshot("a").totals.received > received;
        while !is_seen() && locked.elapsed() < Duration::from_millis(250) {
            sleep(Duration::from_millis(5)).await;
        }
        let was_seen = is_seen();
        let is_removed = world
            .mailbox
            .wait_until(Duration::from_millis(100), |stats| stats.count(removal) > removed)
            .await;
        let was_seen = was_seen && locked.elapsed() < Duration::from_millis(500);
        file.execute_batch("ROLLBACK").unwrap();
        assert!(!(was_seen && is_removed), "taken out before its arrival was written");
        world.inbox_holds(0).await;
        if was_seen {
            return;
        }
        assert!(began.elapsed() < LIMIT, "no mail was seen while the file was locked");
    }
}

/// What the program logs at level warn and above until it listens.
async fn warnings_of_a_start(folder: &Path) -> Vec<String> {
    let mut command = program(folder);
    command.args(["--web.listen-address", "127.0.0.1:0"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut warnings = Vec::new();
    loop {
        let line = timeout(LIMIT, log.next_line()).await.unwrap().unwrap().unwrap();
        if line.contains("listening") {
            break;
        }
        warnings.extend((!line.contains("level=info")).then_some(line));
    }
    // By SIGKILL, which leaves the write-ahead log.
    child.kill().await.unwrap();
    warnings
}

#[tokio::test]
async fn a_start_without_what_was_kept_says_so_at_level_warn_and_a_first_start_does_not() {
    let world = World::new("1h").await;
    let start = || warnings_of_a_start(world.folder.path());
    assert_eq!(start().await, [""; 0], "the first");
    assert_eq!(start().await, [""; 0], "after kill -9");
    std::fs::write(world.folder.path().join("state/mailtrip.db"), "").unwrap();
    let warnings = start().await;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for part in ["level=warn", "state/mailtrip.db was empty", "mails under way", "counters"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(start().await, [""; 0], "the new account is whole");
}

#[tokio::test]
async fn a_mail_whose_answer_comes_while_the_program_ends_is_accepted() {
    let world = World::new("1h").await;
    world.post.set_delivery("b", Delivery::held());
    let gate = Gate::default();
    world.smtp.faults().on(ACCEPTED, Fault::Held(gate.clone()));
    let mut exporter = world.exporter().await;
    world.accepted(1).await;
    exporter.signal("-TERM");
    log_line(&mut exporter.log, "stopping").await;
    gate.open();
    assert!(exporter.child.wait().await.unwrap().success());
    let state = sqlite(world.folder.path(), "SELECT state FROM mails");
    assert_eq!(state.trim(), "outstanding");
}
