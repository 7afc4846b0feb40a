//! Reading a maildrop: the newest mails at the first contact, what was put off then, and what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use tokio::time::Instant;

use super::{BATCH, LEFT_OVER_TIME, Memory, READ_TRIES, Session, Viewing};
use crate::probing::mailbox::backlog::Kind;
use crate::probing::mailbox::{CLOCK_SLACK, FIRST_CONTACT_HEADERS, Judge};
use ledger::Failure;
use mail::Interrupted;
use mail::pop3::{Entry, Id};

impl Session {
    /// The first contact: newest first, until a mail is older than everything of ours. One that is cut
    /// short goes on where it stopped; the rest is put off.
    pub(super) async fn read_newest(
        &mut self,
        memory: &mut Memory,
        ours: Option<SystemTime>,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<usize, Failure> {
        let mut read = 0;
        let most = FIRST_CONTACT_HEADERS.saturating_sub(memory.seen.len());
        let news = self.listing.entries().rev().filter(|entry| !memory.is_accounted(entry.id));
        let news: Vec<Entry> = news.take(most).collect();
        for entry in &news {
            let Some(ours) = ours else { break };
            let date = memory.read_if_shown(&mut self.pop3, entry, viewing, judge).await?;
            read += usize::from(date.is_some());
            memory.note_seen(entry.id);
            if date.flatten().is_some_and(|date| date + CLOCK_SLACK < ours) {
                break;
            }
        }
        let is_put_off = |entry: &&Entry| {
            !memory.seen.contains(entry.id) && memory.backlog.kind(entry.id) != Some(Kind::Unread)
        };
        let put_off = news.iter().rev().filter(is_put_off);
        memory.put_off = put_off.map(|entry| entry.id).collect();
        memory.have_seen(&self.listing);
        memory.has_met = true;
        Ok(read)
    }

    /// What the first contact has put off: newest first, until a mail is older than any left-over
    /// that matters, as far as it comes in the time of a check.
    pub(super) async fn read_put_off(
        &mut self,
        memory: &mut Memory,
        left_overs: SystemTime,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<usize, Failure> {
        let deadline = Instant::now() + LEFT_OVER_TIME;
        // Those that somebody may wait for come first.
        let known: BTreeSet<Id> = memory.put_off.iter().copied().collect();
        let recalled = std::mem::take(&mut memory.recalled);
        memory.put_off.extend(recalled.difference(&known));
        let wanted: BTreeSet<Id> = memory.put_off.iter().copied().collect();
        let is_wanted = |entry: &Entry| wanted.contains(&entry.id);
        let entries: BTreeMap<Id, Entry> =
            self.listing.entries().filter(is_wanted).map(|entry| (entry.id, entry)).collect();
        // Nobody knows since when they were there.
        let viewing = Viewing { previous_look: None, ..viewing };
        let mut read = 0;
        while let Some(id) = memory.put_off.last().copied() {
            if Instant::now() >= deadline {
                break;
            }
            if let Some(entry) = entries.get(&id) {
                let date = memory.read_if_shown(&mut self.pop3, entry, viewing, judge).await?;
                read += usize::from(date.is_some());
                if date.flatten().is_some_and(|date| date + CLOCK_SLACK < left_overs) {
                    memory.put_off.clear();
                }
            }
            memory.put_off.pop();
        }
        Ok(read)
    }

    /// Proves that mail can be read: one of the newest headers, if there is mail.
    pub(super) async fn read_any(&mut self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for entry in self.listing.entries().rev().take(READ_TRIES as usize) {
            let shown = self.pop3.header(entry.number).await.map(drop);
            let is_refusal = shown.as_ref().is_err_and(Interrupted::is_of_the_request);
            outcome = shown.map_err(|interrupted| self.pop3.shows_nothing(interrupted));
            if !is_refusal {
                break;
            }
        }
        outcome.map_err(Failure::from)
    }

    /// What came since the last session.
    pub(super) async fn read_unseen(
        &mut self,
        memory: &mut Memory,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<usize, Failure> {
        let mut read = 0;
        let mut next = self.first_that_may_be_new(memory);
        loop {
            // Chosen before any is read: two may have one id.
            let places = self.listing.entries().enumerate().skip(next);
            let unseen = places.filter(|(_, entry)| !memory.seen.contains(entry.id));
            let unseen: Vec<(usize, Entry)> = unseen.take(BATCH).collect();
            let Some((last, _)) = unseen.last() else { break };
            next = last + 1;
            for (_, entry) in unseen {
                let date = memory.read_if_shown(&mut self.pop3, &entry, viewing, judge).await?;
                read += usize::from(date.is_some());
                memory.note_seen(entry.id);
            }
        }
        memory.have_seen(&self.listing);
        Ok(read)
    }

    /// Whether the mails of this listing can be told from those of earlier ones: one that begins in the
    /// midst of a maildrop must have something in common with them.
    pub(super) fn knows_where_to_go_on(&self, memory: &Memory) -> bool {
        !self.listing.is_cut() || self.listing.entries().any(|it| memory.seen.contains(it.id))
    }

    /// The first mail of the listing that may have come since. What stands before a mail that was seen is
    /// older; where the listing is cut it may come into it because others have gone.
    fn first_that_may_be_new(&self, memory: &Memory) -> usize {
        if !self.listing.is_cut() {
            return 0;
        }
        let seen = self.listing.entries().position(|entry| memory.seen.contains(entry.id));
        seen.unwrap_or_default()
    }
}
