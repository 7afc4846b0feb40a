//! The mailboxes of the account: listed when a session begins, and again when a mail lies in one that was not there then.

use std::collections::BTreeSet;

use super::Session;
use super::memory::Memory;
use super::places::Places;
use crate::config::Folder;
use crate::probing::mailbox::{Judge, Since};
use ledger::{Failure, Reason};
use mail::Fault;
use mail::jmap::Jmap;

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
    /// Takes note of a mail that lies in a mailbox that was not listed: some servers make the folder for junk with the
    /// first mail that is junk.
    pub(super) fn note_unlisted(&mut self, mailboxes: &[String]) {
        for id in mailboxes {
            if self.listed.len() < LISTED && !self.listed.contains(id) {
                self.has_unlisted |= self.listed.insert(id.clone());
            }
        }
    }

    /// Lists the mailboxes again if a mail lies in one that was not there, and then reads the newest mails anew if the
    /// folders are others by now; whether they are.
    ///
    /// # Errors
    /// As those of [`list`] and of the first contact.
    pub(super) async fn meet_unlisted(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<bool, Failure> {
        let are_others = std::mem::take(&mut self.has_unlisted) && self.list_again(memory).await?;
        if are_others {
            self.meet(memory, since, judge).await?;
        }
        Ok(are_others)
    }

    /// Lists them again; whether the folders are others by now.
    ///
    /// # Errors
    /// As those of [`list`].
    async fn list_again(&mut self, memory: &mut Memory) -> Result<bool, Failure> {
        let (places, listed) = list(&mut self.jmap, &self.folders).await?;
        self.listed.extend(listed);
        let are_others = places.ids() != self.places.ids();
        self.places = places;
        memory.meet(&self.places);
        Ok(are_others)
    }
}
