//! Records of names, each kind as a type of its own, asked of the name servers in `/etc/resolv.conf`.
//!
//! Names are asked as they stand, in none of the search domains, and neither the hosts file nor other
//! sources of the system are: what is looked up here is what the outside world sees. Nothing is kept of
//! an answer.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
#[cfg(any(test, feature = "fuzzing"))]
use std::{net::SocketAddr, sync::Arc};

use domain::base::iana::Rcode;
use domain::base::message::Message;
use domain::base::name::{Name, ToName};
use domain::base::rdata::{ParseRecordData, UnknownRecordData};
use domain::base::{ParsedName, Rtype};
use domain::rdata::{A, Aaaa, Cname, Mx as MxData, Ptr, Srv as SrvData, Txt};
use tokio::time::{Instant, timeout_at};

use super::mx::Exchanger;
use super::names::Names;
#[cfg(doc)]
use crate::Clue;
use crate::{Fault, Reason};

/// The most records of one answer that are taken.
pub const MOST_RECORDS: usize = 64;
/// The most bytes of text or other data that are taken from one answer.
pub const MOST_BYTES: usize = 16 << 10;

/// What the name servers say of one kind of record of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records<T> {
    /// The records, [`MOST_RECORDS`] at most; those with an order of their own in that order, all others
    /// as they came. Aliases were followed by the name server.
    pub list: Vec<T>,
    /// Whether there is such a name, be it without records of this kind: not after NXDOMAIN.
    pub has_name: bool,
    /// Whether nothing was left out of the list for being too much.
    pub is_whole: bool,
    /// Whether a name server that is to be trusted has validated the answer by DNSSEC: one of this
    /// machine, or of a `resolv.conf` with `trust-ad`. `false` says nothing: the zone may be unsigned, the
    /// name server may not validate or not be trusted.
    pub is_authentic: bool,
}

/// Where a service of a domain is (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The ones with the least are tried first.
    pub priority: u16,
    /// Of those of one priority, one with a greater weight is the more probable choice.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its host, in lower case and without the final dot. Empty where the domain says that it does not
    /// offer the service.
    pub host: String,
}

/// Which certificate a server is to show (RFC 6698 section 2.1). No number in it is known to be in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// What the certificate is to be.
    pub usage: u8,
    /// Which part of it is compared.
    pub selector: u8,
    /// How it is compared.
    pub matching: u8,
    /// With what.
    pub data: Vec<u8>,
}

/// Whom records are asked of.
#[derive(Debug, Clone, Default)]
pub struct Resolver {
    tells_bogus: bool,
    /// One of its own in place of the system's.
    #[cfg(any(test, feature = "fuzzing"))]
    own: Option<Arc<Names>>,
}

impl Resolver {
    /// One that asks this name server only.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn of_server(server: SocketAddr) -> Self {
        Self { own: Some(Arc::new(Names::of_server(server))), ..Self::default() }
    }

    /// One that finds out whether an answer is refused for DNSSEC, which takes two more questions and some seconds.
    #[must_use]
    pub fn telling_bogus(mut self) -> Self {
        self.tells_bogus = true;
        self
    }

    /// The IPv4 addresses of `name`, an absolute name in ASCII, with or without its final dot.
    ///
    /// # Errors
    /// [`Reason::Dns`] if no name server answered, all refused to, or the answer is broken;
    /// [`Reason::Timeout`] after the deadline; with a [`crate::Shortage`] if its turn did not come. All mean
    /// that nothing is known, but [`Clue::Bogus`] of one that is [`Resolver::telling_bogus`]: a name server that is to be
    /// trusted has refused the answer for its DNSSEC. That there is no such name is no error. The message does not hold the name.
    pub async fn ipv4(&self, name: &str, end: Instant) -> Result<Records<Ipv4Addr>, Fault> {
        self.ask(name, Rtype::A, end, ipv4).await
    }

    /// The IPv6 addresses.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn ipv6(&self, name: &str, end: Instant) -> Result<Records<Ipv6Addr>, Fault> {
        self.ask(name, Rtype::AAAA, end, ipv6).await
    }

    /// The texts, [`MOST_BYTES`] at most. The strings of a record are put together without a space (RFC 7208
    /// section 3.3); what is no UTF-8 is replaced. Not escaped: they are a stranger's.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn texts(&self, name: &str, end: Instant) -> Result<Records<String>, Fault> {
        self.ask(name, Rtype::TXT, end, texts).await
    }

    /// The hosts that take the mail of the domain `name`, the preferred one first. One host with an empty
    /// name means that it takes none (RFC 7505).
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn exchangers(&self, name: &str, end: Instant) -> Result<Records<Exchanger>, Fault> {
        self.ask(name, Rtype::MX, end, exchangers).await
    }

    /// Where a service is, as `_submissions._tcp.example.com`: by priority, then the greatest weight
    /// first, then by name. See [`Service::host`] for one that is not offered.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn services(&self, name: &str, end: Instant) -> Result<Records<Service>, Fault> {
        self.ask(name, Rtype::SRV, end, services).await
    }

    /// The names of an address, in lower case and without the final dot.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn names_of(&self, address: IpAddr, end: Instant) -> Result<Records<String>, Fault> {
        let name = Name::<Vec<u8>>::reverse_from_addr(address).map_err(|error| broken(&error))?;
        self.ask(&name.to_string(), Rtype::PTR, end, pointers).await
    }

    /// The certificates of a service, as of `_25._tcp.mx.example.com`; their data is [`MOST_BYTES`] at most.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn tlsa(&self, name: &str, end: Instant) -> Result<Records<Tlsa>, Fault> {
        self.ask(name, Rtype::TLSA, end, tlsa).await
    }

    /// The name for which `name` is another one, in the same form; one at most.
    ///
    /// # Errors
    /// Those of [`Resolver::ipv4`].
    pub async fn aliases(&self, name: &str, end: Instant) -> Result<Records<String>, Fault> {
        self.ask(name, Rtype::CNAME, end, aliases).await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: Rtype,
        end: Instant,
        read: impl Fn(&Message<Vec<u8>>) -> Result<Records<T>, Fault>,
    ) -> Result<Records<T>, Fault> {
        let name = name.parse::<Name<Vec<u8>>>().map_err(|error| {
            Fault::down(Reason::Dns, format!("it is not the name of a domain: {error}"))
        })?;
        let asked = async {
            match self.tells_bogus {
                true => Box::pin(self.names().ask_for_bogus(name, kind)).await,
                false => Box::pin(self.names().ask_in_full(name, kind)).await,
            }
        };
        match timeout_at(end, asked).await {
            Ok(Ok((answer, is_trusted))) => {
                let records = read(&answer)?;
                Ok(Records { is_authentic: is_trusted && records.is_authentic, ..records })
            }
            Ok(Err(trouble)) => Err(trouble.plain_fault()),
            Err(_) => Err(Fault::down(Reason::Timeout, "the name servers took too long")),
        }
    }

    fn names(&self) -> &Names {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(own) = &self.own {
            return own;
        }
        Names::of_this_system()
    }
}

pub(crate) fn ipv4(answer: &Message<Vec<u8>>) -> Result<Records<Ipv4Addr>, Fault> {
    each(answer, |data: &A| Some((data.addr(), 0)))
}

pub(crate) fn ipv6(answer: &Message<Vec<u8>>) -> Result<Records<Ipv6Addr>, Fault> {
    each(answer, |data: &Aaaa| Some((data.addr(), 0)))
}

pub(crate) fn texts(answer: &Message<Vec<u8>>) -> Result<Records<String>, Fault> {
    each(answer, |data: &Txt<&[u8]>| {
        let bytes: Vec<u8> = data.iter().flatten().copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = text.len();
        Some((text, length))
    })
}

pub(crate) fn exchangers(answer: &Message<Vec<u8>>) -> Result<Records<Exchanger>, Fault> {
    let mut found = each(answer, |data: &MxData<ParsedName<&[u8]>>| {
        let host = plain(data.exchange());
        Some((Exchanger { preference: data.preference(), host }, 0))
    })?;
    found.list.sort();
    Ok(found)
}

pub(crate) fn services(answer: &Message<Vec<u8>>) -> Result<Records<Service>, Fault> {
    let mut found = each(answer, |data: &SrvData<ParsedName<&[u8]>>| {
        let (priority, weight, port) = (data.priority(), data.weight(), data.port());
        Some((Service { priority, weight, port, host: plain(data.target()) }, 0))
    })?;
    found.list.sort_by(|one, other| {
        let order = |service: &Service| (service.priority, u16::MAX - service.weight);
        let by_name = || one.host.cmp(&other.host).then(one.port.cmp(&other.port));
        order(one).cmp(&order(other)).then_with(by_name)
    });
    Ok(found)
}

pub(crate) fn pointers(answer: &Message<Vec<u8>>) -> Result<Records<String>, Fault> {
    each(answer, |data: &Ptr<ParsedName<&[u8]>>| Some((plain(data.ptrdname()), 0)))
}

pub(crate) fn aliases(answer: &Message<Vec<u8>>) -> Result<Records<String>, Fault> {
    each(answer, |data: &Cname<ParsedName<&[u8]>>| Some((plain(data.cname()), 0)))
}

pub(crate) fn tlsa(answer: &Message<Vec<u8>>) -> Result<Records<Tlsa>, Fault> {
    // Of the crate's own type for it there is no reader of single records.
    each(answer, |record: &UnknownRecordData<&[u8]>| match *record.data() {
        [usage, selector, matching, data @ ..] if record.rtype() == Rtype::TLSA => {
            let (usage, selector, matching) = (*usage, *selector, *matching);
            Some((Tlsa { usage, selector, matching, data: data.to_vec() }, data.len()))
        }
        // An alias, or too short: one that cannot be used is as none (RFC 6698 section 4.1).
        _ => None,
    })
}

/// The records of one kind, as `make` takes them, each with the bytes that count for [`MOST_BYTES`].
fn each<'a, D, T>(
    answer: &'a Message<Vec<u8>>,
    make: impl Fn(&D) -> Option<(T, usize)>,
) -> Result<Records<T>, Fault>
where
    D: ParseRecordData<'a, Vec<u8>>,
{
    let has_name = match answer.header().rcode() {
        Rcode::NOERROR => true,
        Rcode::NXDOMAIN => false,
        code => return Err(Fault::down(Reason::Dns, format!("the name server says {code}"))),
    };
    let (mut list, mut room, mut is_whole) = (Vec::new(), MOST_BYTES, true);
    for record in answer.answer().map_err(|error| broken(&error))?.limit_to::<D>() {
        let record = record.map_err(|error| broken(&error))?;
        let Some((made, bytes)) = make(record.data()) else { continue };
        match room.checked_sub(bytes) {
            Some(rest) if list.len() < MOST_RECORDS => {
                room = rest;
                list.push(made);
            }
            _ => {
                is_whole = false;
                break;
            }
        }
    }
    Ok(Records { list, has_name, is_whole, is_authentic: answer.header().ad() })
}

fn broken(error: &dyn fmt::Display) -> Fault {
    Fault::down(Reason::Dns, format!("the answer of the name server is broken: {error}"))
}

/// A name in lower case and without the final dot.
fn plain(name: &impl ToName) -> String {
    let name: Name<Vec<u8>> = name.to_name();
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
