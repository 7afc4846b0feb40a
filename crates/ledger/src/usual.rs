//! How long mails usually take on each stretch of their way, so that a slow one is told from one that is
//! always as slow. Must not know what a stretch is: its key is a text.

use std::time::Duration;

/// Sizes of a delay: below a second, then each twice as long as the one before, the last without end.
const SIZES: usize = 16;
/// A stretch is remembered until so many others were met since.
const MOST_STRETCHES: usize = 24;
/// What is usual is known from so many mails on.
const LEAST_MAILS: u32 = 20;
/// Stamps are whole seconds, and clocks a little off: nothing shorter is slow.
const LEAST_SLOW: Duration = Duration::from_secs(5);
/// The bytes of one stretch.
const BYTES: usize = 8 + SIZES;

/// What is usual on the stretches that mails have taken lately. Newer mails weigh more: where there are 255 of one
/// size, all are halved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usual {
    /// The one that was met last comes first.
    stretches: Vec<Stretch>,
}

/// One stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    key: u64,
    /// How many mails took a time of each size.
    counts: [u8; SIZES],
}

/// How long a stretch usually takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsualDelay {
    /// The median of the mails, right to a factor of two.
    pub median: Duration,
    /// At least 95 of 100 mails took less.
    pub most: Duration,
}

impl UsualDelay {
    /// Whether so long a delay is slower than usual: than 95 of 100, and than five seconds.
    pub fn is_exceeded_by(self, delay: Duration) -> bool {
        delay >= self.most && delay >= LEAST_SLOW
    }
}

impl Usual {
    /// A mail took so long on this stretch.
    pub fn learn(&mut self, stretch: &str, delay: Duration) {
        let key = key(stretch);
        let known = self.stretches.iter().position(|known| known.key == key);
        let mut stretch = match known {
            Some(at) => self.stretches.remove(at),
            None => Stretch { key, counts: [0; SIZES] },
        };
        stretch.learn(delay);
        self.stretches.insert(0, stretch);
        self.stretches.truncate(MOST_STRETCHES);
    }

    /// The same without a mail that has just been learned.
    pub fn unlearn(&mut self, stretch: &str, delay: Duration) {
        let key = key(stretch);
        let Some(known) = self.stretches.iter_mut().find(|known| known.key == key) else { return };
        if let Some(count) = known.counts.get_mut(size(delay)) {
            *count = count.saturating_sub(1);
        }
    }

    /// What is usual on this stretch; `None` before 20 mails have taken it.
    pub fn of(&self, stretch: &str) -> Option<UsualDelay> {
        let key = key(stretch);
        self.stretches.iter().find(|known| known.key == key)?.usual()
    }

    /// All of it as text, to be kept: of each stretch its key and its counts, in hexadecimal digits.
    pub fn to_text(&self) -> String {
        let bytes = |stretch: &Stretch| stretch.key.to_be_bytes().into_iter().chain(stretch.counts);
        self.stretches.iter().flat_map(bytes).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What [`Usual::to_text`] has written; `None` of anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
            .collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        let (records, []) = bytes.as_chunks::<BYTES>() else { return None };
        if records.len() > MOST_STRETCHES {
            return None;
        }
        let stretches = records.iter().map(|record| {
            let (key, counts) = record.split_first_chunk::<8>()?;
            Some(Stretch { key: u64::from_be_bytes(*key), counts: counts.try_into().ok()? })
        });
        Some(Self { stretches: stretches.collect::<Option<_>>()? })
    }
}

impl Stretch {
    fn learn(&mut self, delay: Duration) {
        let size = size(delay);
        if self.counts.get(size) == Some(&u8::MAX) {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        if let Some(count) = self.counts.get_mut(size) {
            *count += 1;
        }
    }

    fn usual(&self) -> Option<UsualDelay> {
        let mails: u32 = self.counts.iter().map(|count| u32::from(*count)).sum();
        if mails < LEAST_MAILS {
            return None;
        }
        let median = middle(self.size_of(mails.div_ceil(2)));
        Some(UsualDelay { median, most: end(self.size_of((mails * 95).div_ceil(100))) })
    }

    /// The size of the mail with this number, from 1 on, if they stood in the order of their delays.
    fn size_of(&self, number: u32) -> usize {
        let mut passed = 0;
        let reaches = |count: &u8| {
            passed += u32::from(*count);
            passed >= number
        };
        self.counts.iter().position(reaches).unwrap_or(SIZES - 1)
    }
}

/// The size of a delay.
fn size(delay: Duration) -> usize {
    let bits = u64::BITS - delay.as_secs().leading_zeros();
    usize::try_from(bits).unwrap_or(usize::MAX).min(SIZES - 1)
}

/// Where delays of this size begin.
fn begin(size: usize) -> Duration {
    let doubled = size.checked_sub(1).and_then(|bits| 1_u64.checked_shl(u32::try_from(bits).ok()?));
    Duration::from_secs(doubled.unwrap_or(0))
}

/// Where they end; of the last, which has no end, a time that nothing reaches.
fn end(size: usize) -> Duration {
    if size + 1 < SIZES { begin(size + 1) } else { Duration::MAX }
}

/// What stands for all delays of this size: the middle of its whole seconds.
fn middle(size: usize) -> Duration {
    match (begin(size), end(size)) {
        (begin, Duration::MAX) => begin,
        (begin, end) => (begin + end.saturating_sub(Duration::from_secs(1))) / 2,
    }
}

/// FNV-1a, which is the same in every process and version.
fn key(stretch: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    stretch.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn usual(delays: impl IntoIterator<Item = u64>) -> Usual {
        let mut usual = Usual::default();
        for delay in delays {
            usual.learn("a", seconds(delay));
        }
        usual
    }

    #[test]
    fn what_is_usual_is_known_from_twenty_mails_on() {
        assert_eq!(usual([3; 19]).of("a"), None);
        let known = UsualDelay { median: Duration::from_millis(2_500), most: seconds(4) };
        assert_eq!(usual([3; 20]).of("a"), Some(known));
        assert_eq!(usual([3; 20]).of("b"), None, "another way");
    }

    #[test]
    fn what_always_is_as_slow_is_not_slow_and_neither_are_a_few_seconds() {
        let slow = |usual: &Usual, delay| usual.of("a").unwrap().is_exceeded_by(seconds(delay));
        let queue = usual([300; 30]);
        assert!(!slow(&queue, 400) && slow(&queue, 600));
        let quick = usual([0; 30]);
        assert!(!slow(&quick, 4) && slow(&quick, 5));
        let mixed = usual((0..30).map(|mail| if mail % 10 == 0 { 100 } else { 0 }));
        assert!(!slow(&mixed, 100), "one in ten takes as long");
        assert!(!slow(&usual([20_000; 30]), 90_000));
    }

    #[test]
    fn newer_mails_outweigh_older_ones() {
        let mut usual = usual([0; 5_000]);
        for _ in 0..400 {
            usual.learn("a", seconds(60));
        }
        assert!(usual.of("a").unwrap().median > seconds(30));
    }

    #[test]
    fn ways_that_change_with_each_mail_take_no_more_room_than_there_is() {
        let mut usual = usual([0; 30]);
        for number in 0..MOST_STRETCHES - 1 {
            usual.learn(&number.to_string(), seconds(1));
        }
        assert!(usual.of("a").is_some());
        usual.learn("one more", seconds(1));
        assert_eq!(usual.of("a"), None, "the one that was not met for longest makes room");
        assert_eq!(usual.to_text().len(), MOST_STRETCHES * BYTES * 2);
    }

    proptest! {
        #[test]
        fn the_median_is_right_to_its_size(mut delays in proptest::collection::vec(0_u64..50_000, 20..250)) {
            let known = usual(delays.iter().copied()).of("a").unwrap();
            delays.sort_unstable();
            let median = seconds(delays[(delays.len() - 1) / 2]);
            prop_assert_eq!(size(known.median), size(median));
            let below = delays.iter().filter(|delay| seconds(**delay) < known.most).count();
            prop_assert!(below * 100 >= delays.len() * 95);
        }

        #[test]
        fn what_is_kept_is_read_as_it_was(delays in proptest::collection::vec((0_u8..40, 0_u64..50_000), 0..300)) {
            let mut usual = Usual::default();
            for (stretch, delay) in delays {
                usual.learn(&stretch.to_string(), seconds(delay));
            }
            prop_assert_eq!(Usual::from_text(&usual.to_text()), Some(usual));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-fg]{0,200}") {
            if let Some(usual) = Usual::from_text(&text) {
                prop_assert_eq!(usual.to_text(), text);
            }
        }
    }

    #[test]
    fn another_text_is_nothing_that_was_kept() {
        let long = "00".repeat((MOST_STRETCHES + 1) * BYTES);
        for text in ["0", "00", "é", &"0g".repeat(BYTES), &long] {
            assert_eq!(Usual::from_text(text), None, "{text}");
        }
    }
}
