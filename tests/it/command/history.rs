//! How a target was over the latest hours and days, over the end of the process.

use std::time::Duration;

use serde_json::Value;
use testserver::faults::{CREDENTIALS, Fault};
use testserver::{Options, Post, Protocol, Server};

use crate::lab::until;
use crate::support::program::{Running, folder, post, sqlite, target};

/// Mail servers with a target.
struct World {
    _post: Post,
    imap: Server,
    _smtp: Server,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let target = target("one", smtp.port(), imap.port());
        let folder = folder(&format!("state_dir: state\ntargets:\n{target}"));
        Self { _post: post, imap, _smtp: smtp, folder }
    }
}

fn history(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Of the last day.
fn seconds(history: &Value, side: &str, what: &str) -> f64 {
    history["ranges"][0][side][what].as_f64().unwrap()
}

fn outages(history: &Value) -> Vec<&Value> {
    history["outages"].as_array().unwrap().iter().collect()
}

const PATH: &str = "/api/targets/one/history";

#[tokio::test]
async fn an_outage_over_kill_9_is_one_and_is_kept_from_its_beginning() {
    let world = World::start().await;
    world.imap.faults().on(CREDENTIALS, Fault::reply("{tag} NO the \"first\" words"));
    let exporter = Running::start(world.folder.path(), &[]).await;
    let has_outage = |text: &str| !outages(&history(text)).is_empty();
    exporter.until(PATH, has_outage).await;
    until("the outage is kept", async || {
        sqlite(world.folder.path(), "SELECT side, ended IS NULL FROM outage").trim() == "receive|1"
    })
    .await;
    exporter.kill().await;
    world.imap.faults().clear();
    world.imap.faults().on(CREDENTIALS, Fault::reply("{tag} NO other words"));
    let exporter = Running::start(world.folder.path(), &[]).await;
    let unable = |text: &str| seconds(&history(text), "receive", "unable_seconds");
    exporter.until(PATH, |text| unable(text) > 0.5).await;
    world.imap.faults().clear();
    let is_over = |text: &str| outages(&history(text)).iter().all(|it| it["ended"].is_string());
    let history = history(&exporter.until(PATH, is_over).await);
    let [outage] = outages(&history)[..] else { panic!("{history:#}") };
    assert_eq!((&outage["side"], &outage["step"]), (&"receive".into(), &"auth".into()));
    assert!(outage["words"].as_str().unwrap().contains("the \"first\" words"), "{outage}");
    assert!(outage["seconds"].as_f64().unwrap() > 0.5, "{outage}");
}

#[tokio::test]
async fn the_time_is_kept_at_the_end_and_comes_back_with_a_target_that_was_removed() {
    let world = World::start().await;
    let mut exporter = Running::start(world.folder.path(), &[]).await;
    let able = |text: &str| seconds(&history(text), "send", "able_seconds");
    let has_trips = |text: &str| history(text)["ranges"][0]["roundtrips"].as_u64() > Some(0);
    let first = exporter.until(PATH, |text| able(text) > 1.0 && has_trips(text)).await;
    exporter.signal("-TERM");
    exporter.child.wait().await.unwrap();

    let exporter = Running::start(world.folder.path(), &[]).await;
    let second = exporter.get(PATH).await;
    assert!(able(&second) >= able(&first), "{second}");
    let trips = |text: &str| history(text)["ranges"][0]["roundtrips"].as_u64().unwrap();
    assert!(trips(&second) >= trips(&first), "{second}");
    // What the exporter did not see is not measured.
    assert!(able(&second) < able(&first) + 60.0, "{second}");

    let file = world.folder.path().join("mailtrip.yml");
    let with = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, with.replace("name: one", "name: two")).unwrap();
    exporter.signal("-HUP");
    exporter.until(PATH, |text| text.contains("there is no target")).await;
    std::fs::write(&file, with).unwrap();
    exporter.signal("-HUP");
    let third = exporter.until(PATH, |text| text.contains("ranges")).await;
    assert!(able(&third) >= able(&second), "{third}");
}

#[tokio::test]
async fn kill_9_loses_less_than_a_minute_though_nobody_asks() {
    let world = World::start().await;
    let exporter = Running::start(world.folder.path(), &[]).await;
    let days = "SELECT count(*) FROM availability_now WHERE length(day) > 0";
    until("it is kept by itself", async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        sqlite(world.folder.path(), days).trim() == "1"
    })
    .await;
    let before = seconds(&history(&exporter.get(PATH).await), "send", "able_seconds");
    exporter.kill().await;
    let exporter = Running::start(world.folder.path(), &[]).await;
    let history = history(&exporter.get(PATH).await);
    let able = seconds(&history, "send", "able_seconds");
    assert!(able > 0.0 && able > before - 60.0, "{before}: {history:#}");
}
