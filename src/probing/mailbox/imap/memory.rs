//! What is known of the folders of a mailbox from one session to the next: how far each was read,
//! and which mails in it are ours and not yet gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::hearing::Hearing;
use super::progress::Progress;
use super::reading::Viewing;
use super::returned::Unheard;
use super::tries::Tries;
use crate::clock::on_time_line;
use crate::probing::mailbox::{
    Found, Inspector, Judge, Judgement, LEFT_OVERS, REMOVAL_TRIES, TO_REMOVE,
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
const GONE: usize = 50;

/// What is known of the folders from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    folders: BTreeMap<Vec<u8>, FolderMemory>,
    pub(super) hearing: Hearing,
    /// Whether the server gives no header but a whole one.
    pub(super) asks_whole_headers: bool,
    /// The folders named by their use that the server does not have, as they are configured.
    pub(super) not_there: Vec<String>,
    pub(super) remarks: Vec<String>,
    /// The folder and the mail at which the newest session broke.
    pub(super) broke_at: Option<(Vec<u8>, Broken)>,
}

#[derive(Debug, Default)]
pub(super) struct FolderMemory {
    /// `None`: the server does not tell, or the folder was never opened.
    uid_validity: Option<u32>,
    /// The first UID that was not looked at; 0 before the first contact.
    pub(super) next_uid: u32,
    pub(super) progress: Progress,
    /// When the folder was last looked into.
    pub(super) looked_at: Option<LineInstant>,
    /// Ours, not yet taken out. The token is missing where it does not matter.
    pub(super) to_remove: BTreeMap<u32, Option<Token>>,
    /// Ours, whose whole headers are read before they are taken out.
    to_inspect: Vec<(u32, Token)>,
    /// Ours, marked as deleted; they wait until nobody else's mail is marked as well.
    marked: BTreeMap<u32, Option<Token>>,
    /// Ours, taken out as the server says.
    removed: BTreeMap<u32, Gone>,
    /// Ours, not yet taken out when their UIDs lost their meaning.
    displaced: BTreeSet<Token>,
    /// The tries with others' mails that are marked as deleted.
    pub(super) strangers: Tries,
    /// How often in a row the server refused to take them out.
    pub(super) refusals: u32,
    /// Probes that nobody waits for, and from when on they may be taken out.
    pub(super) left_overs: Vec<(u32, SystemTime)>,
    /// What is to be taken out once its header was read again: left-overs whose time has come, and ours of
    /// an earlier process. The token is missing where it does not matter.
    pub(super) due: BTreeMap<u32, Option<Token>>,
    /// Those of them that were not shown, and from when on they are asked for again.
    pub(super) put_off: BTreeMap<u32, (Option<Token>, SystemTime)>,
    /// The tries with these.
    pub(super) confirmations: Tries,
    /// Reports that were not read yet.
    pub(super) reports: BTreeMap<u32, Unheard>,
    /// Mails whose headers the server did not show.
    pub(super) unread: BTreeMap<u32, Unread>,
    /// Whether the server has shown a header in the look under way.
    pub(super) has_shown: bool,
    /// Whether it has ever shown one.
    pub(super) has_ever_shown: bool,
    /// Mails of others at which a session broke.
    pub(super) broken: BTreeSet<u32>,
    /// Mails at which the server fell silent, not yet among these.
    pub(super) breaks: Tries,
    /// Since when the next UID has told of mail that is not shown.
    pub(super) hollow_since: Option<LineInstant>,
}

/// A mail that the server did not show, while it showed others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unread {
    /// How often that was so, once a minute at most.
    pub(super) tries: u32,
    /// When it last was.
    pub(super) last: Option<LineInstant>,
    /// When it was last asked for.
    pub(super) asked: Option<LineInstant>,
    /// When the folder was last looked into before, without the mail.
    pub(super) before: Option<LineInstant>,
}

#[derive(Debug, Clone, Copy)]
struct Gone {
    /// How often the server said so.
    times: u32,
    token: Option<Token>,
}

impl Memory {
    /// What is known of the folders, to be kept: by the names that the server writes.
    pub fn records(&self, now: Moment) -> impl Iterator<Item = (String, FolderRecord)> {
        self.folders.iter().map(move |(name, known)| {
            let put_off = known.put_off.iter().map(|(uid, (token, _))| (uid, token));
            let ours = known.to_remove.iter().chain(&known.marked).chain(&known.due).chain(put_off);
            let record = FolderRecord {
                uid_validity: known.uid_validity.unwrap_or(0),
                // What was not read yet is new to the next process.
                next_uid: known
                    .reports
                    .keys()
                    .chain(known.unread.keys())
                    .fold(known.progress.certain(known.next_uid), |next, uid| next.min(*uid)),
                clock: None,
                looked_at: known.looked_at.map(|at| now.date_of(at)),
                to_remove: ours.map(|(uid, token)| word(*uid, *token)).collect(),
                left_overs: known
                    .left_overs
                    .iter()
                    .map(|(uid, due)| (uid.to_string(), *due))
                    .collect(),
            };
            (String::from_utf8_lossy(name).into_owned(), record)
        })
    }

    /// Goes on from what an earlier process has kept.
    pub fn restore(&mut self, records: BTreeMap<String, FolderRecord>, now: Moment) {
        for (name, record) in records {
            let known = FolderMemory {
                uid_validity: Some(record.uid_validity).filter(|validity| *validity > 0),
                next_uid: record.next_uid,
                looked_at: record.looked_at.and_then(|at| now.moment_of(at)),
                due: record.to_remove.iter().filter_map(|it| from_word(it)).collect(),
                left_overs: record
                    .left_overs
                    .iter()
                    .filter_map(|(id, due)| Some((id.parse().ok()?, *due)))
                    .collect(),
                ..FolderMemory::default()
            };
            self.folders.insert(name.into_bytes(), known);
        }
    }

    pub(super) fn folder(&mut self, name: &[u8]) -> &mut FolderMemory {
        self.folders.entry(name.to_vec()).or_default()
    }

    /// Whether something is to be removed and the server may be asked to. What is only marked goes with
    /// the check that finds nothing in its way.
    pub(super) fn is_to_be_cleared(&self, name: &[u8], is_check: bool) -> bool {
        self.folders.get(name).is_some_and(|known| match is_check {
            true => known.has_to_clear() || !known.marked.is_empty(),
            false => known.has_to_clear() && known.refusals < REMOVAL_TRIES,
        })
    }
}

impl FolderMemory {
    /// Whether none of our mails lies here under a UID that has lost its meaning.
    pub(super) fn has_no_displaced(&self) -> bool {
        self.displaced.is_empty()
    }

    fn has_to_clear(&self) -> bool {
        !self.to_remove.is_empty() || !self.due.is_empty()
    }

    /// What is to be taken out.
    pub(super) fn to_clear(&self) -> Vec<u32> {
        let uids: BTreeSet<u32> =
            self.to_remove.keys().chain(self.marked.keys()).copied().collect();
        uids.into_iter().collect()
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
        for (uid, token) in std::mem::take(&mut self.to_inspect) {
            if let Some(block) = imap.header(uid).await? {
                inspector.read(token, &block);
            }
        }
        Ok(())
    }

    /// Another UIDVALIDITY, a next UID below that which is known, or a new session with a server that tells
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
        let put_off = before.put_off.into_values().map(|(token, _)| token);
        let confirmed = before.to_remove.into_values().chain(before.marked.into_values());
        let lying = confirmed.chain(before.due.into_values()).chain(put_off).flatten();
        *self = Self {
            uid_validity: selected.uid_validity,
            displaced: before.displaced.into_iter().chain(lying).collect(),
            refusals: before.refusals,
            // Where nothing is told the folder is most likely the same.
            looked_at: before.looked_at.filter(|_| was_unknown),
            removed: if was_unknown || went_back.is_some() {
                before.removed
            } else {
                BTreeMap::new()
            },
            has_ever_shown: before.has_ever_shown,
            ..Self::default()
        };
        if went_back.is_some() {
            // A mail that comes back with a backup is known again by its token only.
            self.removed.retain(|_, gone| gone.token.is_some());
        }
        while self.displaced.len() > LEFT_OVERS {
            self.displaced.pop_first();
        }
        went_back
    }

    pub(super) fn judge(
        &mut self,
        mail: Fetched,
        shown_at: tokio::time::Instant,
        from: u32,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) {
        let Some(uid) = mail.uid else { return };
        let gone = self.removed.get(&uid).copied();
        let Some(header) = mail.header else {
            // A change of flags that the server tells of meanwhile, or a mail that it cannot read: it
            // is still to be read.
            if uid >= from && from > 0 {
                self.note_unread(std::iter::once(uid));
            }
            return;
        };
        if header.is_empty() {
            // No header at all is a matter of this mail where the server has shown others.
            match self.has_ever_shown {
                true => drop(self.note_broken(uid)),
                false => self.note_unread(std::iter::once(uid)),
            }
            return;
        }
        (self.has_shown, self.has_ever_shown) = (true, true);
        let unread = self.unread.remove(&uid);
        if let (Some(gone), Some(_)) = (gone, self.uid_validity)
            && is_the_same(&gone, &header)
        {
            self.remove_again(uid, gone);
            return;
        }
        if uid < from && unread.is_none() {
            return;
        }
        self.move_past(uid);
        self.hollow_since = None;
        let is_known = self.to_remove.contains_key(&uid)
            || self.marked.contains_key(&uid)
            || self.due.contains_key(&uid)
            || self.put_off.contains_key(&uid)
            || self.reports.contains_key(&uid)
            || self.left_overs.iter().any(|(left_over, _)| *left_over == uid);
        if is_known {
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
            previous_look: match unread {
                Some(unread) => unread.before,
                None if came_later => Some(viewing.began),
                None => self.looked_at,
            },
            accounted,
            block: None,
            is_copy: viewing.holds_copies,
            report: None,
        };
        let mut judgement = judge(&found);
        // More of ours than can be under way are copies without end.
        let is_full = self.to_remove.len() >= TO_REMOVE;
        if let Judgement::Inspect(token) = judgement {
            self.to_inspect.extend(Some((uid, token)).filter(|_| !is_full));
            judgement = Judgement::Remove(token);
        }
        match (judgement, gone) {
            (Judgement::Remove(token), Some(gone)) if gone.token == Some(token) => {
                self.remove_again(uid, gone);
            }
            (Judgement::Remove(token), _) if !is_full => {
                self.removed.remove(&uid);
                self.displaced.remove(&token);
                self.to_remove.insert(uid, Some(token));
            }
            (Judgement::ReadReport, _) if self.reports.len() < LEFT_OVERS => {
                self.reports.insert(uid, Unheard::new(mail.internal_date));
            }
            (judgement, _) => self.heed(uid, judgement),
        }
    }

    /// Notes what is to be done with a mail that is not an arrival.
    pub(super) fn heed(&mut self, uid: u32, judgement: Judgement) {
        match judgement {
            Judgement::Discard if self.to_remove.len() < TO_REMOVE => {
                self.to_remove.insert(uid, None);
            }
            Judgement::LeftOver(due) if self.left_overs.len() < LEFT_OVERS => {
                self.left_overs.push((uid, due));
            }
            Judgement::Discard
            | Judgement::Remove(_)
            | Judgement::Inspect(_)
            | Judgement::LeftOver(_)
            | Judgement::ReadReport
            | Judgement::Leave => {}
        }
    }

    /// A mail is still there that the server has taken out as it said.
    fn remove_again(&mut self, uid: u32, gone: Gone) {
        self.move_past(uid);
        if gone.times < REMOVAL_TRIES {
            self.to_remove.insert(uid, gone.token);
        }
    }

    /// The server has taken these out, or only marked them; `false` if it had said so before.
    pub(super) fn settle(&mut self, uids: &[u32], are_gone: bool) -> bool {
        let mut settled = std::mem::take(&mut self.to_remove);
        if !are_gone {
            self.marked.extend(settled);
            while self.marked.len() > LEFT_OVERS {
                self.marked.pop_first();
            }
            return true;
        }
        settled.append(&mut self.marked);
        let mut are_new = true;
        for uid in uids {
            let token = settled.get(uid).copied().flatten();
            let gone = self.removed.entry(*uid).or_insert(Gone { times: 0, token });
            gone.times += 1;
            are_new &= gone.times == 1;
        }
        while self.removed.len() > GONE {
            self.removed.pop_first();
        }
        are_new
    }
}

/// A mail of ours in the store: its UID, and its token behind a slash.
fn word(uid: u32, token: Option<Token>) -> String {
    token.map_or_else(|| uid.to_string(), |token| format!("{uid}/{token}"))
}

fn from_word(word: &str) -> Option<(u32, Option<Token>)> {
    match word.split_once('/') {
        Some((uid, token)) => Some((uid.parse().ok()?, token.parse().ok())),
        None => Some((word.parse().ok()?, None)),
    }
}

/// Whether this is the mail that was taken out: a server that gives its UID to another mail must not
/// have that one taken out unread.
fn is_the_same(gone: &Gone, header: &[u8]) -> bool {
    let header = Header::parse(header);
    match gone.token {
        Some(token) => header.returned_tokens().any(|named| named == token),
        None => header.mark.is_some(),
    }
}

#[cfg(test)]
mod tests;
