//! Sockets that systemd passes.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::http;
use crate::support::program::{LIMIT, Running, folder, target};

/// The program with two descriptors passed as systemd passes them.
fn program(folder: &Path, first: OwnedFd, second: OwnedFd) -> Command {
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; LISTEN_PID=$$ LISTEN_FDS=2 exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mailtrip_exporter")]);
    command.args(["--web.systemd-socket", "--web.listen-address=not.there.invalid:1"]);
    command.current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::from(first)).stdout(Stdio::from(second)).stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn the_program_serves_on_the_sockets_that_it_is_given_and_on_no_other() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    let sockets = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).unwrap());
    let addresses = sockets.each_ref().map(|socket| socket.local_addr().unwrap().to_string());
    let [first, second] = sockets.map(OwnedFd::from);
    // The other address, which nobody could bind, is left unused.
    let running = Running::listening(program(folder.path(), first, second).spawn().unwrap()).await;
    assert_eq!(running.address, addresses[0]);
    for address in &addresses {
        let answer = http::get(address, "/-/healthy").await;
        assert!(answer.text().contains("ealthy"), "{address}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_is_passed_and_cannot_be_served_on_ends_the_program() {
    let folder = folder(&format!("targets:\n{}", target("m", 1, 1)));
    let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let unix = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let output = program(folder.path(), socket(), unix.into()).output();
    let output = timeout(LIMIT, output).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--web.systemd-socket: ") && said.contains("ListenStream="), "{said}");
    let output = crate::support::program::run(folder.path(), &["--web.systemd-socket"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no socket was passed to this process"), "{said}");
}
