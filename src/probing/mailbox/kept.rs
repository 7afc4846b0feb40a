//! What of a backlog stands in the store. A mail that is to be removed is one word: its id, and behind a slash by what it is known.

use std::fmt::Display;

use super::backlog::{Backlog, Removal};
use crate::store::FolderRecord;
use ledger::{LineInstant, Moment};

/// What is left to do, to be kept. What was seen is not: at the first contact only mail that may be ours is read again.
pub(super) fn record<Id: Ord + Clone + Display>(
    backlog: &Backlog<Id>,
    looked_at: Option<LineInstant>,
    now: Moment,
) -> FolderRecord {
    let to_remove = backlog.iter().filter_map(|(id, state)| Some((id, state.lying()?)));
    FolderRecord {
        looked_at: looked_at.map(|at| now.date_of(at)),
        to_remove: to_remove.map(|(id, removal)| word(&id, removal)).collect(),
        left_overs: backlog.left_overs().map(|(id, due)| (id.to_string(), due)).collect(),
        ..FolderRecord::default()
    }
}

/// The word for a mail.
fn word(id: &impl Display, removal: Removal) -> String {
    removal.word().map_or_else(|| id.to_string(), |known| format!("{id}/{known}"))
}

/// What [`word`] has written: the id may hold slashes itself.
pub(super) fn from_word(word: &str) -> (&str, Removal) {
    let parts = word.rsplit_once('/');
    let parts = parts.and_then(|(id, known)| Some((id, Removal::from_word(known)?)));
    parts.unwrap_or((word, Removal::default()))
}

#[cfg(test)]
mod tests {
    use ledger::Token;

    use super::*;

    #[test]
    fn a_removal_comes_back_from_the_store_as_it_was() {
        let known = Removal::of(Some(Token::random()));
        let answer = Removal { is_answer: true, ..known };
        for (id, removal) in
            [("a/b", Removal::default()), ("a/b", known), ("0000002a5f", known), ("a/b", answer)]
        {
            assert_eq!(from_word(&word(&id, removal)), (id, removal));
        }
    }
}
