//! Which records go where there are too many.

use std::collections::VecDeque;

use super::OLDER_FAILURES;

/// How much a record is worth once it is not among the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// It went well.
    Good,
    /// Nobody knows yet.
    Open,
    /// It went wrong.
    Bad,
}

/// Lets go what is beyond the bounds: of the older ones first all that went well, then what is open,
/// then the oldest.
pub(super) fn trim<T>(records: &mut VecDeque<T>, newest: usize, weight: impl Fn(&T) -> Weight) {
    let mut older = records.len().saturating_sub(newest);
    while older > 0 {
        let first = |wanted| records.iter().take(older).position(|one| weight(one) == wanted);
        let gone = match first(Weight::Good) {
            Some(good) => good,
            None if older > OLDER_FAILURES => first(Weight::Open).unwrap_or(0),
            None => break,
        };
        records.remove(gone);
        older -= 1;
    }
}
