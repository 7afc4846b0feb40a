//! The text, what pads it and the attachment, put together (RFC 2045, RFC 2046).

use ledger::Token;
use lettre::message::Body;
use lettre::message::header::{ContentTransferEncoding, ContentType};

use super::part::{Part, raw_that_fills};
use super::{AttachedData, Attachment, Content, Form};

/// Types of files whose names end so; any other is a file of bytes.
const TYPES: [(&str, &str); 10] = [
    ("csv", "text/csv"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("gz", "application/gzip"),
    ("jpg", "image/jpeg"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("txt", "text/plain"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("zip", "application/zip"),
];

/// The body of a mail that has a form, before it is put behind its header.
pub(crate) struct Layout<'a> {
    form: &'a Form,
    text: Body,
    token: Token,
}

impl<'a> Layout<'a> {
    /// The body with this text.
    pub(crate) fn new(form: &'a Form, mut text: String, token: Token) -> Self {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Self { form, text: encoded(text, form.size.is_some()), token }
    }

    /// The type of the whole.
    pub(crate) fn content_type(&self) -> ContentType {
        let multipart = format!("multipart/mixed; boundary=\"{}\"", self.boundary());
        let is_multipart = self.form.attachment.is_some();
        let parsed = is_multipart.then(|| ContentType::parse(&multipart).ok()).flatten();
        parsed.unwrap_or(ContentType::TEXT_PLAIN)
    }

    /// What stands right behind the header.
    pub(crate) fn beginning(&self) -> Body {
        match &self.form.attachment {
            None => self.text.clone(),
            Some(_) => {
                let text = self.text.clone();
                let boundary = self.boundary();
                let mut bytes = format!(
                    "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
                     Content-Transfer-Encoding: {}\r\n\r\n",
                    text.encoding()
                )
                .into_bytes();
                bytes.extend(text.into_vec());
                // All of it is ASCII in short lines.
                Body::dangerous_pre_encoded(bytes, ContentTransferEncoding::SevenBit)
            }
        }
    }

    /// The whole mail behind what is written of it. So much of its size is `reserved` for what comes before that.
    pub(crate) fn finish(self, written: Vec<u8>, reserved: u64) -> Content {
        let boundary = self.boundary();
        let (before, after) = match &self.form.attachment {
            None => (String::new(), String::new()),
            Some(attachment) => (heading(attachment, &boundary), format!("--{boundary}--\r\n")),
        };
        let fixed = written.len() + before.len() + after.len();
        let room = self.form.size.unwrap_or_default();
        let room = room.saturating_sub(u64::try_from(fixed).unwrap_or(u64::MAX));
        let room = room.saturating_sub(reserved);
        let data = match self.form.attachment.as_ref().map(|attachment| &attachment.data) {
            None => Part::Bytes(Vec::new()),
            Some(AttachedData::Filling) => Part::EncodedRandom(raw_that_fills(room)),
            Some(AttachedData::Meaningless(size)) => Part::EncodedRandom(*size),
            Some(AttachedData::File { bytes, .. }) => Part::Encoded(bytes.clone()),
        };
        let padding = room.saturating_sub(data.size());
        let mut parts = vec![Part::Bytes(written)];
        if padding > 1 {
            parts.push(Part::Padding(padding));
        }
        if self.form.attachment.is_some() {
            parts.extend([Part::Bytes(before.into_bytes()), data, Part::Bytes(after.into_bytes())]);
        }
        Content::new(parts, self.token)
    }

    fn boundary(&self) -> String {
        format!("mailtrip-{}", self.token)
    }
}

fn heading(attachment: &Attachment, boundary: &str) -> String {
    let name = &attachment.name;
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let kind = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    let kind = kind.map_or("application/octet-stream", |(_, kind)| kind);
    format!(
        "--{boundary}\r\nContent-Type: {kind};\r\n name=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n filename=\"{name}\"\r\n\r\n"
    )
}

/// The text in the shortest encoding, or in one behind which lines of text may follow.
fn encoded(text: String, is_padded: bool) -> Body {
    // lettre inserts what is missing at each line end one by one, and moves the rest of the text each time.
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    let body = Body::new(text.clone());
    let body = match body.encoding() {
        ContentTransferEncoding::Base64 if is_padded => {
            Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable).unwrap_or(body)
        }
        _ => body,
    };
    let encoding = body.encoding();
    let mut bytes = body.into_vec();
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    Body::dangerous_pre_encoded(bytes, encoding)
}
