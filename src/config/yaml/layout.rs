//! Where a value goes on in the next lines by their indentation alone: block scalars, and texts
//! without quotes.

/// The columns of the line that is being read, and what goes on from the lines before it.
#[derive(Default)]
pub(super) struct Layout {
    /// How many characters of the line were read.
    column: usize,
    /// Where its last dash of a list stands.
    dash: Option<usize>,
    /// Where that begins which is neither a blank nor such a dash.
    node: Option<usize>,
    before: char,
    /// A header was read; the text of its block is indented this far at least.
    header: Option<(usize, Part)>,
    /// The lines that are indented this far belong to a block.
    block: Option<usize>,
}

/// What of the line of a header was read.
#[derive(Clone, Copy)]
enum Part {
    Indicators,
    Blanks,
    Comment,
}

impl Layout {
    /// Takes the next character in and tells whether it is of the text of a block scalar.
    pub(super) fn take(&mut self, c: char) -> bool {
        let is_of_block = self.is_of_block(c);
        if c == '\n' {
            self.end_line();
            return is_of_block;
        }
        if !is_of_block {
            self.follow_header(c);
            self.find_node(c);
        }
        self.column += 1;
        self.before = c;
        is_of_block
    }

    /// Whether nothing but blanks and dashes of lists was read in this line.
    pub(super) fn is_leading(&self) -> bool {
        self.node.is_none()
    }

    /// How far the further lines of the value that is being read are indented at least, behind a key
    /// or without one.
    pub(super) fn least_indentation(&self, is_behind_key: bool) -> usize {
        let node = self.node.unwrap_or_default();
        match self.dash {
            _ if is_behind_key => node + 1,
            Some(dash) => dash + 1,
            None => node,
        }
    }

    /// A header of a block scalar begins with the character that was taken last.
    pub(super) fn begin_header(&mut self, is_behind_key: bool) {
        self.header = Some((self.least_indentation(is_behind_key), Part::Indicators));
    }

    /// The column of the next character, from 0.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    fn is_of_block(&mut self, c: char) -> bool {
        let Some(least) = self.block else { return false };
        let goes_on = self.column >= least || matches!(c, ' ' | '\n' | '\r');
        if !goes_on {
            self.block = None;
        }
        goes_on
    }

    fn end_line(&mut self) {
        let block = self.header.map(|(least, _)| least).or(self.block);
        *self = Self { block, ..Self::default() };
    }

    fn follow_header(&mut self, c: char) {
        let Some((least, part)) = self.header else { return };
        let part = match (part, c) {
            (Part::Comment, _) | (Part::Blanks, '#') => Some(Part::Comment),
            (_, ' ' | '\t' | '\r') => Some(Part::Blanks),
            (Part::Indicators, '+' | '-' | '0'..='9') => Some(Part::Indicators),
            _ => None,
        };
        self.header = part.map(|part| (least, part));
    }

    fn find_node(&mut self, c: char) {
        if self.node.is_some() {
            return;
        }
        let follows_dash = self.before == '-';
        match c {
            ' ' | '\t' | '\r' => {}
            '-' if !follows_dash => self.dash = Some(self.column),
            // That dash began a word.
            _ if follows_dash => self.node = self.dash.take(),
            _ => self.node = Some(self.column),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_lasts_as_long_as_its_indentation() {
        // A header of a block begins at each `|`.
        let of_blocks = |text: &str, is_behind_key: bool| {
            let mut layout = Layout::default();
            let mut found = String::new();
            for c in text.chars() {
                match layout.take(c) {
                    true => found.push(c),
                    false if c == '|' => layout.begin_header(is_behind_key),
                    false => {}
                }
            }
            found.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        for (text, is_behind_key, found) in [
            ("a: |\n  b\n\n   c\nd: e", true, "b c"),
            ("- a: |2- # d\n   b\n  c: d", true, "b"),
            ("- |\n b\n- c", false, "b"),
            ("- - |\r\n   b\r\n\r\n  - c", false, "b"),
            ("--a: |+\n b\nc", true, "b"),
            ("a:\n  |\n  b\nc: d", false, "b"),
            ("a: | b\n  c", true, ""),
        ] {
            assert_eq!(of_blocks(text, is_behind_key), found, "{text}");
        }
    }
}
