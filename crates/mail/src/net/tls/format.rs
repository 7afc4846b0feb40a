//! What OpenSSL says, in words for people: without its source files, lines and function names; and what
//! its codes and the alerts of the peer (RFC 8446 section 6) point to.

use std::io;
use std::net::IpAddr;

use openssl::error::{Error, ErrorStack};
use openssl::ssl::{self, ErrorCode};

use crate::Fault;
use crate::net::io_reason;
use ledger::{Clue, Reason};

/// What to say where a server is too old for the policy.
pub(super) const WAY_OUT: &str = " (min_version: '1.0' in tls_options lets an old server pass)";
/// `SSL_R_UNEXPECTED_EOF_WHILE_READING` of OpenSSL 3: the peer left without a TLS alert.
const UNEXPECTED_EOF: i32 = 294;
/// `SSL_AD_REASON_OFFSET`: what is above it is the alert of the peer.
const ALERTS: i32 = 1000;

/// The reasons of a stack of errors.
pub fn words(stack: &ErrorStack) -> String {
    let words: Vec<&str> = stack.errors().iter().filter_map(Error::reason).collect();
    if words.is_empty() { "no reason given".to_owned() } else { words.join(", ") }
}

/// The words of a read or write that failed, under TLS or not.
pub fn io_words(error: &io::Error) -> String {
    match tls_error(error) {
        Some(inner) => match (inner.ssl_error(), inner.io_error()) {
            (Some(stack), _) => words(stack),
            (None, Some(inner)) => inner.to_string(),
            (None, None) => "TLS ended".to_owned(),
        },
        None => error.to_string(),
    }
}

/// What the error of a read or write points to: the alert of a server that refuses only after its side of
/// the handshake, as under TLS 1.3.
pub fn io_clue(error: &io::Error) -> Option<Clue> {
    tls_error(error)?.ssl_error().and_then(clue)
}

fn tls_error(error: &io::Error) -> Option<&ssl::Error> {
    error.get_ref()?.downcast_ref()
}

/// What OpenSSL says of a handshake that ended early; `name` is the server's.
pub(super) fn handshake_fault(error: &ssl::Error, name: &str) -> Fault {
    // An address is not sent in a handshake (RFC 6066 section 3).
    let no_name = name.parse::<IpAddr>().is_ok().then_some(Clue::NoServerName);
    if let Some(io) = error.io_error() {
        let reason = io_reason(io);
        let message = format!("the connection ended during the TLS handshake: {}", io_words(io));
        let fault = Fault::of_system(io, reason, message);
        return fault.with(no_name.filter(|_| reason == Reason::Closed));
    }
    let stack = error.ssl_error();
    let has_left = |entry: &Error| entry.reason_code() == UNEXPECTED_EOF;
    let left = matches!(error.code(), ErrorCode::SYSCALL | ErrorCode::ZERO_RETURN)
        || stack.is_some_and(|stack| stack.errors().iter().any(has_left));
    if left {
        let message = "the server closed the connection during the TLS handshake";
        return Fault::new(Reason::Closed, message).with(no_name);
    }
    let words = stack.map_or_else(|| "no reason given".to_owned(), words);
    // In the words of OpenSSL on this side.
    let is_old = ["too small", "too weak", "unsupported protocol", "legacy", "protocol version"];
    if is_old.iter().any(|what| words.contains(what)) {
        let message = format!("the TLS handshake failed: {words}{WAY_OUT}");
        return Fault::new(Reason::Tls, message).with(Some(Clue::OldTls));
    }
    let message = format!("the TLS handshake failed: {words}");
    Fault::new(Reason::Tls, message).with(stack.and_then(clue))
}

fn clue(stack: &ErrorStack) -> Option<Clue> {
    stack.errors().iter().find_map(|error| clue_of_code(error.reason_code()))
}

fn clue_of_code(code: i32) -> Option<Clue> {
    match code {
        // SSL_R_HTTP_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG, SSL_R_UNKNOWN_PROTOCOL,
        // SSL_R_WRONG_VERSION_NUMBER
        156 | 198 | 252 | 267 => Some(Clue::NotTls),
        _ => clue_of_alert(code.checked_sub(ALERTS)?),
    }
}

/// The numbers are those of RFC 8446 section 6.2.
fn clue_of_alert(number: i32) -> Option<Clue> {
    match number {
        40 => Some(Clue::HandshakeFailure),
        // no_certificate (SSL 3) to certificate_unknown, unknown_ca, access_denied, certificate_required
        41..=46 | 48 | 49 | 116 => Some(Clue::ClientCertificate),
        112 => Some(Clue::ServerName),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alerts_tell_what_the_server_misses() {
        for (code, clue) in [
            (1040, Some(Clue::HandshakeFailure)),
            (1042, Some(Clue::ClientCertificate)),
            (1048, Some(Clue::ClientCertificate)),
            (1112, Some(Clue::ServerName)),
            (1116, Some(Clue::ClientCertificate)),
            (1070, None),
            (267, Some(Clue::NotTls)),
            (UNEXPECTED_EOF, None),
        ] {
            assert_eq!(clue_of_code(code), clue, "{code}");
        }
    }
}
