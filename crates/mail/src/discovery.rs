//! Finding the servers of a mail address: what its domain says of them in the DNS and in a file, what they may be
//! called if it says nothing, and which of them lets a client come as far as the login.
//!
//! Nothing here sends a password but [`log_in`], and that not before the server's certificate was accepted: there is
//! no way to an offer without TLS.

use std::fmt;

use lettre::Address;

use crate::net::is_within;
use crate::options::{BracketedHost, Endpoint, TlsMode};

pub mod autoconfig;
pub mod guess;
mod reach;
pub mod services;

pub use crate::jmap::{Entry, Site};
pub use reach::{Welcome, log_in, reach};

/// What a server speaks to the programs of its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MailProtocol {
    /// Mail is handed over.
    Smtp,
    /// Mail is read.
    Imap,
    /// Mail is read, from one folder.
    Pop3,
    /// Mail is read, over HTTPS.
    Jmap,
}

impl MailProtocol {
    /// The word of the configuration, and of people.
    pub fn label(self) -> &'static str {
        match self {
            MailProtocol::Smtp => "smtp",
            MailProtocol::Imap => "imap",
            MailProtocol::Pop3 => "pop3",
            MailProtocol::Jmap => "jmap",
        }
    }
}

/// A server that somebody names for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What it speaks.
    pub protocol: MailProtocol,
    /// Its name in ASCII and lower case, without a final dot.
    pub host: String,
    /// Its TCP port, never 0.
    pub port: u16,
    /// How the connection is protected; never [`TlsMode::None`].
    pub tls: TlsMode,
    /// The user name that goes with the address there, if that is said.
    pub username: Option<String>,
    /// Whether it is said that it takes no password.
    pub takes_no_password: bool,
}

impl Offer {
    /// One of which nothing else is known.
    pub fn new(protocol: MailProtocol, host: impl Into<String>, port: u16, tls: TlsMode) -> Self {
        let host = host.into();
        Self { protocol, host, port, tls, username: None, takes_no_password: false }
    }

    /// Where it is; the options of TLS are the default.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.host.clone(), self.port, self.tls)
    }

    /// Whether mail is read there; else it is handed over.
    pub fn is_mailbox(&self) -> bool {
        self.protocol != MailProtocol::Smtp
    }

    /// Whether the host is the domain or below it.
    pub fn is_of(&self, domain: &str) -> bool {
        is_within(&self.host, domain)
    }

    /// The other server to which this one sends its clients, as an offer: where it is at the same host, or of the
    /// domain. No other may be shown what the user gives: neither the DNS nor the user has named it.
    pub fn moved(&self, site: &Site, domain: &str) -> Option<Self> {
        let Site { host, port } = site;
        let is_near = *host == self.host || is_within(host, domain);
        let username = self.username.clone();
        let moved = Self { username, ..Self::new(self.protocol, host, *port, TlsMode::Implicit) };
        is_near.then_some(moved)
    }

    /// The least is the strongest: IMAP before POP3, which shows less, and both before JMAP; TLS from the first byte before TLS by command
    /// (RFC 8314 section 3); the port for the mail of users before that between servers.
    fn weakness(&self) -> (MailProtocol, bool, bool) {
        (self.protocol, self.tls != TlsMode::Implicit, self.port == 25)
    }
}

/// For people: `imap mail.example.com:993, TLS`.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = self.protocol.label();
        let tls = match self.tls {
            TlsMode::Implicit => "TLS",
            TlsMode::StartTls => "STARTTLS",
            TlsMode::None => "no TLS",
        };
        write!(f, "{protocol} {}:{}, {tls}", BracketedHost(&self.host), self.port)
    }
}

/// The strongest first; those alike stay in their order. Of one server named twice the first is kept, and `most` are
/// left at most.
pub fn in_order(mut offers: Vec<Offer>, most: usize) -> Vec<Offer> {
    offers.sort_by_key(Offer::weakness);
    let mut kept: Vec<Offer> = Vec::new();
    for offer in offers {
        let is_same = |known: &Offer| {
            (known.protocol, known.port, known.tls) == (offer.protocol, offer.port, offer.tls)
                && known.host == offer.host
        };
        let is_room = kept.len() < most;
        match kept.iter_mut().find(|known| is_same(known)) {
            // One for tokens and one for passwords: it takes passwords.
            Some(known) => known.takes_no_password &= offer.takes_no_password,
            None if is_room => kept.push(offer),
            None => {}
        }
    }
    kept
}

/// The user names that an address may have, the likeliest first, two at most: servers lock an account, or an address
/// out, after a few logins in vain. Those that somebody has named come first.
pub fn usernames<'a>(named: impl IntoIterator<Item = &'a str>, address: &Address) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let usual = [address.to_string(), address.user().to_owned()];
    for name in named.into_iter().map(str::to_owned).chain(usual) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(2);
    names
}

/// The name of a host as it stands in foreign data, if it is one: in lower case, without the final dot. Addresses are
/// none: no certificate of a mail server is for one.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=63).contains(&label.len())
            && label.chars().all(is_word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_name = name.len() <= 253
        && name.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit());
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_comes_first_and_none_twice() {
        let offer = |protocol, port, tls| Offer::new(protocol, "mail.example.com", port, tls);
        let offers = vec![
            offer(MailProtocol::Jmap, 443, TlsMode::Implicit),
            offer(MailProtocol::Smtp, 25, TlsMode::StartTls),
            offer(MailProtocol::Pop3, 995, TlsMode::Implicit),
            offer(MailProtocol::Imap, 143, TlsMode::StartTls),
            offer(MailProtocol::Smtp, 587, TlsMode::StartTls),
            offer(MailProtocol::Imap, 993, TlsMode::Implicit),
            offer(MailProtocol::Imap, 993, TlsMode::Implicit),
            offer(MailProtocol::Pop3, 110, TlsMode::StartTls),
            offer(MailProtocol::Smtp, 465, TlsMode::Implicit),
        ];
        let ports = |mailbox: bool| -> Vec<u16> {
            let sorted = in_order(offers.clone(), 20).into_iter();
            sorted.filter(|offer| offer.is_mailbox() == mailbox).map(|offer| offer.port).collect()
        };
        assert_eq!(ports(true), [993, 143, 995, 110, 443]);
        assert_eq!(ports(false), [465, 587, 25]);
        assert_eq!(in_order(offers.clone(), 2).len(), 2);
    }

    #[test]
    fn a_server_named_for_tokens_and_for_passwords_takes_passwords() {
        let password = Offer::new(MailProtocol::Imap, "mail.example.com", 993, TlsMode::Implicit);
        let token = Offer { takes_no_password: true, ..password.clone() };
        assert_eq!(in_order(vec![token.clone(), password.clone()], 9), [password]);
        assert_eq!(in_order(vec![token.clone(), token.clone()], 9), [token]);
    }

    #[test]
    fn a_host_is_of_its_domain_only() {
        for (host, is_of) in [
            ("example.com", true),
            ("mail.example.com", true),
            ("notexample.com", false),
            ("example.com.evil.test", false),
            ("com", false),
            ("ümail.example.com", true),
        ] {
            let offer = Offer::new(MailProtocol::Imap, host, 993, TlsMode::Implicit);
            assert_eq!(offer.is_of("Example.com"), is_of, "{host}");
        }
    }

    #[test]
    fn a_server_leads_to_its_own_host_and_domain_alone() {
        let offer = Offer::new(MailProtocol::Jmap, "api.hoster.test", 443, TlsMode::Implicit);
        for (host, port, leads) in [
            ("api.hoster.test", 8443, true),
            ("jmap.example.com", 443, true),
            ("example.com", 443, true),
            ("other.hoster.test", 443, false),
            ("notexample.com", 443, false),
            ("example.com.evil.test", 443, false),
        ] {
            let site = Site { host: host.to_owned(), port };
            let moved = offer.moved(&site, "example.com").map(|it| (it.host, it.port, it.tls));
            let there = (host.to_owned(), port, TlsMode::Implicit);
            assert_eq!(moved, leads.then_some(there), "{host}");
        }
    }

    #[test]
    fn two_user_names_are_tried_at_most() {
        let address: Address = "rita@example.com".parse().unwrap();
        assert_eq!(usernames(None, &address), ["rita@example.com", "rita"]);
        assert_eq!(usernames(Some("r17"), &address), ["r17", "rita@example.com"]);
        assert_eq!(usernames(Some("rita"), &address), ["rita", "rita@example.com"]);
        assert_eq!(usernames(["r17", "rita"], &address), ["r17", "rita"]);
        assert_eq!(usernames(["rita", "rita"], &address), ["rita", "rita@example.com"]);
    }

    #[test]
    fn a_host_in_foreign_data_is_a_name_or_nothing() {
        assert_eq!(host_name("IMAP.Example.com.").as_deref(), Some("imap.example.com"));
        for text in ["", ".", "a..b", "192.0.2.1", "::1", "a b", "-a.example", "a\nb", "ä.example"]
        {
            assert_eq!(host_name(text), None, "{text:?}");
        }
    }
}
