//! What the mailbox has to tell besides its mails: mails of others that are passed over because a session
//! breaks at them, UIDs that went back, folders that are not there.

use super::Session;
use super::memory::Memory;
use crate::mail::imap::Broken;
use crate::mail::{Failure, text};
use crate::mailbox::LEFT_OVERS;
use crate::target::message::Header;

/// The most remarks that wait to be told.
const REMARKS: usize = 20;

impl Memory {
    /// What people should know of the mailbox, in sentences; each is given once.
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Whether the newest session broke at a mail that the next passes over; told once.
    pub fn has_learned_to_pass_over(&mut self) -> bool {
        std::mem::take(&mut self.passes_over_more)
    }

    /// Whether there is a folder for junk, named by its use, that the server does not have: junk was not
    /// looked for.
    pub fn lacks_junk_folder(&self) -> bool {
        self.not_there.iter().any(|folder| folder.eq_ignore_ascii_case(r"\junk"))
    }

    /// The next UID of a folder has gone back.
    pub(super) fn uids_went_back(&mut self, name: &[u8], (from, to): (u32, u32)) {
        let name = text::shown(name);
        self.remark(format!(
            "the next UID of the folder {name} went back from {from} to {to} under the same UIDVALIDITY, \
             as by a restored backup; the folder is read anew"
        ));
    }

    /// A session broke at a mail. One of ours is no mail to be passed over: that the server cannot show
    /// it is what there is to tell.
    fn pass_over(&mut self, name: &[u8], broken: &Broken) {
        let header = broken.header.as_deref().map(Header::parse);
        if header.as_ref().is_some_and(Header::names_a_token) {
            return;
        }
        let known = self.folder(name);
        // Its header was shown, whatever followed.
        known.has_ever_shown |= header.is_some();
        known.unread.remove(&broken.uid);
        if known.broken.len() >= LEFT_OVERS || !known.broken.insert(broken.uid) {
            return;
        }
        self.passes_over_more = true;
        let (name, uid) = (text::shown(name), broken.uid);
        self.remark(format!(
            "the mail with UID {uid} in the folder {name}, which is none of ours, cannot be read: the server \
             sends another number of bytes than it announces; it is passed over"
        ));
    }

    fn remark(&mut self, remark: String) {
        if self.remarks.len() < REMARKS {
            self.remarks.push(remark);
        }
    }
}

impl Session {
    /// What was learned of the server holds for this session.
    pub(super) fn begin(&mut self, memory: &mut Memory) {
        self.imap.set_asks_whole_headers(memory.asks_whole_headers);
        memory.not_there.clone_from(&self.not_there);
    }

    /// What this session has learned holds for the next, which does not break where this one did.
    pub(super) fn end<T>(
        &mut self,
        memory: &mut Memory,
        outcome: Result<T, Failure>,
    ) -> Result<T, Failure> {
        memory.asks_whole_headers |= self.imap.asks_whole_headers();
        let folder = self.selected.and_then(|index| self.folders.get(index));
        if outcome.is_err()
            && let (Some(broken), Some(folder)) = (self.imap.take_broken(), folder)
        {
            memory.pass_over(&folder.name, &broken);
        }
        outcome
    }
}
