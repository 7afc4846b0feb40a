//! The packets of a ping: echo requests, and which packet is the reply to one of them.

use std::iter;
use std::net::IpAddr;

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Header, Icmpv6Slice, Icmpv6Type,
    Ipv4HeaderSlice,
};

/// What the requests of one ping have in common.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    is_ipv6: bool,
    is_raw: bool,
    /// Only raw sockets see replies to others; for the rest the system sets the id and watches it.
    id: u16,
    /// Begins with 16 random bytes, which nobody else's reply has.
    data: Vec<u8>,
}

/// The longest header of IPv4, and that of an echo.
const LONGEST_HEADERS: usize = 60 + 8;

impl Echo {
    /// Requests to this address with so many bytes of data.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(address: IpAddr, is_raw: bool, size: u16) -> Result<Self, getrandom::Error> {
        let mut random = [0; 18];
        getrandom::fill(&mut random)?;
        let [first, second, mark @ ..] = random;
        let filling = iter::successors(Some(0_u8), |byte| Some(byte.wrapping_add(1)));
        let data = mark.into_iter().chain(filling).take(usize::from(size)).collect();
        let id = u16::from_be_bytes([first, second]);
        Ok(Self { is_ipv6: address.is_ipv6(), is_raw, id, data })
    }

    /// A buffer of this size holds every reply whole.
    pub(super) fn longest_reply(&self) -> usize {
        LONGEST_HEADERS + self.data.len()
    }

    /// The request with this number. The system adds the checksum of ICMPv6, which covers addresses.
    pub(crate) fn request(&self, number: u16) -> Vec<u8> {
        let echo = IcmpEchoHeader { id: self.id, seq: number };
        let mut packet = if self.is_ipv6 {
            Icmpv6Header::new(Icmpv6Type::EchoRequest(echo)).to_bytes().to_vec()
        } else {
            let kind = Icmpv4Type::EchoRequest(echo);
            Icmpv4Header::with_checksum(kind, &self.data).to_bytes().to_vec()
        };
        packet.extend_from_slice(&self.data);
        packet
    }

    /// The number of the request that a packet replies to; `None` if it is no reply to one of these.
    pub(crate) fn number_of_reply(&self, packet: &[u8]) -> Option<u16> {
        let (echo, data) = if self.is_ipv6 {
            let packet = Icmpv6Slice::from_slice(packet).ok()?;
            let Icmpv6Type::EchoReply(echo) = packet.icmp_type() else { return None };
            (echo, packet.payload())
        } else {
            // A raw socket gives the header of IPv4 as well.
            let header = if self.is_raw {
                Ipv4HeaderSlice::from_slice(packet).ok()?.slice().len()
            } else {
                0
            };
            let packet = Icmpv4Slice::from_slice(packet.get(header..)?).ok()?;
            let Icmpv4Type::EchoReply(echo) = packet.icmp_type() else { return None };
            (echo, packet.payload())
        };
        let is_ours = data == self.data && (!self.is_raw || echo.id == self.id);
        is_ours.then_some(echo.seq)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    /// What the host makes of a request.
    fn reply(request: &[u8], reply_type: u8) -> Vec<u8> {
        let mut reply = request.to_vec();
        reply[0] = reply_type;
        reply
    }

    #[test]
    fn a_reply_is_known_by_its_type_number_id_and_data() {
        for (address, reply_type) in [(V4, 0), (V6, 129)] {
            let echo = Echo::new(address, false, 56).unwrap();
            let request = echo.request(7);
            assert_eq!(request.len(), 64);
            let good = reply(&request, reply_type);
            assert_eq!(echo.number_of_reply(&good), Some(7));
            assert_eq!(echo.number_of_reply(&request), None, "our own request");
            let unreachable = if address.is_ipv4() { 3 } else { 1 };
            assert_eq!(echo.number_of_reply(&reply(&request, unreachable)), None);
            assert_eq!(echo.number_of_reply(&good[..63]), None, "cut");
            assert_eq!(echo.number_of_reply(&[]), None);
            let other = Echo { id: echo.id, ..Echo::new(address, false, 56).unwrap() };
            assert_eq!(other.number_of_reply(&good), None, "the reply to another ping");
        }
    }

    #[test]
    fn a_raw_socket_sees_headers_and_replies_to_others() {
        let echo = Echo::new(V4, true, 16).unwrap();
        let mut packet = vec![0x45, 0, 0, 44, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1];
        packet.extend(reply(&echo.request(2), 0));
        assert_eq!(echo.number_of_reply(&packet), Some(2));
        let other = Echo { id: echo.id.wrapping_add(1), ..echo.clone() };
        assert_eq!(other.number_of_reply(&packet), None, "another id");
        assert_eq!(echo.number_of_reply(&packet[..20]), None);
        assert_eq!(echo.number_of_reply(&reply(&echo.request(2), 0)), None, "no header");
        let echo = Echo::new(V6, true, 16).unwrap();
        assert_eq!(echo.number_of_reply(&reply(&echo.request(2), 129)), Some(2));
        let other = Echo { id: echo.id.wrapping_add(1), ..echo.clone() };
        assert_eq!(other.number_of_reply(&reply(&echo.request(2), 129)), None);
    }

    #[test]
    fn a_request_has_the_checksum_and_the_size_that_were_asked_for() {
        for size in [16, 17, 9000] {
            let echo = Echo::new(V4, true, size).unwrap();
            let request = echo.request(1);
            assert_eq!(request.len(), usize::from(size) + 8);
            let words = request
                .chunks(2)
                .map(|word| u32::from(word[0]) << 8 | word.get(1).copied().map_or(0, u32::from));
            let sum: u32 = words.sum();
            let folded = (sum & 0xffff) + (sum >> 16);
            assert_eq!((folded & 0xffff) + (folded >> 16), 0xffff);
        }
    }
}
