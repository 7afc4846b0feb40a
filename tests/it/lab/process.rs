//! Ending a server by its own number.

use std::fs;
use std::path::Path;

use super::{tool, wait};

/// Ends the server whose number is in `pid_file` and which mentions `folder` in its arguments or
/// its environment; returns when it is gone, and at once when it does not run.
///
/// # Panics
/// If it does not end.
pub(crate) async fn end(pid_file: &Path, folder: &Path) {
    let Ok(text) = fs::read_to_string(pid_file) else { return };
    let pid = text.trim();
    if !is_running(pid, folder) {
        return;
    }
    tool::run("kill", &["-TERM", pid]).await;
    wait::until(&format!("process {pid} has ended"), async || !is_running(pid, folder)).await;
}

fn is_running(pid: &str, folder: &Path) -> bool {
    let needle = folder.as_os_str().as_encoded_bytes();
    ["cmdline", "environ"].into_iter().any(|name| {
        fs::read(format!("/proc/{pid}/{name}"))
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    })
}
