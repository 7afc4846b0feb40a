//! The layers of the host itself, as `deploy/` sets them up: a real node_exporter, process-exporter
//! and Prometheus beside a real Postfix, with the files that are shipped.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::lab::namespace;
use crate::lab::{Account, Lab, until};
use crate::real::stack::target;
use crate::shipped::rules::{deploy, rule_files};
use crate::support::program::{self, Running};
use crate::support::{DEADLINE, http, yaml};

/// A program that serves HTTP on a port that the system chose.
struct Agent {
    address: String,
    _child: Child,
}

impl Agent {
    async fn start(name: &str, arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(name);
        command.args(arguments).arg("--web.listen-address=127.0.0.1:0").current_dir(folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
            panic!("{name} is needed (`scripts/install-prerequisites test` installs it): {error}")
        });
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = async {
            let mut said = String::new();
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains("msg=\"Listening on\"") {
                    return line.split("address=").nth(1).unwrap().trim().to_owned();
                }
                said = said + &line + "\n";
            }
            panic!("{name} ended: {said}")
        };
        let address = timeout(DEADLINE, listening).await.expect("it listens");
        let address = address.split(' ').next().unwrap().to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Self { address, _child: child }
    }
}

/// The arguments in a shipped file for `/etc/default`, with the paths that it names as they are here.
fn arguments(file: &str) -> Vec<String> {
    let text = fs::read_to_string(deploy().join("host").join(file)).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("ARGS=")).unwrap();
    let here = format!("{}/", deploy().join("host").display());
    let words = line.trim_matches('"').split(' ');
    words.map(|word| word.replace("/etc/prometheus/", &here)).collect()
}

async fn agent(name: &str, folder: &Path) -> Agent {
    let arguments = arguments(&format!("{name}.default"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Agent::start(name, &arguments, folder).await
}

/// Replaces what has to be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "no {from} in\n{text}");
    text.replace(from, to)
}

/// A Prometheus with the shipped rules and scrapes. Its limits are those of a machine that may be
/// busy with other tests.
async fn prometheus(exporter: &str, node: &str, process: &str, folder: &Path) -> Agent {
    for file in rule_files() {
        let mut text = fs::read_to_string(&file).unwrap();
        if text.contains("name: mailtrip-host-limits") {
            for (limit, on_busy_machine) in [("0.02", "0"), ("0.03", "0"), ("10", "1000")] {
                let vector = |value: &str| format!("expr: vector({value})");
                text = replaced(&text, &vector(limit), &vector(on_busy_machine));
            }
        }
        fs::write(folder.join(file.file_name().unwrap()), text).unwrap();
    }
    let text = fs::read_to_string(deploy().join("prometheus/scrape.example.yml")).unwrap();
    let text = replaced(&text, "interval: 30s", "interval: 500ms");
    let text = replaced(&text, "localhost:9925", exporter);
    let text = replaced(&text, "mail.example.com:9100", node);
    let text = replaced(&text, "mail.example.com:9256", process);
    fs::write(folder.join("prometheus.yml"), text).unwrap();
    let arguments = ["--config.file=prometheus.yml", "--storage.tsdb.path=data"];
    Agent::start("prometheus", &arguments, folder).await
}

/// Waits until an instant query has exactly these answers, `{labels} value` in any order.
async fn answers(prometheus: &Agent, query: &str, wanted: &[(&str, &str)]) {
    let path = format!("/api/v1/query?query={}", escaped(query));
    let ours = |answer: &str| {
        let Ok(json) = serde_json::from_str::<serde_json::Value>(answer) else {
            return false;
        };
        let results = json["data"]["result"].as_array().cloned().unwrap_or_default();
        let holds = |(name, value): &(&str, &str)| {
            let is_it = |it: &&serde_json::Value| {
                let mut labels = it["metric"].as_object().into_iter().flatten();
                labels.any(|(_, label)| label.as_str() == Some(*name)) && it["value"][1] == *value
            };
            results.iter().any(|it| is_it(&it))
        };
        results.len() == wanted.len() && wanted.iter().all(holds)
    };
    http::until(&prometheus.address, &path, ours).await;
}

fn escaped(query: &str) -> String {
    query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The configuration of two targets on this host, and one on a host of which nothing is known.
fn configuration(lab: &Lab, reader: &Account) -> String {
    let targets = [("first", "127.0.0.1"), ("second", "127.0.0.1"), ("elsewhere", "192.0.2.1")];
    yaml(&targets.map(|(name, host)| {
        target(lab, name, reader).set("labels", &format!("{{host_instance: {host}}}"))
    }))
}

/// The number of the process of this name; there is one, in a namespace of its own.
fn pid(name: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap());
    processes.map(|entry| entry.file_name().into_string().unwrap()).find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
    })
}

async fn signal(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status().await.unwrap();
    assert!(sent.success(), "kill {signal} {pid}");
}

const HOST: &str = r#"target:mailtrip_host_layer_state{layer="host"}"#;
const PROCESSES: &str = r#"target:mailtrip_host_layer_state{layer="processes"}"#;
const STOPPED: &str = "host_process:mailtrip_process_stopped:timestamp_seconds";
const GOOD: [(&str, &str); 2] = [("first", "1"), ("second", "1")];
const BAD: [(&str, &str); 2] = [("first", "0"), ("second", "0")];

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_queue_manager_turns_the_processes_red_until_it_runs_again() {
    // An agent sees all processes of its machine; in here there are none but those of this lab.
    let test =
        "real::host_layers::a_killed_queue_manager_turns_the_processes_red_until_it_runs_again";
    if !namespace::is_inside(test, &["--pid", "--fork", "--mount-proc", "--kill-child"], &[]) {
        return;
    }
    let lab = Lab::start().await;
    let reader = lab.user("reader", "reader").await;
    let folder = program::folder(&configuration(&lab, &reader));
    let exporter = Running::start(folder.path(), &[]).await;
    let node = agent("prometheus-node-exporter", folder.path()).await;
    let process = agent("prometheus-process-exporter", folder.path()).await;
    let prometheus =
        prometheus(&exporter.address, &node.address, &process.address, folder.path()).await;

    answers(&prometheus, HOST, &GOOD).await;
    answers(&prometheus, PROCESSES, &GOOD).await;
    let running = "host_process:mailtrip_process_running:sum > 0";
    let names = ["postfix-master", "postfix-qmgr", "dovecot", "dovecot-log", "dovecot-anvil"];
    answers(&prometheus, running, &names.map(|name| (name, "1"))).await;

    // Postfix starts it again for the next mail at the latest, so there is none for a while.
    lab.reject(&reader);
    let refused = |page: &str| {
        page.matches("mailtrip_send_ability_percent{target=").count() == 3
            && page
                .lines()
                .filter(|line| line.starts_with("mailtrip_send_ability_percent{"))
                .all(|line| line.ends_with(" 0") || line.ends_with(" 0.0"))
    };
    exporter.until("/metrics", refused).await;
    until("the queue is empty", async || lab.queue_length().await == 0).await;
    signal("-KILL", &pid("qmgr").expect("it runs")).await;
    answers(&prometheus, PROCESSES, &BAD).await;
    let last_seen = format!("{STOPPED} > bool 0");
    answers(&prometheus, &last_seen, &[("postfix-qmgr", "1")]).await;
    answers(&prometheus, HOST, &GOOD).await;

    lab.deliver(&reader);
    answers(&prometheus, PROCESSES, &GOOD).await;

    // A process that was stopped is there and does nothing.
    let qmgr = pid("qmgr").expect("it was started again");
    signal("-STOP", &qmgr).await;
    answers(&prometheus, PROCESSES, &BAD).await;
    signal("-CONT", &qmgr).await;
    answers(&prometheus, PROCESSES, &GOOD).await;
}
