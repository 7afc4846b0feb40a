//! What is wrong with a configuration: everything at once, each with its place.
//!
//! A message says what to do and never repeats a value that the file holds, whatever its key: the
//! value may be a password on the wrong line. Names of targets, users and hosts are told only once
//! they were accepted as such.

use std::fmt;
use std::path::PathBuf;

use super::Inputs;
use mail::text::harmless;

/// The message of a main file that is not there.
pub(super) const MISSING: &str = "does not exist";

/// What it begins with where another place was looked into as well, which follows.
pub(super) const MISSING_AS_IS: &str = "does not exist, nor does ";

/// More problems than this are counted in the log and not told.
const MOST_LOGGED: usize = 20;

/// What is told with it, on indented lines of its own.
const FIRST_STEPS: &str = "
  mailtrip_exporter demo   shows the exporter at work without a configuration
  mailtrip.example.yml     has every key, and lies beside the README.md
  --config.file=FILE       names a configuration in another place";

/// One thing to be corrected. The order is that of the files and lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file it is in, as it was named.
    pub file: PathBuf,
    /// The line, from 1; `None` where the file itself is the problem.
    pub line: Option<usize>,
    /// The path of the key, as `targets[1].receive.folders` (lists count from 0); empty where no
    /// key is meant.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// All of it but the steps that a newcomer takes.
    pub fn in_one_line(&self) -> String {
        let mut told = format!("{}:", self.file.display());
        if let Some(line) = self.line {
            told += &format!("{line}:");
        }
        if !self.key.is_empty() {
            told += &format!(" {}:", self.key);
        }
        // Names and paths in it may hold anything that a file can hold.
        harmless(format!("{told} {}", self.message).as_bytes())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_one_line())?;
        let is_missing = self.message == MISSING || self.message.starts_with(MISSING_AS_IS);
        f.write_str(if is_missing { FIRST_STEPS } else { "" })
    }
}

/// Everything that is wrong with a configuration, in the order of files and lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    inputs: Inputs,
}

/// What is wrong with a good file that has no target.
pub(super) const NO_TARGETS: &str =
    "has no targets; write at least one under `targets`, or `targets: []` to begin without";

impl Problems {
    /// Takes them in and puts them in order; the same problem twice is told once.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { problems, inputs: Inputs::default() }
    }

    /// Whether nothing is wrong but that there is no target yet.
    pub(crate) fn are_for_want_of_a_target(&self) -> bool {
        matches!(self.problems.as_slice(), [problem] if problem.message == NO_TARGETS)
    }

    /// The same, with what they were found in.
    pub(super) fn found_in(self, inputs: Inputs) -> Self {
        Self { inputs, ..self }
    }

    /// What was read, and is of no use until some of it has changed.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// A line for each, for the log: after the first twenty how many more there are, and how to see them.
    pub fn in_lines(&self) -> impl Iterator<Item = String> {
        let more = self.problems.len().saturating_sub(MOST_LOGGED);
        let rest = (more > 0).then(|| format!("{more} more: `mailtrip_exporter check` lists all"));
        self.problems.iter().take(MOST_LOGGED).map(Problem::in_one_line).chain(rest)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line each, the last without a line end.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
