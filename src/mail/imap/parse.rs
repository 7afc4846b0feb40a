//! Reading what an IMAP server says (RFC 3501 section 7): leniently, without recursion, and without
//! believing a length before its bytes are there.

use std::time::{Duration, SystemTime};

use mail_parser::DateTime;

#[cfg(test)]
mod tests;

/// One response: text lines and the literals between them.
#[derive(Debug, Default)]
pub(super) struct Response {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    Literal(Vec<u8>),
}

/// What an untagged response says, as far as a probe needs it.
#[derive(Debug, PartialEq)]
pub(super) enum Untagged {
    /// The number of messages in the folder.
    Exists(u32),
    /// The message of this number is gone.
    Expunge(u32),
    /// Facts about one message.
    Fetch(Fetched),
    /// The UIDs that a search found.
    Search(Vec<u32>),
    /// One folder.
    List(Listed),
    /// What the server can do.
    Capability(Vec<String>),
    /// OK, NO or BAD outside of a command, or PREAUTH, with its response code and text.
    Condition { status: Status, code: Option<String>, text: String },
    /// The server ends the session.
    Bye(String),
    /// A mail has a UID that does not fit into 32 bits.
    BeyondNumbers,
    /// Anything else: not needed, whatever is in it.
    Other,
}

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
}

/// What FETCH told of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Its number in the folder as the session knows it.
    pub number: u32,
    /// The UID; a FETCH without one is an unsolicited change of flags.
    pub uid: Option<u32>,
    /// When the server took the mail in, to the second.
    pub internal_date: Option<SystemTime>,
    /// The header fields that were asked for, or the beginning of the mail.
    pub header: Option<Vec<u8>>,
}

/// One folder of a LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its attributes in lower case, with their backslash.
    pub attributes: Vec<String>,
    /// Its name as the server writes it, to be used in commands.
    pub name: Vec<u8>,
}

impl Listed {
    /// Whether it is a folder of this use: `usage` is an attribute in lower case (RFC 6154), which
    /// XLIST and some servers name `\Spam` for `\Junk`.
    pub fn is_for(&self, usage: &str) -> bool {
        let has = |name: &str| self.attributes.iter().any(|attribute| attribute == name);
        has(usage) || (usage == r"\junk" && has(r"\spam"))
    }

    /// Whether an attribute tells a use, and not only what lies below.
    pub(super) fn tells_use(&self) -> bool {
        const USES: [&str; 8] = [
            r"\all",
            r"\archive",
            r"\drafts",
            r"\flagged",
            r"\junk",
            r"\sent",
            r"\trash",
            r"\spam",
        ];
        USES.iter().any(|usage| self.attributes.iter().any(|attribute| attribute == usage))
    }
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    Atom(&'a [u8]),
    Text(Vec<u8>),
    Literal(&'a [u8]),
}

impl Response {
    /// Takes a line in, without the NUL bytes with which some servers pad their answers.
    pub(super) fn push_line(&mut self, mut line: Vec<u8>) {
        if line.contains(&0) {
            line.retain(|byte| *byte != 0);
        }
        self.parts.push(Part::Text(line));
    }

    pub(super) fn push_literal(&mut self, bytes: Vec<u8>) {
        self.parts.push(Part::Literal(bytes));
    }

    /// The first line.
    pub(super) fn first_line(&self) -> &[u8] {
        match self.parts.first() {
            Some(Part::Text(line)) => line,
            _ => &[],
        }
    }

    /// The bytes of it so far.
    pub(super) fn size(&self) -> usize {
        let size = |part: &Part| match part {
            Part::Text(bytes) | Part::Literal(bytes) => bytes.len(),
        };
        self.parts.iter().map(size).sum()
    }

    /// How many bytes of literal follow the newest line; human-readable text never has one.
    pub(super) fn announced_literal(&self) -> Option<usize> {
        let (word, _) = split_word(self.behind_the_star()?);
        if ["OK", "NO", "BAD", "BYE", "PREAUTH"]
            .iter()
            .any(|it| word.eq_ignore_ascii_case(it.as_bytes()))
        {
            return None;
        }
        let Some(Part::Text(line)) = self.parts.last() else { return None };
        let digits =
            line.trim_ascii_end().strip_suffix(b"}")?.rsplit(|byte| *byte == b'{').next()?;
        let digits = digits.strip_suffix(b"+").unwrap_or(digits);
        if digits.len() + 2 > line.len() {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// Whether nothing stands on the line behind the newest literal of a FETCH, whose closing parenthesis
    /// is still to come. Elsewhere, as in a LIST, a literal may end the response.
    pub(super) fn is_cut_behind_literal(&self) -> bool {
        let (_, rest) = split_word(self.behind_the_star().unwrap_or_default());
        split_word(rest).0.eq_ignore_ascii_case(b"FETCH")
            && matches!(self.parts.as_slice(), [.., Part::Literal(_), Part::Text(line)] if line.is_empty())
    }

    /// Whether what stands behind the newest literal can belong to the same response: its end, or the
    /// next of its items.
    pub(super) fn goes_on_behind_literal(&self) -> bool {
        let Some(Part::Text(line)) = self.parts.last() else { return true };
        line.is_empty() || line.starts_with(b")") || line.starts_with(b" ")
    }

    /// Whether it begins with a star and a space.
    pub(super) fn is_untagged(&self) -> bool {
        self.behind_the_star().is_some()
    }

    /// What follows the star, however many spaces there are.
    fn behind_the_star(&self) -> Option<&[u8]> {
        let rest = self.first_line().strip_prefix(b"*")?;
        rest.first()?.is_ascii_whitespace().then(|| rest.trim_ascii_start())
    }

    /// What an untagged response says.
    pub(super) fn untagged(&self) -> Untagged {
        let line = self.behind_the_star().unwrap_or_default();
        let (word, rest) = split_word(line);
        match word.to_ascii_uppercase().as_slice() {
            b"OK" => condition(Status::Ok, rest),
            b"NO" => condition(Status::No, rest),
            b"BAD" => condition(Status::Bad, rest),
            b"PREAUTH" => condition(Status::PreAuth, rest),
            b"BYE" => Untagged::Bye(String::from_utf8_lossy(rest).into_owned()),
            b"CAPABILITY" => Untagged::Capability(words(rest)),
            b"SEARCH" => {
                let words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
                let words: Vec<&[u8]> = words.take_while(|word| is_digits(word)).collect();
                match words.iter().map(|word| number(word)).collect() {
                    Some(uids) => Untagged::Search(uids),
                    None => Untagged::BeyondNumbers,
                }
            }
            b"ESEARCH" => Untagged::Search(extended_search(rest)),
            b"LIST" | b"LSUB" | b"XLIST" => self.list().map_or(Untagged::Other, Untagged::List),
            _ => match number(word) {
                Some(count) => self.numbered(count, rest),
                None if is_fetch_of_no_number(word, rest) => self.fetched(u32::MAX),
                None => Untagged::Other,
            },
        }
    }

    fn numbered(&self, count: u32, rest: &[u8]) -> Untagged {
        let (word, _) = split_word(rest);
        match word.to_ascii_uppercase().as_slice() {
            b"EXISTS" => Untagged::Exists(count),
            b"EXPUNGE" => Untagged::Expunge(count),
            b"FETCH" => self.fetched(count),
            _ => Untagged::Other,
        }
    }

    fn fetched(&self, number: u32) -> Untagged {
        match self.fetch() {
            Some(fetched) => Untagged::Fetch(Fetched { number, ..fetched }),
            None => Untagged::BeyondNumbers,
        }
    }

    /// `* n FETCH (KEY value KEY value)`: values that are lists are passed over, however deep, and so
    /// is a parenthesis in the place of a key. `None` for a UID of more than 32 bits.
    fn fetch(&self) -> Option<Fetched> {
        let tokens = self.tokens();
        let mut fetched = Fetched::default();
        let mut rest = tokens.iter().skip_while(|token| **token != Token::Open).skip(1);
        while let Some(token) = rest.next() {
            let Token::Atom(key) = token else { continue };
            let key = key.to_ascii_uppercase();
            let Some(value) = rest.next() else { break };
            match (key.as_slice(), value) {
                (b"UID", Token::Atom(digits)) if is_digits(digits) => {
                    fetched.uid.get_or_insert(number(digits)?);
                }
                (b"INTERNALDATE", value) => {
                    fetched.internal_date = value.bytes().and_then(internal_date);
                }
                (key, value) if key.starts_with(b"BODY[") || key.starts_with(b"RFC822.HEADER") => {
                    // What comes later may be no more the server's word.
                    fetched.header = fetched.header.or_else(|| value.bytes().map(<[u8]>::to_vec));
                }
                (_, Token::Open) => {
                    let mut depth = 1_usize;
                    for token in rest.by_ref() {
                        match token {
                            Token::Open => depth += 1,
                            Token::Close => depth -= 1,
                            _ => {}
                        }
                        if depth == 0 {
                            break;
                        }
                    }
                }
                _ => {}
            }
        }
        Some(fetched)
    }

    /// `* LIST (\Attribute ...) "/" name`
    fn list(&self) -> Option<Listed> {
        let tokens = self.tokens();
        let mut rest = tokens.iter().skip_while(|token| **token != Token::Open).skip(1);
        let mut attributes = Vec::new();
        for token in rest.by_ref() {
            match token {
                Token::Atom(word) => {
                    attributes.push(String::from_utf8_lossy(word).to_ascii_lowercase());
                }
                _ => break,
            }
        }
        let _delimiter = rest.next()?;
        let name = rest.next()?.bytes()?.to_vec();
        Some(Listed { attributes, name })
    }

    fn tokens(&self) -> Vec<Token<'_>> {
        let mut tokens = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(line) => {
                    let is_announced = matches!(self.parts.get(index + 1), Some(Part::Literal(_)));
                    let end = if is_announced {
                        let brace = line.iter().rposition(|byte| *byte == b'{');
                        let brace = brace.unwrap_or(line.len());
                        // `~{12}` announces binary content (RFC 3516).
                        let before = brace.checked_sub(1).and_then(|index| line.get(index));
                        if before == Some(&b'~') { brace - 1 } else { brace }
                    } else {
                        line.len()
                    };
                    tokenize(line.get(..end).unwrap_or_default(), &mut tokens);
                }
                Part::Literal(bytes) => tokens.push(Token::Literal(bytes)),
            }
        }
        tokens
    }
}

impl Token<'_> {
    /// The value of a string; `NIL` is none.
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Token::Atom(word) if word.eq_ignore_ascii_case(b"NIL") => None,
            Token::Atom(bytes) | Token::Literal(bytes) => Some(bytes),
            Token::Text(bytes) => Some(bytes),
            Token::Open | Token::Close => None,
        }
    }
}

fn tokenize<'a>(mut text: &'a [u8], tokens: &mut Vec<Token<'a>>) {
    while let Some((first, rest)) = text.split_first() {
        match first {
            b' ' => text = rest,
            b'(' => {
                tokens.push(Token::Open);
                text = rest;
            }
            b')' => {
                tokens.push(Token::Close);
                text = rest;
            }
            b'"' => {
                let (value, after) = quoted(rest);
                tokens.push(Token::Text(value));
                text = after;
            }
            _ => {
                let end = atom_end(text);
                let (atom, after) = text.split_at_checked(end).unwrap_or((text, &[]));
                tokens.push(Token::Atom(atom));
                text = after;
            }
        }
    }
}

/// The end of an atom that begins at 0; what stands in brackets belongs to it:
/// `BODY[HEADER.FIELDS (SUBJECT)]`.
fn atom_end(text: &[u8]) -> usize {
    let mut in_brackets = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b' ' | b'(' | b')' if !in_brackets => return index,
            _ => {}
        }
    }
    text.len()
}

/// The value of a quoted string whose opening quote is gone, and what follows it.
fn quoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'\\' => value.extend(bytes.next().map(|(_, escaped)| *escaped)),
            b'"' => return (value, text.get(index + 1..).unwrap_or_default()),
            _ => value.push(*byte),
        }
    }
    (value, &[])
}

fn condition(status: Status, rest: &[u8]) -> Untagged {
    let (code, text) = code_and_text(rest);
    Untagged::Condition { status, code, text }
}

/// The response code in brackets, in upper case up to its first argument, and the text for people.
pub(super) fn code_and_text(rest: &[u8]) -> (Option<String>, String) {
    let text = String::from_utf8_lossy(rest);
    let split = text.strip_prefix('[').and_then(|inner| inner.split_once(']'));
    match split {
        Some((code, text)) => (Some(code.to_owned()), text.trim_start().to_owned()),
        None => (None, text.into_owned()),
    }
}

/// Status, code and text of a tagged response behind its tag.
pub(super) fn tagged(rest: &[u8]) -> Option<(Status, Option<String>, String)> {
    let (word, rest) = split_word(rest);
    let status = match word.to_ascii_uppercase().as_slice() {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BAD" => Status::Bad,
        _ => return None,
    };
    let (code, text) = code_and_text(rest);
    Some((status, code, text))
}

/// The number in a response code: `UIDNEXT 17`.
pub(super) fn code_number(code: &str, name: &str) -> Option<u32> {
    let (word, value) = code.split_once(' ')?;
    word.eq_ignore_ascii_case(name).then(|| value.trim().parse().ok()).flatten()
}

/// The words of a capability list, in upper case.
pub(super) fn words(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).split_ascii_whitespace().map(str::to_ascii_uppercase).collect()
}

/// The first word, and what follows the spaces behind it.
pub(super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (word, rest.trim_ascii_start())
}

/// The UIDs that a server names to which mails were copied or moved: `COPYUID 38505 304,319:320
/// 3956:3958`.
pub(super) fn copied_to(code: &str) -> Option<Vec<u32>> {
    let mut words = code.split_ascii_whitespace();
    let is_it = words.next()?.eq_ignore_ascii_case("COPYUID");
    is_it.then(|| words.nth(2).map(sequence_set)).flatten()
}

/// `* ESEARCH (TAG "M5") UID ALL 1:3,5`, which servers of IMAP4rev2 alone give (RFC 9051 section
/// 7.3.4).
fn extended_search(text: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(text).to_ascii_uppercase();
    let mut words = text.split_ascii_whitespace().skip_while(|word| *word != "ALL");
    words.nth(1).map(sequence_set).unwrap_or_default()
}

/// The numbers of a sequence set; of more than a hundred thousand the newest.
fn sequence_set(set: &str) -> Vec<u32> {
    const MOST: u32 = 100_000;
    let mut numbers = Vec::new();
    for range in set.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let (Some(first), Some(last)) = (number(first.as_bytes()), number(last.as_bytes())) else {
            continue;
        };
        let (first, last) = (first.min(last), first.max(last));
        numbers.extend(first.max(last.saturating_sub(MOST - 1))..=last);
        let excess = numbers.len().saturating_sub(MOST as usize);
        numbers.drain(..excess);
    }
    numbers
}

fn is_digits(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// `-5 FETCH (...)`: the number of the mail is lost, what it says of the mail is not.
fn is_fetch_of_no_number(word: &[u8], rest: &[u8]) -> bool {
    let is_negative = word.strip_prefix(b"-").is_some_and(is_digits);
    is_negative && split_word(rest).0.eq_ignore_ascii_case(b"FETCH")
}

/// A number of at most 32 bits; a longer one is none, not a wrapped one.
fn number(digits: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// `17-Jul-1996 02:44:25 -0700`, the day perhaps with a space in front.
fn internal_date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (date, time) = text.split_once(' ')?;
    let parsed = DateTime::parse_rfc822(&format!("{} {time}", date.replace('-', " ")))?;
    let seconds = u64::try_from(parsed.to_timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
