//! A lab's own folder and ports, and their end.
//!
//! A block of ports belongs to whoever has bound the abstract Unix socket named after it. The kernel
//! gives that name to one process at a time, whoever its user is and wherever its files lie, and frees
//! it with the process: nothing on disk that another user owns or a crash left behind can be in the
//! way. Such names, like ports, are those of one network namespace.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::SystemTime;

/// Below the ports that Linux gives to clients, which could take one while a server is stopped.
const PORTS: Range<u16> = 20_000..32_000;
const PORTS_IN_BLOCK: u16 = 10;

/// A block of free ports that no other test takes until this is dropped.
pub(crate) struct Block {
    first_port: u16,
    socket: UnixListener,
}

impl Block {
    /// Claims a block.
    ///
    /// # Panics
    /// If all are taken.
    pub(crate) fn new() -> Self {
        PORTS
            .step_by(PORTS_IN_BLOCK.into())
            .find_map(Self::take)
            .unwrap_or_else(|| panic!("no free block of ports in {PORTS:?}"))
    }

    /// The block, if nobody else holds it and no port of it is in use.
    fn take(first_port: u16) -> Option<Self> {
        let name = SocketAddr::from_abstract_name(format!("mailtrip-lab-{first_port}")).ok()?;
        let socket = UnixListener::bind_addr(&name).ok()?;
        are_free(first_port).then_some(Self { first_port, socket })
    }

    /// The first of [`PORTS_IN_BLOCK`] ports.
    pub(crate) fn first_port(&self) -> u16 {
        self.first_port
    }
}

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
    /// Claims a folder and ports.
    ///
    /// # Panics
    /// If the temporary folder cannot be used by the servers' users, or all blocks are taken.
    pub(crate) fn new() -> Self {
        let Block { first_port, socket } = Block::new();
        let folder = new_folder();
        let mut keeper = keeper(&folder, socket);
        let keeper_waits_on = keeper.stdin.take();
        Self { folder, first_port, keeper, keeper_waits_on }
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

/// Makes a folder with a name that nobody had before.
fn new_folder() -> PathBuf {
    let parent = std::env::temp_dir();
    let parent = parent
        .canonicalize()
        .unwrap_or_else(|error| panic!("{} cannot be used: {error}", parent.display()));
    for folder in parent.ancestors() {
        let mode = fs::metadata(folder).map_or(0, |metadata| metadata.mode());
        assert!(
            mode & 0o001 != 0,
            "{} is closed to the users postfix and dovecot: set TMPDIR to an open folder",
            folder.display()
        );
    }
    let folder = tempfile::Builder::new()
        .prefix("mailtrip-lab-")
        .tempdir_in(&parent)
        .unwrap_or_else(|error| panic!("no folder in {}: {error}", parent.display()))
        .keep();
    make_folder(&folder);
    folder
}

fn are_free(first_port: u16) -> bool {
    let addresses = loopback_addresses();
    let is_free =
        |port| addresses.iter().all(|&address| TcpListener::bind((address, port)).is_ok());
    (first_port..first_port + PORTS_IN_BLOCK).all(is_free)
}

/// The shell that ends the lab in `folder` once its standard input closes.
///
/// It holds the block of ports as its standard output, for as long as it lives.
fn keeper(folder: &Path, socket: UnixListener) -> Child {
    Command::new("sh")
        .args(["-c", include_str!("end.sh"), "sh"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(socket))
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
