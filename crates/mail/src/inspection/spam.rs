//! What the common spam filters write into a header.
//!
//! Of several fields of one name the topmost counts: the filter nearest to the mailbox wrote it last.

use serde::{Deserialize, Serialize};

use super::field::{Field, topmost};

/// A spam filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Filter {
    /// SpamAssassin, also inside Amavis.
    SpamAssassin,
    /// Rspamd.
    Rspamd,
    /// Exchange and Exchange Online; the score is the spam confidence level, -1 to 9.
    Exchange,
    /// Proofpoint Protection Server; the score is 0 to 100.
    Proofpoint,
    /// Barracuda.
    Barracuda,
}

impl Filter {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::SpamAssassin, Self::Rspamd, Self::Exchange, Self::Proofpoint, Self::Barracuda];

    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::SpamAssassin => "spamassassin",
            Self::Rspamd => "rspamd",
            Self::Exchange => "exchange",
            Self::Proofpoint => "proofpoint",
            Self::Barracuda => "barracuda",
        }
    }
}

/// The verdict of one filter; at least one of the two is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spam {
    /// Whose.
    pub filter: Filter,
    /// The score in its own scale; always finite.
    pub score: Option<f64>,
    /// Whether it takes the mail for spam.
    pub is_spam: Option<bool>,
}

/// The verdicts in a header, in the order of [`Filter::ALL`].
pub(super) fn read(fields: &[Field<'_>]) -> Vec<Spam> {
    let verdict = |filter| {
        let (score, is_spam) = match filter {
            Filter::SpamAssassin => spam_assassin(fields),
            Filter::Rspamd => rspamd(fields),
            Filter::Exchange => exchange(fields),
            Filter::Proofpoint => proofpoint(fields),
            Filter::Barracuda => barracuda(fields),
        };
        let is_told = score.is_some() || is_spam.is_some();
        is_told.then_some(Spam { filter, score, is_spam })
    };
    Filter::ALL.into_iter().filter_map(verdict).collect()
}

type Told = (Option<f64>, Option<bool>);

/// `X-Spam-Status: No, score=-1.9 required=5.0 tests=...`, which Amavis writes alike, and the shorter
/// `X-Spam-Flag` and `X-Spam-Score`.
fn spam_assassin(fields: &[Field<'_>]) -> Told {
    let status = spam_status(fields, Filter::SpamAssassin);
    let score = status
        .and_then(|status| after(status, "score=").or_else(|| after(status, "hits=")))
        .or_else(|| number(topmost(fields, "X-Spam-Score")?));
    let is_spam = status.and_then(yes_or_no).or_else(|| yes_or_no(topmost(fields, "X-Spam-Flag")?));
    (score, is_spam)
}

/// `X-Spamd-Result: default: False [1.20 / 15.00]; ...`, `X-Rspamd-Score`, `X-Spam: Yes`, and
/// `X-Spam-Status: No, score=1.20`, of which only SpamAssassin's has `required=`.
fn rspamd(fields: &[Field<'_>]) -> Told {
    let result = topmost(fields, "X-Spamd-Result");
    let status = spam_status(fields, Filter::Rspamd);
    let score = result
        .and_then(|result| number(result.split_once('[')?.1))
        .or_else(|| number(topmost(fields, "X-Rspamd-Score")?))
        .or_else(|| after(status?, "score="));
    let said = result.and_then(|result| {
        let verdict = result.split_once(':')?.1.trim_start();
        if verdict.starts_with("True") {
            Some(true)
        } else {
            verdict.starts_with("False").then_some(false)
        }
    });
    let flagged = || yes_or_no(topmost(fields, "X-Spam")?);
    (score, said.or_else(|| status.and_then(yes_or_no)).or_else(flagged))
}

/// `X-MS-Exchange-Organization-SCL: -1`, and `SCL:` and `SFV:` of `X-Forefront-Antispam-Report`. Spam
/// is a level of 5 and above, as Exchange Online treats it.
fn exchange(fields: &[Field<'_>]) -> Told {
    let report = topmost(fields, "X-Forefront-Antispam-Report");
    let entry = |key: &str| {
        let entries = report.into_iter().flat_map(|report| report.split(';'));
        entries.filter_map(|entry| entry.trim().split_once(':')).find(|(name, _)| *name == key)
    };
    let level = topmost(fields, "X-MS-Exchange-Organization-SCL")
        .and_then(number)
        .or_else(|| number(entry("SCL")?.1))
        .filter(|level| (-1.0..=9.0).contains(level));
    let verdict = entry("SFV").map(|(_, verdict)| verdict.trim() == "SPM");
    (level, level.map(|level| level >= 5.0).or(verdict))
}

/// `X-Proofpoint-Spam-Details: rule=notspam policy=default score=0 ...`
fn proofpoint(fields: &[Field<'_>]) -> Told {
    let Some(details) = topmost(fields, "X-Proofpoint-Spam-Details") else { return (None, None) };
    let entry = |key: &str| {
        let entries = details.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        entries.filter(|(name, _)| *name == key).map(|(_, value)| value).next()
    };
    let is_spam = entry("rule").and_then(|rule| match rule {
        rule if rule.ends_with("notspam") => Some(false),
        rule if rule.ends_with("spam") => Some(true),
        _ => None,
    });
    (entry("score").and_then(number), is_spam)
}

/// `X-Barracuda-Spam-Score`, `X-Barracuda-Spam-Status: No, SCORE=0.00 using ...`, and
/// `X-Barracuda-Spam-Flag`.
fn barracuda(fields: &[Field<'_>]) -> Told {
    let status = topmost(fields, "X-Barracuda-Spam-Status");
    let score = topmost(fields, "X-Barracuda-Spam-Score")
        .and_then(number)
        .or_else(|| after(status?, "score="));
    let flagged = || yes_or_no(topmost(fields, "X-Barracuda-Spam-Flag")?);
    (score, status.and_then(yes_or_no).or_else(flagged))
}

/// `X-Spam-Status` if it was written by this one of the two that write it.
fn spam_status<'a>(fields: &'a [Field<'_>], filter: Filter) -> Option<&'a str> {
    let is_spam_assassins = |status: &str| status.contains("required=");
    topmost(fields, "X-Spam-Status")
        .filter(|status| is_spam_assassins(status) == (filter == Filter::SpamAssassin))
}

fn yes_or_no(text: &str) -> Option<bool> {
    let word = text.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    if word.eq_ignore_ascii_case("yes") {
        Some(true)
    } else {
        word.eq_ignore_ascii_case("no").then_some(false)
    }
}

/// The number behind a key, in whatever case the key is written.
fn after(text: &str, key: &str) -> Option<f64> {
    let at = text.to_ascii_lowercase().find(key)?;
    number(text.get(at + key.len()..)?)
}

/// The number that is the first word of a text; none that no filter would give.
fn number(text: &str) -> Option<f64> {
    let is_end = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';' | ']');
    let word = text.trim_start().split(is_end).next()?;
    let number: f64 = word.parse().ok()?;
    (-10_000.0..=10_000.0).contains(&number).then_some(number)
}
