//! What a TLS handshake showed.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The protocol version as OpenSSL names it, as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// When the server's certificate ends.
    pub leaf_not_after: SystemTime,
    /// The earliest end in the chain by which the certificate was found good, up to the trusted authority;
    /// where it was refused, in the chain that the server sent.
    pub chain_not_after: SystemTime,
    /// Whether an earlier session was resumed: then the dates are those of its certificate.
    pub is_resumed: bool,
}

impl fmt::Display for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resumed = if self.is_resumed { ", resumed" } else { "" };
        write!(f, "{} {}{resumed}, certificate valid until ", self.version, self.cipher)?;
        match certificate_date(self.leaf_not_after) {
            Some(end) => f.write_str(&end),
            None => f.write_str("before 1970"),
        }
    }
}

/// A date of a certificate as RFC 3339 has it, in UTC; `None` where that has no words for it: a certificate
/// may name any.
pub fn certificate_date(date: SystemTime) -> Option<String> {
    /// 9999-12-31T23:59:59Z.
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since_1970 = date.duration_since(UNIX_EPOCH).ok()?;
    (since_1970 <= LAST).then(|| humantime::format_rfc3339_seconds(date).to_string())
}
