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

const EXPECTED: &str = "mailtrip_expectation_met{target=\"one\",expect=\"refused\"}";

#[tokio::test]
async fn what_was_judged_of_mail_that_must_not_pass_stands_after_kill_9_and_is_of_this_test_alone()
{
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    smtp.faults().on("RCPT", Fault::reply("550 5.7.1 no relaying here"));
    let written = target("one", smtp.port(), 1).replace("interval: 1s", "interval: 1h");
    let folder = folder(&format!("state_dir: state\ntargets:\n{written}  expect: refused\n"));
    let exporter = Running::start(folder.path(), &[]).await;
    exporter.until("/metrics", |page| value(page, EXPECTED) == Some(1.0)).await;
    exporter.has_kept_all(folder.path()).await;
    let before = exporter.get("/api/targets/one").await;
    exporter.kill().await;

    let exporter = Running::start(folder.path(), &[]).await;
    assert_eq!(value(&exporter.get("/metrics").await, EXPECTED), Some(1.0));
    assert!(exporter.get("/targets/one").await.contains("550 5.7.1 no relaying here"));
    let expectation = |document: &str| {
        serde_json::from_str::<serde_json::Value>(document).unwrap()["expectation"].clone()
    };
    let after = exporter.get("/api/targets/one").await;
    assert_eq!(expectation(&after), expectation(&before), "with its date");
    // The next test is due in an hour.
    let file = folder.path().join("mailtrip.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("to: b@demo.test", "to: x@demo.test")).unwrap();
    exporter.signal("-HUP");
    exporter.until("/metrics", |page| is_nan(page, EXPECTED)).await;
    exporter.kill().await;
    let exporter = Running::start(folder.path(), &[]).await;
    assert!(is_nan(&exporter.get("/metrics").await, EXPECTED));
    assert_eq!(smtp.stats().connections, 1, "one test was made");
}
