//! One value each: from a node to a type that cannot be wrong, or to the message that says why not.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use lettre::Address;
use mail::options::without_final_dot;

use super::written;
use crate::config::yaml::{Node, Value};
use ledger::durations::Written;

/// What is said of a key with nothing behind it.
pub(super) const NO_VALUE: &str = "has no value; write one, or leave the key out";

/// The text of a single value, as it is written and hardly meant otherwise.
pub(super) fn text(node: &Node) -> Result<&str, String> {
    let text = raw(node)?;
    written::check(node, text)?;
    Ok(text)
}

/// The text of a single value, whatever it holds.
pub(super) fn raw(node: &Node) -> Result<&str, String> {
    match &node.value {
        _ if node.is_null() => {
            Err(format!("{NO_VALUE} (a value that begins with a special character needs quotes)"))
        }
        Value::Scalar { text, .. } if text.is_empty() => Err("is empty".to_owned()),
        Value::Scalar { text, .. } => Ok(text),
        Value::List(_) | Value::Map(_) => Err(format!("must be a text, not {}", node.kind())),
    }
}

/// A text of one line.
pub(super) fn line(node: &Node) -> Result<String, String> {
    let text = text(node)?;
    if text.chars().any(char::is_control) {
        return Err("must be one line without control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// `true` or `false`.
pub(super) fn boolean(node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Scalar { text, plain: true } => match text.as_str() {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ if node.is_null() => Err(NO_VALUE.to_owned()),
            other if is_word_for_a_boolean(other) => {
                Err("must be true or false; yes, no, on and off are texts (YAML 1.2)".to_owned())
            }
            _ => Err("must be true or false".to_owned()),
        },
        _ => Err("must be true or false, without quotes".to_owned()),
    }
}

/// Whether older readers of YAML take this word for true or false.
pub(super) fn is_word_for_a_boolean(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// A whole number within bounds, with or without quotes.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl FnOnce(&Node) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display,
{
    move |node| {
        let message =
            || format!("must be a whole number from {} to {}", range.start(), range.end());
        if node.is_null() {
            return Err(NO_VALUE.to_owned());
        }
        let Value::Scalar { text, .. } = &node.value else { return Err(message()) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits && text.len() > 1 && text.starts_with('0') {
            // It is octal in YAML 1.1 and decimal in 1.2.
            return Err(format!("{}, without a zero before it", message()));
        }
        let number = text.parse().ok().filter(|number| digits && range.contains(number));
        number.ok_or_else(message)
    }
}

/// A number of bytes within bounds.
pub(super) fn bytes(range: RangeInclusive<u64>) -> impl FnOnce(&Node) -> Result<u64, String> {
    move |node| {
        let bytes = parse_bytes(text(node)?)
            .ok_or_else(|| "is not a size; write it as 4096, 300kB, 10MB or 5MiB".to_owned())?;
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (least, most) = (WrittenBytes(*range.start()), WrittenBytes(*range.end()));
        Err(format!("must be from {least} to {most}"))
    }
}

/// Bytes alone, or with a unit: kB and MB by thousands, KiB and MiB by 1024.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// A number of bytes as the configuration has it: `10MB`, `300kB`, `4096`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrittenBytes(pub(crate) u64);

impl fmt::Display for WrittenBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % 1_000_000 == 0 => write!(f, "{}MB", bytes / 1_000_000),
            bytes if bytes > 0 && bytes % 1_000 == 0 => write!(f, "{}kB", bytes / 1_000),
            bytes => bytes.fmt(f),
        }
    }
}

/// Every TCP port.
pub(super) const PORTS: RangeInclusive<u16> = 1..=u16::MAX;

/// A TCP port.
pub(super) fn port(node: &Node) -> Result<u16, String> {
    integer(PORTS)(node)
}

/// One of a few words; case does not count.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl FnOnce(&Node) -> Result<T, String> {
    move |node| {
        let text = text(node)?;
        let chosen = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        chosen.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}

/// A duration within bounds.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl FnOnce(&Node) -> Result<Duration, String> {
    move |node| {
        let text = text(node)?;
        if text.parse::<f64>().is_ok() {
            let message = "has no unit; write one, as in 500ms, 30s, 5m, 24h, 1h30m or 7d";
            return Err(message.to_owned());
        }
        let duration = parse_duration(text).ok_or_else(|| {
            "is not a duration; write it as 500ms, 30s, 5m, 24h, 1h30m or 7d".to_owned()
        })?;
        if range.contains(&duration) {
            return Ok(duration);
        }
        let (least, most) = (Written(*range.start()), Written(*range.end()));
        Err(format!("must be from {least} to {most}"))
    }
}

/// A duration in units up to weeks. Longer ones have no certain length, and `M` for months is most
/// often meant for minutes.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut units = text.split(|c: char| !c.is_ascii_alphabetic());
    let is_too_long =
        |unit: &str| unit == "M" || unit.starts_with("month") || unit.starts_with('y');
    if units.any(is_too_long) { None } else { humantime::parse_duration(text).ok() }
}

/// A mail address; its domain in ASCII.
pub(super) fn address(node: &Node) -> Result<Address, String> {
    parse_address(text(node)?)
}

/// The same from a text.
pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
    let wrong = || {
        let advice = match text {
            _ if text.contains('<') => "; write it without a name and without < >",
            _ if text.ends_with('.') => "; write it without the final dot",
            _ => "",
        };
        format!("is not a mail address such as user@example.com{advice}")
    };
    let (user, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let domain = if domain.is_ascii() { domain.to_owned() } else { ascii_name(domain)? };
    let address = Address::new(user, domain).ok();
    // A control character is no part of a mailbox name (RFC 6531 section 3.3).
    let fits = |address: &Address| {
        address.to_string().len() <= 254 && !address.user().chars().any(char::is_control)
    };
    address.filter(fits).ok_or_else(wrong)
}

/// A host: a name in lower case, with the final dot that it may have, or an address without brackets.
pub(super) fn host(node: &Node) -> Result<String, String> {
    parse_host(text(node)?)
}

/// The same from a text.
pub(crate) fn parse_host(text: &str) -> Result<String, String> {
    if let Some(rest) = text.strip_prefix('[') {
        let inner = rest.strip_suffix(']').filter(|inner| inner.contains(':'));
        return match inner.map(str::parse::<IpAddr>) {
            Some(Ok(address)) => Ok(address.to_string()),
            _ if rest.contains("]:") => Err(port_message()),
            _ => Err("is not an IPv6 address in brackets".to_owned()),
        };
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if text.contains("://") {
        return Err(
            "must be a host alone, not a URL; `protocol`, `port` and `username` have keys \
                    of their own"
                .to_owned(),
        );
    }
    if text.contains(':') {
        return Err(port_message());
    }
    if text.is_ascii() { host_name(text) } else { host_name(&ascii_name(text)?) }
}

/// The same without a final dot, for where the name is looked up by nobody.
pub(super) fn server_name(node: &Node) -> Result<String, String> {
    host(node).map(|name| without_final_dot(&name).to_owned())
}

/// An internationalised name as the DNS knows it (RFC 5890, with the mapping of UTS #46).
fn ascii_name(text: &str) -> Result<String, String> {
    idna::domain_to_ascii_strict(text)
        .map_err(|_| "is not a name that the DNS can know (IDNA, RFC 5890)".to_owned())
}

fn port_message() -> String {
    "must be a host alone; the port goes to `port` under `send` or `receive` (an IPv6 address is \
     written as 2001:db8::1)"
        .to_owned()
}

/// RFC 1123 section 2.1, and the underscore, which container networks allow.
fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len())
            && label.chars().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // One dot at the end says that no search domain is to be put behind it (resolv.conf(5)).
    let name = without_final_dot(text);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err("is not a host name such as mail.example.com, nor an address".to_owned());
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not an IPv4 address such as 192.168.10.1".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

/// The name for EHLO (RFC 5321 section 4.1.1.1): a host name or an address literal.
pub(super) fn ehlo(node: &Node) -> Result<String, String> {
    let written = text(node)?;
    let text = if written.is_ascii() { written.to_owned() } else { ascii_name(written)? };
    let message = "must be a host name such as monitor.example.com, or an address literal such as \
                   [192.0.2.1] or [IPv6:2001:db8::1]";
    let literal = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match literal {
        Some(inner) => match inner.strip_prefix("IPv6:") {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => inner.parse::<std::net::Ipv4Addr>().is_ok(),
        },
        // Not the underscore: many servers refuse the client for it.
        None => host_name(&text).is_ok() && !text.contains('_') && !text.ends_with('.'),
    };
    if good { Ok(text) } else { Err(message.to_owned()) }
}

/// The id under which a server writes `Authentication-Results` (RFC 8601 section 2.5): one word.
pub(super) fn authserv_id(node: &Node) -> Result<String, String> {
    let text = text(node)?;
    let is_part = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c);
    if (1..=253).contains(&text.len()) && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    let message = "must be the first word of the receiver's Authentication-Results, as \
                   mx.example.com";
    Err(message.to_owned())
}
