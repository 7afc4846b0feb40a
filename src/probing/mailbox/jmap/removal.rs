//! Taking out what is ours, and nothing else: by its id, which no other mail can have, and once more read before
//! where it was not this process that has read it.

use std::time::Duration;

use super::memory::{Memory, later};
use super::reading::READ_TRIES;
use super::{EmailId, Session};
use crate::clock;
use crate::probing::mailbox::backlog::{BacklogState, Confirmation, Kind, Removal};
use crate::probing::mailbox::imap::NotRemoved;
use crate::probing::mailbox::{Inspector, REMOVAL_TRIES, STILL_THERE, TO_REMOVE, reports};
use ledger::{Failure, Reason, Step};
use mail::jmap::Email;
use mail::test_mail::Header;
use mail::{Fault, Interrupted};

/// How many mails are inspected at once.
const BATCH: usize = 100;
/// How often in a row the server may refuse it before it is asked at checks only.
const REFUSALS: u32 = 3;
/// After which time a mail is tried again that is there, though it was taken out three times.
const LEFT_AGAIN: Duration = Duration::from_secs(24 * 3600);

impl Session {
    /// Whether [`Session::remove`] has something to do.
    pub fn has_to_remove(&self, memory: &Memory, is_check: bool) -> bool {
        let has_some = memory.backlog.has(Kind::ToRemove) || memory.backlog.has(Kind::ToConfirm);
        has_some && (is_check || memory.refusals < REFUSALS)
    }

    /// Takes out what is ours, once the inspector has read what it wants to, and left-overs whose time has passed.
    ///
    /// # Errors
    /// What was not taken out is tried again next time; whether the session can be used for that, the kind of the
    /// error says.
    pub async fn remove(
        &mut self,
        memory: &mut Memory,
        inspector: &Inspector,
    ) -> Result<(), NotRemoved> {
        let outcome = self.remove_now(memory, inspector).await;
        let of_removal = |failure: Failure| Failure { step: Step::Remove, ..failure };
        match outcome {
            Ok(()) => memory.refusals = 0,
            Err(NotRemoved::Refused(_)) => memory.refusals += 1,
            Err(NotRemoved::Broken(_)) => {}
        }
        outcome.map_err(|not_removed| match not_removed {
            NotRemoved::Refused(failure) => NotRemoved::Refused(of_removal(failure)),
            NotRemoved::Broken(failure) => NotRemoved::Broken(of_removal(failure)),
        })
    }

    async fn remove_now(
        &mut self,
        memory: &mut Memory,
        inspector: &Inspector,
    ) -> Result<(), NotRemoved> {
        self.inspect(memory, inspector).await?;
        let removed = self.destroy(memory).await;
        if !matches!(removed, Err(NotRemoved::Broken(_))) {
            // Last: one that cannot be read again must not hold up the others.
            self.confirm(memory).await?;
        }
        removed
    }

    /// The state of the account stays as it is known: the server tells of nothing but these at the next look, and what
    /// came meanwhile is not skipped (the states of Email/set say nothing of what lies between).
    async fn destroy(&mut self, memory: &mut Memory) -> Result<(), NotRemoved> {
        let to_go = memory.to_go(self.jmap.batch());
        if to_go.is_empty() {
            return Ok(());
        }
        let destroyed = self.jmap.destroy(&to_go).await?;
        let mut failure = None;
        if !destroyed.gone.is_empty() {
            // One that it refuses must not keep it from being asked for the others.
            memory.refusals = 0;
        }
        for id in destroyed.gone {
            memory.backlog.remove_if(id, Kind::ToRemove);
        }
        for (id, why) in destroyed.refused {
            if let Some(removal) = memory.backlog.removal_mut(id) {
                removal.refused += 1;
            }
            self.trace().enter(Step::Remove);
            let why = self.trace().words(why.as_bytes());
            failure = Some(self.trace().failure(Fault::new(Reason::Rejected, why)));
        }
        for id in destroyed.left {
            memory.note_left(id);
            self.trace().enter(Step::Remove);
            failure = Some(self.trace().failure(Fault::new(Reason::Other, STILL_THERE)));
        }
        failure.map_or(Ok(()), |failure| Err(NotRemoved::Refused(failure)))
    }

    /// Gives the inspector the headers that it waits for; one that is not shown is removed unread.
    async fn inspect(
        &mut self,
        memory: &mut Memory,
        inspector: &Inspector,
    ) -> Result<(), NotRemoved> {
        let waits = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::ToRemove(Removal { inspects: true, token: Some(token), .. }) => {
                Some((id, *token))
            }
            _ => None,
        };
        let waiting: Vec<_> = memory.backlog.iter().filter_map(waits).take(BATCH).collect();
        for (id, token) in waiting {
            if let Some(removal) = memory.backlog.removal_mut(id.clone()) {
                removal.inspects = false;
            }
            match self.jmap.header(&id).await {
                Ok(Some((block, size))) => {
                    let size = size.filter(|_| inspector.wants_size(token));
                    inspector.read(token, &block, size);
                }
                Ok(None) | Err(Interrupted::Refused(_)) => {}
                Err(Interrupted::Broken(failure)) => return Err(NotRemoved::Broken(failure)),
            }
        }
        Ok(())
    }

    /// Has the headers read again of what was seen long ago, or by an earlier process. Those that still are ours are
    /// taken out next. One that is gone is forgotten, and so is one that the server did not show three times. What the
    /// server refuses for a while, or a session that ends, is no matter of these.
    async fn confirm(&mut self, memory: &mut Memory) -> Result<(), NotRemoved> {
        let room = TO_REMOVE.saturating_sub(memory.backlog.len(Kind::ToRemove));
        let most = self.jmap.batch().min(room);
        let batch: Vec<EmailId> = memory.backlog.ids(Kind::ToConfirm).take(most).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let mut asked = Vec::new();
        for id in batch {
            if let Some(BacklogState::ToConfirm(before)) = memory.backlog.get(id.clone()).cloned() {
                memory.backlog.set(id.clone(), BacklogState::PutOff(before, later()));
                asked.push((id, before));
            }
        }
        let has_broken = std::mem::replace(&mut memory.is_confirming, true);
        let outcome = match has_broken {
            true => self.confirm_each(memory, asked).await,
            false => self.confirm_all(memory, asked).await,
        };
        if !matches!(outcome, Err(NotRemoved::Broken(_))) {
            memory.is_confirming = false;
        }
        outcome
    }

    async fn confirm_all(
        &mut self,
        memory: &mut Memory,
        asked: Vec<(EmailId, Confirmation)>,
    ) -> Result<(), NotRemoved> {
        let ids: Vec<EmailId> = asked.iter().map(|(id, _)| id.clone()).collect();
        let emails = match self.jmap.emails(&ids).await {
            Ok(emails) => emails,
            Err(refusal) if refusal.is_of_the_request() => {
                return self.confirm_each(memory, asked).await;
            }
            Err(interrupted) => return Err(interrupted.into()),
        };
        for (id, before) in asked {
            let email = emails.iter().find(|email| email.id == id);
            self.decide(memory, id, before, email).await?;
        }
        Ok(())
    }

    /// Each by itself, and counted before: the session may end with it.
    async fn confirm_each(
        &mut self,
        memory: &mut Memory,
        asked: Vec<(EmailId, Confirmation)>,
    ) -> Result<(), NotRemoved> {
        for (id, before) in asked {
            memory.count_confirmation(&id, before);
            match self.jmap.emails(std::slice::from_ref(&id)).await {
                Ok(emails) => self.decide(memory, id, before, emails.first()).await?,
                Err(refusal) if refusal.is_of_the_request() => {}
                Err(interrupted) => {
                    if matches!(interrupted, Interrupted::Refused(_)) {
                        memory.backlog.set(id, BacklogState::PutOff(before, later()));
                    }
                    return Err(interrupted.into());
                }
            }
        }
        Ok(())
    }

    /// What becomes of a mail that was read again; `None`: it is gone. Where nothing is looked into nothing is taken
    /// out.
    async fn decide(
        &mut self,
        memory: &mut Memory,
        id: EmailId,
        before: Confirmation,
        email: Option<&Email>,
    ) -> Result<(), NotRemoved> {
        let email = email.filter(|email| self.places.of(&email.mailboxes).is_some());
        let removal = before.removal();
        let is_ours = match email {
            Some(email) => self.is_ours(email, removal).await,
            None => Ok(false),
        };
        match is_ours {
            Ok(true) => drop(memory.backlog.set(id, BacklogState::ToRemove(removal))),
            Ok(false) => {
                let mark = email.and_then(|email| Header::parse(&email.block).mark);
                let later =
                    mark.filter(|mark| removal.token.is_none() && mark.expires > clock::wall());
                match later {
                    Some(mark) => memory.backlog.set(id, BacklogState::LeftOver(mark.expires)),
                    None => memory.backlog.remove(id),
                };
            }
            Err(refusal) if refusal.is_of_the_request() => memory.count_confirmation(&id, before),
            Err(interrupted) => {
                if matches!(interrupted, Interrupted::Refused(_)) {
                    memory.backlog.set(id, BacklogState::PutOff(before, later()));
                }
                return Err(interrupted.into());
            }
        }
        Ok(())
    }

    /// One that was known by a token must carry it; else it must be a test mail whose time has passed, or a report
    /// about a test mail.
    async fn is_ours(&mut self, email: &Email, removal: Removal) -> Result<bool, Interrupted> {
        let header = Header::parse(&email.block);
        if removal.token.is_some() {
            return Ok(removal.is_named_in(&header));
        }
        if header.mark.is_some() || !header.is_delivery_report {
            return Ok(header.mark.is_some_and(|mark| mark.expires <= clock::wall()));
        }
        let beginning = self.jmap.beginning(&email.blob_id).await?;
        Ok(beginning.is_some_and(|it| reports::is_about_a_test_mail(&it)))
    }
}

impl Memory {
    /// What is taken out next, those last that the server has refused most often.
    fn to_go(&self, most: usize) -> Vec<EmailId> {
        let to_go = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::ToRemove(removal) => Some((removal.refused, id)),
            _ => None,
        };
        let mut to_go: Vec<(u32, EmailId)> = self.backlog.iter().filter_map(to_go).collect();
        to_go.sort();
        to_go.into_iter().take(most).map(|(_, id)| id).collect()
    }

    /// It is gone, as the server says, and there: that is tried again, three times, and a day later once more.
    fn note_left(&mut self, id: EmailId) {
        let Some(removal) = self.backlog.removal_mut(id.clone()) else { return };
        removal.times += 1;
        let removal = *removal;
        if removal.times < REMOVAL_TRIES {
            return;
        }
        if self.backlog.len(Kind::PutOff) < TO_REMOVE {
            let due = clock::wall() + LEFT_AGAIN;
            self.backlog.set(id, BacklogState::PutOff(Confirmation::of(removal), due));
        } else {
            self.backlog.set(id, BacklogState::Broken);
        }
    }

    /// It was asked for and not shown, which is tried three times.
    fn count_confirmation(&mut self, id: &EmailId, before: Confirmation) {
        let asked = Confirmation { tries: before.tries + 1, ..before };
        match asked.tries < READ_TRIES {
            true => drop(self.backlog.set(id.clone(), BacklogState::PutOff(asked, later()))),
            false => drop(self.backlog.remove(id.clone())),
        }
    }
}
