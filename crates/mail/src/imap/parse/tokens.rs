//! The words, strings, literals and parentheses of a response, one by one, so that a line of nothing
//! else costs no more than itself.

use super::{Part, Response, TooMuch};

/// The most of them in one response.
pub(super) const TOKENS: usize = 20_000;

#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    Open,
    Close,
    Atom(&'a [u8]),
    Text(Vec<u8>),
    Literal(&'a [u8]),
}

/// The tokens of a response, one by one; [`TOKENS`] at most.
pub(super) struct Tokens<'a> {
    response: &'a Response,
    next_part: usize,
    /// What is left of the text under way.
    text: &'a [u8],
    count: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(response: &'a Response) -> Self {
        Self { response, next_part: 0, text: &[], count: 0 }
    }

    /// Whether all of them were read that were asked for.
    pub(super) fn outcome(&self) -> Result<(), TooMuch> {
        if self.count <= TOKENS {
            Ok(())
        } else {
            Err(TooMuch(TOKENS, "words and parentheses in one response"))
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = loop {
            if let Some((token, rest)) = next_token(self.text) {
                self.text = rest;
                break token;
            }
            let part = self.response.parts.get(self.next_part)?;
            let index = self.next_part;
            self.next_part += 1;
            match part {
                Part::Text(_) => self.text = text_of(self.response, index),
                Part::Literal(bytes) => break Token::Literal(bytes),
            }
        };
        self.count += 1;
        (self.count <= TOKENS).then_some(token)
    }
}

impl Token<'_> {
    /// The value of a string; `NIL` is none.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Token::Atom(word) if word.eq_ignore_ascii_case(b"NIL") => None,
            Token::Atom(bytes) | Token::Literal(bytes) => Some(bytes),
            Token::Text(bytes) => Some(bytes),
            Token::Open | Token::Close => None,
        }
    }
}

/// What is left of a list whose opening parenthesis is gone.
pub(super) fn pass_over_list<'a>(tokens: &mut impl Iterator<Item = Token<'a>>) {
    let mut depth = 1_usize;
    for token in tokens {
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

/// The text of this part without the announcement of the literal behind it.
fn text_of(response: &Response, part: usize) -> &[u8] {
    let Some(Part::Text(line)) = response.parts.get(part) else { return &[] };
    if !matches!(response.parts.get(part + 1), Some(Part::Literal(_))) {
        return line;
    }
    let brace = line.iter().rposition(|byte| *byte == b'{').unwrap_or(line.len());
    // `~{12}` announces binary content (RFC 3516).
    let before = brace.checked_sub(1).and_then(|index| line.get(index));
    let end = if before == Some(&b'~') { brace - 1 } else { brace };
    line.get(..end).unwrap_or_default()
}

/// The first token, and what follows it.
fn next_token(text: &[u8]) -> Option<(Token<'_>, &[u8])> {
    let start = text.iter().position(|byte| *byte != b' ')?;
    let text = text.get(start..)?;
    let (first, rest) = text.split_first()?;
    Some(match first {
        b'(' => (Token::Open, rest),
        b')' => (Token::Close, rest),
        b'"' => {
            let (value, after) = quoted(rest);
            (Token::Text(value), after)
        }
        _ => {
            let (atom, after) = text.split_at_checked(atom_end(text)).unwrap_or((text, &[]));
            (Token::Atom(atom), after)
        }
    })
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
