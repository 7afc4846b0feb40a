//! The servers that take the mail of a domain (RFC 5321 section 5.1), and a visit to each.

use std::net::IpAddr;
use std::time::Duration;

use super::questions::Questions;
use super::{Means, Outcome};
use crate::Failure;
use crate::smtp::show::{Shown, come_by};

/// The most servers of a domain that are looked at, the preferred ones.
pub(super) const MOST_HOSTS: usize = 10;
/// The port for mail between servers.
const PORT: u16 = 25;
/// How long each step of a visit may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The servers of a domain.
pub(super) struct Servers {
    /// The preferred ones first, at most [`MOST_HOSTS`].
    pub(super) hosts: Vec<String>,
    /// Those that were left out.
    left: usize,
    /// Whether the list is validated.
    pub(super) is_authentic: bool,
}

/// What became of a visit.
pub(super) type Visit = Result<Shown, Failure>;

/// Finds them. `Err`: there are none, or nobody knows.
pub(super) async fn find(domain: &str, questions: Questions<'_>) -> Result<Servers, Outcome> {
    let found = questions.exchangers(domain).await?;
    if !found.has_name {
        return Err(Outcome::failed(format!("there is no domain {domain}")));
    }
    let is_authentic = found.is_authentic;
    let mut hosts: Vec<String> = Vec::new();
    for mx in found.list {
        if !hosts.contains(&mx.host) {
            hosts.push(mx.host);
        }
    }
    if hosts.iter().any(String::is_empty) {
        let words = format!("{domain} says that it takes no mail (an MX of `.`, RFC 7505)");
        return Err(Outcome::failed(words));
    }
    if hosts.is_empty() {
        hosts.push(domain.to_owned());
    }
    let left = hosts.len().saturating_sub(MOST_HOSTS);
    hosts.truncate(MOST_HOSTS);
    Ok(Servers { hosts, left, is_authentic })
}

/// Comes by at each of them, one after the other.
pub(super) async fn visit(hosts: &[String], means: Means<'_>) -> Vec<Visit> {
    let mut visits = Vec::new();
    for host in hosts {
        visits.push(Box::pin(come_by(host, PORT, PATIENCE, means.clients, means.end)).await);
    }
    visits
}

/// Whether each resolves, is no alias, and answers.
pub(super) async fn check(
    servers: &Servers,
    visits: &[Visit],
    questions: Questions<'_>,
) -> Result<Outcome, Outcome> {
    let mut wrong = Vec::new();
    for host in &servers.hosts {
        wrong.extend(fault_of(host, questions).await?);
    }
    let met = visits.iter().filter(|visit| visit.is_ok()).count();
    for (host, visit) in servers.hosts.iter().zip(visits) {
        match visit {
            Ok(Shown { refusal: Some(words), .. }) => {
                wrong.push(format!("{host}: {words}"));
            }
            // Where none was met, this host may be kept from port 25 as a whole.
            Err(failure) if met > 0 && !wrong.iter().any(|known| known.starts_with(host)) => {
                wrong.push(format!("{host} does not answer: {}", failure.message));
            }
            _ => {}
        }
    }
    if !wrong.is_empty() {
        return Ok(Outcome::failed(wrong.join("; ")));
    }
    if met == 0 {
        let why = visits.iter().find_map(|visit| visit.as_ref().err());
        let why = why.map(|failure| failure.message.as_str()).unwrap_or_default();
        let words = format!(
            "none of {} can be met on port {PORT} from here, which may be the network of the exporter: {why}",
            servers.hosts.join(", ")
        );
        return Ok(Outcome::unknown(words));
    }
    let left = match servers.left {
        0 => String::new(),
        left => format!("; {left} more were not looked at"),
    };
    Ok(Outcome::passed(format!("answered by {}{left}", servers.hosts.join(", "))))
}

/// What is wrong with the name of a server.
async fn fault_of(host: &str, questions: Questions<'_>) -> Result<Option<String>, Outcome> {
    if host.parse::<IpAddr>().is_ok() {
        return Ok(Some(format!("{host} is an address, and an MX names a host")));
    }
    if let Some(other) = questions.alias(host).await? {
        return Ok(Some(format!("{host} is an alias (CNAME) of {other}")));
    }
    let addresses = questions.addresses(host).await?;
    Ok(match (addresses.list.is_empty(), addresses.has_name) {
        (false, _) => None,
        (true, true) => Some(format!("{host} has no address")),
        (true, false) => Some(format!("{host} does not exist")),
    })
}
