//! The rules under the labels of a house: what a scrape adds to every series, `cluster`, `stage`, `env` and
//! `service` as Prometheus' own documentation has them, changes no verdict of a rule.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::shipped::rules::{LIMIT, deploy, files};

/// What `labels:` of the scrape configuration adds.
const SCRAPE_LABELS: &str = r#"cluster="prod-eu", stage="production", env="live", service="mail""#;

/// Copies the rules and their unit tests, each series of which gets the labels of the scrape.
fn relabelled(folder: &Path) {
    for file in files(&deploy().join("prometheus"), ".rules.yml") {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    fs::create_dir(folder.join("tests")).unwrap();
    for file in files(&deploy().join("prometheus/tests"), ".test.yml") {
        let labelled = |line: &str| match line.trim_start().starts_with("- {series: ") {
            true => line
                .replacen('{', "\u{0}", 1)
                .replacen('{', &format!("{{{SCRAPE_LABELS}, "), 1)
                .replace('\u{0}', "{"),
            false => line.to_owned(),
        };
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<String> = text.lines().map(labelled).collect();
        let count = lines.iter().filter(|line| line.contains(SCRAPE_LABELS)).count();
        assert!(count > 0, "{file:?} has {count} series with the labels");
        fs::write(folder.join("tests").join(file.file_name().unwrap()), lines.join("\n")).unwrap();
    }
}

/// What is expected and what is got of each failure that promtool prints, without the labels of the scrape.
fn differences(said: &str) -> Vec<String> {
    let mut plain = said.to_owned();
    for label in SCRAPE_LABELS.split(", ") {
        plain = plain
            .replace(&format!("{label}, "), "")
            .replace(&format!(", {label}"), "")
            .replace(label, "");
    }
    let failures = plain.split("exp:").skip(1);
    let is_other = |failure: &&str| {
        let (expected, got) = failure.split_once("got:").unwrap_or((failure, ""));
        let ends = ["\n    name: ", "\n    expr: ", "\n\n"];
        let got = ends.iter().fold(got, |got, end| got.split(end).next().unwrap_or_default());
        parts(expected) != parts(got)
    };
    failures.filter(is_other).map(str::to_owned).collect()
}

/// The alerts or samples, in any order.
fn parts(list: &str) -> Vec<String> {
    let mut parts: Vec<String> = list
        .replace("}, {", "}\n{")
        .lines()
        .map(|line| line.trim().trim_end_matches([',', ']', '[']).trim().to_owned())
        .filter(|line| {
            !line.is_empty()
                && !line.trim_end_matches(':').bytes().all(|byte| byte.is_ascii_digit())
        })
        .collect();
    parts.sort();
    parts
}

#[tokio::test]
async fn labels_that_a_scrape_adds_change_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    relabelled(folder.path());
    let mut seen = 0;
    for file in files(&folder.path().join("tests"), ".test.yml") {
        let mut command = Command::new("promtool");
        command.args(["test", "rules"]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(LIMIT, command.output()).await.expect("promtool ends").unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        seen += said.matches("exp:").count();
        let differences = differences(&said);
        assert!(differences.is_empty(), "{file:?}:\n{}", differences.join("\n---\n"));
    }
    // The labels are on the alerts, so that promtool calls them others than those expected.
    assert!(seen > 20, "{seen}: promtool's report is read no more");
}
