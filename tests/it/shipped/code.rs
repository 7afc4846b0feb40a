//! The sources of the program as tokens: as much of Rust as it takes to find paths and duplicates.

use std::fs;
use std::path::{Path, PathBuf};

/// A word, a literal or a single sign of the source.
#[derive(Clone, Copy)]
pub(super) struct Token<'a> {
    /// Its line, from 1.
    pub(super) line: usize,
    pub(super) text: &'a str,
}

/// The folder of the program.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder that is no test, with its text.
pub(super) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if stem == "tests" || stem.ends_with("_tests") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push((path, text));
            }
        }
    }
    sources.sort();
    sources
}

/// The tokens of a text, without white space, comments and all that is compiled for tests only.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let skipped = if first.is_whitespace() { first.len_utf8() } else { comment(rest) };
        let length = match skipped {
            0 => literal(rest).unwrap_or_else(|| word(rest).len().max(first.len_utf8())),
            skipped => skipped,
        };
        if skipped == 0 {
            tokens.push(Token { line, text: &rest[..length] });
        }
        line += rest[..length].bytes().filter(|byte| *byte == b'\n').count();
        at += length;
    }
    without_tests(&tokens)
}

/// How long the comment is that begins here; 0 if none does.
fn comment(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    0
}

/// How long the literal is that begins here; `None` if none does, or a number.
fn literal(text: &str) -> Option<usize> {
    let begin = text.bytes().take(3).position(|byte| b"\"'#".contains(&byte))?;
    let (prefix, inside) = text.split_at(begin);
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    if prefix.ends_with('r') {
        let hashes = inside.bytes().take_while(|byte| *byte == b'#').count();
        let end = format!("\"{}", "#".repeat(hashes));
        let raw = inside[hashes..].strip_prefix('"')?;
        let length = raw.find(&end).map_or(raw.len(), |at| at + end.len());
        return Some(begin + hashes + 1 + length);
    }
    // A lifetime has no second quote after one character.
    let mut chars = inside.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('"'), ..) => Some(begin + 1 + escaped(&inside[1..], '"')),
        (Some('\''), Some('\\'), _) => Some(begin + 1 + escaped(&inside[1..], '\'')),
        (Some('\''), Some(char), Some('\'')) => Some(begin + 2 + char.len_utf8()),
        _ => None,
    }
}

/// The length up to the end of a literal with escapes, its closing quote included.
fn escaped(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        if char == quote && !is_escaped {
            return at + char.len_utf8();
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    text.len()
}

fn word(text: &str) -> &str {
    &text[..text.find(|char| !is_word(char)).unwrap_or(text.len())]
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Whether the tokens begin with these words and signs.
pub(super) fn begins(tokens: &[Token<'_>], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == *word)
}

fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const MARK: &[&str] = &["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if begins(&tokens[at..], MARK) {
            at += item(&tokens[at..]);
        } else {
            kept.push(*token);
            at += 1;
        }
    }
    kept
}

/// The length of the item that begins here: up to the end of its block, or up to its semicolon.
pub(super) fn item(tokens: &[Token<'_>]) -> usize {
    let end = tokens.iter().position(|token| ["{", ";"].contains(&token.text));
    let length = end.map_or(tokens.len(), |end| match tokens[end].text {
        "{" => end + block(&tokens[end..]),
        _ => end + 1,
    });
    // The list of an import ends before the import does.
    length + usize::from(tokens.get(length).is_some_and(|token| token.text == ";"))
}

/// The length of the block in braces that begins here.
fn block(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// What follows the root of the crate in each path, with its line: the name of a module, or that of an
/// import of the root itself, which hides what is used of it. The file stands so many modules below the root.
pub(super) fn uses(tokens: &[Token<'_>], depth: usize) -> Vec<(usize, String)> {
    let mut uses = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let rest = &tokens[at..];
        let is_inside = at >= 2 && begins(&tokens[at - 2..], &[":", ":"]);
        match token.text {
            "crate" if begins(rest, &["crate", ":", ":"]) => follow(&rest[3..], 0, &mut uses),
            "crate" if begins(rest, &["crate", "as"]) || begins(rest, &["crate", "self", "as"]) => {
                uses.push((token.line, token.text.to_owned()));
            }
            "super" | "self" if !is_inside => follow(rest, depth, &mut uses),
            _ => {}
        }
    }
    uses.sort();
    uses.dedup();
    uses
}

/// Follows a path, or each path of a group in braces, that begins so many modules below the root.
fn follow(path: &[Token<'_>], depth: usize, uses: &mut Vec<(usize, String)>) {
    let Some(first) = path.first() else {
        return;
    };
    let above = match first.text {
        "super" => depth.saturating_sub(1),
        "self" => depth,
        "{" => return each(&path[..block(path)], |path| follow(path, depth, uses)),
        _ if depth > 0 => return,
        name => return uses.push((first.line, name.to_owned())),
    };
    if begins(&path[1..], &[":", ":"]) {
        follow(&path[3..], above, uses);
    } else if above == 0 {
        uses.push((first.line, first.text.to_owned()));
    }
}

/// Calls with each part of a group in braces.
fn each(group: &[Token<'_>], mut call: impl FnMut(&[Token<'_>])) {
    let (mut depth, mut begin) = (0, 1);
    for (at, token) in group.iter().enumerate() {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if (depth == 1 && token.text == ",") || depth == 0 {
            if at > begin {
                call(&group[begin..at]);
            }
            begin = at + 1;
        }
    }
}
