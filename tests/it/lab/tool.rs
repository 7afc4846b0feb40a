//! Running the programs that control the servers.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::wait::DEADLINE;

/// The servers have their programs in folders that a user's PATH may lack.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Fails with a message that says what to do where the lab cannot run.
///
/// # Panics
/// If the user is not root, or a server or its program is not installed.
pub(crate) fn require_prerequisites() {
    require_root("Postfix's master process");
    let is_there = |program: &&str| {
        let is_in = |folder: &str| Path::new(folder).join(program).exists();
        PATH.split(':').chain(["/usr/lib/dovecot", "/usr/libexec/dovecot"]).any(is_in)
    };
    let needed =
        ["postfix", "postsuper", "postqueue", "dovecot", "doveadm", "lmtp", "imap", "pop3"];
    let missing: Vec<_> = needed.iter().filter(|program| !is_there(program)).collect();
    assert!(
        missing.is_empty(),
        "the lab needs {missing:?}: run `make test`, or `scripts/install-prerequisites test` once"
    );
}

/// Fails where the user is not root, which `what` needs.
///
/// # Panics
/// If the user is not root.
pub(crate) fn require_root(what: &str) {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    assert!(is_root, "{what} needs root: `make test` and `scripts/test real` use sudo");
}

/// Runs a program to its end and returns what it wrote on standard output.
///
/// # Panics
/// If it cannot be started, fails, or does not end within [`DEADLINE`].
pub(crate) async fn run(program: &str, arguments: &[&str]) -> String {
    feed(program, arguments, "").await
}

/// The same with something to read on standard input.
///
/// # Panics
/// As [`run`].
pub(crate) async fn feed(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", PATH).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program may end without having read it all; its status tells whether that is well.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = timeout(DEADLINE, run)
        .await
        .unwrap_or_else(|_| panic!("{program} {arguments:?} did not end within {DEADLINE:?}"))
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program} {arguments:?} failed: {stderr}{stdout}");
    stdout.into_owned()
}

/// Starts a server that ends with its owner.
///
/// # Panics
/// If it is not installed.
pub(crate) fn server(program: &str, arguments: &[&str], folder: &Path) -> Child {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("PATH", PATH).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("{program} is needed (`scripts/install-prerequisites test` installs it): {error}")
    })
}

/// Starts a server by a program that puts itself into the background.
///
/// Its output goes to a file beside its `log` and not to a pipe, which the server would keep open.
///
/// # Panics
/// As [`run`] does; the message quotes the log.
pub(crate) async fn start(program: &str, arguments: &[&str], log: &Path) {
    let output = log.with_extension("start");
    let (stdout, stderr) = File::create(&output)
        .and_then(|file| Ok((file.try_clone()?, file)))
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", output.display()));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr).env("PATH", PATH);
    let status = timeout(DEADLINE, command.kill_on_drop(true).status())
        .await
        .unwrap_or_else(|_| panic!("{program} {arguments:?} did not start within {DEADLINE:?}"))
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let said = [&output, log].map(|file| fs::read_to_string(file).unwrap_or_default()).concat();
    assert!(status.success(), "{program} {arguments:?} failed: {said}");
}
