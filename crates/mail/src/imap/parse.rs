//! Reading what an IMAP server says (RFC 3501 section 7): leniently, without recursion, and without
//! believing a length before its bytes are there.

use std::time::{Duration, SystemTime};

use mail_parser::DateTime;

use super::numbers::{self, Numbers, Reader, Unreadable, number};

use tokens::{Token, Tokens, pass_over_list};

mod literals;
#[cfg(test)]
mod tests;
mod tokens;

/// The most capabilities that a server may have.
pub(super) const CAPABILITIES: usize = 512;
/// The most bytes of a folder's name and attributes.
const FOLDER_BYTES: usize = 2048;

/// One response: text lines and the literals between them.
#[derive(Debug, Default)]
pub(super) struct Response {
    parts: Vec<Part>,
    /// The bytes of them.
    size: usize,
    literals: usize,
    /// The numbers of a SEARCH that was too long a line to be held.
    numbers: Option<Reader>,
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
    Search(Numbers),
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
    /// There is more of something than is read.
    TooMuch(TooMuch),
    /// Anything else: not needed, whatever is in it.
    Other,
}

/// More than is read: so many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch(pub(super) usize, pub(super) &'static str);

/// Too many ranges of numbers.
pub(super) const TOO_MANY_RANGES: TooMuch = TooMuch(numbers::RANGES, "ranges of numbers");

/// The status of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
}

/// What FETCH reported of a message.
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
    /// The size of the mail in bytes.
    pub size: Option<u32>,
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

    /// Whether an attribute says more than how the folder lies among others.
    pub(super) fn has_use(&self) -> bool {
        const PLACES: [&str; 9] = [
            r"\haschildren",
            r"\hasnochildren",
            r"\marked",
            r"\noinferiors",
            r"\nonexistent",
            r"\noselect",
            r"\remote",
            r"\subscribed",
            r"\unmarked",
        ];
        self.attributes.iter().any(|attribute| !PLACES.contains(&attribute.as_str()))
    }

    /// Whether an attribute names a use, and not only what lies below.
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

impl Response {
    /// Takes a line in, without the NUL bytes with which some servers pad their answers.
    pub(super) fn push_line(&mut self, mut line: Vec<u8>) {
        if line.contains(&0) {
            line.retain(|byte| *byte != 0);
        }
        self.size += line.len();
        self.parts.push(Part::Text(line));
    }

    pub(super) fn push_literal(&mut self, bytes: Vec<u8>) {
        self.size += bytes.len();
        self.literals += 1;
        self.parts.push(Part::Literal(bytes));
    }

    /// Takes in a line of which this is but the beginning, and which goes on with [`Response::go_on`];
    /// `false` if it is none whose numbers can be read bit by bit.
    pub(super) fn begin_numbers(&mut self, beginning: &[u8]) -> bool {
        let Some(mut reader) = search_reader(beginning) else { return false };
        let rest = beginning.strip_prefix(b"*").unwrap_or_default().trim_ascii_start();
        let (_, numbers) = split_word(rest);
        reader.push(numbers);
        let known = beginning.len() - numbers.len();
        self.push_line(beginning.get(..known).unwrap_or_default().to_vec());
        self.numbers = Some(reader);
        true
    }

    /// The next piece of that line.
    pub(super) fn go_on(&mut self, piece: &[u8]) {
        if let Some(reader) = &mut self.numbers {
            reader.push(piece);
        }
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
        self.size
    }

    /// How many literals it has so far.
    pub(super) fn literals(&self) -> usize {
        self.literals
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
            b"CAPABILITY" => words(rest).map_or_else(Untagged::TooMuch, Untagged::Capability),
            b"SEARCH" | b"ESEARCH" => self.search(rest),
            b"LIST" | b"LSUB" | b"XLIST" => match self.list() {
                Ok(listed) => listed.map_or(Untagged::Other, Untagged::List),
                Err(too_much) => Untagged::TooMuch(too_much),
            },
            _ => match number(word) {
                Some(count) => self.numbered(count, rest),
                None if is_fetch_of_no_number(word, rest) => self.fetched(u32::MAX),
                None => Untagged::Other,
            },
        }
    }

    fn search(&self, rest: &[u8]) -> Untagged {
        let reader = self.numbers.clone().or_else(|| {
            let mut reader = search_reader(self.first_line())?;
            reader.push(rest);
            Some(reader)
        });
        match reader.map(Reader::end) {
            Some(Ok(numbers)) => Untagged::Search(numbers),
            Some(Err(Unreadable::BeyondNumbers)) => Untagged::BeyondNumbers,
            Some(Err(Unreadable::TooMany)) => Untagged::TooMuch(TOO_MANY_RANGES),
            None => Untagged::Other,
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
            Ok(Some(fetched)) => Untagged::Fetch(Fetched { number, ..fetched }),
            Ok(None) => Untagged::BeyondNumbers,
            Err(too_much) => Untagged::TooMuch(too_much),
        }
    }

    /// `* n FETCH (KEY value KEY value)`: values that are lists are passed over, however deep, and so
    /// is a parenthesis in the place of a key. `None` for a UID of more than 32 bits.
    fn fetch(&self) -> Result<Option<Fetched>, TooMuch> {
        let mut tokens = Tokens::of(self);
        let mut fetched = Fetched::default();
        let mut rest = tokens.by_ref().skip_while(|token| *token != Token::Open).skip(1);
        while let Some(token) = rest.next() {
            let Token::Atom(key) = token else { continue };
            let key = key.to_ascii_uppercase();
            let Some(value) = rest.next() else { break };
            match (key.as_slice(), value) {
                (b"UID", Token::Atom(digits)) if is_digits(digits) => {
                    let Some(uid) = number(digits) else { return Ok(None) };
                    fetched.uid.get_or_insert(uid);
                }
                (b"INTERNALDATE", value) => {
                    fetched.internal_date = value.bytes().and_then(internal_date);
                }
                (b"RFC822.SIZE", Token::Atom(digits)) => fetched.size = number(digits),
                (key, value) if key.starts_with(b"BODY[") || key.starts_with(b"RFC822.HEADER") => {
                    // What comes later may be no more the server's word.
                    fetched.header = fetched.header.or_else(|| value.bytes().map(<[u8]>::to_vec));
                }
                (_, Token::Open) => pass_over_list(&mut rest),
                _ => {}
            }
        }
        tokens.outcome().map(|()| Some(fetched))
    }

    /// `* LIST (\Attribute ...) "/" name`; `None` for what is none, or longer than a folder is.
    fn list(&self) -> Result<Option<Listed>, TooMuch> {
        let mut tokens = Tokens::of(self);
        let mut rest = tokens.by_ref().skip_while(|token| *token != Token::Open).skip(1);
        let mut attributes = Vec::new();
        let mut size = 0;
        for token in rest.by_ref() {
            let Token::Atom(word) = token else { break };
            size += word.len() + size_of::<String>();
            if size <= FOLDER_BYTES {
                attributes.push(String::from_utf8_lossy(word).to_ascii_lowercase());
            }
        }
        let name = rest.nth(1).and_then(|name| name.bytes().map(<[u8]>::to_vec));
        tokens.outcome()?;
        let is_folder = |name: &Vec<u8>| name.len() + size <= FOLDER_BYTES;
        Ok(name.filter(is_folder).map(|name| Listed { attributes, name }))
    }
}

/// How to read the numbers of this line, if it is a SEARCH or an ESEARCH.
fn search_reader(line: &[u8]) -> Option<Reader> {
    let rest = line.strip_prefix(b"*")?;
    rest.first().filter(|byte| byte.is_ascii_whitespace())?;
    let (word, _) = split_word(rest.trim_ascii_start());
    match word.to_ascii_uppercase().as_slice() {
        b"SEARCH" => Some(Reader::of_search()),
        b"ESEARCH" => Some(Reader::of_extended_search()),
        _ => None,
    }
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

/// Whether a response code says something about a folder that is needed.
pub(super) fn tells_of_a_folder(code: &str) -> bool {
    let word = code.split(' ').next().unwrap_or_default();
    ["UIDVALIDITY", "UIDNEXT", "COPYUID"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The words of a capability list, in upper case.
pub(super) fn words(text: &[u8]) -> Result<Vec<String>, TooMuch> {
    let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let words: Vec<&[u8]> = words.take(CAPABILITIES + 1).collect();
    if words.len() > CAPABILITIES {
        return Err(TooMuch(CAPABILITIES, "capabilities"));
    }
    let upper = |word: &&[u8]| String::from_utf8_lossy(word).to_ascii_uppercase();
    Ok(words.iter().map(upper).collect())
}

/// The first word, and what follows the spaces behind it.
pub(super) fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    (word, rest.trim_ascii_start())
}

/// The UIDs that a server names to which mails were copied or moved: `COPYUID 38505 304,319:320
/// 3956:3958`.
pub(super) fn copied_to(code: &str) -> Option<Numbers> {
    let mut words = code.split_ascii_whitespace();
    let is_it = words.next()?.eq_ignore_ascii_case("COPYUID");
    let set = words.nth(2).filter(|_| is_it)?;
    let mut reader = Reader::of_set();
    reader.push(set.as_bytes());
    reader.end().ok()
}

fn is_digits(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// `-5 FETCH (...)`: the number of the mail is lost, what it says of the mail is not.
fn is_fetch_of_no_number(word: &[u8], rest: &[u8]) -> bool {
    let is_negative = word.strip_prefix(b"-").is_some_and(is_digits);
    is_negative && split_word(rest).0.eq_ignore_ascii_case(b"FETCH")
}

/// `17-Jul-1996 02:44:25 -0700`, the day perhaps with a space in front.
fn internal_date(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (date, time) = text.split_once(' ')?;
    let parsed = DateTime::parse_rfc822(&format!("{} {time}", date.replace('-', " ")))?;
    let seconds = u64::try_from(parsed.to_timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
