//! The newest measurement over the end of the process: it stands until it is outlived, and is never that
//! of another server.

use tempfile::TempDir;
use testserver::faults::{CREDENTIALS, Fault, GREETING, Gate};
use testserver::{Options, Post, Protocol, Server};

use crate::support::program::{LIMIT, Running, folder, post, sqlite, target};

const SEND: &str = "mailtrip_send_ability_percent{target=\"one\"}";
const RECEIVE: &str = "mailtrip_receive_ability_percent{target=\"one\"}";
const ROUNDTRIP: &str = "mailtrip_roundtrip_minutes{target=\"one\"}";
/// What outlives the process, beside these.
const OF_A_SIDE: [&str; 4] = [
    "mailtrip_server_up",
    "mailtrip_consecutive_failures",
    "mailtrip_last_attempt_timestamp_seconds",
    "mailtrip_last_success_timestamp_seconds",
];

/// Mail servers, and an exporter that was killed after it had measured them; its next mail is due in an
/// hour, and the next check of the mailbox waits for the greeting until the gate is opened.
struct World {
    post: Post,
    imap: Server,
    smtp: Server,
    gate: Gate,
    folder: TempDir,
    /// What it showed at last.
    shown: String,
}

impl World {
    async fn measured_and_killed() -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let target = target("one", smtp.port(), imap.port());
        let target = target.replace("interval: 1s", "interval: 1h");
        let folder = folder(&format!("state_dir: state\ntargets:\n{target}"));
        let exporter = Running::start(folder.path(), &[]).await;
        let is_measured = |page: &str| {
            [(SEND, 100.0), (RECEIVE, 100.0)]
                .iter()
                .all(|(name, it)| value(page, name) == Some(*it))
                && value(page, ROUNDTRIP).is_some_and(|minutes| minutes > 0.0)
        };
        exporter.until("/metrics", is_measured).await;
        exporter.until("/api/targets/one", says_something).await;
        let is_empty = |post: &Post| post.messages("b", "INBOX").is_empty();
        assert!(post.wait_until(LIMIT, is_empty).await, "its mail is taken out");
        let shown = exporter.get("/metrics").await;
        exporter.has_kept_all(folder.path()).await;
        exporter.kill().await;
        let gate = Gate::default();
        imap.faults().on(GREETING, Fault::Held(gate.clone()));
        Self { post, imap, smtp, gate, folder, shown }
    }

    /// The next process, while it checks the mailbox of a server that is slow.
    async fn exporter(&self) -> Running {
        let before = self.imap.stats().connections;
        let exporter = Running::start(self.folder.path(), &[]).await;
        assert!(self.imap.wait_until(LIMIT, |stats| stats.connections > before).await);
        exporter
    }

    fn change(&self, from: &str, to: &str) {
        let file = self.folder.path().join("mailtrip.yml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    }
}

/// The value of a series.
fn value(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// What a side shows beside its ability.
fn of_side(page: &str, side: &str) -> [Option<f64>; 4] {
    OF_A_SIDE.map(|name| value(page, &format!("{name}{{target=\"one\",side=\"{side}\"}}")))
}

fn is_nan(page: &str, series: &str) -> bool {
    value(page, series).unwrap().is_nan()
}

/// Whether the JSON of a target tells what is in the header of its newest mail.
fn says_something(details: &str) -> bool {
    let details: serde_json::Value = serde_json::from_str(details).unwrap();
    !details["inspection"].is_null()
}

#[tokio::test]
async fn a_measurement_stands_after_kill_9_until_the_next_one() {
    let world = World::measured_and_killed().await;
    let before = &world.shown;
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    for series in [SEND, RECEIVE, ROUNDTRIP] {
        assert_eq!(value(&page, series), value(before, series), "{series}: {page}");
    }
    for side in ["send", "receive"] {
        assert_eq!(of_side(&page, side), of_side(before, side), "{page}");
        assert_eq!(of_side(&page, side)[0], Some(1.0));
    }
    world.imap.faults().on(CREDENTIALS, Fault::reply("{tag} NO go away"));
    world.gate.open();
    let page = exporter.until("/metrics", |page| value(page, RECEIVE) == Some(0.0)).await;
    assert_eq!(of_side(&page, "receive")[1], Some(1.0), "one failure in a row");
    for series in [SEND, ROUNDTRIP] {
        assert_eq!(value(&page, series), value(before, series), "{series}: {page}");
    }
    assert_eq!(world.post.messages("b", "INBOX").len(), 0);
}

#[tokio::test]
async fn what_is_older_than_its_schedule_is_nan_at_once_and_its_dates_stay() {
    let world = World::measured_and_killed().await;
    let (hours, dates) = (3.0 * 3600.0, of_side(&world.shown, "send"));
    let shift = format!(
        "UPDATE newest SET period_began = period_began - {hours}, send_attempt = send_attempt - {hours}, \
         send_success = send_success - {hours}, receive_attempt = receive_attempt - {hours}, \
         receive_success = receive_success - {hours}, send_failures = 5, receive_failures = 5"
    );
    sqlite(world.folder.path(), &shift);
    let exporter = world.exporter().await;
    let page = exporter.get("/metrics").await;
    for series in [SEND, RECEIVE, ROUNDTRIP] {
        assert!(is_nan(&page, series), "{series}: {page}");
    }
    for side in ["send", "receive"] {
        let [up, failures, attempt, success] = of_side(&page, side);
        assert_eq!((up, failures), (None, None), "no alert on failures of long ago: {page}");
        assert!(attempt.is_some() && success.is_some(), "{page}");
    }
    let moved = dates[2].unwrap() - of_side(&page, "send")[2].unwrap();
    assert!((moved - hours).abs() < 0.01, "{moved}");
    assert!(exporter.get("/targets/one").await.contains("not measured recently"));
}

#[tokio::test]
async fn another_server_shows_nothing_of_the_one_before_after_a_restart_and_a_reload() {
    for is_reload in [false, true] {
        let world = World::measured_and_killed().await;
        let other = Server::start(Protocol::Smtp, &world.post, Options::new()).await.unwrap();
        let (from, to) =
            (format!("port: {}", world.smtp.port()), format!("port: {}", other.port()));
        let exporter = if is_reload {
            let exporter = world.exporter().await;
            let page = exporter.get("/metrics").await;
            assert_eq!(value(&page, SEND), Some(100.0), "{page}");
            world.change(&from, &to);
            exporter.signal("-HUP");
            exporter
        } else {
            world.change(&from, &to);
            world.exporter().await
        };
        let page = exporter.until("/metrics", |page| is_nan(page, SEND)).await;
        assert!(is_nan(&page, ROUNDTRIP), "{page}");
        assert_eq!(of_side(&page, "send"), [None; 4], "{page}");
        assert_eq!(value(&page, RECEIVE), Some(100.0), "the mailbox is the same: {page}");
        let accepted = "mailtrip_probes_accepted_total{target=\"one\"}";
        assert_eq!(value(&page, accepted), Some(1.0), "what happened stays counted");
    }
}

#[tokio::test]
async fn another_mailbox_shows_no_header_of_the_one_before_after_a_restart_and_a_reload() {
    for is_reload in [false, true] {
        let world = World::measured_and_killed().await;
        let exporter = world.exporter().await;
        assert!(says_something(&exporter.get("/api/targets/one").await), "of the same mailbox");
        world.change("username: b", "username: a");
        let exporter = if is_reload {
            exporter.signal("-HUP");
            exporter
        } else {
            exporter.kill().await;
            world.exporter().await
        };
        exporter.until("/metrics", |page| is_nan(page, RECEIVE)).await;
        assert!(!says_something(&exporter.get("/api/targets/one").await), "{is_reload}");
    }
}
