//! The forms in which a server may echo a secret: those that hide where each character stands, as
//! base64, are written out; those that write character by character, as percent-encoding, are read.

use std::borrow::Cow;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine as _};

use crate::secret::Secret;

/// How much of a secret must be there to be known; the rest of a longer one is hidden as far as it goes
/// on. It bounds the work, and hides a secret that was cut.
const LEAD: usize = 64;
/// The longest run of UTF-7 that is read.
const RUN_CHARS: usize = 340;
/// The longest entity of HTML.
const ENTITY_BYTES: usize = 12;

/// What must not be seen of a text that holds the secret: itself, its base64 and its hexadecimal digits,
/// by itself or within more.
pub(super) fn written_out(secret: &str) -> Vec<String> {
    let units: Vec<u8> = secret.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut forms = vec![secret.to_owned()];
    for engine in [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD] {
        forms.push(engine.encode(secret));
        forms.extend(base64_within(secret.as_bytes(), &engine));
        for escaped in in_json(secret) {
            forms.extend(base64_within(escaped.as_bytes(), &engine));
        }
        // As a whole in UTF-7, which writes UTF-16.
        forms.extend(base64_within(&units, &engine));
    }
    if secret.len() >= 4 {
        let hex = |upper: bool| -> String {
            let digits = secret.bytes().map(|byte| match upper {
                true => format!("{byte:02X}"),
                false => format!("{byte:02x}"),
            });
            digits.collect()
        };
        forms.extend([hex(false), hex(true)]);
    }
    forms
}

/// How it stands in JSON where that differs: as little as must be escaped, and ASCII alone.
fn in_json(secret: &str) -> Vec<String> {
    let quoted = serde_json::to_string(secret).unwrap_or_default();
    let least =
        quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default();
    let escape = |unit: u16| format!("\\u{unit:04x}");
    let character = |character: char| -> String {
        if character.is_ascii() {
            return character.to_string();
        }
        character.encode_utf16(&mut [0; 2]).iter().map(|unit| escape(*unit)).collect()
    };
    let ascii: String = least.chars().map(character).collect();
    let mut forms = vec![least.to_owned(), ascii];
    forms.retain(|form| form != secret);
    forms.dedup();
    forms
}

/// What of the base64 of a longer text depends on the secret in it alone, for each place at which it
/// may stand there; not of a secret so short that it would hide words.
fn base64_within(secret: &[u8], engine: &GeneralPurpose) -> impl Iterator<Item = String> + use<> {
    let forms: Vec<String> = [(0, 0), (1, 2), (2, 3)]
        .into_iter()
        .filter_map(|(before, first)| {
            let bytes: Vec<u8> =
                std::iter::repeat_n(b'-', before).chain(secret.iter().copied()).collect();
            let text = engine.encode(&bytes);
            // A character of base64 holds six bits.
            let inner = text.get(first..bytes.len() * 8 / 6)?;
            (inner.len() >= 6).then(|| inner.to_owned())
        })
        .collect();
    forms.into_iter()
}

/// The text without what a server says in a login by SCRAM (RFC 5802 section 5): its signature, and
/// nonce, salt and count, from which with a password that signature is computed. Both are base64, or what
/// that holds.
pub(super) fn without_proofs(text: &str) -> Cow<'_, str> {
    if !text.split_ascii_whitespace().any(is_proof) {
        return Cow::Borrowed(text);
    }
    let words = text.split(' ').map(|word| if is_proof(word) { Secret::SHOWN } else { word });
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

fn is_proof(word: &str) -> bool {
    // The 20 bytes of the shortest digest are 28 characters.
    let holds = |text: &[u8]| {
        let has = |name: &[u8]| text.windows(name.len()).any(|part| part == name);
        (text.starts_with(b"v=") && text.len() >= 30)
            || (text.starts_with(b"r=") && has(b",s=") && has(b",i="))
    };
    let begins_so = ["cj", "dj"].iter().any(|start| word.starts_with(start));
    if !begins_so {
        return holds(word.as_bytes());
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    let encoded = word.get(..end.unwrap_or(word.len())).unwrap_or_default();
    let decoded = GeneralPurpose::new(&alphabet::STANDARD, config).decode(encoded);
    decoded.is_ok_and(|decoded| holds(&decoded))
}

/// Whether any character of the text may stand for another one.
pub(super) fn may_be_encoded(text: &str) -> bool {
    text.bytes().any(is_mark)
}

/// Whether a character that begins so may stand for another one.
pub(super) fn is_mark(byte: u8) -> bool {
    matches!(byte, b'%' | b'&' | b'=' | b'\\' | b'+' | b'?' | 0xef)
}

/// How far a secret goes that begins at the start of this text, each character of it written as it is,
/// percent-encoded, escaped as in JSON or a string of IMAP, as an entity of HTML, quoted-printable or in
/// UTF-7. `None` if it is none; a text that ends within it holds it if `is_cut`.
pub(super) fn extent(text: &str, secret: &str, is_cut: bool) -> Option<usize> {
    let (mut at, mut known) = (0, 0);
    while known < secret.len() {
        let (rest, wanted) = (text.get(at..)?, secret.get(known..)?);
        if rest.is_empty() {
            return (is_cut || known >= LEAD).then_some(at);
        }
        match step(rest, wanted) {
            Some((read, matched)) => {
                at += read;
                known += matched;
            }
            None => return (known >= LEAD).then_some(at),
        }
    }
    Some(at)
}

/// How many bytes of the text stand for how many bytes of what is wanted.
fn step(text: &str, wanted: &str) -> Option<(usize, usize)> {
    let next = wanted.chars().next()?;
    let encoded = match text.as_bytes().first()? {
        b'%' => hex_bytes(text, wanted, "%"),
        b'=' => hex_bytes(text, wanted, "="),
        b'\\' => escape(text, next),
        b'&' => entity(text, next).or_else(|| utf7(text, wanted, b'&')),
        b'+' if next == ' ' => Some((1, 1)),
        b'+' => utf7(text, wanted, b'+'),
        // What could not be read, or not be written.
        b'?' if !next.is_ascii() => Some((1, next.len_utf8())),
        0xef if !next.is_ascii() && text.starts_with('\u{fffd}') => Some((3, next.len_utf8())),
        _ => None,
    };
    encoded.or_else(|| text.starts_with(next).then(|| (next.len_utf8(), next.len_utf8())))
}

/// The next character, each of its bytes in two hexadecimal digits behind the mark.
fn hex_bytes(text: &str, wanted: &str, mark: &str) -> Option<(usize, usize)> {
    let length = wanted.chars().next()?.len_utf8();
    let mut rest = text;
    for byte in wanted.bytes().take(length) {
        let digits = rest.strip_prefix(mark)?;
        if u8::from_str_radix(digits.get(..2)?, 16).ok()? != byte {
            return None;
        }
        rest = digits.get(2..)?;
    }
    Some((length * (mark.len() + 2), length))
}

/// A backslash and what stands for the character.
fn escape(text: &str, next: char) -> Option<(usize, usize)> {
    let rest = text.strip_prefix('\\')?;
    let length = match (rest.chars().next()?, next) {
        ('b', '\u{8}') | ('f', '\u{c}') | ('n', '\n') | ('r', '\r') | ('t', '\t') => 1,
        ('u', _) if rest.starts_with("u{") => {
            let (digits, _) =
                rest.get(2..)?.split_once('}').filter(|(digits, _)| digits.len() <= 6)?;
            let code = u32::from_str_radix(digits, 16).ok()?;
            (code == u32::from(next)).then_some(3 + digits.len())?
        }
        ('u', _) => unicode_escapes(rest, next)?,
        ('x', _) => {
            let code = u32::from_str_radix(rest.get(1..3)?, 16).ok()?;
            (code == u32::from(next)).then_some(3)?
        }
        (escaped, _) if escaped == next && next.is_ascii_punctuation() => 1,
        _ => return None,
    };
    Some((1 + length, next.len_utf8()))
}

/// `u00e9` behind a backslash; two of them for a character beyond 16 bits.
fn unicode_escapes(text: &str, next: char) -> Option<usize> {
    let mut units = [0; 2];
    let (mut rest, mut read) = (text, 0);
    for (index, unit) in next.encode_utf16(&mut units).iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('\\')?;
            read += 1;
        }
        let digits = rest.strip_prefix('u')?;
        if u16::from_str_radix(digits.get(..4)?, 16).ok()? != *unit {
            return None;
        }
        rest = digits.get(4..)?;
        read += 5;
    }
    Some(read)
}

/// `&amp;`, `&#38;`, `&#x26;`; a name that is not known may be that of any letter beyond ASCII.
fn entity(text: &str, next: char) -> Option<(usize, usize)> {
    let end = text.bytes().take(ENTITY_BYTES).position(|byte| byte == b';')?;
    let name = text.get(1..end)?;
    let number = name.strip_prefix('#').and_then(|number| match number.strip_prefix(['x', 'X']) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    });
    let is_it = match (number, name) {
        (Some(code), _) => code == u32::from(next),
        (None, "amp") => next == '&',
        (None, "lt") => next == '<',
        (None, "gt") => next == '>',
        (None, "quot") => next == '"',
        (None, "apos") => next == '\'',
        (None, "nbsp") => matches!(next, ' ' | '\u{a0}'),
        (None, name) => !next.is_ascii() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    };
    is_it.then(|| (end + 1, next.len_utf8()))
}

/// A run of UTF-7 (RFC 2152), or of that of IMAP (RFC 3501 section 5.1.3).
fn utf7(text: &str, wanted: &str, shift: u8) -> Option<(usize, usize)> {
    let is_imap = shift == b'&';
    let is_inner = |byte: &u8| {
        byte.is_ascii_alphanumeric() || *byte == b'+' || *byte == if is_imap { b',' } else { b'/' }
    };
    let inside = text.get(1..)?;
    let length = inside.bytes().take(RUN_CHARS).take_while(|byte| is_inner(byte)).count();
    let is_closed = inside.as_bytes().get(length) == Some(&b'-');
    let read = 1 + length + usize::from(is_closed);
    if length == 0 {
        let itself = char::from(shift);
        return (is_closed && wanted.starts_with(itself)).then_some((read, 1));
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if is_imap { &alphabet::IMAP_MUTF7 } else { &alphabet::STANDARD };
    let bytes = GeneralPurpose::new(alphabet, config).decode(inside.get(..length)?).ok()?;
    let units = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let run: String = char::decode_utf16(units).map(|unit| unit.unwrap_or('\u{fffd}')).collect();
    let matched = if wanted.starts_with(&run) {
        run.len()
    } else {
        // What follows the secret may stand in the same run.
        run.starts_with(wanted).then_some(wanted.len())?
    };
    (matched > 0).then_some((read, matched))
}

/// How many bytes at the end of the text are the beginning of the secret, at most.
pub(super) fn begun_at_the_end(text: &[u8], secret: &[u8]) -> usize {
    // The borders of each beginning, as Knuth, Morris and Pratt have it: linear whatever comes.
    let mut borders = vec![0; secret.len() + 1];
    let longer = |borders: &[usize], mut known: usize, byte: u8| {
        while known > 0 && secret.get(known) != Some(&byte) {
            known = borders.get(known).copied().unwrap_or_default();
        }
        known + usize::from(secret.get(known) == Some(&byte))
    };
    let mut known = 0;
    for (index, byte) in secret.iter().enumerate().skip(1) {
        known = longer(&borders, known, *byte);
        if let Some(border) = borders.get_mut(index + 1) {
            *border = known;
        }
    }
    let tail = text.get(text.len().saturating_sub(secret.len())..).unwrap_or_default();
    tail.iter().fold(0, |known, byte| longer(&borders, known, *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Zebra-77_x+y/\"q\\é <&=%😀";

    #[test]
    fn a_secret_is_known_character_by_character() {
        let percent = |upper: bool| -> String {
            let byte = |byte| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            SECRET.bytes().map(byte).collect()
        };
        for echoed in [
            SECRET.to_owned(),
            percent(true),
            percent(false),
            "Zebra-77_x%2By%2F%22q%5C%C3%A9+%3C%26%3D%25%F0%9F%98%80".to_owned(),
            r#"Zebra-77_x+y\/\"q\\\u00e9 <&=%\ud83d\ude00"#.to_owned(),
            r#"Zebra-77_x\u002by/\"q\\é \u003c\u0026=%\u{1f600}"#.to_owned(),
            "Zebra-77_x+y/&quot;q\\&eacute;&nbsp;&lt;&amp;=%&#128512;".to_owned(),
            "Zebra-77_x&#43;y&#x2F;&#34;q\\&#xe9; &lt;&amp;=%&#x1F600;".to_owned(),
            "Zebra-77_x+y/\"q\\=C3=A9=20<&=3D%=F0=9F=98=80".to_owned(),
            "Zebra-77_x+-y/\"q+AFwA6Q- +ADwAJgA9ACXYPd4A-".to_owned(),
            "Zebra-77_x+y/\"q\\&AOk- <&-=%&2D3eAA-".to_owned(),
            "Zebra-77_x+y/\"q\\\u{fffd} <&=%?".to_owned(),
        ] {
            assert_eq!(extent(&echoed, SECRET, false), Some(echoed.len()), "{echoed}");
            let longer = format!("{echoed}.");
            assert_eq!(extent(&longer, SECRET, false), Some(echoed.len()), "{longer}");
        }
        for other in ["", "Zebra", "Zebra-77%", "zebra-77_x+y/\"q\\é <&=%😀"] {
            assert_eq!(extent(other, SECRET, false), None, "{other}");
        }
        assert_eq!(extent("Zebra%2D7", SECRET, true), Some(9), "its end was cut off");
    }

    #[test]
    fn a_secret_in_json_in_base64_is_written_out() {
        let json = r#"{"echo": "Zebra-77_x+y/\"q\\\u00e9 <&=%\ud83d\ude00"}"#;
        for before in ["", "-", "--"] {
            let encoded = BASE64_STANDARD_NO_PAD.encode(format!("{before}{json}"));
            assert!(written_out(SECRET).iter().any(|form| encoded.contains(form)), "{encoded}");
        }
        assert!(in_json("plain").is_empty());
    }

    #[test]
    fn of_a_long_secret_what_is_there_is_known() {
        let secret = "0123456789".repeat(100);
        let text = format!("{}%30%31X", secret.get(..500).unwrap());
        assert_eq!(extent(&text, &secret, false), Some(506));
        assert_eq!(extent(secret.get(..LEAD - 1).unwrap(), &secret, false), None);
    }

    #[test]
    fn what_a_password_could_be_guessed_from_is_not_shown() {
        // The example of RFC 7677 section 3.
        let first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let last = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        for said in [first, last] {
            let encoded = base64::prelude::BASE64_STANDARD.encode(said);
            for word in [said, &encoded, encoded.trim_end_matches('=')] {
                assert_eq!(without_proofs(&format!("334 {word} x")), "334 <secret> x", "{word}");
            }
        }
        let harmless = "250 v=spf1 r=1,s=2 dj0x cj0 v=DKIM1; k=rsa";
        assert_eq!(without_proofs(harmless), harmless);
        let error = format!("334 {}", base64::prelude::BASE64_STANDARD.encode("e=other-error"));
        assert_eq!(without_proofs(&error), error);
    }

    #[test]
    fn the_beginning_of_a_secret_is_found_in_linear_time() {
        for (text, begun) in [("abc aba", 3), ("abab", 2), ("x", 0), ("xabac", 0), ("aba", 3)] {
            assert_eq!(begun_at_the_end(text.as_bytes(), b"abax"), begun, "{text}");
        }
        // Quadratic, this would take hours.
        let (text, secret) = (vec![b'a'; 1 << 21], [vec![b'a'; 1 << 20], vec![b'b']].concat());
        assert_eq!(begun_at_the_end(&text, &secret), 1 << 20);
    }
}
