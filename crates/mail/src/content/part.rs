//! One stretch of a mail: written already, or made as it is sent. What is made comes from a seed, so that
//! it is the same in a second pass, and cannot be compressed, so that it weighs everywhere what it weighs here.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters in a line of base64 (RFC 2045 section 6.8).
const LINE: usize = 76;
/// The bytes that one such line stands for.
const RAW_LINE: usize = LINE / 4 * 3;
/// A line with its end.
pub(super) const WHOLE_LINE: usize = LINE + 2;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A stretch of a mail.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// These bytes.
    Bytes(Vec<u8>),
    /// So many bytes of meaningless lines, their ends included; one byte is no line.
    Padding(u64),
    /// These bytes in base64.
    Encoded(Arc<[u8]>),
    /// So many meaningless bytes in base64.
    EncodedRandom(u64),
}

/// How far a part has been given.
pub(super) struct Position {
    /// In bytes of what is sent, or of what is encoded.
    at: u64,
    random: Random,
}

impl Position {
    /// The beginning. No two parts of one mail have the same `seed`.
    pub(super) fn start(seed: u64) -> Self {
        Self { at: 0, random: Random::from(seed) }
    }
}

impl Part {
    /// How many bytes it is, as it is sent.
    pub(super) fn size(&self) -> u64 {
        match self {
            Part::Bytes(bytes) => bytes.len() as u64,
            Part::Padding(size) => *size,
            Part::Encoded(bytes) => encoded_size(bytes.len() as u64),
            Part::EncodedRandom(size) => encoded_size(*size),
        }
    }

    /// Appends what comes next, until `out` holds `most` bytes or nearly so; `true` once all was given.
    pub(super) fn give(&self, position: &mut Position, out: &mut Vec<u8>, most: usize) -> bool {
        match self {
            Part::Bytes(bytes) => {
                let rest = rest(bytes, position.at);
                let step = rest.len().min(most.saturating_sub(out.len()));
                out.extend_from_slice(rest.get(..step).unwrap_or_default());
                position.at += step as u64;
                step == rest.len()
            }
            Part::Padding(size) => {
                while out.len() + WHOLE_LINE <= most && position.at < *size {
                    let line = line_of_padding(*size, position.at);
                    position.random.letters(line.saturating_sub(2), out);
                    out.extend_from_slice(b"\r\n");
                    position.at += line as u64;
                }
                position.at >= *size
            }
            Part::Encoded(bytes) => {
                while out.len() + WHOLE_LINE <= most && !rest(bytes, position.at).is_empty() {
                    let rest = rest(bytes, position.at);
                    let line = rest.get(..RAW_LINE).unwrap_or(rest);
                    encode(line, out);
                    position.at += line.len() as u64;
                }
                rest(bytes, position.at).is_empty()
            }
            Part::EncodedRandom(size) => {
                let mut line = [0; RAW_LINE];
                while out.len() + WHOLE_LINE <= most && position.at < *size {
                    position.random.fill(&mut line);
                    let left = usize::try_from(*size - position.at).unwrap_or(RAW_LINE);
                    encode(line.get(..left).unwrap_or(&line), out);
                    position.at += RAW_LINE as u64;
                }
                position.at >= *size
            }
        }
    }
}

/// How many bytes this many are in base64, in lines.
pub(super) fn encoded_size(raw: u64) -> u64 {
    let (lines, rest) = (raw / RAW_LINE as u64, raw % RAW_LINE as u64);
    let last = if rest == 0 { 0 } else { rest.div_ceil(3) * 4 + 2 };
    lines * WHOLE_LINE as u64 + last
}

/// How many meaningless bytes in base64 fill `size` bytes but for padding, of which at least two are left.
pub(super) fn raw_that_fills(size: u64) -> u64 {
    size.saturating_sub(2) / WHOLE_LINE as u64 * RAW_LINE as u64
}

fn rest(bytes: &[u8], at: u64) -> &[u8] {
    usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default()
}

fn encode(raw: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(raw).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The length of the line of padding that begins at `at`, with its end. No line is left with a single byte.
fn line_of_padding(size: u64, at: u64) -> usize {
    let left = usize::try_from(size - at).unwrap_or(usize::MAX);
    match left {
        _ if left == WHOLE_LINE + 1 => WHOLE_LINE - 1,
        _ => left.min(WHOLE_LINE),
    }
}

/// Numbers without a pattern (xorshift64*); nobody has to be unable to guess them.
struct Random(u64);

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        // Zero would stay zero.
        Self(seed | 1)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let number = self.next().to_le_bytes();
            piece.copy_from_slice(number.get(..piece.len()).unwrap_or(&number));
        }
    }

    fn letters(&mut self, count: usize, out: &mut Vec<u8>) {
        let mut left = count;
        while left > 0 {
            let mut number = self.next();
            for _ in 0..left.min(10) {
                let letter = usize::try_from(number & 63).unwrap_or_default();
                out.push(ALPHABET.get(letter).copied().unwrap_or(b'A'));
                number >>= 6;
            }
            left = left.saturating_sub(10);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(part: &Part, most: usize) -> Vec<u8> {
        let mut position = Position::start(7);
        let mut whole = Vec::new();
        loop {
            let mut chunk = Vec::new();
            let is_over = part.give(&mut position, &mut chunk, most);
            assert!(chunk.len() <= most);
            whole.extend(chunk);
            if is_over {
                return whole;
            }
        }
    }

    #[test]
    fn every_part_has_the_size_it_says_in_whatever_chunks() {
        for size in (0..400).filter(|size| *size != 1) {
            let bytes: Vec<u8> = (0..size).map(|at| at as u8).collect();
            let parts = [
                Part::Bytes(bytes.clone()),
                Part::Padding(size),
                Part::Encoded(bytes.into()),
                Part::EncodedRandom(size),
            ];
            for part in parts {
                let at_once = whole(&part, 4096);
                assert_eq!(at_once.len() as u64, part.size(), "{part:?}");
                assert_eq!(at_once, whole(&part, 100), "{part:?}");
                if !matches!(part, Part::Bytes(_)) {
                    let text = String::from_utf8(at_once).unwrap();
                    assert!(text.is_empty() || text.ends_with("\r\n"));
                    assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
                    assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
                }
            }
        }
    }

    #[test]
    fn what_fills_leaves_room_for_a_line() {
        for size in 2..1000 {
            let left = size - encoded_size(raw_that_fills(size));
            assert!((2..WHOLE_LINE as u64 + 2).contains(&left), "{size}: {left}");
        }
    }

    #[test]
    fn encoded_bytes_decode_to_themselves() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = whole(&Part::Encoded(bytes.clone().into()), 4096);
        let text = String::from_utf8(text).unwrap().replace("\r\n", "");
        assert_eq!(STANDARD.decode(text).unwrap(), bytes);
    }
}
