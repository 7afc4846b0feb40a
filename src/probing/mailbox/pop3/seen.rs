//! Which mails of a maildrop were seen: eight bytes for each.

use std::collections::BTreeSet;

use mail::pop3::Id;

/// How many are kept apart before they are sorted in.
const APART: usize = 1000;

/// Ids of mails.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Most of them, by size.
    sorted: Vec<Id>,
    /// The newest.
    newest: BTreeSet<Id>,
}

impl Seen {
    pub(super) fn contains(&self, id: Id) -> bool {
        self.sorted.binary_search(&id).is_ok() || self.newest.contains(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len() + self.newest.len()
    }

    pub(super) fn insert(&mut self, id: Id) {
        if self.contains(id) {
            return;
        }
        self.newest.insert(id);
        if self.newest.len() >= APART {
            self.sorted.reserve_exact(self.newest.len());
            self.sorted.extend(std::mem::take(&mut self.newest));
            self.sorted.sort_unstable();
        }
    }

    /// Those of these that fit and no others, in the place of those before.
    pub(super) fn replace(
        &mut self,
        ids: impl ExactSizeIterator<Item = Id>,
        fits: impl Fn(&Id) -> bool,
    ) {
        self.newest.clear();
        self.sorted.clear();
        self.sorted.shrink_to(ids.len());
        self.sorted.reserve_exact(ids.len());
        self.sorted.extend(ids.filter(fits));
        self.sorted.sort_unstable();
        self.sorted.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known_until_others_take_its_place() {
        let id = |number: usize| Id::of(number.to_string().as_bytes());
        let mut seen = Seen::default();
        seen.replace((0..100).map(id), |_| true);
        (50..3 * APART).for_each(|number| seen.insert(id(number)));
        assert_eq!(seen.len(), 3 * APART);
        assert!((0..3 * APART).all(|number| seen.contains(id(number))));
        assert!(!seen.contains(id(3 * APART)));
        seen.replace((0..11).map(id), |it| *it != id(0));
        assert!(seen.contains(id(1)) && !seen.contains(id(0)) && seen.len() == 10);
        assert!(seen.sorted.capacity() < 100, "{}", seen.sorted.capacity());
    }
}
