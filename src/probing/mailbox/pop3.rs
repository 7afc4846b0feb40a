//! Looking into a POP3 maildrop: a session for each look, because its view is frozen at the login.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::backlog::{Backlog, BacklogState, Kind, Removal};
use super::kept::{from_word, record};
use super::{
    Disposition, Found, Judge, LEFT_OVERS, Looked, REMOVAL_TRIES, STILL_THERE, Since, TO_REMOVE,
};
use crate::clock::{self, on_time_line};
use crate::store::FolderRecord;
use ledger::LineInstant;
use ledger::LoginDelay;
use ledger::{Failure, Reason, Step};
use ledger::{FoundIn, Moment};
use mail::bounce::DsnReport;
use mail::pop3::{Entry, Id, Listing, Pop3, Viewed};
use mail::test_mail::Header;
use mail::trace::Trace;
use mail::{Fault, Interrupted};
pub use opening::{Prepared, log_in};
use removal::{Confirmed, is_still_ours};
use seen::Seen;

mod opening;
mod reading;
mod removal;
mod seen;

/// How many mails may be unreadable before the maildrop is.
const READ_TRIES: u32 = 3;
/// How long a check may search for left-overs of others: sending waits for the check.
const LEFT_OVER_TIME: Duration = Duration::from_secs(2);

/// How many mails are chosen to be read at a time.
const BATCH: usize = 500;
/// The most mails that are taken out in one session.
const REMOVALS: usize = 1000;

/// What is known of the maildrop from one session to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The ids that were looked at, or are put off.
    seen: Seen,
    /// Whether everything is in there that mattered at the first contact.
    has_met: bool,
    /// Older mails among which left-overs may be, newest last; read bit by bit.
    put_off: Vec<Id>,
    /// Left-overs that are read again, before those.
    recalled: BTreeSet<Id>,
    /// The mails with which something is to be done.
    backlog: Backlog<Id>,
    /// The numbers, in the session under way, of mails that were read in it and are to be removed.
    judged: BTreeSet<u32>,
    /// The mails that the server refused to show in it.
    refused: BTreeSet<Id>,
    /// The newest of these refusals.
    refusal: Option<Interrupted>,
    /// When the view of the maildrop was last asked for.
    looked_at: Option<LineInstant>,
    /// The least time between two logins that the server asks for.
    pub login_delay: LoginDelay,
}

/// Asked once the maildrop is listed: from when on mails matter at the first contact.
pub type AskSince<'a> = &'a (dyn Fn() -> Since + Send + Sync);

/// An open session whose mails were read and judged.
pub struct Session {
    pop3: Pop3,
    listing: Listing,
}

impl Session {
    /// Lists the maildrop and reads the headers that are new since the last session; at the first
    /// contact the newest ones, as far back as mail of ours may lie. A check goes on from there
    /// in search of left-overs, for two seconds at a time, and reads one header in any case, if mail
    /// is there.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen.
    pub async fn look(
        mut pop3: Pop3,
        memory: &mut Memory,
        since: AskSince<'_>,
        is_check: bool,
        judge: &mut Judge<'_>,
    ) -> Result<Self, Failure> {
        let now = Instant::now();
        let viewed = pop3.viewed().unwrap_or(Viewed { asked: now, shown: now });
        let asked_at = on_time_line(viewed.asked);
        memory.login_delay = pop3.login_delay();
        memory.judged.clear();
        (memory.refused, memory.refusal) = Default::default();
        let listing = pop3.list().await?;
        if !pop3.has_top() && !listing.is_empty() {
            pop3.trace().enter(Step::Fetch);
            let message = "this server cannot be watched by POP3, for it cannot give a header alone \
                           (TOP), and others' mail is not read whole";
            return Err(pop3.trace().failure(Fault::new(Reason::Protocol, message)));
        }
        let viewing = Viewing {
            shown_at: on_time_line(viewed.shown),
            asked_at,
            previous_look: memory.looked_at,
            network: pop3.network(),
        };
        let mut session = Self { pop3, listing };
        let since = since();
        if memory.has_met && !session.knows_where_to_go_on(memory) {
            (memory.has_met, memory.seen) = (false, Seen::default());
        }
        let mut read = if memory.has_met {
            session.read_unseen(memory, viewing, judge).await?
        } else {
            session.read_newest(memory, since.ours, viewing, judge).await?
        };
        if is_check || !memory.recalled.is_empty() {
            read += session.read_put_off(memory, since.left_overs, viewing, judge).await?;
        }
        if is_check && read == 0 {
            session.read_any().await?;
        } else if read == 0
            && let Some(refusal) = memory.refusal.take()
            && let Interrupted::Broken(failure) = session.pop3.shows_nothing(refusal)
        {
            // It is no matter of these mails.
            return Err(failure);
        }
        if is_check || read > 0 {
            // Others are shown, or there is none: it is a matter of these mails.
            memory.note_tries(viewing.shown_at);
        }
        memory.looked_at = Some(asked_at);
        memory.promote_expired(clock::wall());
        Ok(session)
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.pop3.trace()
    }

    /// Takes out what is ours and ends the session; the removal counts only if QUIT was answered.
    pub async fn remove_and_close(mut self, memory: &mut Memory) -> Looked {
        let mut looked = Looked::default();
        let is_to_go = |entry: &Entry| memory.backlog.kind(entry.id) == Some(Kind::ToRemove);
        let present: BTreeSet<Id> =
            self.listing.entries().filter(is_to_go).map(|entry| entry.id).collect();
        let to_go: Vec<Entry> = self.listing.entries().filter(is_to_go).take(REMOVALS).collect();
        memory.forget_removals(|id, _| !present.contains(&id));
        let mut marked = Vec::new();
        let mut strangers = Vec::new();
        for entry in to_go {
            let Some(removal) = memory.backlog.removal_mut(entry.id).copied() else { continue };
            if !memory.judged.contains(&entry.number) {
                // The maildrop may have been made anew, or two mails may have one id.
                match is_still_ours(&mut self.pop3, entry.number, removal).await {
                    Ok(Confirmed::Ours) => {}
                    Ok(Confirmed::Refused(refusal)) => {
                        looked.removal_failure = Some(refusal);
                        continue;
                    }
                    Ok(Confirmed::Stranger) => {
                        strangers.push(entry.id);
                        continue;
                    }
                    Err(failure) => {
                        looked.removal_failure = Some(failure);
                        return looked;
                    }
                }
            }
            if removal.times > 0 {
                self.pop3.trace().enter(Step::Remove);
                let fault = Fault::new(Reason::Other, STILL_THERE);
                looked.removal_failure = Some(self.pop3.trace().failure(fault));
            }
            match self.pop3.delete(entry.number).await {
                Ok(()) => marked.push(entry.id),
                // The others still go, if the session is ended in order.
                Err(Interrupted::Refused(refusal)) => {
                    looked.removal_failure = Some(refusal.failure);
                }
                Err(Interrupted::Broken(failure)) => {
                    looked.removal_failure = Some(failure);
                    return looked;
                }
            }
        }
        for id in strangers {
            if !marked.contains(&id) {
                memory.backlog.remove_if(id, Kind::ToRemove);
            }
        }
        if let Err(failure) = self.quit(&marked, memory).await {
            looked.removal_failure = Some(failure);
        }
        looked
    }

    /// Ends the session. Only with the answer has the server said that what is marked is gone (RFC 1939
    /// section 6).
    async fn quit(self, marked: &[Id], memory: &mut Memory) -> Result<(), Failure> {
        self.pop3.quit(!marked.is_empty()).await?;
        for id in marked {
            if let Some(removal) = memory.backlog.removal_mut(*id) {
                removal.times += 1;
            }
        }
        memory.forget_removals(|_, removal| removal.times >= REMOVAL_TRIES);
        Ok(())
    }
}

/// When a login fixed what is there, and when it was not there before.
#[derive(Clone, Copy)]
struct Viewing {
    shown_at: LineInstant,
    asked_at: LineInstant,
    previous_look: Option<LineInstant>,
    network: Duration,
}

impl Memory {
    /// What is left to do, to be kept.
    pub fn record(&self, now: Moment) -> FolderRecord {
        record(&self.backlog, self.looked_at, now)
    }

    /// Has the left-overs judged anew, by the next look and the checks after it: there is somebody who may wait for them.
    pub fn recall_left_overs(&mut self) {
        self.recalled.extend(self.backlog.ids(Kind::LeftOver));
    }

    /// When the view of the maildrop was last asked for.
    pub fn looked_at(&self) -> Option<LineInstant> {
        self.looked_at
    }

    /// Whether something of ours is to be taken out.
    pub fn has_to_remove(&self) -> bool {
        self.backlog.has(Kind::ToRemove)
    }

    /// These are not to be removed any more.
    fn forget_removals(&mut self, is_over: impl Fn(Id, &Removal) -> bool) {
        let over: Vec<Id> = self
            .backlog
            .iter()
            .filter(|(id, state)| match state {
                BacklogState::ToRemove(removal) => is_over(*id, removal),
                _ => false,
            })
            .map(|(id, _)| id)
            .collect();
        for id in over {
            self.backlog.remove(id);
        }
    }

    /// Goes on from what an earlier process has kept.
    pub fn restore(&mut self, record: FolderRecord, now: Moment) {
        self.looked_at = record.looked_at.and_then(|at| now.moment_of(at));
        for (id, due) in &record.left_overs {
            self.backlog.set(Id::from_kept(id), BacklogState::LeftOver(*due));
        }
        for (id, removal) in record.to_remove.iter().map(|word| from_word(word)) {
            self.backlog.set(Id::from_kept(id), BacklogState::ToRemove(removal));
        }
    }

    /// Whether it was judged already, perhaps in a session that then broke: twice would be a duplicate.
    fn is_accounted(&self, id: Id) -> bool {
        self.seen.contains(id) || self.backlog.get(id).is_some_and(BacklogState::is_read)
    }

    /// All of this was looked at, but for what the server has refused to show.
    fn have_seen(&mut self, listing: &Listing) {
        let backlog = &self.backlog;
        let is_unread = |id: &Id| backlog.kind(*id) == Some(Kind::Unread);
        self.seen.replace(listing.entries().map(|entry| entry.id), |id| !is_unread(id));
        let ids = listing.entries().map(|entry| entry.id);
        let present: BTreeSet<Id> = ids.filter(is_unread).collect();
        let is_absent = |id: &Id| !present.contains(id);
        let absent: Vec<Id> = backlog.ids(Kind::Unread).filter(is_absent).collect();
        for id in absent {
            self.backlog.remove(id);
        }
    }

    /// Reads one header, and the report behind it if it may be about a mail of ours, and has it
    /// judged; gives the server's date of the mail, and nothing for a mail that the server does not
    /// show.
    async fn read_if_shown(
        &mut self,
        pop3: &mut Pop3,
        entry: &Entry,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<Option<Option<SystemTime>>, Failure> {
        match self.read(pop3, entry, viewing, judge).await {
            Ok(date) => {
                self.backlog.remove_if(entry.id, Kind::Unread);
                Ok(Some(date))
            }
            // A single mail that the server refuses to show, broken or gone, must not stop the others.
            Err(refusal) if refusal.is_of_the_request() => {
                self.refusal = Some(refusal);
                self.note_refused(entry.id);
                Ok(None)
            }
            Err(interrupted) => Err(interrupted.into()),
        }
    }

    /// The server refuses to show a mail. Of so many that are refused it does not matter which; one that
    /// was read before is removed when its time has come, whether it is shown again or not.
    fn note_refused(&mut self, id: Id) {
        match self.backlog.kind(id) {
            Some(Kind::Unread) => {}
            None if self.backlog.len(Kind::Unread) < LEFT_OVERS => {
                self.backlog.set(id, BacklogState::Unread(Box::default()));
            }
            _ => return,
        }
        self.refused.insert(id);
    }

    /// Notes that these were refused while others were shown. One for which that is so again and again is
    /// passed over.
    fn note_tries(&mut self, now: LineInstant) {
        for id in std::mem::take(&mut self.refused) {
            let Some(unread) = self.backlog.unread_mut(id) else { continue };
            if unread.has_failed(now, READ_TRIES) {
                self.backlog.remove(id);
                self.seen.insert(id);
            }
        }
    }

    /// Notes that a mail was looked at, unless the server has refused to show it: it is looked at again.
    fn note_seen(&mut self, id: Id) {
        if self.backlog.kind(id) != Some(Kind::Unread) {
            self.seen.insert(id);
        }
    }

    async fn read(
        &mut self,
        pop3: &mut Pop3,
        entry: &Entry,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<Option<SystemTime>, Interrupted> {
        let block = pop3.header(entry.number).await?;
        let header = Header::parse(&block);
        let server_date = header.received;
        let mut found = Found {
            header,
            server_date,
            folder: FoundIn::Inbox,
            shown_at: viewing.shown_at,
            asked_at: viewing.asked_at,
            previous_look: viewing.previous_look,
            was_left: self.backlog.kind(entry.id) == Some(Kind::LeftOver),
            network: viewing.network,
            accounted: BTreeSet::new(),
            block: Some(block),
            has_stamps: true,
            is_copy: false,
            report: None,
        };
        let mut disposition = judge(&found);
        if disposition == Disposition::ReadReport {
            found.report = DsnReport::parse(&pop3.beginning(entry.number).await?);
            if found.report.is_none() {
                found.header = found.header.of_no_report();
            }
            disposition = judge(&found);
        }
        match disposition {
            Disposition::Remove(token) | Disposition::Inspect(token) => {
                let is_answer = !found.header.carries(token);
                self.is_to_go(entry, Removal { is_answer, ..Removal::of(Some(token)) });
            }
            Disposition::Discard => self.is_to_go(entry, Removal::default()),
            Disposition::LeftOver(due) => self.is_left_over(entry.id, found.over_by_its_mark(due)),
            Disposition::ReadReport | Disposition::Leave => {}
        }
        Ok(server_date)
    }

    fn is_to_go(&mut self, entry: &Entry, removal: Removal) {
        if self.backlog.len(Kind::ToRemove) >= TO_REMOVE {
            return;
        }
        self.judged.insert(entry.number);
        self.backlog.set(entry.id, BacklogState::ToRemove(removal));
    }

    /// A probe that nobody waits for. Two mails may have one id: what is ours is not forgotten for that.
    fn is_left_over(&mut self, id: Id, due: SystemTime) {
        let has_room = self.backlog.len(Kind::LeftOver) < LEFT_OVERS;
        if has_room && self.backlog.kind(id) != Some(Kind::ToRemove) {
            self.backlog.set(id, BacklogState::LeftOver(due));
        }
    }

    fn promote_expired(&mut self, now: SystemTime) {
        let is_due = |(id, due): (Id, SystemTime)| (due <= now).then_some(id);
        let due: Vec<Id> = self.backlog.left_overs().filter_map(is_due).collect();
        for id in due {
            self.backlog.set(id, BacklogState::ToRemove(Removal::default()));
        }
    }
}

#[cfg(test)]
mod tests;
