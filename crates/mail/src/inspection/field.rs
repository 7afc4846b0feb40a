//! A header block as fields (RFC 5322, section 2.2).

use std::borrow::Cow;

use crate::header::{FIELD_BYTES, FIELDS};

/// One header field.
pub(super) struct Field<'a> {
    name: &'a str,
    /// Its value, unfolded, with spaces around it removed; what is not UTF-8 is replaced.
    pub(super) value: Cow<'a, str>,
}

impl<'a> Field<'a> {
    /// The fields of a header block, in its order, up to the first empty line. A line that is no
    /// field is passed over with what continues it.
    pub(super) fn split(block: &'a [u8]) -> Vec<Self> {
        let mut fields: Vec<(&str, Vec<&[u8]>)> = Vec::new();
        let mut is_in_field = false;
        for line in lines(block) {
            if line.is_empty() {
                break;
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if let Some((_, parts)) = fields.last_mut().filter(|_| is_in_field) {
                    // Each line has a byte at least.
                    if parts.len() < FIELD_BYTES {
                        parts.push(line);
                    }
                }
                continue;
            }
            if fields.len() >= FIELDS {
                break;
            }
            let field = name_and_value(line);
            is_in_field = field.is_some();
            fields.extend(field.map(|(name, value)| (name, vec![value])));
        }
        fields.into_iter().map(|(name, parts)| Self { name, value: unfold(&parts) }).collect()
    }

    /// Whether this is its name, in whatever case.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Whether the block ends as a header does: with an empty line.
pub(super) fn is_whole(block: &[u8]) -> bool {
    lines(block).any(<[u8]>::is_empty)
}

/// The topmost field of this name: the one written last.
pub(super) fn topmost<'a>(fields: &'a [Field<'_>], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.is(name)).map(|field| field.value.as_ref())
}

/// The lines without their ends. What follows the last line end is a line only if it is not empty.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let block = block.strip_suffix(b"\n").unwrap_or(block);
    block.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn name_and_value(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let name = str::from_utf8(name).ok()?.trim_end();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then_some((name, value.get(1..).unwrap_or_default()))
}

fn unfold<'a>(parts: &[&'a [u8]]) -> Cow<'a, str> {
    let cut = |part: &'a [u8], most: usize| part.get(..most).unwrap_or(part);
    match parts {
        [part] => match String::from_utf8_lossy(cut(part, FIELD_BYTES)) {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        },
        parts => {
            let mut bytes = Vec::new();
            for part in parts {
                bytes.extend_from_slice(cut(part, FIELD_BYTES - bytes.len()));
            }
            Cow::Owned(String::from_utf8_lossy(&bytes).trim().to_owned())
        }
    }
}
