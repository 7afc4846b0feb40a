//! Remarks about the mailbox besides its mails: mails of others that are passed over because a session
//! breaks at them, UIDs that went back, folders that are not there.

use super::Session;
use super::folder_state::{FolderState, Memory};
use crate::probing::mailbox::LEFT_OVERS;
use crate::probing::mailbox::backlog::{BacklogState, Kind};
use mail::imap::Broken;
use mail::test_mail::Header;
use mail::text;

/// The most remarks that wait to be reported.
const REMARKS: usize = 20;

impl Memory {
    /// What people should know of the mailbox, in sentences; each is given once.
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Whether the newest session broke at a mail that the next passes over; reported once. `is_ours` says
    /// whether somebody waits for the mail with this header.
    pub fn learn_to_pass_over(&mut self, is_ours: impl Fn(&Header) -> bool) -> bool {
        let Some((name, broken)) = self.broke_at.take() else { return false };
        let has_line = broken.header.as_deref().is_some_and(|header| header.contains(&b'\n'));
        if !broken.is_proven && !has_line {
            // It may be any mail.
            return false;
        }
        let header = broken.header.as_deref().map(Header::parse);
        // Anybody may write a mark, or a token that is none.
        if header.is_some_and(|header| is_ours(&header)) {
            return false;
        }
        self.pass_over(&name, &broken)
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

    /// A session broke at a mail, which is none of ours: that the server cannot show one of ours is what
    /// there is to report. Whether it is passed over from now on.
    fn pass_over(&mut self, name: &[u8], broken: &Broken) -> bool {
        let known = self.folder(name);
        if !broken.is_proven && !known.breaks.begin(broken.uid) {
            return false;
        }
        // Its header was shown, whatever followed.
        known.has_ever_shown |= broken.is_proven && broken.header.is_some();
        if !known.note_broken(broken.uid) {
            return false;
        }
        let does = match broken.is_proven {
            true => "sends another number of bytes than it announces",
            false => "falls silent in the middle of it, again and again",
        };
        let (name, uid) = (text::shown(name), broken.uid);
        self.remark(format!(
            "the mail with UID {uid} in the folder {name}, which is none of ours, cannot be read: the server \
             {does}; it is passed over"
        ));
        true
    }

    fn remark(&mut self, remark: String) {
        if self.remarks.len() < REMARKS {
            self.remarks.push(remark);
        }
    }
}

impl FolderState {
    /// A mail that is not asked for again; whether it was before. Of those behind which the folder was read
    /// few are remembered: only a look at the newest mails would meet them.
    pub(super) fn note_broken(&mut self, uid: u32) -> bool {
        self.breaks.end(uid);
        if self.is_broken(uid) {
            return false;
        }
        if let Some(removal) = self.backlog.removal_mut(uid) {
            removal.is_broken = true;
            return true;
        }
        let first = self.backlog.first(Kind::Broken);
        if self.backlog.len(Kind::Broken) >= LEFT_OVERS
            && let Some(first) = first.filter(|first| *first < self.next_uid)
        {
            self.backlog.remove(first);
        }
        match self.backlog.len(Kind::Broken) >= LEFT_OVERS {
            true => {
                self.backlog.remove(uid);
                self.move_past(uid);
            }
            false => drop(self.backlog.set(uid, BacklogState::Broken)),
        }
        true
    }
}

impl Session {
    /// What was learned of the server holds for this session.
    pub(super) fn begin(&mut self, memory: &mut Memory) {
        self.imap.set_asks_whole_headers(memory.asks_whole_headers);
        memory.not_there.clone_from(&self.not_there);
    }

    /// What this session has learned holds for the next, which does not break where this one did.
    pub(super) fn end<T, E>(&mut self, memory: &mut Memory, outcome: Result<T, E>) -> Result<T, E> {
        memory.asks_whole_headers |= self.imap.asks_whole_headers();
        let folder = self.selected.and_then(|index| self.folders.get(index));
        if outcome.is_err()
            && let (Some(broken), Some(folder)) = (self.imap.take_broken(), folder)
        {
            memory.broke_at = Some((folder.name.clone(), broken));
        }
        outcome
    }
}
