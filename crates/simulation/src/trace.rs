//! What happened in a world, line by line: the newest lines to be read, and all of them as one number, by which
//! two runs are known to be the same.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::{Clock, shown};

/// So many lines are kept.
const MOST_LINES: usize = 4_000;

/// The record of a world. A clone is the same record.
#[derive(Clone)]
pub struct Trace {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    /// The default hasher begins with the same keys in each process.
    all: DefaultHasher,
    /// The first error that the exporter has logged.
    failed: Option<String>,
    /// The newest that may be the fault of the disk.
    disk_failed: Option<String>,
}

impl State {
    fn keep(&mut self, line: String) {
        if self.lines.len() >= MOST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

impl Trace {
    /// An empty one.
    pub fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    /// Adds a line, with the time.
    pub fn note(&self, line: &str) {
        let line = format!("{}  {line}", shown(self.clock.age()));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        line.hash(&mut state.all);
        state.keep(line);
    }

    /// Adds a line that does not go into the number.
    pub fn whisper(&self, line: &str) {
        let line = format!("{}  {line}", shown(self.clock.age()));
        self.state.lock().unwrap_or_else(PoisonError::into_inner).keep(line);
    }

    /// The exporter has logged an error that it should not have.
    pub fn fail(&self, words: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let words = words.trim().to_owned();
        match words.contains("the state ") {
            true => state.disk_failed = Some(words),
            false => drop(state.failed.get_or_insert(words)),
        }
    }

    /// The first of these.
    pub fn failed(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }

    /// The newest one about the state, which is the fault of a disk that fails, if it does; once.
    pub fn take_disk_error(&self) -> Option<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).disk_failed.take()
    }

    /// The newest lines, the oldest first.
    pub fn newest(&self, most: usize) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = state.lines.len().saturating_sub(most);
        state.lines.iter().skip(skipped).cloned().collect()
    }

    /// A number that all lines go into.
    pub fn fingerprint(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).all.finish()
    }
}
