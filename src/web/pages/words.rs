//! Times and advice as the pages word them for people.

use std::fmt;
use std::time::SystemTime;

use askama::filters::{Escaper, Html, HtmlSafe};
pub(in crate::web) use ledger::durations::{
    between_stamps, exact, lasted, minutes, rough, spelled,
};

/// A point in the past.
pub(super) struct When {
    /// As RFC 3339 has it, in UTC.
    pub(super) date: String,
    /// How long that is past, for where a heading says that it is an age.
    pub(super) age: String,
    /// The same anywhere else: `2 min ago`.
    pub(super) ago: String,
}

impl When {
    pub(super) fn new(at: SystemTime, now: SystemTime) -> Self {
        let date = humantime::format_rfc3339_seconds(at).to_string();
        // A clock that was set back gives no negative age.
        let age = rough(now.duration_since(at).unwrap_or_default());
        Self { date, ago: format!("{age} ago"), age }
    }
}

/// A text of the exporter's own, in which backticks enclose what is written as code. Shown, it is
/// HTML: code is marked up, and everything is escaped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prose(String);

impl Prose {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Prose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_str();
        while let Some((before, code, after)) = split_code(rest) {
            Html.write_escaped_str(&mut *f, before)?;
            f.write_str("<code>")?;
            Html.write_escaped_str(&mut *f, code)?;
            f.write_str("</code>")?;
            rest = after;
        }
        Html.write_escaped_str(f, rest)
    }
}

/// All of it is escaped above.
impl HtmlSafe for Prose {}

/// What stands before, between and after the first two backticks.
fn split_code(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('`')?;
    let (code, after) = rest.split_once('`')?;
    Some((before, code, after))
}

/// A text without spaces, as the name of a host, that is broken where a reader would break it if the place is
/// narrow. Shown, it is HTML, and everything is escaped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Breakable(String);

impl Breakable {
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for Breakable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_str();
        // Before a colon, for the port behind it; after everything else.
        while let Some((at, found)) = rest.match_indices(['.', '_', '@', '/', ':']).next() {
            let end = if found == ":" { at } else { at + found.len() };
            let (before, after) = rest.split_at(end);
            Html.write_escaped_str(&mut *f, before)?;
            f.write_str("<wbr>")?;
            rest = after;
            if let Some(after) = rest.strip_prefix(':').filter(|_| found == ":") {
                f.write_str(":")?;
                rest = after;
            }
        }
        Html.write_escaped_str(f, rest)
    }
}

/// All of it is escaped above.
impl HtmlSafe for Breakable {}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_age() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let when = When::new(now + Duration::from_secs(5), now);
        assert_eq!((when.age.as_str(), when.ago.as_str()), ("0 s", "0 s ago"));
    }

    #[test]
    fn a_host_is_broken_between_its_parts_and_escaped() {
        for (text, shown) in [
            ("mail.a.test:465", "mail.<wbr>a.<wbr>test<wbr>:465"),
            ("[2001:db8::1]:25", "[2001<wbr>:db8<wbr>:<wbr>:1]<wbr>:25"),
            ("<b>.&", "&#60;b&#62;.<wbr>&#38;"),
            ("corp", "corp"),
            ("", ""),
        ] {
            assert_eq!(Breakable::new(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn backticks_enclose_code_and_everything_is_escaped() {
        for (text, shown) in [
            ("set `tls: none` or `auth`", "set <code>tls: none</code> or <code>auth</code>"),
            ("`<b>` & <i>", "<code>&#60;b&#62;</code> &#38; &#60;i&#62;"),
            ("one ` alone, `a` and ` again", "one <code> alone, </code>a<code> and </code> again"),
            ("the last ` stays", "the last ` stays"),
            ("", ""),
        ] {
            assert_eq!(Prose::new(text).to_string(), shown, "{text}");
        }
    }
}
