//! The folder in which the exporter keeps its state, and what a power loss leaves of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder for a state, in memory where there is such a place.
pub(crate) fn folder() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("mailtrip-simulation").tempdir_in(parent)
}

/// Copies all files of a folder.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for path in files(from)? {
        if let Some(name) = path.file_name() {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Puts the files of a folder in place of those in the other.
pub(crate) fn restore(from: &Path, to: &Path) -> io::Result<()> {
    for path in files(to)? {
        fs::remove_file(path)?;
    }
    copy(from, to)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}
