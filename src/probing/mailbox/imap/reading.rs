//! Reading a folder: what is new in it, and what a server showed late or not at all.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::folder_state::FolderState;
use super::tries::READ_TRIES;
use crate::clock;
use crate::probing::mailbox::backlog::{BacklogState, Kind, Unread};
use crate::probing::mailbox::{FIRST_CONTACT_HEADERS, Judge, LEFT_OVERS, Since};
use ledger::Failure;
use ledger::FoundIn;
use ledger::LineInstant;
use mail::Interrupted;
use mail::imap::{Fetched, Imap, Numbers, Selected, Sorted, is_at_the_end};

/// How many headers are asked for at once.
const BATCH: usize = 100;
/// How many mails are read where SEARCH names none, or to prove that mail can be read.
const NEWEST: u32 = 20;
/// How many mails are read bit by bit after a reading that was cut off; the rest is read at once.
const CATCHING_UP: usize = 10_000;
/// How many mails that the server did not show are asked for one by one in one look.
const ONE_BY_ONE: usize = 20;
/// The least time between two of these for one mail.
const BETWEEN_ASKS: Duration = Duration::from_secs(1);
/// How long UIDNEXT may promise mail that FETCH does not return before that counts as gone.
const HOLLOW: Duration = Duration::from_secs(120);

/// One look into one folder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Viewing {
    pub(super) kind: FoundIn,
    /// Whether nobody receives there.
    pub(super) holds_copies: bool,
    /// When it was asked for.
    pub(super) began: LineInstant,
    /// When the server had listed what there is; what is shown after this came later.
    pub(super) shown: tokio::time::Instant,
    /// How long the network takes there and back.
    pub(super) network: Duration,
    /// Whether the `Received` of its mails are asked for.
    pub(super) has_stamps: bool,
}

impl FolderState {
    /// A look begins.
    pub(super) fn begin_look(&mut self) {
        self.has_shown = false;
    }

    /// A contact without UIDs to go by: what came since the time that matters, newest first. SEARCH
    /// only narrows down by day; what a mail is its header shows.
    pub(super) async fn read_since(
        &mut self,
        imap: &mut Imap,
        selected: Selected,
        since: Since,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        let since = self.since(since, viewing);
        let found =
            if selected.exists > 0 { imap.search_since(since).await? } else { Sorted::default() };
        // What is no UID of this folder must not move the place up to which it was read.
        let found = selected.uid_next.map_or_else(|| found.clone(), |next| found.below(next));
        let except = self.broken();
        let readable = found.falling().filter(|uid| !except.contains(uid));
        let wanted: Vec<u32> = readable.take(FIRST_CONTACT_HEADERS).collect();
        let uids = self.progress.begin_to_meet(&wanted);
        // By now somebody may have emptied the folder; to ask for what is gone is an error.
        let exists = imap.exists();
        if wanted.is_empty() && exists > 0 {
            // Some servers find nothing by date, and some do not report UIDNEXT.
            let sink = &mut |mail, shown| self.judge_fetched(mail, shown, 0, viewing, judge);
            let refusal = imap.fetch_newest(NEWEST, exists, &except, sink).await?;
            if let Some(refusal) = refusal.filter(|_| !self.has_shown) {
                return Err(Interrupted::refused(refusal));
            }
        }
        let newest = wanted.first().copied().unwrap_or(0);
        for batch in uids.chunks(BATCH) {
            self.read_batch(batch, imap, viewing, judge).await?;
            self.progress.have_met(batch);
        }
        self.move_past(newest);
        self.next_uid = self.next_uid.max(selected.uid_next.unwrap_or(1));
        self.progress.end_meeting();
        Ok(())
    }

    /// Reads these, and notes which were not shown.
    async fn read_batch(
        &mut self,
        batch: &[u32],
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        let (missing, _) = self.read_these(batch, imap, viewing, judge).await?;
        self.note_unread(missing.into_iter());
        Ok(())
    }

    /// Reads these; gives those that were not shown, and the refusal, if it was refused.
    async fn read_these(
        &mut self,
        batch: &[u32],
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(BTreeSet<u32>, Option<Failure>), Interrupted> {
        // Those that were asked for: a server may show any number of others.
        let mut missing: BTreeSet<u32> = batch.iter().copied().collect();
        let sink = &mut |mail: Fetched, at| {
            if let Some(uid) = mail.uid.filter(|_| mail.header.is_some()) {
                missing.remove(&uid);
            }
            self.judge_fetched(mail, at, 0, viewing, judge);
        };
        let refusal = imap.fetch_these(batch, sink).await?;
        Ok((missing, refusal))
    }

    /// Asks once for the left-overs that were recalled. What is not shown is not there any more.
    async fn read_left_overs(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        while let Some(first) = self.recalled_from {
            let left = self.backlog.ids(Kind::LeftOver).filter(|uid| *uid >= first);
            let batch: Vec<u32> = left.take(BATCH).collect();
            // Whatever becomes of the session: the others are not held up by these.
            self.recalled_from = batch.last().and_then(|last| last.checked_add(1));
            if batch.is_empty() {
                break;
            }
            let (missing, refusal) = self.read_these(&batch, imap, viewing, judge).await?;
            for uid in missing.into_iter().filter(|_| refusal.is_none()) {
                self.backlog.remove_if(uid, Kind::LeftOver);
            }
        }
        Ok(())
    }

    /// The mails up to this UID were read.
    pub(super) fn move_past(&mut self, uid: u32) {
        if !is_at_the_end(uid) {
            self.next_uid = self.next_uid.max(uid.saturating_add(1));
        }
    }

    /// From when on mails matter; older left-overs were found at the first contact.
    fn since(&self, since: Since, viewing: Viewing) -> SystemTime {
        match self.looked_at {
            Some(looked_at) if self.has_no_displaced() => {
                let ago = viewing.began.saturating_duration_since(looked_at);
                let looked_at = clock::wall().checked_sub(ago);
                looked_at.map_or(since.left_overs, |at| since.ours.map_or(at, |ours| ours.min(at)))
            }
            _ => since.left_overs,
        }
    }

    /// What came since the folder was last read, and what was not shown then.
    pub(super) async fn read_new(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        let from = self.catch_up(imap, viewing, judge).await?;
        let except = self.broken();
        let mut shown = Numbers::default();
        let sink = &mut |mail: Fetched, at| {
            mail.uid.filter(|_| mail.header.is_some()).into_iter().for_each(|uid| shown.note(uid));
            self.judge_fetched(mail, at, from, viewing, judge);
        };
        let mut refusal = imap.fetch_from(from, &except, sink).await?;
        if refusal.is_some() {
            // One mail that cannot be shown may be the reason; the others are not lost for that.
            let (uids, shown) = (imap.uids_from(from).await?, shown.sorted());
            let is_new = |uid: &u32| !shown.contains(*uid);
            let uids: Vec<u32> = uids.rising().filter(is_new).take(LEFT_OVERS).collect();
            if let Some(last) = uids.last() {
                self.move_past(*last);
            }
            self.note_unread(uids.into_iter());
        }
        self.progress.end_reading();
        let due = self.due(viewing.began);
        for uid in &due {
            refusal = self.read_again(*uid, imap, viewing, judge).await?.or(refusal);
        }
        if let Some(refusal) = refusal
            && !self.can_show(imap, viewing, judge).await?
        {
            return Err(Interrupted::refused(refusal));
        }
        if self.has_shown {
            due.into_iter().for_each(|uid| self.note_try(uid, viewing.began));
        }
        self.read_left_overs(imap, viewing, judge).await
    }

    /// A reading of new mail begins: gives from which UID on. What one has left that was cut off is read
    /// before, bit by bit, so that it comes to an end even if it is cut off again and again.
    async fn catch_up(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<u32, Interrupted> {
        let (from, was_cut_off) = self.progress.begin_to_read(self.next_uid);
        if !was_cut_off {
            return Ok(from);
        }
        let found = imap.uids_from(from).await?;
        let readable = found.rising().filter(|uid| !self.is_broken(*uid));
        let uids: Vec<u32> = readable.take(CATCHING_UP).collect();
        for batch in uids.chunks(BATCH) {
            self.read_batch(batch, imap, viewing, judge).await?;
            if let Some(last) = batch.last().filter(|last| !is_at_the_end(**last)) {
                self.progress.have_read(*last);
            }
        }
        Ok(self.progress.begin_to_read(self.next_uid).0)
    }

    /// Whether there is mail that was not shown, or that is to be read again.
    pub(super) fn has_unread(&self) -> bool {
        let is_recalled = self.recalled_from.is_some() && self.backlog.has(Kind::LeftOver);
        self.backlog.has(Kind::Unread) || is_recalled
    }

    /// The mails at which a session broke: they are not asked for again.
    fn broken(&self) -> BTreeSet<u32> {
        self.backlog.iter().filter(|(_, state)| state.is_broken()).map(|(uid, _)| uid).collect()
    }

    /// Whether a session broke at this mail.
    pub(super) fn is_broken(&self, uid: u32) -> bool {
        self.backlog.get(uid).is_some_and(BacklogState::is_broken)
    }

    /// Of the mails at which a session broke only those that are there are remembered.
    fn forget_broken_but(&mut self, there: &Sorted) {
        for uid in self.broken().into_iter().filter(|uid| !there.contains(*uid)) {
            match self.backlog.removal_mut(uid) {
                Some(removal) => removal.is_broken = false,
                None => drop(self.backlog.remove(uid)),
            }
        }
    }

    /// Whether the server shows the header of any mail, if there is one: what it refuses to show
    /// besides is a matter of that mail. Where nothing is left but mails at which a session broke, what was
    /// shown before counts.
    pub(super) async fn can_show(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<bool, Interrupted> {
        let exists = imap.exists();
        if self.has_shown || exists == 0 {
            return Ok(true);
        }
        let mut except = self.broken();
        if !except.is_empty() {
            let there = imap.uids_from(1).await?;
            self.forget_broken_but(&there);
            except = self.broken();
        }
        let from = self.next_uid.max(1);
        let sink = &mut |mail, shown| self.judge_fetched(mail, shown, from, viewing, judge);
        imap.fetch_newest(NEWEST, exists, &except, sink).await?;
        let passed_over = u32::try_from(self.broken().len()).unwrap_or(u32::MAX);
        Ok(self.has_shown || (self.has_ever_shown && exists <= passed_over))
    }

    /// These were not shown.
    pub(super) fn note_unread(&mut self, uids: impl Iterator<Item = u32>) {
        let before = self.looked_at;
        for uid in uids {
            if self.backlog.len(Kind::Unread) >= LEFT_OVERS {
                break;
            }
            let removed = match self.backlog.get(uid) {
                None => None,
                Some(BacklogState::Expunged(removal)) => Some(*removal),
                // It was read, or is not to be.
                Some(_) => continue,
            };
            let unread = Unread { before, removed, ..Unread::default() };
            self.backlog.set(uid, BacklogState::Unread(Box::new(unread)));
        }
    }

    /// Some of the mails that were not shown, the newest first, as far as it is time to ask for them.
    fn due(&self, now: LineInstant) -> Vec<u32> {
        let is_soon = |at: LineInstant| now.saturating_duration_since(at) < BETWEEN_ASKS;
        let due = self.backlog.iter().rev().filter(|(_, state)| match state {
            BacklogState::Unread(unread) => !unread.asked.is_some_and(is_soon),
            _ => false,
        });
        due.map(|(uid, _)| uid).take(ONE_BY_ONE).collect()
    }

    /// Asks for one mail that was not shown; gives the refusal, if it is refused.
    async fn read_again(
        &mut self,
        uid: u32,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<Option<Failure>, Interrupted> {
        let sink = &mut |mail, shown| self.judge_fetched(mail, shown, 0, viewing, judge);
        let refusal = imap.fetch_these(&[uid], sink).await?;
        if let Some(unread) = self.backlog.unread_mut(uid) {
            unread.asked = Some(viewing.began);
        }
        Ok(refusal)
    }

    /// Notes that a mail was not shown while others were. One for which that is so again and again is
    /// passed over.
    fn note_try(&mut self, uid: u32, now: LineInstant) {
        let Some(unread) = self.backlog.unread_mut(uid) else { return };
        if unread.has_failed(now, READ_TRIES) {
            self.take_unread(uid);
        }
    }

    /// Moves the place up to which the folder was read to the UIDNEXT that the server reports, unless
    /// that promises mail which the server has not shown yet: it is asked for that for two minutes,
    /// and then for each mail that is there.
    pub(super) async fn move_on(
        &mut self,
        imap: &mut Imap,
        selected: Selected,
        began: LineInstant,
    ) -> Result<(), Interrupted> {
        let next_uid = selected.uid_next.unwrap_or(1);
        if next_uid > self.next_uid && selected.exists > 0 && self.next_uid > 0 {
            let since = *self.hollow_since.get_or_insert(began);
            if began.saturating_duration_since(since) < HOLLOW {
                return Ok(());
            }
            let uids = imap.uids_from(self.next_uid).await?;
            self.note_unread(uids.below(next_uid).rising());
        }
        self.hollow_since = None;
        self.next_uid = self.next_uid.max(next_uid);
        Ok(())
    }
}
