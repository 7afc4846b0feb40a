//! Reading what an IMAP server says (RFC 3501 section 7): leniently, without recursion, and without
//! believing a length before its bytes are there.

use std::time::{Duration, SystemTime};

use mail_parser::DateTime;

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

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Open,
    Close,
    Atom(&'a [u8]),
    Text(Vec<u8>),
    Literal(&'a [u8]),
}

impl Response {
    pub(super) fn push_line(&mut self, line: Vec<u8>) {
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
        let first = self.first_line().strip_prefix(b"* ")?;
        let word = first.split(|byte| *byte == b' ').next()?;
        if ["OK", "NO", "BAD", "BYE", "PREAUTH"]
            .iter()
            .any(|it| word.eq_ignore_ascii_case(it.as_bytes()))
        {
            return None;
        }
        let Some(Part::Text(line)) = self.parts.last() else { return None };
        let digits = line.strip_suffix(b"}")?.rsplit(|byte| *byte == b'{').next()?;
        let digits = digits.strip_suffix(b"+").unwrap_or(digits);
        if digits.len() + 2 > line.len() {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// What an untagged response says; the line must begin with `* `.
    pub(super) fn untagged(&self) -> Untagged {
        let line = self.first_line().strip_prefix(b"* ").unwrap_or_default();
        let (word, rest) = split_word(line);
        match word.to_ascii_uppercase().as_slice() {
            b"OK" => condition(Status::Ok, rest),
            b"NO" => condition(Status::No, rest),
            b"BAD" => condition(Status::Bad, rest),
            b"PREAUTH" => condition(Status::PreAuth, rest),
            b"BYE" => Untagged::Bye(String::from_utf8_lossy(rest).into_owned()),
            b"CAPABILITY" => Untagged::Capability(words(rest)),
            b"SEARCH" => {
                let words = rest.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
                Untagged::Search(words.map_while(number).collect())
            }
            b"LIST" | b"LSUB" | b"XLIST" => self.list().map_or(Untagged::Other, Untagged::List),
            _ => match number(word) {
                Some(count) => self.numbered(count, rest),
                None => Untagged::Other,
            },
        }
    }

    fn numbered(&self, count: u32, rest: &[u8]) -> Untagged {
        let (word, _) = split_word(rest);
        match word.to_ascii_uppercase().as_slice() {
            b"EXISTS" => Untagged::Exists(count),
            b"EXPUNGE" => Untagged::Expunge(count),
            b"FETCH" => Untagged::Fetch(Fetched { number: count, ..self.fetch() }),
            _ => Untagged::Other,
        }
    }

    /// `* n FETCH (KEY value KEY value)`: values that are lists are passed over, however deep.
    fn fetch(&self) -> Fetched {
        let tokens = self.tokens();
        let mut fetched = Fetched::default();
        let mut rest = tokens.iter().skip_while(|token| **token != Token::Open).skip(1);
        while let Some(Token::Atom(key)) = rest.next() {
            let key = key.to_ascii_uppercase();
            let Some(value) = rest.next() else { break };
            match (key.as_slice(), value) {
                (b"UID", Token::Atom(digits)) => fetched.uid = number(digits),
                (b"INTERNALDATE", value) => {
                    fetched.internal_date = value.bytes().and_then(internal_date);
                }
                (key, value) if key.starts_with(b"BODY[") || key.starts_with(b"RFC822.HEADER") => {
                    fetched.header = value.bytes().map(<[u8]>::to_vec);
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
        fetched
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
                        line.iter().rposition(|byte| *byte == b'{').unwrap_or(line.len())
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

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b' ') {
        Some(end) => text
            .split_at_checked(end)
            .map_or((text, &[][..]), |(word, rest)| (word, rest.get(1..).unwrap_or_default())),
        None => (text, &[]),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn response(parts: &[&str]) -> Response {
        let mut response = Response::default();
        for (index, part) in parts.iter().enumerate() {
            match index % 2 {
                0 => response.push_line(part.as_bytes().to_vec()),
                _ => response.push_literal(part.as_bytes().to_vec()),
            }
        }
        response
    }

    fn fetched(parts: &[&str]) -> Fetched {
        match response(parts).untagged() {
            Untagged::Fetch(fetched) => fetched,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_a_fetch_with_a_literal_among_other_items() {
        let fetched = fetched(&[
            "* 12 FETCH (FLAGS (\\Seen $X) UID 4294967295 INTERNALDATE \" 7-Jul-2026 02:44:25 -0700\" \
             BODY[HEADER.FIELDS (X-MAILTRIP SUBJECT)] {12}",
            "Subject: a\r\n",
            " RFC822.SIZE 44)",
        ]);
        assert_eq!(fetched.uid, Some(u32::MAX));
        assert_eq!(fetched.header.as_deref(), Some(&b"Subject: a\r\n"[..]));
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_417_465);
        assert_eq!(fetched.internal_date, Some(expected));
    }

    #[test]
    fn a_header_may_come_as_a_quoted_string_or_nil() {
        let text = "* 1 FETCH (UID 3 BODY[HEADER] \"a \\\"b\\\" (\" X NIL)";
        assert_eq!(fetched(&[text]).header.as_deref(), Some(&b"a \"b\" ("[..]));
        assert_eq!(fetched(&["* 1 FETCH (BODY[HEADER] NIL UID 3)"]).header, None);
        assert_eq!(fetched(&["* 1 FETCH (BODY[HEADER] NIL UID 3)"]).uid, Some(3));
    }

    #[test]
    fn lists_of_any_depth_are_passed_over() {
        let deep =
            format!("* 1 FETCH (BODYSTRUCTURE {}{} UID 7)", "(".repeat(9_000), ")".repeat(9_000));
        assert_eq!(fetched(&[&deep]).uid, Some(7));
        let open = format!("* 1 FETCH (BODYSTRUCTURE {}", "(".repeat(9_000));
        assert_eq!(fetched(&[&open]).uid, None);
    }

    #[test]
    fn a_number_that_does_not_fit_is_refused_and_not_wrapped() {
        assert_eq!(fetched(&["* 1 FETCH (UID 4294967296)"]).uid, None);
        assert_eq!(response(&["* 4294967297 EXISTS"]).untagged(), Untagged::Other);
    }

    #[test]
    fn announced_literals_are_found_and_text_for_people_has_none() {
        for (line, literal) in [
            ("* 1 FETCH (BODY[] {12}", Some(12)),
            ("* 1 FETCH (BODY[] {12+}", Some(12)),
            ("* LIST () \"/\" {4}", Some(4)),
            ("* OK see you {12}", None),
            ("* bye {12}", None),
            ("* 1 FETCH (X })", None),
            ("* 1 FETCH (X 12}", None),
            ("* 1 FETCH (X {-1}", None),
            ("* 1 FETCH (X {99999999999999999999999}", None),
        ] {
            assert_eq!(response(&[line]).announced_literal(), literal, "{line}");
        }
    }

    #[test]
    fn reads_lists_with_quoted_atom_and_literal_names() {
        let list = |parts: &[&str]| match response(parts).untagged() {
            Untagged::List(listed) => listed,
            other => panic!("{other:?}"),
        };
        let listed = list(&["* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk E-mail\""]);
        assert_eq!(listed.attributes, ["\\hasnochildren", "\\junk"]);
        assert_eq!(listed.name, b"Junk E-mail");
        assert_eq!(list(&["* LIST () NIL INBOX"]).name, b"INBOX");
        assert_eq!(list(&["* LIST () \"/\" {3}", "a b", ""]).name, b"a b");
    }

    #[test]
    fn what_is_not_known_is_passed_over() {
        for line in [
            "* XYZZY",
            "* ",
            "* 5",
            "* 5 XYZZY (",
            "* LIST",
            "* LIST (",
            "* FLAGS ()",
            "* -1 EXISTS",
        ] {
            assert_eq!(response(&[line]).untagged(), Untagged::Other, "{line}");
        }
        let search = response(&["* SEARCH 1 2 (MODSEQ 5)"]).untagged();
        assert_eq!(search, Untagged::Search(vec![1, 2]));
    }
}
