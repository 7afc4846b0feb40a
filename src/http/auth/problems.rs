//! Everything that is wrong with a web configuration, collected before anything is said.

use std::fmt;
use std::path::{Path, PathBuf};

/// A web configuration that cannot be used. `Display` shows a line for each problem: file, line,
/// key and what to do. No hash and no key material is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", shown(.0))]
pub struct WebConfigError(Vec<Problem>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    file: PathBuf,
    /// From 1; `None` where the file as a whole is meant.
    line: Option<usize>,
    /// The path of the key, as `tls_server_config.cert_file`; may be empty.
    key: String,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

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
    pub(super) fn into_result<T>(mut self, value: T) -> Result<T, WebConfigError> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|problem| problem.line);
        Err(WebConfigError(self.found))
    }

    fn push(&mut self, line: Option<usize>, key: &str, message: String) {
        let key = key.to_owned();
        self.found.push(Problem { file: self.file.clone(), line, key, message });
    }
}
