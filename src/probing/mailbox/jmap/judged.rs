//! Where mails lay when they were judged: the same mail in the same place is not judged twice, and one that has moved
//! is.

use std::collections::{BTreeMap, VecDeque};

use super::EmailId;
use super::places::Place;

/// How many are remembered, those that were judged last.
const MOST: usize = 2000;

/// The mails that were judged lately.
#[derive(Debug, Default)]
pub(super) struct Judged {
    places: BTreeMap<EmailId, Place>,
    order: VecDeque<EmailId>,
}

impl Judged {
    /// A mail is judged that lies there.
    pub(super) fn note(&mut self, id: &EmailId, place: Place) {
        if self.places.insert(id.clone(), place).is_none() {
            self.order.push_back(id.clone());
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
    }

    /// Where it lay.
    pub(super) fn place(&self, id: &EmailId) -> Option<Place> {
        self.places.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::FoundIn;

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut judged = Judged::default();
        let place = Place { kind: FoundIn::Inbox, holds_copies: false };
        let id = |number: usize| EmailId::read(&format!("m{number}")).unwrap();
        for number in 0..MOST + 5 {
            judged.note(&id(number), place);
            judged.note(&id(number), place);
        }
        assert_eq!((judged.places.len(), judged.order.len()), (MOST, MOST));
        assert_eq!((judged.place(&id(4)), judged.place(&id(5))), (None, Some(place)));
    }
}
