//! Whether the receiver was given the mail over TLS, by its own record.

use mail_parser::{Protocol, TlsVersion};
use serde::{Deserialize, Serialize};

use super::hop::Received;
use super::shown;
use crate::text::Scrubber;

/// The newest hop over a network, as its receiver recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHop {
    /// The receiver, fit to be shown.
    pub by: Option<String>,
    /// Whom it had the mail from, fit to be shown.
    pub from: Option<String>,
    /// Whether it was protected by TLS.
    pub is_protected: bool,
    /// The version of TLS, as in `TLSv1.3`, if it was recorded.
    pub version: Option<String>,
    /// The cipher suite as it was recorded, fit to be shown.
    pub cipher: Option<String>,
}

/// Reads the newest hop by SMTP from another host; where all was handed over inside one host, the
/// newest by SMTP that is no filter's.
pub(super) fn read(received: &[Received<'_>], scrubber: &Scrubber) -> Option<LastHop> {
    let mut by_smtp = received.iter().filter(|hop| is_smtp(hop) && hop.from().is_some());
    let is_remote = |hop: &&Received<'_>| {
        hop.address().is_none_or(|address| !address.to_canonical().is_loopback())
    };
    let hop = by_smtp
        .clone()
        .find(is_remote)
        .or_else(|| by_smtp.clone().find(|hop| is_protected(hop)))
        .or_else(|| by_smtp.find(|hop| !hop.is_filter()))?;
    let show = |name: Option<String>| name.map(|name| shown(&name, scrubber));
    Some(LastHop {
        by: show(hop.by()),
        from: show(hop.from()),
        is_protected: is_protected(hop),
        version: hop.parsed.tls_version.map(|it| version(it).to_owned()),
        cipher: hop.parsed.tls_cipher.as_deref().map(|cipher| shown(cipher, scrubber)),
    })
}

fn is_smtp(hop: &Received<'_>) -> bool {
    use Protocol::{
        ESMTP, ESMTPA, ESMTPS, ESMTPSA, SMTP, UTF8SMTP, UTF8SMTPA, UTF8SMTPS, UTF8SMTPSA,
    };
    let plain = [SMTP, ESMTP, ESMTPA, UTF8SMTP, UTF8SMTPA];
    let protected = [ESMTPS, ESMTPSA, UTF8SMTPS, UTF8SMTPSA];
    hop.parsed.with.is_some_and(|with| plain.contains(&with) || protected.contains(&with))
}

/// By the protocol (RFC 3848) or by the comment that servers write beside it.
fn is_protected(hop: &Received<'_>) -> bool {
    use Protocol::{ESMTPS, ESMTPSA, UTF8SMTPS, UTF8SMTPSA};
    let protected = [ESMTPS, ESMTPSA, UTF8SMTPS, UTF8SMTPSA];
    hop.parsed.with.is_some_and(|with| protected.contains(&with))
        || hop.parsed.tls_version.is_some()
}

fn version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::SSLv2 => "SSLv2",
        TlsVersion::SSLv3 => "SSLv3",
        TlsVersion::TLSv1_0 => "TLSv1.0",
        TlsVersion::TLSv1_1 => "TLSv1.1",
        TlsVersion::TLSv1_2 => "TLSv1.2",
        TlsVersion::TLSv1_3 => "TLSv1.3",
        TlsVersion::DTLSv1_0 => "DTLSv1.0",
        TlsVersion::DTLSv1_2 => "DTLSv1.2",
        TlsVersion::DTLSv1_3 => "DTLSv1.3",
    }
}
