//! `rate_limit`: how many requests are answered.

use std::time::Duration;

use super::Section;
use crate::config::yaml::Value;
use crate::web::server::auth::problems::Problems;
use crate::web::server::auth::rate::RateLimit;

/// The limit; `None` where there is none.
pub(super) fn read(section: &Section<'_>, problems: &mut Problems) -> Option<RateLimit> {
    section.refuse_others(&["interval", "burst"], problems);
    let mut nanoseconds = 0;
    if let Some(entry) = section.find("interval") {
        let read = match &entry.node.value {
            // A bare number is one of nanoseconds, as Go has it.
            Value::Scalar { text, plain: true } => text.parse().ok().or_else(|| go_duration(text)),
            Value::Scalar { text, plain: false } => go_duration(text),
            _ => None,
        };
        match read {
            Some(read) => nanoseconds = read,
            None => {
                let text = "must be a duration as 1s, 500ms or 1m30s, or 0 for no limit";
                problems.add(entry.line, &section.path("interval"), text);
            }
        }
    }
    let mut burst = 0;
    if let Some(entry) = section.find("burst") {
        match &entry.node.value {
            Value::Scalar { text, plain: true } if text.parse::<i64>().is_ok() => {
                burst = text.parse::<i64>().unwrap_or_default();
            }
            _ => {
                problems.add(entry.line, &section.path("burst"), "must be a whole number");
            }
        }
    }
    // As in the exporter-toolkit neither 0 nor a negative interval is a limit.
    let interval = u64::try_from(nanoseconds).ok().filter(|interval| *interval > 0)?;
    let burst = u32::try_from(burst.max(0)).unwrap_or(u32::MAX);
    Some(RateLimit::new(Duration::from_nanos(interval), burst))
}

/// The nanoseconds of a duration in the form of Go's `time.ParseDuration`, as `1h15m30.5s`.
fn go_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum: i128 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(number)?;
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        rest = tail;
        sum = sum.checked_add(nanoseconds(number, unit)?)?;
    }
    i64::try_from(sum).ok().map(|sum| sum * sign)
}

/// `number`, whole or with a fraction, of `unit`.
fn nanoseconds(number: &str, unit: &str) -> Option<i128> {
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
    // What is below a nanosecond does not count.
    let fraction = fraction.get(..fraction.len().min(15))?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    digits(whole)?.checked_mul(unit)?.checked_add(digits(fraction)?.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1s", Some(1_000_000_000)),
            ("0", Some(0)),
            ("1h15m30.918s", Some(4_530_918_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("-1.5ms", Some(-1_500_000)),
            ("+7us", Some(7_000)),
            ("7µs", Some(7_000)),
            ("3ns", Some(3)),
            ("1.00000000000000000000000000000000000000000000000001s", Some(1_000_000_000)),
            ("", None),
            ("-", None),
            ("1", None),
            ("s", None),
            (".s", None),
            ("1d", None),
            ("1 s", None),
            ("1.2.3s", None),
            ("1s ", None),
            ("9999999999h", None),
            ("99999999999999999999999999999999999999999999999999999999s", None),
        ] {
            assert_eq!(go_duration(text), expected, "{text:?}");
        }
    }
}
