//! The scrape configuration that is shipped, in its multi-target mode, with a real Prometheus: what it finds, what
//! it scrapes, and how many alerts an exporter that is down makes of twenty targets.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testserver::{Options, Post, Protocol, Server};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::real::alerting::stack::start;
use crate::shipped::rules::{deploy, rule_files};
use crate::support::program::{Running, folder, post, target};
use crate::support::prometheus::Release;
use crate::support::{http, quoted};

/// The longest wait for what Prometheus has to see.
const LIMIT: Duration = Duration::from_secs(180);

/// Mail servers, an exporter of targets on them, and a Prometheus with what is shipped.
struct World {
    smtp: Server,
    imap: Server,
    folder: TempDir,
    exporter: Running,
    prometheus: String,
    _prometheus: (Child, TempDir),
    _post: Post,
}

impl World {
    async fn start(release: Release, names: &[String]) -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        let folder = folder(&configuration(&smtp, &imap, names));
        let exporter = Running::start(folder.path(), &[]).await;
        let prometheus_folder = tempfile::tempdir().unwrap();
        let (child, prometheus) =
            prometheus(release, prometheus_folder.path(), &exporter.address).await;
        let _prometheus = (child, prometheus_folder);
        Self { smtp, imap, folder, exporter, prometheus, _prometheus, _post: post }
    }

    /// Gives the exporter these targets.
    fn reload(&self, names: &[String]) {
        let text = configuration(&self.smtp, &self.imap, names);
        fs::write(self.folder.path().join("mailtrip.yml"), text).unwrap();
        self.exporter.signal("-HUP");
    }

    /// Waits until a query, which counts, has this value.
    async fn counts(&self, query: &str, wanted: u64) {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let path = format!("/api/v1/query?query={encoded}");
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = http::get(&self.prometheus, &path).await;
            // While it starts, it answers in words.
            let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let value = &answer["data"]["result"][0]["value"][1];
            if *value == json!(wanted.to_string()) {
                return;
            }
            assert!(Instant::now() < deadline, "{query} is not {wanted}: {answer:#}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until every rule was evaluated without an error.
    async fn evaluates_all_rules(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let answer = http::get(&self.prometheus, "/api/v1/rules").await;
            let answer: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let groups = answer["data"]["groups"].as_array().cloned().unwrap_or_default();
            let rules = groups.iter().flat_map(|it| it["rules"].as_array().cloned());
            let other: Vec<Value> = rules.flatten().filter(|it| it["health"] != "ok").collect();
            if !groups.is_empty() && other.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "not evaluated: {other:#?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The alerts that there are, firing or about to.
    async fn alerts(&self) -> Vec<(String, String)> {
        let answer = http::get(&self.prometheus, "/api/v1/alerts").await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        alerts.iter().map(|it| (word(&it["labels"]["alertname"]), word(&it["state"]))).collect()
    }
}

/// Targets with these names, which differ in nothing else.
fn configuration(smtp: &Server, imap: &Server, names: &[String]) -> String {
    let target = |name: &String| {
        target(&quoted(name), smtp.port(), imap.port()).replace("interval: 1s", "interval: 1m")
    };
    format!("targets:\n{}", names.iter().map(target).collect::<String>())
}

/// The multi-target mode of the example, as a user has it who follows its comments; only the
/// address of the exporter and how often things happen are other.
fn example(exporter: &str, rules: &Path) -> String {
    let text = fs::read_to_string(deploy().join("prometheus/scrape.example.yml")).unwrap();
    let (head, jobs) = text.split_once("scrape_configs:\n").unwrap();
    let (_, jobs) = jobs.split_once("  # The multi-target pattern").unwrap();
    let (jobs, _) = jobs.split_once("\n\n").unwrap();
    let jobs = jobs.lines().skip_while(|line| !line.starts_with("  # - ")).map(|line| {
        let line = line.strip_prefix("  # ").unwrap_or_else(|| panic!("no comment: {line}"));
        format!("  {line}\n")
    });
    let mut text = format!("{head}scrape_configs:\n{}", jobs.collect::<String>());
    for (from, to) in [
        ("localhost:9925", exporter),
        ("scrape_interval: 30s", "scrape_interval: 2s"),
        ("evaluation_interval: 30s", "evaluation_interval: 1s"),
        ("refresh_interval: 1m", "refresh_interval: 1s"),
        ("  - mailtrip.", &format!("  - {}/mailtrip.", rules.display())),
    ] {
        assert!(text.contains(from), "no {from} in the example");
        text = text.replace(from, to);
    }
    text
}

/// Starts one that writes into this folder; the alert that an exporter is down fires after two seconds.
async fn prometheus(release: Release, folder: &Path, exporter: &str) -> (Child, String) {
    for file in rule_files() {
        let text = fs::read_to_string(&file).unwrap().replace("for: 2m", "for: 2s");
        fs::write(folder.join(file.file_name().unwrap()), text).unwrap();
    }
    let file = folder.join("prometheus.yml");
    fs::write(&file, example(exporter, folder)).unwrap();
    let mut command = Command::new(release.program("prometheus"));
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0");
    start(command).await
}

#[tokio::test]
async fn an_exporter_of_twenty_targets_that_is_down_is_one_alert() {
    one_alert_of_twenty_targets(Release::Installed).await;
}

#[tokio::test]
async fn an_exporter_of_twenty_targets_that_is_down_is_one_alert_of_a_newer_prometheus() {
    one_alert_of_twenty_targets(Release::Newer).await;
}

async fn one_alert_of_twenty_targets(release: Release) {
    let names: Vec<String> = (0..20).map(|number| format!("mx-{number}")).collect();
    let mut world = World::start(release, &names).await;
    world.counts("count(mailtrip_send_ability_percent == 100)", 20).await;
    world.counts("count(up{job='mailtrip-targets'} == 1)", 20).await;
    // Nothing is scraped twice.
    world.counts("count(mailtrip_send_ability_percent)", 20).await;
    world.counts("count(mailtrip_build_info)", 1).await;
    world.evaluates_all_rules().await;
    assert_eq!(world.alerts().await, []);

    world.exporter.child.kill().await.unwrap();
    let firing = "ALERTS{alertname='MailtripExporterDown', alertstate='firing'}";
    // For so many evaluations of all rules.
    world.counts(&format!("count(count_over_time({firing}[3m]) >= 10)"), 1).await;
    let alone = ("MailtripExporterDown".to_owned(), "firing".to_owned());
    assert_eq!(world.alerts().await, [alone]);
}

#[tokio::test]
async fn a_target_that_a_reload_adds_is_scraped_and_one_that_it_removes_no_longer() {
    let odd = r#"100 % "new" & a/b?c#d+e$1ü"#;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let world = World::start(Release::Installed, &names(&["old"])).await;
    world.counts("count(mailtrip_send_ability_percent{instance='old', target='old'})", 1).await;
    world.reload(&names(&["old", odd]));
    let of_odd = format!("mailtrip_send_ability_percent{{instance='{odd}', target='{odd}'}}");
    world.counts(&format!("count({of_odd} == 100)"), 1).await;
    world.reload(&names(&[odd]));
    world.counts("count(up{job='mailtrip-targets'})", 1).await;
    world.counts(&format!("count({of_odd} == 100)"), 1).await;
}
