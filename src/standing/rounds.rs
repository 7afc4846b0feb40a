//! When the lists of a target are asked: one round in each `dnsbl.interval`, and sooner again where a list did
//! not tell.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::findings::{Change, Finding, Standing};
use super::limiter::{Answer, Limiter};
use crate::account::Account;
use crate::clock;
use crate::config::{Dnsbl, DnsblList, Target, TargetName};
use crate::store::{FindingKind, Store};
use ledger::Reading;

/// The first rounds of all targets are spread over this.
const SPREAD: Duration = Duration::from_secs(30);
/// How soon a list is asked again that did not tell.
pub(super) const AGAIN: Duration = Duration::from_secs(600);
/// How soon it is looked again from which address the mail goes out; the wait doubles.
const NO_ADDRESS: Duration = Duration::from_secs(5);

/// What is said as long as it is not known from where the mail goes out.
const UNKNOWN_ADDRESS: &str = "no public address is known from which the mail goes out: no mail has \
                               shown one in its header yet; `dnsbl.addresses` may name them";

/// The rounds of one target.
pub struct Rounds {
    /// The target.
    pub target: Arc<Target>,
    /// Whose newest header shows where its mail goes out.
    pub account: Arc<Account>,
    /// Where the findings are kept.
    pub standing: Arc<Standing>,
    /// What it shares with the other targets.
    pub limiter: Arc<Limiter>,
    /// Where they outlive the process; `None`: nowhere.
    pub store: Option<Arc<Store>>,
}

impl Rounds {
    /// Asks at once where something is not known, else when the next round is due; until it is dropped.
    pub async fn run(&self) {
        let Some(dnsbl) = self.target.dnsbl() else { return };
        let mut next = first(&self.standing, FindingKind::Dnsbl, dnsbl.interval, &self.target.name);
        let mut no_address = NO_ADDRESS;
        loop {
            sleep_until(next).await;
            let addresses = self.addresses(dnsbl);
            let began = Instant::now();
            next = if addresses.is_empty() {
                for list in &dnsbl.lists {
                    self.record(list, Reading::Unmeasured, UNKNOWN_ADDRESS);
                }
                let wait = no_address;
                no_address = (no_address * 2).min(AGAIN);
                began + wait
            } else {
                no_address = NO_ADDRESS;
                let all_told = Box::pin(self.round(dnsbl, &addresses, began)).await;
                let wait = if all_told { dnsbl.interval } else { dnsbl.interval.min(AGAIN) };
                (began + wait).max(Instant::now())
            };
            if let Some(store) = &self.store {
                store.record_findings(&self.target.name, self.standing.to_keep());
            }
        }
    }

    fn addresses(&self, dnsbl: &Dnsbl) -> Vec<IpAddr> {
        if !dnsbl.addresses.is_empty() {
            return dnsbl.addresses.clone();
        }
        let seen = self.account.inspection().and_then(|inspection| inspection.outgoing);
        seen.into_iter().collect()
    }

    /// Asks all lists about all addresses; whether each has told.
    async fn round(&self, dnsbl: &Dnsbl, addresses: &[IpAddr], began: Instant) -> bool {
        let end = began + dnsbl.interval;
        let mut all_told = true;
        // One after the other: none waits for a mail, and a list that hangs costs a minute of an hour.
        for list in &dnsbl.lists {
            let mut answers = Vec::new();
            for address in addresses {
                let answer = self.limiter.ask(&list.zone, *address, dnsbl.interval, end).await;
                answers.push((*address, answer));
            }
            let (is_well, words) = verdict(&answers);
            all_told &= is_well != Reading::Unmeasured;
            self.record(list, is_well, &words);
        }
        all_told
    }

    fn record(&self, list: &DnsblList, is_well: Reading<bool>, words: &str) {
        if let Some((before, after)) =
            self.standing.record(FindingKind::Dnsbl, &list.name, is_well, words)
        {
            self.log_change(&before, &after);
        }
    }

    /// One line for each change.
    fn log_change(&self, before: &Finding, after: &Finding) {
        let (target, dnsbl, words) = (&self.target.name, &after.name, &after.words);
        match after.change_since(before) {
            Some(Change::Broken) => warn!(%target, dnsbl, words, "an outgoing address is listed"),
            Some(Change::Mended) => {
                info!(%target, dnsbl, "no outgoing address is listed any more");
            }
            Some(Change::Lost) => {
                warn!(%target, dnsbl, words, "a list does not tell any more");
            }
            None => {}
        }
    }
}

/// What a list says of all addresses: listed if one is, else unknown if it does not tell of one. One of IPv4 alone is
/// not asked about the others.
pub fn verdict(answers: &[(IpAddr, Answer)]) -> (Reading<bool>, String) {
    let words = |which: fn(&Answer) -> Option<String>| -> Vec<String> {
        let of =
            |(address, answer): &(IpAddr, Answer)| Some(format!("{address} {}", which(answer)?));
        answers.iter().filter_map(of).collect()
    };
    let listed = words(|answer| match answer {
        Answer::Listed(reason) => Some(format!("is listed ({reason})")),
        Answer::NotListed | Answer::NotItsKind | Answer::Unknown(_) => None,
    });
    if !listed.is_empty() {
        return (Reading::Is(false), listed.join("; "));
    }
    let unknown = answers.iter().find_map(|(address, answer)| match answer {
        Answer::Unknown(why) => Some(format!("not known of {address}: {why}")),
        Answer::Listed(_) | Answer::NotListed | Answer::NotItsKind => None,
    });
    if answers.iter().all(|(_, answer)| *answer == Answer::NotItsKind) {
        let why = "it has addresses of IPv4 alone, and is asked about IPv6";
        return (Reading::Unmeasured, why.to_owned());
    }
    match unknown {
        Some(why) => (Reading::Unmeasured, why),
        None => {
            let not_listed = words(|answer| (*answer == Answer::NotListed).then(String::new));
            let addresses: Vec<&str> = not_listed.iter().map(|it| it.trim_end()).collect();
            (Reading::Is(true), format!("not listed: {}", addresses.join(", ")))
        }
    }
}

/// When the first round of a kind is due.
pub(super) fn first(
    standing: &Standing,
    kind: FindingKind,
    interval: Duration,
    target: &TargetName,
) -> Instant {
    let age = standing.oldest(kind).and_then(|at| clock::wall().duration_since(at).ok());
    let rest = age.and_then(|age| interval.checked_sub(age));
    Instant::now() + rest.unwrap_or_default() + spread(target.as_str())
}

/// A place of its own for each target, so that not all ask in one moment.
fn spread(name: &str) -> Duration {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    SPREAD * share / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(answers: &[Answer]) -> Vec<(IpAddr, Answer)> {
        let addresses = (7..).map(|last| IpAddr::from([198, 51, 100, last]));
        addresses.zip(answers.iter().cloned()).collect()
    }

    #[test]
    fn one_listed_address_lists_and_one_unknown_leaves_it_open() {
        let (listed, unknown) =
            (Answer::Listed("127.0.0.2: spam".into()), Answer::Unknown("no answer".into()));
        for (given, state, words) in [
            (vec![Answer::NotListed], Reading::Is(true), "not listed: 198.51.100.7"),
            (
                vec![Answer::NotListed, Answer::NotListed],
                Reading::Is(true),
                "not listed: 198.51.100.7, 198.51.100.8",
            ),
            (
                vec![unknown.clone(), listed.clone()],
                Reading::Is(false),
                "198.51.100.8 is listed (127.0.0.2: spam)",
            ),
            (
                vec![Answer::NotListed, unknown],
                Reading::Unmeasured,
                "not known of 198.51.100.8: no answer",
            ),
            (
                vec![Answer::NotListed, Answer::NotItsKind],
                Reading::Is(true),
                "not listed: 198.51.100.7",
            ),
            (
                vec![Answer::NotItsKind],
                Reading::Unmeasured,
                "it has addresses of IPv4 alone, and is asked about IPv6",
            ),
        ] {
            assert_eq!(verdict(&answers(&given)), (state, words.to_owned()));
        }
    }

    #[test]
    fn targets_begin_apart_and_within_half_a_minute() {
        let places: std::collections::BTreeSet<Duration> =
            (0..100).map(|number| spread(&format!("t{number}"))).collect();
        assert!(places.len() > 80, "{places:?}");
        assert!(places.iter().all(|place| *place < SPREAD));
    }
}
