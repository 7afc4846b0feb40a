//! The rules for Prometheus and the configuration for Alertmanager that are shipped: they hold, each
//! alert is tested and explained, and they speak of metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::prometheus::Release;

/// The longest that one file of unit tests may take on a machine with other work.
pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// The folder `deploy`.
pub(crate) fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The rule files.
pub(crate) fn rule_files() -> Vec<PathBuf> {
    files(&deploy().join("prometheus"), ".rules.yml")
}

pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {ending} in {folder:?}");
    files
}

/// What they say, one after the other.
pub(crate) fn text(files: &[PathBuf]) -> String {
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

/// The names after `- alert: `.
pub(crate) fn alerts() -> BTreeSet<String> {
    let rules = text(&rule_files());
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// Runs a program of both releases to its end; it has to succeed.
pub(crate) async fn run(program: &str, arguments: &[&str]) {
    for release in Release::ALL {
        run_once(&release.program(program), arguments).await;
    }
}

async fn run_once(program: &Path, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(deploy()).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .unwrap_or_else(|_| panic!("{program:?} {arguments:?} did not end within {LIMIT:?}"))
        .unwrap_or_else(|error| panic!("{program:?} is needed (`make test` installs it): {error}"));
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {arguments:?}:\n{said}");
}

async fn test_rules(name: &str) {
    run("promtool", &["test", "rules", &format!("prometheus/tests/{name}.test.yml")]).await;
}

#[tokio::test]
async fn promtool_accepts_every_rule() {
    for file in rule_files() {
        run("promtool", &["check", "rules", &file.to_string_lossy()]).await;
    }
}

#[tokio::test]
async fn the_unit_tests_of_mail_and_delivery_pass() {
    test_rules("mail").await;
    test_rules("replies").await;
}

#[tokio::test]
async fn the_unit_tests_of_the_layers_pass() {
    test_rules("layers").await;
}

#[tokio::test]
async fn the_unit_tests_of_certificates_clusters_and_the_exporter_pass() {
    test_rules("service").await;
}

#[tokio::test]
async fn the_unit_tests_of_lists_of_addresses_pass() {
    test_rules("reputation").await;
    test_rules("reputation_history").await;
}

#[tokio::test]
async fn the_unit_tests_of_the_posture_of_domains_pass() {
    test_rules("domain").await;
}

#[tokio::test]
async fn the_unit_tests_of_mail_that_must_not_pass_pass() {
    test_rules("expectation").await;
    test_rules("expectation_history").await;
}

#[tokio::test]
async fn the_unit_tests_of_targets_that_exporters_share_pass() {
    test_rules("shards").await;
}

#[tokio::test]
async fn the_unit_tests_of_service_levels_pass() {
    test_rules("levels").await;
}

#[tokio::test]
async fn the_unit_tests_that_look_back_for_days_pass() {
    test_rules("history").await;
    test_rules("outage").await;
}

#[tokio::test]
async fn the_unit_tests_of_the_layers_of_hosts_pass() {
    test_rules("host").await;
    test_rules("host_history").await;
}

#[tokio::test]
async fn the_unit_tests_of_addresses_and_labels_pass() {
    test_rules("links").await;
    test_rules("labels").await;
}

#[test]
fn every_file_of_unit_tests_is_run() {
    let source = include_str!("rules.rs");
    for file in files(&deploy().join("prometheus/tests"), ".test.yml") {
        let name = file.file_name().unwrap().to_string_lossy().replace(".test.yml", "");
        assert!(source.contains(&format!("test_rules(\"{name}\").await")), "{name} is not run");
    }
}

/// The name of a unit test tells what it shows of which alert, as in "MailtripCannotSend fires ...,
/// does not fire ..., resolves ...".
#[test]
fn every_alert_is_shown_to_fire_not_to_fire_and_to_resolve() {
    let tests = text(&files(&deploy().join("prometheus/tests"), ".test.yml"));
    let names: Vec<&str> =
        tests.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).collect();
    for alert in alerts() {
        let of_alert: Vec<String> = names
            .iter()
            .filter(|name| name.contains(&alert))
            .map(|name| name.replace("does not fire", "is silent").replace("nor does", "is silent"))
            .collect();
        for kind in ["fires", "is silent", "resolves"] {
            assert!(of_alert.iter().any(|name| name.contains(kind)), "{alert}: no test {kind}");
        }
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert}: texts are not tested");
    }
}

#[test]
fn every_alert_has_its_heading_in_the_runbook_and_its_line_in_the_documentation() {
    let runbook = fs::read_to_string(deploy().join("runbook.md")).unwrap();
    let documentation = include_str!("../../../docs/alerts.md");
    let rules = text(&rule_files());
    let headings: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(headings, alerts());
    for alert in alerts() {
        let link = format!("../deploy/runbook.md#{}", alert.to_lowercase());
        let address = format!("}}/runbook#{}{{{{ end }}}}'\n", alert.to_lowercase());
        assert!(rules.contains(&address), "{alert} has no runbook_url");
        let line = format!("| [{alert}]({link}) |");
        assert!(documentation.contains(&line), "{alert} is not in docs/alerts.md");
        let section = runbook.split(&format!("## {alert}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for part in ["\n1. ", "\n2. ", "\n3. ", "\nSilence: `amtool silence add alertname="] {
            assert!(section.contains(part), "{alert}: no {part:?} in the runbook");
        }
    }
}

/// The names that begin with `mailtrip_` and are not a part of a longer one.
pub(crate) fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with("mailtrip_") && !word.contains(':'))
        .filter(|word| *word != "mailtrip_exporter")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_metric_in_a_rule_exists() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = vec![source.join("metrics.rs")];
    sources.extend(files(&source.join("metrics"), ".rs"));
    let known = metrics_in(&text(&sources));
    let mut used = metrics_in(&text(&rule_files()));
    used.extend(metrics_in(&text(&files(&deploy().join("prometheus/tests"), ".test.yml"))));
    for name in used {
        let family = ["_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
        assert!(known.contains(family.unwrap_or(&name)), "there is no metric {name}");
    }
}

#[tokio::test]
async fn amtool_accepts_the_configuration_and_routes_by_severity() {
    let file = "--config.file=alertmanager/alertmanager.example.yml";
    run("amtool", &["check-config", "alertmanager/alertmanager.example.yml"]).await;
    for (labels, receiver) in [
        (["alertname=MailtripCannotSend", "severity=critical"], "pager"),
        (["alertname=MailtripMailsLost", "severity=warning"], "tickets"),
        (["alertname=MailtripLayerBad", "severity=none"], "nobody"),
        (["alertname=MailtripPortUnreachable", "severity=warning"], "tickets"),
        (["alertname=SomethingElse", "severity=critical"], "tickets"),
    ] {
        let verify = format!("--verify.receivers={receiver}");
        let arguments = ["config", "routes", "test", file, &verify, labels[0], labels[1]];
        run("amtool", &arguments).await;
    }
}
