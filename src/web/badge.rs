//! The badge of a target: a small picture that other pages show, with its name and how it is.

use std::time::SystemTime;

use askama::Template;

use super::ranges::{Range, lesser, percent};
use super::server::Request;
use crate::supervisor::View;
use ledger::{Availability, Bucket, Condition, Side, Times};
use mail::text;

/// So many characters of a name are shown.
const MOST_CHARS: usize = 40;

/// What a badge is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) struct Choice {
    range: Range,
    /// `None`: both, that is the worse one.
    side: Option<Side>,
}

impl Choice {
    /// By the parameters `range` and `side`.
    ///
    /// # Errors
    /// A parameter has another value than it may have.
    pub(in crate::web) fn of(request: &Request) -> Result<Self, &'static str> {
        let range = match request.parameter("range") {
            None => Range::Month,
            Some(name) => {
                Range::named(name).ok_or("the parameter `range` is `24h`, `7d` or `30d`\n")?
            }
        };
        let side = match request.parameter("side") {
            None | Some("both") => None,
            Some(name) => {
                let side = Side::ALL.into_iter().find(|side| side.label() == name);
                Some(side.ok_or("the parameter `side` is `send`, `receive` or `both`\n")?)
            }
        };
        Ok(Self { range, side })
    }

    fn times(self, bucket: &Bucket) -> Option<Times> {
        match self.side {
            Some(side) => Some(bucket.sides[side]),
            None => lesser(bucket).map(|(_, times)| times),
        }
    }
}

/// The colours tell apart also for those who do not tell red from green, and the words say the same. White
/// stands on each with a contrast of 5.5 and more.
#[derive(Template)]
#[template(path = "badge.svg", escape = "html")]
struct Badge<'a> {
    name: &'a str,
    words: String,
    colour: &'static str,
    width: u32,
    left: u32,
    right: u32,
}

/// The picture.
pub(in crate::web) fn picture(
    view: &View,
    availability: &Availability,
    choice: Choice,
    now: SystemTime,
) -> Result<String, askama::Error> {
    let (words, colour) = words(view, availability, choice, now);
    let name = text::cut_to(view.target.name.as_str(), MOST_CHARS);
    let (left, right) = (width(&name) + 16, width(&words) + 16);
    Badge { name: &name, words, colour, width: left + right, left, right }.render()
}

fn words(
    view: &View,
    availability: &Availability,
    choice: Choice,
    now: SystemTime,
) -> (String, &'static str) {
    let send = Condition::of_share(view.snapshot.send_ability);
    let receive = Condition::of_ability(view.snapshot.receive_ability);
    let shown = match choice.side {
        Some(Side::Send) => [send; 2],
        Some(Side::Receive) => [receive; 2],
        None => [send, receive],
    };
    if shown.contains(&Condition::Failing) {
        return ("failing".to_owned(), "#a5281b");
    }
    if shown.contains(&Condition::NotApplicable) {
        return ("standby is down".to_owned(), "#596273");
    }
    let share = choice.times(&choice.range.of(availability, now));
    match share.as_ref().and_then(percent) {
        Some(share) => (format!("able {share} · {}", choice.range.words()), "#0b5ea8"),
        None => ("not measured yet".to_owned(), "#596273"),
    }
}

/// How wide a text is about; it is drawn in just this width.
fn width(text: &str) -> u32 {
    let tenths = text.chars().map(|character| match character {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 40,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '-' | '/' | '·' => 50,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 116,
        'A'..='Z' => 86,
        _ if character.is_ascii() => 76,
        // Scripts whose characters are as wide as they are high.
        '\u{1100}'.. => 126,
        _ => 80,
    });
    tenths.sum::<u32>().div_ceil(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_text_is_wider() {
        let widths = ["", "i", "w", "ww", "失敗", "failing", "able 100 % · 30 d"].map(width);
        assert!(widths.is_sorted() && widths[0] == 0, "{widths:?}");
    }
}
