//! What happens to a mail between its acceptance and the folder.

use std::sync::Arc;
use std::time::Duration;

/// How an accepted mail is delivered. Start from [`Delivery::at_once`] and change what is to
/// differ: `Delivery::at_once().after(Duration::from_secs(2)).into_folder("Junk")`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    folder: String,
    delay: Duration,
    copies: usize,
    held: bool,
    without_header: Option<String>,
    added_header: String,
}

impl Delivery {
    /// Into the inbox, before the server confirms that it accepted the mail.
    pub fn at_once() -> Self {
        let folder = "INBOX".to_owned();
        Self {
            folder,
            delay: Duration::ZERO,
            copies: 1,
            held: false,
            without_header: None,
            added_header: String::new(),
        }
    }

    /// Accepted, and never seen again.
    pub fn lost() -> Self {
        Self::at_once().copies(0)
    }

    /// Kept back until [`Post::release`](super::Post::release).
    pub fn held() -> Self {
        Self { held: true, ..Self::at_once() }
    }

    /// Only after this time, by the clock of tokio.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Into another folder, as `Junk`; lost if the account has none of that name.
    pub fn into_folder(self, name: &str) -> Self {
        Self { folder: super::canonical_folder(name).to_owned(), ..self }
    }

    /// This many times, at most ten.
    pub fn copies(self, copies: usize) -> Self {
        Self { copies: copies.min(10), ..self }
    }

    /// Without the header of this name, as a filter would strip it.
    pub fn without_header(self, name: &str) -> Self {
        Self { without_header: Some(name.to_owned()), ..self }
    }

    /// With this field above all others, as a filter puts its verdict there; without its line end.
    pub fn with_header(self, field: &str) -> Self {
        Self { added_header: format!("{field}\r\n{}", self.added_header), ..self }
    }

    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    pub(super) fn number_of_copies(&self) -> usize {
        self.copies
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// The bytes that reach the folder.
    pub(super) fn as_delivered(&self, mail: &Arc<[u8]>) -> Arc<[u8]> {
        let kept = match &self.without_header {
            Some(name) => strip_header(mail, name).into(),
            None => mail.clone(),
        };
        match self.added_header.as_bytes() {
            [] => kept,
            added => [added, &kept].concat().into(),
        }
    }
}

/// The mail without the fields called `name`, their folded lines included.
fn strip_header(mail: &[u8], name: &str) -> Vec<u8> {
    let mut kept = Vec::with_capacity(mail.len());
    let (mut in_header, mut dropping) = (true, false);
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        if in_header {
            in_header = line != b"\r\n" && line != b"\n";
            let folded = line.starts_with(b" ") || line.starts_with(b"\t");
            dropping = in_header && if folded { dropping } else { is_field(line, name) };
        }
        if !dropping {
            kept.extend_from_slice(line);
        }
    }
    kept
}

fn is_field(line: &[u8], name: &str) -> bool {
    let (field, rest) = line.split_at(name.len().min(line.len()));
    field.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_fields_stand_above_all_others_the_newest_first() {
        let delivery = Delivery::at_once().without_header("B").with_header("C: 3");
        let delivered =
            delivery.with_header("D: 4").as_delivered(&b"A: 1\r\nB: 2\r\n\r\n"[..].into());
        assert_eq!(*delivered, b"D: 4\r\nC: 3\r\nA: 1\r\n\r\n"[..]);
    }

    #[test]
    fn a_stripped_header_takes_its_folded_lines_along_and_leaves_the_body() {
        let mail = b"A: 1\r\nX-Mailtrip: v=1;\r\n\ttoken=2\r\nB: 3\r\n\r\nX-Mailtrip: body\r\n";
        let kept = strip_header(mail, "x-mailtrip");
        assert_eq!(kept, b"A: 1\r\nB: 3\r\n\r\nX-Mailtrip: body\r\n");
    }
}
