//! The mailboxes of the account: listed when a session begins, and again when a mail lies in one that was not there then.

use std::collections::BTreeSet;

use super::Session;
use super::memory::Memory;
use super::places::Places;
use crate::config::Folder;
use ledger::{Failure, Reason};
use mail::Fault;
use mail::jmap::{Changes, Email, Jmap};

/// How many mailboxes are told apart.
const LISTED: usize = 4000;

/// Lists the mailboxes, and finds these folders, and those where nobody receives, among them.
///
/// # Errors
/// The connection's, a refusal, or a folder that is named and not there.
pub(super) async fn list(
    jmap: &mut Jmap,
    (folders, copy_folders): &(Vec<Folder>, Vec<Folder>),
) -> Result<(Places, BTreeSet<String>), Failure> {
    let mailboxes = jmap.mailboxes().await?;
    let places = Places::find(&mailboxes, folders, copy_folders).map_err(|missing| {
        let message = format!("the server has no folder {missing}");
        jmap.trace().failure(Fault::new(Reason::Other, message))
    })?;
    Ok((places, mailboxes.into_iter().map(|mailbox| mailbox.id).collect()))
}

impl Session {
    /// Whether one of these lies in a mailbox that was not listed: some servers make the folder for junk with the first
    /// mail that is junk.
    pub(super) fn has_unlisted(&mut self, changes: &Changes) -> bool {
        let mails = changes.emails.iter().chain(&changes.places);
        let mut has_unlisted = false;
        for id in mails.flat_map(|email: &Email| &email.mailboxes) {
            if self.listed.len() < LISTED && !self.listed.contains(id) {
                has_unlisted |= self.listed.insert(id.clone());
            }
        }
        has_unlisted
    }

    /// Lists them again; whether the folders are others by now.
    ///
    /// # Errors
    /// As those of [`list`].
    pub(super) async fn list_again(&mut self, memory: &mut Memory) -> Result<bool, Failure> {
        let (places, listed) = list(&mut self.jmap, &self.folders).await?;
        self.listed.extend(listed);
        let are_others = places.ids() != self.places.ids();
        self.places = places;
        memory.meet(&self.places);
        Ok(are_others)
    }
}
