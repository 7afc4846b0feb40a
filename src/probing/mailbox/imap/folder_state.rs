//! What is known of the folders of a mailbox from one session to the next: how far each was read,
//! and which mails in it are ours and not yet gone.

use std::collections::{BTreeMap, BTreeSet};

use super::noop::NoopSupport;
use super::progress::Progress;
use super::reading::Viewing;
use super::tries::Tries;
use crate::clock::on_time_line;
use crate::probing::mailbox::backlog::{
    Backlog, BacklogState, Confirmation, Kind, PendingReport, Removal, Unread,
};
use crate::probing::mailbox::{
    Disposition, Found, Inspector, Judge, LEFT_OVERS, REMOVAL_TRIES, TO_REMOVE,
};
use crate::store::FolderRecord;
use ledger::Failure;
use ledger::LineInstant;
use ledger::Moment;
use ledger::Token;
use mail::imap::{Broken, Fetched, Imap, Selected};
use mail::test_mail::Header;

/// How many of the mails that are gone, as the server says, are remembered: one that is not is shown again
/// soon, and each takes memory of every target for good.
const EXPUNGED: usize = 50;

/// What is known of the folders from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    folders: BTreeMap<Vec<u8>, FolderState>,
    pub(super) noop: NoopSupport,
    /// Whether the server gives no header but a whole one.
    pub(super) asks_whole_headers: bool,
    /// The folders named by their use that the server does not have, as they are configured.
    pub(super) not_there: Vec<String>,
    pub(super) remarks: Vec<String>,
    /// The folder and the mail at which the newest session broke.
    pub(super) broke_at: Option<(Vec<u8>, Broken)>,
}

#[derive(Debug, Default)]
pub(super) struct FolderState {
    /// `None`: the server does not report it, or the folder was never opened.
    uid_validity: Option<u32>,
    /// The first UID that was not looked at; 0 before the first contact.
    pub(super) next_uid: u32,
    pub(super) progress: Progress,
    /// When the folder was last looked into.
    pub(super) looked_at: Option<LineInstant>,
    /// The mails with which something is to be done, by UID.
    pub(super) backlog: Backlog<u32>,
    /// The left-overs from this UID on are to be judged anew.
    pub(super) recalled_from: Option<u32>,
    /// Ours, not yet taken out when their UIDs lost their meaning.
    pub(super) displaced: BTreeSet<Token>,
    /// The tries with others' mails that are marked as deleted.
    pub(super) strangers: Tries,
    /// How often in a row the server refused to take them out.
    pub(super) refusals: u32,
    /// Whether the server has shown a header in the look under way.
    pub(super) has_shown: bool,
    /// Whether it has ever shown one.
    pub(super) has_ever_shown: bool,
    /// Mails at which the server fell silent, not yet passed over.
    pub(super) breaks: Tries,
    /// Since when UIDNEXT promises mail that FETCH does not return.
    pub(super) hollow_since: Option<LineInstant>,
}

impl Memory {
    /// What is known of the folders, to be kept: by the names that the server writes.
    pub fn records(&self, now: Moment) -> impl Iterator<Item = (String, FolderRecord)> {
        self.folders.iter().map(move |(name, known)| {
            let record = FolderRecord {
                uid_validity: known.uid_validity.unwrap_or(0),
                next_uid: known.first_not_read(),
                clock: None,
                looked_at: known.looked_at.map(|at| now.date_of(at)),
                to_remove: known.lying().map(|(uid, removal)| word(uid, removal)).collect(),
                left_overs: known
                    .backlog
                    .left_overs()
                    .map(|(uid, due)| (uid.to_string(), due))
                    .collect(),
            };
            (String::from_utf8_lossy(name).into_owned(), record)
        })
    }

    /// Goes on from what an earlier process has kept.
    pub fn restore(&mut self, records: BTreeMap<String, FolderRecord>, now: Moment) {
        for (name, record) in records {
            let mut known = FolderState {
                uid_validity: Some(record.uid_validity).filter(|validity| *validity > 0),
                next_uid: record.next_uid,
                looked_at: record.looked_at.and_then(|at| now.moment_of(at)),
                ..FolderState::default()
            };
            for (id, due) in &record.left_overs {
                let Ok(uid) = id.parse() else { continue };
                known.backlog.set(uid, BacklogState::LeftOver(*due));
            }
            for (uid, removal) in record.to_remove.iter().filter_map(|word| from_word(word)) {
                known.backlog.set(uid, BacklogState::ToConfirm(Confirmation::of(removal)));
            }
            self.folders.insert(name.into_bytes(), known);
        }
    }

    /// Has the left-overs judged anew, once: there is somebody who may wait for them.
    pub fn recall_left_overs(&mut self) {
        for known in self.folders.values_mut() {
            known.recalled_from = Some(0);
        }
    }

    pub(super) fn folder(&mut self, name: &[u8]) -> &mut FolderState {
        self.folders.entry(name.to_vec()).or_default()
    }

    /// Whether something is to be removed and the server may be asked to. What is only marked goes with
    /// the check that finds nothing in its way.
    pub(super) fn is_to_be_cleared(&self, name: &[u8], is_check: bool) -> bool {
        self.folders.get(name).is_some_and(|known| match is_check {
            true => known.has_to_clear() || known.backlog.has(Kind::Marked),
            false => known.has_to_clear() && known.refusals < REMOVAL_TRIES,
        })
    }
}

impl FolderState {
    /// Whether none of our mails lies here under a UID that has lost its meaning.
    pub(super) fn has_no_displaced(&self) -> bool {
        self.displaced.is_empty()
    }

    fn has_to_clear(&self) -> bool {
        self.backlog.has(Kind::ToRemove) || self.backlog.has(Kind::ToConfirm)
    }

    /// The first UID that is new to the next process: that of a mail that was not read yet, if there is one.
    fn first_not_read(&self) -> u32 {
        let certain = self.progress.certain(self.next_uid);
        let not_read =
            [Kind::Unread, Kind::Report].into_iter().filter_map(|kind| self.backlog.first(kind));
        not_read.fold(certain, u32::min)
    }

    /// What of ours still lies there, as far as is known, and its token where that matters.
    fn lying(&self) -> impl Iterator<Item = (u32, Removal)> {
        self.backlog.iter().filter_map(|(uid, state)| Some((uid, state.lying()?)))
    }

    /// What is to be taken out.
    pub(super) fn to_clear(&self) -> Vec<u32> {
        let is_to_go = |state: &BacklogState| matches!(state.kind(), Kind::ToRemove | Kind::Marked);
        self.backlog.iter().filter(|(_, state)| is_to_go(state)).map(|(uid, _)| uid).collect()
    }

    /// Has the headers read of those that were judged so, each once: what cannot be read stays unread.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn inspect(
        &mut self,
        imap: &mut Imap,
        inspector: &Inspector,
    ) -> Result<(), Failure> {
        for (uid, token) in self.take_to_inspect() {
            if let Some(block) = imap.header(uid).await? {
                let size = if inspector.wants_size(token) { imap.size(uid).await? } else { None };
                inspector.read(token, &block, size);
            }
        }
        Ok(())
    }

    fn take_to_inspect(&mut self) -> Vec<(u32, Token)> {
        let mut taken = Vec::new();
        for uid in self.to_clear() {
            let removal = self.backlog.removal_mut(uid).filter(|removal| removal.inspects);
            let Some(removal) = removal else { continue };
            removal.inspects = false;
            taken.extend(removal.token.map(|token| (uid, token)));
        }
        taken
    }

    /// Another UIDVALIDITY, a next UID below that which is known, or a new session with a server that reports
    /// none: what the UIDs meant is void (RFC 3501 section 2.3.1.1). Which of our mails still lie there is
    /// known by their tokens. Gives both next UIDs where they went back.
    pub(super) fn meet(&mut self, selected: Selected, is_new_session: bool) -> Option<(u32, u32)> {
        let is_told = selected.uid_validity.is_some();
        let is_same = selected.uid_validity == self.uid_validity && (is_told || !is_new_session);
        let next = selected.uid_next.filter(|next| is_same && *next < self.next_uid);
        if is_same && next.is_none() {
            return None;
        }
        let went_back = next.map(|next| (self.next_uid, next));
        let was_unknown = !is_told && self.uid_validity.is_none();
        let before = std::mem::take(self);
        let lying: Vec<Token> = before.lying().filter_map(|(_, removal)| removal.token).collect();
        *self = Self {
            uid_validity: selected.uid_validity,
            displaced: before.displaced.into_iter().chain(lying).collect(),
            refusals: before.refusals,
            // Where nothing is reported the folder is most likely the same.
            looked_at: before.looked_at.filter(|_| was_unknown),
            has_ever_shown: before.has_ever_shown,
            ..Self::default()
        };
        if was_unknown || went_back.is_some() {
            for (uid, state) in before.backlog.iter() {
                // A mail that comes back with a backup is known again by its token only.
                let is_known = |gone: &Removal| went_back.is_none() || gone.token.is_some();
                if let Some(gone) = state.gone().filter(is_known) {
                    self.backlog.set(uid, BacklogState::Expunged(gone));
                }
            }
            self.backlog.keep_highest(Kind::Expunged, EXPUNGED);
        }
        while self.displaced.len() > LEFT_OVERS {
            self.displaced.pop_first();
        }
        went_back
    }

    /// Takes in what a FETCH shows of a mail: one that is new, that was not shown before or that comes again
    /// is judged. `from` is the first UID that is new; 0: all are.
    pub(super) fn judge_fetched(
        &mut self,
        mail: Fetched,
        shown_at: tokio::time::Instant,
        from: u32,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) {
        let Some(uid) = mail.uid else { return };
        let header = match mail.header {
            Some(header) if !header.is_empty() => header,
            header => return self.note_without_header(uid, header.is_some(), from),
        };
        (self.has_shown, self.has_ever_shown) = (true, true);
        let gone = self.backlog.get(uid).and_then(BacklogState::gone);
        let unread = self.take_unread(uid);
        if let (Some(gone), Some(_)) = (gone, self.uid_validity)
            && is_the_same(&gone, &header)
        {
            return self.remove_again(uid, gone);
        }
        if uid < from && unread.is_none() {
            return;
        }
        self.move_past(uid);
        self.hollow_since = None;
        let was_left = self.backlog.kind(uid) == Some(Kind::LeftOver);
        if !was_left && self.backlog.get(uid).is_some_and(BacklogState::is_read) {
            return;
        }
        let came_later = shown_at > viewing.shown;
        let mut accounted = self.displaced.clone();
        accounted.extend(gone.and_then(|gone| gone.token));
        let found = Found {
            header: Header::parse(&header),
            server_date: mail.internal_date,
            folder: viewing.kind,
            shown_at: on_time_line(shown_at),
            asked_at: viewing.began,
            network: viewing.network,
            was_left,
            previous_look: match unread {
                _ if was_left => None,
                Some(unread) => unread.before,
                None if came_later => Some(viewing.began),
                None => self.looked_at,
            },
            accounted,
            block: None,
            has_stamps: viewing.has_stamps,
            is_copy: viewing.holds_copies,
            report: None,
        };
        let disposition = judge(&found);
        self.apply_to_header(uid, disposition, gone, &found);
    }

    /// A FETCH without a header, or with one that is empty.
    fn note_without_header(&mut self, uid: u32, is_empty: bool, from: u32) {
        let is_unread = match is_empty {
            // A change of flags that the server reports meanwhile, or a mail that it cannot read: it is still
            // to be read.
            false => from > 0 && uid >= from,
            // No header at all is a matter of this mail where the server has shown others.
            true => !self.has_ever_shown,
        };
        if is_unread {
            self.note_unread(std::iter::once(uid));
        } else if is_empty {
            self.note_broken(uid);
        }
    }

    /// Notes what is to be done with a mail whose header was read. Under its UID one may have been expunged
    /// before.
    pub(super) fn apply_to_header(
        &mut self,
        uid: u32,
        disposition: Disposition,
        gone: Option<Removal>,
        found: &Found,
    ) {
        // More of ours than can be under way are copies without end.
        let is_full = self.backlog.len(Kind::ToRemove) >= TO_REMOVE;
        match disposition {
            Disposition::Remove(token) | Disposition::Inspect(token) => {
                let inspects = matches!(disposition, Disposition::Inspect(_)) && !is_full;
                if let Some(gone) = gone.filter(|gone| gone.token == Some(token)) {
                    self.remove_again(uid, Removal { inspects, ..gone });
                } else if !is_full {
                    self.displaced.remove(&token);
                    let is_answer = !found.header.carries(token);
                    let removal = Removal { inspects, is_answer, ..Removal::of(Some(token)) };
                    self.backlog.set(uid, BacklogState::ToRemove(removal));
                }
            }
            Disposition::ReadReport if self.backlog.len(Kind::Report) < LEFT_OVERS => {
                let Found { server_date, previous_look: before, .. } = *found;
                let report = PendingReport { server_date, before, ..PendingReport::default() };
                self.backlog.set(uid, BacklogState::Report(Box::new(report)));
            }
            _ => self.apply(uid, disposition),
        }
    }

    /// What was known of a mail that was not shown before, if it was not; what was removed under its UID
    /// stays known.
    pub(super) fn take_unread(&mut self, uid: u32) -> Option<Box<Unread>> {
        let Some(BacklogState::Unread(unread)) = self.backlog.remove_if(uid, Kind::Unread) else {
            return None;
        };
        if let Some(removed) = unread.removed {
            self.backlog.set(uid, BacklogState::Expunged(removed));
        }
        Some(unread)
    }

    /// Notes what is to be done with a mail that is not an arrival.
    pub(super) fn apply(&mut self, uid: u32, disposition: Disposition) {
        match disposition {
            Disposition::Discard if self.backlog.len(Kind::ToRemove) < TO_REMOVE => {
                self.backlog.set(uid, BacklogState::ToRemove(Removal::default()));
            }
            Disposition::LeftOver(due) if self.backlog.len(Kind::LeftOver) < LEFT_OVERS => {
                self.backlog.set(uid, BacklogState::LeftOver(due));
            }
            Disposition::Discard
            | Disposition::Remove(_)
            | Disposition::Inspect(_)
            | Disposition::LeftOver(_)
            | Disposition::ReadReport
            | Disposition::Leave => {}
        }
    }

    /// A mail is still there that the server has taken out as it said.
    fn remove_again(&mut self, uid: u32, gone: Removal) {
        self.move_past(uid);
        if gone.times < REMOVAL_TRIES {
            self.backlog.set(uid, BacklogState::ToRemove(gone));
        }
    }

    /// The server has taken these out, or only marked them; `false` if it had said so before.
    pub(super) fn mark_expunged(&mut self, uids: &[u32], are_gone: bool) -> bool {
        let mut are_new = true;
        for uid in self.to_clear() {
            let Some(removal) = self.backlog.removal_mut(uid).copied() else { continue };
            if !are_gone {
                self.backlog.set(uid, BacklogState::Marked(removal));
            } else if uids.binary_search(&uid).is_ok() {
                let times = removal.times + 1;
                let removal = Removal { times, inspects: false, is_broken: false, ..removal };
                self.backlog.set(uid, BacklogState::Expunged(removal));
                are_new &= times == 1;
            } else {
                self.backlog.remove(uid);
            }
        }
        self.backlog.keep_highest(Kind::Marked, LEFT_OVERS);
        self.backlog.keep_highest(Kind::Expunged, EXPUNGED);
        are_new
    }
}

/// A mail of ours in the store: its UID, and behind a slash by what it is known.
fn word(uid: u32, removal: Removal) -> String {
    removal.word().map_or_else(|| uid.to_string(), |known| format!("{uid}/{known}"))
}

fn from_word(word: &str) -> Option<(u32, Removal)> {
    let (uid, known) = word.split_once('/').unwrap_or((word, ""));
    Some((uid.parse().ok()?, Removal::from_word(known).unwrap_or_default()))
}

/// Whether this is the mail that was taken out: a server that gives its UID to another mail must not
/// have that one taken out unread.
fn is_the_same(gone: &Removal, header: &[u8]) -> bool {
    let header = Header::parse(header);
    match gone.token {
        Some(token) if gone.is_answer => header.names(token),
        Some(token) => header.returned_tokens().any(|named| named == token),
        None => header.mark.is_some(),
    }
}

#[cfg(test)]
mod tests;
