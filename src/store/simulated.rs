//! A disk that fails when a simulation says so, for a thread.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::ffi;

/// Where a transaction fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Before anything is written.
    AtBegin,
    /// After all of it was written, and before it is committed.
    AtCommit,
}

thread_local! {
    static FAILING: Cell<Option<Failing>> = const { Cell::new(None) };
    static TAKES: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Has each commit of this thread take so long from now on.
pub fn slow(takes: Duration) {
    TAKES.set(takes);
}

pub(super) fn takes() -> Duration {
    TAKES.get()
}

/// Has the stores of this thread fail there from now on; `None`: they work.
pub fn fail(failing: Option<Failing>) {
    FAILING.set(failing);
}

pub(super) fn begin() -> rusqlite::Result<()> {
    fails(Failing::AtBegin)
}

pub(super) fn commit() -> rusqlite::Result<()> {
    fails(Failing::AtCommit)
}

fn fails(here: Failing) -> rusqlite::Result<()> {
    match FAILING.get() {
        Some(failing) if failing == here => {
            Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None))
        }
        _ => Ok(()),
    }
}
