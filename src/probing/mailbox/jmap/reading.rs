//! Reading an account: the newest mails at the first contact, what has changed since, and what a server did not show.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::{Memory, found};
use super::{Session, Viewing};
use crate::clock::on_time_line;
use crate::probing::mailbox::backlog::{BacklogState, Kind, Unread};
use crate::probing::mailbox::{CLOCK_SLACK, FIRST_CONTACT_HEADERS, Judge, LEFT_OVERS, Since};
use ledger::Failure;
use mail::Interrupted;
use mail::bounce::DsnReport;
use mail::jmap::{Changes, Email, EmailId};
use mail::test_mail::Header;

/// How many batches of changes are read in one look.
const ROUNDS: usize = 20;
/// How often a mail is asked for that the server does not show, or refuses to.
pub(super) const READ_TRIES: u32 = 3;
/// The least time between two of these.
pub(super) const BETWEEN_TRIES: Duration = Duration::from_secs(60);

impl Session {
    /// The first contact: the newest mails, as far back as mail of ours or a left-over may lie. Gives how many were
    /// read.
    pub(super) async fn read_newest(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<usize, Failure> {
        let oldest = since.left_overs.checked_sub(CLOCK_SLACK);
        let ids = self.places.ids();
        let (state, newest) = self.jmap.newest(ids, oldest, FIRST_CONTACT_HEADERS).await?;
        let viewing = self.viewing(memory);
        let newest: Vec<EmailId> =
            newest.into_iter().filter(|id| !memory.is_accounted(id)).collect();
        let mut read = 0;
        for batch in newest.chunks(self.jmap.batch()) {
            read += match self.jmap.emails(batch).await {
                Ok(emails) => self.judge_all(memory, &emails, viewing, judge),
                Err(refusal) if refusal.is_of_the_request() => {
                    self.read_one_by_one(memory, batch, viewing, judge).await?
                }
                Err(interrupted) => return Err(interrupted.into()),
            };
        }
        memory.state = Some(state);
        Ok(read)
    }

    /// What has changed since this state, and if the server cannot tell any more, the newest mails. `told` is the
    /// state of which the server has told by itself, and when. Gives how many mails were read, and whether that was
    /// all.
    pub(super) async fn read_changes(
        &mut self,
        memory: &mut Memory,
        mut state: String,
        mut told: Option<(String, Instant)>,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(usize, bool), Failure> {
        let mut read = 0;
        for _ in 0..ROUNDS {
            let (changes, is_shown) = match self.jmap.changes(&state).await {
                Ok(changes) => (changes, true),
                Err(refusal) if refusal.is_of_the_request() => {
                    (self.jmap.changed_ids(&state).await?, false)
                }
                Err(interrupted) => return Err(interrupted.into()),
            };
            let Some(changes) = changes else {
                memory.state = None;
                return Ok((self.read_newest(memory, since, judge).await?, true));
            };
            let viewing = self.viewing_of(memory, &changes, told.take());
            read += match is_shown {
                true => self.judge_all(memory, &changes.emails, viewing, judge),
                false => self.read_one_by_one(memory, &changes.ids, viewing, judge).await?,
            };
            let has_moved = changes.state != state;
            memory.state = Some(changes.state.clone());
            state = changes.state;
            if !changes.has_more || !has_moved {
                return Ok((read, true));
            }
        }
        Ok((read, false))
    }

    /// What the server told of by itself was there when it said so; what came after it shows by another state.
    fn viewing_of(
        &self,
        memory: &Memory,
        changes: &Changes,
        told: Option<(String, Instant)>,
    ) -> Viewing {
        let viewing = self.viewing(memory);
        match told.filter(|(state, _)| *state == changes.state) {
            Some((_, at)) => {
                let said = at.checked_sub(viewing.network).unwrap_or(at);
                let (asked_at, shown_at) = (on_time_line(said), on_time_line(at));
                Viewing { asked_at, shown_at, ..viewing }
            }
            None => viewing,
        }
    }

    /// Has all of these judged that lie where is looked; gives how many these are.
    fn judge_all(
        &self,
        memory: &mut Memory,
        emails: &[Email],
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> usize {
        let mut read = 0;
        for email in emails {
            let Some(place) = self.places.of(&email.mailboxes) else { continue };
            read += 1;
            if !memory.is_accounted(&email.id) {
                memory.judge(email, place, viewing, judge);
            }
        }
        read
    }

    /// A single mail that the server does not show must not hide the others: it is asked for again later.
    async fn read_one_by_one(
        &mut self,
        memory: &mut Memory,
        ids: &[EmailId],
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<usize, Failure> {
        let (mut read, mut refused) = (0, None);
        for id in ids {
            match self.jmap.emails(std::slice::from_ref(id)).await {
                Ok(emails) => read += self.judge_all(memory, &emails, viewing, judge),
                Err(refusal) if refusal.is_of_the_request() => {
                    if memory.backlog.len(Kind::Unread) < LEFT_OVERS && !memory.is_accounted(id) {
                        let unread = Unread { asked: Some(viewing.shown_at), ..Unread::default() };
                        memory.backlog.set(id.clone(), BacklogState::Unread(Box::new(unread)));
                    }
                    refused = Some(refusal);
                }
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
        match refused {
            // It is no matter of these mails.
            Some(refusal) if read == 0 => Err(refusal.into()),
            _ => Ok(read),
        }
    }

    /// Left-overs that somebody may wait for by now, and what the server has not shown.
    pub(super) async fn read_again(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let now = on_time_line(Instant::now());
        let is_due = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::Unread(unread) => {
                let is_soon = |at| now.saturating_duration_since(at) < BETWEEN_TRIES;
                (!unread.asked.is_some_and(is_soon)).then_some((id, **unread))
            }
            _ => None,
        };
        let unread: Vec<(EmailId, Unread)> = memory.backlog.iter().filter_map(is_due).collect();
        for (id, unread) in unread.into_iter().take(self.jmap.batch()) {
            // Counted before: the session may end with it.
            let tries = unread.tries + 1;
            memory.backlog.remove(id.clone());
            if tries < READ_TRIES {
                let unread = Unread { tries, asked: Some(now), ..unread };
                memory.backlog.set(id.clone(), BacklogState::Unread(Box::new(unread)));
            }
            match self.jmap.emails(std::slice::from_ref(&id)).await {
                Ok(emails) => {
                    memory.backlog.remove_if(id, Kind::Unread);
                    let viewing = Viewing { previous_look: None, ..self.viewing(memory) };
                    self.judge_all(memory, &emails, viewing, judge);
                }
                Err(refusal) if refusal.is_of_the_request() => {}
                Err(interrupted) => return Err(interrupted.into()),
            }
        }
        self.read_recalled(memory, judge).await
    }

    async fn read_recalled(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let recalled: Vec<EmailId> = std::mem::take(&mut memory.recalled).into_iter().collect();
        for batch in recalled.chunks(self.jmap.batch()) {
            let emails = match self.jmap.emails(batch).await {
                Ok(emails) => emails,
                Err(refusal) if refusal.is_of_the_request() => continue,
                Err(interrupted) => return Err(interrupted.into()),
            };
            // Nobody knows since when they were there.
            let viewing = Viewing { previous_look: None, ..self.viewing(memory) };
            for email in emails {
                let is_left = memory.backlog.kind(email.id.clone()) == Some(Kind::LeftOver);
                if let Some(place) = self.places.of(&email.mailboxes).filter(|_| is_left) {
                    memory.judge(&email, place, viewing, judge);
                }
            }
        }
        Ok(())
    }

    /// Reads some of the reports that may be about mails of ours, the oldest first, and has them judged. One that
    /// the server does not show is given up after three tries: it stays where it is.
    pub(super) async fn read_reports(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let now = on_time_line(Instant::now());
        for (id, pending) in memory.backlog.reports_to_read(now) {
            memory.backlog.try_report(id.clone(), pending, now, READ_TRIES);
            let emails = match self.jmap.emails(std::slice::from_ref(&id)).await {
                Err(Interrupted::Refused(_)) => continue,
                emails => emails?,
            };
            let Some(email) = emails.first() else {
                memory.backlog.remove_if(id, Kind::Report);
                continue;
            };
            let beginning = match self.jmap.beginning(&email.blob_id).await {
                Err(Interrupted::Refused(_)) => continue,
                beginning => beginning?,
            };
            memory.backlog.remove_if(id.clone(), Kind::Report);
            let Some(beginning) = beginning else { continue };
            let Some(place) = self.places.of(&email.mailboxes) else { continue };
            let viewing = Viewing { previous_look: pending.before, ..self.viewing(memory) };
            let mut found = found(place, viewing, pending.server_date);
            found.report = DsnReport::parse(&beginning);
            if found.report.is_none() {
                // It may be an answer to a mail of ours.
                found.header = Header::parse(&beginning).of_no_report();
            }
            let disposition = judge(&found);
            memory.apply(&id, disposition, &found);
        }
        Ok(())
    }
}
