//! The process with the mail servers: this program once more, which answers each line with a line of JSON.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// It ends with this.
pub(crate) struct Peer {
    child: Child,
    say: ChildStdin,
    hear: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts this program with such a variable; also what it says first.
    ///
    /// # Errors
    /// It does not start, or says nothing.
    pub(crate) async fn start(variable: &str, value: &str) -> Result<(Self, Value), String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut child = Command::new(own)
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("no servers: {error}"))?;
        let (say, hear) = (child.stdin.take(), child.stdout.take());
        let (Some(say), Some(hear)) = (say, hear) else { return Err("no pipes".to_owned()) };
        let mut peer = Self { child, say, hear: BufReader::new(hear).lines() };
        let first = peer.read().await?;
        Ok((peer, first))
    }

    /// What it answers.
    ///
    /// # Errors
    /// It answers nothing within a minute.
    pub(crate) async fn ask(&mut self, what: &str) -> Result<Value, String> {
        let line = format!("{what}\n");
        self.say.write_all(line.as_bytes()).await.map_err(|error| error.to_string())?;
        self.read().await
    }

    /// Its number.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    async fn read(&mut self) -> Result<Value, String> {
        let line = timeout(Duration::from_secs(60), self.hear.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).map_err(|error| error.to_string()),
            outcome => Err(format!("the servers say nothing: {outcome:?}")),
        }
    }
}
