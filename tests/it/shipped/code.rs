//! As much of Rust as it takes to find the paths in a file.

/// The text with comments and the insides of literals blanked out; every line stays where it is.
pub(super) fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match literal(rest, bare.chars().next_back()) {
            0 => {
                bare.push(first);
                first.len_utf8()
            }
            length => {
                let kept = rest[..length].chars();
                bare.extend(kept.map(|char| if char == '\n' { '\n' } else { ' ' }));
                length
            }
        };
        rest = &rest[length..];
    }
    bare
}

/// How long the comment or the literal is that begins here; 0 if none does.
fn literal(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return text.find("*/").map_or(text.len(), |end| end + 2);
    }
    if let Some(inside) = text.strip_prefix('"') {
        return 1 + escaped(inside, '"');
    }
    if text.starts_with('r') && before.is_none_or(|char| !is_word(char) || char == 'b') {
        let hashes = text[1..].chars().take_while(|char| *char == '#').count();
        if text[1 + hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = 2 + hashes;
            return text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len());
        }
    }
    // A lifetime has no second quote after one character.
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => 1 + escaped(&text[1..], '\''),
        (Some('\''), Some(char), Some('\'')) => 2 + char.len_utf8(),
        _ => 0,
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

/// The text with all that is compiled for tests only blanked out: modules, functions and imports. A module
/// at the end of the file is cut off.
pub(super) fn without_tests(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = text.to_owned();
    while let Some(begin) = kept.find(MARK) {
        let item = &kept[begin + MARK.len()..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|at| brace < at) => {
                brace + block(&item[brace..])
            }
            (_, semicolon) => semicolon.map_or(item.len(), |at| at + 1),
        };
        let end = begin + MARK.len() + end;
        let blank: String = kept[begin..end].chars().filter(|char| *char == '\n').collect();
        kept.replace_range(begin..end, &blank);
    }
    kept
}

/// The length of a block in braces.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, char) in text.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// What follows the root of the crate in each path, with its line. The file stands so many modules below
/// the root.
pub(super) fn uses(bare: &str, depth: usize) -> Vec<(usize, String)> {
    let mut uses = Vec::new();
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in bare.match_indices(&root) {
            let is_inside = bare[..at].ends_with(|char: char| is_word(char) || char == ':');
            if is_inside {
                continue;
            }
            let begin = at + root.len();
            for (at, name) in heads(&bare[begin..]) {
                let line = 1 + bare[..begin + at].matches('\n').count();
                uses.push((line, name));
            }
        }
    }
    uses.sort();
    uses
}

/// The first name of each path that begins here: one, or those of a group in braces.
fn heads(text: &str) -> Vec<(usize, String)> {
    let word = |text: &str| text.chars().take_while(|char| is_word(*char)).collect::<String>();
    if !text.starts_with('{') {
        return vec![(0, word(text))];
    }
    let mut heads = Vec::new();
    let (mut depth, mut is_first) = (0, false);
    for (at, char) in text[..block(text)].char_indices() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 1 && is_first && is_word(char) {
            heads.push((at, word(&text[at..])));
            is_first = false;
        }
        is_first |= depth == 1 && (char == '{' || char == ',');
    }
    heads
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
