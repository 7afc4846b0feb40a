//! Inputs made of the corpus: the same ones for the same seed.

use super::Target;

/// Numbers that look like random ones (xorshift64*).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Those of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16;
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        usize::try_from(number.checked_rem(limit).unwrap_or_default()).unwrap_or_default()
    }
}

/// Bytes that mean something to one parser or another.
const TELLING: &[u8] = b"\r\n\t \0\x1c\x1d\"\\(){}[]<>+-*%&=:;,.@#~09azAZ/!'|\x7f\x80\xc3\xff";
/// Words that do.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\x1c",
    b"{0}\r\n",
    b"{65536}\r\n",
    b"{4294967295}\r\n",
    b"4294967296",
    b"18446744073709551616",
    b"-1",
    b"1e999",
    b"nan",
    b"\xe2\x80\xae",
    b"\x1b[2J",
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\r",
    b"\n",
    b"\n.\r\n",
];

/// Changes an input in some of the ways in which servers and strangers get it wrong; `others` lend parts.
pub fn change(input: &[u8], others: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let longest = if dice.below(4) == 0 { 200 } else { 8 };
        let length = 1 + dice.below(longest);
        let end = (at + length).min(bytes.len());
        match dice.below(9) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, TELLING[dice.below(TELLING.len())]),
            2 => drop(bytes.splice(at..at, WORDS[dice.below(WORDS.len())].iter().copied())),
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            4 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = TELLING[dice.below(TELLING.len())];
                }
            }
            5 => {
                let part = bytes[at..end].to_vec();
                let most = if dice.below(8) == 0 { 400 } else { 4 };
                let times = 1 + dice.below(most);
                drop(bytes.splice(end..end, part.repeat(times)));
            }
            6 => {
                let other = others.get(dice.below(others.len())).map_or(&[][..], Vec::as_slice);
                let from = dice.below(other.len() + 1);
                let to = (from + 1 + dice.below(120)).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
            7 => bytes.truncate(at),
            _ => {
                let to = dice.below(bytes.len() + 1).max(at);
                bytes[at..to].reverse();
                bytes[at..to].rotate_left(dice.below(to - at + 1).min(to - at));
            }
        }
    }
    bytes.truncate(Target::LONGEST);
    bytes
}

/// A part of the input, again and again, up to the longest input: what is not linear shows.
pub fn stretch(input: &[u8], dice: &mut Dice) -> Vec<u8> {
    let from = dice.below(input.len());
    let to = from + 1 + dice.below((input.len() - from).min(64));
    let (part, rest) = (input.get(from..to).unwrap_or_default(), input.get(to..));
    let mut bytes = input[..from].to_vec();
    let times = (Target::LONGEST - bytes.len().min(Target::LONGEST)) / part.len().max(1);
    bytes.extend(part.repeat(times));
    bytes.extend_from_slice(rest.unwrap_or_default());
    bytes.truncate(Target::LONGEST);
    bytes
}
