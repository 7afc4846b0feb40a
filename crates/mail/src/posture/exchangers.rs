//! The servers that take the mail of a domain (RFC 5321 section 5.1), and a visit to each.

use std::net::IpAddr;

use super::questions::{Questions, TOO_LONG};
use super::{Means, Outcome, Tally};
use crate::smtp::show::{Refusal, RefusalKind, Shown, come_by};
use crate::trace::Trace;
use crate::{Failure, Fault, Reason, Step};

/// The most servers of a domain that are looked at, the preferred ones.
pub(super) const MOST_HOSTS: usize = 10;
/// The port for mail between servers.
const PORT: u16 = 25;
/// So many servers of a domain are visited at one time.
const AT_ONCE: usize = 4;

/// The servers of a domain.
pub(super) struct Servers {
    /// The preferred ones first, at most [`MOST_HOSTS`].
    pub(super) hosts: Vec<String>,
    /// Those that are not visited.
    pub(super) others: Vec<String>,
    /// Whether the list is validated.
    pub(super) is_authentic: bool,
}

impl Servers {
    /// What is to be said where not all were visited.
    pub(super) fn note(&self) -> String {
        match self.others.len() {
            0 => String::new(),
            others => format!("; {others} more were not looked at"),
        }
    }
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
    let others = hosts.split_off(hosts.len().min(MOST_HOSTS));
    Ok(Servers { hosts, others, is_authentic })
}

/// Comes by at each of them that has a name, at some side by side.
pub(super) async fn visit(hosts: &[String], means: Means<'_>) -> Vec<Visit> {
    let mut visits = Vec::new();
    for hosts in hosts.chunks(AT_ONCE) {
        let one = |at: usize| {
            let host = hosts.get(at);
            Box::pin(async move { Some(visit_one(host?, means).await) })
        };
        let (first, second, third, fourth) = tokio::join!(one(0), one(1), one(2), one(3));
        visits.extend([first, second, third, fourth].into_iter().flatten());
    }
    visits
}

async fn visit_one(host: &str, means: Means<'_>) -> Visit {
    if host.parse::<IpAddr>().is_ok() {
        let fault = Fault::new(Reason::Other, "an address in an MX is not visited");
        return Err(Trace::new(None).failure(fault));
    }
    Box::pin(come_by(host, PORT, means.clients, means.end)).await
}

/// Whether each resolves, is no alias, and answers.
pub(super) async fn check(
    servers: &Servers,
    visits: &[Visit],
    questions: Questions<'_>,
) -> Outcome {
    let mut tally = Tally::default();
    for (host, visit) in servers.hosts.iter().zip(visits) {
        match fault_of(host, questions).await {
            Ok(Some(fault)) => tally.bad.push(fault),
            Err(outcome) => tally.take(outcome),
            Ok(None) => tally.take(met(host, visit, visits)),
        }
    }
    tally.outcome(|hosts| format!("answered by {}{}", hosts.join(", "), servers.note()))
}

/// What a visit says of a server; what became of the others tells whether it is for the network or the address of the
/// exporter.
fn met(host: &str, visit: &Visit, visits: &[Visit]) -> Outcome {
    let (mut is_let_out, mut is_let_in) = (false, false);
    for shown in visits.iter().flatten() {
        is_let_out = true;
        is_let_in |= shown.refusal.is_none();
    }
    match visit {
        Ok(Shown { refusal: None, .. }) => Outcome::passed(host),
        Ok(Shown { refusal: Some(Refusal { words, kind }), .. }) => match kind {
            RefusalKind::NoSmtp => Outcome::failed(format!("{host}: {words}")),
            RefusalKind::ForGood if is_let_in => Outcome::failed(format!("{host}: {words}")),
            _ => {
                Outcome::unknown(format!("{host} refuses the exporter, perhaps it alone: {words}"))
            }
        },
        Err(failure) if is_our_lack(failure) => {
            Outcome::unknown(format!("{host} was not met: {}", failure.message))
        }
        Err(failure) if is_let_out => {
            Outcome::failed(format!("{host} does not answer: {}", failure.message))
        }
        Err(failure) => Outcome::unknown(format!(
            "{host} cannot be met on port {PORT} from here, nor any other, which may be the network of the exporter: {}",
            failure.message
        )),
    }
}

/// What a server has shown under TLS; else what follows for a check of that.
pub(super) fn under_tls<'a>(host: &str, visit: &'a Visit) -> Result<&'a Shown, Outcome> {
    let unseen =
        |why: &str| Err(Outcome::unknown(format!("the certificate of {host} was not seen: {why}")));
    match visit {
        Err(failure) => unseen(&failure.message),
        Ok(Shown { refusal: Some(refusal), .. }) => unseen(&refusal.words),
        Ok(Shown { tls_unknown: Some(why), .. }) => unseen(why),
        Ok(Shown { offers_tls: false, .. }) => {
            Err(Outcome::failed(format!("{host} offers no STARTTLS")))
        }
        Ok(Shown { tls_fault: Some(why), .. }) => Err(Outcome::failed(format!("{host}: {why}"))),
        Ok(shown) => Ok(shown),
    }
}

/// Whether a failure says nothing of the server, be others met: a name server did not answer, this host has no way to
/// it, or too little of something.
fn is_our_lack(failure: &Failure) -> bool {
    failure.shortage.is_some()
        || failure.step == Step::Dns
        || matches!(failure.reason, Reason::Unreachable | Reason::Other)
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
    if addresses.list.is_empty() && !addresses.is_whole {
        return Err(Outcome::unknown(format!("{host}: {TOO_LONG}")));
    }
    Ok(match (addresses.list.is_empty(), addresses.has_name) {
        (false, _) => None,
        (true, true) => Some(format!("{host} has no address")),
        (true, false) => Some(format!("{host} does not exist")),
    })
}

#[cfg(test)]
mod tests {
    use ledger::{Reading, Shortage};

    use super::*;

    fn failed(step: Step, fault: Fault) -> Visit {
        let trace = Trace::new(None);
        trace.enter(step);
        Err(trace.failure(fault))
    }

    fn refused(kind: RefusalKind) -> Visit {
        let refusal = Some(Refusal { words: "no".to_owned(), kind });
        Ok(Shown { refusal, ..Shown::default() })
    }

    /// What is said of the first server, while the second fared like this.
    fn of(visit: Visit, other: Visit) -> Reading<bool> {
        let visits = [visit, other];
        met("mx.example", &visits[0], &visits).is_well
    }

    #[test]
    fn what_is_for_want_of_the_exporter_says_nothing_of_a_server() {
        let silent = || failed(Step::Connect, Fault::down(Reason::Timeout, "silent"));
        let good = || Ok(Shown::default());
        let lack = |step, reason| failed(step, Fault::down(reason, "x"));
        for (visit, alone, beside_a_good_one) in [
            (silent as fn() -> Visit, Reading::Unmeasured, Reading::Is(false)),
            (|| Ok(Shown::default()), Reading::Is(true), Reading::Is(true)),
            (|| refused(RefusalKind::NoSmtp), Reading::Is(false), Reading::Is(false)),
            (|| refused(RefusalKind::ForGood), Reading::Unmeasured, Reading::Is(false)),
            (|| refused(RefusalKind::ForNow), Reading::Unmeasured, Reading::Unmeasured),
        ] {
            assert_eq!((of(visit(), silent()), of(visit(), good())), (alone, beside_a_good_one));
        }
        assert_eq!(of(lack(Step::Dns, Reason::Timeout), good()), Reading::Unmeasured);
        assert_eq!(of(lack(Step::Connect, Reason::Unreachable), good()), Reading::Unmeasured);
        let short = Fault::short(Shortage::Descriptors, Reason::Timeout, "no descriptor");
        assert_eq!(of(failed(Step::Connect, short), good()), Reading::Unmeasured);
        // One that refuses shows that the network lets out, and not that it lets in.
        assert_eq!(of(silent(), refused(RefusalKind::ForGood)), Reading::Is(false));
    }
}
