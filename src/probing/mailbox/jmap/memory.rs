//! What is known of an account from one session to the next: how far its changes were read, and which of its mails
//! are ours and not yet gone.

use std::collections::BTreeSet;
use std::time::SystemTime;

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

/// What is known of the account from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The state up to which its changes are known; `None` before the first contact.
    pub(super) state: Option<String>,
    /// The folders that were looked into by then.
    folders: Vec<String>,
    /// The mails with which something is to be done.
    pub(super) backlog: Backlog<EmailId>,
    /// Left-overs that are to be judged anew.
    pub(super) recalled: BTreeSet<EmailId>,
    /// When the newest look was asked for that saw all there was.
    pub(super) looked_at: Option<LineInstant>,
    /// How often in a row the server refused to take out what is ours.
    pub(super) refusals: u32,
    /// How often in a row its stream of events has failed.
    pub(super) vain_events: u32,
    not_there: Vec<String>,
    remarks: Vec<String>,
}

impl Memory {
    /// A session looks into these folders: where they are others than before, nothing is known of them.
    pub(super) fn meet(&mut self, places: &Places) {
        if self.folders != places.ids() {
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
        record(&self.backlog, self.looked_at, now)
    }

    /// Goes on from what an earlier process has kept. What was to be removed is read again before.
    pub fn restore(&mut self, record: &FolderRecord, now: Moment) {
        self.looked_at = record.looked_at.and_then(|at| now.moment_of(at));
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

    /// Whether it was judged already: twice would be a duplicate.
    pub(super) fn is_accounted(&self, id: &EmailId) -> bool {
        self.backlog.get(id.clone()).is_some_and(|state| state.is_read() || state.is_broken())
    }

    /// Has a mail judged that lies here.
    pub(super) fn judge(
        &mut self,
        email: &Email,
        place: Place,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) {
        let was_left = self.backlog.kind(email.id.clone()) == Some(Kind::LeftOver);
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
        let is_due = |(id, due): (EmailId, SystemTime)| (due <= now).then_some(id);
        let due: Vec<EmailId> = self.backlog.left_overs().filter_map(is_due).collect();
        for id in due {
            self.backlog.set(id, BacklogState::ToConfirm(Confirmation::default()));
        }
        let is_due = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::PutOff(confirmation, due) if *due <= now => Some((id, *confirmation)),
            _ => None,
        };
        let due: Vec<(EmailId, Confirmation)> = self.backlog.iter().filter_map(is_due).collect();
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
        report: None,
    }
}

/// When a mail may be asked for again that the server did not show.
pub(super) fn later() -> SystemTime {
    clock::wall() + super::reading::BETWEEN_TRIES
}
