//! Files that were read, and whether they are still the same.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files that were read, each with its state at that time.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Option<Stamp>)>,
}

impl Watched {
    /// Reads `path` and remembers how it looked just before, so that a change while it is read
    /// shows as one.
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.push((path.to_owned(), Stamp::of(path)));
        std::fs::read(path)
    }

    /// Whether a file has another modification time or length than when it was read, is gone, or
    /// is there now.
    pub(super) fn has_changed(&self) -> bool {
        self.files.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }
}

/// The modification time and length of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp(SystemTime, u64);

impl Stamp {
    /// `None` for a file that is not there.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self(metadata.modified().ok()?, metadata.len()))
    }
}
