//! What the pages and the metrics see of the targets. All of it comes from memory.

use std::sync::Arc;

use super::Supervisor;
use crate::config::{Target, TargetName};
use crate::target::account::Account;
use crate::target::history::Evidence;
use crate::target::inspection::Inspection;
use crate::target::ledger::{Awaited, Snapshot};

/// A target with everything that is known of it.
#[derive(Debug, Clone)]
pub struct View {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account, now.
    pub snapshot: Snapshot,
    /// What the header of the newest mail has told.
    pub inspection: Option<Arc<Inspection>>,
}

impl View {
    fn of(target: Arc<Target>, account: &Account) -> Self {
        Self { target, snapshot: account.snapshot(), inspection: account.inspection() }
    }
}

/// Everything that is known of a target.
#[derive(Debug, Clone)]
pub struct Details {
    /// The target and its account.
    pub view: View,
    /// The mails that are waited for, oldest first, as many as were asked for at most.
    pub awaited: Vec<Awaited>,
    /// What happened lately.
    pub evidence: Evidence,
}

impl Supervisor {
    /// Every target, by name.
    pub fn views(&self) -> Vec<View> {
        let accounts: Vec<(Arc<Target>, Arc<Account>)> = self
            .state()
            .targets
            .values()
            .map(|running| (Arc::clone(&running.target), Arc::clone(&running.account)))
            .collect();
        accounts.into_iter().map(|(target, account)| View::of(target, &account)).collect()
    }

    /// One target.
    pub fn view(&self, name: &str) -> Option<View> {
        let (target, account) = self.find(name)?;
        Some(View::of(target, &account))
    }

    /// One target with what happened lately, and the oldest of the mails that are waited for.
    pub fn details(&self, name: &str, most_awaited: usize) -> Option<Details> {
        let (target, account) = self.find(name)?;
        let view = View::of(target, &account);
        Some(Details { view, awaited: account.awaited(most_awaited), evidence: account.evidence() })
    }

    fn find(&self, name: &str) -> Option<(Arc<Target>, Arc<Account>)> {
        let name = TargetName::new(name)?;
        let state = self.state();
        let running = state.targets.get(&name)?;
        Some((Arc::clone(&running.target), Arc::clone(&running.account)))
    }
}
