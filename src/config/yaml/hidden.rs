//! Characters that are not seen and may be why a text is no YAML: those in quotes, blocks and comments
//! are not, and of a password nothing is told.

use super::characters::{invisible, shown};
use super::open::{Of, Reader};

/// What the keys of secrets hold, in whatever language they are misspelled; behind such a word
/// nothing of the line is looked at.
const SECRETS: [&str; 5] = ["pass", "pw", "secret", "token", "basic_auth"];

/// A line without what stands in quotes, blocks and comments.
struct Code {
    number: usize,
    text: String,
}

/// What to say of the first character that is not seen in this line, which the parser named, or in
/// the line before it, up to the value: there the parser notices late.
pub(super) fn hint(text: &str, line: usize) -> Option<String> {
    let (before, last) = last_two(text, line);
    let key = |code: &Code| in_key(&code.text).map(|c| (code.number, c));
    let anywhere = |code: &Code| invisible(&code.text).map(|c| (code.number, c));
    let found = before.as_ref().and_then(key);
    let found =
        found.or_else(|| last.as_ref().and_then(|code| key(code).or_else(|| anywhere(code))));
    let (number, character) = found?;
    let character = shown(character);
    Some(format!("{character} stands in line {number}: write a blank, or nothing, in its place"))
}

/// The last two lines that hold code, up to this one.
fn last_two(text: &str, line: usize) -> (Option<Code>, Option<Code>) {
    let (mut before, mut last) = (None, None);
    let mut reader = Reader::new();
    // How far the key of the secret is indented whose value may go on.
    let mut secret = None;
    for (index, line) in text.split_inclusive('\n').take(line).enumerate() {
        let mut text: String = line.chars().filter(|c| reader.read(*c) == Of::Plain).collect();
        if text.trim().is_empty() {
            continue;
        }
        let indent = text.chars().take_while(|c| *c == '-' || is_blank(*c)).count();
        if secret.is_some_and(|secret| indent > secret) {
            text.clear();
        } else {
            let word = begin_of_secret(&text);
            secret = word.map(|_| indent);
            text.truncate(word.unwrap_or(text.len()));
        }
        (before, last) = (last, Some(Code { number: index + 1, text }));
    }
    (before, last)
}

fn begin_of_secret(code: &str) -> Option<usize> {
    let code = code.to_ascii_lowercase();
    SECRETS.iter().filter_map(|word| code.find(word)).min()
}

/// A character that is not seen, or a blank that is none to YAML, before the value.
fn in_key(code: &str) -> Option<char> {
    let lead = || code.chars().take_while(|c| *c == '-' || is_blank(*c)).count();
    let chars: Vec<char> = code.chars().collect();
    let is_colon = |pair: &[char]| matches!(pair, [':', c] if is_blank(*c));
    let end = chars.windows(2).position(is_colon).map_or_else(lead, |colon| {
        colon + 1 + chars.iter().skip(colon + 1).take_while(|c| is_blank(**c)).count()
    });
    let key: String = chars.iter().take(end).collect();
    invisible(&key).or_else(|| key.chars().find(|c| c.is_whitespace() && !c.is_ascii()))
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || invisible(c.encode_utf8(&mut [0; 4])).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_the_reason_is_pointed_at() {
        let line = |text: &str, line| {
            let hint = hint(text, line)?;
            Some(hint.split("line ").nth(1)?.chars().take_while(char::is_ascii_digit).collect())
        };
        let at = |number: &str| Some(number.to_owned());
        for (text, found) in [
            ("a:\u{a0}b\nc: d: e", at("1")),
            ("\u{3000}a: b\nc: d: e", at("1")),
            ("-\u{a0}a\n\n# c\nd: e: f", at("1")),
            ("a: b\nc: d\u{a0}: e: f", at("2")),
            ("a: |\n  b\u{a0}c\nd:\u{a0}e: f", at("3")),
            ("a: b\u{a0}c\nd: e: f", None),
            ("a: 'b\u{a0}c'\nd: e: f", None),
            ("a: {b: \"c\u{3000}d\"}\ne: f: g", None),
            ("a: b # c\u{a0}d\ne: f: g", None),
            ("a: |\n  b:\u{a0}c\nd: e: f", None),
            ("\u{feff}a: b\nc: d\ne: f: g", None),
            ("password: a\u{a0}b: c", None),
            ("password:\n  a\u{a0}b: c", None),
            ("password:\u{a0}a\nc: d: e", None),
            ("a: {Password: b\u{a0}c, d: e: f", None),
        ] {
            assert_eq!(line(text, text.lines().count()), found, "{text}");
        }
    }
}
