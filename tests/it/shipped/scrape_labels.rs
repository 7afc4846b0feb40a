//! The rules under the labels of a house: what a scrape adds to every series, `cluster`, `stage`, `env` and
//! `service` as Prometheus' own documentation has them, and what the configuration gives a target, `team` and `site`.
//! They change no verdict of a rule, and stand on every alert about a target.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::shipped::rules::{LIMIT, alerts, deploy, files};

/// What `labels:` of the scrape configuration and of a target add.
const SCRAPE_LABELS: &str =
    r#"cluster="prod-eu", stage="production", env="live", service="mail", site="fra", team="mail""#;

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

/// The alerts about a target that promtool got, and the labels of each that lacks some of the house.
fn of_targets(said: &str) -> (BTreeSet<String>, Vec<String>) {
    let got = said.split("got:").skip(1).filter_map(|it| it.split("exp:").next());
    let labels =
        got.flat_map(|it| it.lines()).filter_map(|line| line.trim().strip_prefix("Labels:"));
    let of_targets: Vec<&str> = labels.filter(|it| it.contains("target=\"")).collect();
    let lacking = |it: &&&str| !SCRAPE_LABELS.split(", ").all(|label| it.contains(label));
    let name = |it: &&str| it.split('"').nth(1).unwrap_or_default().to_owned();
    let lacking = of_targets.iter().filter(lacking).map(|it| (*it).to_owned()).collect();
    (of_targets.iter().map(name).collect(), lacking)
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
async fn labels_of_a_house_change_no_verdict_and_stand_on_every_alert_about_a_target() {
    let folder = tempfile::tempdir().unwrap();
    relabelled(folder.path());
    let mut seen = 0;
    let mut about_targets = BTreeSet::new();
    for file in files(&folder.path().join("tests"), ".test.yml") {
        let mut command = Command::new("promtool");
        command.args(["test", "rules"]).arg(&file).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(LIMIT, command.output()).await.expect("promtool ends").unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        seen += said.matches("exp:").count();
        let differences = differences(&said);
        assert!(differences.is_empty(), "{file:?}:\n{}", differences.join("\n---\n"));
        let (names, lacking) = of_targets(&said);
        assert!(lacking.is_empty(), "{file:?}: {lacking:#?}");
        about_targets.extend(names);
    }
    // The labels are on the alerts, so that promtool calls them others than those expected.
    assert!(seen > 20, "{seen}: promtool's report is read no more");
    let others = ["Cluster", "Exporter", "Reload", "Store", "HostAgent", "Targets"];
    let is_about_a_target = |it: &String| !others.iter().any(|other| it.contains(other));
    let expected: BTreeSet<String> = alerts().into_iter().filter(is_about_a_target).collect();
    assert_eq!(about_targets, expected);
}
