//! Lists of addresses by DNS (RFC 5782): whether one lists an address, and why.
//!
//! Lists differ in how they say that they will not tell. What is no plain answer is none: an address is
//! listed, or it is not, or nobody knows. A zone may be the key of whoever may ask the list, so that nothing
//! here says which name was asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use domain::base::name::Name;
use tokio::time::Instant;

use crate::net::records::{Records, Resolver};
use crate::secret_source::{Look, SecretSource};
use crate::text::{Scrubber, cut_to};

/// The longest reason that is taken, in characters.
const REASON_CHARS: usize = 200;

/// The zone of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(SecretSource);

/// Whether an address is on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is, by this code, whose meaning is the list's.
    Listed(Ipv4Addr),
    /// It is not.
    NotListed,
}

impl Zone {
    /// The zone that `source` names: the name of a domain in ASCII.
    pub fn new(source: SecretSource) -> Self {
        Self(source)
    }

    /// The same of a source that may not hold one.
    ///
    /// # Errors
    /// Why it does not, without a word of what it holds.
    pub fn checked(source: SecretSource) -> Result<Self, String> {
        let is_zone = {
            let value = source.value();
            let zone = value.expose().trim_end_matches('.');
            let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            let is_name = zone.contains('.') && zone.chars().all(is_part);
            is_name && zone.parse::<Name<Vec<u8>>>().is_ok()
        };
        match is_zone {
            true => Ok(Self(source)),
            false => Err("names a file that does not hold the zone of a list alone".to_owned()),
        }
    }

    /// Whether the zone is kept in a file, as one that nobody else may see.
    pub fn is_secret(&self) -> bool {
        matches!(self.0, SecretSource::File(_))
    }

    /// The file in which it is kept, if it is.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            SecretSource::File(file) => Some(file.path()),
            SecretSource::Fixed(_) => None,
        }
    }

    /// What tells this zone from others.
    pub fn identifier(&self) -> Vec<u8> {
        self.0.identifier()
    }

    /// Reads the file again, if it is kept in one that has changed.
    pub async fn look(&self, end: Instant) {
        self.0.look(Look::IfChanged, end).await;
    }

    /// Asks the list about an address.
    ///
    /// # Errors
    /// Why it does not tell, as the end of a sentence: no answer, a refusal, or one that is no answer of
    /// a list.
    pub async fn entry(
        &self,
        resolver: &Resolver,
        address: IpAddr,
        end: Instant,
    ) -> Result<Entry, String> {
        let asked = resolver.ipv4(&self.name_of(address), end).await;
        asked.map_err(|fault| fault.message).and_then(|answer| entry(&answer))
    }

    /// Why the list has this address, as it can be shown; `None` if it does not say.
    pub async fn reason(
        &self,
        resolver: &Resolver,
        address: IpAddr,
        end: Instant,
    ) -> Option<String> {
        let texts = resolver.texts(&self.name_of(address), end).await.ok()?;
        reason(&texts, &self.scrubber())
    }

    /// Hides the zone where it is a secret. A list may name it as the DNS does, in lower case, or the key in it alone.
    fn scrubber(&self) -> Scrubber {
        let mut scrubber = Scrubber::default();
        if self.is_secret() {
            for zone in self.0.known() {
                let zone = zone.expose().trim_end_matches('.');
                let key = zone.split('.').next().unwrap_or_default();
                for secret in [zone, key] {
                    scrubber.hide_all_forms(secret);
                    scrubber.hide_all_forms(&secret.to_ascii_lowercase());
                }
            }
        }
        scrubber
    }

    /// The name under which the list has an address: its parts in reverse order, before the zone (RFC 5782
    /// sections 2.1 and 2.4).
    fn name_of(&self, address: IpAddr) -> String {
        let zone = self.0.value();
        format!("{}.{}", reversed(address), zone.expose().trim_end_matches('.'))
    }
}

/// The addresses by which a list of a family shows that it is one: it has the first and not the second
/// (RFC 5782 section 5). One that has both lists the whole world, one that has neither is dead.
pub fn test_entries(is_ipv6: bool) -> [IpAddr; 2] {
    let test = |last| match is_ipv6 {
        true => IpAddr::V6(Ipv4Addr::new(127, 0, 0, last).to_ipv6_mapped()),
        false => IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)),
    };
    [test(2), test(1)]
}

/// Whether a list may have this address: not what only one network or one host knows.
pub fn can_be_listed(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0b1100_0000 == 0b0100_0000;
            let is_of_one_network =
                address.is_private() || address.is_link_local() || address.is_loopback();
            let is_of_no_host = first == 0 || address.is_multicast() || address.is_broadcast();
            !(is_shared || is_of_one_network || is_of_no_host)
        }
        IpAddr::V6(address) => is_global_ipv6(address),
    }
}

fn is_global_ipv6(address: Ipv6Addr) -> bool {
    // Addresses of 6to4 stand in headers where they are those of a house (Google's own hops).
    let is_6to4 = address.segments().first() == Some(&0x2002);
    let is_of_one_network = address.is_loopback()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || address.is_unspecified();
    !(is_6to4 || is_of_one_network || address.is_multicast())
}

fn reversed(address: IpAddr) -> String {
    let parts: Vec<String> = match address {
        IpAddr::V4(address) => address.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
            nibbles.rev().map(|nibble| format!("{nibble:x}")).collect()
        }
    };
    parts.join(".")
}

/// What the addresses in an answer mean.
pub(crate) fn entry(answer: &Records<Ipv4Addr>) -> Result<Entry, String> {
    let refusal = answer.list.iter().find_map(|code| refusal(*code));
    match (refusal, answer.list.iter().find(|code| !code.is_loopback()), answer.list.first()) {
        (Some(refusal), ..) => Err(refusal),
        // Who takes over the names that do not exist would list everybody.
        (None, Some(other), _) => Err(format!(
            "it answers with {other}, which no list does: another server may answer in its place"
        )),
        (None, None, Some(code)) => Ok(Entry::Listed(*code)),
        (None, None, None) => Ok(Entry::NotListed),
    }
}

/// What a code means by which a list says that it does not tell.
fn refusal(code: Ipv4Addr) -> Option<String> {
    let why = match code.octets() {
        [127, 255, 255, 252] => "the zone is misspelt",
        [127, 255, 255, 254] => {
            "it does not answer public resolvers; let the name server of this host ask it itself"
        }
        [127, 255, 255, 255] => "too much was asked by this name server",
        [127, 255, 255, _] => "by an error code of its own",
        [127, 0, 0, 1] => "as lists do that do not answer this name server",
        _ => return None,
    };
    Some(format!("it refuses to tell ({code}): {why}"))
}

/// The texts of an answer in one line.
pub(crate) fn reason(texts: &Records<String>, scrubber: &Scrubber) -> Option<String> {
    let texts: Vec<&str> =
        texts.list.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    let text = cut_to(&scrubber.show(texts.join("; ").as_bytes()), REASON_CHARS);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::secret::Secret;
    use crate::secret_source::{ReadSecret, SecretFile};

    fn answer<T>(list: impl IntoIterator<Item = T>) -> Records<T> {
        let list = list.into_iter().collect();
        Records { list, has_name: true, is_whole: true, is_authentic: false }
    }

    fn of(codes: &[[u8; 4]]) -> Result<Entry, String> {
        entry(&answer(codes.iter().map(|code| Ipv4Addr::from(*code))))
    }

    #[test]
    fn an_address_is_asked_for_by_its_parts_in_reverse() {
        let zone = Secret::new("bl.example.".to_owned());
        let zone = Zone::new(SecretSource::Fixed(zone));
        let name = |address: &str| zone.name_of(address.parse().unwrap());
        assert_eq!(name("192.0.2.99"), "99.2.0.192.bl.example");
        // The example of RFC 5782 section 2.4.
        assert_eq!(
            name("2001:db8:1:2:3:4:567:89ab"),
            "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example"
        );
        let [listed, not_listed] = test_entries(true);
        assert_eq!(listed, "::FFFF:7F00:2".parse::<IpAddr>().unwrap());
        assert_eq!(not_listed, "::FFFF:7F00:1".parse::<IpAddr>().unwrap());
        assert!(reversed(listed).starts_with("2.0.0.0.0.0.f.7.f.f.f.f.0"));
    }

    #[test]
    fn only_a_code_of_a_list_lists_and_only_no_answer_at_all_does_not() {
        assert_eq!(of(&[]), Ok(Entry::NotListed));
        assert_eq!(of(&[[127, 0, 0, 2]]), Ok(Entry::Listed([127, 0, 0, 2].into())));
        assert_eq!(
            of(&[[127, 0, 0, 4], [127, 0, 0, 11]]),
            Ok(Entry::Listed([127, 0, 0, 4].into()))
        );
        assert_eq!(of(&[[127, 0, 1, 255]]), Ok(Entry::Listed([127, 0, 1, 255].into())));
        for (codes, word) in [
            (&[[127, 255, 255, 252]][..], "misspelt"),
            (&[[127, 255, 255, 254]], "public resolvers"),
            (&[[127, 255, 255, 255]], "too much"),
            (&[[127, 255, 255, 1]], "error code"),
            (&[[127, 0, 0, 1]], "refuses"),
            // One word of refusal is enough.
            (&[[127, 0, 0, 2], [127, 255, 255, 254]], "public resolvers"),
            (&[[192, 0, 2, 1]], "another server"),
            (&[[127, 0, 0, 2], [192, 0, 2, 1]], "another server"),
        ] {
            let words = of(codes).expect_err("it is an answer");
            assert!(words.contains(word), "{codes:?}: {words}");
        }
    }

    #[test]
    fn addresses_of_one_network_are_on_no_list() {
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2002:a05::1",
            "::ffff:192.168.1.1",
        ] {
            assert!(!can_be_listed(address.parse().unwrap()), "{address}");
        }
        for address in ["198.51.100.7", "100.128.0.1", "172.32.0.1", "2001:db8::1"] {
            assert!(can_be_listed(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_reason_is_one_line_that_hides_the_key() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"AbcdEfgh.zen.example.").unwrap();
        let read: ReadSecret =
            |path| Ok(Secret::new(std::fs::read_to_string(path).map_err(|it| it.to_string())?));
        let source = SecretFile::open(file.path(), String::new(), read).unwrap();
        let scrubber = Zone::checked(SecretSource::File(source.into())).unwrap().scrubber();
        let texts = answer(
            [
                "\u{1b}[31mSpam",
                "",
                "see https://a.example/abcdefgh.zen.example",
                "key AbcdEfgh used up",
            ]
            .map(str::to_owned),
        );
        let shown = reason(&texts, &scrubber).unwrap();
        assert!(
            shown.contains("Spam; see https://a.example/<secret>; key <secret> used"),
            "{shown}"
        );
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let long = reason(&answer(["x".repeat(5000)]), &Scrubber::default()).unwrap();
        assert!(long.chars().count() <= REASON_CHARS + 1, "{}", long.len());
        assert_eq!(reason(&answer([" ".to_owned()]), &Scrubber::default()), None);
    }

    #[test]
    fn a_zone_that_everybody_knows_is_shown_in_a_reason() {
        let zone = Zone::new(SecretSource::Fixed(Secret::new("bl.example".to_owned())));
        let shown = reason(&answer(["see bl.example".to_owned()]), &zone.scrubber());
        assert_eq!(shown.as_deref(), Some("see bl.example"));
    }
}
