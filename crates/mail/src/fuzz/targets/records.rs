//! The records in the answers of name servers.
//!
//! Input: a message.

use domain::base::message::Message;

use crate::Fault;
use crate::fuzz::shown;
use crate::net::records::{self, MOST_BYTES, MOST_RECORDS, Records};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Ok(answer) = Message::from_octets(input.to_vec()) else { return };
    hold(records::ipv4(&answer), |_| 0);
    hold(records::ipv6(&answer), |_| 0);
    hold(records::texts(&answer), String::len);
    hold(records::tlsa(&answer), |record| record.data.len());
    hold(records::pointers(&answer), |name| named(name));
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
