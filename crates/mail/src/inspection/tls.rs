//! Whether each hop was given the mail over TLS, by its own record.

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
        version: version_of(hop),
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

/// Whether this hop was handed the mail over TLS. `None`: nothing is recorded that tells it, or the mail
/// did not leave its host, where there is nothing to protect.
pub(super) fn protection(hop: &Received<'_>) -> Option<bool> {
    if is_protected(hop) {
        return Some(true);
    }
    // A client may call itself what it likes; its address is the receiver's own word.
    let is_local = match hop.address() {
        Some(address) => address.to_canonical().is_loopback(),
        None => hop.from().is_none_or(|from| from.eq_ignore_ascii_case("localhost")),
    };
    // Exchange has a name of its own for what it speaks.
    let is_over_network = is_smtp(hop) || says(hop, "with microsoft smtp server");
    (is_over_network && !is_local).then_some(false)
}

/// The version of TLS of this hop, if it was recorded.
pub(super) fn version_of(hop: &Received<'_>) -> Option<String> {
    hop.parsed.tls_version.map(|it| version(it).to_owned())
}

/// The name of a protocol, as it stands behind `with`.
pub(super) fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::SMTP => "SMTP",
        Protocol::ESMTP => "ESMTP",
        Protocol::ESMTPA => "ESMTPA",
        Protocol::ESMTPS => "ESMTPS",
        Protocol::ESMTPSA => "ESMTPSA",
        Protocol::LMTP => "LMTP",
        Protocol::LMTPA => "LMTPA",
        Protocol::LMTPS => "LMTPS",
        Protocol::LMTPSA => "LMTPSA",
        Protocol::MMS => "MMS",
        Protocol::UTF8SMTP => "UTF8SMTP",
        Protocol::UTF8SMTPA => "UTF8SMTPA",
        Protocol::UTF8SMTPS => "UTF8SMTPS",
        Protocol::UTF8SMTPSA => "UTF8SMTPSA",
        Protocol::UTF8LMTP => "UTF8LMTP",
        Protocol::UTF8LMTPA => "UTF8LMTPA",
        Protocol::UTF8LMTPS => "UTF8LMTPS",
        Protocol::UTF8LMTPSA => "UTF8LMTPSA",
        Protocol::HTTP => "HTTP",
        Protocol::HTTPS => "HTTPS",
        Protocol::IMAP => "IMAP",
        Protocol::POP3 => "POP3",
        Protocol::Local => "local",
    }
}

/// By the protocol (RFC 3848), or by what servers write beside it.
fn is_protected(hop: &Received<'_>) -> bool {
    use Protocol::{
        ESMTPS, ESMTPSA, HTTPS, LMTPS, LMTPSA, UTF8LMTPS, UTF8LMTPSA, UTF8SMTPS, UTF8SMTPSA,
    };
    let protected =
        [ESMTPS, ESMTPSA, HTTPS, LMTPS, LMTPSA, UTF8LMTPS, UTF8LMTPSA, UTF8SMTPS, UTF8SMTPSA];
    hop.parsed.with.is_some_and(|with| protected.contains(&with))
        || hop.parsed.tls_version.is_some()
        // Older Exchange; the patches of qmail; Courier and Kerio.
        || ["smtp server (tls)", " encrypted) ", "(ssl: ", "(tls: "].iter().any(|mark| says(hop, mark))
}

/// Whether these words stand in the field, where its line ends and its letters do not count.
fn says(hop: &Received<'_>, words: &str) -> bool {
    let text = hop.text.to_ascii_lowercase();
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ").contains(words)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspection::field::Field;

    /// In the forms in which these servers write them, with names and addresses of documentation.
    const RECORDS: [(&str, &str, Option<bool>, Option<&str>); 19] = [
        (
            "Postfix",
            "from out.example (out.example [203.0.113.5]) (using TLSv1.3 with cipher \
             TLS_AES_256_GCM_SHA384 (256/256 bits)) by mx.example (Postfix) with ESMTPS id 1",
            Some(true),
            Some("TLSv1.3"),
        ),
        (
            "Postfix, authenticated",
            "from pc.example (pc.example [203.0.113.5]) by mx.example (Postfix) with ESMTPSA id 1",
            Some(true),
            None,
        ),
        (
            "Postfix, plain",
            "from out.example (out.example [203.0.113.5]) by mx.example (Postfix) with ESMTP id 1",
            Some(false),
            None,
        ),
        (
            "Postfix, from a filter beside it",
            "from localhost (localhost [127.0.0.1]) by mx.example (Postfix) with ESMTP id 1",
            None,
            None,
        ),
        (
            "Postfix, from a host that calls itself localhost",
            "from localhost (out.example [203.0.113.5]) by mx.example (Postfix) with ESMTP id 1",
            Some(false),
            None,
        ),
        ("Postfix, by pickup", "by mx.example (Postfix, from userid 0) id 1", None, None),
        (
            "Dovecot",
            "from mx.example by imap.example with LMTP id 1 (envelope-from <a@b.example>)",
            None,
            None,
        ),
        (
            "Dovecot on another host",
            "from mx.example ([203.0.113.5]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 \
             (256/256 bits)) by imap.example with LMTPS id 1",
            Some(true),
            Some("TLSv1.3"),
        ),
        (
            "Exim",
            "from [203.0.113.5] (helo=out.example) by mx.example with esmtps (TLS1.3) tls \
             TLS_AES_256_GCM_SHA384 (Exim 4.98) (envelope-from <a@b.example>) id 1",
            Some(true),
            Some("TLSv1.3"),
        ),
        (
            "Exim, plain",
            "from out.example ([203.0.113.5]) by mx.example with smtp (Exim 4.98) id 1",
            Some(false),
            None,
        ),
        (
            "Sendmail",
            "from out.example (out.example [203.0.113.5]) by mx.example (8.18.1/8.18.1) with ESMTPS \
             id 1 (version=TLSv1.2 cipher=ECDHE-RSA-AES256-GCM-SHA384 bits=256 verify=NO)",
            Some(true),
            Some("TLSv1.2"),
        ),
        (
            "OpenSMTPD",
            "from out.example (out.example [203.0.113.5]) by mx.example (OpenSMTPD) with ESMTPS id 1 \
             (TLSv1.3:TLS_AES_256_GCM_SHA384:256:NO) for <a@b.example>",
            Some(true),
            Some("TLSv1.3"),
        ),
        (
            "qmail with TLS",
            "from unknown (HELO out.example) (203.0.113.5) by mx.example with \
             (ECDHE-RSA-AES256-GCM-SHA384 encrypted) SMTP",
            Some(true),
            None,
        ),
        (
            "qmail",
            "from unknown (HELO out.example) (203.0.113.5) by mx.example with SMTP",
            Some(false),
            None,
        ),
        (
            "Gmail",
            "from out.example (out.example. [203.0.113.5]) by mx.google.com with ESMTPS id 1 for \
             <a@b.example> (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256 bits=128/128)",
            Some(true),
            Some("TLSv1.3"),
        ),
        (
            "Gmail, inside",
            "by 2002:a05:6a10:1234:b0:5d2:abcd:ef01 with SMTP id x1csp123",
            None,
            None,
        ),
        (
            "Exchange",
            "from out.example (203.0.113.5) by mx.example (203.0.113.9) with Microsoft SMTP Server \
             (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.2.1544.4",
            Some(true),
            Some("TLSv1.2"),
        ),
        (
            "Exchange 2010",
            "from out.example (203.0.113.5) by mx.example (203.0.113.9) with Microsoft SMTP Server\r\n\t\
             (TLS) id 14.3.498.0",
            Some(true),
            None,
        ),
        (
            "Exchange, plain",
            "from out.example (203.0.113.5) by mx.example (203.0.113.9) with Microsoft SMTP Server id \
             14.3.498.0",
            Some(false),
            None,
        ),
    ];

    #[test]
    fn each_server_says_in_its_own_way_whether_it_had_the_mail_over_tls() {
        for (server, record, expected, version) in RECORDS {
            let block = format!("Received: {record}; Mon, 23 Nov 2026 10:00:12 +0000\r\n");
            let fields = Field::split(block.as_bytes());
            let all = Received::all(&fields);
            let hop = all.first().unwrap();
            assert_eq!(protection(hop), expected, "{server}");
            assert_eq!(version_of(hop).as_deref(), version, "{server}");
        }
    }
}
