//! A real Prometheus with the rules that are shipped, a real Alertmanager with the routes that are
//! shipped, and a webhook that takes down what it is told.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::shipped::rules::{deploy, rule_files};
use crate::support::http;

/// The longest wait for a program to start and for a message to come.
const LIMIT: Duration = Duration::from_secs(120);

/// What the webhook was told of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The receiver in the configuration of Alertmanager.
    pub(crate) receiver: String,
    pub(crate) is_firing: bool,
    pub(crate) alert: String,
    pub(crate) target: String,
    pub(crate) description: String,
}

/// The three of them; they end with this.
pub(crate) struct Stack {
    folder: TempDir,
    prometheus: String,
    alertmanager: String,
    messages: Arc<Mutex<Vec<Message>>>,
    webhook: AbortHandle,
    _programs: [Child; 2],
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.webhook.abort();
    }
}

impl Stack {
    /// Starts them; they scrape what [`Stack::scrape`] names.
    pub(crate) async fn start() -> Self {
        Self::with_rules(&HURRIED).await
    }

    /// The same, with alerts that go on for as long as in the rules as shipped.
    pub(crate) async fn with_rules_as_shipped() -> Self {
        Self::with_rules(&[]).await
    }

    /// The same with these changes of the rules.
    pub(crate) async fn with_rules(changes: &[(&str, &str)]) -> Self {
        let write =
            |folder: &Path, alertmanager: &str| configuration(folder, alertmanager, changes);
        Self::with_configuration(write).await
    }

    /// The same with another configuration of Prometheus: that for a folder and the address of Alertmanager.
    pub(crate) async fn with_configuration(write: impl FnOnce(&Path, &str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = listener.local_addr().unwrap().to_string();
        let messages = Arc::<Mutex<Vec<Message>>>::default();
        let webhook = tokio::spawn(listen(listener, Arc::clone(&messages))).abort_handle();
        let (alertmanager_child, alertmanager) = start_alertmanager(folder.path(), &hook).await;
        let text = write(folder.path(), &alertmanager);
        let (prometheus_child, prometheus) = start_prometheus(folder.path(), text).await;
        Self {
            folder,
            prometheus,
            alertmanager,
            messages,
            webhook,
            _programs: [prometheus_child, alertmanager_child],
        }
    }

    /// Has Prometheus scrape the exporter at this address from now on, as the same instance.
    pub(crate) fn scrape(&self, address: &str) {
        self.scrape_all(&[("exporter".to_owned(), address.to_owned())]);
    }

    /// Has it scrape these, each an instance and its address.
    pub(crate) fn scrape_all(&self, exporters: &[(String, String)]) {
        let path = self.folder.path().join("exporter.yml");
        let new = path.with_extension("new");
        let group = |(instance, address): &(String, String)| {
            format!("- targets: ['{address}']\n  labels: {{instance: {instance}}}\n")
        };
        let text: String = exporters.iter().map(group).collect();
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).unwrap();
    }

    /// What Prometheus answers to a query at this moment: of each series its labels, and its value or, of a
    /// range, all of its samples.
    pub(crate) async fn query(&self, query: &str) -> Vec<Value> {
        self.ask("query", &[("query", query)]).await
    }

    /// The same from one moment to another, in seconds since 1970, at each second.
    pub(crate) async fn query_range(&self, query: &str, from: u64, to: u64) -> Vec<Value> {
        let (from, to) = (from.to_string(), to.to_string());
        let arguments = [("query", query), ("start", &from), ("end", &to), ("step", "1")];
        self.ask("query_range", &arguments).await
    }

    async fn ask(&self, endpoint: &str, arguments: &[(&str, &str)]) -> Vec<Value> {
        let arguments =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(arguments).finish();
        let path = format!("/api/v1/{endpoint}?{arguments}");
        let answer = http::get(&self.prometheus, &path).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// Everything that the webhook was told, the oldest first.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// Waits until the newest that was told of an alert is that it fires, or has ended.
    pub(crate) async fn tells(&self, alert: &str, target: &str, is_firing: bool) -> Message {
        let deadline = Instant::now() + LIMIT;
        loop {
            let messages = self.messages();
            let of_alert = |it: &&Message| it.alert == alert && it.target == target;
            match messages.iter().rfind(of_alert) {
                Some(message) if message.is_firing == is_firing => return message.clone(),
                _ => {}
            }
            let what = if is_firing { "fires" } else { "has ended" };
            assert!(
                Instant::now() < deadline,
                "not told that {alert} of {target} {what}: {messages:#?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until Alertmanager holds back a firing alert, because of another one.
    pub(crate) async fn holds_back(&self, alert: &str, target: &str) {
        let deadline = Instant::now() + LIMIT;
        let path = format!("/api/v2/alerts?filter=alertname%3D{alert}&filter=target%3D{target}");
        loop {
            let answer = http::get(&self.alertmanager, &path).await;
            let alerts: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let alerts = alerts.as_array().cloned().unwrap_or_default();
            let is_held_back = |it: &Value| {
                it["status"]["inhibitedBy"].as_array().is_some_and(|by| !by.is_empty())
            };
            if !alerts.is_empty() && alerts.iter().all(is_held_back) {
                return;
            }
            assert!(Instant::now() < deadline, "{alert} of {target} is not held back: {alerts:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// With the routes as shipped; only the addresses of the receivers and the waiting are other.
async fn start_alertmanager(folder: &Path, hook: &str) -> (Child, String) {
    let shipped = deploy().join("alertmanager/alertmanager.example.yml");
    let mut text = fs::read_to_string(shipped).unwrap();
    for (from, to) in [
        ("http://127.0.0.1:9000/", format!("http://{hook}/").as_str()),
        ("group_wait: 30s", "group_wait: 1s"),
        ("group_interval: 5m", "group_interval: 1s"),
    ] {
        assert!(text.contains(from), "no {from} in the example");
        text = text.replace(from, to);
    }
    let file = folder.join("alertmanager.yml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
    start(command).await
}

/// With the rules as shipped; only scrapes and evaluations are more frequent, and alerts may end sooner.
fn configuration(folder: &Path, alertmanager: &str, changes: &[(&str, &str)]) -> String {
    let rules = copied_rules(folder, changes);
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}}\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n\
         rule_files:\n{rules}scrape_configs:\n- job_name: mailtrip\n  file_sd_configs:\n  \
         - {{files: ['{}']}}\n",
        folder.join("exporter.yml").display(),
    )
}

async fn start_prometheus(folder: &Path, text: String) -> (Child, String) {
    let file = folder.join("prometheus.yml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("prometheus").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--rules.alert.resend-delay=1s"]);
    start(command).await
}

/// By what an alert goes on for less long than in the rules as shipped.
pub(crate) const HURRIED: [(&str, &str); 2] = [
    ("keep_firing_for: 3m", "keep_firing_for: 8s"),
    ("keep_firing_for: 4m", "keep_firing_for: 12s"),
];

/// Copies the rules with these changes, and lists them for the configuration.
fn copied_rules(folder: &Path, changes: &[(&str, &str)]) -> String {
    let mut list = String::new();
    for file in rule_files() {
        let text = fs::read_to_string(&file).unwrap();
        let changed = changes.iter().fold(text, |text, (from, to)| text.replace(from, to));
        let waits = |line: &str| line.contains("keep_firing_for: ") && !line.ends_with('s');
        let is_left = !changes.is_empty() && changed.lines().any(waits);
        assert!(!is_left, "another keep_firing_for in {file:?}");
        let copy = folder.join(file.file_name().unwrap());
        fs::write(&copy, changed).unwrap();
        list += &format!("  - '{}'\n", copy.display());
    }
    list
}

/// Starts a program and returns it with the address on which it says that it listens.
pub(crate) async fn start(mut command: Command) -> (Child, String) {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{what} is needed (`make test` installs it): {error}"));
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let find = async {
        let mut said = String::new();
        while let Some(line) = log.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("\"Listening on\"")
                && let Some((_, address)) = rest.split_once("address=")
            {
                return address.to_owned();
            }
            said += &format!("{line}\n");
        }
        panic!("{what} has ended:\n{said}");
    };
    let address = timeout(LIMIT, find).await.expect("it listens in time");
    // Nobody reads on, and a full pipe would stop it.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    (child, address)
}

async fn listen(listener: TcpListener, messages: Arc<Mutex<Vec<Message>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let messages = Arc::clone(&messages);
        tokio::spawn(async move { take_down(stream, &messages).await });
    }
}

/// Takes down the alerts of each request of a connection.
async fn take_down(stream: TcpStream, messages: &Mutex<Vec<Message>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 && line != "\r\n" {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body: Value = serde_json::from_slice(&body).unwrap();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for alert in body["alerts"].as_array().unwrap() {
            messages.lock().unwrap().push(Message {
                receiver: word(&body["receiver"]),
                is_firing: alert["status"] == "firing",
                alert: word(&alert["labels"]["alertname"]),
                target: word(&alert["labels"]["target"]),
                description: word(&alert["annotations"]["description"]),
            });
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await?;
    }
}
