//! One mail server of the world: an SMTP server, a mailbox, and the target that tests them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use testserver::faults::{self, Fault};
use testserver::{Options, Post, Protocol, Server, ServerTls};

use crate::clock::Clock;
use crate::fate::Fate;
use crate::network::{Network, Way};
use crate::trouble::Place;

/// Mail of somebody else in the mailbox, which nobody may touch.
const FOREIGN: &[u8] = b"From: boss@example.test\r\nSubject: not a test\r\n\r\nhands off\r\n";

/// How reports begin that a mail could not be delivered.
pub const REPORT: &str =
    "From: MAILER-DAEMON@relay.test\r\nSubject: Undelivered Mail Returned to Sender\r\n";

/// A mail server, and what its target is called and configured with.
pub struct Site {
    /// Its number, from 0 on.
    pub number: usize,
    /// What it is.
    pub fate: Fate,
    /// The name of the target.
    pub user: String,
    /// The number of the site whose mailbox its mail comes into: its own, or the one before.
    pub owner: usize,
    /// The user whose mailbox that is.
    pub account: String,
    /// The right password.
    pub password: String,
    /// The mail that lies there.
    pub post: Post,
    /// Where it is reached.
    pub network: Network,
    has_tls: bool,
    smtp: Arc<Server>,
    mailbox: Arc<Server>,
}

impl Site {
    /// The site that comes after those that there are, with TLS if it has a certificate.
    pub fn new(
        fate: Fate,
        before: &[Site],
        (network, clock): (&Network, &Clock),
        tls: Option<&ServerTls>,
    ) -> Self {
        let number = before.len();
        let options = || tls.map_or_else(Options::new, |tls| Options::new().starttls(tls));
        let owner = before.last().filter(|_| fate.shares);
        let account = owner.map_or_else(|| name(number), |owner| owner.account.clone());
        let post = owner.map_or_else(Post::new, |owner| owner.post.clone());
        let password = format!("secret-of-{account}");
        let protocol = if fate.is_pop3 { Protocol::Pop3 } else { Protocol::Imap };
        let mailbox = owner.map_or_else(
            || Arc::new(Server::without_port(protocol, &post, options())),
            |owner| Arc::clone(&owner.mailbox),
        );
        let site = Self {
            number,
            fate,
            user: name(number),
            owner: owner.map_or(number, |owner| owner.number),
            account,
            password,
            smtp: Arc::new(Server::without_port(Protocol::Smtp, &post, options())),
            post,
            network: network.clone(),
            has_tls: tls.is_some(),
            mailbox,
        };
        site.open(clock);
        site
    }

    fn open(&self, clock: &Clock) {
        let Self { post, account, password, number, .. } = self;
        if self.is_owner() {
            let dates = clock.clone();
            post.set_clock(move || dates.true_time());
            // The other is that of the site after this one, if that has no mailbox of its own.
            let addresses = [*number, number + 1].map(|it| format!("rita@{}.test", name(it)));
            post.add_account(account, password, &addresses.each_ref().map(String::as_str));
            self.receive_foreign();
        }
        let places = [Place::Send, Place::Receive].into_iter();
        for place in places.filter(|place| self.is_owner() || *place == Place::Send) {
            self.network.name(&self.host(place), self.address(place).ip());
            for address in [self.address(place), self.other_address(place)] {
                self.network.listen(address, Arc::clone(self.server(place)));
                self.network.change_way(address, |way| way.latency = self.fate.latency);
            }
        }
    }

    /// Whether the mailbox is its own.
    pub fn is_owner(&self) -> bool {
        self.owner == self.number
    }

    /// A mail of somebody else arrives; some readers have all marked as deleted, and may still want them back.
    pub fn receive_foreign(&self) {
        let flags: &[&str] = if self.fate.has_deleted { &["\\Deleted"] } else { &[] };
        self.post.insert_flagged(&self.account, "INBOX", FOREIGN, flags);
    }

    /// A report that a mail with this header could not be delivered.
    pub fn receive_report(&self, header: &str) {
        let report = format!(
            "{REPORT}Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=\"part\"\r\n\r\n\
             --part\r\nContent-Type: text/plain\r\n\r\nIt was not delivered.\r\n\
             --part\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.test\r\n\r\n\
             Final-Recipient: rfc822; rita@{}.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n\
             --part\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n--part--\r\n",
            self.user
        );
        self.post.insert(&self.account, "INBOX", report.as_bytes());
    }

    /// The session of a host that lost its power still holds the mailbox when the next one comes.
    pub fn is_still_locked(&self) {
        let fault = Fault::reply("-ERR [IN-USE] maildrop is locked by another session");
        self.mailbox.faults().times(1, faults::CREDENTIALS, fault);
    }

    /// The name of the host at this place.
    pub fn host(&self, place: Place) -> String {
        match place {
            Place::Receive => format!("mailbox.{}.test", self.account),
            Place::Send | Place::Delivery => format!("smtp.{}.test", self.user),
        }
    }

    /// The server at this place.
    pub fn server(&self, place: Place) -> &Arc<Server> {
        if place == Place::Receive { &self.mailbox } else { &self.smtp }
    }

    /// Where that listens.
    pub fn address(&self, place: Place) -> SocketAddr {
        self.address_with(place, 0)
    }

    /// Where that listens as well.
    pub fn other_address(&self, place: Place) -> SocketAddr {
        self.address_with(place, 10)
    }

    fn address_with(&self, place: Place, more: u8) -> SocketAddr {
        let (number, last, port) = match (place, self.fate.is_pop3) {
            (Place::Receive, false) => (self.owner, 2, 143),
            (Place::Receive, true) => (self.owner, 2, 110),
            (Place::Send | Place::Delivery, _) => (self.number, 1, 25),
        };
        let [.., high, low] = number.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, high, low, last + more)), port)
    }

    /// Changes the way to that.
    pub fn change_way(&self, place: Place, change: impl FnOnce(&mut Way)) {
        self.network.change_way(self.address(place), change);
    }

    /// The target as the configuration has it, with this period.
    pub fn target(&self, interval_minutes: u32) -> String {
        let Self { user, account, password, fate, .. } = self;
        let (smtp, mailbox) = (self.host(Place::Send), self.host(Place::Receive));
        let protocol = if fate.is_pop3 { "pop3" } else { "imap" };
        let Fate { is_passive, checks_ports, messages, .. } = fate;
        let tls = match self.has_tls {
            true => "tls: starttls, tls_options: {insecure_skip_verify: true}",
            false => "tls: none",
        };
        format!(
            "- {{name: {user}, from: sam@{user}.test, to: rita@{user}.test, passive: {is_passive}, \
             interval: {interval_minutes}m, port_checks: {checks_ports}, messages: {messages}, \
             send: {{host: {smtp}, {tls}}}, receive: {{host: {mailbox}, protocol: {protocol}, \
             {tls}, username: {account}, password: {password}}}}}\n"
        )
    }
}

/// The name of the target of the site with this number.
pub fn name(number: usize) -> String {
    format!("t{number:02}")
}
