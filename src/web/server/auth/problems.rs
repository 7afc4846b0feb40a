//! Everything that is wrong with a web configuration, collected before anything is said.

use std::path::{Path, PathBuf};

use crate::config::{Problem, Problems as Found};

/// A web configuration that cannot be used. `Display` shows a line for each problem: file, line,
/// key and what to do. No hash and no key material is ever part of it.
pub type WebConfigError = Found;

/// The problems found so far in one file.
pub(super) struct Problems {
    file: PathBuf,
    found: Vec<Problem>,
}

impl Problems {
    /// None yet in `file`.
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    /// One more, about the value of `key` in `line`.
    pub(super) fn add(&mut self, line: usize, key: &str, message: impl Into<String>) {
        self.push(Some(line), key, message.into());
    }

    /// One more, about the whole file.
    pub(super) fn add_whole(&mut self, message: impl Into<String>) {
        self.push(None, "", message.into());
    }

    /// `value` if nothing is wrong; else the problems in the order of the lines.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, WebConfigError> {
        if self.found.is_empty() { Ok(value) } else { Err(Found::new(self.found)) }
    }

    fn push(&mut self, line: Option<usize>, key: &str, message: String) {
        let key = key.to_owned();
        self.found.push(Problem { file: self.file.clone(), line, key, message });
    }
}
