//! The built program as a process of its own, what it says, and what it takes of the machine.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use hyper::Method;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::http;
use crate::process::{Taken, taken};

/// Names another program than the one that was built.
const PROGRAM: &str = "MAILTRIP_BENCH_PROGRAM";
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running exporter; it ends with this.
pub(crate) struct Program {
    folder: TempDir,
    child: Child,
    address: String,
}

impl Program {
    /// Starts it with this configuration, to which a state directory is added.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start(targets: &str) -> Result<Self, String> {
        let folder = TempDir::with_prefix("mailtrip-bench-").map_err(|error| error.to_string())?;
        let log = File::create(folder.path().join("log")).map_err(|error| error.to_string())?;
        let file = folder.path().join("mailtrip.yml");
        fs::write(&file, configuration(targets)).map_err(|error| error.to_string())?;
        let built = || env!("CARGO_BIN_EXE_mailtrip_exporter").into();
        let child = Command::new(std::env::var_os(PROGRAM).unwrap_or_else(built))
            .args(["--web.listen-address", "127.0.0.1:0", "--config.file"])
            .arg(&file)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the exporter does not run: {error}"))?;
        let mut program = Self { folder, child, address: String::new() };
        program.address = program.listening().await?;
        Ok(program)
    }

    /// Puts another configuration in its place and has the program read it.
    pub(crate) fn reload(&self, targets: &str) -> Result<(), String> {
        let new = self.folder.path().join("new.yml");
        fs::write(&new, configuration(targets)).map_err(|error| error.to_string())?;
        let file = self.folder.path().join("mailtrip.yml");
        fs::rename(new, file).map_err(|error| error.to_string())?;
        self.signal("-HUP")
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A page, without its header.
    ///
    /// # Errors
    /// There is no answer, or not a good one.
    pub(crate) async fn get(&self, path: &str) -> Result<String, String> {
        let answer = timeout(DEADLINE, http::ask(&self.address, Method::GET, path, &[])).await;
        let answer = answer.map_err(|_| format!("{path}: no answer within {DEADLINE:?}"))?;
        let answer = answer.map_err(|error| format!("{path}: {error}"))?;
        match answer.status {
            200 => Ok(answer.text().to_owned()),
            status => Err(format!("{path}: status {status}")),
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What it takes now.
    pub(crate) fn taken(&self) -> Taken {
        taken(self.child.id())
    }

    /// Ends it by SIGTERM; how long that took.
    ///
    /// # Errors
    /// It does not end within half a minute, or not well.
    pub(crate) async fn end(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.signal("-TERM")?;
        match timeout(DEADLINE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(began.elapsed()),
            Ok(outcome) => Err(format!("the exporter ended with {outcome:?}")),
            Err(_) => Err(format!("the exporter did not end within {DEADLINE:?} of SIGTERM")),
        }
    }

    /// Whether it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        let Some(pid) = self.child.id() else { return Err("the exporter has ended".to_owned()) };
        let sent = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            outcome => Err(format!("kill {signal} {pid}: {outcome:?}")),
        }
    }

    async fn listening(&mut self) -> Result<String, String> {
        let end = Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            let lines = log.rsplit_once('\n').map_or("", |(whole, _)| whole).lines();
            let mut own = lines.filter(|line| line.contains("listening"));
            let address = own.find_map(|line| line.split("address=").nth(1));
            if let Some(address) = address {
                let address = address.trim_matches('"').split([' ', '"']).next();
                return Ok(address.unwrap_or_default().to_owned());
            }
            if self.has_ended() || Instant::now() > end {
                return Err(format!("the exporter does not start:\n{log}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn configuration(targets: &str) -> String {
    format!("state_dir: state\n{targets}")
}
