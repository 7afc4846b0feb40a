//! The program as a process, its pages and its log.

use std::path::Path;
use std::process::{Output, Stdio};

use testserver::Post;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::http;
pub(crate) use super::http::LIMIT;

/// The built program, to be run in this folder.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailtrip_exporter"));
    command.current_dir(folder).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) async fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = program(folder).args(arguments).output();
    timeout(LIMIT, output).await.expect("it ends").expect("it runs")
}

/// A folder with a configuration.
pub(crate) fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mailtrip.yml"), config).unwrap();
    folder
}

/// A target of the account of [`post`] on these ports.
pub(crate) fn target(name: &str, smtp: u16, imap: u16) -> String {
    format!(
        "- name: {name}\n  host: 127.0.0.1\n  interval: 1s\n  from: a@demo.test\n  to: b@demo.test\n  \
         send: {{port: {smtp}, tls: none}}\n  receive: {{protocol: imap, port: {imap}, tls: none, \
         username: b, password: secret-of-b}}\n"
    )
}

/// A post office with the account of [`target`].
pub(crate) fn post() -> Post {
    let post = Post::new();
    post.add_account("b", "secret-of-b", &["b@demo.test"]);
    post
}

/// A running exporter.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) address: String,
    /// The lines of its log until it has said where it listens: what came so early is not lost.
    pub(crate) beginning: Vec<String>,
    /// Those after them.
    pub(crate) log: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) async fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(program(folder).args(arguments)).await
    }

    pub(crate) async fn spawn(command: &mut Command) -> Self {
        let command = command.args(["--web.listen-address", "127.0.0.1:0"]);
        Self::listening(command.stderr(Stdio::piped()).spawn().unwrap()).await
    }

    /// It, as soon as its log says where it listens.
    pub(crate) async fn listening(mut child: Child) -> Self {
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let beginning = lines_until(&mut log, "listening").await;
        let line = beginning.last().unwrap();
        // As logfmt or as JSON.
        let address = line.replace("address\":\"", "address=").replace('"', " ");
        let address = address.split("address=").nth(1).unwrap();
        let address = address.split(' ').next().unwrap().to_owned();
        Self { child, address, beginning, log }
    }

    /// The text of a page.
    pub(crate) async fn get(&self, path: &str) -> String {
        http::get(&self.address, path).await.text().to_owned()
    }

    /// The text of a page as soon as it is as it should be.
    pub(crate) async fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        http::until(&self.address, path, holds).await.text().to_owned()
    }

    /// Waits until the store in this folder has all that is shown by now: a target that is added is read from
    /// it, and what waits to be written is written before. The target is taken out again.
    pub(crate) async fn has_kept_all(&self, folder: &Path) {
        let file = folder.join("mailtrip.yml");
        let config = std::fs::read_to_string(&file).unwrap();
        let added = target("added", 1, 1).replace("interval: 1s", "interval: 1h\n  ports: []");
        let is_there = |page: &str| page.contains("{target=\"added\"");
        std::fs::write(&file, format!("{config}{added}")).unwrap();
        self.signal("-HUP");
        self.until("/metrics", is_there).await;
        std::fs::write(&file, config).unwrap();
        self.signal("-HUP");
        self.until("/metrics", |page| !is_there(page)).await;
    }

    /// By SIGKILL: nothing is tidied up.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

/// The value of a series of the target `one` on a page of metrics, or of one without labels.
pub(crate) fn value(page: &str, name: &str) -> Option<f64> {
    let series = [format!("{name}{{target=\"one\"}} "), format!("{name} ")];
    page.lines().find_map(|line| series.iter().find_map(|it| line.strip_prefix(it)?.parse().ok()))
}

/// Whether the page says so.
pub(crate) fn is(page: &str, name: &str, wanted: f64) -> bool {
    value(page, name) == Some(wanted)
}

/// Whether it is so much or more: what is counted in each period may have gone on by the time that it is read.
pub(crate) fn is_at_least(page: &str, name: &str, wanted: f64) -> bool {
    value(page, name) >= Some(wanted)
}

/// The next line of the log that has this part.
pub(crate) async fn log_line(log: &mut Lines<BufReader<ChildStderr>>, part: &str) -> String {
    lines_until(log, part).await.pop().unwrap_or_default()
}

/// The lines up to the next one with this part, which is the last.
async fn lines_until(log: &mut Lines<BufReader<ChildStderr>>, part: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let found = async {
        while lines.last().is_none_or(|line| !line.contains(part)) {
            let line = log.next_line().await.unwrap();
            lines.push(line.unwrap_or_else(|| panic!("no {part:?}")));
        }
    };
    timeout(LIMIT, found).await.unwrap_or_else(|_| panic!("no {part:?} in the log"));
    lines
}

/// What `sqlite3` answers to a statement about the state in this folder.
pub(crate) fn sqlite(folder: &Path, statement: &str) -> String {
    let output = std::process::Command::new("sqlite3")
        .arg(folder.join("state/mailtrip.db"))
        .arg(statement)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
