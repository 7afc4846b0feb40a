//! Which packet is the reply to a ping.
//!
//! Input: changes of a true reply, three bytes each: where, and how it is changed; what is left over stands
//! behind it. And the input itself as a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::layers::ping::packet::Echo;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    for (address, is_raw) in [(v4, false), (v4, true), (v6, false), (v6, true)] {
        let echo = Echo::new(address, is_raw, 24).unwrap();
        assert_eq!(echo.number_of_reply(input), None, "nobody can know our data");
        let request = echo.request(0x0102);
        let (kind, data) = (if address.is_ipv4() { 0 } else { 129 }, request[8..].to_vec());
        let has_header = is_raw && address.is_ipv4();
        let mut packet = if has_header { header(request.len()) } else { Vec::new() };
        let start = packet.len();
        packet.push(kind);
        packet.extend_from_slice(&request[1..]);
        assert_eq!(echo.number_of_reply(&packet), Some(0x0102));
        let changes = input.chunks_exact(3);
        let rest = changes.remainder().to_vec();
        for change in changes {
            let length = packet.len().max(1);
            if let Some(byte) = packet.get_mut(usize::from(change[0]) % length) {
                *byte = change[1] ^ change[2];
            }
        }
        packet.extend(rest);
        if let Some(number) = echo.number_of_reply(&packet) {
            assert!(packet.ends_with(&data), "the reply to another ping");
            let echo = &packet[packet.len() - data.len() - 8..];
            assert_eq!(number, u16::from_be_bytes([echo[6], echo[7]]));
            assert_eq!((echo[0], has_header || start == 0), (kind, true));
        }
    }
}

/// A header of IPv4 before so many bytes.
fn header(length: usize) -> Vec<u8> {
    let total = u16::try_from(20 + length).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 1, 0, 0];
    header.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    header
}
