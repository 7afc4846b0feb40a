//! SEARCH (RFC 3501, section 6.4.4): its keys, and which messages they find.

use super::command::{Arguments, NumberSet, Token};
use crate::mailbox::Message;
use crate::{message, record};

/// How deep keys may stand in each other.
const MAX_DEPTH: u32 = 16;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    All,
    Every(Vec<Key>),
    Either(Box<Key>, Box<Key>),
    Not(Box<Key>),
    Numbers(NumberSet),
    Uids(NumberSet),
    Flag(String),
    /// INTERNALDATE on this day (days since 1970) or later.
    Since(i64),
    Header(String, String),
    Text(String),
    LargerThan(usize),
}

/// Reads the keys of a command; `None` if there is one that is not known, or none at all.
pub(super) fn parse(arguments: &mut Arguments) -> Option<Key> {
    let mut keys = Vec::new();
    while !arguments.is_empty() {
        keys.push(key(arguments, 0)?);
    }
    (!keys.is_empty()).then_some(Key::Every(keys))
}

fn key(arguments: &mut Arguments, depth: u32) -> Option<Key> {
    if depth > MAX_DEPTH {
        return None;
    }
    if arguments.opens() {
        let mut keys = Vec::new();
        while !arguments.closes() {
            keys.push(key(arguments, depth + 1)?);
        }
        return Some(Key::Every(keys));
    }
    let Some(Token::Atom(name)) = arguments.next() else { return None };
    let name = name.to_ascii_uppercase();
    let boxed = |arguments: &mut Arguments| key(arguments, depth + 1).map(Box::new);
    Some(match name.as_str() {
        "ALL" | "OLD" => Key::All,
        // Whatever the charset, texts are compared as they are.
        "CHARSET" => arguments.text().map(|_| Key::All)?,
        "OR" => Key::Either(boxed(arguments)?, boxed(arguments)?),
        "NOT" => Key::Not(boxed(arguments)?),
        "UID" => Key::Uids(NumberSet::parse(&arguments.text()?)?),
        "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" | "SEEN" => Key::Flag(format!("\\{name}")),
        "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" | "UNSEEN" => {
            let flag = format!("\\{}", name.strip_prefix("UN").unwrap_or(&name));
            Key::Not(Box::new(Key::Flag(flag)))
        }
        "NEW" | "RECENT" => Key::Not(Box::new(Key::All)),
        "KEYWORD" => Key::Flag(arguments.text()?),
        "UNKEYWORD" => Key::Not(Box::new(Key::Flag(arguments.text()?))),
        "SINCE" => Key::Since(message::imap_day(&arguments.text()?)?),
        "BEFORE" => Key::Not(Box::new(Key::Since(message::imap_day(&arguments.text()?)?))),
        "ON" => {
            let day = message::imap_day(&arguments.text()?)?;
            Key::Every(vec![Key::Since(day), Key::Not(Box::new(Key::Since(day + 1)))])
        }
        "HEADER" => Key::Header(arguments.text()?, arguments.text()?.to_lowercase()),
        "SUBJECT" | "FROM" | "TO" | "CC" | "BCC" => {
            Key::Header(name, arguments.text()?.to_lowercase())
        }
        "TEXT" | "BODY" => Key::Text(arguments.text()?.to_lowercase()),
        "LARGER" => Key::LargerThan(arguments.text()?.parse().ok()?),
        _ => Key::Numbers(NumberSet::parse(&name)?),
    })
}

impl Key {
    /// Whether a message with this sequence number fits; `last` is the pair (sequence number, UID)
    /// of the last message, for which `*` stands.
    pub(super) fn matches(&self, message: &Message, number: u32, last: (u32, u32)) -> bool {
        let fits = |key: &Key| key.matches(message, number, last);
        match self {
            Key::All => true,
            Key::Every(keys) => keys.iter().all(fits),
            Key::Either(one, other) => fits(one) || fits(other),
            Key::Not(key) => !fits(key),
            Key::Numbers(set) => set.contains(number, last.0),
            Key::Uids(set) => set.contains(message.uid, last.1),
            Key::Flag(flag) => message.has_flag(flag),
            Key::Since(day) => message::day(message.internal_date) >= *day,
            Key::Header(name, part) => message::fields(message::split(&message.bytes).0)
                .into_iter()
                .filter(|field| message::name(field).eq_ignore_ascii_case(name.as_bytes()))
                .any(|field| message::value(field).to_lowercase().contains(part)),
            Key::Text(part) => {
                record::contains(&message.bytes.to_ascii_lowercase(), part.as_bytes())
            }
            Key::LargerThan(bytes) => message.bytes.len() > *bytes,
        }
    }
}
