//! Questions about a domain, each of which may end its check: with an answer that DNSSEC forbids the check has failed,
//! without one nothing is known.

use std::net::IpAddr;

use tokio::time::Instant;

use super::Outcome;
use crate::net::mx::Exchanger;
use crate::net::records::{Records, Resolver, Tlsa};
use crate::{Clue, Fault};

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
        let mut texts = self.texts(name).await?.list;
        texts.retain(|text| is_version(text, version));
        Ok(texts)
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

/// Whether a text is a record of this version: it stands first, and alone or before a space or a semicolon.
fn is_version(text: &str, version: &str) -> bool {
    let Some((begin, rest)) = text.split_at_checked(version.len()) else { return false };
    begin.eq_ignore_ascii_case(version)
        && rest.chars().next().is_none_or(|c| matches!(c, ' ' | '\t' | ';'))
}
