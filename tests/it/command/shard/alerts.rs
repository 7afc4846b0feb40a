//! Three exporters behind a real Prometheus with the shipped rules: one is killed, and one goes on with another number of
//! shards.

use std::path::Path;
use std::time::Duration;

use mailtrip_exporter::config::{Config, Shard};
use serde_json::Value;
use testserver::{Options, Post, Protocol, Server};
use tokio::time::{Instant, sleep};

use crate::real::alerting::stack::{HURRIED, Stack};
use crate::support::http::LIMIT;
use crate::support::program::{Running, folder};

use super::config;

const MAILBOXES: usize = 8;
const TARGETS: f64 = 16.0;

/// The one value that the query gives; `None` if it gives nothing.
async fn value(stack: &Stack, query: &str) -> Option<f64> {
    let series = stack.query(query).await;
    assert!(series.len() < 2, "{query}: {series:?}");
    series.first().and_then(|it| it["value"][1].as_str()?.parse().ok())
}

/// Waits until the query gives this.
async fn gives(stack: &Stack, query: &str, wanted: Option<f64>) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = value(stack, query).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{query} gives {found:?} and not {wanted:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

const UNTESTED: &str = "job:mailtrip_targets_untested:count";
const TWICE: &str = "job:mailtrip_targets_tested_twice:count";

#[tokio::test]
async fn targets_that_none_or_two_test_are_alerted_of() {
    let post = Post::new();
    for number in 0..MAILBOXES {
        let user = format!("m{number}");
        post.add_account(&user, "secret-of-b", &[&format!("{user}@demo.test")]);
    }
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Options::new().clear_text_login();
    let imap = Server::start(Protocol::Imap, &post, imap).await.unwrap();
    let text = format!("location: here\n{}", config(MAILBOXES, smtp.port(), imap.port()));
    let folders = [(); 4].map(|()| folder(&text));
    let mut changes = HURRIED.to_vec();
    // The waits of these two alerts, and how long ago a target may have been tested.
    changes.extend([("for: 5m", "for: 2s"), ("for: 15m", "for: 2s"), ("count[5m]", "count[4s]")]);
    let stack = Stack::with_rules(&changes).await;
    let mut exporters = Vec::new();
    for (index, folder) in folders.iter().take(3).enumerate() {
        let shard = format!("--shard={index}/3");
        exporters.push(Running::start(folder.path(), &[&shard]).await);
    }
    let addresses = |exporters: &[Running]| -> Vec<(String, String)> {
        let named = exporters.iter().enumerate();
        named.map(|(index, it)| (format!("e{index}"), it.address.clone())).collect()
    };
    stack.scrape_all(&addresses(&exporters));
    gives(&stack, "count(mailtrip_interval_seconds{location=\"here\"})", Some(TARGETS)).await;
    gives(&stack, "max(mailtrip_config_targets)", Some(TARGETS)).await;
    gives(&stack, UNTESTED, Some(0.0)).await;

    // The first that has a target is killed.
    let all = Config::parse(&text, Path::new("mailtrip.yml")).unwrap();
    let missing = (0..3).find(|index| {
        let shard = Shard::parse(&format!("{index}/3"), "").unwrap();
        !all.clone().part_of(Some(shard)).targets.is_empty()
    });
    let missing = missing.expect("one has a target");
    let own = format!("count(mailtrip_interval_seconds{{instance=\"e{missing}\"}})");
    let lost = value(&stack, &own).await.unwrap();
    exporters[missing].child.kill().await.unwrap();
    let message = stack.tells("MailtripTargetsUntested", "", true).await;
    assert_eq!(message.receiver, "pager");
    assert_eq!(value(&stack, UNTESTED).await, Some(lost));
    let words =
        format!("{lost} of the targets that the exporters of mailtrip share are tested by none");
    assert!(message.description.starts_with(&words), "{message:?}");
    let there: Vec<String> =
        (0..3).filter(|it| *it != missing).map(|it| format!("{it}/3")).collect();
    assert!(message.description.ends_with(&format!(" there: {}.", there.join(" "))), "{message:?}");
    assert_eq!(value(&stack, TWICE).await, None);

    // It is back, and with it one that was forgotten with another number.
    let shard = format!("--shard={missing}/3");
    exporters[missing] = Running::start(folders[missing].path(), &[&shard]).await;
    exporters.push(Running::start(folders[3].path(), &["--shard=0/1"]).await);
    stack.scrape_all(&addresses(&exporters));
    stack.tells("MailtripTargetsUntested", "", false).await;
    stack.tells("MailtripTargetsTestedTwice", "", true).await;
    gives(&stack, TWICE, Some(TARGETS)).await;
    let of = |it: &Value| it["metric"]["location"] == "here";
    assert!(stack.query("target:mailtrip_exporters:count == 2").await.iter().all(of));

    exporters.pop().unwrap().kill().await;
    stack.tells("MailtripTargetsTestedTwice", "", false).await;
    gives(&stack, UNTESTED, Some(0.0)).await;
}
