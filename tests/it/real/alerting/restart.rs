//! The exporter is killed and started again, under a firing alert and beside a target that is well. What
//! Prometheus has of both is looked at second by second.

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::stack::Stack;
use super::target;
use crate::lab::{Lab, until};
use crate::support::program::{Running, folder, program, sqlite};
use crate::support::yaml;

/// The samples of the one series that answers, of each its time and value.
async fn samples(stack: &Stack, series: &str) -> Vec<(f64, f64)> {
    let answer = stack.query(&format!("{series}[10m]")).await;
    assert_eq!(answer.len(), 1, "{series}: {answer:#?}");
    all(&answer[0])
}

fn all(series: &Value) -> Vec<(f64, f64)> {
    let samples = series["values"].as_array().unwrap().iter();
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    samples.map(|sample| (sample[0].as_f64().unwrap(), number(&sample[1]))).collect()
}

async fn newest(stack: &Stack, series: &str) -> Option<f64> {
    let answer = stack.query(series).await;
    answer.first()?["value"][1].as_str()?.parse().ok()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Waits until the store has one more: none is shown that it lacks until the next, five seconds later.
async fn a_failure_is_kept(folder: &Path) {
    let kept = || sqlite(folder, "SELECT receive_failures FROM newest WHERE target = 'login'");
    let before = kept();
    until("a failure is kept", async || kept() != before).await;
}

#[tokio::test]
async fn no_second_of_a_restart_changes_what_is_known_or_what_fires() {
    const UP: &str = "up{job=\"mailtrip\"}";
    const FAILURES: &str = "mailtrip_consecutive_failures{target=\"login\",side=\"receive\"}";
    const CHECKED: &str =
        "mailtrip_last_success_timestamp_seconds{target=\"well\",side=\"receive\"}";
    let (lab, stack) = tokio::join!(Lab::start(), Stack::with_rules_as_shipped());
    let (well, login) = tokio::join!(lab.user("well", "secret"), lab.user("login", "secret"));
    let targets = [("well", &well), ("login", &login)]
        .map(|(name, reader)| target(&lab, name, reader, "1m").every("5s"));
    let folder = folder(&format!("state_dir: state\n{}", yaml(&targets)));
    let exporter = Running::start(folder.path(), &[]).await;
    let address = exporter.address.clone();
    for target in ["well", "login"] {
        let able = format!("\nmailtrip_receive_ability_percent{{target=\"{target}\"}} 100");
        let arrived = format!("\nmailtrip_probes_received_total{{target=\"{target}\"}} 1");
        let is_well = |page: &str| page.contains(&able) && page.contains(&arrived);
        exporter.until("/metrics", is_well).await;
    }
    lab.user("login", "another").await;
    let fails = format!("\n{FAILURES} 1");
    exporter.until("/metrics", |page| page.contains(&fails)).await;
    stack.scrape(&address);
    stack.tells("MailtripCannotReceive", "login", true).await;
    let (from, known) = (now(), newest(&stack, FAILURES).await.unwrap());

    a_failure_is_kept(folder.path()).await;
    exporter.kill().await;
    until("Prometheus misses it", async || newest(&stack, UP).await == Some(0.0)).await;
    let restarted = now();
    let mut command = program(folder.path());
    command.args(["--web.listen-address", &address]).stderr(Stdio::piped());
    let _exporter = Running::listening(command.spawn().unwrap()).await;
    // Until both were tried again.
    until("it goes on", async || {
        let checked = newest(&stack, CHECKED).await;
        newest(&stack, FAILURES).await.is_some_and(|count| count > known + 1.0)
            && checked.is_some_and(|at| at > restarted as f64)
    })
    .await;
    let to = now();

    let failures = samples(&stack, FAILURES).await;
    assert!(failures.iter().any(|(at, _)| *at < restarted as f64));
    assert!(failures.windows(2).all(|pair| pair[0].1 <= pair[1].1), "in a row: {failures:?}");
    for (series, value) in [
        ("mailtrip_send_ability_percent{target=\"well\"}", 100.0),
        ("mailtrip_receive_ability_percent{target=\"well\"}", 100.0),
        ("mailtrip_send_ability_percent{target=\"login\"}", 100.0),
        ("mailtrip_receive_ability_percent{target=\"login\"}", 0.0),
        ("mailtrip_consecutive_failures{target=\"well\",side=\"receive\"}", 0.0),
    ] {
        let samples = samples(&stack, series).await;
        assert!(samples.iter().all(|(_, it)| *it == value), "{series}: {samples:?}");
    }
    let firing = "ALERTS{alertstate=\"firing\",target=\"well\"}[10m]";
    assert_eq!(stack.query(firing).await, Vec::<Value>::new(), "the target is well");
    let firing =
        "ALERTS{alertstate=\"firing\",target=\"login\",alertname=\"MailtripCannotReceive\"}";
    let seconds: Vec<(f64, f64)> =
        stack.query_range(firing, from, to).await.iter().flat_map(all).collect();
    let count = usize::try_from(to - from + 1).unwrap();
    assert_eq!(seconds.len(), count, "it fires in each second: {seconds:?}");
}
