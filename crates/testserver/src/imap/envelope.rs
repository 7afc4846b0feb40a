//! ENVELOPE (RFC 3501, section 7.4.2): the header of a message as nested lists.

use mail_parser::{Addr, Address, MessageParser};

use super::quoted;
use crate::message;

/// The envelope of a message.
pub(super) fn envelope(mail: &[u8]) -> String {
    let parsed = MessageParser::default().parse_headers(mail).unwrap_or_default();
    let raw = |name| string(message::field(mail, name).map(message::value).as_deref());
    let from = addresses(parsed.from());
    // Sender and Reply-To are From where they are missing.
    let or_from = |value: Option<&Address<'_>>| match addresses(value) {
        missing if missing == "NIL" => from.clone(),
        present => present,
    };
    let parts = [
        raw("Date"),
        raw("Subject"),
        from.clone(),
        or_from(parsed.sender()),
        or_from(parsed.reply_to()),
        addresses(parsed.to()),
        addresses(parsed.cc()),
        addresses(parsed.bcc()),
        raw("In-Reply-To"),
        raw("Message-ID"),
    ];
    format!("({})", parts.join(" "))
}

fn addresses(list: Option<&Address<'_>>) -> String {
    let shown: String = list.into_iter().flat_map(Address::iter).map(address).collect();
    if shown.is_empty() { "NIL".to_owned() } else { format!("({shown})") }
}

fn address(address: &Addr<'_>) -> String {
    let (mailbox, host) = match address.address().and_then(|address| address.rsplit_once('@')) {
        Some((mailbox, host)) => (Some(mailbox), Some(host)),
        None => (address.address(), None),
    };
    format!("({} NIL {} {})", string(address.name()), string(mailbox), string(host))
}

fn string(text: Option<&str>) -> String {
    text.map_or_else(|| "NIL".to_owned(), quoted)
}
