//! The tables of the documentation name what the program has, all of it and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use hyper::Method;
use ledger::{Reason, Shortage, Side, Step};
use mailtrip_exporter::cli::Cli;
use serde_json::Value;
use testserver::{Options, Protocol, Server};

use super::rules::{deploy, files, metrics_in, rule_files, text};
use crate::support::http;
use crate::support::program::{Running, folder, is_at_least, post, run, target};

/// A page of `docs`.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// What stands under a heading, up to the next one.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let after = page.split_once(&format!("\n{heading}\n"));
    let after = after.unwrap_or_else(|| panic!("there is no {heading}")).1;
    after.split_once("\n#").map_or(after, |(section, _)| section)
}

/// The rows of the tables in a text, each as its cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = text.lines().collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with('|') && !line.starts_with("|---") && !is_head(*at));
    rows.map(|(_, line)| line.trim_matches(['|', ' ']).split(" | ").map(str::trim).collect())
        .collect()
}

/// What is written as code in a text.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What is written as code in the first cells of the tables of a text.
fn named(text: &str) -> BTreeSet<&str> {
    rows(text).into_iter().flat_map(|cells| code(cells[0])).collect()
}

/// The flag in `-t`, `--timeout DURATION`, without its value.
fn long_flag(written: &str) -> Option<&str> {
    written.strip_prefix("--").map(|flag| flag.split(' ').next().unwrap_or(flag))
}

#[test]
fn every_flag_is_documented_with_its_default() {
    let page = page("command-line.md");
    let command = Cli::command();
    let mut known = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
            let Some(long) = flag.get_long() else { continue };
            known.insert(long.to_owned());
            let row = rows(&page).into_iter().find(|cells| {
                code(cells[0]).into_iter().filter_map(long_flag).any(|written| written == long)
            });
            let Some(row) = row else {
                let words = code(&page);
                assert!(words.contains(&format!("--{long}").as_str()), "--{long} is missing");
                continue;
            };
            for default in flag.get_default_values().iter().map(|it| it.to_str().unwrap()) {
                let is_switch = !flag.get_action().takes_values();
                assert!(is_switch || row[1].contains(default), "--{long}: not {default}: {row:?}");
            }
            let takes_values = flag.get_action().takes_values();
            for value in flag.get_possible_values().iter().filter(|_| takes_values) {
                let value = value.get_name();
                assert!(code(row[2]).contains(&value), "--{long}: no {value}: {row:?}");
            }
        }
    }
    for flag in named(&page).into_iter().filter_map(long_flag) {
        assert!(known.contains(flag), "there is no --{flag}");
    }
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name();
        assert!(page.contains(&format!("\nmailtrip_exporter {name} ")), "{name} is missing");
    }
}

#[test]
fn every_metric_in_the_documents_exists() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = vec![source.join("metrics.rs")];
    sources.extend(files(&source.join("metrics"), ".rs"));
    let mut known = metrics_in(&text(&sources));
    known.extend(metrics_in(&text(&rule_files())));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files(&root.join("docs"), ".md");
    pages.extend([root.join("README.md"), deploy().join("runbook.md"), deploy().join("README.md")]);
    // Secrets and variables of Icinga have names like it, but not these endings.
    let ending = |name: &str| name.rsplit('_').next().map(str::to_owned);
    let endings: BTreeSet<_> = known.iter().map(|name| ending(name)).collect();
    for name in metrics_in(&text(&pages)) {
        let family = ["_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end));
        let family = family.unwrap_or(&name);
        let is_meant = endings.contains(&ending(family));
        assert!(!is_meant || known.contains(family), "there is no metric {name}");
    }
}

#[test]
fn every_alert_is_documented_with_its_severity() {
    let (page, rules) = (page("alerts.md"), text(&rule_files()));
    let severities =
        |words: &str| ["critical", "warning", "none"].map(|severity| words.contains(severity));
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        let line = alert.lines().find(|line| line.contains("severity: ")).unwrap();
        let written = severities(line.split("layer: ").next().unwrap());
        let row = rows(&page).into_iter().find(|cells| cells[0].starts_with(&format!("[{name}]")));
        let row = row.unwrap_or_else(|| panic!("docs/alerts.md has no {name}"));
        assert_eq!(severities(row[1]), written, "{name}: {row:?}");
    }
}

#[test]
fn every_step_reason_and_shortage_is_documented() {
    let metrics = page("metrics.md");
    let steps = rows(section(&metrics, "## Steps"));
    let documented: BTreeSet<(&str, Vec<&str>)> =
        steps.iter().map(|cells| (cells[0], cells[1].split(", ").collect())).collect();
    let steps_of = |side| Step::of(side).iter().map(|step| step.label()).collect();
    let known = Side::ALL.into_iter().map(|side| (side.label(), steps_of(side)));
    assert_eq!(documented, known.collect());
    let reasons = rows(section(&metrics, "## Reasons"));
    let documented: BTreeSet<&str> =
        reasons.into_iter().flat_map(|cells| cells[0].split(", ")).collect();
    let known: BTreeSet<&str> =
        Side::ALL.iter().flat_map(|side| Reason::of(*side)).map(|reason| reason.label()).collect();
    assert_eq!(documented, known);
    let limits = page("limits.md");
    for shortage in Shortage::ALL.map(Shortage::label) {
        assert!(metrics.contains(shortage) && limits.contains(shortage), "{shortage} is missing");
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifests = ["", "crates/ledger", "crates/mail", "crates/testserver"]
        .map(|folder| fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap());
    let ours = ["ledger", "mail", "testserver"];
    let mut known = BTreeSet::new();
    for manifest in &manifests {
        for part in manifest.split("\n[").filter(|part| part.contains("dependencies]\n")) {
            let names = part.lines().skip(1).filter_map(|line| line.split_once(['.', ' ', '=']));
            let names = names.map(|(name, _)| name).filter(|name| !name.is_empty());
            known.extend(names.filter(|name| *name != "#" && !ours.contains(name)));
        }
    }
    let page = page("design.md");
    assert_eq!(named(section(&page, "## Dependencies")), known);
}

/// The names of all members in a document, at any depth.
fn members(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.insert(name.clone());
                members(value, names);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| members(value, names)),
        _ => {}
    }
}

fn assert_documented(json: &str, page: &str) {
    let mut names = BTreeSet::new();
    members(&serde_json::from_str(json).unwrap(), &mut names);
    assert!(names.len() > 9, "{json}");
    let documented: BTreeSet<&str> = rows(page)
        .into_iter()
        .flatten()
        .chain(page.lines())
        .flat_map(code)
        .flat_map(|word| word.split(['.', '…']))
        .collect();
    for name in names {
        assert!(documented.contains(name.as_str()), "`{name}` is not documented: {json}");
    }
}

#[tokio::test]
async fn every_endpoint_and_every_member_of_the_json_is_documented() {
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    // Nothing listens there.
    let closed = 1;
    let targets = [target("one", smtp.port(), imap.port()), target("two", closed, closed)];
    let folder = folder(&format!("targets:\n{}", targets.concat()));
    let running = Running::start(folder.path(), &["--web.enable-lifecycle"]).await;
    running
        .until("/metrics", |page| is_at_least(page, "mailtrip_probes_received_total", 1.0))
        .await;

    let page = page("http-api.md");
    let endpoints = named(section(&page, "## Endpoints"));
    for endpoint in &endpoints {
        let (method, path) = endpoint.split_once(' ').unwrap_or(("GET", endpoint));
        let name = if path.starts_with("/docs") { "limits" } else { "one" };
        let path = path.replace("NAME", name);
        let method = method.parse::<Method>().unwrap();
        let answer = http::ask(&running.address, method, &path, &[]).await.unwrap();
        assert_eq!(answer.status, 200, "{endpoint}");
    }
    let routes = include_str!("../../../src/web/routes.rs");
    for row in routes.lines().filter_map(|line| line.strip_prefix("//! | `")) {
        let path = row.split(['`', ' ', '?']).find(|word| word.starts_with('/')).unwrap();
        // They belong to the pages.
        let is_asset = path.starts_with("/assets/");
        let is_listed = endpoints.iter().any(|it| it.split([' ', '?']).any(|word| word == path));
        assert!(is_asset || is_listed, "{path} is missing");
    }
    assert_documented(&running.get("/api/targets").await, &page);
    let failed = |text: &str| text.matches(r#""reason":"refused""#).count() > 3;
    let document = running.until("/api/targets/two", failed).await;
    for document in [running.get("/api/targets/one").await, document] {
        assert_documented(&document, &page);
    }
    let history = self::page("history.md");
    assert_documented(&running.get("/api/targets/one/history").await, &history);

    for name in ["one", "two"] {
        let output =
            run(folder.path(), &["probe", name, "--output=json", "--show-transcript"]).await;
        let document = String::from_utf8(output.stdout).unwrap();
        assert_documented(&document, &self::page("probe.md"));
    }
}
