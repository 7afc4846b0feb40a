//! FETCH (RFC 3501, section 6.4.5): its items, and what they show of a message.

use super::envelope::envelope;
use crate::mailbox::Message;
use crate::message;

/// One thing asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    Envelope,
    Body {
        /// How the answer calls it.
        label: String,
        section: Section,
        peek: bool,
        /// First byte and the most bytes.
        part: Option<(usize, usize)>,
    },
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Section {
    All,
    Header,
    Text,
    /// The fields of these names, or with `false` all others.
    Fields(Vec<String>, bool),
}

impl Item {
    /// Whether it sets `\Seen`.
    pub(super) fn marks_seen(&self) -> bool {
        matches!(self, Item::Body { peek: false, .. })
    }
}

/// Reads the items of a command; `None` if there is one that is not known.
pub(super) fn parse(words: &[String], by_uid: bool) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    if by_uid {
        items.push(Item::Uid);
    }
    for word in words {
        let fast = [Item::Flags, Item::InternalDate, Item::Size];
        match word.to_ascii_uppercase().as_str() {
            "UID" if by_uid => {}
            "UID" => items.push(Item::Uid),
            "FLAGS" => items.push(Item::Flags),
            "INTERNALDATE" => items.push(Item::InternalDate),
            "RFC822.SIZE" => items.push(Item::Size),
            "ENVELOPE" => items.push(Item::Envelope),
            "FAST" => items.extend(fast),
            "ALL" => items.extend(fast.into_iter().chain([Item::Envelope])),
            "RFC822" => items.push(whole("RFC822", Section::All, false)),
            "RFC822.HEADER" => items.push(whole("RFC822.HEADER", Section::Header, true)),
            "RFC822.TEXT" => items.push(whole("RFC822.TEXT", Section::Text, false)),
            body => items.push(parse_body(body)?),
        }
    }
    Some(items)
}

fn whole(label: &str, section: Section, peek: bool) -> Item {
    Item::Body { label: label.to_owned(), section, peek, part: None }
}

/// `BODY.PEEK[HEADER.FIELDS (DATE FROM)]<0.100>`, in upper case.
fn parse_body(word: &str) -> Option<Item> {
    let (rest, peek) = match word.strip_prefix("BODY.PEEK[") {
        Some(rest) => (rest, true),
        None => (word.strip_prefix("BODY[")?, false),
    };
    let (section, part) = rest.split_once(']')?;
    let mut label = format!("BODY[{section}]");
    let part = match part {
        "" => None,
        part => {
            let (from, count) = part.strip_prefix('<')?.strip_suffix('>')?.split_once('.')?;
            let (from, count) = (from.parse().ok()?, count.parse().ok()?);
            label.push_str(&format!("<{from}>"));
            Some((from, count))
        }
    };
    Some(Item::Body { label, section: parse_section(section)?, peek, part })
}

fn parse_section(text: &str) -> Option<Section> {
    let (name, names) = text.split_once(" (").unwrap_or((text, ""));
    let names = || {
        names.strip_suffix(')').map(|names| {
            names.split_ascii_whitespace().map(|name| name.trim_matches('"').to_owned()).collect()
        })
    };
    match name {
        "" => Some(Section::All),
        "HEADER" => Some(Section::Header),
        "TEXT" | "1" => Some(Section::Text),
        "HEADER.FIELDS" => Some(Section::Fields(names()?, true)),
        "HEADER.FIELDS.NOT" => Some(Section::Fields(names()?, false)),
        _ => None,
    }
}

/// The untagged FETCH line of one message.
pub(super) fn line(number: u32, message: &Message, items: &[Item], with_flags: bool) -> Vec<u8> {
    let mut line = format!("* {number} FETCH (").into_bytes();
    let flags = [Item::Flags];
    let more = flags.iter().filter(|flags| with_flags && !items.contains(flags));
    for (item, index) in items.iter().chain(more).zip(0..) {
        if index > 0 {
            line.push(b' ');
        }
        append(&mut line, message, item);
    }
    line.extend_from_slice(b")\r\n");
    line
}

/// The item FLAGS with its value.
pub(super) fn flags(message: &Message) -> String {
    let flags: Vec<&str> = message.flags.iter().map(String::as_str).collect();
    format!("FLAGS ({})", flags.join(" "))
}

fn append(line: &mut Vec<u8>, message: &Message, item: &Item) {
    let text = match item {
        Item::Uid => format!("UID {}", message.uid),
        Item::Flags => flags(message),
        Item::InternalDate => {
            format!("INTERNALDATE \"{}\"", message::imap_date_time(message.internal_date))
        }
        Item::Size => format!("RFC822.SIZE {}", message.bytes.len()),
        Item::Envelope => format!("ENVELOPE {}", envelope(&message.bytes)),
        Item::Body { label, section, part, .. } => {
            let bytes = section.of(&message.bytes);
            let (from, count) = part.unwrap_or((0, usize::MAX));
            let shown = bytes.get(from..).unwrap_or_default();
            let shown = shown.get(..count).unwrap_or(shown);
            line.extend(format!("{label} {{{}}}\r\n", shown.len()).into_bytes());
            return line.extend_from_slice(shown);
        }
    };
    line.extend(text.into_bytes());
}

impl Section {
    fn of(&self, mail: &[u8]) -> Vec<u8> {
        let (header, body) = message::split(mail);
        match self {
            Section::All => mail.to_vec(),
            Section::Header => header.to_vec(),
            Section::Text => body.to_vec(),
            Section::Fields(names, wanted) => {
                let named = |field: &&[u8]| {
                    let own = message::name(field);
                    names.iter().any(|name| own.eq_ignore_ascii_case(name.as_bytes())) == *wanted
                };
                let mut shown =
                    message::fields(header).into_iter().filter(named).collect::<Vec<_>>().concat();
                shown.extend_from_slice(b"\r\n");
                shown
            }
        }
    }
}
