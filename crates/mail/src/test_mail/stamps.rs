//! What the `Received` headers of a mail tell of the time, and how a date is read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail_parser::DateTime;

use super::unfold;

/// The values of the `Received` headers, the newest first.
pub(super) fn stamps<'a>(message: &'a mail_parser::Message<'_>) -> impl Iterator<Item = &'a str> {
    let stamps = message.headers_raw().filter(|(name, _)| name.eq_ignore_ascii_case("Received"));
    stamps.map(|(_, value)| value)
}

/// The date of the first `Received` header, which the last server wrote.
pub(super) fn newest_received(message: &mail_parser::Message<'_>) -> Option<SystemTime> {
    received_date(&unfold(stamps(message).next()?))
}

/// The date at the end of the value of a `Received` header (RFC 5321, section 4.4), to the second;
/// `None` if there is none that a clock can show.
pub(crate) fn received_date(value: &str) -> Option<SystemTime> {
    let (_, behind) = value.split_at_checked(last_semicolon(value)? + 1)?;
    date(behind)
}

/// A date (RFC 5322 section 3.3), to the second; `None` if it is none that a clock can show.
pub(crate) fn date(text: &str) -> Option<SystemTime> {
    let parsed = DateTime::parse_rfc822(text.trim()).filter(DateTime::is_valid)?;
    let seconds = u64::try_from(parsed.to_timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Where the last semicolon stands that is in no comment: one may follow the date.
fn last_semicolon(value: &str) -> Option<usize> {
    let (mut depth, mut last) = (0_usize, None);
    let mut bytes = value.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if depth > 0 => drop(bytes.next()),
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    // An opening parenthesis without its end is no comment.
    last.or_else(|| value.rfind(';'))
}
