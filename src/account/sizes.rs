//! How large the mails under way are, of a target that says what they are like: in memory only.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use ledger::Token;

/// The most mails whose size is known: the newest.
const MOST: usize = 100;

/// The sizes of the newest mails. Empty where nobody asks.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<VecDeque<(Token, u64)>>);

impl Sizes {
    /// A mail of so many bytes is about to be sent.
    pub(super) fn note(&self, token: Token, bytes: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.pop_front();
        }
        known.push_back((token, bytes));
    }

    /// How many bytes it has.
    pub(super) fn of(&self, token: Token) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(known, _)| *known == token).map(|(_, bytes)| *bytes)
    }
}
