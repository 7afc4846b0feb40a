//! What the database has to hold, told by a small file beside it: so a database that was emptied,
//! deleted, put back or robbed of its write-ahead log is told apart from a first start.
//!
//! The mark is written after each commit and never forced to the disk. A process that is killed between
//! the two leaves it behind the database, which is no loss.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{INSTANCE_FILE, beside};
use ledger::Instance;

/// The mark in the state directory.
const MARK_FILE: &str = "mailtrip.commits";
/// What is lost with a database.
const ALL: &str = "the mails under way, the counters and the positions in the folders are lost; \
                   the counters start at 0, and earlier test mails that still arrive are not \
                   counted";

/// The mark of a database in use.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    instance: Instance,
}

/// What lies in the state directory before the database is opened.
#[derive(Debug)]
pub(super) struct Found {
    database: PathBuf,
    /// In bytes; `None`: there is no database.
    length: Option<u64>,
    has_log: bool,
    /// Files that only an earlier process can have left.
    others: Vec<String>,
    /// It has the id of a state directory from the time before the database.
    is_older: bool,
    mark: Option<Kept>,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    instance: Instance,
    commits: u64,
    is_closed: bool,
}

/// What the database should hold and does not; shown with the file and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    database: PathBuf,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Missing { others: Vec<String> },
    Empty,
    Another { before: Instance, now: Instance },
    Behind { has: u64, of: u64, cause: Cause },
}

/// Why a database lacks commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The last process had closed it.
    OlderCopy,
    /// The write-ahead log of a process that was killed is gone.
    NoLog,
    /// That log lacks its end.
    CutLog,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::OlderCopy => "an older copy took its place",
            Cause::NoLog => {
                "the previous process did not exit cleanly, and the `-wal` file is missing"
            }
            Cause::CutLog => {
                "the previous process or the host did not shut down cleanly, and the `-wal` file \
                 was truncated or is an older one"
            }
        })
    }
}

impl Loss {
    /// Whether somebody put another file in the place of the database, one that may be of any age.
    pub(super) fn is_older_copy(&self) -> bool {
        match &self.what {
            What::Another { .. } => true,
            What::Behind { cause, .. } => *cause == Cause::OlderCopy,
            What::Missing { .. } | What::Empty => false,
        }
    }
}

impl Mark {
    /// Makes the mark of a database that was opened (mode 0600).
    pub(super) fn open(directory: &Path, instance: Instance, commits: u64) -> io::Result<Self> {
        let path = directory.join(MARK_FILE);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mark = Self { file, instance };
        mark.write(commits, false)?;
        Ok(mark)
    }

    /// Says how many commits the database holds, and whether it is closed. All lines are of one
    /// length, so that each replaces the one before in one write.
    pub(super) fn write(&self, commits: u64, is_closed: bool) -> io::Result<()> {
        let state = if is_closed { "closed" } else { "in use" };
        let line = format!("{} commits {commits:020} {state}\n", self.instance);
        self.file.write_all_at(line.as_bytes(), 0)
    }
}

impl Found {
    /// Looks; `had_lock`: the lock file was there before this process made it.
    pub(super) fn look(directory: &Path, database: &Path, had_lock: bool) -> Self {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let log = beside(database, "-wal");
        let candidates = [log.clone(), beside(database, "-shm"), directory.join(MARK_FILE)];
        let mut others: Vec<String> =
            candidates.iter().filter(|path| path.exists()).filter_map(|path| name(path)).collect();
        if had_lock {
            others.push(super::LOCK_FILE.to_owned());
        }
        Self {
            database: database.to_owned(),
            length: fs::metadata(database).ok().map(|found| found.len()),
            has_log: log.exists(),
            others,
            is_older: directory.join(INSTANCE_FILE).exists(),
            mark: Kept::read(&directory.join(MARK_FILE)),
        }
    }

    /// What is lost, now that the database is open and holds so many commits.
    pub(super) fn loss(self, instance: Instance, commits: u64) -> Option<Loss> {
        let what = match (self.length, self.mark) {
            (None, None) if self.is_older => None,
            (None, _) => (!self.others.is_empty()).then_some(What::Missing { others: self.others }),
            (Some(0), _) => Some(What::Empty),
            (Some(_), Some(kept)) if kept.instance != instance => {
                Some(What::Another { before: kept.instance, now: instance })
            }
            (Some(_), Some(kept)) if kept.commits > commits => {
                let cause = match (kept.is_closed, self.has_log) {
                    (true, _) => Cause::OlderCopy,
                    (false, false) => Cause::NoLog,
                    (false, true) => Cause::CutLog,
                };
                Some(What::Behind { has: commits, of: kept.commits, cause })
            }
            (Some(_), _) => None,
        };
        what.map(|what| Loss { database: self.database, what })
    }
}

impl Kept {
    /// `None` for what is no mark: it says nothing.
    fn read(path: &Path) -> Option<Self> {
        let mut text = String::new();
        File::open(path).ok()?.take(128).read_to_string(&mut text).ok()?;
        let mut words = text.split_whitespace();
        let instance = words.next()?.parse().ok()?;
        let commits = words.nth(1)?.parse().ok()?;
        Some(Self { instance, commits, is_closed: words.next() == Some("closed") })
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.database.display();
        match &self.what {
            What::Missing { others } => {
                let others = others.join(", ");
                write!(
                    f,
                    "{path} is missing, but files of an earlier process ({others}) are still \
                     there: {ALL}"
                )
            }
            What::Empty => write!(f, "{path} was empty: if it ever held data, {ALL}"),
            What::Another { before, now } => write!(
                f,
                "{path} is not the database that was here last (it belongs to instance {now}, not \
                 {before}): the mails under way and the counters of that one are lost; the \
                 counters of this one are as old as the file, and mails that were under way in it \
                 are not waited for"
            ),
            What::Behind { has, of, cause: cause @ Cause::OlderCopy } => write!(
                f,
                "{path} lacks the latest {} of {of} commits ({cause}): the counters are from that \
                 time; mails that were under way then are not waited for, and test mails sent \
                 since are not counted when they arrive",
                of - has
            ),
            What::Behind { has, of, cause } => write!(
                f,
                "{path} lacks the latest {} of {of} commits ({cause}): the counters and the mails \
                 under way are from that time, and test mails sent since are not counted when they \
                 arrive",
                of - has
            ),
        }
    }
}
