//! Whether what must not pass passes, as JSON.

use serde::Serialize;

use super::values::date;
use ledger::Judged;

/// See [`Judged`].
#[derive(Serialize)]
pub(super) struct ExpectationRecord<'a> {
    expect: &'static str,
    /// `None`: nothing is proved.
    met: Option<bool>,
    words: &'a str,
    at: Option<String>,
}

impl<'a> ExpectationRecord<'a> {
    pub(super) fn new(judged: &'a Judged) -> Self {
        let Judged { expectation, is_met, words, at } = judged;
        Self { expect: expectation.label(), met: is_met.value(), words, at: at.map(date) }
    }
}
