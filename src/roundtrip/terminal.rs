//! Where the probe writes: plain lines into a file or a pipe; on a terminal also colour, lines cut to
//! its width, and one live line that is rewritten.

use std::env;
use std::io::{self, IsTerminal, Write};

/// The width of a terminal that does not report it.
const USUAL_WIDTH: usize = 80;

/// The writing side of a probe.
pub struct Terminal<W> {
    out: W,
    has_colour: bool,
    /// In columns; `None`: not a terminal, nothing is cut and nothing is rewritten.
    width: Option<usize>,
    has_live_line: bool,
}

/// How a part of a line looks where there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Strong,
    Faint,
    Good,
    Bad,
}

impl Look {
    /// The parameters of "Select Graphic Rendition" (ECMA-48 section 8.3.117).
    fn code(self) -> Option<&'static str> {
        match self {
            Look::Plain => None,
            Look::Strong => Some("1"),
            Look::Faint => Some("2"),
            Look::Good => Some("1;32"),
            Look::Bad => Some("1;31"),
        }
    }
}

impl Terminal<io::Stdout> {
    /// Standard output. Colour is for terminals only, and not where `NO_COLOR` is set.
    pub fn stdout() -> Self {
        let out = io::stdout();
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !out.is_terminal() || is_dumb {
            return Self::plain(out);
        }
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let wants_no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::interactive(out, width.unwrap_or(USUAL_WIDTH), !wants_no_colour)
    }
}

impl<W: Write> Terminal<W> {
    /// A file or a pipe: whole lines, no control sequences.
    pub fn plain(out: W) -> Self {
        Self { out, has_colour: false, width: None, has_live_line: false }
    }

    /// A terminal of this width, in columns.
    pub fn interactive(out: W, width: usize, has_colour: bool) -> Self {
        Self { out, has_colour, width: Some(width), has_live_line: false }
    }

    /// Whether [`Terminal::live`] shows anything.
    pub(crate) fn is_live(&self) -> bool {
        self.width.is_some()
    }

    /// Writes a line; on a terminal, what is beyond the width is cut.
    pub(crate) fn line(&mut self, parts: &[(Look, &str)]) {
        self.write_parts(parts, self.width);
    }

    /// Writes a line at its full length.
    pub(crate) fn paragraph(&mut self, parts: &[(Look, &str)]) {
        self.write_parts(parts, None);
    }

    /// Shows `text` until the next line is written or the next `text` is shown.
    pub(crate) fn live(&mut self, text: &str) {
        let Some(width) = self.width else { return };
        // In the last column some terminals begin the next line, which could not be taken back.
        let text = cut(text, width.saturating_sub(1));
        self.write(&format!("\r\x1b[K{text}"));
        self.has_live_line = true;
    }

    /// Takes away what [`Terminal::live`] shows, before somebody else writes.
    pub(crate) fn end_live(&mut self) {
        if std::mem::take(&mut self.has_live_line) {
            self.write("\r\x1b[K");
        }
    }

    fn write_parts(&mut self, parts: &[(Look, &str)], width: Option<usize>) {
        let mut line = String::new();
        if std::mem::take(&mut self.has_live_line) {
            line.push_str("\r\x1b[K");
        }
        let mut room = width.unwrap_or(usize::MAX);
        for (look, text) in parts {
            let text = cut(text, room);
            room = room.saturating_sub(text.chars().count());
            match look.code().filter(|_| self.has_colour && !text.is_empty()) {
                Some(code) => line.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
                None => line.push_str(&text),
            }
        }
        line.push('\n');
        self.write(&line);
    }

    /// Nobody reading (`| head`) is no reason to leave the mail in the mailbox.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// The text in so many columns at most, one for each character.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    if columns > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(terminal: impl Fn(&mut Vec<u8>) -> Terminal<&mut Vec<u8>>) -> String {
        let mut out = Vec::new();
        let mut terminal = terminal(&mut out);
        terminal.live("connect  1 s");
        terminal.line(&[(Look::Strong, "connect "), (Look::Bad, "refused by all")]);
        terminal.paragraph(&[(Look::Good, "a sentence that is longer than the line")]);
        terminal.end_live();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pipe_gets_whole_lines_and_no_control_sequence() {
        assert_eq!(
            written(|out| Terminal::plain(out)),
            "connect refused by all\na sentence that is longer than the line\n"
        );
    }

    #[test]
    fn a_terminal_gets_colour_a_live_line_and_rows_cut_to_its_width() {
        assert_eq!(
            written(|out| Terminal::interactive(out, 12, true)),
            "\r\x1b[Kconnect  1…\r\x1b[K\x1b[1mconnect \x1b[0m\x1b[1;31mref…\x1b[0m\n\
             \x1b[1;32ma sentence that is longer than the line\x1b[0m\n"
        );
    }

    #[test]
    fn without_colour_a_terminal_still_has_a_live_line() {
        let text = written(|out| Terminal::interactive(out, 80, false));
        assert!(text.starts_with("\r\x1b[Kconnect  1 s\r\x1b[Kconnect refused by all\n"), "{text}");
        assert!(!text.contains("\x1b[1"), "{text}");
    }
}
