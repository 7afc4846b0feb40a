//! What is said of a server before it is connected to.

use ledger::Reason;
use mail::Fault;
use mail::net::tls;
use openssl::error::ErrorStack;

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
