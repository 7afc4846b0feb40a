//! What outlives the process: the accounts of the targets, what they measured last, their mails under
//! way, the layers below, what the header of the newest mail says, how far each folder has been read, the
//! refresh tokens that were renewed, and the id of this instance. All of it is in one SQLite file, and
//! what was committed survives `kill -9`; a power loss may lose the last second. A database that does not
//! hold what it should is told of.
//!
//! `writer` is the thread that writes, `queue` where it is met, `work` what it has to write, `schema` the file, `rows`,
//! `failures`, `findings`, `readings`, `newest`, `inspection` and `availability` what is in it, `mark` what it has to hold,
//! `care` what becomes of it while it is in use, `change` a transaction. Nobody waits for the disk but a mail
//! about to be sent or removed, and that for a second at most. A store that fails is logged and counted while everything goes on from
//! memory, and is tried again.

use mail::oauth::{Stored, TokenStore};

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::config::{MailboxId, Secret, TargetName};
pub use failures::PORT_REASONS;
pub use findings::{FindingKind, KeptFinding};
pub use inspection::KeptInspection;
use ledger::Instance;
use ledger::{AvailabilityChanges, Changes, ClockOffset, StoredAccount};
pub use mark::Loss;
use mark::{Found, Mark};
use queue::{Question, Shared};
pub use readings::{KeptReading, LayerRecord, PingOutcome, PortFailures, RoundTrips};
use writer::Writer;

pub(crate) mod availability;
mod care;
mod change;
mod columns;
mod failures;
pub(crate) mod findings;
pub(crate) mod inspection;
mod mark;
pub(crate) mod newest;
mod queue;
pub(crate) mod readings;
pub(crate) mod rows;
pub(crate) mod schema;
#[cfg(feature = "simulation")]
pub mod simulated;
mod work;
mod writer;

/// The database in the state directory.
const DATABASE_FILE: &str = "mailtrip.db";
/// The file that tells a second process that the directory is in use.
const LOCK_FILE: &str = "lock";
/// Where the id of the instance was before there was a database.
const INSTANCE_FILE: &str = "instance";
/// How long a mail about to be sent waits for its record.
const COMMIT: Duration = Duration::from_secs(1);
/// How long the last records may take when the store is closed; in tests as long as a busy machine needs.
const CLOSE: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 1 });
/// How long a reader waits for its answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What is kept of a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredTarget {
    /// Its account, with the newest measurements.
    pub account: StoredAccount,
    /// The layers below.
    pub layers: LayerRecord,
    /// What the header of the newest mail says.
    pub inspection: Option<KeptInspection>,
    /// What was found outside its mails.
    pub findings: Vec<KeptFinding>,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be made, or something in it could not be read or written.
    #[error("cannot {action} {path}: {source}; choose another folder with `state_dir`, or give this user the right to it", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file `instance` of an earlier version does not hold its id.
    #[error("{path} does not hold an instance id (32 hex digits); remove the file to start a new \
             instance", path = path.display())]
    NoInstance {
        /// The file.
        path: PathBuf,
    },
    /// Another process works in the directory.
    #[error("the state directory {directory} is in use by another mailtrip_exporter{process}; stop that one, or give this one its own `state_dir`", directory = directory.display(), process = process.map_or_else(String::new, |id| format!(" (process {id})")))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// The other process, if it could be learned.
        process: Option<u32>,
    },
    /// The database could not be used, for a reason that may pass.
    #[error("cannot use {path}: {source}; check that the disk has room, that this user may write \
             the file and its folder, and that no other program uses it", path = path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file is not the database that it should be.
    #[error("{path} is damaged ({detail}); to start afresh, move it away together with its `-wal` \
             and `-shm`, or put a good copy in its place; the mails under way and the counters \
             that it held are lost", path = path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A newer program has made the database.
    #[error("{path} was written by a newer version of mailtrip_exporter (schema {version}, this \
             one knows up to {known}); run that version, or move the file away to start afresh", path = path.display(), known = schema::VERSION)]
    Newer {
        /// The database.
        path: PathBuf,
        /// The version of its tables.
        version: i64,
    },
}

/// How far a folder has been read, and what is left to do in it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FolderRecord {
    /// IMAP: another UIDVALIDITY voids the rest (RFC 3501 section 2.3.1.1). JMAP: of which folders the rest tells, as a
    /// checksum. POP3: 0.
    pub uid_validity: u32,
    /// IMAP: the first UID that was not looked at; 0 before the first contact.
    pub next_uid: u32,
    /// By how much the server's clock is ahead of ours, where it was learned.
    pub clock: Option<ClockOffset>,
    /// When it was last looked into, to a second or so; written while mail is waited for.
    pub looked_at: Option<SystemTime>,
    /// Ours, not yet taken out: UIDs, or UIDL ids (RFC 1939 section 7: printable, without spaces).
    /// What is not a single word is not kept.
    pub to_remove: Vec<String>,
    /// Probes that nobody here waits for, and from when on they may be taken out (to the second).
    pub left_overs: Vec<(String, SystemTime)>,
}

/// (mailbox, folder).
type FolderKey = (String, String);

/// The store. It is closed when it is dropped, after what it was given has been written.
#[derive(Debug)]
pub struct Store {
    /// The random id of this directory, made with it and kept in it.
    pub instance: Instance,
    loss: Option<Loss>,
    shared: Arc<Shared>,
    /// How long the last records may take when it is dropped.
    close_within: Duration,
    _lock: DirectoryLock,
}

/// Keeps other processes out of the directory until it is dropped.
#[derive(Debug)]
struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // To close the file is not enough: a child process that is about to start has it open as well.
        let _ = self.0.unlock();
    }
}

impl Store {
    /// Opens the state directory, and makes it (mode 0700) if it is missing. Blocks, for a check of
    /// the whole database. One that does not hold what it should is told of in the log; see
    /// [`Store::loss`].
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let (store, writer) = Self::open_unwritten(directory)?;
        thread::Builder::new().name("store".into()).spawn(move || writer.run()).map_err(
            |source| StoreError::Io {
                action: "start the thread that writes to",
                path: directory.to_owned(),
                source,
            },
        )?;
        Ok(store)
    }

    /// The same with a writer that is no thread, but what is given back: it writes where that is polled. When
    /// the store is dropped, nobody waits for it.
    ///
    /// # Errors
    /// See [`StoreError`].
    #[cfg(feature = "simulation")]
    pub fn open_on_runtime(
        directory: &Path,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), StoreError> {
        let (mut store, writer) = Self::open_unwritten(directory)?;
        store.close_within = Duration::ZERO;
        Ok((store, writer.run_on_runtime()))
    }

    /// The store, and the writer that has yet to run.
    fn open_unwritten(directory: &Path) -> Result<(Self, Writer), StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| {
            let action = "make the state directory";
            StoreError::Io { action, path: directory.to_owned(), source }
        })?;
        let had_lock = directory.join(LOCK_FILE).exists();
        let lock = lock(directory)?;
        let path = directory.join(DATABASE_FILE);
        let found = Found::look(directory, &path, had_lock);
        let (connection, instance) = schema::open(directory, &path)?;
        let commits = schema::commits(&connection, &path)?;
        let loss = found.loss(instance, commits);
        if let Some(loss) = &loss {
            warn!("{loss}");
            if loss.is_older_copy() {
                rows::leave_mails_under_way(&connection)
                    .map_err(|source| StoreError::Database { path: path.clone(), source })?;
            }
        }
        let mark = Mark::open(directory, instance, commits).map_err(|source| StoreError::Io {
            action: "write the mark in",
            path: directory.to_owned(),
            source,
        })?;
        let shared = Arc::new(Shared::default());
        let writer = Writer::new(connection, path, (mark, commits), Arc::clone(&shared));
        Ok((Self { instance, loss, shared, close_within: CLOSE, _lock: lock }, writer))
    }

    /// What an earlier process had kept here and is not here any more; `None` for a first start.
    pub fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// Takes what has changed of a target, to be written soon. All changes of one call are written
    /// together or not at all. What is only measured, with no mail and no counter, may wait a second for
    /// other changes to be written with.
    pub fn record(&self, target: &TargetName, changes: Changes) {
        self.shared.record(target, changes);
    }

    /// Takes what is newest of the layers below a target, to be written soon; at once if `has_counted`, for
    /// a counter is not to fall.
    pub fn record_layers(&self, target: &TargetName, record: LayerRecord, has_counted: bool) {
        self.shared.record_layers(target.clone(), record, has_counted);
    }

    /// Takes what the header of the newest mail of a target says, to be written soon; `None`: it is to be
    /// forgotten.
    pub fn record_inspection(&self, target: &TargetName, kept: Option<KeptInspection>) {
        self.shared.record_inspection(target.clone(), kept);
    }

    /// Takes everything that was found about a target outside its mails, to be written soon.
    pub fn record_findings(&self, target: &TargetName, findings: Vec<KeptFinding>) {
        self.shared.record_findings(target.clone(), findings);
    }

    /// Takes how a target was over the latest hours and days, to be written soon.
    pub fn record_availability(&self, target: &TargetName, changes: AvailabilityChanges) {
        self.shared.record_availability(target.clone(), changes);
    }

    /// Takes how far a folder has been read, to be written soon. The folder's name is as the server
    /// writes it; POP3 and JMAP have one record for all of a mailbox.
    pub fn record_folder(&self, mailbox: &MailboxId, folder: &str, record: FolderRecord) {
        self.shared.record_folder((mailbox.to_string(), folder.to_owned()), record);
    }

    /// Waits until everything taken so far is committed, or the store has failed; a second at most.
    pub async fn committed(&self) {
        if let Some(written) = self.shared.wait_for_commit() {
            // Too late, or the writer gone: whoever waits goes on all the same.
            let _ = timeout(COMMIT, written).await;
        }
    }

    /// Waits until everything taken so far is written or could not be, however long that takes.
    #[cfg(test)]
    pub(crate) async fn written(&self) {
        self.load(Vec::new()).await;
    }

    /// What is kept of these targets, with what is not written yet. The records of mails that ended longer
    /// ago than the duration beside the name are deleted. A target without a record, or one whose records
    /// could not be read, begins anew.
    pub async fn load(
        &self,
        targets: Vec<(TargetName, Duration)>,
    ) -> BTreeMap<TargetName, StoredTarget> {
        self.ask(|answer| Question::Targets { targets, answer }).await
    }

    /// What is known of the folders of a mailbox, by the name that the server writes.
    pub async fn load_folders(&self, mailbox: &MailboxId) -> BTreeMap<String, FolderRecord> {
        let mailbox = mailbox.to_string();
        self.ask(|answer| Question::Folders { mailbox, answer }).await
    }

    /// How often reading or writing has failed.
    pub fn errors(&self) -> u64 {
        self.shared.errors()
    }

    async fn ask<T: Default>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> T {
        let (answer, answered) = oneshot::channel();
        self.shared.ask(question(answer));
        match timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            _ => T::default(),
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.close(self.close_within);
    }
}

/// The file whose name is that of the database and this end.
fn beside(database: &Path, end: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Locks the directory for this process, and says in the lock file which that is.
fn lock(directory: &Path) -> Result<DirectoryLock, StoreError> {
    let path = directory.join(LOCK_FILE);
    let failed = |action| {
        let path = path.clone();
        move |source| StoreError::Io { action, path, source }
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open"))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(failed("write"))?;
            Ok(DirectoryLock(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(32).read_to_string(&mut text);
            let process = read.ok().and_then(|_| text.trim().parse().ok());
            Err(StoreError::InUse { directory: directory.to_owned(), process })
        }
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}

impl TokenStore for Store {
    fn persist<'a>(&'a self, origin: &'a str, token: &'a Secret) -> Stored<'a, ()> {
        self.shared.record_refresh_token(origin.to_owned(), token.clone());
        Box::pin(self.committed())
    }

    fn load<'a>(&'a self, origin: &'a str) -> Stored<'a, Option<Secret>> {
        let origin = origin.to_owned();
        Box::pin(self.ask(|answer| Question::RefreshToken { origin, answer }))
    }
}

#[cfg(test)]
mod tests;
