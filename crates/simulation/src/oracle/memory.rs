//! What the whole process takes of the memory.

use std::fs;
use std::time::Duration;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(6 * 3600);
/// What a page has, in kilobytes; where it has more, less is seen.
const PAGE_KB: u64 = 4;
/// The most that the simulation and the exporter may take, in kilobytes: of their own, and for each site.
const MOST_KB: (u64, u64) = (64 << 10, 4 << 10);

/// When it was looked at, and what was taken when the world began.
#[derive(Debug)]
pub(super) struct Memory {
    next: Duration,
    first_kb: u64,
}

impl Memory {
    /// A world begins.
    pub(super) fn begin() -> Self {
        Self { next: Duration::ZERO, first_kb: resident_kb().unwrap_or_default() }
    }

    /// In words, what is wrong, if it is time to look.
    pub(super) fn judge(&mut self, now: Duration, sites: usize) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let (own, each) = MOST_KB;
        let most = own + each * sites as u64;
        let taken = resident_kb()?.saturating_sub(self.first_kb);
        (taken > most).then(|| format!("{taken} kB of memory were taken"))
    }
}

/// `None` where there is no such file: not on Linux.
fn resident_kb() -> Option<u64> {
    let all = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = all.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_KB)
}
