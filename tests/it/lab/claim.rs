//! A lab's own folder and ports, and their end.
//!
//! The folder is named after its first port, so that to make it is to claim the block of ports.
//! A lock on a file in it tells whether somebody still looks after it.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::SystemTime;

/// Below the ports that Linux gives to clients, which could take one while a server is stopped.
const PORTS: Range<u16> = 20_000..32_000;
const PORTS_IN_BLOCK: u16 = 10;

/// A folder of its own and a block of free ports, until this is dropped or the process ends.
///
/// Then the servers that run in the folder are ended and it is removed, by a shell that waits for
/// it: a destructor does not run when a process is killed, and never for a static.
pub(crate) struct Claim {
    folder: PathBuf,
    first_port: u16,
    keeper: Child,
    keeper_waits_on: Option<ChildStdin>,
}

impl Claim {
    /// Claims a folder and ports, and clears away what a killed process left.
    ///
    /// # Panics
    /// If the temporary folder cannot be used by the servers' users, or all blocks are taken.
    pub(crate) fn new() -> Self {
        let root = root();
        let root_lock = open_lock(&root.join("lock"));
        root_lock.lock().unwrap_or_else(|error| panic!("cannot lock {}: {error}", root.display()));
        remove_stale(&root);
        PORTS
            .step_by(PORTS_IN_BLOCK.into())
            .find_map(|first_port| Self::take(&root, first_port))
            .unwrap_or_else(|| panic!("no free block of ports: end labs in {}", root.display()))
    }

    fn take(root: &Path, first_port: u16) -> Option<Self> {
        let folder = root.join(first_port.to_string());
        if !are_free(first_port) || fs::create_dir(&folder).is_err() {
            return None;
        }
        let lock = open_lock(&folder.join("keeper"));
        lock.try_lock().unwrap_or_else(|error| panic!("{} is locked: {error}", folder.display()));
        let mut keeper = keeper(&folder, lock, Stdio::piped());
        let keeper_waits_on = keeper.stdin.take();
        Some(Self { folder, first_port, keeper, keeper_waits_on })
    }

    /// The folder. It and those above it can be searched by every user.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The first of [`PORTS_IN_BLOCK`] ports.
    pub(crate) fn first_port(&self) -> u16 {
        self.first_port
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.keeper_waits_on = None;
        // The shell bounds each of its own waits.
        let _ = self.keeper.wait();
    }
}

/// The loopback addresses of this machine; a container may lack the second.
pub(crate) fn loopback_addresses() -> Vec<IpAddr> {
    let mut addresses = vec![Ipv4Addr::LOCALHOST.into()];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(Ipv6Addr::LOCALHOST.into());
    }
    addresses
}

fn root() -> PathBuf {
    let root = std::env::temp_dir().join("mailtrip-lab");
    // Another test process may be making it at the same time.
    let _ = fs::create_dir(&root);
    let root = root
        .canonicalize()
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", root.display()));
    for folder in root.ancestors() {
        let mode = fs::metadata(folder).map_or(0, |metadata| metadata.mode());
        assert!(
            mode & 0o001 != 0,
            "{} is closed to the users postfix and dovecot: set TMPDIR to an open folder",
            folder.display()
        );
    }
    let owner = fs::metadata(&root).map(|metadata| metadata.uid()).ok();
    assert_eq!(owner, Some(0), "{} is not root's: remove it", root.display());
    root
}

fn open_lock(path: &Path) -> File {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options
        .open(path)
        .unwrap_or_else(|error| panic!("{} cannot be opened: {error}", path.display()))
}

fn are_free(first_port: u16) -> bool {
    let addresses = loopback_addresses();
    let is_free =
        |port| addresses.iter().all(|&address| TcpListener::bind((address, port)).is_ok());
    (first_port..first_port + PORTS_IN_BLOCK).all(is_free)
}

fn remove_stale(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        // A lab that ends right now may take its files away at any moment.
        match File::options().write(true).open(folder.join("keeper")) {
            Ok(lock) if lock.try_lock().is_ok() => {
                let _ = keeper(&folder, lock, Stdio::null()).wait();
            }
            Ok(_) => {}
            Err(_) => {
                let _ = fs::remove_dir(&folder);
            }
        }
    }
}

/// The shell that ends the lab in `folder` once `stdin` closes.
///
/// It holds the lock as its standard output, for as long as it lives.
fn keeper(folder: &Path, lock: File, stdin: Stdio) -> Child {
    Command::new("sh")
        .args(["-c", include_str!("end.sh"), "sh"])
        .arg(folder)
        .stdin(stdin)
        .stdout(lock)
        .stderr(Stdio::null())
        .current_dir("/")
        // An interrupt from the keyboard reaches the whole group of the tests, and not this one.
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("sh cannot be started: {error}"))
}

/// Makes `path` and the folders above it that are missing, searchable by all.
///
/// # Panics
/// If that fails.
pub(crate) fn make_folder(path: &Path) {
    fs::create_dir_all(path)
        .and_then(|()| fs::set_permissions(path, PermissionsExt::from_mode(0o755)))
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", path.display()));
}

/// Writes a file that its readers see whole or not at all.
///
/// # Panics
/// If that fails.
pub(crate) fn write_file(path: &Path, contents: impl AsRef<[u8]>, mode: u32) {
    let new = path.with_added_extension("new");
    fs::write(&new, contents)
        .and_then(|()| fs::set_permissions(&new, PermissionsExt::from_mode(mode)))
        .and_then(|()| fs::rename(&new, path))
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}

/// Sets the time at which a file was last changed.
///
/// # Panics
/// If that fails.
pub(crate) fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_modified(time))
        .unwrap_or_else(|error| panic!("{} cannot be dated: {error}", path.display()));
}
