//! The files of a database in use: seen to be the ones that were opened, and made anew where somebody
//! deleted them. What was committed is still in the open files, which nobody sees any more.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{beside, schema};

/// Why files could not be made anew.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Which files are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    database: Option<Id>,
    log: Option<Id>,
}

/// Device and inode.
type Id = (u64, u64);

/// What became of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They are there.
    Sound,
    /// The database has no name any more.
    Deleted,
    /// Its name stands for another file.
    Replaced,
    /// It was cut off to nothing.
    Emptied,
    /// The write-ahead log has no name any more.
    LogDeleted,
}

impl Files {
    /// Those that were opened just now.
    pub(super) fn of(path: &Path) -> Self {
        Self { database: id(path), log: id(&beside(path, "-wal")) }
    }

    /// What became of them since.
    fn fate(self, path: &Path) -> Fate {
        let now = Self::of(path);
        if now.database.is_none() {
            Fate::Deleted
        } else if now.database != self.database {
            Fate::Replaced
        } else if fs::metadata(path).is_ok_and(|found| found.len() == 0) {
            Fate::Emptied
        } else if now.log != self.log {
            Fate::LogDeleted
        } else {
            Fate::Sound
        }
    }
}

/// Makes anew what was deleted, and says so; `None`: nothing was. The error has words for what is to
/// come of it.
pub(super) fn look_after(
    connection: &mut Connection,
    path: &Path,
    files: Files,
) -> Result<Option<&'static str>, (Problem, &'static str)> {
    match files.fate(path) {
        Fate::Sound => Ok(None),
        Fate::Deleted => match write_anew(connection, path) {
            Ok(()) => Ok(Some(
                "the database was deleted while in use; it was recreated and nothing is lost",
            )),
            Err(problem) => Err((
                problem,
                "the database was deleted while in use and cannot be recreated; the mails under \
                 way and the counters are lost at the next restart",
            )),
        },
        Fate::LogDeleted => match renew_log(connection) {
            Ok(()) => {
                Ok(Some("the `-wal` file was deleted while in use; its content is in the database"))
            }
            Err(problem) => Err((
                problem,
                "the `-wal` file was deleted while in use; changes since then are lost if the \
                 process is killed",
            )),
        },
        Fate::Replaced => Err((
            "another file has its name".into(),
            "the database was replaced while in use; changes go to the old file, which is gone at \
             the next restart: restart now to use the new one, or move the new one away to have \
             the old one recreated",
        )),
        Fate::Emptied => Err((
            "it holds 0 bytes".into(),
            "the database was emptied while in use; the mails under way and the counters are lost at \
             the next restart",
        )),
    }
}

/// Writes everything that the connection sees into a new file of that name, which has to be free, and
/// goes on with it.
fn write_anew(connection: &mut Connection, path: &Path) -> Result<(), Problem> {
    let fresh = beside(path, ".new");
    // Of a try before.
    let _ = fs::remove_file(&fresh);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let name = fresh.to_str().ok_or("the path is not UTF-8")?;
    connection.execute("VACUUM INTO ?1", [name])?;
    // SQLite would play an old log into the new file.
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, end));
    }
    fs::rename(&fresh, path)?;
    let opened = schema::reopen(path)?;
    // The old connection would delete the new log when it ends, which has the name of its own.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    *connection = opened;
    Ok(())
}

/// Brings what is in a log without a name into the database, and begins a new one.
fn renew_log(connection: &Connection) -> Result<(), Problem> {
    let mode = |mode| {
        connection
            .query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0))
    };
    if mode("DELETE")? != "delete" || mode("WAL")? != "wal" {
        return Err("another program holds the database".into());
    }
    // The first write makes the file.
    connection.execute("UPDATE meta SET schema_version = schema_version", [])?;
    Ok(())
}

fn id(path: &Path) -> Option<Id> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
