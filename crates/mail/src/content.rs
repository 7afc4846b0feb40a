//! A mail as it is sent: in chunks that can be made anew, so that none of ten megabytes is ever held whole; and
//! the form that a configuration gives to it.

use std::path::PathBuf;
use std::sync::Arc;

use ledger::Token;

use crate::dkim::Signer;
use part::{Part, Position};
pub use sample::Sample;
pub use template::{Template, UnknownPlace, Values};

pub(crate) mod mime;
mod part;
mod sample;
mod template;

/// The most of a mail that is held at a time, in bytes.
pub(crate) const CHUNK: usize = 64 << 10;

/// What a configuration wants the test mail to be like; what it leaves out is as it is without a form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Form {
    /// The Subject; [`crate::test_mail::subject`] without one.
    pub subject: Option<Template>,
    /// Fields of the header, by ASCII names that are unlike in any case: with their values, or left out.
    pub fields: Vec<(String, Option<Template>)>,
    /// The text, which targets may have in common.
    pub body: Option<Arc<BodyText>>,
    /// The size of the whole mail as it is sent, in bytes, before dots are stuffed. One that is less than the
    /// rest needs has no effect.
    pub size: Option<u64>,
    /// What is attached.
    pub attachment: Option<Attachment>,
    /// A sample that filters are to find; it takes the place of what is attached, if it is attached itself.
    pub sample: Option<Sample>,
    /// Who signs it (DKIM, RFC 6376).
    pub signer: Option<Signer>,
}

/// The text of the mail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BodyText {
    /// The text itself.
    pub text: Template,
    /// The file that it was read from; `None`: the configuration holds it.
    pub file: Option<PathBuf>,
}

/// A file that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name: printable ASCII without quotes and backslashes.
    pub name: String,
    /// What is in it.
    pub data: AttachedData,
}

/// What is in an attachment.
#[derive(Clone, PartialEq, Eq)]
pub enum AttachedData {
    /// As many meaningless bytes as fill the size of the mail.
    Filling,
    /// So many meaningless bytes.
    Meaningless(u64),
    /// What was in this file.
    File {
        /// Where it was read.
        path: PathBuf,
        /// Its bytes.
        bytes: Arc<[u8]>,
    },
}

impl std::fmt::Debug for AttachedData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttachedData::Filling => f.write_str("Filling"),
            AttachedData::Meaningless(size) => write!(f, "Meaningless({size})"),
            AttachedData::File { path, bytes } => {
                write!(f, "File({}, {} bytes)", path.display(), bytes.len())
            }
        }
    }
}

/// A whole mail with CRLF line ends, made chunk by chunk, each time the same.
#[derive(Debug, Clone)]
pub struct Content {
    parts: Vec<Part>,
    seed: u64,
}

impl Content {
    /// The parts of the mail with this token, which end in CRLF together.
    fn new(parts: Vec<Part>, token: Token) -> Self {
        let half = token.to_string();
        let half = half.get(..16).unwrap_or_default();
        Self { parts, seed: u64::from_str_radix(half, 16).unwrap_or_default() }
    }

    /// How many bytes it is, before dots are stuffed.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// The mail in chunks of at most 64 kB, none of them empty.
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks { content: self, index: 0, position: Position::start(self.seed_of(0)) }
    }

    /// All of it, for one that is small.
    pub fn to_vec(&self) -> Vec<u8> {
        self.chunks().flatten().collect()
    }

    /// The header without the empty line behind it.
    pub(crate) fn header(&self) -> &[u8] {
        let Some(Part::Bytes(first)) = self.parts.first() else { return &[] };
        let end = first.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        end.and_then(|end| first.get(..end + 2)).unwrap_or(first)
    }

    /// The same behind a field of the header.
    pub(crate) fn behind(mut self, field: &[u8]) -> Self {
        match self.parts.first_mut() {
            Some(Part::Bytes(first)) => drop(first.splice(..0, field.iter().copied())),
            _ => self.parts.insert(0, Part::Bytes(field.to_vec())),
        }
        self
    }

    fn seed_of(&self, index: usize) -> u64 {
        let index = u64::try_from(index).unwrap_or_default().wrapping_add(1);
        self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// A mail that is written already.
impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self { parts: vec![Part::Bytes(bytes.to_vec())], seed: 0 }
    }
}

/// See [`Content::chunks`].
pub struct Chunks<'a> {
    content: &'a Content,
    index: usize,
    position: Position,
}

impl Iterator for Chunks<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let size = usize::try_from(self.content.size()).unwrap_or(CHUNK);
        let mut chunk = Vec::with_capacity(size.min(CHUNK));
        while let Some(part) = self.content.parts.get(self.index) {
            if !part.give(&mut self.position, &mut chunk, CHUNK) {
                break;
            }
            self.index += 1;
            self.position = Position::start(self.content.seed_of(self.index));
        }
        (!chunk.is_empty()).then_some(chunk)
    }
}

#[cfg(test)]
mod tests;
