//! Transcripts of all targets under one bound: where there is no room for all, the oldest of a
//! dialogue that went well goes first, and only then the oldest of one that failed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail::trace::TRANSCRIPT_BYTES;

/// What an entry takes beside its text, in bytes; roughly.
const ENTRY_BYTES: usize = 96;

/// The transcripts of all targets.
#[derive(Debug)]
pub struct Archive {
    most_bytes: usize,
    shelf: Mutex<Shelf>,
}

/// A transcript in the archive; when it is dropped, the transcript goes.
#[derive(Debug)]
pub struct Filed {
    archive: Arc<Archive>,
    key: Key,
}

/// (whether the dialogue failed, a running number): the first one is the next to go.
type Key = (bool, u64);

#[derive(Debug, Default)]
struct Shelf {
    texts: BTreeMap<Key, Arc<str>>,
    bytes: usize,
    next_number: u64,
}

impl Archive {
    /// The bound over all targets, in bytes.
    pub const MOST_BYTES: usize = 64 << 20;

    /// An empty archive that holds so many bytes at most.
    pub fn new(most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { most_bytes, shelf: Mutex::default() })
    }

    /// Files a transcript, cut to its newest lines within [`TRANSCRIPT_BYTES`]. Others may go to
    /// make room.
    pub fn file(self: &Arc<Self>, has_failed: bool, text: &str) -> Filed {
        let text: Arc<str> = newest_lines(text).into();
        let mut shelf = self.shelf();
        let key = (has_failed, shelf.next_number);
        shelf.next_number += 1;
        shelf.bytes += size(&text);
        shelf.texts.insert(key, text);
        while shelf.bytes > self.most_bytes {
            let Some((_, oldest)) = shelf.texts.pop_first() else { break };
            shelf.bytes = shelf.bytes.saturating_sub(size(&oldest));
        }
        drop(shelf);
        Filed { archive: Arc::clone(self), key }
    }

    /// How many bytes are in use, never more than the bound.
    pub fn bytes(&self) -> usize {
        self.shelf().bytes
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // A panic between two lines above leaves a sum that is too large at worst.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filed {
    /// The transcript; `None` if it had to make room.
    pub fn text(&self) -> Option<Arc<str>> {
        self.archive.shelf().texts.get(&self.key).cloned()
    }
}

impl Drop for Filed {
    fn drop(&mut self) {
        let mut shelf = self.archive.shelf();
        if let Some(text) = shelf.texts.remove(&self.key) {
            shelf.bytes = shelf.bytes.saturating_sub(size(&text));
        }
    }
}

fn size(text: &str) -> usize {
    text.len() + ENTRY_BYTES
}

/// The end of the text, from the beginning of a line on if there is one.
fn newest_lines(text: &str) -> &str {
    let Some(mut start) = text.len().checked_sub(TRANSCRIPT_BYTES + 1) else { return text };
    // One byte early, so that a line that fits exactly is seen to begin there.
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let end = text.get(start..).unwrap_or_default();
    match end.find('\n') {
        Some(line_end) if line_end + 1 < end.len() => end.get(line_end + 1..).unwrap_or_default(),
        _ => end.get(end.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transcript of 1,000 bytes with its entry.
    fn text(letter: &str) -> String {
        letter.repeat(1_000 - ENTRY_BYTES)
    }

    #[test]
    fn the_oldest_success_makes_room_before_any_failure() {
        let archive = Archive::new(3_000);
        let failure = archive.file(true, &text("a"));
        let successes = ["b", "c", "d"].map(|letter| archive.file(false, &text(letter)));
        assert_eq!(archive.bytes(), 3_000);
        assert_eq!(successes[0].text(), None, "the oldest success went");
        assert!(successes[1].text().is_some() && successes[2].text().is_some());
        let more = ["e", "f"].map(|letter| archive.file(true, &text(letter)));
        assert!(successes.iter().all(|filed| filed.text().is_none()));
        assert!(failure.text().is_some() && more.iter().all(|filed| filed.text().is_some()));
        let last = archive.file(true, &text("g"));
        assert_eq!(failure.text(), None, "then the oldest failure");
        assert_eq!(last.text().as_deref(), Some(text("g").as_str()));
    }

    #[test]
    fn ten_thousand_targets_stay_within_the_bound_and_keep_their_newest_failures() {
        let archive = Archive::new(Archive::MOST_BYTES);
        let mut successes = Vec::new();
        let mut failures = Vec::new();
        for _ in 0..10_000 {
            successes.push(archive.file(false, &"s".repeat(4_096)));
            successes.push(archive.file(false, &"s".repeat(4_096)));
            failures.push(archive.file(true, &"f".repeat(4_096)));
            assert!(archive.bytes() <= 64 << 20);
        }
        assert!(failures.iter().all(|filed| filed.text().is_some()));
        let kept = successes.iter().filter(|filed| filed.text().is_some()).count();
        assert!(kept > 5_000, "{kept} successes");
        drop((successes, failures));
        assert_eq!(archive.bytes(), 0, "what nobody holds is gone");
    }

    #[test]
    fn a_transcript_is_cut_to_its_newest_lines() {
        let archive = Archive::new(Archive::MOST_BYTES);
        let long: String = (0..1_000).map(|number| format!("< grüße {number}\n")).collect();
        let kept = archive.file(true, &long).text().unwrap();
        assert!(kept.len() <= TRANSCRIPT_BYTES && kept.len() > TRANSCRIPT_BYTES - 20);
        assert!(kept.starts_with("< grüße ") && kept.ends_with("< grüße 999\n"), "{kept}");
        let one_line = archive.file(true, &"ü".repeat(5_000)).text().unwrap();
        assert!(one_line.len() <= TRANSCRIPT_BYTES && one_line.len() > TRANSCRIPT_BYTES - 4);
        let exact = format!("first\n{}", "x".repeat(TRANSCRIPT_BYTES));
        assert_eq!(archive.file(true, &exact).text().unwrap().len(), TRANSCRIPT_BYTES);
    }
}
