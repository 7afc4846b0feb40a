//! In which order the addresses of a host are tried: by what this machine would send from
//! (RFC 6724 section 6, without the rules that need more than the addresses). Those alike keep the order
//! of the name server.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::Trouble;
use ledger::Shortage;

/// The addresses, the best first.
///
/// # Errors
/// [`Trouble::Short`]: it cannot be found out which is the best.
pub(super) fn sorted(mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Trouble> {
    if addresses.len() > 1 {
        let ranked = addresses.iter().map(|it| Ok((*it, rank(*it, source_for(*it)?))));
        let ranks: HashMap<IpAddr, _> = ranked.collect::<Result<_, Trouble>>()?;
        addresses.sort_by_key(|address| ranks.get(address).copied());
    }
    Ok(addresses)
}

/// The address that this machine would send from; `None` if it cannot send there. No packet is sent.
fn source_for(destination: IpAddr) -> Result<Option<IpAddr>, Trouble> {
    let any: SocketAddr = match destination {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0; 8], 0).into(),
    };
    let asked = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(any)?;
        socket.connect((destination, 53))?;
        Ok(socket.local_addr()?.ip())
    };
    match asked() {
        Ok(source) => Ok(Some(source)),
        Err(error) => match Shortage::of_bind(&error) {
            Some(shortage) => {
                let message = format!("which of its addresses is the best: {error}");
                Err(Trouble::Short(shortage, message))
            }
            None => Ok(None),
        },
    }
}

/// The less the better: unusable (rule 1), of another scope than its source (2), of another label (5), of
/// lower precedence (6).
fn rank(destination: IpAddr, source: Option<IpAddr>) -> (bool, bool, bool, Reverse<u8>) {
    let (precedence, label) = policy(destination);
    let is_same = |of: fn(IpAddr) -> u8| source.is_some_and(|source| of(source) == of(destination));
    let differs_in_label = source.is_none_or(|source| policy(source).1 != label);
    (source.is_none(), !is_same(scope), differs_in_label, Reverse(precedence))
}

/// Precedence and label (RFC 6724 section 2.1).
fn policy(address: IpAddr) -> (u8, u8) {
    let IpAddr::V6(address) = address else { return (35, 4) };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => (50, 0),
        [0, 0, 0, 0, 0, 0xffff, ..] => (35, 4),
        [0, 0, 0, 0, 0, 0, ..] => (1, 3),
        [0x2002, ..] => (30, 2),
        [0x2001, 0, ..] => (5, 5),
        [0x3ffe, ..] => (1, 12),
        [first, ..] if first & 0xfe00 == 0xfc00 => (3, 13),
        [first, ..] if first & 0xffc0 == 0xfec0 => (1, 11),
        _ => (40, 1),
    }
}

/// How far an address reaches (RFC 6724 sections 3.1 and 3.2): 2 the link, 5 the site, 14 everywhere.
fn scope(address: IpAddr) -> u8 {
    let is_of_the_link = match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unicast_link_local(),
    };
    match address {
        _ if is_of_the_link => 2,
        IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfec0 => 5,
        _ => 14,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_can_be_reached_comes_before_what_cannot() {
        let of = |destination: &str, source: Option<&str>| {
            rank(address(destination), source.map(address))
        };
        let v6 = of("2001:db8::1", Some("2001:db8::9"));
        let v4 = of("192.0.2.1", Some("192.0.2.9"));
        assert!(v6 < v4, "IPv6 has precedence");
        assert!(v4 < of("2001:db8::1", None), "without a route");
        assert!(v4 < of("2001:db8::1", Some("fe80::9")), "of the link only");
        assert!(v4 < of("fd00::1", Some("fd00::9")), "of a private network");
        assert!(v4 < of("2001:db8::1", Some("fd00::9")), "a private source");
        assert!(of("::1", Some("::1")) < of("127.0.0.1", Some("127.0.0.1")));
    }

    #[test]
    fn those_alike_keep_the_order_of_the_name_server() {
        let addresses = ["127.0.0.3", "127.0.0.1", "127.0.0.2"].map(address).to_vec();
        assert_eq!(sorted(addresses.clone()), Ok(addresses));
    }
}
