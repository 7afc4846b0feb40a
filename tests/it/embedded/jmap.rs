//! A mailbox that is read by JMAP, and what its server may do to it: events, states, lies, and what it sends elsewhere.
//! What all mailboxes have in common is tested for JMAP by the other modules, what it does to a check by `hostile`.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ledger::{Reading, Reason, Snapshot, Step};
use mailtrip_exporter::config::TlsMode;
use mailtrip_exporter::roundtrip::{self, Terminal};
use mailtrip_exporter::store::Store;
use mailtrip_exporter::supervisor::Supervisor;
use testserver::faults::{ANY_COMMAND, Alteration, Announce, Fault, HttpAnswer};
use testserver::record::Stats;
use testserver::{Certificate, Delivery, Options, Protocol, Server};

use crate::embedded::oauth::Provider;
use crate::support::mails::report;
use crate::support::{
    DEADLINE, Exporter, TargetText, Trust, USER, World, all, config, only, origin, protected,
};

const FOREIGN: &[u8] = b"Subject: somebody's\r\n\r\nhands off\r\n";

async fn world() -> World {
    World::new(Protocol::Jmap).await
}

/// A target each second.
fn each_second(world: &World) -> TargetText {
    world.target("a").set("interval", "1s")
}

/// How many requests with calls the server got.
fn asked(world: &World) -> u64 {
    world.mailbox.stats().count("API")
}

/// The one account of a world whose first mail is held back, and whose mailbox is not looked into by the clock.
async fn waiting_for_events() -> (World, Exporter) {
    let world = world().await;
    world.post.insert(USER, "INBOX", FOREIGN);
    world.post.set_delivery(USER, Delivery::held());
    let target = world.target("a").set("interval", "1h");
    let exporter = Exporter::start(&[target.set("receive.min_look_interval", "1h")]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    let listens = |world: &World| {
        let sessions = world.mailbox.sessions();
        sessions.iter().any(|session| {
            session.commands.iter().any(|it| it.line.starts_with("GET /jmap/events"))
        })
    };
    assert!(world.mailbox.wait_until(DEADLINE, |_| listens(&world)).await, "no events");
    (world, exporter)
}

/// Waits until the server was asked nothing more: what follows is not of an earlier cause.
async fn is_quiet(world: &World) -> u64 {
    loop {
        let before = asked(world);
        if !world.mailbox.wait_until(Duration::from_secs(1), |_| asked(world) > before).await {
            return before;
        }
    }
}

#[tokio::test]
async fn an_event_brings_up_a_mail_without_a_look_by_the_clock() {
    let (world, exporter) = waiting_for_events().await;
    let before = is_quiet(&world).await;
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    world.inbox_holds(1).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    // A look, its removal, and perhaps the event of that: no series of looks.
    let calls = is_quiet(&world).await - before;
    assert!((2..=5).contains(&calls), "{calls} requests");
    assert_eq!(&*world.post.messages(USER, "INBOX")[0].bytes, FOREIGN);
}

#[tokio::test]
async fn a_server_that_is_silent_about_new_mail_is_looked_into_by_the_clock_alone() {
    let (world, exporter) = waiting_for_events().await;
    let before = is_quiet(&world).await;
    world.mailbox.faults().set_announce(Announce::Never);
    world.post.release(USER);
    world.inbox_holds(2).await;
    assert_eq!(is_quiet(&world).await, before, "without an event nothing is asked");
    assert_eq!(exporter.snapshot("a").totals.received, 0);
}

#[tokio::test]
async fn a_stream_of_events_that_fails_costs_no_mail_and_no_failure() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    let faults = [
        ("204", Fault::status(204)),
        ("404", Fault::status(404)),
        ("401", Fault::status(401)),
        ("closes", Fault::Close),
        ("resets", Fault::Reset),
        ("is silent", Fault::Hang),
        ("is silent behind its head", Fault::RawThenHang(format!("{head}\r\n").into_bytes())),
        ("ends", Fault::Http(HttpAnswer::new(200))),
        ("is no HTTP", Fault::Garbage),
        ("is no stream", Fault::Flood(format!("{head}\r\n").into_bytes(), b"\0\xff".to_vec())),
    ];
    let cases = faults.map(|(name, fault)| {
        let case = async move {
            let world = world().await;
            world.mailbox.faults().on("EVENTS", fault);
            let late = Delivery::at_once().after(Duration::from_millis(1500));
            world.post.set_delivery(USER, late);
            // So far apart that events stand for the time between two looks.
            let target = world.target("a").set("interval", "3s");
            let target = target.set("receive.min_look_interval", "1s").set("timeout", "3s");
            let exporter = Exporter::start(&[target]).await;
            let snapshot = exporter.received("a", 2).await;
            assert!(world.mailbox.stats().count("EVENTS") > 0);
            assert_eq!(snapshot.sides.receive.last_failure, None);
            assert_eq!((snapshot.totals.lost, snapshot.totals.duplicate), (0, 0));
        };
        (name.to_owned(), case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_server_that_tells_of_news_without_end_is_not_asked_without_end() {
    let world = world().await;
    let state = "event: state\ndata: {\"changed\":{\"a72697461\":{\"Email\":\"x\"}}}\n\n";
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".to_vec();
    world.mailbox.faults().on("EVENTS", Fault::Flood(head, state.as_bytes().to_vec()));
    world.post.set_delivery(USER, Delivery::lost());
    let target = world.target("a").set("interval", "1h");
    let exporter = Exporter::start(&[target]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("EVENTS") > 0).await);
    let before = asked(&world);
    let more = |_: &_| asked(&world) > before + 100;
    let is_more = world.mailbox.wait_until(Duration::from_secs(3), more).await;
    assert!(!is_more, "{} requests", asked(&world) - before);
    assert!(asked(&world) > before, "the mail is looked for");
}

#[tokio::test]
async fn an_imap_server_that_tells_of_news_without_end_is_not_asked_without_end() {
    let world = telling_without_end().await;
    let exporter = Exporter::start(&[world.target("a").set("interval", "1h")]).await;
    exporter.until("a", "outstanding", |s| s.outstanding == Reading::Is(1)).await;
    assert!(world.mailbox.wait_until(DEADLINE, |stats| stats.count("IDLE") > 2).await);
    let before = world.mailbox.stats().count("IDLE");
    let more = |stats: &Stats| stats.count("IDLE") > before + 100;
    let is_more = world.mailbox.wait_until(Duration::from_secs(3), more).await;
    assert!(!is_more, "{} times", world.mailbox.stats().count("IDLE") - before);
}

#[tokio::test]
async fn a_probe_does_not_ask_such_a_server_without_end_either() {
    let world = telling_without_end().await;
    // Looks this far apart are bridged by IDLE.
    let target = only(world.target("a").set("receive.min_look_interval", "900ms"));
    let timeout = Some(Duration::from_secs(5));
    let options = roundtrip::Options { timeout, ..Default::default() };
    let (mut out, began) = (Vec::new(), Instant::now());
    let mut terminal = Terminal::plain(&mut out);
    let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
    let out = String::from_utf8(out).unwrap();
    assert!(!verdict.is_good(), "{out}");
    assert!(began.elapsed() >= Duration::from_secs(4), "it waits as long as it was told: {out}");
    let times = world.mailbox.stats().count("IDLE");
    assert!((3..=100).contains(&times), "{times} times: {out}");
}

/// An IMAP server that tells of more mail as soon as it idles; none is delivered.
async fn telling_without_end() -> World {
    let world = World::new(Protocol::Imap).await;
    world.post.insert(USER, "INBOX", FOREIGN);
    let numbers = AtomicU64::new(2);
    let more_each_time = Alteration::new(move |answer| {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        [answer, format!("* {number} EXISTS\r\n").into_bytes()].concat()
    });
    world.mailbox.faults().on("IDLE", Fault::Alter(more_each_time));
    world.post.set_delivery(USER, Delivery::lost());
    world
}

/// What may be wrong for a while, and the step in which it shows.
fn passing_faults() -> Vec<(&'static str, Fault, Step)> {
    let text = |text: &str| Fault::Http(HttpAnswer::new(200).body(text));
    vec![
        ("SESSION", Fault::status(503), Step::Auth),
        ("SESSION", Fault::Cut(100), Step::Auth),
        ("SESSION", text("{}"), Step::Auth),
        ("MAILBOX/GET", Fault::call_error("accountNotFound"), Step::Select),
        ("EMAIL/CHANGES", Fault::status(429), Step::Fetch),
        ("EMAIL/CHANGES", Fault::Reset, Step::Fetch),
        ("EMAIL/CHANGES", Fault::Cut(120), Step::Fetch),
        ("EMAIL/GET", Fault::call_error("serverUnavailable"), Step::Fetch),
        ("EMAIL/GET", Fault::Drip(Duration::from_millis(200)), Step::Fetch),
        ("EMAIL/SET", Fault::call_error("serverFail"), Step::Remove),
        ("EMAIL/SET", Fault::Close, Step::Remove),
        (ANY_COMMAND, Fault::status(500), Step::Auth),
    ]
}

#[tokio::test]
async fn where_changes_are_no_answer_mail_is_found_all_the_same() {
    let cases = ["{\"methodResponses\":[]}".to_owned(), "[".repeat(100_000)].map(|text| {
        let name = text.chars().take(30).collect();
        let case = async move {
            let world = world().await;
            let exporter = Exporter::start(&[each_second(&world)]).await;
            exporter.received("a", 1).await;
            let fault = Fault::Http(HttpAnswer::new(200).body(&text));
            world.mailbox.faults().on("EMAIL/CHANGES", fault);
            let received = exporter.received("a", 4).await;
            assert_eq!(received.totals.duplicate, 0, "{received:#?}");
            assert_eq!(received.receive_ability, Reading::Is(true), "{received:#?}");
        };
        (name, case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_fault_that_passes_loses_no_mail_and_counts_none_twice() {
    let cases = passing_faults().into_iter().map(|(point, fault, step)| {
        let name = format!("{point} {fault:?}").chars().take(60).collect();
        let case = async move {
            let world = world().await;
            let healthy = world.target("neighbour").set("receive.username", "sam");
            let healthy = healthy.set("from", "to@example.test").set("to", "from@example.test");
            let ill = each_second(&world).set("timeout", "2s").set("lost_after", "1h");
            let exporter = Exporter::start(&[ill, healthy.set("interval", "1s")]).await;
            exporter.received("a", 1).await;
            world.mailbox.faults().on(point, fault);
            let failed = |s: &Snapshot| s.sides.receive.failures_in(step) >= 2;
            let failing = exporter.until("a", "failing", failed).await;
            let (_, failure) = failing.sides.receive.last_failure.clone().unwrap();
            assert!(!failure.message.contains('\x1b'), "{failure}");
            world.mailbox.faults().clear();
            let open = failing.totals.accepted - failing.totals.received;
            let healed = exporter.receives("a", open + 1).await;
            assert_eq!((healed.totals.lost, healed.totals.duplicate), (0, 0), "{healed:#?}");
            let able = |s: &Snapshot| s.receive_ability == Reading::Is(true);
            exporter.until("a", "able again", able).await;
        };
        (name, case)
    });
    all(cases).await;
}

#[tokio::test]
async fn a_state_that_the_server_has_forgotten_costs_no_mail() {
    let world = world().await;
    world.post.insert(USER, "INBOX", FOREIGN);
    world.mailbox.faults().on("EMAIL/CHANGES", Fault::call_error("cannotCalculateChanges"));
    let exporter = Exporter::start(&[each_second(&world)]).await;
    let snapshot = exporter.received("a", 3).await;
    assert!(world.mailbox.stats().count("EMAIL/CHANGES") > 0);
    assert_eq!(snapshot.sides.receive.last_failure, None);
    assert_eq!((snapshot.totals.lost, snapshot.totals.duplicate), (0, 0));
    world.post.set_delivery(USER, Delivery::lost());
    world.inbox_holds(1).await;
}

#[tokio::test]
async fn a_mail_that_the_server_does_not_show_hides_no_other() {
    let world = world().await;
    world.mailbox.faults().fail_upon("somebody's");
    let exporter = Exporter::start(&[each_second(&world)]).await;
    exporter.received("a", 1).await;
    world.post.insert(USER, "INBOX", FOREIGN);
    let snapshot = exporter.receives("a", 3).await;
    assert_eq!((snapshot.totals.lost, snapshot.totals.duplicate), (0, 0));
    assert_eq!(&*world.post.messages(USER, "INBOX")[0].bytes, FOREIGN);
    // Nor does one that lies there at the first contact.
    let exporter = Exporter::start(&[each_second(&world)]).await;
    exporter.received("a", 2).await;
}

#[tokio::test]
async fn mails_shown_twice_or_by_two_requests_are_counted_once() {
    let world = world().await;
    let twice = Alteration::new(|body| {
        let Ok(mut answer) = serde_json::from_slice::<serde_json::Value>(&body) else {
            return body;
        };
        for call in answer["methodResponses"].as_array_mut().into_iter().flatten() {
            if let Some(list) = call[1]["list"].as_array_mut() {
                list.extend(list.clone());
            }
        }
        answer.to_string().into_bytes()
    });
    world.mailbox.faults().on("EMAIL/GET", Fault::Alter(twice));
    let exporter = Exporter::start(&[each_second(&world)]).await;
    let snapshot = exporter.received("a", 3).await;
    assert_eq!((snapshot.totals.returned, snapshot.totals.duplicate), (0, 0));
}

#[tokio::test]
async fn a_mail_in_junk_is_found_there_and_two_targets_share_a_mailbox() {
    let world = world().await;
    world.post.insert(USER, "Junk", FOREIGN);
    world.post.set_deliveries(USER, [Delivery::at_once().into_folder("Junk"), Delivery::at_once()]);
    let targets = ["a", "b"].map(|name| world.target(name).set("interval", "1s"));
    let exporter = Exporter::start(&targets).await;
    for name in ["a", "b"] {
        exporter.received(name, 2).await;
    }
    let found = ["a", "b"].map(|name| exporter.snapshot(name).totals.found);
    let all_found =
        [found[0][0] + found[1][0], found[0][1] + found[1][1], found[0][2] + found[1][2]];
    assert!(all_found[0] >= 1 && all_found[1] >= 1 && all_found[2] == 0, "{found:?}");
    for name in ["a", "b"] {
        let snapshot = exporter.snapshot(name);
        assert_eq!(snapshot.totals.duplicate, 0, "{name}");
        assert_eq!(snapshot.sides.receive.last_failure, None, "{name}");
    }
    assert_eq!(world.mailbox.stats().sessions_most, 1, "one mailbox, one session");
    assert_eq!(&*world.post.messages(USER, "Junk")[0].bytes, FOREIGN);
}

#[tokio::test]
async fn a_restart_forgets_no_mail_and_takes_out_what_was_left() {
    let world = world().await;
    world.post.insert(USER, "INBOX", FOREIGN);
    let folder = tempfile::tempdir().unwrap();
    let start = async || {
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let config = config(&[each_second(&world)]);
        let started = Supervisor::start_with_store(config, None, origin(), store).await;
        Exporter { supervisor: started.unwrap() }
    };
    // One is seen and cannot be taken out, another one is on its way.
    world.mailbox.faults().on("EMAIL/SET", Fault::call_error("serverFail"));
    let exporter = start().await;
    exporter.received("a", 1).await;
    world.post.set_delivery(USER, Delivery::held());
    let before = exporter
        .until("a", "one on its way", |s| s.outstanding.value().is_some_and(|count| count >= 1))
        .await;
    exporter.supervisor.stop().await;
    drop(exporter);
    world.mailbox.faults().clear();
    world.post.set_delivery(USER, Delivery::at_once());
    world.post.release(USER);
    let exporter = start().await;
    let outstanding = before.totals.accepted - before.totals.received;
    let snapshot = exporter.received("a", before.totals.received + outstanding).await;
    assert_eq!((snapshot.totals.lost, snapshot.totals.duplicate), (0, 0), "{snapshot:#?}");
    world.post.set_delivery(USER, Delivery::lost());
    world.inbox_holds(1).await;
}

#[tokio::test]
async fn a_report_whose_bytes_are_on_another_server_stays() {
    let world = world().await;
    world.mailbox.faults().leave_out("DOWNLOAD");
    world.post.set_delivery(USER, Delivery::lost());
    let exporter = Exporter::start(&[each_second(&world)]).await;
    let mail = world.sent(1).await.remove(0);
    world.post.insert(USER, "INBOX", report(&mail, "failed", "5.1.1").as_bytes());
    let checked = exporter.snapshot("a").totals.checks + 2;
    let snapshot = exporter.until("a", "checked", |s| s.totals.checks >= checked).await;
    assert_eq!((snapshot.totals.bounced, snapshot.receive_ability), (0, Reading::Is(true)));
    assert_eq!(snapshot.sides.receive.last_failure, None);
    world.inbox_holds(1).await;
}

#[tokio::test]
async fn no_other_server_is_asked_and_none_is_shown_a_password() {
    let world = world().await;
    let elsewhere = Server::start(Protocol::Jmap, &world.post, Options::new()).await.unwrap();
    let url = format!("http://{}/jmap/session", elsewhere.address());
    world.mailbox.faults().on("well-known", Fault::Http(HttpAnswer::redirect(&url)));
    let exporter = Exporter::start(&[each_second(&world)]).await;
    let fails = |s: &Snapshot| s.totals.check_failures >= 2;
    let snapshot = exporter.until("a", "failing", fails).await;
    let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Protocol), "{failure}");
    assert!(failure.message.contains(&elsewhere.address().to_string()), "{failure}");
    assert_eq!(elsewhere.stats().connections, 0);
    // Where it leads to on the same server is fine.
    let location = "/jmap/session";
    world.mailbox.faults().on("well-known", Fault::Http(HttpAnswer::redirect(location)));
    exporter.receives("a", 2).await;
}

#[tokio::test]
async fn a_token_that_is_refused_in_an_open_session_is_renewed_without_a_failure() {
    let trust = Trust::new();
    let provider = Provider::start(&trust, Certificate::Good).await;
    let options = protected(TlsMode::Implicit, &trust, Certificate::Good);
    let world = World::with(Protocol::Jmap, Options::new(), options).await;
    world.post.set_password(USER, "first-token-0123456789");
    provider.gives("first-token-0123456789");
    let target = world
        .target("a")
        .set("interval", "1s")
        .protect("receive", TlsMode::Implicit, &trust)
        .unset("receive.password")
        .set("receive.oauth2", &provider.yaml(false));
    let exporter = Exporter::start(&[target]).await;
    exporter.received("a", 1).await;
    world.post.set_delivery(USER, Delivery::held());
    let has_one = |s: &Snapshot| s.outstanding.value().is_some_and(|count| count >= 1);
    exporter.until("a", "one on its way", has_one).await;
    provider.gives("second-token-0123456789");
    world.post.set_password(USER, "second-token-0123456789");
    world.post.set_delivery(USER, Delivery::at_once());
    world.post.release(USER);
    let snapshot = exporter.receives("a", 3).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
    assert_eq!((snapshot.totals.check_failures, snapshot.totals.duplicate), (0, 0));
    assert_eq!(provider.forms().len(), 2, "asked for once each");
    assert!(world.mailbox.stats().logins_refused >= 1);
}
