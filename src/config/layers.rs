//! The checks of the layers below the mail service: `ping`, `ports`, `port_checks`, `port_timeout`.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use mail::options::{BracketedHost, without_final_dot};

use super::reference::Home;
use super::section::{Level, Place, Report, Section};
use super::{Endpoint, IpFamily, Protocol, Service, Spoken, Target, TlsMode, value};
use crate::config::yaml::Node;

/// One TCP port to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortCheck {
    /// The label `port_name`, unique in the target.
    pub name: String,
    /// A host name in lower case, or an address without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
    /// Which addresses of the host are tried.
    pub ip_family: IpFamily,
    /// Whose port it is, if it is that of a side: then the connections of that side tell of it.
    pub owner: Option<Owner>,
    /// What is spoken there, as far as that is known.
    pub service: Option<Service>,
}

/// The side of a target whose port is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The SMTP server.
    Send,
    /// The mailbox.
    Receive,
}

impl PortCheck {
    /// Whether it is the port of a side, and not listed under `ports`.
    pub fn is_of_side(&self) -> bool {
        NAMES_OF_SIDES.contains(&self.name.as_str())
    }
}

impl fmt::Display for PortCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", BracketedHost(&self.host), self.port)
    }
}

/// `ping`: ICMP echo requests to the host of a target (RFC 792, RFC 4443), some in each period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingCheck {
    /// A host name in lower case, or an address without brackets.
    pub host: String,
    /// Which addresses of the host may be asked.
    pub ip_family: IpFamily,
    /// How many requests are sent in a period, from 1 to 100.
    pub packets: u16,
    /// The bytes of data in each, from 16 to 9000, as `ping -s` counts them.
    pub size: u16,
    /// The time from one request to the next.
    pub interval: Duration,
    /// How long the reply to one request may take; what comes later does not count.
    pub timeout: Duration,
}

impl PingCheck {
    /// The longest time that the requests of one period and the wait for their replies take.
    pub fn longest(&self) -> Duration {
        self.interval * u32::from(self.packets.saturating_sub(1)) + self.timeout
    }
}

impl Target {
    /// Every TCP port that is checked: that of the send side under the name `send`, that of the
    /// receive side under `receive`, and the listed ones. Where a listed one is the port of a side,
    /// it is checked once, under the name it has in the list. Which hosts stand behind an MX is known
    /// only when a mail is sent: they are not checked. None where `port_checks` is false.
    pub fn port_checks(&self) -> Vec<PortCheck> {
        if !self.checks_ports {
            return Vec::new();
        }
        let sides = [Owner::Send, Owner::Receive].map(|owner| self.port_of(owner));
        let is_same = |a: &PortCheck, b: &PortCheck| {
            without_final_dot(&a.host) == without_final_dot(&b.host) && a.port == b.port
        };
        let is_listed = |side: &&PortCheck| self.ports.iter().any(|listed| is_same(side, listed));
        let of_sides = sides.iter().flatten().filter(|side| !is_listed(side)).cloned();
        let listed = self.ports.iter().map(|listed| {
            let side = sides.iter().flatten().find(|side| is_same(side, listed));
            let owner = side.filter(|it| it.ip_family == listed.ip_family).and_then(|it| it.owner);
            let service = side.map_or(listed.service, |side| side.service);
            PortCheck { owner, service, ..listed.clone() }
        });
        of_sides.chain(listed).collect()
    }

    /// The port of a side; `None` by MX.
    fn port_of(&self, owner: Owner) -> Option<PortCheck> {
        let (name, endpoint, protocol) = match owner {
            Owner::Send => ("send", &self.send.endpoint, Some(Spoken::Smtp)),
            Owner::Receive => {
                let receive = self.receive.as_ref()?;
                let protocol = match receive.protocol {
                    Protocol::Imap { .. } => Some(Spoken::Imap),
                    Protocol::Pop3 => Some(Spoken::Pop3),
                    // HTTP has neither a greeting nor a farewell.
                    Protocol::Jmap { .. } => None,
                };
                ("receive", &receive.endpoint, protocol)
            }
        };
        let Endpoint { host, port, tls, ip_family, mx, .. } = endpoint;
        let begins_with_tls = *tls == TlsMode::Implicit;
        (!mx).then(|| PortCheck {
            name: name.to_owned(),
            host: host.clone(),
            port: *port,
            ip_family: *ip_family,
            owner: Some(owner),
            service: protocol.map(|protocol| Service { protocol, begins_with_tls }),
        })
    }
}

pub(super) const PACKETS: u16 = 5;
pub(super) const PACKET_COUNTS: RangeInclusive<u16> = 1..=100;
pub(super) const SIZE: u16 = 56;
pub(super) const SIZES: RangeInclusive<u16> = 16..=9000;
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(200);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Of both.
pub(super) const PING_TIMES: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(60);
pub(super) const PORT_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const PORT_TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(60);

/// The names under which the ports of both sides are checked.
const NAMES_OF_SIDES: [&str; 2] = ["send", "receive"];

/// The host that is checked where an entry names no other.
#[derive(Clone, Copy)]
pub(super) struct Host<'a> {
    /// `None`: it is missing, or not good.
    pub(super) name: Option<&'a str>,
    /// Which of its addresses are tried.
    pub(super) ip_family: IpFamily,
}

/// `ping`: `true`, `false`, or a map that says how.
pub(super) fn ping(
    section: &Section<'_>,
    host: Host<'_>,
    report: &mut Report,
) -> Option<PingCheck> {
    let written = section.switch("ping", report)?;
    written.check_keys(Home::Ping, report);
    let packets = written.read("packets", report, value::integer(PACKET_COUNTS));
    let size = written.read("size", report, value::integer(SIZES));
    let interval = written.read("interval", report, value::duration(PING_TIMES));
    let timeout = written.read("timeout", report, value::duration(PING_TIMES));
    if host.name.is_none() && section.find("host").is_none() {
        section.miss("host", "`ping` needs it", report);
    }
    Some(PingCheck {
        host: host.name?.to_owned(),
        ip_family: host.ip_family,
        packets: packets.unwrap_or(PACKETS),
        size: size.unwrap_or(SIZE),
        interval: interval.unwrap_or(PING_INTERVAL),
        timeout: timeout.unwrap_or(PING_TIMEOUT),
    })
}

/// `port_timeout`.
pub(super) fn port_timeout(section: &Section<'_>, report: &mut Report) -> Duration {
    section.read("port_timeout", report, value::duration(PORT_TIMEOUTS)).unwrap_or(PORT_TIMEOUT)
}

/// `port_checks`: whether ports are checked at all.
pub(super) fn are_ports_checked(section: &Section<'_>, report: &mut Report) -> bool {
    let Some(written) = section.find("port_checks") else { return true };
    let checked = report.accept(&written.place, value::boolean(written.node)).unwrap_or(true);
    if !checked && written.level == Level::Own && section.find_in(Level::Own, "ports").is_some() {
        report.add(written.place.problem("contradicts `ports`; keep one"));
    }
    checked
}

/// `ports`.
pub(super) fn ports(section: &Section<'_>, host: Host<'_>, report: &mut Report) -> Vec<PortCheck> {
    let mut names = BTreeSet::new();
    let mut checks = Vec::new();
    let items = section.find("ports").and_then(|_| section.list("ports", report));
    for (place, node) in items.unwrap_or_default() {
        let Some(entry) = report.accept(&place, PortEntry::read(node)) else { continue };
        if !names.insert(entry.name.clone()) {
            report.add(place.problem(
                "has the same name as another entry; give it a name of its \
                                      own, as web:80",
            ));
        }
        if NAMES_OF_SIDES.contains(&entry.name.as_str()) {
            let message = "`send` and `receive` are reserved for the ports of both sides, which \
                           are checked without being listed; choose another name";
            report.add(place.problem(message));
        }
        let PortEntry { name, host: own_host, port } = entry;
        match own_host.or(host.name.map(str::to_owned)) {
            Some(own_host) => {
                let ip_family = host.ip_family;
                let service = Service::at(port);
                let host = own_host;
                checks.push(PortCheck { name, host, port, ip_family, owner: None, service });
            }
            None if section.find("host").is_some() => {}
            None => miss_port_host(section, &place, report),
        }
    }
    checks
}

fn miss_port_host(section: &Section<'_>, entry: &Place<'_>, report: &mut Report) {
    let advice = format!("`{}` needs it; or write name:host:port there", entry.key);
    section.miss("host", &advice, report);
}

/// An entry of `ports` as it is written.
struct PortEntry {
    name: String,
    host: Option<String>,
    port: u16,
}

impl PortEntry {
    fn read(node: &Node) -> Result<Self, String> {
        let text = value::text(node)?;
        let form = || {
            "must be port, name:port or name:host:port, as 25, imap:143, web:host:80, \
                       web:[2001:db8::1]:80, with a port from 1 to 65535 and a name of letters, \
                       digits, - and _"
                .to_owned()
        };
        let (rest, port) = text.rsplit_once(':').unwrap_or(("", text));
        let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        let port = port.parse().ok().filter(|port: &u16| digits && *port > 0).ok_or_else(form)?;
        let (name, host) = match rest.split_once(':') {
            Some((name, host)) => (name.to_owned(), Some(value::parse_host(host)?)),
            None if rest.is_empty() && text.starts_with(':') => return Err(form()),
            None if rest.is_empty() => (port.to_string(), None),
            None => (rest.to_owned(), None),
        };
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !(1..=63).contains(&name.len()) || !name.chars().all(word) {
            return Err(form());
        }
        Ok(Self { name, host, port })
    }
}
