//! The badge of a target: a small picture that other pages show, with its name and how it is.

use std::time::SystemTime;

use askama::Template;

use super::condition::{ShownCondition, condition_of};
use super::ranges::{Range, lesser, percent};
use super::server::Request;
use crate::supervisor::View;
use ledger::durations::rough;
use ledger::{Availability, Bucket, Condition, Judged, PerSide, Reading, Side, Span, Times};
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
            None => None,
            Some(name) => {
                let side = Side::ALL.into_iter().find(|side| side.label() == name);
                Some(side.ok_or("the parameter `side` is `send` or `receive`\n")?)
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

// The colours tell apart also for those who do not tell red from green, and the words say the same. White
// stands on each with a contrast of 5.5 and more.
const RED: &str = "#a5281b";
const AMBER: &str = "#8a5a00";
const GREEN: &str = "#1a6b3c";
const GREY: &str = "#596273";
const BLUE: &str = "#0b5ea8";

/// The picture as the template has it.
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
    let snapshot = &view.snapshot;
    if let Some(judged) = &snapshot.expectation {
        return expectation(judged);
    }
    let receive = snapshot.receive_ability.map(|is_able| if is_able { 1.0 } else { 0.0 });
    let abilities = PerSide { send: snapshot.send_ability, receive };
    match trouble(abilities, condition_of(view), choice.side) {
        Some((words, colour)) => (words.to_owned(), colour),
        None => past(availability, choice, now),
    }
}

/// Whether what must not pass passes now.
fn expectation(judged: &Judged) -> (String, &'static str) {
    let (words, colour) = match judged.is_met {
        Reading::Is(true) => ("as expected", GREEN),
        Reading::Is(false) => ("not as expected", RED),
        Reading::Unmeasured | Reading::NotApplicable => ("nothing proved", GREY),
    };
    (words.to_owned(), colour)
}

/// What is to be known before any share: the target is not well now. Of one side alone only its ability counts.
fn trouble(
    abilities: PerSide<Reading<f64>>,
    condition: Condition,
    side: Option<Side>,
) -> Option<(&'static str, &'static str)> {
    let shown = Side::ALL.into_iter().filter(|it| side.is_none_or(|side| side == *it));
    let shown: Vec<Reading<f64>> = shown.map(|side| abilities[side]).collect();
    let has = |is_so: &dyn Fn(f64) -> bool| shown.iter().any(|it| it.value().is_some_and(is_so));
    if has(&|share| share <= 0.0) {
        return Some((Condition::Failing.words(), RED));
    }
    if shown.contains(&Reading::NotApplicable) {
        return Some(("standby is down", GREY));
    }
    if has(&|share| share < 1.0) {
        return Some(("partly failing", AMBER));
    }
    let is_bad = side.is_none() && matches!(condition, Condition::Late | Condition::Impaired);
    is_bad.then(|| (condition.words(), AMBER))
}

/// The share of the range, or of the time in it that was measured, if that is less.
fn past(availability: &Availability, choice: Choice, now: SystemTime) -> (String, &'static str) {
    let times = choice.times(&choice.range.of(availability, now));
    let share = times.and_then(|times| Some((percent(&times)?, times.measured())));
    if let Some((share, measured)) = share {
        let is_whole = measured >= choice.range.length();
        let range = if is_whole { choice.range.words().to_owned() } else { rough(measured) };
        return (format!("able {share} · {range}"), BLUE);
    }
    let all = availability.buckets(Span::Day, now);
    let is_new = all.iter().all(|(_, day)| choice.times(day).and_then(|it| it.share()).is_none());
    let words = match is_new {
        true => "not measured yet".to_owned(),
        false => format!("not measured in {}", choice.range.words()),
    };
    (words, GREY)
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
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_is_wrong_now_comes_before_any_share_and_failing_is_only_who_cannot_at_all() {
        let of = |send, condition, side| {
            let abilities = PerSide { send, receive: Reading::Is(1.0) };
            trouble(abilities, condition, side).map(|(words, _)| words)
        };
        let well = Reading::Is(1.0);
        assert_eq!(of(well, Condition::Well, None), None);
        assert_eq!(of(Reading::Is(0.0), Condition::Failing, None), Some("failing"));
        assert_eq!(of(Reading::Is(0.5), Condition::Failing, None), Some("partly failing"));
        assert_eq!(of(Reading::Is(0.0), Condition::Failing, Some(Side::Receive)), None);
        let down = Condition::NotApplicable;
        assert_eq!(of(Reading::NotApplicable, down, None), Some("standby is down"));
        assert_eq!(of(well, Condition::Late, None), Some("late mail"));
        assert_eq!(of(well, Condition::Impaired, None), Some("a layer is bad"));
        assert_eq!(of(well, Condition::Late, Some(Side::Send)), None);
        assert_eq!(of(Reading::Unmeasured, Condition::Unmeasured, None), None);
    }

    #[test]
    fn a_share_says_of_which_time_it_is() {
        let (mut availability, now) = (Availability::default(), UNIX_EPOCH + DAY * 20_000);
        let words = |availability: &Availability, range, now| {
            past(availability, Choice { range, side: None }, now).0
        };
        assert_eq!(words(&availability, Range::Month, now), "not measured yet");
        let able = PerSide { send: Some(1.0), receive: Some(1.0) };
        let soon = now + Duration::from_secs(32);
        availability.count_time(able, now, soon);
        assert_eq!(words(&availability, Range::Month, soon), "able 100 % · 32 s");
        availability.count_time(able, soon, now + DAY * 2);
        assert_eq!(words(&availability, Range::Day, now + DAY * 2), "able 100 % · 24 h");
        assert_eq!(words(&availability, Range::Day, now + DAY * 5), "not measured in 24 h");
    }

    #[test]
    fn a_longer_text_is_wider() {
        let widths = ["", "i", "w", "ww", "失敗", "failing", "able 100 % · 30 d"].map(width);
        assert!(widths.is_sorted() && widths[0] == 0, "{widths:?}");
    }
}
