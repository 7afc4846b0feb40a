//! A text with places for what is known only when a mail is sent.

use std::fmt;
use std::time::SystemTime;

use ledger::Token;

/// A text in which `{token}`, `{target}` and `{time}` stand for those of a mail; `{{` is a brace.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    Text(String),
    Place(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Token,
    Target,
    Time,
}

const PLACES: [(&str, Place); 3] =
    [("token", Place::Token), ("target", Place::Target), ("time", Place::Time)];

/// What the places of a template stand for in one mail.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// The id of the mail.
    pub token: Token,
    /// The name of its target.
    pub target: &'a str,
    /// When it is sent; written in UTC to the second (RFC 3339).
    pub time: SystemTime,
}

/// A brace begins no place. What stands there is not repeated: it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "has a {{ that begins none of {{token}}, {{target}} and {{time}}; a brace itself is written {{{{"
)]
pub struct UnknownPlace;

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A brace that begins none of the places.
    pub fn parse(text: &str) -> Result<Self, UnknownPlace> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('{') {
                plain.push('{');
                rest = after;
                continue;
            }
            let (word, after) = after.split_once('}').ok_or(UnknownPlace)?;
            let place = PLACES.iter().find(|(name, _)| *name == word).ok_or(UnknownPlace)?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Place(place.1));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// The text for one mail.
    pub fn fill(&self, values: Values<'_>) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(Place::Token) => values.token.to_string(),
            Piece::Place(Place::Target) => values.target.to_owned(),
            Piece::Place(Place::Time) => humantime::format_rfc3339_seconds(values.time).to_string(),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Whether the token of the mail stands in it.
    pub fn has_token(&self) -> bool {
        self.pieces.contains(&Piece::Place(Place::Token))
    }
}

/// As it is written, so that it is read as the same.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace('{', "{{")),
            Piece::Place(place) => {
                let name = PLACES.iter().find(|(_, known)| known == place).map_or("", |it| it.0);
                write!(f, "{{{name}}}")
            }
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    fn values() -> Values<'static> {
        let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Values { token: Token::from(0xab), target: "a {time}", time }
    }

    #[test]
    fn the_places_are_filled_and_a_doubled_brace_is_one() {
        let text = "{target}: {token} at {time} {{token} }";
        let filled = Template::parse(text).unwrap().fill(values());
        let expected =
            "a {time}: 000000000000000000000000000000ab at 2027-01-15T08:00:00Z {token} }";
        assert_eq!(filled, expected);
    }

    #[test]
    fn a_place_that_nobody_knows_is_refused_without_being_told() {
        for text in ["{Token}", "{", "a {token", "{hunter2}", "{ token }", "{}"] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains("{token}, {target} and {time}; a brace itself is written {{"));
            assert!(!error.contains("hunter2"));
        }
    }

    #[test]
    fn only_the_place_is_the_token() {
        assert!(Template::parse("a {token}").unwrap().has_token());
        assert!(!Template::parse("a {{token} {time}").unwrap().has_token());
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_read_as_the_same(text in "([a{}é ]|\\{token\\}|\\{time\\}){0,20}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
            }
        }
    }
}
