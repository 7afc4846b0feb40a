//! Taking out what is ours, and nothing else: where the server takes out all mails that are marked as
//! deleted or none, only once no mail of somebody else is marked.

use std::collections::BTreeSet;

use super::tries::Tries;
use super::{Memory, Session};
use crate::probing::mailbox::backlog::Kind;
use crate::probing::mailbox::{Inspector, Judge, STILL_THERE, Since, reports};
use ledger::{Failure, Reason, Step};
use mail::imap::{Imap, Shown};
use mail::test_mail::Header;
use mail::{Fault, Interrupted, text};

/// How many mails that others have marked are read, to see whether they are test mails.
const MARKED: usize = 20;

impl Session {
    /// Whether [`Session::remove`] has something to do. A server that has refused it three times in
    /// a row is asked again at checks only.
    pub fn has_to_remove(&self, memory: &Memory, is_check: bool) -> bool {
        self.folders.iter().any(|folder| memory.is_to_be_cleared(&folder.name, is_check))
    }

    /// Takes out what is ours, once the inspector has read what it wants to, and left-overs whose time
    /// has passed, folder by folder: one that refuses does not stop the others. Then the first folder is
    /// selected again, and what came meanwhile is judged.
    ///
    /// # Errors
    /// What was not taken out is tried again next time; whether the session can be used for that, the kind
    /// of the error says.
    pub async fn remove(
        &mut self,
        memory: &mut Memory,
        inspector: &Inspector,
        is_check: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), NotRemoved> {
        let outcome = self.remove_everywhere(memory, inspector, is_check, since, judge).await;
        self.end(memory, outcome)
    }

    async fn remove_everywhere(
        &mut self,
        memory: &mut Memory,
        inspector: &Inspector,
        is_check: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), NotRemoved> {
        let mut outcome = Ok(());
        for index in (0..self.folders.len()).rev() {
            let Some(folder) = self.folders.get(index) else { continue };
            let name = folder.name.clone();
            if !memory.is_to_be_cleared(&name, is_check) {
                continue;
            }
            match self.remove_from(index, &name, memory, inspector, since, judge).await {
                Ok(()) => memory.folder(&name).refusals = 0,
                Err(NotRemoved::Refused(failure)) => {
                    memory.folder(&name).refusals += 1;
                    let failure = Failure { step: Step::Remove, ..failure };
                    outcome = Err(NotRemoved::Refused(failure));
                }
                Err(NotRemoved::Broken(failure)) => {
                    let failure = Failure { step: Step::Remove, ..failure };
                    return Err(NotRemoved::Broken(failure));
                }
            }
        }
        if self.selected != Some(0) {
            // A session that has no folder selected would look into nothing and report nothing.
            let opened = self.select_and_look(0, memory, since, judge).await;
            opened.map_err(|error| NotRemoved::Broken(error.into()))?;
        } else if let Some(announced) = self.imap.pending_news() {
            // What the server announced meanwhile arrived now, not when somebody looks next.
            self.look_now(memory, Some(announced), false, since, judge).await?;
        }
        outcome
    }

    async fn remove_from(
        &mut self,
        index: usize,
        name: &[u8],
        memory: &mut Memory,
        inspector: &Inspector,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), NotRemoved> {
        if self.selected != Some(index) {
            self.select_and_look(index, memory, since, judge).await?;
        }
        let known = memory.folder(name);
        known.inspect(&mut self.imap, inspector).await?;
        let uids = known.to_clear();
        if !uids.is_empty() {
            self.clear(&uids, name, memory).await?;
        }
        // Last: one that cannot be read again must not hold up the others.
        if !memory.folder(name).backlog.has(Kind::ToConfirm) {
            return Ok(());
        }
        if self.selected != Some(index) {
            self.select_and_look(index, memory, since, judge).await?;
        }
        Ok(memory.folder(name).confirm(&mut self.imap).await?)
    }

    /// Takes out these mails, which are ours, of the selected folder.
    async fn clear(
        &mut self,
        uids: &[u32],
        name: &[u8],
        memory: &mut Memory,
    ) -> Result<(), NotRemoved> {
        let known = memory.folder(name);
        let in_the_way = match &self.trash {
            Some(trash) if trash != name => {
                let there = self.imap.move_to(uids, trash).await?;
                self.selected = None;
                self.imap.select(trash).await?;
                // Nothing but what was moved: others' mail lies there as well.
                match there.is_empty() {
                    true => None,
                    false => take_out(&mut self.imap, &there, &mut Tries::default()).await?,
                }
            }
            _ => take_out(&mut self.imap, uids, &mut known.strangers).await?,
        };
        let is_new = known.mark_expunged(uids, in_the_way.is_none());
        let failure = |fault| self.imap.trace().failure(fault);
        match in_the_way {
            Some(stranger) => {
                let fault = Fault::new(Reason::Marked, waits_for(stranger, name, uids.len()));
                Err(NotRemoved::Refused(failure(fault)))
            }
            // Another session may show what this one does not.
            None if !is_new => {
                Err(NotRemoved::Broken(failure(Fault::new(Reason::Other, STILL_THERE))))
            }
            None => Ok(()),
        }
    }
}

/// Why mails of ours were not taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRemoved {
    /// The server refused, or somebody else's mail is in the way; the session goes on.
    Refused(Failure),
    /// The session is of no more use.
    Broken(Failure),
}

impl From<Interrupted> for NotRemoved {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Refused(refusal) => NotRemoved::Refused(refusal.failure),
            Interrupted::Broken(failure) => NotRemoved::Broken(failure),
        }
    }
}

impl From<Failure> for NotRemoved {
    fn from(failure: Failure) -> Self {
        NotRemoved::Broken(failure)
    }
}

impl From<NotRemoved> for Failure {
    fn from(not_removed: NotRemoved) -> Self {
        match not_removed {
            NotRemoved::Refused(failure) | NotRemoved::Broken(failure) => failure,
        }
    }
}

/// Takes mails out of the selected folder. Gives a mail of somebody else that stands in the way: it is
/// marked as deleted too, and would go with ours, which are then only marked.
async fn take_out(
    imap: &mut Imap,
    uids: &[u32],
    tries: &mut Tries,
) -> Result<Option<u32>, Interrupted> {
    imap.mark_deleted(uids).await?;
    if imap.expunges_by_uid() {
        imap.expunge_these(uids).await?;
        return Ok(None);
    }
    let deleted = imap.marked_deleted().await?;
    if deleted.is_empty() {
        // Nothing is marked, or the answer was not understood: EXPUNGE might take another's mail.
        return Ok(None);
    }
    let ours: BTreeSet<u32> = uids.iter().copied().collect();
    let others = deleted.rising().filter(|uid| !ours.contains(uid)).take(MARKED + 1);
    for (index, uid) in others.enumerate() {
        // Another instance has marked its own, and waits for ours as we would for it.
        // One at which the session breaks again and again is none that may be taken out.
        if index >= MARKED || tries.begin(uid) {
            return Ok(Some(uid));
        }
        let whose = is_test_mail(imap, uid).await?;
        tries.end(uid);
        if whose != Whose::Ours {
            return Ok(Some(uid));
        }
    }
    imap.expunge().await?;
    Ok(None)
}

/// What a mail turned out to be that was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Anybody of us may take it out.
    Ours,
    /// Somebody else's.
    Strangers,
    /// It is not there any more.
    Nobodys,
    /// The server does not show it.
    Unknown,
}

/// Whether the header of this mail is one of ours.
pub(super) async fn whose(
    imap: &mut Imap,
    uid: u32,
    is_ours: impl FnOnce(&Header) -> bool,
) -> Result<Whose, Failure> {
    Ok(match imap.show_header(uid).await? {
        Shown::Bytes(block) if is_ours(&Header::parse(&block)) => Whose::Ours,
        Shown::Bytes(_) => Whose::Strangers,
        Shown::Gone => Whose::Nobodys,
        Shown::Refused => Whose::Unknown,
    })
}

/// Whether this is a test mail of anybody, or a report about one.
pub(super) async fn is_test_mail(imap: &mut Imap, uid: u32) -> Result<Whose, Failure> {
    let mut is_report = false;
    let by_header = whose(imap, uid, |header| {
        is_report = header.mark.is_none() && header.is_delivery_report;
        header.mark.is_some()
    });
    let whose = by_header.await?;
    if !is_report {
        return Ok(whose);
    }
    Ok(match imap.beginning(uid).await? {
        Some(mail) if reports::is_about_a_test_mail(&mail) => Whose::Ours,
        Some(_) => Whose::Strangers,
        None => Whose::Unknown,
    })
}

fn waits_for(stranger: u32, folder: &[u8], count: usize) -> String {
    let folder = text::shown(folder);
    format!(
        "{count} of our mails stay in the folder {folder}, marked as deleted: somebody else's mail there \
         (UID {stranger}) is marked too, and without UIDPLUS the server takes out all marked mails or none"
    )
}
