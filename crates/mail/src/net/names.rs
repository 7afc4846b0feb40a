//! Looking up names: literals and the hosts file ask nobody, name servers are asked as `resolv.conf`
//! says, and the system's own resolver only for what they do not know.
//!
//! A question ends with the last of its askers. Askers at one time share one question for a name and
//! kind of record; nothing is kept of an answer, so that each attempt measures a real look-up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use domain::base::Rtype;
use domain::base::iana::Rcode;
use domain::base::name::Name;
use domain::rdata::{A, Aaaa};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::Fault;
use crate::options::IpFamily;
use ledger::{Clue, Reason, Shortage};
use settings::{Current, Files, Settings};
use shared::Shared;
use system::{NoAnswer, System};
pub(super) use wire::{Answer, Trouble};
use wire::{Question, Wire};

mod order;
pub(crate) mod settings;
mod shared;
mod system;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

/// Once one family has addresses, the other one is waited for so long.
const OTHER_FAMILY: Duration = Duration::from_secs(1);

/// See [`Names::remembers_failure_for`].
const REMEMBERS_FAILURE_FOR: Duration = Duration::from_secs(6);

/// A resolver with the settings of a system.
#[derive(Debug)]
pub(super) struct Names {
    current: Current,
    wire: Arc<Wire>,
    questions: Shared<Question, Result<Answer, Trouble>>,
    system: System,
    /// How long a name server may go on saying that it could not tell, without asking anew (as unbound does for five
    /// seconds).
    remembers_failure_for: Duration,
}

/// What name servers say of a name.
enum Found {
    /// Its addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// It has none of this family.
    NoAddress,
    /// There is no such name.
    NoName,
}

impl Names {
    /// That of this system.
    pub(super) fn of_this_system() -> &'static Self {
        static NAMES: LazyLock<Names> =
            LazyLock::new(|| Names::new(Files::default(), System::own()));
        &NAMES
    }

    fn new(files: Files, system: System) -> Self {
        Self::with(Current::new(files), system)
    }

    /// One that asks this name server and nobody else.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn of_server(server: std::net::SocketAddr) -> Self {
        let names = Self::with(Current::of_server(server), System::own());
        Self { remembers_failure_for: Duration::ZERO, ..names }
    }

    fn with(current: Current, system: System) -> Self {
        Self {
            current,
            wire: Arc::default(),
            questions: Shared::default(),
            system,
            remembers_failure_for: REMEMBERS_FAILURE_FOR,
        }
    }

    /// The addresses of a host that fit, the best first; it may be a literal.
    ///
    /// # Errors
    /// [`Reason::Dns`] if there is none or nobody answered, [`Reason::Timeout`] after the deadline;
    /// both mean *down*. With a shortage where it was not asked to the end for want of something of our
    /// own.
    pub(super) async fn addresses(
        &self,
        host: &str,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Fault> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            // Whoever connects has room for it only while it is under way.
            Err(_) => {
                match timeout_at(deadline, Box::pin(self.look_up(host, family, deadline))).await {
                    Ok(found) => found?,
                    Err(_) => {
                        let message = format!("resolving {host} took too long");
                        return Err(Fault::down(Reason::Timeout, message));
                    }
                }
            }
        };
        let fitting: Vec<IpAddr> =
            found.into_iter().filter(|address| fits(*address, family)).collect();
        if fitting.is_empty() { Err(no_address(host, family)) } else { Ok(fitting) }
    }

    /// The answer of the name servers to one question, in none of the search domains.
    pub(super) async fn ask(&self, name: Name<Vec<u8>>, kind: Rtype) -> Result<Answer, Trouble> {
        let question = Question { name, kind, in_full: false, unchecked: false };
        Box::pin(self.question(question, &self.current.settings()?)).await
    }

    /// The same in full, and whether its word that it was validated is to be believed.
    pub(super) async fn ask_in_full(
        &self,
        name: Name<Vec<u8>>,
        kind: Rtype,
    ) -> Result<(Answer, bool), Trouble> {
        let settings = self.current.settings()?;
        let question = Question { name, kind, in_full: true, unchecked: false };
        let answer = Box::pin(self.question(question, &settings)).await?;
        Ok((answer, settings.trusts_validation))
    }

    /// The same, and [`Trouble::Bogus`] where a name server that is to be believed refuses the answer for DNSSEC: it has
    /// the answer if it need not validate it, and refuses it still after that. What has passed by then was another
    /// trouble.
    pub(super) async fn ask_for_bogus(
        &self,
        name: Name<Vec<u8>>,
        kind: Rtype,
    ) -> Result<(Answer, bool), Trouble> {
        let settings = self.current.settings()?;
        let (server, refused) = match self.ask_in_full(name.clone(), kind).await {
            Err(Trouble::Refused(server, Rcode::SERVFAIL)) if settings.trusts_validation => {
                (server, Trouble::Refused(server, Rcode::SERVFAIL))
            }
            other => return other,
        };
        // Another one may have the answer for another reason.
        let alone = settings.with_one(server);
        let question = Question { name, kind, in_full: true, unchecked: true };
        if self.wire.ask(&question, &alone).await.is_err() {
            return Err(refused);
        }
        sleep(self.remembers_failure_for).await;
        let question = Question { unchecked: false, ..question };
        match self.wire.ask(&question, &alone).await {
            Ok(answer) => Ok((answer, settings.trusts_validation)),
            Err(Trouble::Refused(_, Rcode::SERVFAIL)) => Err(Trouble::Bogus(server)),
            Err(_) => Err(refused),
        }
    }

    async fn look_up(
        &self,
        host: &str,
        family: IpFamily,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, Fault> {
        #[cfg(feature = "simulation")]
        if let Some(network) = super::simulated::network() {
            return match network.look_up(host).await {
                Ok(addresses) if addresses.is_empty() => Err(no_name(host)),
                Ok(addresses) => Ok(addresses),
                Err(words) => {
                    Err(Fault::down(Reason::Dns, format!("cannot resolve {host}: {words}")))
                }
            };
        }
        let cannot = |trouble: Trouble| trouble.fault(&format!("cannot resolve {host}"));
        let settings = self.current.settings().map_err(cannot)?;
        let in_file = settings.in_hosts_file(host).iter().copied();
        let in_file: Vec<IpAddr> = in_file.filter(|address| fits(*address, family)).collect();
        if !in_file.is_empty() {
            return order::sorted(in_file).map_err(cannot);
        }
        if let Some(known) = special(host) {
            return match known.is_empty() {
                true => Err(no_name(host)),
                false => order::sorted(known).map_err(cannot),
            };
        }
        let answer = match looks_like_a_number(host) {
            // As 127.1, which the C library takes for an address.
            true => Ok(Found::NoName),
            false => self.of_name_servers(host, family, &settings).await,
        };
        let unknown = match answer.map_err(cannot)? {
            Found::Addresses(addresses) => return order::sorted(addresses).map_err(cannot),
            Found::NoAddress => no_address(host, family),
            Found::NoName => no_name(host),
        };
        if !settings.has_other_sources && !looks_like_a_number(host) {
            return Err(unknown);
        }
        self.system.ask(host, deadline).await.map_err(|no_answer| match no_answer {
            NoAnswer::Unknown => unknown,
            NoAnswer::NoTurn => {
                let message = format!("cannot resolve {host}: no turn to ask the system for it");
                Fault::short(Shortage::LookUps, Reason::Dns, message)
            }
            NoAnswer::NoThread(error) => {
                let message =
                    format!("cannot resolve {host}: no thread to ask the system: {error}");
                let short = Fault::short_and_counted(Shortage::Threads, message);
                Fault { reason: Reason::Dns, ..short }
            }
            NoAnswer::NoDescriptor => {
                let message = format!("cannot resolve {host}: no descriptor to ask the system");
                Fault::short(Shortage::Descriptors, Reason::Dns, message)
            }
        })
    }

    /// What the name servers know of a host, in the search domains as well.
    async fn of_name_servers(
        &self,
        host: &str,
        family: IpFamily,
        settings: &Arc<Settings>,
    ) -> Result<Found, Trouble> {
        let mut found = Ok(Found::NoName);
        for name in settings.candidates(host) {
            // With a search domain it may be too long, which says nothing of the others.
            let Ok(name) = name.parse::<Name<Vec<u8>>>() else { continue };
            match self.of_name(&name, family, settings).await {
                Ok(Found::Addresses(addresses)) => return Ok(Found::Addresses(addresses)),
                Ok(Found::NoAddress) if found.is_ok() => found = Ok(Found::NoAddress),
                Ok(Found::NoAddress | Found::NoName) => {}
                Err(refused @ Trouble::Refused(..)) => found = Err(refused),
                Err(trouble) => return Err(trouble),
            }
        }
        found
    }

    async fn of_name(
        &self,
        name: &Name<Vec<u8>>,
        family: IpFamily,
        settings: &Arc<Settings>,
    ) -> Result<Found, Trouble> {
        let v6 = self.of_kind(name, Rtype::AAAA, settings);
        let v4 = self.of_kind(name, Rtype::A, settings);
        match family {
            IpFamily::V4 => v4.await,
            IpFamily::V6 => v6.await,
            IpFamily::Any if settings.asks_singly => {
                let v4 = v4.await;
                match &v4 {
                    Ok(Found::NoName) | Err(_) => v4,
                    Ok(_) => both(v6.await, v4),
                }
            }
            IpFamily::Any => {
                let (mut v6, mut v4) = (std::pin::pin!(v6), std::pin::pin!(v4));
                tokio::select! {
                    first = &mut v6 => {
                        let second = second(&first, v4).await;
                        both(first, second)
                    }
                    first = &mut v4 => {
                        let second = second(&first, v6).await;
                        both(second, first)
                    }
                }
            }
        }
    }

    async fn of_kind(
        &self,
        name: &Name<Vec<u8>>,
        kind: Rtype,
        settings: &Arc<Settings>,
    ) -> Result<Found, Trouble> {
        let question = Question { name: name.clone(), kind, in_full: false, unchecked: false };
        let answer = self.question(question, settings).await?;
        Ok(match addresses_in(&answer) {
            addresses if !addresses.is_empty() => Found::Addresses(addresses),
            _ if answer.header().rcode() == Rcode::NXDOMAIN => Found::NoName,
            _ => Found::NoAddress,
        })
    }

    async fn question(
        &self,
        question: Question,
        settings: &Arc<Settings>,
    ) -> Result<Answer, Trouble> {
        let (wire, settings) = (Arc::clone(&self.wire), Arc::clone(settings));
        let asked = question.clone();
        // Each asker has room for a question that it shares, and not for the asking.
        let work = Box::pin(async move { wire.ask(&asked, &settings).await });
        let broken = || Err(Trouble::Unreachable("the question broke off".to_owned()));
        self.questions.join(question, work).await.unwrap_or_else(broken)
    }
}

impl Trouble {
    /// The fault that it is for somebody who cannot do `what` for it.
    pub(super) fn fault(self, what: &str) -> Fault {
        let fault = self.plain_fault();
        Fault { message: format!("{what}: {}", fault.message), ..fault }
    }

    /// The fault that it is, in words that do not hold the name that was asked for.
    pub(super) fn plain_fault(self) -> Fault {
        match self {
            Trouble::Refused(server, code) => {
                let message = format!("the name server {} says {code}", server.ip());
                Fault::down(Reason::Dns, message)
            }
            Trouble::Bogus(server) => {
                let message = format!(
                    "the answer does not stand up to DNSSEC, says the name server {}",
                    server.ip()
                );
                Fault::down(Reason::Dns, message).with(Some(Clue::Bogus))
            }
            Trouble::Silent(server) => {
                let message = format!("no answer from the name server {}", server.ip());
                Fault::down(Reason::Dns, message)
            }
            Trouble::Unreachable(why) => Fault::down(Reason::Dns, why),
            Trouble::Short(shortage, why) => Fault::short(shortage, Reason::Dns, why),
        }
    }
}

/// The other family's answer, after the first.
async fn second(
    first: &Result<Found, Trouble>,
    other: impl Future<Output = Result<Found, Trouble>>,
) -> Result<Found, Trouble> {
    match first {
        Ok(Found::Addresses(_)) => {
            timeout(OTHER_FAMILY, other).await.unwrap_or(Ok(Found::NoAddress))
        }
        _ => other.await,
    }
}

/// Both families as one: the addresses of either, else what is not known of either, else that there are
/// none.
fn both(v6: Result<Found, Trouble>, v4: Result<Found, Trouble>) -> Result<Found, Trouble> {
    match (v6, v4) {
        (Ok(Found::Addresses(v6)), Ok(Found::Addresses(v4))) => {
            Ok(Found::Addresses([v6, v4].concat()))
        }
        (Ok(Found::Addresses(found)), _) | (_, Ok(Found::Addresses(found))) => {
            Ok(Found::Addresses(found))
        }
        (Err(trouble), _) | (_, Err(trouble)) => Err(trouble),
        (Ok(Found::NoName), Ok(Found::NoName)) => Ok(Found::NoName),
        _ => Ok(Found::NoAddress),
    }
}

/// All addresses in the answer: those of aliases stand at the alias's own name.
pub(crate) fn addresses_in(answer: &Answer) -> Vec<IpAddr> {
    let Ok(records) = answer.answer() else { return Vec::new() };
    let v6 = records.limit_to::<Aaaa>().flatten().map(|record| record.data().addr().into());
    let v4 = records.limit_to::<A>().flatten().map(|record| record.data().addr().into());
    v6.chain(v4).collect()
}

/// Names that nobody is to be asked for: loopback, and what never exists (RFC 6761 sections 6.3, 6.4).
fn special(host: &str) -> Option<Vec<IpAddr>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.rsplit('.').next()? {
        last if last.eq_ignore_ascii_case("localhost") => {
            Some(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
        }
        last if last.eq_ignore_ascii_case("invalid") && last.len() < host.len() => Some(Vec::new()),
        _ => None,
    }
}

/// Whether it is an address in a way of writing that only the system knows: of one interface, or shorter
/// than four numbers. No name ends in a number.
fn looks_like_a_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hexadecimal = last.strip_prefix("0x").filter(|digits| !digits.is_empty());
    let is_number = match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    host.contains('%') || is_number
}

fn fits(address: IpAddr, family: IpFamily) -> bool {
    match family {
        IpFamily::Any => true,
        IpFamily::V4 => address.is_ipv4(),
        IpFamily::V6 => address.is_ipv6(),
    }
}

fn no_name(host: &str) -> Fault {
    Fault::down(Reason::Dns, format!("cannot resolve {host}: there is no such name"))
}

fn no_address(host: &str, family: IpFamily) -> Fault {
    let family = match family {
        IpFamily::Any => "",
        IpFamily::V4 => " IPv4",
        IpFamily::V6 => " IPv6",
    };
    Fault::down(Reason::Dns, format!("{host} has no{family} address"))
}
