//! The corpus of a target: many inputs in one file of text, so that a change of it can be read.
//!
//! A line `== name` begins an input. The lines below it are its bytes, put together: printable ASCII
//! stands for itself, and `\n`, `\r`, `\t`, `\\` and `\xNN` for what they mean in Rust. The line end of the
//! file is no byte of the input. Lines that begin with `#` are remarks.

use std::fmt::Write as _;

/// The longest line that is written.
const LINE: usize = 110;

/// The inputs of a file, each with its name.
///
/// # Errors
/// The line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut inputs: Vec<(String, Vec<u8>)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("== ") {
            inputs.push((name.to_owned(), Vec::new()));
            continue;
        }
        let bytes = unescape(line).ok_or_else(|| format!("line {}: {line}", index + 1))?;
        match inputs.last_mut() {
            Some((_, input)) => input.extend(bytes),
            None if bytes.is_empty() => {}
            None => return Err(format!("line {} stands below no name", index + 1)),
        }
    }
    Ok(inputs)
}

/// One input as it stands in a file.
pub fn print(name: &str, input: &[u8]) -> String {
    let mut text = format!("== {name}\n");
    let mut line = String::new();
    for (index, byte) in input.iter().enumerate() {
        match byte {
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            b'\\' => line.push_str("\\\\"),
            // At the beginning of a line it would be a remark or a name, at its end it would get lost.
            b'#' | b'=' if line.is_empty() => drop(write!(line, "\\x{byte:02x}")),
            b' ' if line.len() >= LINE || index + 1 == input.len() => line.push_str("\\x20"),
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => drop(write!(line, "\\x{byte:02x}")),
        }
        if *byte == b'\n' || line.len() >= LINE {
            text.push_str(&line);
            text.push('\n');
            line.clear();
        }
    }
    if !line.is_empty() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            bytes.push(u8::try_from(character).ok().filter(u8::is_ascii)?);
            continue;
        }
        bytes.push(match characters.next()? {
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            '\\' => b'\\',
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}
