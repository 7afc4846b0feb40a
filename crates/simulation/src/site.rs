//! One mail server of the world: an SMTP server, a mailbox, and the target that tests them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use testserver::{Options, Post, Protocol, Server, ServerTls};

use crate::clock::Clock;
use crate::network::{Network, Way};
use crate::plan::Fate;
use crate::trouble::Place;

/// Mail of somebody else in the mailbox, which nobody may touch.
const FOREIGN: &[u8] = b"From: boss@example.test\r\nSubject: not a test\r\n\r\nhands off\r\n";

/// A mail server, and what its target is called and configured with.
pub struct Site {
    /// Its number, from 0 on.
    pub number: usize,
    /// The name of the target, and the user whose mailbox it is.
    pub user: String,
    /// The right password.
    pub password: String,
    /// The mail that lies there.
    pub post: Post,
    /// Whether nothing ever goes wrong with it.
    pub is_calm: bool,
    /// Whether its target is passive.
    pub is_passive: bool,
    /// Whether the mailbox is one of POP3.
    pub is_pop3: bool,
    /// How long a byte is under way to it when nothing is wrong.
    pub latency: Duration,
    /// Where it is reached.
    pub network: Network,
    has_tls: bool,
    smtp: Arc<Server>,
    mailbox: Arc<Server>,
}

impl Site {
    /// The site of this number, with TLS if it has a certificate. Every fifth is calm, every sixth passive, every third POP3.
    pub fn new(number: usize, network: &Network, clock: &Clock, tls: Option<&ServerTls>) -> Self {
        let (user, password) = (format!("t{number:02}"), format!("secret-{number:02}"));
        let post = Post::new();
        let dates = clock.clone();
        post.set_clock(move || dates.true_time());
        let address = format!("rita@{user}.test");
        post.add_account(&user, &password, &[&address]);
        post.insert(&user, "INBOX", FOREIGN);
        let Fate { is_calm, is_pop3 } = Self::fate(number);
        let protocol = if is_pop3 { Protocol::Pop3 } else { Protocol::Imap };
        let options = || tls.map_or_else(Options::new, |tls| Options::new().starttls(tls));
        let smtp = Arc::new(Server::without_port(Protocol::Smtp, &post, options()));
        let mailbox = Arc::new(Server::without_port(protocol, &post, options()));
        let latency = Duration::from_millis(match number % 4 {
            0 => 1,
            1 => 4,
            2 => 20,
            _ => 80,
        });
        let site = Self {
            number,
            user,
            password,
            post,
            is_calm,
            is_passive: number % 6 == 1,
            is_pop3,
            latency,
            network: network.clone(),
            has_tls: tls.is_some(),
            smtp,
            mailbox,
        };
        for place in [Place::Send, Place::Receive] {
            network.name(&site.host(place), site.address(place).ip());
            network.listen(site.address(place), Arc::clone(site.server(place)));
            site.change_way(place, |way| way.latency = latency);
        }
        site
    }

    /// What the site of this number is.
    pub fn fate(number: usize) -> Fate {
        Fate { is_calm: number.is_multiple_of(5), is_pop3: number % 3 == 2 }
    }

    /// A mail of somebody else arrives.
    pub fn receive_foreign(&self) {
        self.post.insert(&self.user, "INBOX", FOREIGN);
    }

    /// The name of the host at this place.
    pub fn host(&self, place: Place) -> String {
        let service = if place == Place::Send { "smtp" } else { "mailbox" };
        format!("{service}.{}.test", self.user)
    }

    /// The server at this place.
    pub fn server(&self, place: Place) -> &Arc<Server> {
        if place == Place::Send { &self.smtp } else { &self.mailbox }
    }

    /// Where that listens.
    pub fn address(&self, place: Place) -> SocketAddr {
        let (last, port) = match (place, self.is_pop3) {
            (Place::Send, _) => (1, 25),
            (_, false) => (2, 143),
            (_, true) => (2, 110),
        };
        let [.., high, low] = self.number.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, low, last)), port)
    }

    /// Changes the way to that.
    pub fn change_way(&self, place: Place, change: impl FnOnce(&mut Way)) {
        self.network.change_way(self.address(place), change);
    }

    /// The target as the configuration has it, with this period.
    pub fn target(&self, interval_minutes: u32) -> String {
        let Self { user, password, .. } = self;
        let (smtp, mailbox) = (self.host(Place::Send), self.host(Place::Receive));
        let protocol = if self.is_pop3 { "pop3" } else { "imap" };
        let passive = self.is_passive;
        let tls = match self.has_tls {
            true => "tls: starttls, tls_options: {insecure_skip_verify: true}",
            false => "tls: none",
        };
        let checks_ports = self.number.is_multiple_of(4);
        format!(
            "- {{name: {user}, from: sam@{user}.test, to: rita@{user}.test, passive: {passive}, \
             interval: {interval_minutes}m, port_checks: {checks_ports}, \
             send: {{host: {smtp}, {tls}}}, receive: {{host: {mailbox}, protocol: {protocol}, \
             {tls}, username: {user}, password: {password}}}}}\n"
        )
    }
}
