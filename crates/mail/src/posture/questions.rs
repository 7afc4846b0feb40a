//! Questions about a domain, each of which may end its check: with an answer that DNSSEC forbids the check has failed,
//! without one nothing is known.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Outcome;
use crate::net::mx::Exchanger;
use crate::net::records::{Records, Resolver, Tlsa};
use crate::{Clue, Fault};

/// What is said where an answer is longer than what is read of one, and the part that was read settles nothing.
pub(super) const TOO_LONG: &str = "the answer is too long to be read whole";

/// Whom they are asked of, and until when.
#[derive(Clone, Copy)]
pub(super) struct Questions<'a> {
    pub(super) resolver: &'a Resolver,
    pub(super) end: Instant,
}

impl Questions<'_> {
    pub(super) async fn texts(self, name: &str) -> Result<Records<String>, Outcome> {
        told(name, self.resolver.texts(name, self.end).await)
    }

    /// The texts that begin with this version, as `v=spf1`, and how many others there are.
    pub(super) async fn texts_of(self, name: &str, version: &str) -> Result<Vec<String>, Outcome> {
        let found = self.texts(name).await?;
        let mut texts = found.list;
        texts.retain(|text| is_version(text, version));
        match texts.is_empty() && !found.is_whole {
            true => Err(Outcome::unknown(format!("{name}: {TOO_LONG}"))),
            false => Ok(texts),
        }
    }

    /// The addresses of both families.
    pub(super) async fn addresses(self, name: &str) -> Result<Records<IpAddr>, Outcome> {
        let v4 = told(name, self.resolver.ipv4(name, self.end).await)?;
        let v6 = told(name, self.resolver.ipv6(name, self.end).await)?;
        let v6_list = v6.list.into_iter().map(IpAddr::from);
        Ok(Records {
            list: v4.list.into_iter().map(IpAddr::from).chain(v6_list).collect(),
            has_name: v4.has_name || v6.has_name,
            is_whole: v4.is_whole && v6.is_whole,
            is_authentic: v4.is_authentic && v6.is_authentic,
        })
    }

    pub(super) async fn exchangers(self, name: &str) -> Result<Records<Exchanger>, Outcome> {
        told(name, self.resolver.exchangers(name, self.end).await)
    }

    /// The name that `name` is an alias of.
    pub(super) async fn alias(self, name: &str) -> Result<Option<String>, Outcome> {
        let aliases = told(name, self.resolver.aliases(name, self.end).await)?;
        Ok(aliases.list.into_iter().next())
    }

    pub(super) async fn names_of(self, address: IpAddr) -> Result<Records<String>, Outcome> {
        told(&address.to_string(), self.resolver.names_of(address, self.end).await)
    }

    pub(super) async fn tlsa(self, name: &str) -> Result<Records<Tlsa>, Outcome> {
        told(name, self.resolver.tlsa(name, self.end).await)
    }
}

fn told<T>(name: &str, answer: Result<T, Fault>) -> Result<T, Outcome> {
    answer.map_err(|fault| {
        let words = format!("{name}: {}", fault.message);
        match fault.clue {
            Some(Clue::Bogus) => Outcome::failed(words),
            _ => Outcome::unknown(words),
        }
    })
}

/// Whether a text is a record of this version: it stands first, and alone or before a space or a semicolon. Only that of
/// SPF may be in another case (RFC 7208 section 4.5); only that of DMARC may have spaces about its `=` (RFC 7489
/// section 6.4).
fn is_version(text: &str, version: &str) -> bool {
    if version == "v=DMARC1" {
        let tag = text.split(';').next().and_then(|tag| tag.split_once('='));
        return tag.is_some_and(|(name, value)| {
            name.trim_end() == "v" && value.split_ascii_whitespace().next() == Some("DMARC1")
        });
    }
    let Some((begin, rest)) = text.split_at_checked(version.len()) else { return false };
    let is_it = match version {
        "v=spf1" => begin.eq_ignore_ascii_case(version),
        _ => begin == version,
    };
    is_it && rest.chars().next().is_none_or(|c| matches!(c, ' ' | '\t' | ';'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_exact_where_receivers_want_it_exact() {
        for (text, version, expected) in [
            ("V=SPF1 -all", "v=spf1", true),
            ("v=spf10 -all", "v=spf1", false),
            ("v=DMARC1;p=none", "v=DMARC1", true),
            ("v = DMARC1 ; p=none", "v=DMARC1", true),
            ("v=dmarc1; p=none", "v=DMARC1", false),
            ("p=none; v=DMARC1", "v=DMARC1", false),
            ("v=STSv1; id=1", "v=STSv1", true),
            ("v=stsv1; id=1", "v=STSv1", false),
            ("v=tlsrptv1; rua=", "v=TLSRPTv1", false),
        ] {
            assert_eq!(is_version(text, version), expected, "{text}");
        }
    }
}
