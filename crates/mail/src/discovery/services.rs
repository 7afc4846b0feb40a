//! What a domain says in the DNS of where its mail servers are: SRV records (RFC 6186 section 3, RFC 8314 section 5.1,
//! RFC 8620 section 2.2).
//!
//! Whoever can forge an answer of the DNS leads anywhere: where a password may go is to be asked of a person (RFC 6186
//! section 6).

use tokio::time::Instant;

use super::{MailProtocol, Offer, host_name};
use crate::Fault;
use crate::net::records::{Resolver, Service};
use crate::options::TlsMode;
use crate::text::shown;

/// The services, by their names in the DNS.
const SERVICES: [(&str, MailProtocol, TlsMode); 7] = [
    ("_imaps", MailProtocol::Imap, TlsMode::Implicit),
    ("_imap", MailProtocol::Imap, TlsMode::StartTls),
    ("_pop3s", MailProtocol::Pop3, TlsMode::Implicit),
    ("_pop3", MailProtocol::Pop3, TlsMode::StartTls),
    ("_submissions", MailProtocol::Smtp, TlsMode::Implicit),
    ("_submission", MailProtocol::Smtp, TlsMode::StartTls),
    ("_jmap", MailProtocol::Jmap, TlsMode::Implicit),
];

/// How many servers of one service are taken.
const SERVERS: usize = 4;

/// What is said of all services of a domain.
#[derive(Debug, Default)]
pub struct Announced {
    /// The servers, those of one service in the order in which they are to be tried.
    pub offers: Vec<Offer>,
    /// The services of which the domain says that it does not offer them.
    pub absent: Vec<(MailProtocol, TlsMode)>,
    /// Why it is not known of a service whether it is announced, fit to be shown; that of the first.
    pub fault: Option<Fault>,
}

impl Announced {
    /// What the servers of TLS by command may have beside it, at the usual ports: a domain that knows RFC 6186 alone has
    /// no name for submission by TLS from the first byte. Only for services of which the domain says nothing.
    pub fn with_tls_from_the_start(&self) -> Vec<Offer> {
        let by_command = self.offers.iter().filter(|offer| offer.tls == TlsMode::StartTls);
        let implicit = by_command.map(|offer| {
            let port = match offer.protocol {
                MailProtocol::Imap => 993,
                MailProtocol::Pop3 => 995,
                MailProtocol::Smtp => 465,
                MailProtocol::Jmap => 443,
            };
            Offer::new(offer.protocol, offer.host.clone(), port, TlsMode::Implicit)
        });
        let is_unsaid = |offer: &Offer| {
            let is_named = |it: &Offer| (it.protocol, it.tls) == (offer.protocol, offer.tls);
            !self.denies(offer) && !self.offers.iter().any(is_named)
        };
        implicit.filter(is_unsaid).collect()
    }

    /// Whether the domain says that it has no service such as this.
    pub fn denies(&self, offer: &Offer) -> bool {
        self.absent.contains(&(offer.protocol, offer.tls))
    }
}

/// Asks for all services of `domain`, a name in ASCII, at one time, until `end`.
pub async fn announced(resolver: &Resolver, domain: &str, end: Instant) -> Announced {
    let ask = async |(name, protocol, tls): (&str, MailProtocol, TlsMode)| {
        let name = format!("{name}._tcp.{domain}");
        (protocol, tls, resolver.services(&name, end).await)
    };
    let [a, b, c, d, e, f, g] = SERVICES;
    let (a, b, c, d, e, f, g) =
        tokio::join!(ask(a), ask(b), ask(c), ask(d), ask(e), ask(f), ask(g));
    let mut announced = Announced::default();
    for (protocol, tls, outcome) in [a, b, c, d, e, f, g] {
        match outcome {
            Ok(records) => announced.take(protocol, tls, &records.list),
            Err(fault) if announced.fault.is_none() => {
                let message = shown(fault.message.as_bytes());
                announced.fault = Some(Fault { message, ..fault });
            }
            Err(_) => {}
        }
    }
    announced
}

impl Announced {
    fn take(&mut self, protocol: MailProtocol, tls: TlsMode, services: &[Service]) {
        if !services.is_empty() && services.iter().all(|service| service.host.is_empty()) {
            self.absent.push((protocol, tls));
        }
        let offers = services.iter().filter(|service| service.port != 0).filter_map(|service| {
            Some(Offer::new(protocol, host_name(&service.host)?, service.port, tls))
        });
        self.offers.extend(offers.take(SERVERS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(port: u16, host: &str) -> Service {
        Service { priority: 0, weight: 0, port, host: host.to_owned() }
    }

    #[test]
    fn servers_are_taken_in_their_order_and_a_dot_means_none() {
        let mut announced = Announced::default();
        announced.take(MailProtocol::Imap, TlsMode::Implicit, &[service(993, "a.example")]);
        announced.take(MailProtocol::Pop3, TlsMode::Implicit, &[service(0, "")]);
        announced.take(MailProtocol::Pop3, TlsMode::StartTls, &[]);
        let many: Vec<Service> = (1..9).map(|port| service(port, "b.example")).collect();
        announced.take(MailProtocol::Smtp, TlsMode::Implicit, &many);
        let ports: Vec<u16> = announced.offers.iter().map(|offer| offer.port).collect();
        assert_eq!(ports, [993, 1, 2, 3, 4]);
        let pop3 = |tls| Offer::new(MailProtocol::Pop3, "c.example", 995, tls);
        assert!(announced.denies(&pop3(TlsMode::Implicit)));
        assert!(!announced.denies(&pop3(TlsMode::StartTls)));
    }

    #[test]
    fn a_server_by_command_may_have_tls_from_the_start_unless_it_is_said() {
        let mut announced = Announced::default();
        announced.take(MailProtocol::Imap, TlsMode::StartTls, &[service(143, "a.example")]);
        announced.take(MailProtocol::Pop3, TlsMode::Implicit, &[service(0, "")]);
        announced.take(MailProtocol::Pop3, TlsMode::StartTls, &[service(110, "a.example")]);
        announced.take(MailProtocol::Smtp, TlsMode::StartTls, &[service(587, "b.example")]);
        let implicit = |protocol, host, port| Offer::new(protocol, host, port, TlsMode::Implicit);
        let imaps = implicit(MailProtocol::Imap, "a.example", 993);
        let submissions = implicit(MailProtocol::Smtp, "b.example", 465);
        assert_eq!(announced.with_tls_from_the_start(), [imaps.clone(), submissions]);
        announced.take(MailProtocol::Smtp, TlsMode::Implicit, &[service(4650, "c.example")]);
        assert_eq!(announced.with_tls_from_the_start(), [imaps]);
    }

    #[test]
    fn what_is_no_host_is_no_server() {
        let mut announced = Announced::default();
        let odd = [service(993, "a b.example"), service(993, "\u{202e}"), service(0, "a.example")];
        announced.take(MailProtocol::Imap, TlsMode::Implicit, &odd);
        assert_eq!(announced.offers, []);
    }
}
