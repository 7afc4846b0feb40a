//! The numbers of a SEARCH, an ESEARCH or a sequence set, kept as ranges: what they cost is what was
//! written, never what it stands for, and a line of them need not be held as a whole.

/// The most ranges of one answer. Numbers that follow each other are one range.
pub(super) const RANGES: usize = 16_384;
/// No number of 32 bits has more digits, whatever stands in front of them.
const WORD_BYTES: usize = 24;

/// More than [`RANGES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

/// Numbers in the order in which they came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Numbers {
    ranges: Vec<(u32, u32)>,
}

impl Numbers {
    /// Takes a number in; beyond 16,384 ranges it is passed over.
    pub fn note(&mut self, number: u32) {
        let _ = self.add(number, number);
    }

    /// Takes in all from one number to another, whichever is the lower. No mail has the number 0.
    pub(super) fn add(&mut self, one: u32, other: u32) -> Result<(), TooMany> {
        let (first, last) = (one.min(other).max(1), one.max(other));
        if last == 0 {
            return Ok(());
        }
        if let Some((known_first, known_last)) = self.ranges.last_mut()
            && first <= known_last.saturating_add(1)
            && last >= known_first.saturating_sub(1)
        {
            (*known_first, *known_last) = (first.min(*known_first), last.max(*known_last));
            return Ok(());
        }
        if self.ranges.len() >= RANGES {
            return Err(TooMany);
        }
        self.ranges.push((first, last));
        Ok(())
    }

    /// Takes in what another response named.
    pub(super) fn append(&mut self, other: Self) -> Result<(), TooMany> {
        if self.ranges.is_empty() {
            *self = other;
            return Ok(());
        }
        other.ranges.into_iter().try_for_each(|(first, last)| self.add(first, last))
    }

    /// The same by size, each number once.
    pub fn sorted(mut self) -> Sorted {
        self.ranges.sort_unstable();
        let mut sorted = Self::default();
        for (first, last) in self.ranges {
            // Sorted they are no more ranges than before.
            let _ = sorted.add(first, last);
        }
        Sorted(sorted.ranges)
    }
}

/// Numbers by size, each once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Sorted(Vec<(u32, u32)>);

impl Sorted {
    /// The lowest first. There may be four thousand million of them.
    pub fn rising(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The highest first.
    pub fn falling(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().rev().flat_map(|(first, last)| (*first..=*last).rev())
    }

    /// The same without those below `limit`.
    #[must_use]
    pub fn not_below(&self, limit: u32) -> Self {
        let kept = self.0.iter().filter(|(_, last)| *last >= limit);
        Self(kept.map(|(first, last)| ((*first).max(limit), *last)).collect())
    }

    /// The same without `limit` and those above.
    #[must_use]
    pub fn below(&self, limit: u32) -> Self {
        let kept = self.0.iter().filter(|(first, _)| *first < limit);
        Self(kept.map(|(first, last)| (*first, (*last).min(limit - 1))).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub fn contains(&self, number: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < number);
        self.0.get(at).is_some_and(|(first, _)| *first <= number)
    }
}

/// Reads numbers from text that comes in pieces.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    place: Place,
    /// The word under way, as much of it as can matter.
    word: Vec<u8>,
    numbers: Numbers,
    outcome: Result<(), Unreadable>,
}

/// Why the numbers are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// One of them has more than 32 bits.
    BeyondNumbers,
    /// There are more ranges than [`RANGES`].
    TooMany,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Numbers with spaces between them.
    List,
    /// Before the `ALL` of an ESEARCH.
    BeforeAll,
    /// In a sequence set, up to the next space.
    Set,
    /// What follows is no number.
    Over,
}

impl Reader {
    /// For what stands behind `SEARCH`: up to the first word that is no number.
    pub(super) fn of_search() -> Self {
        Self::at(Place::List)
    }

    /// For what stands behind `ESEARCH`: `(TAG "M5") UID ALL 1:3,5`, which servers of IMAP4rev2 alone
    /// give (RFC 9051 section 7.3.4).
    pub(super) fn of_extended_search() -> Self {
        Self::at(Place::BeforeAll)
    }

    /// For a sequence set.
    pub(super) fn of_set() -> Self {
        Self::at(Place::Set)
    }

    fn at(place: Place) -> Self {
        Self { place, word: Vec::new(), numbers: Numbers::default(), outcome: Ok(()) }
    }

    /// Reads the next piece.
    pub(super) fn push(&mut self, text: &[u8]) {
        for byte in text {
            if self.place == Place::Over || self.outcome.is_err() {
                return;
            }
            let is_space = byte.is_ascii_whitespace();
            if is_space || (self.place == Place::Set && *byte == b',') {
                self.end_word(is_space);
            } else if *byte != 0 && self.word.len() < WORD_BYTES {
                self.word.push(*byte);
            }
        }
    }

    /// The numbers, once all was read.
    pub(super) fn end(mut self) -> Result<Numbers, Unreadable> {
        self.end_word(true);
        self.outcome.map(|()| self.numbers)
    }

    fn end_word(&mut self, is_space: bool) {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() {
            return;
        }
        match self.place {
            Place::List if word.iter().all(u8::is_ascii_digit) => match number(&word) {
                Some(number) => self.add(number, number),
                None => self.outcome = Err(Unreadable::BeyondNumbers),
            },
            Place::List | Place::Over => self.place = Place::Over,
            Place::BeforeAll if word.eq_ignore_ascii_case(b"ALL") => self.place = Place::Set,
            Place::BeforeAll => {}
            Place::Set => {
                let colon = word.iter().position(|byte| *byte == b':');
                let (first, last) = match colon.and_then(|at| word.split_at_checked(at)) {
                    Some((first, last)) => (first, last.get(1..).unwrap_or_default()),
                    None => (&*word, &*word),
                };
                if let (Some(first), Some(last)) = (number(first), number(last)) {
                    self.add(first, last);
                }
                if is_space {
                    self.place = Place::Over;
                }
            }
        }
    }

    fn add(&mut self, first: u32, last: u32) {
        if self.numbers.add(first, last).is_err() {
            self.outcome = Err(Unreadable::TooMany);
        }
    }
}

/// A number of at most 32 bits; a longer one is none, not a wrapped one.
pub(super) fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut reader: Reader, pieces: &[&str]) -> Result<Numbers, Unreadable> {
        pieces.iter().for_each(|piece| reader.push(piece.as_bytes()));
        reader.end()
    }

    fn all(numbers: Result<Numbers, Unreadable>) -> Vec<u32> {
        numbers.unwrap().sorted().rising().collect()
    }

    #[test]
    fn numbers_are_read_wherever_the_line_is_cut() {
        for pieces in [&["0 1 2 17 3"][..], &["1 2 1", "7 3"], &["1", " 2 17 3 (MODSEQ 9)"]] {
            assert_eq!(all(read(Reader::of_search(), pieces)), [1, 2, 3, 17], "{pieces:?}");
        }
        for pieces in [&["(TAG \"M5\") UID ALL 1:3,17"][..], &["UID A", "LL 1", ":3,1", "7 X 4"]] {
            assert_eq!(
                all(read(Reader::of_extended_search(), pieces)),
                [1, 2, 3, 17],
                "{pieces:?}"
            );
        }
    }

    #[test]
    fn ranges_cost_what_was_written_and_not_what_they_stand_for() {
        let line = format!("UID ALL {}", vec!["1:4294967295"; 75_000].join(","));
        let found = read(Reader::of_extended_search(), &[&line]).unwrap();
        assert_eq!(found.ranges, [(1, u32::MAX)]);
        let newest: Vec<u32> = found.sorted().falling().take(3).collect();
        assert_eq!(newest, [u32::MAX, u32::MAX - 1, u32::MAX - 2]);
        // A large folder, each mail named by itself.
        let line = (1..=200_000).map(|uid| uid.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(read(Reader::of_search(), &[&line]).unwrap().ranges, [(1, 200_000)]);
    }

    #[test]
    fn more_ranges_than_an_answer_may_have_are_refused() {
        let line = |count: usize| {
            let words: Vec<String> =
                (0..count).map(|number| (2 * number + 1).to_string()).collect();
            words.join(" ")
        };
        assert_eq!(all(read(Reader::of_search(), &[&line(RANGES)])).len(), RANGES);
        let beyond = read(Reader::of_search(), &[&line(RANGES + 1)]);
        assert_eq!(beyond, Err(Unreadable::TooMany));
        let mut numbers = Numbers::default();
        (1..u32::try_from(RANGES).unwrap() * 2).for_each(|number| numbers.note(number * 2));
        assert_eq!(numbers.ranges.len(), RANGES);
    }

    #[test]
    fn sorted_numbers_are_found_and_cut() {
        let sorted = read(Reader::of_set(), &["9:7,3,3,20:11"]).unwrap().sorted();
        assert_eq!(sorted.rising().take(5).collect::<Vec<_>>(), [3, 7, 8, 9, 11]);
        assert!([3, 7, 9, 11, 20].into_iter().all(|number| sorted.contains(number)));
        assert!([0, 2, 4, 6, 10, 21].into_iter().all(|number| !sorted.contains(number)));
        assert_eq!(sorted.not_below(8).rising().take(3).collect::<Vec<_>>(), [8, 9, 11]);
        assert_eq!(sorted.below(9).rising().collect::<Vec<_>>(), [3, 7, 8]);
        assert!(sorted.below(0).is_empty() && sorted.not_below(21).is_empty());
    }

    #[test]
    fn a_word_without_end_is_not_kept_and_zero_is_no_number() {
        let mut reader = Reader::of_search();
        (0..1000).for_each(|_| reader.push(&[b'7'; 1000]));
        assert!(reader.word.capacity() <= 64, "{}", reader.word.capacity());
        assert_eq!(reader.end(), Err(Unreadable::BeyondNumbers));
        assert!(read(Reader::of_search(), &["0"]).unwrap().sorted().is_empty());
    }
}
