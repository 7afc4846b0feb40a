//! What a TLS handshake showed.

use std::fmt;

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The protocol version as OpenSSL names it, as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, as `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// When the server's certificate ends, in seconds since 1970.
    pub leaf_not_after: i64,
    /// The earliest end in the chain by which the certificate was found good, up to the trusted authority;
    /// where it was refused, in the chain that the server sent.
    pub chain_not_after: i64,
    /// Whether an earlier session was resumed: then the dates are those of its certificate.
    pub is_resumed: bool,
}

impl fmt::Display for TlsFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resumed = if self.is_resumed { ", resumed" } else { "" };
        write!(f, "{} {}{resumed}, certificate valid until ", self.version, self.cipher)?;
        match u64::try_from(self.leaf_not_after) {
            Ok(seconds) => {
                let end = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
                write!(f, "{}", humantime::format_rfc3339_seconds(end))
            }
            Err(_) => f.write_str("before 1970"),
        }
    }
}
