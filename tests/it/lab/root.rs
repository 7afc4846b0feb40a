//! The root folder in which servers run that are unpacked and not installed, and running programs in it.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::claim::{make_folder, write_file};
use super::{Account, tool, wait};

/// The number of Debian's user `mail` and of its group. The servers' users are all the same one, so
/// that each may read what another wrote, and no program needs the rights of root for that.
const MAIL: u32 = 8;

/// How long a server has to end before it is told again.
const AGAIN: Duration = Duration::from_millis(200);

/// A copy of the unpacked root folder, for one stack.
#[derive(Clone)]
pub(super) struct Root {
    path: PathBuf,
    stack: PathBuf,
}

/// A server at work. It is killed when this is dropped.
pub(super) struct Process {
    child: Child,
    name: &'static str,
}

impl Root {
    /// Makes the root folder of the stack in the folder `stack`, which holds its certificate. `servers` are those that
    /// `scripts/unpack-packages` has put into the folder `unpacked` below the project's.
    ///
    /// # Panics
    /// If the user is not root or nothing is unpacked.
    pub(super) async fn new(stack: &Path, servers: &str, unpacked: &str) -> Self {
        tool::require_root(&format!("a root folder for {servers}"));
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(unpacked);
        assert!(
            from.join("packages").exists(),
            "{servers} are not in {unpacked}: run `make test`, or \
             `scripts/install-prerequisites test` once"
        );
        let unpacked = from;
        let root = Self { path: stack.join("root"), stack: stack.to_owned() };
        let [from, to] = [unpacked.join("root"), root.path.clone()];
        let [from, to] = [from, to].map(|path| path.display().to_string());
        // Whoever unpacked it owns it; here everything is root's.
        let options = ["-a", "--no-preserve=ownership", "--reflink=auto"];
        tool::run("cp", &[&options[..], &[&from, &to]].concat()).await;
        let devices = root.folder("dev").display().to_string();
        tool::run("cp", &["-a", "/dev/null", "/dev/urandom", &devices]).await;
        root.write("etc/passwd", USERS, 0o644);
        root.write("etc/group", GROUPS, 0o644);
        root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n", 0o644);
        root.write("etc/hosts", "127.0.0.1 localhost\n", 0o644);
        root.folder_of_mail("home");
        root
    }

    /// The folder of all mailboxes.
    pub(super) fn mailboxes(&self) -> PathBuf {
        self.path.join("home")
    }

    /// The user's own folder.
    pub(super) fn home(&self, account: &Account) -> PathBuf {
        self.mailboxes().join(local_part(account))
    }

    /// A file or a folder in here.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a folder.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        make_folder(&path);
        path
    }

    /// Makes a folder in which the servers may write.
    pub(super) fn folder_of_mail(&self, name: &str) {
        give_to_mail(&self.folder(name));
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, contents: impl AsRef<[u8]>, mode: u32) {
        write_file(&self.path(name), contents, mode);
    }

    /// Gives a file to the servers.
    pub(super) fn give_to_mail(&self, name: &str) {
        give_to_mail(&self.path(name));
    }

    /// Copies a file of the stack's folder, for the servers to read.
    pub(super) fn copy(&self, file: &str, name: &str) {
        let contents = fs::read(self.stack.join(file));
        let contents = contents.unwrap_or_else(|error| panic!("{file} cannot be read: {error}"));
        self.write(name, contents, 0o600);
        give_to_mail(&self.path(name));
    }

    /// Runs a program in here to its end and returns what it wrote on standard output.
    ///
    /// # Panics
    /// As [`tool::run`].
    pub(super) async fn run(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let root = self.path.display().to_string();
        let arguments = [&[root.as_str(), program], arguments].concat();
        tool::feed("chroot", &arguments, input).await
    }

    /// Starts a server in here, in the foreground and as root or, with `as_mail`, as the servers'
    /// user. `command` is its program and arguments. It finds `variables` and nothing else in its
    /// environment but where programs are, and writes its log to `var/log/NAME`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub(super) fn start(
        &self,
        name: &'static str,
        as_mail: bool,
        command: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let log = self.path("var/log").join(name);
        let log = File::options().create(true).append(true).open(&log);
        let log = log.unwrap_or_else(|error| panic!("the log of {name} cannot be made: {error}"));
        let mut chroot = Command::new("chroot");
        if as_mail {
            chroot.arg(format!("--userspec={MAIL}:{MAIL}"));
        }
        chroot.arg(&self.path).args(command);
        chroot.env_clear().env("PATH", tool::PATH).envs(variables.iter().copied());
        // By this the keeper of the folder knows it, and all that it starts.
        chroot.env(MARK, self.path.join(""));
        // An interrupt from the keyboard reaches the whole group of the tests, and not this one.
        chroot.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = chroot.spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Process { child, name }
    }

    /// The value of a setting in a file of shell variables, as the package brings it; empty if there
    /// is none.
    pub(super) fn setting(&self, file: &str, name: &str) -> String {
        let text = fs::read_to_string(self.path(file)).unwrap_or_default();
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        text.lines().find_map(value).unwrap_or_default().trim_matches('"').to_owned()
    }

    /// What a server wrote to `var/log/NAME`.
    pub(super) fn log(&self, name: &str) -> String {
        let log = fs::read(self.path("var/log").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// The variable of the environment that names the root folder.
pub(super) const MARK: &str = "MAILTRIP_LAB";

const USERS: &str = "\
root:x:0:0:::
mail:x:8:8:::
Debian-exim:x:8:8:::
courier:x:8:8:::
cyrus:x:8:8:::
nobody:x:65534:65534:::
";

const GROUPS: &str = "\
root:x:0:
mail:x:8:
Debian-exim:x:8:
courier:x:8:
nogroup:x:65534:
";

impl Process {
    /// Ends it and returns when it is gone.
    ///
    /// # Panics
    /// If it does not end.
    pub(super) async fn end(mut self) {
        tool::run("kill", &["-TERM", &self.child.id().to_string()]).await;
        let what = format!("{} has ended", self.name);
        wait::until(&what, async || self.child.try_wait().is_ok_and(|status| status.is_some()))
            .await;
    }
}

impl Process {
    /// Sends a signal, as `STOP`, to it and to all that it has started.
    ///
    /// # Panics
    /// If it is gone.
    pub(super) async fn signal_group(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        tool::run("kill", &[&format!("-{signal}"), "--", &group]).await;
    }

    /// Ends it and all that it has started, and returns when it is gone. One that it was just starting may not have heard
    /// that, and it would wait for that one: all are told again until it ends.
    ///
    /// # Panics
    /// If it does not end.
    pub(super) async fn end_group(mut self) {
        let what = format!("{} has ended", self.name);
        wait::until(&what, async || {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return true;
            }
            self.signal_group("TERM").await;
            tokio::time::sleep(AGAIN).await;
            false
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part of the address before the `@`.
pub(super) fn local_part(account: &Account) -> &str {
    account.address.split_once('@').map_or(account.address.as_str(), |(name, _)| name)
}

fn give_to_mail(path: &Path) {
    chown(path, Some(MAIL), Some(MAIL))
        .unwrap_or_else(|error| panic!("{} cannot be given away: {error}", path.display()));
}
