//! From which address the mail came to the receiver, by what the receiver itself recorded.

use std::net::IpAddr;

use mail_parser::Protocol;

use super::Rules;
use super::authentication::{believed_fields, first_receiver, is_internal, without_comments};
use super::field::Field;
use super::hop::Received;
use crate::dnsbl::can_be_listed;

/// The address that the last receiver saw, by what it wrote while it judged SPF (RFC 7208 section 9.1) or the
/// name of the address (RFC 8601 section 2.7.3), else by its stamp. `None` if it is none that others know, or that of
/// whoever wrote the mail: nobody sent it out before the receiver had it.
pub(super) fn read(
    fields: &[Field<'_>],
    received: &[Received<'_>],
    rules: Rules<'_>,
) -> Option<IpAddr> {
    let end = believed_fields(fields, received, rules);
    let mut house = received.iter().skip(first_receiver(received, rules)?);
    let stamp = house.find(|hop| !is_internal(hop)).filter(|hop| hop.index < end)?;
    let is_first = received.last().is_some_and(|first| first.index == stamp.index);
    if is_first || is_of_a_login(stamp) {
        return None;
    }
    // Below its stamp stands what the server before it has written.
    let own = || fields.iter().take(stamp.index);
    let by_spf = own()
        .filter(|field| field.is("Received-SPF"))
        .find_map(|field| after(&without_comments(&field.value), "client-ip="));
    let by_iprev = || {
        own()
            .filter(|field| field.is("Authentication-Results"))
            .find_map(|field| after(&without_comments(&field.value), "policy.iprev="))
    };
    let address = by_spf.or_else(by_iprev).or_else(|| stamp.address())?.to_canonical();
    can_be_listed(address).then_some(address)
}

/// Whether the mail was handed over with a login (RFC 3848), as its author does.
fn is_of_a_login(hop: &Received<'_>) -> bool {
    use Protocol::{ESMTPA, ESMTPSA, UTF8SMTPA, UTF8SMTPSA};
    let with_login = [ESMTPA, ESMTPSA, UTF8SMTPA, UTF8SMTPSA];
    hop.parsed.with.is_some_and(|with| with_login.contains(&with))
}

/// The address behind this word.
fn after(text: &str, word: &str) -> Option<IpAddr> {
    let at = text.to_ascii_lowercase().find(word)?;
    let rest = text.get(at + word.len()..)?.trim_start_matches('"');
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.')));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
