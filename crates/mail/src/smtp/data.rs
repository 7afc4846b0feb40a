//! The mail itself after DATA (RFC 5321 section 4.1.1.4): chunk by chunk, so that a large one is never held whole, and a
//! server that has had enough of it is heard.

use std::time::Duration;

use tokio::time::Instant;

use super::{NotAccepted, Reply, Smtp, is_ok};
use crate::content::Content;
use crate::{Failure, Fault, Reason};

/// How long a server may think after the final dot; RFC 5321 section 4.5.3.2.6 asks for patience.
const AFTER_DATA: Duration = Duration::from_secs(120);
/// How long the rest of a reply may take that a server has begun before it took no more.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Smtp {
    /// The content with its final dot, and when that was about to be sent. Up to the last line the
    /// server cannot have the mail; once that is on its way, only a reply shows whether it has.
    pub(super) async fn send_content(
        &mut self,
        content: &Content,
    ) -> Result<(Instant, Reply), NotAccepted> {
        let shown = format!("the message ({} bytes)", content.size());
        let mut dots = Dots::default();
        let mut chunks = content.chunks().peekable();
        let mut is_first = true;
        while let Some(chunk) = chunks.next() {
            let chunk = dots.stuff(&chunk, chunks.peek().is_none());
            let sent = match std::mem::take(&mut is_first) {
                true => self.wire.send_bytes(&chunk, &shown).await,
                false => self.wire.send_more(&chunk, &shown).await,
            };
            if let Err(failure) = sent {
                return Err(NotAccepted::Broken(self.words_before(failure).await));
            }
            if self.wire.has_come().await.map_err(NotAccepted::Broken)? {
                return Err(NotAccepted::Broken(self.unasked_reply().await));
            }
        }
        let written = Instant::now();
        self.wire.send_secret(".", "the final dot").await.map_err(NotAccepted::Doubtful)?;
        self.wire.expect_reply_within(AFTER_DATA);
        let reply = self.read_reply().await.map_err(NotAccepted::Doubtful)?;
        if is_ok(reply.code) {
            return Ok((written, reply));
        }
        let failure = self.refusal(&reply, "the message", false);
        Err(match reply.code {
            // 421 announces the end of the connection (RFC 5321 section 3.8).
            421 => NotAccepted::Broken(failure),
            400..=599 => NotAccepted::Refused(failure),
            // No reply to this step of the dialogue: it says nothing about the mail.
            _ => NotAccepted::Doubtful(failure),
        })
    }

    /// The refusal with which a server takes no more of the mail, if it has said why; else how the connection failed.
    async fn words_before(&mut self, failure: Failure) -> Failure {
        self.wire.expect_reply_within(LAST_WORDS);
        match self.wire.has_come().await {
            Ok(true) => match self.read_reply().await {
                Ok(reply) if matches!(reply.code, 400..=599) => {
                    self.refusal(&reply, "the message", false)
                }
                _ => failure,
            },
            _ => failure,
        }
    }

    /// What stands before the final dot is no answer to it: the server cannot have the mail. It may have
    /// said why it does not want it.
    async fn unasked_reply(&mut self) -> Failure {
        match self.read_reply().await {
            Ok(reply) if matches!(reply.code, 400..=599) => {
                self.refusal(&reply, "the message", false)
            }
            Ok(_) => {
                let message = "the server has answered more than it was asked";
                self.wire.fail(Fault::new(Reason::Protocol, message))
            }
            Err(failure) => failure,
        }
    }
}

/// Doubles a dot at the start of a line (RFC 5321 section 4.5.2), wherever the chunks begin.
struct Dots {
    at_start_of_line: bool,
    /// Whether the last byte was half the end of a line.
    is_in_end: bool,
}

impl Default for Dots {
    fn default() -> Self {
        Self { at_start_of_line: true, is_in_end: false }
    }
}

impl Dots {
    /// The chunk with its dots doubled; the last one ends a line.
    fn stuff(&mut self, chunk: &[u8], is_last: bool) -> Vec<u8> {
        let mut stuffed = Vec::with_capacity(chunk.len() + 16);
        for line in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.at_start_of_line && line.first() == Some(&b'.') {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
            self.at_start_of_line = line.ends_with(b"\n");
        }
        let is_ended = stuffed.ends_with(b"\r\n") || (self.is_in_end && stuffed == b"\n");
        self.is_in_end = stuffed.ends_with(b"\r");
        if is_last && !is_ended {
            stuffed.extend_from_slice(b"\r\n");
        }
        stuffed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuffed(chunks: &[&[u8]]) -> Vec<u8> {
        let mut dots = Dots::default();
        let last = chunks.len() - 1;
        let chunks = chunks.iter().enumerate();
        chunks.flat_map(|(index, chunk)| dots.stuff(chunk, index == last)).collect()
    }

    #[test]
    fn dots_are_stuffed_and_the_last_line_is_ended() {
        assert_eq!(stuffed(&[b".a\r\nb.\r\n..\r\n"]), b"..a\r\nb.\r\n...\r\n");
        assert_eq!(stuffed(&[b"a"]), b"a\r\n");
    }

    proptest! {
        #[test]
        fn where_a_chunk_ends_does_not_matter(text in "([.a]|\r\n){0,12}", at in 0_usize..24) {
            let text = format!("{text}\r\n");
            let (first, second) = text.split_at(at.min(text.len()));
            let (first, second) = (first.as_bytes(), second.as_bytes());
            prop_assume!(!second.is_empty());
            prop_assert_eq!(stuffed(&[first, second]), stuffed(&[text.as_bytes()]));
        }
    }
}
