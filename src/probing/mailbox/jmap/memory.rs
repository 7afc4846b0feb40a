//! What is known of an account from one session to the next: how far its changes were read, and which of its mails
//! are ours and not yet gone.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::judged::Judged;
use super::listening::Hearing;
use super::places::{Place, Places};
use super::{EmailId, Viewing};
use crate::clock;
use crate::probing::mailbox::backlog::{
    Backlog, BacklogState, Confirmation, Kind, PendingReport, Removal,
};
use crate::probing::mailbox::kept::{from_word, record};
use crate::probing::mailbox::{Disposition, Found, Judge, LEFT_OVERS, TO_REMOVE};
use crate::store::FolderRecord;
use ledger::{LineInstant, Moment};
use mail::jmap::Email;
use mail::test_mail::Header;

/// The most remarks that wait to be reported.
const REMARKS: usize = 20;

/// What is known of the account from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The state up to which its changes are known; `None` before the first contact.
    pub(super) state: Option<String>,
    /// The folders that were looked into by then.
    folders: Vec<String>,
    /// Those that an earlier process has looked into, see [`checksum`]; 0: none.
    kept_folders: u32,
    /// The mails with which something is to be done.
    pub(super) backlog: Backlog<EmailId>,
    /// Left-overs that are to be judged anew.
    pub(super) recalled: BTreeSet<EmailId>,
    /// Those of them with which a session may have ended.
    pub(super) recalled_alone: BTreeSet<EmailId>,
    /// Where mails lay when they were judged.
    judged: Judged,
    /// Whether what has changed was asked for with its headers, and not answered: a session has ended with it.
    pub(super) is_asking: bool,
    /// Whether mails to confirm were asked for, and not answered.
    pub(super) is_confirming: bool,
    /// Whether the server has ever shown a mail.
    pub(super) has_shown: bool,
    /// When the newest look was asked for that saw all there was.
    pub(super) looked_at: Option<LineInstant>,
    /// How often in a row the server refused to take out what is ours.
    pub(super) refusals: u32,
    /// What is known of its stream of events.
    pub(super) hearing: Hearing,
    not_there: Vec<String>,
    remarks: Vec<String>,
}

impl Memory {
    /// A session looks into these folders: where they are others than before, they are read anew, and when the newest
    /// look was is not known of one that nobody has looked into.
    pub(super) fn meet(&mut self, places: &Places) {
        if self.folders != places.ids() {
            let were_looked_into = match self.folders.is_empty() {
                true => self.kept_folders == checksum(places.ids()),
                false => places.ids().iter().all(|id| self.folders.contains(id)),
            };
            if !were_looked_into {
                self.looked_at = None;
            }
            self.folders = places.ids().to_vec();
            self.state = None;
        }
        if self.not_there != places.not_there() {
            self.not_there = places.not_there().to_vec();
            let remark = |folder: &String| format!("the server has no folder {folder}");
            self.remarks.extend(self.not_there.iter().map(remark));
        }
    }

    /// What is left to do, to be kept.
    pub fn record(&self, now: Moment) -> FolderRecord {
        let uid_validity = match self.folders.is_empty() {
            true => self.kept_folders,
            false => checksum(&self.folders),
        };
        FolderRecord { uid_validity, ..record(&self.backlog, self.looked_at, now) }
    }

    /// Goes on from what an earlier process has kept. What was to be removed is read again before.
    pub fn restore(&mut self, record: &FolderRecord, now: Moment) {
        self.looked_at = record.looked_at.and_then(|at| now.moment_of(at));
        self.kept_folders = record.uid_validity;
        for (id, due) in &record.left_overs {
            if let Some(id) = EmailId::read(id) {
                self.backlog.set(id, BacklogState::LeftOver(*due));
            }
        }
        for (id, removal) in record.to_remove.iter().map(|word| from_word(word)) {
            let Some(id) = EmailId::read(id) else { continue };
            self.backlog.set(id, BacklogState::ToConfirm(Confirmation::of(removal)));
        }
    }

    pub(super) fn remark(&mut self, remark: String) {
        if self.remarks.len() < REMARKS {
            self.remarks.push(remark);
        }
    }

    /// Has the left-overs judged anew by the next look: there is somebody who may wait for them.
    pub fn recall_left_overs(&mut self) {
        self.recalled.extend(self.backlog.ids(Kind::LeftOver));
    }

    /// Whether a junk folder that is configured by its use is not there.
    pub fn lacks_junk_folder(&self) -> bool {
        self.not_there.iter().any(|folder| folder.eq_ignore_ascii_case(r"\junk"))
    }

    /// What else there is to know of the mailbox, in sentences; each is given once.
    pub fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    /// Whether a mail is to be asked for that was named: nothing is known of it, or it may have moved.
    pub(super) fn is_to_be_read(&self, id: &EmailId) -> bool {
        matches!(self.backlog.kind(id.clone()), None | Some(Kind::LeftOver))
    }

    /// Whether a mail is to be judged that lies here: twice would be a duplicate, but one that was a copy elsewhere may
    /// be the arrival here, where folders are labels.
    pub(super) fn is_news(&self, id: &EmailId, place: Place) -> bool {
        self.is_to_be_read(id) && self.judged.place(id) != Some(place)
    }

    /// These are gone.
    pub(super) fn forget(&mut self, destroyed: &[EmailId]) {
        for id in destroyed {
            self.backlog.remove(id.clone());
        }
    }

    /// Has a mail judged that lies here.
    pub(super) fn judge(
        &mut self,
        email: &Email,
        place: Place,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) {
        // Of one that lay elsewhere it is known that it was not here.
        let is_here = self.judged.place(&email.id).is_none_or(|before| before == place);
        let was_left = is_here && self.backlog.kind(email.id.clone()) == Some(Kind::LeftOver);
        self.judged.note(&email.id, place);
        let previous_look = viewing.previous_look.filter(|_| !was_left);
        let viewing = Viewing { previous_look, ..viewing };
        let mut found = found(place, viewing, email.received_at);
        found.header = Header::parse(&email.block);
        found.was_left = was_left;
        let disposition = judge(&found);
        self.apply(&email.id, disposition, &found);
    }

    /// Does with a mail what was decided.
    pub(super) fn apply(&mut self, id: &EmailId, disposition: Disposition, found: &Found) {
        let removal = match disposition {
            Disposition::Remove(token) | Disposition::Inspect(token) => {
                let inspects = matches!(disposition, Disposition::Inspect(_));
                let is_answer = !found.header.carries(token);
                Removal { inspects, is_answer, ..Removal::of(Some(token)) }
            }
            Disposition::Discard => Removal::default(),
            Disposition::LeftOver(due) => {
                let due = found.over_by_its_mark(due);
                return self.note(id, Kind::LeftOver, BacklogState::LeftOver(due));
            }
            Disposition::ReadReport => {
                let Found { server_date, previous_look: before, .. } = *found;
                let pending = PendingReport { server_date, before, ..PendingReport::default() };
                return self.note(id, Kind::Report, BacklogState::Report(Box::new(pending)));
            }
            Disposition::Leave => {
                self.backlog.remove(id.clone());
                return;
            }
        };
        if self.backlog.len(Kind::ToRemove) < TO_REMOVE {
            self.backlog.set(id.clone(), BacklogState::ToRemove(removal));
        }
    }

    fn note(&mut self, id: &EmailId, kind: Kind, state: BacklogState) {
        if self.backlog.len(kind) < LEFT_OVERS {
            self.backlog.set(id.clone(), state);
        }
    }

    /// Left-overs whose time has passed are read again, and removed.
    pub(super) fn promote_expired(&mut self, now: SystemTime) {
        if !self.backlog.has(Kind::LeftOver) && !self.backlog.has(Kind::PutOff) {
            return;
        }
        let room = LEFT_OVERS.saturating_sub(self.backlog.len(Kind::ToConfirm));
        let is_due = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::LeftOver(due) if *due <= now => Some((id, Confirmation::default())),
            BacklogState::PutOff(confirmation, due) if *due <= now => Some((id, *confirmation)),
            _ => None,
        };
        let due = self.backlog.iter().filter_map(is_due).take(room);
        let due: Vec<(EmailId, Confirmation)> = due.collect();
        for (id, confirmation) in due {
            self.backlog.set(id, BacklogState::ToConfirm(confirmation));
        }
    }
}

/// A mail of which nothing was read yet.
pub(super) fn found(place: Place, viewing: Viewing, server_date: Option<SystemTime>) -> Found {
    Found {
        header: Header::default(),
        server_date,
        folder: place.kind,
        shown_at: viewing.shown_at,
        asked_at: viewing.asked_at,
        previous_look: viewing.previous_look,
        was_left: false,
        network: viewing.network,
        accounted: BTreeSet::new(),
        block: None,
        is_copy: place.holds_copies,
        has_stamps: true,
        report: None,
    }
}

/// When a mail may be asked for again that the server did not show.
pub(super) fn later() -> SystemTime {
    clock::wall() + super::reading::BETWEEN_TRIES
}

/// Which folders these are, as the store keeps it (FNV-1a, 32 bits).
fn checksum(folders: &[String]) -> u32 {
    let mut ids: Vec<&str> = folders.iter().map(String::as_str).collect();
    ids.sort_unstable();
    let bytes = ids.iter().flat_map(|id| id.bytes().chain([0]));
    let sum =
        bytes.fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    sum.max(1)
}
