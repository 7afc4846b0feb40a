//! What the pages and the metrics see of the targets. All of it comes from memory.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::Supervisor;
use crate::account::Account;
use crate::account::history::{Evidence, Probe};
use crate::config::{Target, TargetName};
use crate::layers::readings::{Checks, Readings};
use crate::layers::rounds::{CheckLimiter, Checker};
use crate::probing::mailbox::Subscriber;
use crate::store::Store;
use ledger::{Availability, OutstandingMail, Snapshot};
use mail::inspection::Inspection;

/// A target with everything that is known of it.
#[derive(Debug, Clone)]
pub struct View {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account, now.
    pub snapshot: Snapshot,
    /// What the header of the newest mail showed.
    pub inspection: Option<Arc<Inspection>>,
    /// The layers below its mail service, now.
    pub layers: Readings,
    /// Whether its mails are looked for in no junk folder, though one is configured by its use.
    pub lacks_junk_folder: bool,
    /// When its next mail is due; `None`: it is being sent.
    pub next_mail: Option<SystemTime>,
}

/// Everything that is known of a target.
#[derive(Debug, Clone)]
pub struct Details {
    /// The target and its account.
    pub view: View,
    /// The mails that are waited for, oldest first, as many as were asked for at most.
    pub awaited: Vec<OutstandingMail>,
    /// What happened lately.
    pub evidence: Evidence,
    /// How it was over the latest hours and days.
    pub availability: Availability,
}

/// Where the view of a target comes from.
#[derive(Clone)]
pub(super) struct TargetHandle {
    pub(super) target: Arc<Target>,
    pub(super) account: Arc<Account>,
    pub(super) checks: Arc<Checks>,
    pub(super) subscriber: Arc<Subscriber>,
}

impl TargetHandle {
    /// Its rounds of checks.
    pub(super) fn checker(
        &self,
        limiter: &Arc<CheckLimiter>,
        store: Option<Arc<Store>>,
    ) -> Checker {
        let (target, checks) = (Arc::clone(&self.target), Arc::clone(&self.checks));
        let (limiter, account) = (Arc::clone(limiter), Arc::clone(&self.account));
        Checker { target, checks, store, limiter, account }
    }

    /// What is known of it now.
    fn view(self) -> View {
        let Self { target, account, checks, subscriber } = self;
        let (snapshot, inspection) = (account.snapshot(), account.inspection());
        let lacks_junk_folder = account.lacks_junk_folder();
        let due = subscriber.next_send();
        let until = due.and_then(|due| due.checked_duration_since(Instant::now()));
        let next_mail = until.and_then(|until| SystemTime::now().checked_add(until));
        let layers = checks.readings();
        View { target, snapshot, inspection, layers, lacks_junk_folder, next_mail }
    }
}

impl Supervisor {
    /// Every target, by name.
    pub fn views(&self) -> Vec<View> {
        let handles: Vec<TargetHandle> =
            self.state().targets.values().map(|running| running.handle.clone()).collect();
        handles.into_iter().map(TargetHandle::view).collect()
    }

    /// One target.
    pub fn view(&self, name: &str) -> Option<View> {
        self.find(name).map(TargetHandle::view)
    }

    /// One target with what happened lately, and the oldest of the mails that are waited for.
    pub fn details(&self, name: &str, most_awaited: usize) -> Option<Details> {
        let handle = self.find(name)?;
        let (awaited, evidence) = (
            handle.account.read(|ledger, _| ledger.outstanding_mails(most_awaited)),
            handle.account.evidence(),
        );
        let availability = handle.account.availability();
        Some(Details { view: handle.view(), awaited, evidence, availability })
    }

    /// The newest probes of a target, newest first; none of one that is not there.
    pub fn newest_probes(&self, name: &str) -> Vec<Probe> {
        self.find(name).map(|handle| handle.account.newest_probes()).unwrap_or_default()
    }

    /// How a target was over the latest hours and days; `None`: it is not there.
    pub fn availability(&self, name: &str) -> Option<Availability> {
        self.find(name).map(|handle| handle.account.availability())
    }

    fn find(&self, name: &str) -> Option<TargetHandle> {
        let name = TargetName::new(name)?;
        self.state().targets.get(&name).map(|running| running.handle.clone())
    }
}
