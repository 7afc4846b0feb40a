//! The words of a client's command (RFC 3501, section 9): atoms, strings, literals, lists.

use std::collections::VecDeque;

/// The most bytes of one line, and of all literals of one command.
pub(super) const MAX_COMMAND_BYTES: usize = 64 << 10;

/// A command that was read.
pub(super) struct Request {
    pub(super) tag: String,
    /// In upper case, with the `UID` in front where there is one.
    pub(super) name: String,
    /// The first line as it came.
    pub(super) line: Vec<u8>,
    pub(super) arguments: Arguments,
}

/// A literal that a line announces at its end.
pub(super) struct Literal {
    pub(super) bytes: usize,
    /// Whether the client waits to be asked for it.
    pub(super) waits: bool,
    /// Where in the line the announcement starts.
    pub(super) start: usize,
}

/// What is still to be read of a command.
#[derive(Default)]
pub(super) struct Arguments {
    tokens: VecDeque<Token>,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// An atom; what stands in its square brackets belongs to it, spaces included.
    Atom(String),
    /// A quoted string or a literal.
    Text(String),
    Open,
    Close,
}

impl Request {
    /// Begins with the first line of a command; its words are added next.
    pub(super) fn new(line: &[u8]) -> Self {
        let tag = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let tag = String::from_utf8_lossy(tag).into_owned();
        let line = line.to_vec();
        Self { tag, name: String::new(), line, arguments: Arguments::default() }
    }

    /// Adds the words of a line, or of its part before a literal.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.arguments.tokens.extend(tokens(&String::from_utf8_lossy(line)));
    }

    pub(super) fn add_literal(&mut self, bytes: Vec<u8>) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.arguments.tokens.push_back(Token::Text(text));
    }

    /// Takes tag and name off the words, once all are there.
    pub(super) fn settle(&mut self) {
        if let Some(tag) = self.arguments.text() {
            self.tag = tag;
        }
        self.name = self.arguments.text().unwrap_or_default().to_ascii_uppercase();
        if self.name == "UID" {
            let what = self.arguments.text().unwrap_or_default().to_ascii_uppercase();
            self.name = format!("UID {what}");
        }
    }
}

impl Arguments {
    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        self.tokens.pop_front()
    }

    /// The next word, if it is a text of any kind.
    pub(super) fn text(&mut self) -> Option<String> {
        match self.tokens.front()? {
            Token::Atom(_) | Token::Text(_) => {}
            Token::Open | Token::Close => return None,
        }
        match self.tokens.pop_front()? {
            Token::Atom(text) | Token::Text(text) => Some(text),
            Token::Open | Token::Close => None,
        }
    }

    /// The next list without inner lists, or one word in place of it.
    pub(super) fn list(&mut self) -> Option<Vec<String>> {
        if !self.opens() {
            return Some(vec![self.text()?]);
        }
        let mut words = Vec::new();
        while let Some(word) = self.text() {
            words.push(word);
        }
        (self.next() == Some(Token::Close)).then_some(words)
    }

    /// Steps into a list, if one comes next.
    pub(super) fn opens(&mut self) -> bool {
        self.skip(&Token::Open)
    }

    /// Steps out of a list, if it ends here.
    pub(super) fn closes(&mut self) -> bool {
        self.skip(&Token::Close)
    }

    fn skip(&mut self, token: &Token) -> bool {
        let is_next = self.tokens.front() == Some(token);
        if is_next {
            self.tokens.pop_front();
        }
        is_next
    }
}

/// The literal at the end of a line: `{12}`, or `{12+}` (RFC 7888).
pub(super) fn literal_at_end(line: &[u8]) -> Option<Literal> {
    let body = line.strip_suffix(b"}")?;
    let start = body.iter().rposition(|byte| *byte == b'{')?;
    let digits = body.get(start + 1..)?;
    let (digits, waits) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    let bytes = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Literal { bytes, waits, start })
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start_matches(' ');
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '(' => (Token::Open, rest.get(1..)),
            ')' => (Token::Close, rest.get(1..)),
            '"' => quoted(rest),
            _ => atom(rest),
        };
        tokens.push(token);
        rest = after.unwrap_or_default().trim_start_matches(' ');
    }
    tokens
}

fn quoted(text: &str) -> (Token, Option<&str>) {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (Token::Text(value), text.get(at + 1..)),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (Token::Text(value), None)
}

fn atom(text: &str) -> (Token, Option<&str>) {
    let mut brackets = 0_u32;
    let end = text.char_indices().find(|(_, character)| {
        match character {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            ' ' | '(' | ')' | '"' => return brackets == 0,
            _ => {}
        }
        false
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    (Token::Atom(text.get(..end).unwrap_or_default().to_owned()), text.get(end..))
}

/// A set of numbers such as `1:3,7,9:*` (RFC 3501, sequence-set).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberSet(Vec<(Option<u32>, Option<u32>)>);

impl NumberSet {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| match text {
            "*" => Some(None),
            digits => digits.parse().ok().filter(|number| *number > 0).map(Some),
        };
        let range = |text: &str| match text.split_once(':') {
            Some((from, to)) => Some((number(from)?, number(to)?)),
            None => number(text).map(|one| (one, one)),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether `number` is in the set where `*` stands for `last`.
    pub(super) fn contains(&self, number: u32, last: u32) -> bool {
        self.0.iter().any(|(from, to)| {
            let (from, to) = (from.unwrap_or(last), to.unwrap_or(last));
            (from.min(to)..=from.max(to)).contains(&number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_one_word() {
        let words = tokens(r#"1:* (UID BODY.PEEK[HEADER.FIELDS (DATE FROM)]<0.9>) "a \"b\"" "#);
        let atom = |text: &str| Token::Atom(text.to_owned());
        let section = atom("BODY.PEEK[HEADER.FIELDS (DATE FROM)]<0.9>");
        let text = Token::Text(r#"a "b""#.to_owned());
        assert_eq!(words, [atom("1:*"), Token::Open, atom("UID"), section, Token::Close, text]);
    }

    #[test]
    fn a_star_is_the_last_and_ranges_have_no_direction() {
        let set = NumberSet::parse("5:*,2").expect("a set");
        let inside: Vec<u32> = (1..10).filter(|number| set.contains(*number, 3)).collect();
        assert_eq!(inside, [2, 3, 4, 5]);
        assert_eq!(NumberSet::parse("0"), None);
        assert_eq!(NumberSet::parse("1,,2"), None);
    }

    #[test]
    fn literals_are_announced_at_the_end_of_a_line() {
        let literal = literal_at_end(b"a LOGIN {4+}").expect("a literal");
        assert_eq!((literal.bytes, literal.waits, literal.start), (4, false, 8));
        assert!(literal_at_end(b"a LOGIN {4} ").is_none());
    }
}
