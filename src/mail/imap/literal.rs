//! The literal of a response, and the mail at which a session breaks because its literal is announced
//! longer or shorter than it is.

use super::parse::{Response, Untagged};
use super::{Imap, is_at_the_end};
use crate::mail::{Failure, Fault, Reason};

/// A mail that the server does not show in order, so that nothing behind it can be understood. The next
/// session does not ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its UID.
    pub uid: u32,
    /// Its header, where it came whole.
    pub header: Option<Vec<u8>>,
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
            Err(failure) if matches!(failure.reason, Reason::Timeout | Reason::Closed) => {
                // All that it has, and more was announced.
                let come = Some(self.wire.unread()).filter(|_| response.announces_header());
                match come.and_then(short_block).map(<[u8]>::to_vec) {
                    Some(block) => Err(self.announced_too_long(response, block)),
                    None => Err(failure),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Whether what stands behind the newest literal can be believed: the server announced as much as it
    /// sent.
    ///
    /// # Errors
    /// It did not. What follows may have been written by the sender of a mail: it is not read as the
    /// server's word.
    pub(super) fn check_literal(&mut self, response: &Response) -> Result<(), Failure> {
        let literal = response.newest_literal().filter(|_| response.has_header_literal());
        if let Some(block) = literal.and_then(short_block).map(<[u8]>::to_vec) {
            return Err(self.announced_too_long(response, block));
        }
        if response.goes_on_behind_literal() {
            return Ok(());
        }
        self.note_broken(response, None);
        let message = "a literal that is longer than the server announced";
        Err(self.wire.fail(Fault::new(Reason::Protocol, message)))
    }

    fn announced_too_long(&mut self, response: &Response, block: Vec<u8>) -> Failure {
        self.note_broken(response, Some(block));
        let message = "a literal that is shorter than the server announced";
        self.wire.fail(Fault::new(Reason::Protocol, message))
    }

    /// The literal under way breaks the session.
    pub(super) fn note_broken(&mut self, response: &Response, header: Option<Vec<u8>>) {
        if let Untagged::Fetch(mail) = response.untagged()
            && let Some(uid) = mail.uid.filter(|uid| !is_at_the_end(*uid))
        {
            self.broken = Some(Broken { uid, header });
        }
    }
}

/// The header block at the beginning of a literal that goes on with what a server says behind it: a
/// block ends with its first empty line.
fn short_block(literal: &[u8]) -> Option<&[u8]> {
    if literal.ends_with(b"\n\r\n") {
        // The usual end; the rest need not be looked at.
        return None;
    }
    let mut end = 0;
    for line in literal.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line.trim_ascii().is_empty() && line.ends_with(b"\n") {
            break;
        }
    }
    let (block, rest) = literal.split_at_checked(end)?;
    rest.trim_ascii_start().starts_with(b")").then_some(block)
}
