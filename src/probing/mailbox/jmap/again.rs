//! Reading again: what the server did not show, and left-overs that somebody may wait for by now.

use tokio::time::Instant;

use super::memory::Memory;
use super::reading::READ_TRIES;
use super::{EmailId, Session, Viewing};
use crate::clock::on_time_line;
use crate::probing::mailbox::Judge;
use crate::probing::mailbox::backlog::Kind;
use ledger::Failure;
use mail::Interrupted;
use mail::jmap::Email;

impl Session {
    /// Asks for what the server has not shown. That at which a session ended is asked for by itself, once a minute, and
    /// last.
    pub(super) async fn read_again(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let now = on_time_line(Instant::now());
        let due = memory.due(now, self.jmap.batch());
        let (alone, together): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|(_, unread)| unread.breaks);
        let ids = |mails: Vec<(EmailId, _)>| mails.into_iter().map(|(id, _)| id);
        let together: Vec<EmailId> = ids(together).collect();
        self.read(memory, &together, None, judge).await?;
        self.read_recalled(memory, judge).await?;
        let (over, alone): (Vec<_>, Vec<_>) =
            alone.into_iter().partition(|(_, unread)| unread.tries >= READ_TRIES);
        ids(over).for_each(|id| memory.pass_over(&id));
        let alone: Vec<EmailId> = ids(alone).collect();
        self.read_each(memory, &alone, None, judge).await?;
        self.asked_again = together.into_iter().chain(alone).collect();
        Ok(())
    }

    /// A look is over that has proved that the server shows mails: those that it did not show are tried a few times.
    pub(super) fn note_tries(&mut self, memory: &mut Memory) {
        let now = on_time_line(Instant::now());
        for id in std::mem::take(&mut self.asked_again).into_iter().filter(|_| self.has_shown) {
            let unread = memory.backlog.unread_mut(id.clone());
            if unread.is_some_and(|unread| unread.has_failed(now, READ_TRIES)) {
                memory.pass_over(&id);
            }
        }
    }

    /// Asks for the left-overs that were recalled. What is not shown is not there any more. If the session ends with
    /// some of them, each is asked for by itself the next time, once: the others are not held up by it.
    async fn read_recalled(
        &mut self,
        memory: &mut Memory,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        while !memory.recalled.is_empty() {
            let batch: Vec<EmailId> =
                memory.recalled.iter().take(self.jmap.batch().max(1)).cloned().collect();
            for id in &batch {
                memory.recalled.remove(id);
                memory.recalled_alone.insert(id.clone());
            }
            match self.jmap.emails(&batch).await {
                Ok(emails) => {
                    memory.recalled_alone.retain(|id| !batch.contains(id));
                    self.judge_left(memory, &batch, &emails, judge);
                }
                Err(refusal) if refusal.is_of_the_request() => {}
                Err(interrupted) => {
                    if matches!(interrupted, Interrupted::Refused(_)) {
                        memory.recalled_alone.retain(|id| !batch.contains(id));
                        memory.recalled.extend(batch);
                    }
                    return Err(interrupted.into());
                }
            }
        }
        while let Some(id) = memory.recalled_alone.pop_first() {
            match self.jmap.emails(std::slice::from_ref(&id)).await {
                Ok(emails) => self.judge_left(memory, &[id], &emails, judge),
                Err(refusal) if refusal.is_of_the_request() => {}
                Err(interrupted) => {
                    if matches!(interrupted, Interrupted::Refused(_)) {
                        memory.recalled_alone.insert(id);
                    }
                    return Err(interrupted.into());
                }
            }
        }
        Ok(())
    }

    fn judge_left(
        &mut self,
        memory: &mut Memory,
        asked: &[EmailId],
        emails: &[Email],
        judge: &mut Judge<'_>,
    ) {
        // Nobody knows since when they were there.
        let viewing = Viewing { previous_look: None, ..self.viewing(memory) };
        for id in asked {
            let is_left = memory.backlog.kind(id.clone()) == Some(Kind::LeftOver);
            match emails.iter().find(|email| email.id == *id) {
                Some(email) => {
                    (self.has_shown, memory.has_shown) = (true, true);
                    if let Some(place) = self.places.of(&email.mailboxes).filter(|_| is_left) {
                        memory.judge(email, place, viewing, judge);
                    }
                }
                None => drop(memory.backlog.remove_if(id.clone(), Kind::LeftOver)),
            }
        }
    }
}
