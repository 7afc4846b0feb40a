//! Hours or days as bytes, to be kept: numbers of seven bits a byte, the lowest first, the eighth bit set
//! where more follow. Of each hour: how many hours after the one before (the first: after the first of all, 100 days before 1970); of each
//! side the milliseconds unable and unknown; mails late and lost; the longest round trip in milliseconds;
//! how many sizes of round trips follow, and of each its number and how many there were.

use super::bucket::{Bucket, Times};
use super::{Span, Trips};
use crate::PerSide;

/// Hours or days by their number.
pub(super) type Dated = (u64, Bucket);

/// Writes them, oldest first.
pub(super) fn write<'a>(span: Span, buckets: impl Iterator<Item = (u64, &'a Bucket)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = 0;
    for (number, bucket) in buckets {
        append(span, &mut bytes, before, (number, bucket));
        before = number;
    }
    bytes
}

/// Writes one more; that of the number `before` was the last.
pub(super) fn append(
    span: Span,
    bytes: &mut Vec<u8>,
    before: u64,
    (number, bucket): (u64, &Bucket),
) {
    put(bytes, number.saturating_sub(before));
    for (_, times) in bucket.sides.iter() {
        let (unable, unknown) = times.rest(span.millis());
        put(bytes, unable);
        put(bytes, unknown);
    }
    let (cells, worst) = bucket.trips.parts();
    let count = u64::try_from(cells.len()).unwrap_or_default();
    for number in [bucket.late.into(), bucket.lost.into(), worst.into(), count] {
        put(bytes, number);
    }
    for (size, count) in cells {
        put(bytes, (*size).into());
        put(bytes, (*count).into());
    }
}

/// The bytes of those from the number `oldest` on. Only what is left out is read.
pub(super) fn from(span: Span, bytes: &[u8], oldest: u64) -> Vec<u8> {
    let (mut rest, mut number) = (bytes, 0_u64);
    while let Some(gap) = take(&mut rest) {
        number = number.saturating_add(gap);
        if number >= oldest {
            let mut kept = Vec::with_capacity(bytes.len());
            put(&mut kept, number);
            kept.extend_from_slice(rest);
            return kept;
        }
        if bucket(span, &mut rest).is_none() {
            break;
        }
    }
    Vec::new()
}

/// Reads them; nothing where they make no sense.
pub(super) fn read(span: Span, bytes: &[u8]) -> Vec<Dated> {
    let (mut bytes, mut buckets, mut number) = (bytes, Vec::new(), 0_u64);
    while !bytes.is_empty() {
        let gap = take(&mut bytes);
        let Some((gap, bucket)) = gap.zip(bucket(span, &mut bytes)) else { return Vec::new() };
        let has_room = u64::try_from(buckets.len()).is_ok_and(|count| count < span.length());
        number = number.saturating_add(gap);
        if gap == 0 || number > span.latest() || !has_room {
            return Vec::new();
        }
        buckets.push((number, bucket));
    }
    buckets
}

fn bucket(span: Span, bytes: &mut &[u8]) -> Option<Bucket> {
    let sides = PerSide { send: times(span, bytes)?, receive: times(span, bytes)? };
    let mut number = || u32::try_from(take(bytes)?).ok();
    let (late, lost, worst, count) = (number()?, number()?, number()?, number()?);
    if usize::try_from(count).ok()? > Trips::MOST_CELLS {
        return None;
    }
    let mut cell = || Some((u8::try_from(take(bytes)?).ok()?, u32::try_from(take(bytes)?).ok()?));
    let cells = (0..count).map(|_| cell()).collect::<Option<_>>()?;
    Some(Bucket { sides, late, lost, trips: Trips::of(cells, worst)? })
}

fn times(span: Span, bytes: &mut &[u8]) -> Option<Times> {
    let (unable, unknown) = (take(bytes)?, take(bytes)?);
    let able = span.millis().checked_sub(unable.checked_add(unknown)?)?;
    Some(Times::new(able, unable))
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        number |= part.checked_shl(shift).filter(|moved| moved >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for number in (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]).chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(take(&mut &*bytes), Some(number));
        }
        assert_eq!(take(&mut [0x80; 12].as_slice()), None);
        assert_eq!(take(&mut [0xff; 12].as_slice()), None);
        assert_eq!(take(&mut [0x80].as_slice()), None);
    }

    #[test]
    fn bytes_that_make_no_sense_are_nothing() {
        let whole = write(Span::Hour, [(5, &Bucket::default())].into_iter());
        assert_eq!(read(Span::Hour, &whole), [(5, Bucket::default())]);
        for cut in 1..whole.len() {
            assert_eq!(read(Span::Hour, &whole[..cut]), [], "{cut}");
        }
        for index in 0..whole.len() {
            for byte in 0..=255 {
                let mut bytes = whole.clone();
                bytes[index] = byte;
                for (_, bucket) in read(Span::Hour, &bytes) {
                    assert!(bucket.sides.send.measured() <= Span::Hour.width());
                }
            }
        }
        let twice = [whole.clone(), vec![0], whole[1..].to_vec()].concat();
        assert_eq!(read(Span::Hour, &twice), [], "the same hour twice");
        let many = [1, 0, 0, 0, 0, 0, 0, 0, 0].repeat(193);
        assert_eq!(read(Span::Hour, &many), [], "more than are kept");
        assert_eq!(read(Span::Hour, &many[9..]).len(), 192);
    }
}
