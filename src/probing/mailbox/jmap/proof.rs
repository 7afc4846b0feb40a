//! Whether the server shows mails at all: what it does not show besides is a matter of that mail.

use super::memory::Memory;
use super::{EmailId, Session};
use crate::probing::mailbox::backlog::{Kind, Unread};
use ledger::{Failure, Reason, Step};
use mail::{Fault, Interrupted};

/// How many of the newest mails of a folder are tried.
const NEWEST: usize = 20;

impl Session {
    /// What a look has refused or a check asks for is decided here: the server shows the header of any mail, if there
    /// is one. Where nothing is left but mails that are passed over, what was shown before counts.
    ///
    /// # Errors
    /// The refusal, where no mail is shown, or [`Reason::Protocol`].
    pub(super) async fn prove(
        &mut self,
        memory: &mut Memory,
        is_check: bool,
    ) -> Result<(), Failure> {
        if self.has_shown || (!is_check && self.refusal.is_none()) {
            return Ok(());
        }
        let (mut has_some, mut has_other) = (false, false);
        for folder in self.places.ids().to_vec() {
            let folder = std::slice::from_ref(&folder);
            let (_, newest) = self.jmap.newest(folder, None, NEWEST).await?;
            has_some |= !newest.is_empty();
            for id in newest {
                let kind = memory.backlog.kind(id.clone());
                has_other |= kind != Some(Kind::Broken);
                let is_known = matches!(kind, Some(Kind::Broken | Kind::Unread));
                if !is_known && self.shows(memory, &id).await? {
                    (self.has_shown, memory.has_shown) = (true, true);
                    return Ok(());
                }
            }
        }
        match self.refusal.take() {
            _ if !has_some => Ok(()),
            Some(refusal) if has_other || !memory.has_shown => Err(refusal.into()),
            None if has_other || !memory.has_shown => {
                self.trace().enter(Step::Fetch);
                let message = "the server shows no header of its mails";
                Err(self.trace().failure(Fault::new(Reason::Protocol, message)))
            }
            _ => Ok(()),
        }
    }

    async fn shows(&mut self, memory: &mut Memory, id: &EmailId) -> Result<bool, Failure> {
        // The session may end with it.
        let is_new = memory.backlog.kind(id.clone()).is_none();
        if is_new {
            let unread = Unread { breaks: true, ..Unread::default() };
            memory.set_unread(id, unread);
        }
        let shown = self.jmap.emails(std::slice::from_ref(id)).await;
        if is_new && !matches!(shown, Err(Interrupted::Broken(_))) {
            memory.backlog.remove_if(id.clone(), Kind::Unread);
        }
        match shown {
            Ok(emails) => Ok(!emails.is_empty()),
            Err(refusal) if refusal.is_of_the_request() => {
                self.refusal = Some(refusal);
                Ok(false)
            }
            Err(interrupted) => Err(interrupted.into()),
        }
    }
}
