//! The records in the answers of name servers, and what lists of addresses say with them.
//!
//! Input: a message.

use domain::base::message::Message;

use crate::Fault;
use crate::dnsbl::{self, Entry};
use crate::fuzz::shown::{self, PASSWORD, USER};
use crate::net::records::{self, MOST_BYTES, MOST_RECORDS, Records};
use crate::text::Scrubber;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Ok(answer) = Message::from_octets(input.to_vec()) else { return };
    if let Ok(addresses) = records::ipv4(&answer) {
        match dnsbl::entry(&addresses) {
            Ok(Entry::Listed(code)) => assert!(code.is_loopback(), "listed by {code}"),
            Ok(Entry::NotListed) => assert!(addresses.list.is_empty(), "{addresses:?}"),
            Err(words) => shown::check(&words),
        }
    }
    if let Ok(texts) = records::texts(&answer) {
        let scrubber = Scrubber::for_login(USER, PASSWORD);
        let reason = dnsbl::reason(&texts, &scrubber).unwrap_or_default();
        shown::check(&reason);
        assert!(reason.chars().count() <= 201 && !reason.contains('\n'), "{reason}");
    }
    hold(records::ipv4(&answer), |_| 0);
    hold(records::ipv6(&answer), |_| 0);
    hold(records::texts(&answer), String::len);
    hold(records::tlsa(&answer), |record| record.data.len());
    hold(records::pointers(&answer), |name| named(name));
    hold(records::aliases(&answer), |name| named(name));
    if let Some(found) = hold(records::exchangers(&answer), |mx| named(&mx.host)) {
        assert!(found.is_sorted_by_key(|mx| mx.preference), "{found:?}");
    }
    if let Some(found) = hold(records::services(&answer), |service| named(&service.host)) {
        assert!(found.is_sorted_by_key(|service| service.priority), "{found:?}");
    }
}

/// Holds what was read to its bounds; `bytes` are those of a record that count for them.
fn hold<T>(read: Result<Records<T>, Fault>, bytes: impl Fn(&T) -> usize) -> Option<Vec<T>> {
    match read {
        Ok(records) => {
            assert!(records.list.len() <= MOST_RECORDS, "{} records", records.list.len());
            let sum: usize = records.list.iter().map(bytes).sum();
            assert!(sum <= MOST_BYTES, "{sum} bytes");
            Some(records.list)
        }
        Err(fault) => {
            shown::check(&fault.message);
            None
        }
    }
}

/// Holds a name to what is shown as it is; its length is bounded by that of names.
fn named(name: &str) -> usize {
    shown::check(name);
    assert!(name.len() <= 4 * 255 && !name.ends_with('.'), "{name}");
    0
}
