//! Taking out what is ours, and nothing else: by its id, which no other mail can have, and once more read before
//! where it was not this process that has read it.

use super::memory::{Memory, later};
use super::reading::READ_TRIES;
use super::{EmailId, Session};
use crate::clock;
use crate::probing::mailbox::backlog::{BacklogState, Confirmation, Kind, Removal};
use crate::probing::mailbox::imap::NotRemoved;
use crate::probing::mailbox::{Inspector, REMOVAL_TRIES, STILL_THERE, reports};
use ledger::{Failure, Reason, Step};
use mail::jmap::Email;
use mail::test_mail::Header;
use mail::{Fault, Interrupted};

/// How many mails are taken out at once.
const BATCH: usize = 100;
/// How often in a row the server may refuse it before it is asked at checks only.
const REFUSALS: u32 = 3;

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
        self.confirm(memory).await?;
        let to_go: Vec<EmailId> = memory.backlog.ids(Kind::ToRemove).take(BATCH).collect();
        if to_go.is_empty() {
            return Ok(());
        }
        let destroyed = self.jmap.destroy(&to_go).await?;
        if let Some((before, after)) = destroyed.states
            && memory.state.as_ref() == Some(&before)
        {
            // What is done is no news.
            memory.state = Some(after);
        }
        let mut failure = None;
        for id in destroyed.gone {
            memory.backlog.remove_if(id, Kind::ToRemove);
        }
        for (id, why) in destroyed.refused {
            self.trace().enter(Step::Remove);
            let why = self.trace().words(why.as_bytes());
            failure = Some(self.not_gone(memory, id, Reason::Rejected, &why));
        }
        for id in destroyed.left {
            self.trace().enter(Step::Remove);
            failure = Some(self.not_gone(memory, id, Reason::Other, STILL_THERE));
        }
        failure.map_or(Ok(()), |failure| Err(NotRemoved::Refused(failure)))
    }

    /// It is tried again, but not without end.
    fn not_gone(&self, memory: &mut Memory, id: EmailId, reason: Reason, why: &str) -> Failure {
        if let Some(removal) = memory.backlog.removal_mut(id.clone()) {
            removal.times += 1;
            if removal.times >= REMOVAL_TRIES {
                memory.backlog.set(id, BacklogState::Broken);
            }
        }
        self.trace().failure(Fault::new(reason, why))
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
    /// taken out next. One that is gone is forgotten, and so is one that the server did not show three times.
    async fn confirm(&mut self, memory: &mut Memory) -> Result<(), NotRemoved> {
        let batch: Vec<EmailId> =
            memory.backlog.ids(Kind::ToConfirm).take(self.jmap.batch()).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let shown = self.jmap.emails(&batch).await;
        for id in batch {
            let Some(BacklogState::ToConfirm(before)) = memory.backlog.remove(id.clone()) else {
                continue;
            };
            let Ok(emails) = &shown else {
                let tries = before.tries + 1;
                if tries < READ_TRIES {
                    let asked = Confirmation { tries, ..before };
                    memory.backlog.set(id, BacklogState::PutOff(asked, later()));
                }
                continue;
            };
            let Some(email) = emails.iter().find(|email| email.id == id) else { continue };
            let removal = before.removal();
            if self.is_ours(email, removal).await? {
                memory.backlog.set(id, BacklogState::ToRemove(removal));
            }
        }
        match shown {
            Err(Interrupted::Broken(failure)) => Err(NotRemoved::Broken(failure)),
            _ => Ok(()),
        }
    }

    /// One that was known by a token must carry it; else it must be a test mail whose time has passed, or a report
    /// about a test mail.
    async fn is_ours(&mut self, email: &Email, removal: Removal) -> Result<bool, NotRemoved> {
        let header = Header::parse(&email.block);
        if removal.token.is_some() {
            return Ok(removal.is_named_in(&header));
        }
        if header.mark.is_some() || !header.is_delivery_report {
            return Ok(header.mark.is_some_and(|mark| mark.expires <= clock::wall()));
        }
        match self.jmap.beginning(&email.blob_id).await {
            Ok(beginning) => Ok(beginning.is_some_and(|it| reports::is_about_a_test_mail(&it))),
            Err(Interrupted::Refused(_)) => Ok(false),
            Err(Interrupted::Broken(failure)) => Err(NotRemoved::Broken(failure)),
        }
    }
}
