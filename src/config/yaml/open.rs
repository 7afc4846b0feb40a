//! Which quotes and brackets are open at a place of a text that is no YAML: a reader that knows only
//! where a value may begin, and never gives up.

use super::layout::Layout;

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
    let mut reader = Reader::new();
    for c in text.chars().take(count) {
        if reader.has_ended_badly(c) {
            break;
        }
        reader.read(c);
    }
    reader.quote.or(reader.ended).or(reader.brackets.last().copied())
}

/// What a character is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Keys, signs, and values without quotes.
    Plain,
    /// A text in quotes or a block, with what encloses it.
    Quoted,
    /// A comment.
    Comment,
}

/// Reads a text one character after the other.
#[derive(Default)]
pub(super) struct Reader {
    line: usize,
    layout: Layout,
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
    /// Whether a key was read in this line, and its colon.
    is_behind_key: bool,
    /// Whether an anchor or a tag is being read; the value begins behind it.
    is_property: bool,
    /// Whether a value without quotes is being read.
    is_plain: bool,
    /// Whether something stands in this line.
    has_begun: bool,
    /// The lines that are indented this far belong to such a value.
    goes_on_from: Option<usize>,
}

impl Reader {
    /// At the beginning of the text.
    pub(super) fn new() -> Self {
        Self { line: 1, begins: true, before: '\n', ..Self::default() }
    }

    /// Takes the next character in and tells what it is part of.
    pub(super) fn read(&mut self, c: char) -> Of {
        if c == '\n' {
            self.goes_on_from = self.indentation_of_more();
        }
        let column = self.layout.column();
        let is_of_block = self.layout.take(c);
        if is_of_block && c != '\n' {
            return Of::Quoted;
        }
        if !self.has_begun && !c.is_whitespace() {
            self.has_begun = true;
            self.begin_line(column);
        }
        let was_quoted = self.quote.is_some();
        self.take(c);
        if c != '\r' {
            self.before = c;
        }
        match () {
            () if was_quoted || self.quote.is_some() || is_of_block => Of::Quoted,
            () if self.is_comment => Of::Comment,
            () => Of::Plain,
        }
    }

    /// How far the next line is indented at least if it goes on with the value that ends this one.
    fn indentation_of_more(&self) -> Option<usize> {
        if !self.has_begun {
            return self.goes_on_from;
        }
        // What ends so is a key without a value, or an item.
        let is_over = self.is_comment || matches!(self.before, ':' | '-');
        let goes_on = self.is_plain && !is_over && self.brackets.is_empty();
        let least = self.layout.least_indentation(self.is_behind_key);
        goes_on.then(|| self.goes_on_from.unwrap_or(least))
    }

    /// A line begins in this column, behind blanks.
    fn begin_line(&mut self, column: usize) {
        self.goes_on_from = self.goes_on_from.filter(|least| column >= *least);
        if self.goes_on_from.is_some() {
            self.begins = false;
            self.is_plain = true;
        }
    }

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
            self.end_line();
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

    fn end_line(&mut self) {
        self.line += 1;
        self.has_begun = false;
        self.is_comment = false;
        self.is_behind_key = false;
        self.is_property = false;
        self.is_plain = false;
        self.begins = true;
    }

    fn take_plain(&mut self, c: char) {
        let opened = Opened { character: c, line: self.line };
        let is_block_style = self.brackets.is_empty();
        match c {
            '#' if self.before.is_whitespace() => self.is_comment = true,
            _ if self.is_property => {
                self.is_property = !c.is_whitespace();
                self.begins = c.is_whitespace();
            }
            '&' | '!' if self.begins => self.is_property = true,
            '|' | '>' if self.begins && is_block_style => {
                self.layout.begin_header(self.is_behind_key);
                self.begins = false;
            }
            '"' | '\'' if self.begins => self.quote = Some(opened),
            '[' | '{' if self.begins => self.brackets.push(opened),
            ']' | '}' if !is_block_style => {
                self.brackets.pop();
                self.begins = false;
                self.is_plain = false;
            }
            ',' | ':' if !is_block_style => self.begins = true,
            ' ' if self.before == ':' || self.is_behind_dash() => {
                self.is_behind_key |= self.before == ':';
                self.is_plain = false;
                self.begins = true;
            }
            c if c.is_whitespace() => {}
            _ => {
                self.is_plain |= self.begins;
                self.begins = false;
            }
        }
    }

    fn is_behind_dash(&self) -> bool {
        self.before == '-' && self.layout.is_leading() && self.goes_on_from.is_none()
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
        assert_eq!(open("a: &b \"c\nd: e"), Some(('"', 1)), "behind an anchor");
        assert_eq!(open("a: |\n  'tis\nb: 'c\nd: e"), Some(('\'', 3)), "behind a block");
        assert_eq!(open("a:\r\n  'b\r\nc: d"), Some(('\'', 2)), "below its key");
        assert_eq!(open("a:\n- b\n- 'c\nd: e"), Some(('\'', 3)), "in the next item");
        assert_eq!(open("a: | b\n  \"c\nd: \"e\nf: g"), Some(('"', 2)), "no header of a block");
        for whole in [
            "a: [1, 2]\nb: {c: d}",
            "a: it's [ no list\nb: c[0]",
            "a: 'it''s [ no list'\nb: \"a \\\" [ quote\"",
            "a: 1 # [ a comment\n# \"another\nb: 2",
            "a: \"of two\n  lines\"\nb: 'of two\n  lines' # yes\nc: d",
            "a: |\n  it is\n  'tis [ a note\nb: c",
            "- a: &b >- # why\n    \"tis\n\n     'tis\n  b: [c]",
            "- |\r\n  'tis\r\n- b",
            "a: it is\n  'tis\n\n  - 'tis\n  \"tis\nb: c",
            "- it is\n 'tis\n- so - 'tis",
        ] {
            assert_eq!(open(whole), None, "{whole}");
        }
    }
}
