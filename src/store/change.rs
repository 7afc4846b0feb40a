//! A transaction whose own statements are prepared once, and not parsed anew with each.

use rusqlite::Connection;

/// Changes that are written together; what was not committed when it is dropped is undone.
#[must_use = "it is undone when it is dropped"]
pub(super) struct Change<'c> {
    connection: &'c Connection,
}

impl<'c> Change<'c> {
    /// Begins it, as the only one that writes.
    ///
    /// # Errors
    /// Another program writes, or the database cannot be used.
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        #[cfg(feature = "simulation")]
        super::simulated::begin()?;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// It could not be written, and nothing of it was.
    pub(super) fn commit(self) -> rusqlite::Result<()> {
        #[cfg(feature = "simulation")]
        super::simulated::commit()?;
        // Should it fail, the transaction is open still and is undone by the drop.
        self.connection.prepare_cached("COMMIT")?.execute([]).map(|_| ())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // SQLite has undone it by itself, or does so when the connection is closed.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
