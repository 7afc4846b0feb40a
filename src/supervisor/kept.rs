//! What the store has of the targets that begin, or come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Supervisor;
use super::plan::Plan;
use crate::checks::readings::{Checks, Counters};
use crate::config::{Config, TargetName};
use ledger::StoredAccount;

/// Of each target its account, and the counters of the layers below; nothing of one that is new.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) accounts: BTreeMap<TargetName, StoredAccount>,
    counters: BTreeMap<TargetName, Counters>,
}

impl Kept {
    /// The checks of the layers below, which go on counting.
    pub(super) fn checks(&mut self, target: &TargetName) -> Arc<Checks> {
        Arc::new(Checks::counted(self.counters.remove(target).unwrap_or_default()))
    }
}

impl Supervisor {
    /// What the store has of the targets that begin, or come back.
    pub(super) async fn load_new(&self, config: &Config, plan: &Plan) -> Kept {
        let Some(store) = &self.store else { return Kept::default() };
        let counters = store.load_layers(plan.starts.iter().cloned().collect()).await;
        let targets = plan.starts.iter().filter_map(|name| config.targets.get_key_value(name));
        let news = targets.map(|(name, target)| (name.clone(), target.lost_after));
        Kept { accounts: store.load(news.collect()).await, counters }
    }
}
