//! The parts of a message that the servers show: header, body, single fields, dates.

use std::time::SystemTime;

use mail_parser::DateTime;

/// The header with its empty line, and the body.
pub(super) fn split(mail: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for line in mail.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if line == b"\r\n" || line == b"\n" {
            break;
        }
    }
    mail.split_at(end)
}

/// The fields of a header, each with its folded lines, without the empty line at the end.
pub(super) fn fields(header: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    let (mut start, mut end) = (0, 0);
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if !folded && end > start {
            fields.extend(header.get(start..end));
            start = end;
        }
        if line == b"\r\n" || line == b"\n" {
            return fields;
        }
        end += line.len();
    }
    fields.extend(header.get(start..end).filter(|rest| !rest.is_empty()));
    fields
}

/// The name of a field.
pub(super) fn name(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii()
}

/// The value of a field, unfolded, as text.
pub(super) fn value(field: &[u8]) -> String {
    let value = field.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.trim().replace("\r\n", "").replace('\n', "")
}

/// The first field of this name.
pub(super) fn field<'a>(mail: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let fields = fields(split(mail).0);
    fields.into_iter().find(|field| name(field).eq_ignore_ascii_case(wanted.as_bytes()))
}

/// A line without its CRLF or LF.
pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Seconds since 1970, by the clock that `time` was read from.
pub(super) fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The date as a Received field has it.
pub(super) fn rfc5322_date(time: SystemTime) -> String {
    DateTime::from_timestamp(unix_seconds(time)).to_rfc822()
}

/// The date as INTERNALDATE has it (RFC 3501, date-time).
pub(super) fn imap_date_time(time: SystemTime) -> String {
    let date = DateTime::from_timestamp(unix_seconds(time));
    let month = MONTHS.get(usize::from(date.month.saturating_sub(1))).unwrap_or(&"Jan");
    let (hour, minute, second) = (date.hour, date.minute, date.second);
    format!("{:>2}-{month}-{:04} {hour:02}:{minute:02}:{second:02} +0000", date.day, date.year)
}

/// The day that a SEARCH names (`23-Nov-2026`, quoted or not), in days since 1970.
pub(super) fn imap_day(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let day: u8 = parts.next()?.trim().parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let year: u16 = parts.next()?.parse().ok()?;
    let date = format!("{year:04}-{:02}-{day:02}T00:00:00Z", month + 1);
    Some(DateTime::parse_rfc3339(&date)?.to_timestamp().div_euclid(SECONDS_A_DAY))
}

/// The day of a time, in days since 1970, UTC.
pub(super) fn day(time: SystemTime) -> i64 {
    unix_seconds(time).div_euclid(SECONDS_A_DAY)
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_folded_field_stays_whole() {
        let mail = b"A: 1\r\nB: 2\r\n\t3\r\nC: 4\r\n\r\nbody: 5\r\n";
        let (header, body) = split(mail);
        assert_eq!(fields(header), [&b"A: 1\r\n"[..], b"B: 2\r\n\t3\r\n", b"C: 4\r\n"]);
        assert_eq!(value(field(mail, "b").expect("there is a B")), "2\t3");
        assert_eq!(body, b"body: 5\r\n");
    }

    #[test]
    fn a_message_without_a_body_is_all_header() {
        assert_eq!(fields(split(b"A: 1\r\nB: 2\r\n").0).len(), 2);
    }

    #[test]
    fn dates_are_written_as_imap_has_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_794_787_628);
        assert_eq!(imap_date_time(time), "16-Nov-2026 00:07:08 +0000");
        assert_eq!(imap_day("16-nov-2026"), Some(day(time)));
        assert_eq!(imap_day("1-Jan-1970"), Some(0));
        assert_eq!(imap_day("yesterday"), None);
    }
}
