//! What waits to be written: the newest state of each target, mail and folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;

use super::{FolderKey, FolderRecord, KeptFinding, KeptInspection, LayerRecord};
use super::{findings, inspection, readings, rows};
use crate::config::{Secret, TargetName};
use ledger::{AvailabilityChanges, Changes};

/// The most records of mails that wait to be written. Beyond it those of further mails are dropped;
/// the accounts stay complete.
pub(super) const MOST_MAILS: usize = 100_000;

/// How long a measurement waits for other changes to be written with: there is one soon, for a mail that
/// was sent is looked for.
const LINGER: Duration = Duration::from_secs(1);

/// The newest states that are not written yet.
#[derive(Default)]
pub(super) struct Work {
    pub(super) accounts: BTreeMap<TargetName, Changes>,
    pub(super) layers: BTreeMap<TargetName, LayerRecord>,
    /// `None`: there is none any more.
    pub(super) inspections: BTreeMap<TargetName, Option<KeptInspection>>,
    pub(super) findings: BTreeMap<TargetName, Vec<KeptFinding>>,
    pub(super) availabilities: BTreeMap<TargetName, AvailabilityChanges>,
    pub(super) folders: BTreeMap<FolderKey, FolderRecord>,
    pub(super) refresh_tokens: BTreeMap<String, Secret>,
    mails: usize,
    /// When it is to be written.
    due: Option<Instant>,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.availabilities.is_empty() && !self.is_more_than_availabilities()
    }

    /// Whether there is more than how the targets were.
    pub(super) fn is_more_than_availabilities(&self) -> bool {
        let Self { accounts, layers, inspections, findings, folders, refresh_tokens, .. } = self;
        let has_measured = !(accounts.is_empty() && layers.is_empty() && inspections.is_empty());
        has_measured || !findings.is_empty() || !folders.is_empty() || !refresh_tokens.is_empty()
    }

    /// Writes all but how the targets were.
    pub(super) fn write_accounts(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (target, changes) in &self.accounts {
            rows::write_changes(connection, target, changes)?;
        }
        for (target, record) in &self.layers {
            readings::write(connection, target, record)?;
        }
        for (target, kept) in &self.inspections {
            inspection::write(connection, target, kept.as_ref())?;
        }
        for (target, found) in &self.findings {
            findings::write(connection, target, found)?;
        }
        for (folder, record) in &self.folders {
            rows::write_folder(connection, folder, record)?;
        }
        for (origin, token) in &self.refresh_tokens {
            rows::write_refresh_token(connection, origin, token)?;
        }
        Ok(())
    }

    /// When it is to be written; `None`: there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_empty())
    }

    /// A mail or a counter was added, which is to be written at once: one that a killed process has not written
    /// was perhaps scraped, and a mail without its acceptance is doubtful.
    pub(super) fn press(&mut self) {
        self.within(Duration::ZERO);
    }

    /// Something was added that may wait for company.
    pub(super) fn linger(&mut self) {
        self.within(LINGER);
    }

    fn within(&mut self, wait: Duration) {
        let due = Instant::now() + wait;
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Adds newer states, and says how many records there was no room for.
    pub(super) fn record(&mut self, target: &TargetName, mut changes: Changes) -> u64 {
        if changes.is_measurement() {
            self.linger();
        } else {
            self.press();
        }
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

    /// Adds how a target was.
    pub(super) fn record_availability(&mut self, target: TargetName, changes: AvailabilityChanges) {
        if changes.is_empty() {
            return;
        }
        self.linger();
        match self.availabilities.entry(target) {
            Entry::Occupied(mut known) => known.get_mut().then(changes),
            Entry::Vacant(room) => {
                room.insert(changes);
            }
        }
    }

    /// Adds newer work.
    pub(super) fn then(&mut self, newer: Self) -> u64 {
        self.due = self.due.into_iter().chain(newer.due).min();
        self.layers.extend(newer.layers);
        self.inspections.extend(newer.inspections);
        self.findings.extend(newer.findings);
        self.folders.extend(newer.folders);
        self.refresh_tokens.extend(newer.refresh_tokens);
        for (target, changes) in newer.availabilities {
            self.record_availability(target, changes);
        }
        newer.accounts.into_iter().map(|(target, changes)| self.record(&target, changes)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{AccountRecord, Newest};

    #[test]
    fn what_is_added_waits_for_company_and_no_longer_than_it_may() {
        let target = TargetName::new("one").unwrap();
        let (mut work, now) = (Work::default(), Instant::now());
        assert_eq!(work.due(), None);
        let measured = Changes { newest: Some(Newest::default()), ..Changes::default() };
        work.record(&target, measured.clone());
        let due = work.due().unwrap();
        assert!(due >= now + LINGER);
        work.record(&target, measured.clone());
        assert_eq!(work.due(), Some(due), "the first of them waits no longer");
        let counted = Changes { account: Some(AccountRecord::default()), ..Changes::default() };
        work.record(&target, counted.clone());
        let due = work.due().unwrap();
        assert!(due <= Instant::now(), "a counter does not wait");
        work.record(&target, counted.clone());
        assert_eq!(work.due(), Some(due));
        let changes = work.accounts.remove(&target).unwrap();
        assert!(changes.newest.is_some() && changes.account.is_some(), "written together");

        // What could not be written is due as before.
        let (mut failed, mut newer) = (Work::default(), Work::default());
        failed.record(&target, measured);
        newer.record(&target, counted);
        let due = newer.due();
        failed.then(newer);
        assert_eq!(failed.due(), due);
    }
}
