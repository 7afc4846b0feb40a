//! The thread that writes: takes everything that has come meanwhile and commits it at once.
//!
//! What waits to be written is the newest state of each target, mail and folder, so it stays small
//! however long the store fails, and writing it once more does no harm.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::availability::{self, Fading};
use super::care::{self, Files};
use super::change::Change;
use super::mark::Mark;
use super::queue::{Batch, Question, Queue, Shared, Sleep};
use super::work::Work;
use super::{
    FolderRecord, KeptFinding, KeptInspection, LayerRecord, StoredTarget, beside, findings,
    inspection, readings, rows, schema,
};
use crate::clock;
use crate::config::{Secret, TargetName};
use ledger::StoredAccount;

/// The first wait before a store that failed is tried again; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// A store that keeps failing is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// How long a commit may rest in the system's memory before it is forced to the disk.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// What the writer has to do.
enum Next {
    /// To write and to answer this; the last of it if `true`.
    Batch(Box<Batch>, bool),
    /// To force the commits to the disk.
    Sync,
    /// To wait until it is called, or until then.
    Sleep(Option<Instant>),
}

/// The thread's own.
pub(super) struct Writer {
    connection: Connection,
    path: PathBuf,
    files: Files,
    mark: Mark,
    commits: u64,
    shared: Arc<Shared>,
    /// Set while the store fails: when it is tried again, and how long the wait was.
    retry: Option<(Instant, Duration)>,
    last_logged: Option<Instant>,
    /// When the commits since the last time are forced to the disk.
    sync_due: Option<Instant>,
    fading: Fading,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        path: PathBuf,
        (mark, commits): (Mark, u64),
        shared: Arc<Shared>,
    ) -> Self {
        let files = Files::of(&path);
        Self {
            connection,
            path,
            files,
            mark,
            commits,
            shared,
            retry: None,
            last_logged: None,
            sync_due: None,
            fading: Fading::default(),
        }
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        let mut is_last = false;
        while !is_last {
            let batch;
            (batch, is_last) = self.next_batch();
            self.do_all(batch);
        }
        self.end();
    }

    /// The same on the runtime, without a thread: there the time stands still while it writes.
    #[cfg(feature = "simulation")]
    pub(super) async fn run_on_runtime(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let next = self.next(&mut shared.queue());
            match next {
                Next::Batch(batch, is_last) => {
                    if !batch.work.is_empty() {
                        tokio::time::sleep(super::simulated::takes()).await;
                    }
                    self.do_all(*batch);
                    if is_last {
                        return self.end();
                    }
                }
                Next::Sync => self.sync(),
                Next::Sleep(Some(until)) => {
                    let _ = tokio::time::timeout_at(until, shared.called.notified()).await;
                }
                Next::Sleep(None) => shared.called.notified().await,
            }
        }
    }

    fn do_all(&mut self, batch: Batch) {
        if !batch.work.is_empty() {
            match self.write(&batch.work) {
                Ok(()) => self.succeeded(),
                Err(problem) => self.failed(&problem, batch.work),
            }
        }
        for question in batch.questions {
            self.answer(question);
        }
        for written in batch.waiting {
            // Whoever waited may have gone on already.
            let _ = written.send(());
        }
    }

    /// Waits for something to do; the rest is given back with `true` when the store is closed.
    fn next_batch(&mut self) -> (Batch, bool) {
        let shared = Arc::clone(&self.shared);
        let mut queue = shared.queue();
        loop {
            let until = match self.next(&mut queue) {
                Next::Batch(batch, is_last) => return (*batch, is_last),
                Next::Sync => {
                    drop(queue);
                    self.sync();
                    queue = shared.queue();
                    continue;
                }
                Next::Sleep(until) => until,
            };
            queue = match until {
                Some(until) => {
                    let wait = until.saturating_duration_since(Instant::now());
                    let waited = shared.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// What is to be done now.
    fn next(&self, queue: &mut Queue) -> Next {
        queue.sleep = None;
        let now = Instant::now();
        if self.sync_due.is_some_and(|due| due <= now) {
            return Next::Sync;
        }
        let due = queue.work.due();
        let due = due.map(|due| self.retry.map_or(due, |(retry, _)| retry.max(due)));
        let can_write = due.is_some_and(|due| due <= now);
        let is_asked = !queue.waiting.is_empty() || !queue.questions.is_empty();
        if can_write || is_asked || queue.is_closing {
            let is_last = queue.is_closing;
            return Next::Batch(Box::new(queue.take()), is_last);
        }
        let until = due.into_iter().chain(self.sync_due).min();
        queue.sleep = Some(Sleep { until });
        Next::Sleep(until)
    }

    /// What the accounts have comes first, on its own: how the targets were may be much more, and nothing
    /// depends on it.
    fn write(&mut self, work: &Work) -> rusqlite::Result<()> {
        if work.is_more_than_availabilities() {
            self.write_accounts(work)?;
        }
        if work.availabilities.is_empty() {
            return Ok(());
        }
        let all = &work.availabilities;
        self.commits = availability::write_all(&self.connection, all, &mut self.fading)?;
        Ok(())
    }

    fn write_accounts(&mut self, work: &Work) -> rusqlite::Result<()> {
        let change = Change::begin(&self.connection)?;
        work.write_accounts(&self.connection)?;
        let commits = schema::count_commit(&self.connection)?;
        change.commit()?;
        self.commits = commits;
        Ok(())
    }

    fn succeeded(&mut self) {
        if let Err(problem) = self.mark.write(self.commits, false) {
            self.complain(&problem, "the mark of the state cannot be written");
        }
        if self.sync_due.is_none() {
            self.sync_due = Some(Instant::now() + SYNC_AFTER);
        }
        if self.retry.take().is_some() {
            self.last_logged = None;
            self.shared.queue().is_failing = false;
            info!(path = %self.path.display(), "the state directory is writable again");
        }
    }

    /// Keeps what could not be written, under what has come meanwhile, and tries again later.
    fn failed(&mut self, problem: &dyn std::error::Error, mut work: Work) {
        let wait = self.retry.map_or(RETRY_FIRST, |(_, wait)| (wait * 2).min(RETRY_LONGEST));
        self.retry = Some((Instant::now() + wait, wait));
        let mut queue = self.shared.queue();
        let dropped = work.then(std::mem::take(&mut queue.work));
        queue.work = work;
        queue.is_failing = true;
        drop(queue);
        self.shared.errors.fetch_add(dropped, Ordering::Relaxed);
        self.complain(problem, "the state cannot be written; the exporter continues from memory");
    }

    /// Counts a failure, and logs it if none was logged lately.
    fn complain(&mut self, problem: &dyn std::error::Error, what: &str) {
        self.shared.errors.fetch_add(1, Ordering::Relaxed);
        if self.last_logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
            self.last_logged = Some(Instant::now());
            error!(path = %self.path.display(), error = %problem, "{what}");
        }
    }

    /// Forces the commits to the disk: with synchronous=NORMAL, SQLite does so only at a checkpoint.
    fn sync(&mut self) {
        self.sync_due = None;
        self.look_after_files();
        let wal = beside(&self.path, "-wal");
        if let Err(problem) = File::open(wal).and_then(|wal| wal.sync_data()) {
            self.complain(&problem, "the state cannot be synced to disk");
        }
    }

    /// Makes anew what somebody deleted: the writes would go on to files that nobody finds again.
    fn look_after_files(&mut self) {
        match care::look_after(&mut self.connection, &self.path, self.files) {
            Ok(None) => {}
            Ok(Some(words)) => {
                self.files = Files::of(&self.path);
                warn!(path = %self.path.display(), "{words}");
            }
            Err((problem, words)) => self.complain(&*problem, words),
        }
    }

    fn answer(&mut self, question: Question) {
        match question {
            Question::Targets { targets, answer } => {
                let stored = targets.into_iter().filter_map(|(target, lost_after)| {
                    let stored = StoredTarget {
                        account: self.account(&target, lost_after),
                        layers: self.layers(&target),
                        inspection: self.inspection(&target),
                        findings: self.findings(&target),
                    };
                    // Of a target that is new there is nothing to hand over.
                    (stored != StoredTarget::default()).then_some((target, stored))
                });
                let _ = answer.send(stored.collect());
            }
            Question::Folders { mailbox, answer } => {
                let _ = answer.send(self.folders(&mailbox));
            }
            Question::RefreshToken { origin, answer } => {
                let _ = answer.send(self.refresh_token(&origin));
            }
        }
    }

    fn account(&mut self, target: &TargetName, lost_after: Duration) -> StoredAccount {
        let forgotten = clock::wall().checked_sub(lost_after).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut account = rows::read_account(&self.connection, target, forgotten)
            .unwrap_or_else(|problem| self.read_failed(&problem));
        if let Some(changes) = self.shared.queue().work.accounts.get(target) {
            account.apply(changes);
        }
        if let Some(changes) = self.shared.queue().work.availabilities.get(target) {
            account.availability.apply(changes, clock::wall());
        }
        account
    }

    fn layers(&mut self, target: &TargetName) -> LayerRecord {
        let queued = self.shared.queue().work.layers.get(target).cloned();
        queued.unwrap_or_else(|| {
            readings::read(&self.connection, target)
                .unwrap_or_else(|problem| self.read_failed(&problem))
        })
    }

    fn inspection(&mut self, target: &TargetName) -> Option<KeptInspection> {
        let queued = self.shared.queue().work.inspections.get(target).cloned();
        queued.unwrap_or_else(|| {
            inspection::read(&self.connection, target)
                .unwrap_or_else(|problem| self.read_failed(&problem))
        })
    }

    fn findings(&mut self, target: &TargetName) -> Vec<KeptFinding> {
        let queued = self.shared.queue().work.findings.get(target).cloned();
        queued.unwrap_or_else(|| {
            findings::read(&self.connection, target)
                .unwrap_or_else(|problem| self.read_failed(&problem))
        })
    }

    fn folders(&mut self, mailbox: &str) -> BTreeMap<String, FolderRecord> {
        let mut folders = rows::read_folders(&self.connection, mailbox)
            .unwrap_or_else(|problem| self.read_failed(&problem));
        for ((known, folder), record) in &self.shared.queue().work.folders {
            if known == mailbox {
                folders.insert(folder.clone(), record.clone());
            }
        }
        folders
    }

    fn refresh_token(&mut self, origin: &str) -> Option<Secret> {
        let queued = self.shared.queue().work.refresh_tokens.get(origin).cloned();
        queued.or_else(|| {
            rows::read_refresh_token(&self.connection, origin)
                .unwrap_or_else(|problem| self.read_failed(&problem))
        })
    }

    fn read_failed<T: Default>(&mut self, problem: &rusqlite::Error) -> T {
        self.complain(problem, "the state cannot be read; the exporter starts without it");
        T::default()
    }

    fn end(mut self) {
        self.look_after_files();
        let Self { connection, mark, commits, shared, .. } = self;
        // The last connection to close merges the write-ahead log into the file.
        drop(connection);
        // An older mark than the database does no harm.
        let _ = mark.write(commits, true);
        let mut queue = shared.queue();
        queue.has_ended = true;
        queue.waiting.clear();
        queue.questions.clear();
        shared.changed.notify_all();
    }
}
