//! The header of a mail before it is parsed: anybody may have written it, and a parser makes of a short
//! line more than it is.

use std::borrow::Cow;

/// The most fields of a header that are read; a mail that passed twenty servers has two hundred.
pub const FIELDS: usize = 1000;
/// The most of one field that is read, in bytes; a line of a mail has at most 998 (RFC 5322, section
/// 2.1.1).
pub const FIELD_BYTES: usize = 8 << 10;

/// The header block as far as it is read: its first fields, each cut where it is too long.
pub fn bounded(block: &[u8]) -> Cow<'_, [u8]> {
    let mut kept = Vec::new();
    let (mut fields, mut room, mut at) = (0, FIELD_BYTES, 0);
    let mut is_whole = true;
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let is_continued = line.starts_with(b" ") || line.starts_with(b"\t");
        if !is_continued {
            (fields, room) = (fields + 1, FIELD_BYTES);
        }
        let is_end = line.trim_ascii().is_empty() && !is_continued;
        if is_end || (is_whole && fields <= FIELDS && line.len() <= room) {
            room = room.saturating_sub(line.len());
            if !is_whole {
                kept.extend_from_slice(line);
            }
            at += line.len();
            if is_end {
                break;
            }
            continue;
        }
        if is_whole {
            is_whole = false;
            kept.extend_from_slice(block.get(..at).unwrap_or_default());
        }
        if fields > FIELDS {
            break;
        }
        keep(line, &mut room, &mut kept);
    }
    if is_whole { Cow::Borrowed(block) } else { Cow::Owned(kept) }
}

/// As much of a line as there is room for, with a line end.
fn keep(line: &[u8], room: &mut usize, kept: &mut Vec<u8>) {
    if *room == 0 {
        return;
    }
    let fits = line.get(..*room).unwrap_or(line);
    *room -= fits.len();
    kept.extend_from_slice(fits.strip_suffix(b"\r").unwrap_or(fits));
    if !fits.ends_with(b"\n") {
        *room = 0;
        kept.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_as_mails_have_it_is_read_as_it_is() {
        for block in
            [&b"Subject: a\r\n b\r\nTo: c\r\n\r\n"[..], b"Subject: a", b"", b"\r\nX: y\r\n"]
        {
            assert!(matches!(bounded(block), Cow::Borrowed(same) if same == block));
        }
    }

    #[test]
    fn fields_and_what_is_in_them_are_bounded() {
        let many = "a:\r\n".repeat(16_000);
        assert_eq!(bounded(many.as_bytes()).len(), "a:\r\n".len() * FIELDS);
        let long = format!("From: {}\r\n b\r\nSubject: s\r\n\r\n", "a,".repeat(20_000));
        let read = bounded(long.as_bytes());
        assert!(read.ends_with(b"a,\r\nSubject: s\r\n\r\n"), "{}", read.len());
        assert!(read.len() <= FIELD_BYTES + 30, "{}", read.len());
        let folded = format!("X: y\r\n{}To: t\r\n", " \r\n".repeat(20_000));
        let read = bounded(folded.as_bytes());
        assert!(
            read.ends_with(b" \r\nTo: t\r\n") && read.len() <= FIELD_BYTES + 30,
            "{}",
            read.len()
        );
    }
}
