//! What a mail answers: the Message-IDs of test mails in its In-Reply-To and References.

use ledger::Token;
use mail_parser::Message;

/// What follows the token in the Message-ID of a test mail.
pub(super) const BEHIND_TOKEN: &str = ".mailtrip@";
/// How many hex digits a token has.
const DIGITS: usize = 32;
/// The most mails in one field that a mail may answer: a thread names them all.
const MOST: usize = 8;
/// Under these names mail systems write.
const MAIL_SYSTEMS: [&str; 2] = ["mailer-daemon", "postmaster"];
/// And some under such as begin so.
const BEGINNINGS: [&str; 3] = ["mailer-daemon", "mail-daemon", "postmaster"];

/// What the header of a mail says of that which it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    /// Whether it can be an answer at all.
    pub(super) is_one: bool,
    /// What it answers, the likeliest first.
    tokens: Vec<Token>,
}

impl Answer {
    /// Of a mail that is a report (RFC 6522) or not: neither that nor what a mail system writes by itself is an
    /// answer, though some of it names the mail that it is about.
    pub(super) fn read(message: &Message<'_>, is_report: bool) -> Self {
        let raw = |name: &'static str| message.header_raw(name).unwrap_or_default();
        let replied = tokens(raw("In-Reply-To"));
        Self {
            is_one: !is_report && !is_notice(message),
            tokens: replied.chain(tokens(raw("References"))).collect(),
        }
    }

    /// What it answers, the likeliest first.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.tokens.iter().copied()
    }
}

/// Whether the address in From is one under which mail systems write.
pub(super) fn is_by_mail_system(message: &Message<'_>) -> bool {
    author(message).is_some_and(|name| MAIL_SYSTEMS.contains(&name.as_str()))
}

/// Whether a mail system wrote this by itself, whatever its type, as plain bounces and warnings: by its author, by
/// having none and no sender (RFC 5321 section 4.5.5), or by the field of Exim and Gmail.
fn is_notice(message: &Message<'_>) -> bool {
    let is_empty = |name| message.header_raw(name).is_some_and(|value| value.trim() == "<>");
    message.header_raw("X-Failed-Recipients").is_some()
        || is_empty("From")
        || match author(message) {
            Some(name) => BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)),
            None => is_empty("Return-Path"),
        }
}

/// What stands before the @ of the address in From, in small letters.
fn author(message: &Message<'_>) -> Option<String> {
    let from = message.from()?.first()?.address()?;
    Some(from.split('@').next().unwrap_or_default().to_ascii_lowercase())
}

/// The tokens of the Message-IDs of test mails in this list of ids, the last first: that is the mail which was
/// answered, and those before it its own thread (RFC 5322 section 3.6.4).
fn tokens(ids: &str) -> impl Iterator<Item = Token> {
    let token = |(at, _): (usize, &str)| {
        let start = at.checked_sub(DIGITS)?;
        let is_of_word = |c: char| c.is_ascii_alphanumeric();
        let is_longer = ids.get(..start)?.chars().next_back().is_some_and(is_of_word);
        ids.get(start..at)?.parse().ok().filter(|_| !is_longer)
    };
    ids.rmatch_indices(BEHIND_TOKEN).filter_map(token).take(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_thread_the_newest_ids_are_kept() {
        let id = |number: u128| format!("<{}.mailtrip@a.example>", Token::from(number));
        let thread: String = (0..1000).map(|number| id(number) + "\r\n <x@b.example> ").collect();
        let newest: Vec<Token> = (0..8).map(|back| Token::from(999 - back)).collect();
        assert_eq!(tokens(&thread).collect::<Vec<_>>(), newest);
    }

    #[test]
    fn only_the_id_of_a_test_mail_counts() {
        let token = Token::from(5);
        for (ids, expected) in [
            (format!("<{token}.mailtrip@a.example>"), Some(token)),
            (format!("{token}.mailtrip@a.example (a comment)"), Some(token)),
            (format!("<0{token}.mailtrip@a.example>"), None),
            (format!("<{token}@a.example>"), None),
            ("<.mailtrip@a.example>".to_owned(), None),
            ("ü.mailtrip@.mailtrip@".to_owned(), None),
            (format!("{}.mailtrip@", "ü".repeat(16)), None),
        ] {
            assert_eq!(tokens(&ids).next(), expected, "{ids}");
        }
    }
}
