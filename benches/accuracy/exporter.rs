//! The built program as a process of its own, with a clock that may be wrong, and what it says.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::it::http;
use crate::plan::Restart;

/// How long anything may take that the exporter is asked for.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running exporter; it ends with this.
pub(crate) struct Exporter {
    /// With the configuration, the state directory and the log of each start.
    folder: TempDir,
    clock_seconds: i32,
    child: Child,
    address: String,
    starts: usize,
}

/// What the exporter says about one mail, moments by the right clock.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// It stands in the mail.
    pub(crate) token: String,
    /// When its transmission began.
    pub(crate) began: SystemTime,
    /// When it was accepted, if it was.
    pub(crate) accepted: Option<SystemTime>,
    /// What became of it, as `received`.
    pub(crate) outcome: String,
    /// Transmission to arrival, in seconds.
    pub(crate) roundtrip_seconds: Option<f64>,
    /// When the wait for it ended.
    pub(crate) ended: Option<SystemTime>,
}

impl Exporter {
    /// Starts the program with this configuration, its clock so far before the right one.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) async fn start(configuration: &str, clock_seconds: i32) -> Self {
        let folder = TempDir::with_prefix("mailtrip-bench-")
            .and_then(|folder| {
                fs::write(folder.path().join("mailtrip.yml"), configuration).map(|()| folder)
            })
            .unwrap_or_else(|error| panic!("no folder for an exporter: {error}"));
        let (child, address) = run(folder.path(), clock_seconds, 0).await;
        Self { folder, clock_seconds, child, address, starts: 1 }
    }

    /// Ends it as `restart` says, waits for `down` and starts it again.
    ///
    /// # Panics
    /// If it does not end or does not start.
    pub(crate) async fn restart(&mut self, restart: Restart, down: Duration) {
        let pid = self.child.id().map(|pid| pid.to_string()).unwrap_or_default();
        let signal = if restart == Restart::Killed { "-KILL" } else { "-TERM" };
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "process {pid} cannot be ended");
        let ended = timeout(DEADLINE, self.child.wait()).await;
        assert!(matches!(ended, Ok(Ok(_))), "process {pid} did not end");
        sleep(down).await;
        (self.child, self.address) = run(self.folder.path(), self.clock_seconds, self.starts).await;
        self.starts += 1;
    }

    /// The newest mails of a target.
    ///
    /// # Panics
    /// If the exporter does not answer, or says something else than it documents.
    pub(crate) async fn probes(&self, target: &str) -> Vec<Probe> {
        let answer = self.get(&format!("/api/targets/{target}")).await;
        let report: Value = serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("no report about {target}: {error} in {answer}"));
        let probes = report.get("probes").and_then(Value::as_array).cloned().unwrap_or_default();
        let probe = |probe: &Value| {
            self.probe(probe).unwrap_or_else(|| panic!("unknown form of a probe: {probe}"))
        };
        probes.iter().map(probe).collect()
    }

    /// The page of metrics.
    ///
    /// # Panics
    /// If the exporter does not answer.
    pub(crate) async fn metrics(&self) -> String {
        self.get("/metrics").await
    }

    /// What libfaketime leaves behind of a process that did not end by itself.
    fn remove_shared_memory(&self) {
        let Some(pid) = self.child.id().filter(|_| self.clock_seconds != 0) else { return };
        for name in [format!("faketime_shm_{pid}"), format!("sem.faketime_sem_{pid}")] {
            // There is none if the library did not need it.
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }

    fn probe(&self, probe: &Value) -> Option<Probe> {
        let text = |name: &str| probe.get(name).and_then(Value::as_str);
        let moment = |name: &str| {
            let moment = humantime::parse_rfc3339(text(name)?).ok()?;
            let seconds = Duration::from_secs(self.clock_seconds.unsigned_abs().into());
            Some(if self.clock_seconds < 0 { moment + seconds } else { moment - seconds })
        };
        let seconds = |name: &str| probe.get(name).and_then(Value::as_f64);
        let began = moment("began")?;
        let accepted = seconds("accepted_after_seconds");
        Some(Probe {
            token: text("token")?.to_owned(),
            began,
            accepted: accepted.map(|seconds| began + Duration::from_secs_f64(seconds)),
            outcome: text("outcome")?.to_owned(),
            roundtrip_seconds: seconds("roundtrip_seconds"),
            ended: moment("ended"),
        })
    }

    async fn get(&self, path: &str) -> String {
        let answer = http::get(&self.address, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text().to_owned()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        self.remove_shared_memory();
    }
}

/// The process and where it listens.
async fn run(folder: &Path, clock_seconds: i32, start: usize) -> (Child, String) {
    let path = folder.join(format!("log-{start}"));
    let log = File::create(&path).unwrap_or_else(|error| panic!("no log: {error}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.args(["--web.listen-address", "127.0.0.1:0"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    if clock_seconds != 0 {
        command.envs(wrong_clock(clock_seconds));
    }
    let mut child = command.spawn().unwrap_or_else(|error| panic!("it does not run: {error}"));
    let end = Instant::now() + DEADLINE;
    loop {
        let log = fs::read_to_string(&path).unwrap_or_default();
        let is_whole = |line: &&str| line.contains("listening") && line.contains("address=");
        let lines = log.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
        if let Some(line) = lines.clone().find(is_whole) {
            let address = line.split("address=").nth(1).unwrap_or_default();
            let address = address.trim_matches('"').split([' ', '"']).next().unwrap_or_default();
            return (child, address.to_owned());
        }
        let has_ended = matches!(child.try_wait(), Ok(Some(_)));
        assert!(!has_ended && Instant::now() < end, "the exporter does not start:\n{log}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// What makes libfaketime shift the wall clock of a process, and nothing else: timers run by the
/// monotonic clock, and files keep their dates.
fn wrong_clock(seconds: i32) -> Vec<(&'static str, OsString)> {
    let pattern = "/usr/lib/*/faketime/libfaketimeMT.so.1";
    let library = glob::glob(pattern).ok().and_then(|mut paths| paths.next()?.ok());
    let library = library.unwrap_or_else(|| {
        panic!("there is no {pattern}: run `scripts/install-prerequisites bench`")
    });
    vec![
        ("LD_PRELOAD", library.into_os_string()),
        ("FAKETIME", format!("{seconds:+}s").into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
        ("NO_FAKE_STAT", "1".into()),
    ]
}
