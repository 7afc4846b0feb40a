//! What waits to be written: the newest state of each target, mail and folder.

use std::collections::BTreeMap;

use super::{FolderKey, FolderRecord};
use crate::config::{Secret, TargetName};
use crate::layers::readings::Counters;
use crate::target::ledger::Changes;

/// The most records of mails that wait to be written. Beyond it those of further mails are dropped;
/// the accounts stay complete.
pub(super) const MOST_MAILS: usize = 100_000;

/// The newest states that are not written yet.
#[derive(Default)]
pub(super) struct Work {
    pub(super) accounts: BTreeMap<TargetName, Changes>,
    pub(super) layers: BTreeMap<TargetName, Counters>,
    pub(super) folders: BTreeMap<FolderKey, FolderRecord>,
    pub(super) refresh_tokens: BTreeMap<String, Secret>,
    mails: usize,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        let Self { accounts, layers, folders, refresh_tokens, mails: _ } = self;
        accounts.is_empty() && layers.is_empty() && folders.is_empty() && refresh_tokens.is_empty()
    }

    /// Adds newer states, and says how many records there was no room for.
    pub(super) fn record(&mut self, target: &TargetName, mut changes: Changes) -> u64 {
        let queued = self.accounts.entry(target.clone()).or_default();
        let before = queued.mails.len();
        let mut room = MOST_MAILS.saturating_sub(self.mails);
        let mut dropped = 0;
        changes.mails.retain(|token, _| {
            if queued.mails.contains_key(token) {
                return true;
            }
            let fits = room > 0;
            room = room.saturating_sub(1);
            dropped += u64::from(!fits);
            fits
        });
        queued.then(changes);
        self.mails += queued.mails.len() - before;
        dropped
    }

    /// Adds newer work.
    pub(super) fn then(&mut self, newer: Self) -> u64 {
        self.layers.extend(newer.layers);
        self.folders.extend(newer.folders);
        self.refresh_tokens.extend(newer.refresh_tokens);
        newer.accounts.into_iter().map(|(target, changes)| self.record(&target, changes)).sum()
    }
}
