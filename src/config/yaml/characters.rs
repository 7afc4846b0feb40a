//! Characters that come in with a copied text and are not seen, or look like others.

/// The first character that shows nothing, or no more than a blank, and is not the blank. Those that
/// join letters in some scripts (U+200C, U+200D) and the wide blank of others (U+3000) are text.
pub(crate) fn invisible(text: &str) -> Option<char> {
    text.chars().find(|c| is_invisible(*c))
}

/// Whether a text begins with a quotation mark of a text processor.
pub(crate) fn opens_typographic_quote(text: &str) -> bool {
    text.starts_with(['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '＂', '＇', '″', '′'])
}

/// An invisible character, for a message.
pub(crate) fn shown(c: char) -> String {
    let name = match u32::from(c) {
        0x00a0 => "a no-break space",
        0x00ad => "a soft hyphen",
        0x200b => "a zero width space",
        0x202f => "a narrow no-break space",
        0x2060 => "a word joiner",
        0xfeff => "a byte order mark",
        0x2028 | 0x2029 => "a line separator",
        0x200e | 0x200f | 0x202a..=0x202e | 0x2066..=0x2069 => "a mark of direction",
        _ if c.is_whitespace() => "an unusual space",
        _ => "an invisible character",
    };
    format!("{name} (U+{:04X})", u32::from(c))
}

fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0x0085 | 0x00a0 | 0x00ad | 0x1680 | 0x180e | 0x2000..=0x200b | 0x200e | 0x200f
        | 0x2028..=0x202f | 0x205f..=0x206f | 0xfeff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_named_and_what_a_script_needs_is_text() {
        assert_eq!(invisible("port:\u{a0}587").map(shown).unwrap(), "a no-break space (U+00A0)");
        assert_eq!(invisible("\u{200b}host").map(shown).unwrap(), "a zero width space (U+200B)");
        assert_eq!(invisible("a\u{2003}b").map(shown).unwrap(), "an unusual space (U+2003)");
        for text in ["a b", "Entwürfe", "می\u{200c}خواهم", "東京\u{3000}本社", "“x”"]
        {
            assert_eq!(invisible(text), None, "{text}");
        }
        assert!(opens_typographic_quote("“x”") && !opens_typographic_quote("\"x\""));
    }
}
