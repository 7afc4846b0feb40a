//! When the domains of a target are checked: one round in each `domain_checks.interval`, and sooner again where nothing
//! was learned.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::domains::{Domains, Evidence};
use super::findings::{Change, Finding, Standing};
use super::rounds::{AGAIN, first};
use crate::account::Account;
use crate::config::{DomainChecks, Target};
use crate::store::{FindingKind, Store};
use ledger::Reading;

/// How soon it is looked again where something was not learned, as before the first mail; the wait doubles.
const SOON: Duration = Duration::from_secs(5);

/// What a round has taught.
#[derive(Debug, Clone, Copy)]
struct Learned {
    /// Each question was answered.
    is_all: bool,
    /// Something failed, or was not told, that had not been so before: a server may be down for a moment.
    has_turned: bool,
}

/// When rounds are due.
#[derive(Debug)]
struct Plan {
    interval: Duration,
    /// How soon the next one is due where not all was learned.
    soon: Duration,
    /// When what has turned is looked at again, whatever other rounds there are until then.
    again: Option<Instant>,
}

impl Plan {
    fn new(interval: Duration, again: Option<Instant>) -> Self {
        Self { interval, soon: SOON, again }
    }

    /// For how long an answer stands in a round that begins now: what has turned is asked for anew.
    fn stands(&self, now: Instant) -> Duration {
        let looks_again = self.again.is_some_and(|again| again <= now);
        if looks_again { self.interval.min(AGAIN) } else { self.interval }
    }

    /// When the next round is due after one that began at this time.
    fn next(&mut self, began: Instant, learned: Learned) -> Instant {
        if learned.has_turned {
            self.again = Some(began + AGAIN);
        } else if self.again.is_some_and(|again| again <= began) {
            self.again = None;
        }
        let wait = if learned.is_all { self.interval } else { self.soon };
        // What is never told is asked no more often than the rest, in the end.
        self.soon = if learned.is_all { SOON } else { (self.soon * 2).min(self.interval) };
        let next = began + wait;
        self.again.map_or(next, |again| next.min(again)).max(Instant::now())
    }
}

/// The rounds of one target.
pub struct DomainRounds {
    /// The target.
    pub target: Arc<Target>,
    /// Whose newest header shows signatures, and where its mail goes out.
    pub account: Arc<Account>,
    /// Where the findings are kept.
    pub standing: Arc<Standing>,
    /// What it shares with the other targets.
    pub domains: Arc<Domains>,
    /// Where they outlive the process; `None`: nowhere.
    pub store: Option<Arc<Store>>,
}

impl DomainRounds {
    /// Asks at once where something is not known, else when the next round is due; until it is dropped.
    pub async fn run(&self) {
        let Some(wanted) = self.target.domain_checks() else { return };
        let (kind, name) = (FindingKind::Domain, &self.target.name);
        // What an earlier process saw fail may have been of a moment.
        let findings = self.standing.findings();
        let has_failed = findings.of(kind).iter().any(|it| it.is_well == Reading::Is(false));
        let mut next = first(&self.standing, kind, wanted.interval, name);
        let again = has_failed.then(|| Instant::now() + AGAIN);
        next = again.map_or(next, |again| next.min(again));
        let mut plan = Plan::new(wanted.interval, again);
        loop {
            sleep_until(next).await;
            let began = Instant::now();
            let learned = Box::pin(self.round(wanted, began, plan.stands(began))).await;
            next = plan.next(began, learned);
            if let Some(store) = &self.store {
                store.record_findings(&self.target.name, self.standing.to_keep());
            }
        }
    }

    /// Makes all checks. What was found stands for half of `stands`.
    async fn round(&self, wanted: &DomainChecks, began: Instant, stands: Duration) -> Learned {
        let (evidence, end) = (self.evidence(), began + wanted.interval);
        let domains = &self.domains;
        let (found, all_told) = domains.check((&self.target, wanted), &evidence, stands, end).await;
        let mut has_turned = false;
        for (check, outcome) in found {
            let (kind, words) = (FindingKind::Domain, &outcome.words);
            let change = self.standing.record(kind, check.label(), outcome.is_well, words);
            if let Some((before, after)) = change {
                let change = after.change_since(&before);
                has_turned |= matches!(change, Some(Change::Broken | Change::Lost));
                self.log_change(&before, &after, check.remedy());
            }
        }
        Learned { is_all: all_told, has_turned }
    }

    fn evidence(&self) -> Evidence {
        let mut evidence = Evidence::configured(&self.target);
        if let Some(inspection) = self.account.inspection() {
            let known = evidence.signatures.clone();
            let new = inspection.signatures.iter().filter(|one| !known.contains(one));
            evidence.signatures.extend(new.cloned());
            if evidence.addresses.is_empty() {
                evidence.addresses.extend(inspection.outgoing);
            }
        }
        evidence
    }

    /// One line for each change.
    fn log_change(&self, before: &Finding, after: &Finding, remedy: &'static str) {
        let (target, check, words) = (&self.target.name, &after.name, &after.words);
        match after.change_since(before) {
            Some(Change::Broken) => {
                warn!(%target, check, words, remedy, "a check of the domain fails");
            }
            Some(Change::Mended) => info!(%target, check, "a check of the domain fails no more"),
            Some(Change::Lost) => {
                warn!(%target, check, words, "a check of the domain tells nothing any more");
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn learned(is_all: bool, has_turned: bool) -> Learned {
        Learned { is_all, has_turned }
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_turned_is_looked_at_after_ten_minutes_whatever_comes_between() {
        let (mut plan, began) = (Plan::new(HOUR, None), Instant::now());
        let second = plan.next(began, learned(false, true));
        assert_eq!(second, began + SOON);
        assert_eq!(plan.stands(second), HOUR);
        let third = plan.next(second, learned(true, false));
        assert_eq!(third, began + AGAIN);
        assert_eq!(plan.stands(third), AGAIN, "no answer of the first look serves for this");
        assert_eq!(plan.next(third, learned(true, false)), third + HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_told_is_asked_once_in_an_interval_in_the_end() {
        let (mut plan, began) = (Plan::new(HOUR, None), Instant::now());
        let (mut at, mut rounds) = (began, 0);
        while at < began + HOUR * 10 {
            at = plan.next(at, learned(false, false));
            rounds += 1;
        }
        assert!(rounds < 22, "{rounds} rounds");
        assert_eq!(plan.next(at, learned(false, false)), at + HOUR);
        // Once all was told it begins anew.
        plan.next(at, learned(true, false));
        assert_eq!(plan.next(at, learned(false, false)), at + SOON);
    }
}
