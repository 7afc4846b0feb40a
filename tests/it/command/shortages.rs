//! The exporter itself is short of descriptors: what it could not test is not measured, nobody is said
//! to have failed, and whoever scrapes gets an answer.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mailtrip_exporter::config::TlsMode;
use testserver::{Certificate, Options, Post, Protocol, Server};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::support::program::{LIMIT, Running, folder, log_line, post, target, value};
use crate::support::{Trust, World, protected, yaml};

/// How many descriptors the program may have open.
const FEW: u32 = 64;
/// How many targets hang: more than there are descriptors for.
const MANY: usize = 60;

/// The program with these limits of open files, as `prlimit` writes them.
fn program(folder: &Path, limits: &str) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limits}")).arg(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.current_dir(folder).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// A server that takes connections and says nothing.
struct Silent {
    port: u16,
    _held: JoinSet<()>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut held = JoinSet::new();
        held.spawn(async move {
            let mut connections = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.push(connection);
            }
        });
        Self { port, _held: held }
    }

    /// Targets that hang at it, each with a mailbox of its own.
    fn targets(&self, count: usize) -> String {
        let of = |index: usize| {
            target(&format!("silent{index}"), self.port, self.port)
                .replace("username: b", &format!("username: b{index}"))
                .replace("interval: 1s", "interval: 30s\n  timeout: 30s\n  ports: []")
        };
        (0..count).map(of).collect()
    }
}

/// The servers of a target that is well.
struct Well {
    _post: Post,
    smtp: Server,
    imap: Server,
}

impl Well {
    async fn start() -> Self {
        let post = post();
        let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
        let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
        Self { _post: post, smtp, imap }
    }

    fn target(&self) -> String {
        target("one", self.smtp.port(), self.imap.port())
    }
}

fn values(page: &str, name: &str) -> Vec<(String, f64)> {
    let lines = page.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let split = lines.filter_map(|line| line.rsplit_once(' '));
    split.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
}

fn met(page: &str) -> f64 {
    let all = values(page, "mailtrip_exporter_shortages_total");
    all.iter().find(|(labels, _)| labels.contains("descriptors")).unwrap().1
}

#[tokio::test]
async fn without_descriptors_nobody_has_failed_and_metrics_are_answered_at_once() {
    let (silent, well) = (Silent::start().await, Well::start().await);
    let targets = well.target() + &silent.targets(MANY);
    let folder = folder(&format!("targets:\n{targets}"));
    let mut running = Running::spawn(&mut program(folder.path(), &format!("{FEW}:{FEW}"))).await;
    let line = log_line(&mut running.log, "resource=descriptors").await;
    assert!(line.contains("level=warn") && line.contains("LimitNOFILE="), "{line}");
    let hanging = |page: &str| values(page, "mailtrip_send_ability_percent").len();
    running.until("/metrics", |page| met(page) > 20.0 && hanging(page) > 0).await;
    // With idle clients in all slots that the listener has, a scrape is still answered at once.
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(&running.address).await.unwrap());
    }
    let began = Instant::now();
    let page = running.get("/metrics").await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for name in ["mailtrip_failures_total", "mailtrip_tcp_port_failures_total"] {
        let failures = values(&page, name);
        assert!(failures.iter().all(|(_, count)| *count == 0.0), "{failures:?}");
    }
    for name in ["mailtrip_send_ability_percent", "mailtrip_receive_ability_percent"] {
        let of_silent = values(&page, name);
        let bad = of_silent.iter().filter(|(_, it)| *it == 0.0).collect::<Vec<_>>();
        assert!(bad.is_empty(), "{name} {bad:?}");
    }
    assert_eq!(value(&page, "mailtrip_store_errors_total"), Some(0.0));
    let page = running.get("/").await;
    assert!(page.contains("The exporter itself is short of file descriptors"), "{page}");
    let listing = running.get("/api/targets").await;
    assert!(listing.contains(r#""shortages":[{"resource":"descriptors""#), "{listing}");
    drop(idle);
    running.kill().await;
}

#[tokio::test]
async fn the_soft_limit_is_raised_and_a_neighbour_is_measured_as_before() {
    let (silent, well) = (Silent::start().await, Well::start().await);
    let targets = well.target() + &silent.targets(MANY);
    let folder = folder(&format!("targets:\n{targets}"));
    let mut running = Running::spawn(&mut program(folder.path(), &format!("{FEW}:1024"))).await;
    let page = running
        .until("/metrics", |page| {
            value(page, "mailtrip_probes_received_total").is_some_and(|count| count >= 2.0)
        })
        .await;
    assert_eq!(met(&page), 0.0);
    assert_eq!(value(&page, "process_max_fds"), Some(1024.0));
    running.child.start_kill().unwrap();
}

#[tokio::test]
async fn the_raised_limit_and_a_need_above_it_are_in_the_log_and_in_check() {
    let (silent, well) = (Silent::start().await, Well::start().await);
    let folder = folder(&format!("targets:\n{}{}", well.target(), silent.targets(MANY)));
    let check = |limits: &'static str| {
        let mut command = program(folder.path(), limits);
        async move {
            let output = timeout(LIMIT, command.arg("check").output()).await.unwrap().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stderr).unwrap()
        }
    };
    let words = "the configuration may need 104 file descriptors at the same time (32 of its own, 11 \
                 to send, 61 for mailboxes, 0 for pings and ports), but the limit of 120 leaves 78";
    let told = check("64:120").await;
    assert!(told.contains(words) && told.contains("`LimitNOFILE=1024`"), "{told}");
    let told = check("64:1024").await;
    assert!(!told.contains("the configuration may need"), "{told}");
    let mut command = program(folder.path(), "64:120");
    let mut child =
        command.arg("--web.listen-address=127.0.0.1:0").stderr(Stdio::piped()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut running = Running { beginning: Vec::new(), child, address: String::new(), log };
    log_line(&mut running.log, "the limit of open files was raised").await;
    let line = log_line(&mut running.log, "the configuration may need").await;
    assert!(line.contains("level=warn"), "{line}");
    log_line(&mut running.log, "listening").await;
    running.signal("-HUP");
    log_line(&mut running.log, "the configuration may need").await;
    log_line(&mut running.log, "the configuration was reloaded").await;
    running.kill().await;
}

#[tokio::test]
async fn a_limit_too_low_to_run_at_all_is_told_at_the_start() {
    let folder = folder("targets: []\n");
    let output = timeout(LIMIT, program(folder.path(), "40:40").output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let words = "cannot run with 40 file descriptors; at least 48 are needed";
    assert!(told.starts_with(words) && told.contains("LimitNOFILE="), "{told}");
}

#[tokio::test]
async fn a_shortage_that_is_over_leaves_no_trace_but_its_count() {
    let (silent, well) = (Silent::start().await, Well::start().await);
    let folder = folder(&format!("targets:\n{}{}", well.target(), silent.targets(MANY)));
    let running = Running::spawn(&mut program(folder.path(), &format!("{FEW}:{FEW}"))).await;
    running.until("/metrics", |page| met(page) > 20.0).await;
    // Nobody hangs any more.
    drop(silent);
    let enough = |page: &str| {
        let received = value(page, "mailtrip_probes_received_total");
        received.is_some_and(|count| count >= 2.0)
    };
    let page = running.until("/metrics", enough).await;
    let failures = values(&page, "mailtrip_failures_total");
    let of_one = failures.iter().filter(|(labels, _)| labels.contains("\"one\""));
    assert_eq!(of_one.map(|(_, count)| count).sum::<f64>(), 0.0);
    running.kill().await;
}

#[tokio::test]
async fn a_probe_without_descriptors_is_unknown_and_says_that_this_machine_lacks_them() {
    let well = Well::start().await;
    let folder = folder(&format!("targets:\n{}", well.target()));
    let run = |output: &'static str| {
        // What a monitoring system may do to its plugins: all but a few are taken.
        let script = "i=0; while [ $i -lt 30 ]; do eval \"exec $((i + 9))</dev/null\"; i=$((i + 1)); done; \
                      exec \"$@\"";
        let mut command = Command::new("prlimit");
        command.args(["--nofile=48:48", "bash", "-c", script, "bash"]);
        command.arg(env!("CARGO_BIN_EXE_mailtrip_exporter")).args(["probe", "one"]);
        command.arg(format!("--output={output}")).current_dir(folder.path()).kill_on_drop(true);
        async move { timeout(LIMIT, command.output()).await.unwrap().unwrap() }
    };
    let output = run("nagios").await;
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(3), "{line} {output:?}", output = output.stderr);
    let begins = "MAILTRIP UNKNOWN - one was not tested (side receive, step connect";
    assert!(line.starts_with(begins), "{line}");
    for words in ["this exporter itself is short of file descriptors", "LimitNOFILE=", "receive=U"]
    {
        assert!(line.contains(words), "{line}");
    }
    let output = run("json").await;
    assert_eq!(output.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["state"], "unknown");
    assert_eq!(document["sides"]["receive"]["failure"]["shortage"], "descriptors");
    let output = run("text").await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("one was not tested"), "{text}");
}

/// A folder with the certificate of the authority, as OpenSSL looks for it: by the hash of its name.
fn authorities(trust: &Trust) -> tempfile::TempDir {
    let pem = trust.authority.ca_pem().unwrap();
    let hash = openssl::x509::X509::from_pem(&pem).unwrap().subject_name_hash();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(format!("{hash:08x}.0")), pem).unwrap();
    folder
}

#[tokio::test]
async fn however_few_descriptors_are_left_a_probe_blames_no_server() {
    let trust = Trust::new();
    let options = || protected(TlsMode::StartTls, &trust, Certificate::Good);
    let world = World::with(Protocol::Imap, options(), options()).await;
    let target = world.target("one").set("send.tls", "starttls").set("receive.tls", "starttls");
    let folder = folder(&yaml(&[target]));
    let authorities = authorities(&trust);
    let mut told = String::new();
    for free in 2..20_u32 {
        // Of 48 those above the free ones are taken, so that even those kept for others run out.
        let script = "i=$1; while [ $i -lt 48 ]; do eval \"exec $i</dev/null\"; i=$((i + 1)); done; \
                      shift; exec \"$@\"";
        let mut command = Command::new("prlimit");
        command.args(["--nofile=48:48", "bash", "-c", script, "bash"]).arg((3 + free).to_string());
        command.arg(env!("CARGO_BIN_EXE_mailtrip_exporter"));
        command.args(["probe", "one", "--output=nagios"]).current_dir(folder.path());
        command.env("SSL_CERT_DIR", authorities.path()).env("SSL_CERT_FILE", "/nonexistent");
        let output = timeout(LIMIT, command.kill_on_drop(true).output()).await.unwrap().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let code = output.status.code();
        assert!(
            matches!(code, Some(0 | 3)),
            "{free} free: {line} {}",
            String::from_utf8_lossy(&output.stderr)
        );
        told += &line;
    }
    for words in [
        "UNKNOWN - cannot run",
        "mailtrip.yml: cannot be read: Too many open files",
        "the authorities cannot be read to judge",
        "OK - one works",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}
