//! What the parser stumbles over, in words that name the line to be corrected: where something was
//! opened, not where the parser gave up for want of its end.

use saphyr_parser::ScanError;

use super::Fault;
use super::hidden;
use super::open::open_at;

/// What to do, by a part of the parser's message.
const ADVICE: [(&str, &str); 12] = [
    ("escape", "write a backslash in single quotes, as '\\Junk'"),
    ("indentation in quoted", "the quote that begins here is not closed"),
    ("quoted scalar, found unexpected end", "the quote that begins here is not closed"),
    ("misplaced bracket", "a value that holds brackets needs quotes"),
    ("unknown anchor", "a value that begins with `*` needs quotes"),
    ("found a tab", "indent with spaces, not with tabs"),
    ("tabs disallowed", "indent with spaces, not with tabs"),
    ("mapping values are not allowed", "a value that holds `: ` needs quotes"),
    ("block scalar", "a value that begins with `>` or `|` needs quotes"),
    ("entries are not allowed", "a value that begins with `- ` needs quotes"),
    ("keys are not allowed", "a value that begins with `? ` needs quotes"),
    ("trailing content", "a quote within quotes is doubled, as in 'it''s', or stands in \"it's\""),
];

/// The fault behind the parser's message, which holds none of the text but where it names a single
/// character.
pub(super) fn of_syntax(text: &str, error: &ScanError) -> Fault {
    let line = error.marker().line();
    let (blamed, mut message) =
        of_what_is_open(text, error).unwrap_or_else(|| (line, in_words(text, line, error.info())));
    if let Some(hint) = hidden::hint(text, line) {
        message = format!("{message}; {hint}");
    }
    Fault { line: blamed, key: String::new(), message }
}

/// The line of a quote or bracket that was not closed as meant, and what to say of it.
fn of_what_is_open(text: &str, error: &ScanError) -> Option<(usize, String)> {
    let line = error.marker().line();
    let open = open_at(text, error.marker().index()).filter(|open| open.line < line)?;
    match open.character {
        '"' | '\'' => {
            let message = "is not YAML: the quote that begins here is not closed in this line; \
                           within 'quotes' write '' for ', within \"quotes\" \\\" for \"";
            Some((open.line, message.to_owned()))
        }
        bracket if is_of_a_bracket(error.info()) => {
            let message = format!(
                "is not YAML: the `{bracket}` here is not closed, or a comma is missing, up to \
                 line {line}; a value that begins with `{bracket}` needs quotes"
            );
            Some((open.line, message))
        }
        _ => None,
    }
}

fn in_words(text: &str, line: usize, info: &str) -> String {
    if info.starts_with("unexpected character") {
        return "a value cannot begin with this character; put it in quotes".to_owned();
    }
    let mut message = format!("is not YAML: {info}");
    let mut advice: Vec<&str> =
        ADVICE.iter().filter(|(part, _)| info.contains(part)).map(|(_, advice)| *advice).collect();
    if advice.is_empty() && begins_with_comma(text, line) {
        advice.push("a value that begins with `,` needs quotes");
    }
    if indented_by_tab(text, line) {
        advice.push("indent with spaces, not with tabs");
    }
    advice.dedup();
    for advice in advice {
        message = format!("{message}; {advice}");
    }
    message
}

/// Whether a parser says this that looks for the end of a list or map in brackets.
fn is_of_a_bracket(info: &str) -> bool {
    ["',' or", "flow", "placement of ':'", "end of stream", "eof", "simple key", "bracket"]
        .iter()
        .any(|part| info.contains(part))
}

/// Whether the value of this line begins with a comma.
fn begins_with_comma(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    line.contains(": ,") || line.trim_start().starts_with("- ,")
}

/// Whether a tab indents the line or a neighbour, where the parser may have stumbled.
fn indented_by_tab(text: &str, line: usize) -> bool {
    let indent = |line: &str| line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    text.lines().skip(line.saturating_sub(2)).take(3).any(indent)
}
