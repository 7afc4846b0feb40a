//! The mailboxes as they lie on disk, behind the back of every server.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A mail in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    /// `INBOX`, `Junk`, `Trash` or another folder.
    pub(crate) folder: String,
    /// Maildir's letters in order: `D`raft, `F`lagged, `P`assed, `R`eplied, `S`een, `T`rashed;
    /// none for a new mail.
    pub(crate) flags: String,
    /// Where it lies.
    pub(crate) path: PathBuf,
}

impl Mail {
    /// Header and body as delivered.
    ///
    /// # Panics
    /// If the mail has gone or moved since it was listed.
    pub(crate) fn text(&self) -> String {
        let bytes = fs::read(&self.path)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", self.path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// When Dovecot delivered it: the moment in the name that it gives a file, as in
    /// `1700000000.M123456P789.host,S=1`. `None` for a mail that was put there by hand.
    pub(crate) fn delivered(&self) -> Option<SystemTime> {
        let name = self.path.file_name()?.to_str()?;
        let (seconds, rest) = name.split_once(".M")?;
        let micros = rest.split('P').next()?;
        let seconds = Duration::from_secs(seconds.parse().ok()?);
        Some(UNIX_EPOCH + seconds + Duration::from_micros(micros.parse().ok()?))
    }
}

/// Makes the folders of an empty mailbox, which belong to the owner of `mailboxes`.
///
/// # Panics
/// If that fails.
pub(crate) fn make_mailbox(mailboxes: &Path, home: &Path) {
    let maildir = home.join("Maildir");
    let mut folders = vec![home.to_owned(), maildir.clone()];
    for folder in [maildir.clone(), maildir.join(".Junk"), maildir.join(".Trash")] {
        let parts = ["cur", "new", "tmp"].map(|part| folder.join(part));
        folders.push(folder);
        folders.extend(parts);
    }
    for folder in folders {
        fs::create_dir_all(&folder)
            .and_then(|()| give_to_owner_of(mailboxes, &folder))
            .unwrap_or_else(|error| panic!("{} cannot be made: {error}", folder.display()));
    }
}

/// Puts a mail into a folder of the mailbox in `home` as if it had been delivered.
///
/// # Panics
/// If that fails, as when the folder does not exist.
pub(crate) fn put(home: &Path, folder: &str, text: &str) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{}.{number}.lab", std::process::id());
    let folder = folder_path(home, folder);
    let (temporary, path) = (folder.join("tmp").join(&name), folder.join("new").join(&name));
    fs::write(&temporary, text)
        .and_then(|()| give_to_owner_of(home, &temporary))
        .and_then(|()| fs::rename(&temporary, &path))
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}

/// The mails of the mailbox in `home`, all folders, in the order of their file names.
pub(crate) fn list(home: &Path) -> Vec<Mail> {
    let maildir = home.join("Maildir");
    let mut mails = list_folder(&maildir, "INBOX");
    for entry in fs::read_dir(&maildir).into_iter().flatten().flatten() {
        if let Some(folder) = entry.file_name().to_string_lossy().strip_prefix('.') {
            mails.extend(list_folder(&entry.path(), folder));
        }
    }
    mails.sort_by(|one, other| one.path.file_name().cmp(&other.path.file_name()));
    mails
}

fn list_folder(path: &Path, folder: &str) -> Vec<Mail> {
    let entries = ["new", "cur"].into_iter().flat_map(|part| fs::read_dir(path.join(part)));
    let mail = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let flags = name.split_once(":2,").map_or("", |(_, flags)| flags).to_owned();
        Mail { folder: folder.to_owned(), flags, path: entry.path() }
    };
    entries.flatten().flatten().map(mail).collect()
}

fn folder_path(home: &Path, folder: &str) -> PathBuf {
    let maildir = home.join("Maildir");
    if folder == "INBOX" { maildir } else { maildir.join(format!(".{folder}")) }
}

fn give_to_owner_of(model: &Path, path: &Path) -> std::io::Result<()> {
    let model = fs::metadata(model)?;
    chown(path, Some(model.uid()), Some(model.gid()))
}
