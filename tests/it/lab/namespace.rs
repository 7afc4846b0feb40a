//! Running a test again where it is alone.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

/// Says to a test that it runs in a namespace of its own.
const MARK: &str = "MAILTRIP_TEST_NAMESPACE";

/// Runs the test of this name, with its module, again in namespaces of its own and with `wrapper`
/// before it; true in there. `kinds` are the options of `unshare`, as `--net`.
///
/// # Panics
/// If the system gives no namespace, or the test fails in there.
pub(crate) fn is_inside(test: &str, kinds: &[&str], wrapper: &[&str]) -> bool {
    if env::var_os(MARK).is_some() {
        return true;
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = Command::new("unshare");
    // Without this, unshare makes every mount private first, which it cannot where the root folder is
    // no mount: after chroot.
    command.args(kinds).args(["--propagation", "unchanged"]);
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    let probe = Command::new("unshare").args(command.get_args()).arg("true").output();
    let is_allowed = probe.as_ref().is_ok_and(|output| output.status.success());
    assert!(
        is_allowed,
        "this test needs namespaces of its own (unshare {kinds:?}), which the system grants root alone \
         (`scripts/test real`) or, as in a container without CAP_SYS_ADMIN, nobody: {probe:?}"
    );
    command.arg("--").args(wrapper).arg(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    let output = command.env(MARK, "1").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let has_passed = output.status.success() && said.contains("1 passed");
    assert!(has_passed, "{said}{}", String::from_utf8_lossy(&output.stderr));
    false
}
