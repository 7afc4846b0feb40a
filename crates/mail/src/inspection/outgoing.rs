//! From which address the mail came to the receiver, by what the receiver itself recorded.

use std::net::IpAddr;

use super::Rules;
use super::authentication::{believed_fields, is_internal, without_comments};
use super::field::Field;
use super::hop::Received;
use crate::dnsbl::can_be_listed;

/// The address that the last receiver saw, by what it wrote while it judged SPF (RFC 7208 section 9.1) or the
/// name of the address (RFC 8601 section 2.7.3), else by its stamp. `None` if it is none that others know.
pub(super) fn read(
    fields: &[Field<'_>],
    received: &[Received<'_>],
    rules: Rules<'_>,
) -> Option<IpAddr> {
    let end = believed_fields(fields, received, rules);
    let own = || fields.iter().take(end);
    let by_spf = own()
        .filter(|field| field.is("Received-SPF"))
        .find_map(|field| after(&without_comments(&field.value), "client-ip="));
    let by_iprev = || {
        own()
            .filter(|field| field.is("Authentication-Results"))
            .find_map(|field| after(&without_comments(&field.value), "policy.iprev="))
    };
    let by_stamp = || {
        let mut own = received.iter().take_while(|hop| hop.index < end);
        own.find(|hop| !is_internal(hop)).and_then(Received::address)
    };
    let address = by_spf.or_else(by_iprev).or_else(by_stamp)?.to_canonical();
    can_be_listed(address).then_some(address)
}

/// The address behind this word.
fn after(text: &str, word: &str) -> Option<IpAddr> {
    let at = text.to_ascii_lowercase().find(word)?;
    let rest = text.get(at + word.len()..)?.trim_start_matches('"');
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.')));
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
