//! What the servers of a domain may be called that says nothing of them: usual names, and the hosts that take its
//! mail.

use tokio::time::Instant;

use super::{MailProtocol, Offer, host_name};
use crate::Fault;
use crate::net;
use crate::net::records::Resolver;
use crate::options::{IpFamily, TlsMode};
use crate::text::shown;

/// How many of the hosts that take the mail are tried.
const EXCHANGERS: usize = 2;

/// What is tried at a host, the strongest first.
const PORTS: [(MailProtocol, u16, TlsMode); 8] = [
    (MailProtocol::Imap, 993, TlsMode::Implicit),
    (MailProtocol::Imap, 143, TlsMode::StartTls),
    (MailProtocol::Pop3, 995, TlsMode::Implicit),
    (MailProtocol::Pop3, 110, TlsMode::StartTls),
    (MailProtocol::Jmap, 443, TlsMode::Implicit),
    (MailProtocol::Smtp, 465, TlsMode::Implicit),
    (MailProtocol::Smtp, 587, TlsMode::StartTls),
    (MailProtocol::Smtp, 25, TlsMode::StartTls),
];

/// The usual names in a domain that have an address, with all ports; the name `smtp` is for SMTP alone, and `imap`
/// and `pop` are not.
pub async fn usual_names(domain: &str, deadline: Instant) -> Vec<Offer> {
    let mut offers = Vec::new();
    for (name, protocols) in [
        ("imap", &[MailProtocol::Imap][..]),
        ("mail", &[MailProtocol::Imap, MailProtocol::Pop3, MailProtocol::Smtp]),
        ("smtp", &[MailProtocol::Smtp]),
        ("pop", &[MailProtocol::Pop3]),
    ] {
        let host = format!("{name}.{domain}");
        if net::addresses(&host, 25, IpFamily::Any, deadline).await.is_ok() {
            offers.extend(at(&host, protocols));
        }
    }
    offers
}

/// Where JMAP may be of a domain that does not say it: the names `jmap` and `mail` and the domain itself, as far as they
/// have an address, and `hosts`, where other servers of the domain are.
pub async fn jmap(domain: &str, hosts: &[String], deadline: Instant) -> Vec<Offer> {
    let mut offers = Vec::new();
    for host in [format!("jmap.{domain}"), format!("mail.{domain}"), domain.to_owned()] {
        if net::addresses(&host, 443, IpFamily::Any, deadline).await.is_ok() {
            offers.extend(at(&host, &[MailProtocol::Jmap]));
        }
    }
    offers.extend(hosts.iter().flat_map(|host| at(host, &[MailProtocol::Jmap])));
    offers
}

/// The two hosts that the domain prefers for its mail, with all ports.
///
/// # Errors
/// Those of [`Resolver::exchangers`]; the message is fit to be shown.
pub async fn exchangers(
    resolver: &Resolver,
    domain: &str,
    end: Instant,
) -> Result<Vec<Offer>, Fault> {
    let found = resolver.exchangers(domain, end).await.map_err(|fault| {
        let message = shown(fault.message.as_bytes());
        Fault { message, ..fault }
    })?;
    let mut hosts: Vec<String> =
        found.list.iter().filter_map(|exchanger| host_name(&exchanger.host)).collect();
    if found.list.is_empty() && found.has_name {
        // It is its own (RFC 5321 section 5.1).
        hosts.push(domain.to_owned());
    }
    let all = [MailProtocol::Imap, MailProtocol::Pop3, MailProtocol::Smtp];
    Ok(hosts.iter().take(EXCHANGERS).flat_map(|host| at(host, &all)).collect())
}

fn at(host: &str, protocols: &[MailProtocol]) -> Vec<Offer> {
    let ports = PORTS.iter().filter(|(protocol, ..)| protocols.contains(protocol));
    ports.map(|(protocol, port, tls)| Offer::new(*protocol, host, *port, *tls)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_tried_at_the_ports_of_its_protocols() {
        let ports = |protocols: &[MailProtocol]| -> Vec<u16> {
            at("a.example", protocols).iter().map(|offer| offer.port).collect()
        };
        assert_eq!(ports(&[MailProtocol::Smtp]), [465, 587, 25]);
        assert_eq!(ports(&[MailProtocol::Imap, MailProtocol::Pop3]), [993, 143, 995, 110]);
        assert_eq!(ports(&[MailProtocol::Jmap]), [443]);
        assert!(PORTS.iter().all(|(.., tls)| *tls != TlsMode::None));
    }
}
