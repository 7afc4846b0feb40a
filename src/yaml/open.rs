//! Which quotes and brackets are open at a place of a text that is no YAML: a reader that knows only
//! where a value may begin, and never gives up.

/// A quote or bracket that is open at some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// One of `"`, `'`, `[` and `{`.
    pub(super) character: char,
    /// The line it stands in, from 1.
    pub(super) line: usize,
}

/// What is open, innermost, where the first `count` characters of the text end; a quote counts too
/// that ended in a later line than it began, with something right behind it that cannot stand there.
pub(super) fn open_at(text: &str, count: usize) -> Option<Opened> {
    let mut reader = Reader { line: 1, begins: true, before: '\n', ..Reader::default() };
    for c in text.chars().take(count) {
        if reader.has_ended_badly(c) {
            break;
        }
        reader.take(c);
        reader.before = c;
        if c == '\n' {
            reader.line += 1;
        }
    }
    reader.quote.or(reader.ended).or(reader.brackets.last().copied())
}

#[derive(Default)]
struct Reader {
    line: usize,
    /// Whether a value may begin here.
    begins: bool,
    before: char,
    is_comment: bool,
    is_escaped: bool,
    brackets: Vec<Opened>,
    quote: Option<Opened>,
    /// A quote that ended just now and began in an earlier line.
    ended: Option<Opened>,
    /// A quote of the single kind that ended with the character before.
    may_go_on: Option<Opened>,
}

impl Reader {
    /// Whether this character shows that the quote before it was not meant to end there.
    fn has_ended_badly(&mut self, c: char) -> bool {
        match c {
            ' ' | '\t' | '\r' => false,
            '\n' | ',' | ']' | '}' | ':' | '#' | '\'' => {
                self.ended = None;
                false
            }
            _ => self.ended.is_some(),
        }
    }

    fn take(&mut self, c: char) {
        let may_go_on = self.may_go_on.take();
        if c == '\n' {
            self.is_comment = false;
            self.begins = true;
        } else if self.is_comment {
        } else if let Some(quote) = self.quote {
            self.take_quoted(c, quote);
        } else if let Some(quote) = may_go_on.filter(|_| c == '\'') {
            // It is written twice within such quotes.
            self.quote = Some(quote);
        } else {
            self.take_plain(c);
        }
    }

    fn take_quoted(&mut self, c: char, quote: Opened) {
        let is_escaped = std::mem::take(&mut self.is_escaped);
        if c == '\\' && quote.character == '"' {
            self.is_escaped = !is_escaped;
        } else if c == quote.character && !is_escaped {
            self.quote = None;
            self.begins = false;
            self.ended = Some(quote).filter(|quote| quote.line < self.line);
            self.may_go_on = Some(quote).filter(|quote| quote.character == '\'');
        }
    }

    fn take_plain(&mut self, c: char) {
        let opened = Opened { character: c, line: self.line };
        match c {
            '#' if self.before.is_whitespace() => self.is_comment = true,
            '"' | '\'' if self.begins => self.quote = Some(opened),
            '[' | '{' if self.begins => self.brackets.push(opened),
            ']' | '}' => {
                self.brackets.pop();
                self.begins = false;
            }
            ',' | ':' if !self.brackets.is_empty() => self.begins = true,
            ' ' if matches!(self.before, ':' | '-') => self.begins = true,
            c => self.begins = self.begins && c.is_whitespace(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_found_where_it_began() {
        let open = |text: &str| {
            open_at(text, usize::MAX).map(|Opened { character, line }| (character, line))
        };
        assert_eq!(open("a: [1,\n  2\nb: c"), Some(('[', 1)));
        assert_eq!(open("a: {b: [1], c: {d: 1}\ne: f"), Some(('{', 1)));
        assert_eq!(open("a: b\nc: \"d\ne: f"), Some(('"', 2)));
        assert_eq!(open("a: \"b\nc: \"d"), Some(('"', 1)), "closed by the next one");
        for whole in [
            "a: [1, 2]\nb: {c: d}",
            "a: it's [ no list\nb: c[0]",
            "a: 'it''s [ no list'\nb: \"a \\\" [ quote\"",
            "a: 1 # [ a comment\n# \"another\nb: 2",
            "a: \"of two\n  lines\"\nb: 'of two\n  lines' # yes\nc: d",
        ] {
            assert_eq!(open(whole), None, "{whole}");
        }
    }
}
