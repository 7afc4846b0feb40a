//! What a configuration changes in the running set: a comparison without effects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::{MailboxId, Target, TargetName};

/// Targets by name.
pub(super) type Targets = BTreeMap<TargetName, Arc<Target>>;

/// What runs before a change.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) targets: Targets,
    /// Those of the targets whose loops have ended, as after a reload that was broken off.
    pub(super) idle: BTreeSet<TargetName>,
    pub(super) mailboxes: BTreeSet<MailboxId>,
}

/// The way from what runs to another configuration. A target that is neither started, stopped nor
/// changed keeps its loops.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// Targets that begin.
    pub(super) starts: BTreeSet<TargetName>,
    /// Targets that end.
    pub(super) stops: BTreeSet<TargetName>,
    /// Targets whose loops begin anew while their account stays.
    pub(super) changes: BTreeMap<TargetName, Change>,
    /// Mailboxes that get a handle, and a loop that reads them.
    pub(super) opens: BTreeSet<MailboxId>,
    /// Mailboxes that no target uses any more.
    pub(super) closes: BTreeSet<MailboxId>,
    /// All mailboxes with the targets they work for. Each gets them anew, also where none of them
    /// changes.
    pub(super) mailboxes: BTreeMap<MailboxId, Vec<(TargetName, Part)>>,
}

/// What a change means for the account of a target. Its rules follow the new configuration in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Change {
    /// It receives in another mailbox: nobody finishes the check that is under way.
    pub(super) moves: bool,
    /// Headers are not read any more.
    pub(super) ends_inspection: bool,
}

/// What a target wants of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Its mails.
    Recipient,
    /// The reports about them.
    Sender,
}

impl Plan {
    /// Compares what runs with the targets that are to run.
    pub(super) fn of(present: &Present, new: &Targets) -> Self {
        let mut plan = Self::default();
        plan.stops.extend(present.targets.keys().filter(|name| !new.contains_key(*name)).cloned());
        for (name, target) in new {
            match present.targets.get(name) {
                None => {
                    plan.starts.insert(name.clone());
                }
                Some(before) if before == target && !present.idle.contains(name) => {}
                Some(before) => {
                    plan.changes.insert(name.clone(), Change::of(before, target));
                }
            }
            plan.subscribe(name, target);
        }
        let (open, used) = (&present.mailboxes, &plan.mailboxes);
        plan.opens = used.keys().filter(|id| !open.contains(*id)).cloned().collect();
        plan.closes = open.iter().filter(|id| !used.contains_key(*id)).cloned().collect();
        plan
    }

    fn subscribe(&mut self, name: &TargetName, target: &Target) {
        if let Some(side) = &target.receive {
            let receive = self.mailboxes.entry(side.mailbox_id()).or_default();
            receive.push((name.clone(), Part::Recipient));
        }
        if let Some(side) = &target.sender_mailbox {
            let sender = self.mailboxes.entry(side.mailbox_id()).or_default();
            sender.push((name.clone(), Part::Sender));
        }
    }
}

impl Change {
    fn of(old: &Target, new: &Target) -> Self {
        Self { moves: old.mailbox() != new.mailbox(), ends_inspection: !new.inspect }
    }
}

#[cfg(test)]
mod tests;
