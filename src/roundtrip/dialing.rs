//! What is said of a server before it is connected to.

use crate::config::Endpoint;
use ledger::Reason;
use mail::Fault;
use mail::net::tls;
use mail::options::BracketedHost;
use openssl::error::ErrorStack;

/// Host and port, an IPv6 address in brackets.
pub(super) fn address(endpoint: &Endpoint) -> String {
    let Endpoint { host, port, mx, .. } = endpoint;
    let of_domain = if *mx { "the MX of " } else { "" };
    format!("{of_domain}{}:{port}", BracketedHost(host))
}

/// Why it cannot be connected to under TLS.
pub(super) fn unusable(error: &ErrorStack) -> Fault {
    match tls::shortage_of(error) {
        Some(shortage) => {
            Fault::short(shortage, Reason::Other, "the system's authorities cannot be read")
        }
        None => {
            let words = tls::words(error);
            Fault::new(Reason::Tls, format!("cannot use the files of tls_options: {words}"))
        }
    }
}
