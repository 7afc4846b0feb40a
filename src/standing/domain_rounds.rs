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

/// How soon it is looked again where something was not learned, as before the first mail; the wait doubles.
const SOON: Duration = Duration::from_secs(5);

/// What a round has taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learned {
    All,
    /// All, and something failed that had not before: a server may be down for a moment.
    NewFailure,
    /// Of one question there was no answer at all.
    NotAll,
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
        let mut next = first(&self.standing, kind, wanted.interval, name);
        let mut soon = SOON;
        loop {
            sleep_until(next).await;
            let began = Instant::now();
            let learned = Box::pin(self.round(wanted, began)).await;
            let wait = match learned {
                Learned::All => wanted.interval,
                Learned::NewFailure => AGAIN,
                Learned::NotAll => soon,
            };
            soon = if learned == Learned::NotAll { (soon * 2).min(AGAIN) } else { SOON };
            next = (began + wait.min(wanted.interval)).max(Instant::now());
            if let Some(store) = &self.store {
                store.record_findings(&self.target.name, self.standing.to_keep());
            }
        }
    }

    /// Makes all checks.
    async fn round(&self, wanted: &DomainChecks, began: Instant) -> Learned {
        let (evidence, end) = (self.evidence(), began + wanted.interval);
        let (found, all_told) = self.domains.check((&self.target, wanted), &evidence, end).await;
        let mut has_new_failure = false;
        for (check, outcome) in found {
            let (kind, words) = (FindingKind::Domain, &outcome.words);
            let change = self.standing.record(kind, check.label(), outcome.is_well, words);
            if let Some((before, after)) = change {
                has_new_failure |= after.change_since(&before) == Some(Change::Broken);
                self.log_change(&before, &after, check.remedy());
            }
        }
        match (all_told, has_new_failure) {
            (false, _) => Learned::NotAll,
            (true, true) => Learned::NewFailure,
            (true, false) => Learned::All,
        }
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
