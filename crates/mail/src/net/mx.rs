//! Which hosts take the mail of a domain: its MX records (RFC 5321 section 5.1), as the outside world
//! finds them, asked of the name servers in `/etc/resolv.conf`.

use std::fmt;

use domain::base::Rtype;
use domain::base::iana::Rcode;
use domain::base::message::Message;
use domain::base::name::{Name, ToName};
use domain::rdata::Mx;
use tokio::time::{Instant, timeout_at};

use super::names::{Names, Trouble};
use crate::Fault;
use ledger::Reason;

/// The most hosts of one domain that are tried.
const MOST_HOSTS: usize = 10;

/// A host that takes the mail of a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchanger {
    /// The one with the least is tried first; 0 for a domain without MX records.
    pub preference: u16,
    /// Its name, in lower case and without the final dot.
    pub host: String,
}

impl fmt::Display for Exchanger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MX {} {}", self.preference, self.host)
    }
}

/// The hosts that take mail for `domain`, a name in ASCII, in the order in which they are to be tried,
/// the ten preferred ones at most; those of one preference in random order, so that each has its turn.
/// A domain without MX records is its own.
///
/// # Errors
/// [`Reason::Dns`] if there is no such domain, nobody answered, or the domain says that it takes no
/// mail (RFC 7505); [`Reason::Timeout`] after the deadline. All but the last but one mean *down*.
pub async fn exchangers(domain: &str, deadline: Instant) -> Result<Vec<Exchanger>, Fault> {
    let name = domain.parse::<Name<Vec<u8>>>().map_err(|error| {
        Fault::down(Reason::Dns, format!("{domain} is not the name of a domain: {error}"))
    })?;
    match timeout_at(deadline, Names::of_this_system().ask(name, Rtype::MX)).await {
        Ok(Ok(answer)) => read(&answer, domain),
        Ok(Err(Trouble::Silent(_))) | Err(_) => {
            let message = format!("looking up the MX of {domain} took too long");
            Err(Fault::down(Reason::Timeout, message))
        }
        Ok(Err(trouble)) => Err(trouble.fault(&format!("cannot look up the MX of {domain}"))),
    }
}

/// What the answer of a name server says.
pub(crate) fn read<Octets: AsRef<[u8]>>(
    answer: &Message<Octets>,
    domain: &str,
) -> Result<Vec<Exchanger>, Fault> {
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => {
            return Err(Fault::down(Reason::Dns, format!("there is no domain {domain}")));
        }
        code => {
            let message = format!("cannot look up the MX of {domain}: the name server says {code}");
            return Err(Fault::down(Reason::Dns, message));
        }
    }
    let octets = answer.as_slice();
    let broken = |error: &dyn fmt::Display| {
        let message = format!("cannot look up the MX of {domain}: the answer is broken: {error}");
        Fault::down(Reason::Dns, message)
    };
    let answer = Message::from_octets(octets).map_err(|error| broken(&error))?;
    let records = answer.answer().map_err(|error| broken(&error))?;
    let mut found: Vec<(u16, [u8; 2], String)> = Vec::new();
    for record in records.limit_to::<Mx<_>>() {
        let record = record.map_err(|error| broken(&error))?;
        let exchange: Name<Vec<u8>> = record.data().exchange().to_name();
        let host = exchange.to_string().trim_end_matches('.').to_ascii_lowercase();
        let mut lot = [0; 2];
        // Without random numbers the order is that of the names.
        let _ = ledger::lot::fill(&mut lot);
        found.push((record.data().preference(), lot, host));
    }
    if found.is_empty() {
        return Ok(vec![Exchanger { preference: 0, host: domain.to_owned() }]);
    }
    found.retain(|(_, _, host)| !host.is_empty());
    if found.is_empty() {
        let message = format!("{domain} takes no mail, as its MX record says (RFC 7505)");
        return Err(Fault::new(Reason::Dns, message));
    }
    found.sort();
    found.truncate(MOST_HOSTS);
    Ok(found.into_iter().map(|(preference, _, host)| Exchanger { preference, host }).collect())
}

#[cfg(test)]
mod tests {
    use domain::base::MessageBuilder;
    use domain::base::Ttl;
    use domain::base::iana::Class;

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        text.parse().unwrap()
    }

    /// What is read of an answer with these records.
    fn answered(code: Rcode, records: &[(u16, &str)]) -> Result<Vec<Exchanger>, Fault> {
        let mut message = MessageBuilder::new_vec();
        message.header_mut().set_qr(true);
        message.header_mut().set_rcode(code);
        let mut message = message.question();
        message.push((name("example.com"), Rtype::MX)).unwrap();
        let mut message = message.answer();
        for (preference, host) in records {
            let data = Mx::new(*preference, name(host));
            message.push((name("example.com"), Class::IN, Ttl::from_secs(60), data)).unwrap();
        }
        read(&message.into_message(), "example.com")
    }

    fn hosts(records: &[(u16, &str)]) -> Vec<String> {
        let found = answered(Rcode::NOERROR, records).unwrap();
        found.into_iter().map(|exchanger| exchanger.host).collect()
    }

    #[test]
    fn the_preferred_host_comes_first_and_those_alike_take_turns() {
        assert_eq!(
            hosts(&[(20, "mx2.Example.com."), (10, "mx1.example.com.")]),
            ["mx1.example.com", "mx2.example.com"]
        );
        let alike = [(5, "a.example"), (5, "b.example")];
        let first: std::collections::BTreeSet<String> =
            (0..100).map(|_| hosts(&alike).remove(0)).collect();
        assert_eq!(first.len(), 2, "always the same: {first:?}");
    }

    #[test]
    fn a_domain_without_mx_is_its_own_and_a_null_mx_takes_no_mail() {
        assert_eq!(hosts(&[]), ["example.com"]);
        let fault = answered(Rcode::NOERROR, &[(0, ".")]).unwrap_err();
        assert_eq!((fault.reason, fault.down), (Reason::Dns, false), "{}", fault.message);
        assert!(fault.message.contains("takes no mail"), "{}", fault.message);
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        for code in [Rcode::NXDOMAIN, Rcode::SERVFAIL, Rcode::REFUSED] {
            let fault = answered(code, &[]).unwrap_err();
            assert_eq!((fault.reason, fault.down), (Reason::Dns, true), "{}", fault.message);
        }
    }
}
