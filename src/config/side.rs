//! The two sides of a target and the sender's own mailbox: where the server is, how the connection is protected, who logs in.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use lettre::Address;

use super::reference::Home;
use super::section::{Found, Level, Report, Section};
use super::source::Sources;
use super::wants::expect;
use super::{Endpoint, Folder, IpFamily, PemFile, Protocol, ReceiveSide, SendSide};
use super::{TlsMode, TlsOptions, TlsVersion, login, value};
use crate::config::yaml::Node;

/// The words of `ip_family`.
pub(super) const IP_FAMILIES: [(&str, IpFamily); 3] =
    [("any", IpFamily::Any), ("4", IpFamily::V4), ("6", IpFamily::V6)];

pub(super) const TLS_MODES: [(&str, TlsMode); 3] =
    [("starttls", TlsMode::StartTls), ("implicit", TlsMode::Implicit), ("none", TlsMode::None)];

pub(super) const TLS_VERSIONS: [(&str, TlsVersion); 4] = [
    ("1.0", TlsVersion::Tls10),
    ("1.1", TlsVersion::Tls11),
    ("1.2", TlsVersion::Tls12),
    ("1.3", TlsVersion::Tls13),
];

/// The words of `protocol`.
pub(super) const PROTOCOLS: [(&str, Kind); 3] =
    [("imap", Kind::Imap), ("pop3", Kind::Pop3), ("jmap", Kind::Jmap)];

pub(super) const DEFAULT_MAX_CONNECTIONS: NonZeroU32 = NonZeroU32::new(10).unwrap();
pub(super) const CONNECTIONS: RangeInclusive<u32> = 1..=1000;
/// Of `min_look_interval`, which begins with its default.
pub(super) const LOOK_INTERVALS: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(24 * 3600);

/// What a target says for both of its sides.
pub(super) struct Shared<'s, 'a> {
    /// The target itself.
    pub(super) target: &'s Section<'a>,
    /// `host`, if it is there and good.
    pub(super) host: Option<String>,
    /// Whether a missing host was reported for the target as a whole, or `host` is not good.
    pub(super) host_reported: bool,
    /// `to`, if it is there and good.
    pub(super) to: Option<Address>,
    /// `ip_family`.
    pub(super) ip_family: IpFamily,
    /// `timeout`.
    pub(super) timeout: Duration,
}

/// The ports of a service.
struct Ports {
    /// Where it begins in the clear.
    clear: u16,
    implicit: u16,
    /// Whether there is a command that begins TLS.
    has_starttls: bool,
}

const SMTP: Ports = Ports { clear: 25, implicit: 465, has_starttls: true };
const IMAP: Ports = Ports { clear: 143, implicit: 993, has_starttls: true };
const POP3: Ports = Ports { clear: 110, implicit: 995, has_starttls: true };
/// Those of HTTP.
const JMAP: Ports = Ports { clear: 80, implicit: 443, has_starttls: false };

/// The ports that mean TLS from the first byte on, of whatever service (RFC 8314 section 3).
pub(super) const PORTS_WITH_TLS: [u16; 3] = [SMTP.implicit, IMAP.implicit, POP3.implicit];

/// A protocol by which a mailbox is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Imap,
    Pop3,
    Jmap,
}

/// The SMTP server; `None` with a problem reported.
pub(super) fn send(
    shared: &Shared<'_, '_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<SendSide> {
    let section = shared.target.child("send", report);
    section.check_keys(Home::Send, report);
    let mx = by_mx(&section, report);
    let endpoint = endpoint(&section, shared, &SMTP, mx.as_ref(), sources, report);
    let login = login::optional(&section, sources, report);
    if let (Some(mx), Some(Some(_))) = (&mx, &login) {
        let message =
            "does not go with `username`: an MX takes mail for its own users without a login";
        report.add(mx.place.problem(message));
    }
    let ehlo = section.read("ehlo", report, value::ehlo);
    let max_connections = section
        .read("max_connections", report, value::integer(CONNECTIONS))
        .and_then(NonZeroU32::new);
    let max_connections = max_connections.unwrap_or(DEFAULT_MAX_CONNECTIONS);
    Some(SendSide { endpoint: endpoint?, login: login?, ehlo, max_connections })
}

/// The mailbox; `None` with a problem reported, `Some(None)` where there is none and the mails must be refused.
pub(super) fn receive(
    shared: &Shared<'_, '_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Option<ReceiveSide>> {
    // What the defaults say of mailboxes is for targets that have one.
    let own = shared.target.find_in(Level::Own, "receive");
    if own.is_none() && expect::needs_no_mailbox(shared.target) {
        return Some(None);
    }
    if shared.target.find("receive").is_none() {
        let advice = "the mailbox, at least with `protocol`, `username` and a password";
        shared.target.miss("receive", advice, report);
        return None;
    }
    mailbox("receive", &[r"\Junk"], shared, sources, report).map(Some)
}

/// The sender's own mailbox: `Some(None)` where none is written, `None` with a problem reported.
pub(super) fn sender_mailbox(
    shared: &Shared<'_, '_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Option<Box<ReceiveSide>>> {
    if shared.target.find("sender_mailbox").is_none() {
        return Some(None);
    }
    mailbox("sender_mailbox", &[r"\Junk", r"\Sent"], shared, sources, report)
        .map(|side| Some(Box::new(side)))
}

/// The mailbox under this key. Without `folders` it is looked into the inbox and the folders of
/// these uses.
fn mailbox(
    key: &str,
    uses: &[&str],
    shared: &Shared<'_, '_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<ReceiveSide> {
    let section = shared.target.child(key, report);
    let home = if key == "receive" { Home::Receive } else { Home::SenderMailbox };
    section.check_keys(home, report);
    let kind = section.require("protocol", "imap, pop3 or jmap", report, written_protocol);
    let ports = match kind {
        Some(Kind::Pop3) => &POP3,
        Some(Kind::Jmap) => &JMAP,
        Some(Kind::Imap) | None => &IMAP,
    };
    let endpoint = endpoint(&section, shared, ports, None, sources, report);
    let login = login::required(&section, kind == Some(Kind::Jmap), sources, report);
    let protocol = protocol(&section, kind, uses, sources, report);
    let min_look_interval =
        section.read("min_look_interval", report, value::duration(LOOK_INTERVALS));
    Some(ReceiveSide {
        protocol: protocol?,
        endpoint: endpoint?,
        login: login?,
        min_look_interval: min_look_interval.unwrap_or_default(),
    })
}

fn endpoint(
    section: &Section<'_>,
    shared: &Shared<'_, '_>,
    ports: &Ports,
    mx: Option<&Found<'_>>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Endpoint> {
    let host = match section.find("host") {
        _ if mx.is_some() => mx.and_then(|mx| domain(mx, shared, report)),
        Some(found) => report.accept(&found.place, value::host(found.node)),
        None => {
            if shared.host.is_none() && !shared.host_reported {
                section.miss("host", "write it here, or on the target for both sides", report);
            }
            shared.host.clone()
        }
    };
    let port = section.read("port", report, value::port);
    let tls = tls_mode(section, shared.target, report).unwrap_or(match port {
        Some(port) if PORTS_WITH_TLS.contains(&port) => TlsMode::Implicit,
        _ if !ports.has_starttls => TlsMode::Implicit,
        _ => TlsMode::StartTls,
    });
    if tls == TlsMode::StartTls
        && !ports.has_starttls
        && let Some(found) = section.find_in(Level::Own, "tls")
    {
        report.add(found.place.problem("jmap begins with TLS or has none: implicit or none"));
    }
    let default = if tls == TlsMode::Implicit { ports.implicit } else { ports.clear };
    let port = port.unwrap_or(default);
    let tls_options = tls_options(section, tls, sources, report);
    let tls_options = sources.shared_options(tls_options);
    let ip_family = section.read("ip_family", report, value::choice(&IP_FAMILIES));
    Some(Endpoint {
        host: host?,
        mx: mx.is_some(),
        port,
        tls,
        tls_options,
        ip_family: ip_family.unwrap_or(shared.ip_family),
        timeout: shared.timeout,
    })
}

/// `mx`, if it is true.
fn by_mx<'a>(section: &Section<'a>, report: &mut Report) -> Option<Found<'a>> {
    let found = section.find("mx")?;
    let is_asked_for = report.accept(&found.place, value::boolean(found.node))?;
    if !is_asked_for || section.is_partial() {
        return None;
    }
    if let Some(host) = section.find_in(Level::Own, "host") {
        let message = format!("contradicts `host` on line {}; keep one", host.place.line);
        report.add(found.place.problem(message));
    }
    Some(found)
}

/// The domain of the recipient, in ASCII; `None` with a problem reported, if only for `to`.
fn domain(mx: &Found<'_>, shared: &Shared<'_, '_>, report: &mut Report) -> Option<String> {
    let domain = shared.to.as_ref()?.domain();
    let name = value::parse_host(domain).ok().filter(|name| name.parse::<IpAddr>().is_err());
    if name.is_none() {
        report.add(mx.place.problem(format!("needs a domain in `to`; {domain} is none")));
    }
    name
}

/// `tls` of the side or `ssl` of the target, whichever stands in the nearer layer; `None` where neither
/// is written.
fn tls_mode(side: &Section<'_>, target: &Section<'_>, report: &mut Report) -> Option<TlsMode> {
    for level in [Level::Own, Level::Defaults] {
        let ssl = target.find_in(level, "ssl");
        if let Some(tls) = side.find_in(level, "tls") {
            if let Some(ssl) = ssl {
                let message = format!("contradicts `ssl` on line {}; keep one", ssl.place.line);
                report.add(tls.place.problem(message));
            }
            let mode = report.accept(&tls.place, written_tls(tls.node));
            return Some(mode.unwrap_or(TlsMode::StartTls));
        }
        if let Some(ssl) = ssl {
            let implicit = report.accept(&ssl.place, value::boolean(ssl.node)).unwrap_or(true);
            return Some(if implicit { TlsMode::Implicit } else { TlsMode::None });
        }
    }
    None
}

/// The word of `tls`; those of other programs are told ours.
fn written_tls(node: &Node) -> Result<TlsMode, String> {
    value::choice(&TLS_MODES)(node).map_err(|message| {
        let word = value::raw(node).unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "true" | "yes" | "on" | "ssl" | "tls" | "ssl/tls" | "smtps" | "imaps" | "pop3s" => {
                format!("{message}; implicit is TLS from the first byte on")
            }
            "false" | "no" | "off" => format!("{message}; none is the one without TLS"),
            _ => message,
        }
    })
}

/// The word of `protocol`; those of other programs are told ours.
fn written_protocol(node: &Node) -> Result<Kind, String> {
    value::choice(&PROTOCOLS)(node).map_err(|message| {
        let word = value::raw(node).unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "imaps" | "pop3s" | "pops" => {
                format!("{message}; TLS from the first byte on is `tls: implicit` beside it")
            }
            _ => message,
        }
    })
}

fn tls_options(
    side: &Section<'_>,
    tls: TlsMode,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> TlsOptions {
    if tls == TlsMode::None && !side.is_partial() {
        if let Some(own) = side.find_in(Level::Own, "tls_options") {
            report.add(own.place.problem("means nothing without TLS; leave it out, or use TLS"));
        }
        return TlsOptions::default();
    }
    let section = side.child("tls_options", report);
    section.check_keys(Home::TlsOptions, report);
    let ca_file = ca_file(&section, sources, report);
    let skip_verify = section.read("insecure_skip_verify", report, value::boolean);
    let min_version = section.read("min_version", report, value::choice(&TLS_VERSIONS));
    TlsOptions {
        ca_file,
        server_name: section.read("server_name", report, value::server_name),
        insecure_skip_verify: skip_verify.unwrap_or(false),
        min_version: min_version.unwrap_or_default(),
        identity: identity(&section, sources, report),
    }
}

/// `ca_file`, read.
pub(super) fn ca_file(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<PemFile> {
    let found = section.find("ca_file")?;
    let read = |path| sources.authorities(found.place.folder(), path);
    report.accept(&found.place, value::text(found.node).and_then(read))
}

/// `cert_file` and `key_file`.
fn identity(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<super::ClientIdentity> {
    let mut pem = |found: &Found<'_>, report: &mut Report| {
        let read = |path| sources.pem(found.place.folder(), path);
        report.accept(&found.place, value::text(found.node).and_then(read))
    };
    match (section.find("cert_file"), section.find("key_file")) {
        (Some(cert), Some(key)) => {
            let files = (pem(&cert, report), pem(&key, report));
            report.accept(&cert.place, sources.identity(files.0?, files.1?))
        }
        (None, None) => None,
        (Some(lone), None) | (None, Some(lone)) => {
            if !section.is_partial() {
                report.add(lone.place.problem("needs both `cert_file` and `key_file`"));
            }
            None
        }
    }
}

fn protocol(
    section: &Section<'_>,
    kind: Option<Kind>,
    uses: &[&str],
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Protocol> {
    let written = section.find("folders");
    if kind == Some(Kind::Pop3) && !section.is_partial() {
        if let Some(found) = written.filter(|found| found.level == Level::Own) {
            report.add(found.place.problem("folders exist only with protocol imap or jmap"));
        }
        return Some(Protocol::Pop3);
    }
    let folders = match written {
        None => {
            let uses = uses.iter().map(|usage| Folder::SpecialUse((*usage).to_owned()));
            [Folder::Name("INBOX".to_owned())].into_iter().chain(uses).collect()
        }
        Some(_) => folders(section, report)?,
    };
    match kind? {
        Kind::Imap => Some(Protocol::Imap { folders: sources.shared_folders(folders) }),
        Kind::Jmap => Some(Protocol::Jmap { folders: sources.shared_folders(folders) }),
        Kind::Pop3 => Some(Protocol::Pop3),
    }
}

fn folders(section: &Section<'_>, report: &mut Report) -> Option<Vec<Folder>> {
    let items = section.list("folders", report)?;
    if items.is_empty() {
        section.read("folders", report, |_| Err::<(), _>("needs at least one folder".to_owned()));
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    for (place, node) in items {
        let Some(folder) = report.accept(&place, folder(node)) else { continue };
        let key = match &folder {
            Folder::Name(name) => (false, name.clone()),
            Folder::SpecialUse(name) => (true, name.to_ascii_lowercase()),
        };
        if !seen.insert(key) {
            report.add(place.problem("is in the list already"));
        }
        folders.push(folder);
    }
    Some(folders)
}

fn folder(node: &Node) -> Result<Folder, String> {
    let name = value::line(node)?;
    if let Some(attribute) = name.strip_prefix('\\') {
        if attribute.is_empty() || !attribute.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("is not a SPECIAL-USE attribute such as '\\Junk'".to_owned());
        }
        return Ok(Folder::SpecialUse(name));
    }
    if name.eq_ignore_ascii_case("INBOX") {
        return Ok(Folder::Name("INBOX".to_owned()));
    }
    Ok(Folder::Name(name))
}
