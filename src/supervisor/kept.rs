//! What the store has of the targets that begin, or come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Supervisor;
use super::plan::Plan;
use crate::account::Account;
use crate::config::{Config, Target, TargetName};
use crate::layers::readings::Checks;
use crate::standing::findings::Standing;
use crate::store::{LayerRecord, StoredTarget};
use ledger::Rules;

/// What is kept of each target; nothing of one that is new.
#[derive(Debug, Default)]
pub(super) struct Kept {
    targets: BTreeMap<TargetName, StoredTarget>,
}

impl Kept {
    /// The layers below a target, which go on.
    pub(super) fn checks(&mut self, target: &TargetName) -> Arc<Checks> {
        let stored = self.targets.get_mut(target);
        let layers = stored.map_or_else(LayerRecord::default, |it| std::mem::take(&mut it.layers));
        Arc::new(Checks::restored(layers))
    }

    /// What was found about a target outside its mails.
    pub(super) fn standing(&mut self, target: &TargetName) -> Arc<Standing> {
        let stored = self.targets.get_mut(target);
        let findings = stored.map_or_else(Vec::new, |it| std::mem::take(&mut it.findings));
        Arc::new(Standing::restored(findings))
    }
}

impl Supervisor {
    /// What the store has of the targets that begin, or come back.
    pub(super) async fn load_new(&self, config: &Config, plan: &Plan) -> Kept {
        let Some(store) = &self.store else { return Kept::default() };
        let targets = plan.starts.iter().filter_map(|name| config.targets.get_key_value(name));
        let news = targets.map(|(name, target)| (name.clone(), Rules::from(&**target).remember()));
        Kept { targets: store.load(news.collect()).await }
    }

    /// The account of a target that begins, or comes back.
    pub(super) fn open_account(&self, target: &Target, kept: &Kept) -> Account {
        let (name, rules) = (target.name.clone(), Rules::from(target));
        let account = match (&self.store, kept.targets.get(&target.name)) {
            (Some(store), Some(stored)) => {
                let mailbox = target.mailbox().filter(|_| target.inspect);
                Account::restore(name, rules, &stored.account, Arc::clone(store))
                    .with_inspection(stored.inspection.clone(), mailbox.as_deref())
            }
            (Some(store), None) => {
                Account::restore(name, rules, &Default::default(), Arc::clone(store))
            }
            (None, _) => Account::new(name, rules),
        };
        account.with_archive(Arc::clone(&self.archive))
    }
}
