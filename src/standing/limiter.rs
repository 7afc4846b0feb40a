//! Who asks lists of addresses, and how often: of each list one question at a time, a second apart at least,
//! and what was learned serves all targets that ask the same.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock;
use ledger::LineInstant;
use mail::dnsbl::{Entry, Zone, test_entries};
use mail::net::records::Resolver;

/// The least time between two questions to one list.
const APART: Duration = Duration::from_secs(1);
/// The longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(15);
/// How long it stands that a list does not tell.
const UNKNOWN_STANDS: Duration = Duration::from_secs(300);
/// How long a list is taken for one at the longest, that has passed its test: a round that is made every week tests
/// anew, however many targets make it.
pub const PASSED_STANDS: Duration = Duration::from_secs(1800);
/// The most addresses that are remembered of a list.
const MOST_ANSWERS: usize = 4096;
/// Lists that nobody asks any more are forgotten beyond this.
const MOST_ZONES: usize = 256;

/// What a list says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has it, with this code, for this reason.
    Listed(String),
    /// It does not have it.
    NotListed,
    /// It has addresses of IPv4 alone, and this is none.
    NotItsKind,
    /// It does not tell, and why.
    Unknown(String),
}

/// Why what a list says is worth nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unusable {
    why: String,
    /// It does not have its test entry.
    lacks_entry: bool,
}

impl From<String> for Unusable {
    fn from(why: String) -> Self {
        Self { why, lacks_entry: false }
    }
}

/// What all targets share.
#[derive(Debug, Default)]
pub struct Limiter {
    resolver: Resolver,
    zones: Mutex<HashMap<Vec<u8>, Arc<List>>>,
}

#[derive(Debug)]
struct List {
    turn: Semaphore,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// When the next question may begin.
    next: Option<Instant>,
    /// On the time line of the accounts: over a suspension of the machine what was learned gets old.
    answers: HashMap<IpAddr, (LineInstant, Answer)>,
    /// What became of the test entries, of IPv4 and of IPv6.
    tests: [Option<(LineInstant, Result<(), Unusable>)>; 2],
}

impl Limiter {
    /// One that asks this way.
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver, zones: Mutex::default() }
    }

    /// What a list says of an address. It may have said so before, though no longer ago than half of
    /// `interval`. A list that fails its own test tells nothing.
    pub async fn ask(
        &self,
        zone: &Zone,
        address: IpAddr,
        interval: Duration,
        end: Instant,
    ) -> Answer {
        let list = self.list(zone);
        if let Some(known) = list.known(address, interval) {
            return known;
        }
        let Ok(Ok(_turn)) = timeout_at(end, list.turn.acquire()).await else {
            return Answer::Unknown("its turn to be asked did not come in time".to_owned());
        };
        // Who had the turn before may have asked the same.
        if let Some(known) = list.known(address, interval) {
            return known;
        }
        let answer = match self.is_usable(&list, zone, address.is_ipv6(), interval).await {
            Ok(()) => self.look_up(&list, zone, address).await,
            // Many lists have no IPv6: they are alive where they pass the test of IPv4.
            Err(Unusable { lacks_entry: true, .. })
                if address.is_ipv6()
                    && self.is_usable(&list, zone, false, interval).await.is_ok() =>
            {
                Answer::NotItsKind
            }
            Err(Unusable { why, .. }) => Answer::Unknown(why),
        };
        list.remember(address, answer.clone(), interval);
        answer
    }

    /// Whether the list has its test entry, and not the one that no list may have.
    async fn is_usable(
        &self,
        list: &List,
        zone: &Zone,
        is_ipv6: bool,
        interval: Duration,
    ) -> Result<(), Unusable> {
        if let Some(known) = list.known_test(is_ipv6, interval) {
            return known;
        }
        let [listed, not_listed] = test_entries(is_ipv6);
        let outcome = match self.entry(list, zone, listed).await {
            Err(why) => Err(why.into()),
            Ok(Entry::NotListed) => Err(Unusable {
                why: format!(
                    "it does not list its test entry {listed} (RFC 5782): it is dead, or does not answer \
                     this name server"
                ),
                lacks_entry: true,
            }),
            Ok(Entry::Listed(_)) => match self.entry(list, zone, not_listed).await {
                Err(why) => Err(why.into()),
                Ok(Entry::NotListed) => Ok(()),
                Ok(Entry::Listed(_)) => Err(format!(
                    "it lists {not_listed}, which no list may (RFC 5782): it lists the whole world"
                )
                .into()),
            },
        };
        if let Some(test) = list.memory().tests.get_mut(usize::from(is_ipv6)) {
            *test = Some((clock::now().instant, outcome.clone()));
        }
        outcome
    }

    async fn look_up(&self, list: &List, zone: &Zone, address: IpAddr) -> Answer {
        match self.entry(list, zone, address).await {
            Err(why) => Answer::Unknown(why),
            Ok(Entry::NotListed) => Answer::NotListed,
            Ok(Entry::Listed(code)) => {
                list.pace().await;
                let end = Instant::now() + LONGEST;
                let reason = zone.reason(&self.resolver, address, end).await;
                Answer::Listed(match reason {
                    Some(reason) => format!("{code}: {reason}"),
                    None => code.to_string(),
                })
            }
        }
    }

    async fn entry(&self, list: &List, zone: &Zone, address: IpAddr) -> Result<Entry, String> {
        list.pace().await;
        let end = Instant::now() + LONGEST;
        zone.look(end).await;
        zone.entry(&self.resolver, address, end).await
    }

    fn list(&self, zone: &Zone) -> Arc<List> {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        if zones.len() >= MOST_ZONES {
            zones.retain(|_, list| Arc::strong_count(list) > 1);
        }
        let new = || Arc::new(List { turn: Semaphore::new(1), memory: Mutex::default() });
        Arc::clone(zones.entry(zone.identifier()).or_insert_with(new))
    }
}

impl List {
    fn known(&self, address: IpAddr, interval: Duration) -> Option<Answer> {
        let memory = self.memory();
        let (at, answer) = memory.answers.get(&address)?;
        stands(*at, interval, matches!(answer, Answer::Unknown(_))).then(|| answer.clone())
    }

    fn known_test(&self, is_ipv6: bool, interval: Duration) -> Option<Result<(), Unusable>> {
        let memory = self.memory();
        let (at, outcome) = memory.tests.get(usize::from(is_ipv6))?.as_ref()?;
        stands(*at, interval.min(PASSED_STANDS * 2), outcome.is_err()).then(|| outcome.clone())
    }

    fn remember(&self, address: IpAddr, answer: Answer, interval: Duration) {
        let mut memory = self.memory();
        if memory.answers.len() >= MOST_ANSWERS {
            memory.answers.retain(|_, (at, _)| stands(*at, interval, false));
        }
        if memory.answers.len() < MOST_ANSWERS || memory.answers.contains_key(&address) {
            memory.answers.insert(address, (clock::now().instant, answer));
        }
    }

    /// Waits until the next question may begin. Only who has the turn asks.
    async fn pace(&self) {
        let next = self.memory().next;
        if let Some(next) = next {
            sleep_until(next).await;
        }
        self.memory().next = Some(Instant::now() + APART);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was learned at this time serves a target that asks so often.
pub(super) fn stands(at: LineInstant, interval: Duration, is_unknown: bool) -> bool {
    let longest = if is_unknown { UNKNOWN_STANDS.min(interval / 2) } else { interval / 2 };
    clock::now().instant - at < longest
}

#[cfg(test)]
mod tests;
