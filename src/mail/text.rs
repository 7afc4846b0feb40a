//! What a server says is data: made harmless before anybody looks at it.

use crate::config::{Credentials, Login};

/// The most characters of one server line that are shown.
pub const SHOWN_CHARS: usize = 500;

/// How much of a server line is looked through for secrets: more than the longest access token is
/// in base64.
const SEARCHED_CHARS: usize = 32_768;

/// Turns bytes of a server into text that can stand on a terminal, in a log and on a page: invalid
/// UTF-8 is replaced, control and bidirectional characters are escaped, the line end is dropped, and
/// what is longer than [`SHOWN_CHARS`] characters is cut.
pub fn shown(bytes: &[u8]) -> String {
    cut(harmless(bytes))
}

/// So many characters of the text at most; an ellipsis stands for the rest.
pub fn cut_to(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn cut(text: String) -> String {
    cut_to(&text, SHOWN_CHARS)
}

/// The whole line, or as much of it as can matter.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    let mut out = String::with_capacity(text.len().min(SHOWN_CHARS));
    for character in text.chars().take(SEARCHED_CHARS) {
        if is_unsafe(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// What of the base64 of a longer text depends on the secret in it alone, for each place at which it
/// may stand there; not of a secret so short that it would hide words.
fn base64_within(secret: &str) -> impl Iterator<Item = String> + '_ {
    use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
    [("", 0), ("-", 2), ("--", 3)].into_iter().filter_map(move |(before, first)| {
        let bytes = format!("{before}{secret}");
        let text = BASE64_STANDARD_NO_PAD.encode(&bytes);
        // A character of base64 holds six bits.
        text.get(first..bytes.len() * 8 / 6).filter(|inner| inner.len() >= 6).map(str::to_owned)
    })
}

/// Control characters, and those that change the direction or the look of the text around them
/// (Unicode Standard Annex 9, and the invisible formatting characters).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Replaces secrets, in the forms in which a server may echo them.
#[derive(Default, Clone)]
pub struct Scrubber {
    /// What must not be shown, longest first.
    needles: Vec<String>,
}

impl Scrubber {
    /// A scrubber for one login: the password, its base64, the base64 of the SASL PLAIN response,
    /// and the password as an IMAP quoted string.
    pub fn for_login(username: &str, password: &str) -> Self {
        use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
        let plain = format!("\0{username}\0{password}");
        let mut needles = vec![
            password.to_owned(),
            password.replace('\\', "\\\\").replace('"', "\\\""),
            BASE64_STANDARD_NO_PAD.encode(password),
            BASE64_STANDARD_NO_PAD.encode(&plain),
            BASE64_STANDARD.encode(password),
            BASE64_STANDARD.encode(&plain),
        ];
        needles.extend(base64_within(password));
        // A line is shown escaped, so the password must be found in that form as well.
        needles.push(harmless(password.as_bytes()));
        needles.retain(|needle| !needle.is_empty());
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles }
    }

    /// A scrubber for the credentials of a login. Access tokens are hidden when they are known.
    pub fn of(login: &Login) -> Self {
        let mut scrubber = Self::default();
        match &login.credentials {
            Credentials::Password(password) => {
                return Self::for_login(&login.username, password.expose());
            }
            Credentials::OAuth2(provider) => {
                for secret in provider.client_secret.iter().chain(&provider.refresh_token) {
                    scrubber.hide_all_forms(secret.expose());
                }
            }
        }
        scrubber
    }

    /// Replaces this secret as it is, in base64, as it stands in a form, and as it is shown.
    pub fn hide_all_forms(&mut self, secret: &str) {
        use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine as _};
        let in_form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        self.hide(&in_form);
        self.hide(&BASE64_STANDARD_NO_PAD.encode(secret));
        for inner in base64_within(secret) {
            self.hide(&inner);
        }
        self.hide(&harmless(secret.as_bytes()));
        self.hide(secret);
    }

    /// Replaces this text as well.
    pub fn hide(&mut self, secret: &str) {
        if !secret.is_empty() && !self.needles.iter().any(|needle| needle == secret) {
            let longer = |needle: &String| needle.len() > secret.len();
            self.needles.insert(self.needles.partition_point(longer), secret.to_owned());
        }
    }

    /// One that replaces the secrets of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.needles.extend(other.needles);
        self.needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        self
    }

    /// What [`shown`] makes of the bytes, with every secret replaced before anything is cut.
    pub fn show(&self, bytes: &[u8]) -> String {
        let mut text = harmless(bytes);
        if text.len() >= SEARCHED_CHARS {
            // Where the line was cut, its end may be the beginning of a secret.
            let end = text.len() - self.begun_at_the_end(&text);
            text.truncate(end);
        }
        cut(self.scrub(&text))
    }

    /// How many bytes at the end of the text may be the beginning of a secret.
    fn begun_at_the_end(&self, text: &str) -> usize {
        let begun = |needle: &String| {
            let lengths = (1..=needle.len().min(text.len())).rev();
            lengths.into_iter().find(|length| {
                needle.get(..*length).is_some_and(|beginning| text.ends_with(beginning))
            })
        };
        self.needles.iter().filter_map(begun).max().unwrap_or(0)
    }

    /// The text with every secret replaced by `<secret>`.
    pub fn scrub(&self, text: &str) -> String {
        self.needles.iter().fold(text.to_owned(), |text, needle| {
            if text.contains(needle.as_str()) {
                text.replace(needle.as_str(), crate::config::Secret::SHOWN)
            } else {
                text
            }
        })
    }
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber({} needles)", self.needles.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_within_base64_is_hidden_wherever_it_stands() {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let secret = "ya29.long-enough-token";
        let mut scrubber = Scrubber::default();
        scrubber.hide_all_forms(secret);
        for before in ["", "{", "{\"", "{\"t"] {
            let line = BASE64_STANDARD.encode(format!("{before}{secret}\"}}"));
            let shown = scrubber.show(line.as_bytes());
            assert!(shown.contains("<secret>"), "{shown}");
            // At most a character at each end holds bits of the secret.
            assert!(shown.replace("<secret>", "").len() <= 12, "{shown}");
        }
    }

    #[test]
    fn a_secret_that_is_cut_is_not_shown_by_its_beginning() {
        for (length, echoes) in [(40_000, 1), (15_000, 3), (5000, 1)] {
            let secret = "x7".repeat(length / 2);
            let mut scrubber = Scrubber::default();
            scrubber.hide(&secret);
            let line = format!("535 invalid {}", vec![secret; echoes].join(" "));
            let shown = scrubber.show(line.as_bytes());
            assert!(!shown.contains("x7x7"), "{length}: {shown}");
        }
    }

    #[test]
    fn escapes_what_could_fool_a_reader() {
        assert_eq!(shown(b"250 ok\x1b[31m\r\n"), "250 ok\\u{1b}[31m");
        assert_eq!(shown("a\u{202e}b\u{200f}".as_bytes()), "a\\u{202e}b\\u{200f}");
        assert_eq!(shown(b"caf\xe9"), "caf\u{fffd}");
        assert_eq!(shown("Grüße".as_bytes()), "Grüße");
    }

    #[test]
    fn cuts_what_is_too_long() {
        let text = shown(&[b'x'; 10_000]);
        assert_eq!(text.chars().count(), SHOWN_CHARS + 1);
        assert!(text.ends_with('…'));
    }

    #[test]
    fn scrubs_a_password_in_every_form_a_server_may_echo() {
        let scrubber = Scrubber::for_login("sam", r#"p"a\ss"#);
        for echoed in [
            r#"bad p"a\ss"#,
            r#"LOGIN sam "p\"a\\ss""#,
            "cCJhXHNz",
            "AHNhbQBwImFcc3M=",
            "xAHNhbQBwImFcc3M",
        ] {
            let text = scrubber.scrub(echoed);
            assert!(text.contains("<secret>"), "{echoed} became {text}");
            for form in [r#"p"a\ss"#, r#"p\"a\\ss"#, "cCJhXHNz", "AHNhbQBwImFcc3M"] {
                assert!(!text.contains(form), "{text} still shows {form}");
            }
        }
    }

    #[test]
    fn a_secret_is_found_before_the_line_is_cut() {
        let scrubber = Scrubber::for_login("sam", "hunter2hunter2");
        let line = format!("{}hunter2hunter2", "x".repeat(SHOWN_CHARS - 5));
        assert!(!scrubber.show(line.as_bytes()).contains("hunt"));
    }

    #[test]
    fn an_escaped_password_is_scrubbed_too() {
        let scrubber = Scrubber::for_login("sam", "a\u{7}b");
        assert_eq!(scrubber.scrub(&shown(b"you said a\x07b")), "you said <secret>");
    }
}
