//! What a server says is data: made harmless before anybody looks at it.

use crate::auth::{Credentials, Login};
use crate::secret::Secret;

mod forms;

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

/// The whole line, or as much of it as can matter, with the same replaced and escaped, and nothing cut.
pub fn harmless(bytes: &[u8]) -> String {
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

/// Control characters, and those that change the direction or the look of the text around them
/// (Unicode Standard Annex 9, and the invisible formatting characters).
pub fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Replaces secrets, in the forms in which a server may echo them.
#[derive(Default, Clone)]
pub struct Scrubber {
    /// What must not be shown, longest first.
    needles: Vec<String>,
    /// With which bytes they begin.
    firsts: Firsts,
}

/// A set of bytes.
#[derive(Clone)]
struct Firsts([bool; 256]);

impl Default for Firsts {
    fn default() -> Self {
        Self([false; 256])
    }
}

impl Firsts {
    fn insert(&mut self, text: &str) {
        let first = text.bytes().next().and_then(|byte| self.0.get_mut(usize::from(byte)));
        first.into_iter().for_each(|is_in| *is_in = true);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

impl Scrubber {
    /// A scrubber for one login: the password and the SASL PLAIN response in every form in which a
    /// server may echo them.
    pub fn for_login(username: &str, password: &str) -> Self {
        let mut scrubber = Self::default();
        scrubber.hide_all_forms(password);
        for form in forms::written_out(&format!("\0{username}\0{password}")) {
            scrubber.hide(&form);
        }
        scrubber
    }

    /// A scrubber for the credentials of a login. Access tokens are hidden when they are known.
    pub fn of(login: &Login) -> Self {
        let mut scrubber = Self::default();
        match &login.credentials {
            Credentials::Password(password) => {
                for password in password.known() {
                    scrubber = scrubber.and(Self::for_login(&login.username, password.expose()));
                }
            }
            Credentials::OAuth2(provider) => {
                for source in provider.client_secret.iter().chain(&provider.refresh_token) {
                    for secret in source.known() {
                        scrubber.hide_all_forms(secret.expose());
                    }
                }
            }
        }
        scrubber
    }

    /// Replaces this secret as it is and in base64, by itself and within more; what is written character
    /// by character is known without it.
    pub fn hide_all_forms(&mut self, secret: &str) {
        for form in forms::written_out(secret) {
            self.hide(&form);
        }
        self.hide(&harmless(secret.as_bytes()));
    }

    /// Replaces this text as well.
    pub fn hide(&mut self, secret: &str) {
        if !secret.is_empty() && !self.needles.iter().any(|needle| needle == secret) {
            self.firsts.insert(secret);
            let longer = |needle: &String| needle.len() > secret.len();
            self.needles.insert(self.needles.partition_point(longer), secret.to_owned());
        }
    }

    /// One that replaces the secrets of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        other.needles.iter().for_each(|needle| self.hide(needle));
        self
    }

    /// What [`shown`] makes of the bytes, with every secret replaced before anything is cut, as
    /// [`Scrubber::scrub`] does it.
    pub fn show(&self, bytes: &[u8]) -> String {
        let mut text = harmless(bytes);
        let is_cut = text.len() >= SEARCHED_CHARS;
        if is_cut {
            // Where the line was cut, its end may be the beginning of a secret.
            let begun =
                |needle: &String| forms::begun_at_the_end(text.as_bytes(), needle.as_bytes());
            let begun = self.needles.iter().map(begun).max().unwrap_or_default();
            text.truncate(text.len() - begun);
        }
        let text = forms::without_proofs(&text);
        // More than is shown need not be looked through.
        cut(self.scrub_encoded(self.scrub_plain(&text), is_cut, SHOWN_CHARS))
    }

    /// The text with every secret replaced by `<secret>`, and so what a server of SCRAM proves its
    /// knowledge of the password with: who has that may try passwords for as long as he likes.
    pub fn scrub(&self, text: &str) -> String {
        let text = forms::without_proofs(text);
        self.scrub_encoded(self.scrub_plain(&text), false, usize::MAX)
    }

    fn scrub_plain(&self, text: &str) -> String {
        self.needles.iter().fold(text.to_owned(), |text, needle| {
            if text.contains(needle.as_str()) {
                text.replace(needle.as_str(), Secret::SHOWN)
            } else {
                text
            }
        })
    }

    /// The same of what is written character by character, up to a character more than `most`.
    fn scrub_encoded(&self, text: String, is_cut: bool, most: usize) -> String {
        if self.needles.is_empty() || !forms::may_be_encoded(&text) {
            return text;
        }
        let mut scrubbed = String::with_capacity(text.len());
        let (mut rest, mut count) = (text.as_str(), 0);
        while let Some(next) = rest.chars().next().filter(|_| count <= most) {
            match self.extent(rest, is_cut) {
                Some(length) => {
                    scrubbed.push_str(Secret::SHOWN);
                    count += Secret::SHOWN.len();
                    rest = rest.get(length..).unwrap_or_default();
                }
                None => {
                    scrubbed.push(next);
                    count += 1;
                    rest = rest.get(next.len_utf8()..).unwrap_or_default();
                }
            }
        }
        scrubbed
    }

    /// How long the secret is with which this text begins, if it does.
    fn extent(&self, text: &str, is_cut: bool) -> Option<usize> {
        let first = text.bytes().next()?;
        let is_mark = forms::is_mark(first);
        if !is_mark && !self.firsts.contains(first) {
            return None;
        }
        let may_begin = |it: &&String| is_mark || it.as_bytes().first() == Some(&first);
        let extents = self.needles.iter().filter(may_begin);
        let extents = extents.filter_map(|it| forms::extent(text, it, is_cut));
        extents.max().filter(|length| *length > 0)
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
    fn a_secret_in_other_clothes_is_scrubbed() {
        let password = "Zebra-77_x+y/\"q\\é";
        let scrubber = Scrubber::for_login("sam", password);
        for echoed in [
            "Zebra-77_x%2By%2F%22q%5C%C3%A9",
            "%5a%65%62%72%61%2d%37%37%5f%78%2b%79%2f%22%71%5c%c3%a9",
            r#"Zebra-77_x+y\/\"q\\\u00e9"#,
            "Zebra-77_x+y/&quot;q\\&eacute;",
            "Zebra-77=5Fx+y/=22q=5C=C3=A9",
            "Zebra-77_x+-y/\"q+AFwA6Q-",
            "WmVicmEtNzdfeCt5LyJxXMOp",
            "WmVicmEtNzdfeCt5LyJxXMOp".replace('+', "-").as_str(),
            "WmVicmEtNzdfeCt5LyJxXMOp".replace('e', "%65").as_str(),
            "5a656272612d37375f782b792f22715cc3a9",
            "+AFoAZQBiAHIAYQAtADcANwBfAHgAKwB5AC8AIgBxAFwA6Q-",
        ] {
            let shown = scrubber.show(format!("535 you said {echoed}, no").as_bytes());
            let left = shown.replace("535 you said ", "").replace("<secret>", "");
            assert!(shown.contains("<secret>") && left.len() <= 10, "{echoed} became {shown}");
        }
        let innocent = "535 5.7.8 Error: 100% wrong = bad & a+b \\ why? &amp; &#38;";
        assert_eq!(scrubber.show(innocent.as_bytes()), innocent);
        // In Latin-1, which is shown as what cannot be read.
        let shown = scrubber.show(b"Zebra-77_x+y/\"q\\\xe9 no");
        assert_eq!(shown, "<secret> no");
    }

    #[test]
    fn an_escaped_password_is_scrubbed_too() {
        let scrubber = Scrubber::for_login("sam", "a\u{7}b");
        assert_eq!(scrubber.scrub(&shown(b"you said a\x07b")), "you said <secret>");
    }
}
