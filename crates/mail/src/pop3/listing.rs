//! What UIDL lists, kept as small as a look can do with: eight bytes for a mail, and of a maildrop
//! without end the newest mails.

use std::collections::VecDeque;
use std::fmt;

use super::digest::digest;
use super::split_status;

/// The most mails that are kept of one listing: the newest. Those before them are passed over.
pub(super) const KEPT_MAILS: usize = 30_000;
/// How many places in the numbers of a listing may not follow the one before.
const RUNS: usize = 4096;
/// By how much the room for mails grows.
const STEP: usize = 4096;
/// How the digest of an id begins in the store.
const MARK: &str = "uidl:";

/// The unique id of a mail, the same in each session: a digest of it, however long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(u64);

impl Id {
    /// The digest of what the server wrote.
    pub fn of(text: &[u8]) -> Self {
        Self(digest(text))
    }

    /// What [`Id`] writes, or the id itself as earlier versions kept it.
    pub fn from_kept(text: &str) -> Self {
        let digits = text.strip_prefix(MARK).filter(|digits| digits.len() == 16);
        let id = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        id.map_or_else(|| Self::of(text.as_bytes()), Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{:016x}", self.0)
    }
}

/// One mail of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this session.
    pub number: u32,
    /// Its unique id.
    pub id: Id,
}

/// The mails of a maildrop, oldest first.
#[derive(Debug, Default)]
pub struct Listing {
    ids: VecDeque<Id>,
    /// How many mails stand before them.
    passed_over: usize,
    /// From which place in the whole listing on the numbers rise by one from which number.
    runs: VecDeque<(usize, u32)>,
}

/// The numbers of the mails follow no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoOrder;

impl Listing {
    /// One for so many mails, as the server says.
    pub(super) fn for_mails(count: usize) -> Self {
        Self { ids: VecDeque::with_capacity(count.min(KEPT_MAILS)), ..Self::default() }
    }

    pub(super) fn push(&mut self, entry: Entry) -> Result<(), NoOrder> {
        let place = self.passed_over + self.ids.len();
        if self.number_at(place) != Some(entry.number) {
            if self.runs.len() >= RUNS {
                return Err(NoOrder);
            }
            self.runs.push_back((place, entry.number));
        }
        if self.ids.len() >= KEPT_MAILS {
            self.ids.pop_front();
            self.passed_over += 1;
            if self.runs.get(1).is_some_and(|(from, _)| *from <= self.passed_over) {
                self.runs.pop_front();
            }
        } else if self.ids.len() == self.ids.capacity() {
            self.ids.reserve_exact(STEP.min(KEPT_MAILS - self.ids.len()));
        }
        self.ids.push_back(entry.id);
        Ok(())
    }

    /// How many mails it holds.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether older mails were passed over.
    pub fn is_cut(&self) -> bool {
        self.passed_over > 0
    }

    /// The mails, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        self.ids.iter().enumerate().map(|(index, id)| {
            let number = self.number_at(self.passed_over + index).unwrap_or_default();
            Entry { number, id: *id }
        })
    }

    /// The number at this place of the whole listing, if numbers go on as they do.
    fn number_at(&self, place: usize) -> Option<u32> {
        let run = self.runs.partition_point(|(from, _)| *from <= place).checked_sub(1)?;
        let (from, number) = self.runs.get(run)?;
        number.checked_add(u32::try_from(place - from).ok()?)
    }
}

/// `number id`, on some servers behind a status; `Some(None)` if there is no id.
pub(super) fn parse_entry(line: &[u8]) -> Option<Option<Entry>> {
    let line = match split_status(line) {
        Some((true, rest)) => rest,
        _ => line.trim_ascii(),
    };
    let split = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (number, id) = line.split_at_checked(split)?;
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    let id = id.trim_ascii();
    Some((!id.is_empty()).then(|| Entry { number, id: Id::of(id) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u32) -> Entry {
        Entry { number, id: Id::of(number.to_string().as_bytes()) }
    }

    #[test]
    fn an_id_comes_back_from_the_store_as_it_was() {
        let id = Id::of(b"0000002a5f");
        assert_eq!(Id::from_kept(&id.to_string()), id);
        assert_eq!(Id::from_kept("0000002a5f"), id, "as it was kept before");
        assert_ne!(Id::of(b"a"), Id::of(b"b"));
    }

    #[test]
    fn numbers_with_gaps_are_told_as_they_came() {
        let numbers = [1, 2, 3, 7, 8, 20, 4];
        let mut listing = Listing::default();
        numbers.into_iter().for_each(|number| listing.push(entry(number)).unwrap());
        assert_eq!(listing.entries().map(|it| it.number).collect::<Vec<_>>(), numbers);
        assert!(listing.entries().all(|it| it == entry(it.number)));
        assert!(!listing.is_cut());
    }

    #[test]
    fn of_a_maildrop_without_end_the_newest_mails_are_kept() {
        let most = u32::try_from(KEPT_MAILS).unwrap();
        let mut listing = Listing::for_mails(usize::MAX);
        (1..=most * 3).for_each(|number| listing.push(entry(number)).unwrap());
        assert!(listing.is_cut());
        assert_eq!(listing.entries().next(), Some(entry(most * 2 + 1)));
        assert_eq!(listing.entries().next_back(), Some(entry(most * 3)));
        assert!(
            listing.ids.capacity() * size_of::<Id>() <= 8 * KEPT_MAILS,
            "{}",
            listing.ids.capacity()
        );
    }

    #[test]
    fn numbers_in_no_order_are_refused() {
        let mut listing = Listing::default();
        let mut pushed = (0..u32::MAX).map(|number| listing.push(entry(number * 2)));
        assert_eq!(pushed.position(|outcome| outcome == Err(NoOrder)), Some(RUNS));
    }

    #[test]
    fn a_listing_line_has_a_number_and_an_id() {
        for line in ["7 0000002a5f", "7\t 0000002a5f ", "+OK 7 0000002a5f"] {
            let id = Id::of(b"0000002a5f");
            assert_eq!(parse_entry(line.as_bytes()), Some(Some(Entry { number: 7, id })), "{line}");
        }
        assert_eq!(parse_entry(b"7 "), Some(None));
        for bad in ["", "x y", "-1 a", "99999999999 a", "-ERR 7 a"] {
            assert_eq!(parse_entry(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn numbers_with_gaps_are_kept_of_a_maildrop_without_end() {
        let mut listing = Listing::for_mails(0);
        let most = u32::try_from(KEPT_MAILS).unwrap() * 5;
        // More gaps than are kept at one time.
        (0..most).for_each(|count| listing.push(entry(count + count / 20)).unwrap());
        let last = most - 1;
        assert_eq!(listing.entries().next_back(), Some(entry(last + last / 20)));
    }
}
