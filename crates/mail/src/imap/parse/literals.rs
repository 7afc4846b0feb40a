//! Which literal of a response is the header of a mail.

use super::{Part, Response};

impl Response {
    /// Whether the newest line announces a header.
    pub(in crate::imap) fn announces_header(&self) -> bool {
        self.parts.last().is_some_and(names_header)
    }

    /// Whether the newest literal is a header.
    pub(in crate::imap) fn has_header_literal(&self) -> bool {
        let at = self.parts.iter().rposition(|part| matches!(part, Part::Literal(_)));
        let line = at.and_then(|at| self.parts.get(at.checked_sub(1)?));
        line.is_some_and(names_header)
    }

    /// The newest literal.
    pub(in crate::imap) fn newest_literal(&self) -> Option<&[u8]> {
        self.parts.iter().rev().find_map(|part| match part {
            Part::Literal(bytes) => Some(bytes.as_slice()),
            Part::Text(_) => None,
        })
    }
}

/// Whether a header stands behind this line of a FETCH: `BODY[HEADER`, `RFC822.HEADER`.
fn names_header(part: &Part) -> bool {
    let Part::Text(line) = part else { return false };
    let bracket = line.iter().rposition(|byte| *byte == b'[');
    let section = bracket.and_then(|at| line.get(at + 1..)).unwrap_or_default();
    let is_section = section.get(..6).is_some_and(|name| name.eq_ignore_ascii_case(b"HEADER"));
    let name = line.split(|byte| *byte == b' ').rfind(|word| !word.starts_with(b"{"));
    is_section || name.is_some_and(|name| name.eq_ignore_ascii_case(b"RFC822.HEADER"))
}
