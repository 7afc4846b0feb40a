//! Looking into IMAP folders over a held session.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{
    FIRST_CONTACT_HEADERS, Found, Judge, Judgement, LEFT_OVERS, REMOVAL_TRIES, STILL_THERE,
};
use crate::config::{Folder, Login};
use crate::mail::imap::{Fetched, Imap, Listed, Selected, encode_folder_name};
use crate::mail::trace::Trace;
use crate::mail::wire::Dialer;
use crate::mail::{Failure, Fault, Reason, Stage};
use crate::store::FolderRecord;
use crate::target::ledger::FoundIn;
use crate::target::message::Header;

/// How often the folders beside the inbox are looked into between two checks.
const OTHER_FOLDERS: Duration = Duration::from_secs(60);
/// How many headers are asked for at once.
const BATCH: usize = 100;

/// What is known of the folders from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    folders: BTreeMap<Vec<u8>, FolderMemory>,
}

#[derive(Debug, Default)]
struct FolderMemory {
    uid_validity: u32,
    /// The first UID that was not looked at; 0 before the first contact.
    next_uid: u32,
    /// When the folder was last looked into by this process.
    looked_at: Option<Instant>,
    /// Ours, not yet taken out.
    to_remove: BTreeSet<u32>,
    /// Ours, marked as deleted; they wait until nobody else's mail is marked as well.
    marked: BTreeSet<u32>,
    /// Ours, taken out as the server says, and how often it said so.
    removed: BTreeMap<u32, u32>,
    /// How often in a row the server refused to take them out.
    refusals: u32,
    /// Probes that nobody waits for, and from when on they may be taken out.
    left_overs: Vec<(u32, SystemTime)>,
}

/// A logged-in session with the folders it looks into.
pub struct Session {
    imap: Imap,
    folders: Vec<OpenFolder>,
    /// The index of the selected folder.
    selected: Option<usize>,
    others_looked_at: Instant,
}

struct OpenFolder {
    name: Vec<u8>,
    kind: FoundIn,
}

impl Session {
    /// Logs in and finds the folders; the session ends at `end` at the latest. A folder named by its
    /// use is passed over where the server has none.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        folders: &[Folder],
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let mut imap = Imap::open(dialer, login, trace, end).await?;
        let by_use = folders.iter().any(|folder| matches!(folder, Folder::SpecialUse(_)));
        let listed = if by_use { imap.list().await? } else { Vec::new() };
        let found: Vec<OpenFolder> =
            folders.iter().filter_map(|folder| find(folder, &listed)).collect();
        if found.is_empty() {
            let names = folders.iter().map(Folder::to_string).collect::<Vec<_>>().join(", ");
            imap.trace().enter(Stage::Select);
            let message = format!("the server has none of the configured folders: {names}");
            return Err(imap.trace().failure(Fault::new(Reason::Other, message)));
        }
        let folders = found;
        Ok(Self { imap, folders, selected: None, others_looked_at: Instant::now() })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.imap.trace()
    }

    /// Whether waiting in IDLE is worth a try.
    pub fn can_idle(&self) -> bool {
        self.imap.can_idle()
    }

    /// Looks into every folder for what is new since the last look, and into one that was never
    /// looked into for what came since `since`. The inbox stays selected.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen.
    pub async fn look_everywhere(
        &mut self,
        memory: &mut Memory,
        since: SystemTime,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        for index in (0..self.folders.len()).rev() {
            self.select_and_look(index, memory, since, judge).await?;
        }
        self.others_looked_at = Instant::now();
        Ok(())
    }

    /// Looks for what is new: in the selected folder, and once a minute in the others. `is_told` if
    /// the server has already said that there is something.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn look(
        &mut self,
        memory: &mut Memory,
        is_told: Option<Instant>,
        since: SystemTime,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        if self.folders.len() > 1 && self.others_looked_at.elapsed() >= OTHER_FOLDERS {
            return self.look_everywhere(memory, since, judge).await;
        }
        let began = Instant::now();
        let news = match is_told {
            Some(told) => Some(told),
            None => self.imap.news().await?,
        };
        let Some(folder) = self.selected.and_then(|index| self.folders.get(index)) else {
            return Ok(());
        };
        let known = memory.folder(&folder.name);
        if let Some(shown_at) = news {
            known.read_new(&mut self.imap, folder.kind, shown_at, judge).await?;
        }
        known.looked_at = Some(is_told.unwrap_or(began));
        Ok(())
    }

    /// Waits until the server tells of new mail; see [`Imap::idle`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn idle(
        &mut self,
        until: Instant,
        interrupt: &Notify,
    ) -> Result<Option<Instant>, Failure> {
        self.imap.idle(until, interrupt).await
    }

    /// Whether [`Session::remove`] has something to do. A server that has refused it three times in
    /// a row is asked again at checks only.
    pub fn has_to_remove(&self, memory: &Memory, is_check: bool) -> bool {
        let known = self.folders.iter().filter_map(|folder| memory.folders.get(&folder.name));
        known.into_iter().any(|known| known.is_to_be_cleared(is_check))
    }

    /// Takes out what is ours, and left-overs whose time has passed, folder by folder: one that
    /// refuses does not stop the others. Then the first folder is selected again, and what came
    /// meanwhile is judged.
    ///
    /// # Errors
    /// A refusal, after which the session is as good as before, or what broke the session; what was
    /// not taken out is tried again next time.
    pub async fn remove(
        &mut self,
        memory: &mut Memory,
        is_check: bool,
        since: SystemTime,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for index in (0..self.folders.len()).rev() {
            let Some(folder) = self.folders.get(index) else { continue };
            let name = folder.name.clone();
            if !memory.folder(&name).is_to_be_cleared(is_check) {
                continue;
            }
            match self.remove_from(index, &name, memory, since, judge).await {
                Ok(()) => memory.folder(&name).refusals = 0,
                Err(failure) if failure.reason == Reason::Rejected => {
                    memory.folder(&name).refusals += 1;
                    outcome = Err(Failure { stage: Stage::Remove, ..failure });
                }
                Err(failure) => return Err(Failure { stage: Stage::Remove, ..failure }),
            }
        }
        if self.selected != Some(0) {
            self.select_and_look(0, memory, since, judge).await?;
        } else if let Some(told) = self.imap.pending_news() {
            // What the server told of meanwhile came now, not when somebody looks next.
            self.look(memory, Some(told), since, judge).await?;
        }
        outcome
    }

    async fn remove_from(
        &mut self,
        index: usize,
        name: &[u8],
        memory: &mut Memory,
        since: SystemTime,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        if self.selected != Some(index) {
            self.select_and_look(index, memory, since, judge).await?;
        }
        let known = memory.folder(name);
        let uids: Vec<u32> = known.to_remove.union(&known.marked).copied().collect();
        let are_gone = self.imap.remove(&uids).await?;
        if known.settle(&uids, are_gone) {
            return Ok(());
        }
        Err(self.imap.trace().failure(Fault::new(Reason::Other, STILL_THERE)))
    }

    /// Ends the session.
    pub async fn close(mut self) {
        self.imap.set_end(Instant::now() + Duration::from_secs(2));
        self.imap.log_out().await;
    }

    async fn select_and_look(
        &mut self,
        index: usize,
        memory: &mut Memory,
        since: SystemTime,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let Some(folder) = self.folders.get(index) else { return Ok(()) };
        let began = Instant::now();
        self.selected = None;
        let selected = self.imap.select(&folder.name).await?;
        self.selected = Some(index);
        let shown_at = Instant::now();
        let known = memory.folder(&folder.name);
        known.meet(selected);
        if known.next_uid == 0 {
            let first =
                known.read_since(&mut self.imap, selected, since, folder.kind, shown_at, judge);
            if let Err(failure) = first.await {
                // Newest first: what is older was not looked at yet.
                known.next_uid = 0;
                return Err(failure);
            }
        }
        if selected.exists > 0 {
            known.read_new(&mut self.imap, folder.kind, shown_at, judge).await?;
        }
        known.next_uid = known.next_uid.max(selected.uid_next.unwrap_or(1));
        known.looked_at = Some(began);
        known.sweep(SystemTime::now());
        Ok(())
    }
}

impl Memory {
    /// What is known of the folders, to be kept: by the names that the server writes.
    pub fn records(&self) -> impl Iterator<Item = (String, FolderRecord)> {
        self.folders.iter().map(|(name, known)| {
            let record = FolderRecord {
                uid_validity: known.uid_validity,
                next_uid: known.next_uid,
                clock_offset_seconds: None,
                to_remove: known.to_remove.iter().map(u32::to_string).collect(),
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
    pub fn restore(&mut self, records: BTreeMap<String, FolderRecord>) {
        for (name, record) in records {
            let uid = |id: &String| id.parse::<u32>().ok();
            let known = FolderMemory {
                uid_validity: record.uid_validity,
                next_uid: record.next_uid,
                to_remove: record.to_remove.iter().filter_map(uid).collect(),
                left_overs: record
                    .left_overs
                    .iter()
                    .filter_map(|(id, due)| Some((uid(id)?, *due)))
                    .collect(),
                ..FolderMemory::default()
            };
            self.folders.insert(name.into_bytes(), known);
        }
    }

    fn folder(&mut self, name: &[u8]) -> &mut FolderMemory {
        self.folders.entry(name.to_vec()).or_default()
    }
}

impl FolderMemory {
    /// Whether something is to be removed and the server may be asked to.
    fn is_to_be_cleared(&self, is_check: bool) -> bool {
        !self.to_remove.is_empty() && (is_check || self.refusals < REMOVAL_TRIES)
    }

    /// Another UIDVALIDITY: what the UIDs meant is void (RFC 3501 section 2.3.1.1).
    fn meet(&mut self, selected: Selected) {
        if self.uid_validity != selected.uid_validity {
            *self = Self { uid_validity: selected.uid_validity, ..Self::default() };
        }
    }

    /// The first contact: what came since `since`, newest first. SEARCH only narrows down by day;
    /// what a mail is its header tells.
    async fn read_since(
        &mut self,
        imap: &mut Imap,
        selected: Selected,
        since: SystemTime,
        kind: FoundIn,
        shown_at: Instant,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let mut uids =
            if selected.exists > 0 { imap.search_since(since).await? } else { Vec::new() };
        uids.sort_unstable_by(|a, b| b.cmp(a));
        uids.truncate(FIRST_CONTACT_HEADERS);
        if uids.is_empty() && selected.uid_next.is_none() && selected.exists > 0 {
            // A server that does not tell its next UID: the newest mail tells it.
            imap.fetch("*", &mut |mail| self.judge(mail, 0, kind, shown_at, judge)).await?;
        }
        let newest = uids.first().copied().unwrap_or(0);
        for batch in uids.chunks(BATCH) {
            let set = batch.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            imap.fetch(&set, &mut |mail| self.judge(mail, 0, kind, shown_at, judge)).await?;
        }
        let next_uid = newest.saturating_add(1).max(selected.uid_next.unwrap_or(1));
        self.next_uid = self.next_uid.max(next_uid);
        Ok(())
    }

    async fn read_new(
        &mut self,
        imap: &mut Imap,
        kind: FoundIn,
        shown_at: Instant,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let from = self.next_uid.max(1);
        imap.fetch_from(from, &mut |mail| self.judge(mail, from, kind, shown_at, judge)).await
    }

    fn judge(
        &mut self,
        mail: Fetched,
        from: u32,
        folder: FoundIn,
        shown_at: Instant,
        judge: &mut Judge<'_>,
    ) {
        let Some(uid) = mail.uid else { return };
        if self.removed.get(&uid).is_some_and(|tries| *tries < REMOVAL_TRIES) {
            self.to_remove.insert(uid);
        }
        if uid < from || self.removed.contains_key(&uid) {
            return;
        }
        self.next_uid = self.next_uid.max(uid.saturating_add(1));
        let is_known = self.to_remove.contains(&uid)
            || self.left_overs.iter().any(|(left_over, _)| *left_over == uid);
        if is_known {
            return;
        }
        let Some(header) = mail.header else { return };
        let found = Found {
            header: Header::parse(&header),
            server_date: mail.internal_date,
            folder,
            shown_at,
            previous_look: self.looked_at,
        };
        match judge(&found) {
            Judgement::Remove => {
                self.to_remove.insert(uid);
            }
            Judgement::LeftOver(due) if self.left_overs.len() < LEFT_OVERS => {
                self.left_overs.push((uid, due));
            }
            Judgement::LeftOver(_) | Judgement::Leave => {}
        }
    }

    /// The server has taken these out, or only marked them; `false` if it had said so before.
    fn settle(&mut self, uids: &[u32], are_gone: bool) -> bool {
        self.to_remove.clear();
        if !are_gone {
            self.marked.extend(uids);
            while self.marked.len() > LEFT_OVERS {
                self.marked.pop_first();
            }
            return true;
        }
        self.marked.clear();
        let mut are_new = true;
        for uid in uids {
            let tries = self.removed.entry(*uid).or_default();
            *tries += 1;
            are_new &= *tries == 1;
        }
        while self.removed.len() > LEFT_OVERS {
            self.removed.pop_first();
        }
        are_new
    }

    /// Left-overs whose time has passed are to be removed.
    fn sweep(&mut self, now: SystemTime) {
        let to_remove = &mut self.to_remove;
        self.left_overs.retain(|(uid, due)| {
            let is_due = *due <= now;
            if is_due {
                to_remove.insert(*uid);
            }
            !is_due
        });
    }
}

/// The folder as the server writes it.
fn find(folder: &Folder, listed: &[Listed]) -> Option<OpenFolder> {
    match folder {
        Folder::Name(name) => {
            let kind =
                if name.eq_ignore_ascii_case("INBOX") { FoundIn::Inbox } else { FoundIn::Other };
            Some(OpenFolder { name: encode_folder_name(name), kind })
        }
        Folder::SpecialUse(usage) => {
            let usage = usage.to_ascii_lowercase();
            let listed = listed.iter().find(|listed| listed.attributes.contains(&usage))?;
            let kind = if usage == r"\junk" { FoundIn::Junk } else { FoundIn::Other };
            Some(OpenFolder { name: listed.name.clone(), kind })
        }
    }
}
