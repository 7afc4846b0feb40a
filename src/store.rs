//! What outlives the process: the state directory and the id of this instance.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::target::message::{Instance, Token};

/// The file in the state directory that holds the id.
const INSTANCE_FILE: &str = "instance";

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
    /// The id is not one.
    #[error("{path} does not hold an instance id (32 hex digits); remove the file to begin a new instance", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The random id of this directory, made with it and kept in it.
    pub instance: Instance,
}

impl Store {
    /// Opens the state directory, and makes it (mode 0700) if it is missing.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { action, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("make the state directory", directory))?;
        let path = directory.join(INSTANCE_FILE);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut file) => {
                let instance = Token::random();
                writeln!(file, "{instance}")
                    .and_then(|()| file.sync_all())
                    .map_err(failed("write", &path))?;
                Ok(Self { instance })
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut text = String::new();
                File::open(&path)
                    .and_then(|file| file.take(1024).read_to_string(&mut text))
                    .map_err(failed("read", &path))?;
                let instance = text.trim().parse().map_err(|_| StoreError::Damaged { path })?;
                Ok(Self { instance })
            }
            Err(error) => Err(failed("make", &path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_instance_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("a/b");
        let first = Store::open(&directory).unwrap();
        assert_eq!(Store::open(&directory).unwrap(), first);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(INSTANCE_FILE)), 0o600);
        assert_ne!(Store::open(&folder.path().join("c")).unwrap(), first);
    }

    #[test]
    fn a_damaged_or_unusable_directory_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(INSTANCE_FILE), "nonsense").unwrap();
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("remove the file to begin a new instance"), "{error}");
        let error = Store::open(&folder.path().join("instance/x")).unwrap_err().to_string();
        assert!(error.contains("choose another folder with `state_dir`"), "{error}");
    }
}
