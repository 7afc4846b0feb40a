//! The literal of a response, and the mail at which a session breaks because its literal is announced
//! longer or shorter than it is.

use super::parse::{Response, Untagged};
use super::{Imap, is_at_the_end};
use crate::Fault;
use ledger::{Failure, Reason};

/// A mail that the server does not show in order, so that nothing behind it can be understood. The next
/// session does not ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its UID.
    pub uid: u32,
    /// Its header, or what came of it.
    pub header: Option<Vec<u8>>,
    /// Whether it is this mail for sure: a server that falls silent in the middle may have other reasons.
    pub is_proven: bool,
}

impl Imap {
    /// The mail at which the session broke, once.
    pub fn take_broken(&mut self) -> Option<Broken> {
        self.broken.take()
    }

    /// The next `kept` bytes of a literal behind `response`.
    pub(super) async fn read_literal(
        &mut self,
        response: &Response,
        kept: usize,
    ) -> Result<Vec<u8>, Failure> {
        match self.wire.read_exact(kept).await {
            Ok(bytes) => Ok(bytes),
            Err(failure) if failure.is_without_answer() => {
                // All that it has, and more was announced.
                let come = Some(self.wire.unread()).filter(|_| response.announces_header());
                if let Some(block) = come.and_then(short_block).map(<[u8]>::to_vec) {
                    return Err(self.announced_too_long(response, block));
                }
                let come = come.map(<[u8]>::to_vec);
                self.note_broken(response, come, false);
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Drops the next `count` bytes: the rest of the newest literal, of which more was announced than is
    /// kept.
    pub(super) async fn skip_literal(
        &mut self,
        response: &Response,
        count: usize,
    ) -> Result<(), Failure> {
        let skipped = self.wire.skip(count).await;
        if let Err(failure) = &skipped
            && failure.is_without_answer()
        {
            let literal = response.newest_literal().filter(|_| response.has_header_literal());
            self.note_broken(response, literal.map(<[u8]>::to_vec), false);
        }
        skipped
    }

    /// Whether what stands behind the newest literal can be believed: the server announced as much as it
    /// sent. Of one that `is_cut` only what stands behind it counts: its own end was not kept.
    ///
    /// # Errors
    /// It did not. What follows may have been written by the sender of a mail: it is not read as the
    /// server's word.
    pub(super) fn check_literal(
        &mut self,
        response: &Response,
        is_cut: bool,
    ) -> Result<(), Failure> {
        let is_whole_header = response.has_header_literal() && !is_cut;
        let literal = response.newest_literal().filter(|_| is_whole_header);
        if let Some(block) = literal.and_then(short_block).map(<[u8]>::to_vec) {
            return Err(self.announced_too_long(response, block));
        }
        if response.goes_on_behind_literal() {
            return Ok(());
        }
        self.note_broken(response, None, true);
        let message = "a literal that is longer than the server announced";
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
    }

    fn announced_too_long(&mut self, response: &Response, block: Vec<u8>) -> Failure {
        self.note_broken(response, Some(block), true);
        let message = "a literal that is shorter than the server announced";
        self.wire.fail(Fault::new(Reason::Protocol, message))
    }

    /// The literal under way breaks the session.
    pub(super) fn note_broken(
        &mut self,
        response: &Response,
        header: Option<Vec<u8>>,
        is_proven: bool,
    ) {
        if let Untagged::Fetch(mail) = response.untagged()
            && let Some(uid) = mail.uid.filter(|uid| !is_at_the_end(*uid))
        {
            self.broken = Some(Broken { uid, header, is_proven });
        }
    }
}

/// The header block at the beginning of a literal that goes on with what a server says behind it: a
/// block ends with its first empty line. A line of white space goes on with the field before it (RFC 5322,
/// section 4.2): anybody may write one, and what follows.
fn short_block(literal: &[u8]) -> Option<&[u8]> {
    if literal.ends_with(b"\n\r\n") {
        // The usual end; the rest need not be looked at.
        return None;
    }
    let mut end = 0;
    for line in literal.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    let (block, rest) = literal.split_at_checked(end)?;
    rest.trim_ascii_start().starts_with(b")").then_some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_line_ends_a_block() {
        let short = b"Subject: a\r\n\r\n)\r\n2 OK done\r\n";
        assert_eq!(short_block(short), Some(b"Subject: a\r\n\r\n".as_slice()));
        assert_eq!(short_block(b"Subject: a\n\n )\n"), Some(b"Subject: a\n\n".as_slice()));
        for folded in [
            "Subject: a\r\n \r\n )\r\nReferences: <b",
            "Subject: a\r\n\t\r\n)\r\nReferences: <b",
            "Subject: a\n \n )\nReferences: <b",
        ] {
            assert_eq!(short_block(folded.as_bytes()), None, "{folded:?}");
        }
    }
}
