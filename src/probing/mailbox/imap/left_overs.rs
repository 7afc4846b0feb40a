//! Mails that are read again before they are taken out: left-overs, which were seen long ago and may have
//! been misread, and what an earlier process was to take out, whose UIDs may be others' mail by now.

use std::time::{Duration, SystemTime};

use super::folder_state::FolderState;
use super::removal::{Whose, is_test_mail, whose};
use super::tries::READ_TRIES;
use crate::clock;
use crate::probing::mailbox::backlog::{BacklogState, Confirmation, Kind};
use crate::probing::mailbox::{LEFT_OVERS, TO_REMOVE};
use ledger::Failure;
use mail::imap::Imap;

/// How many of them are asked for after one removal.
const BATCH: usize = 20;
/// The least time between two asks for one of them.
const BETWEEN_TRIES: Duration = Duration::from_secs(60);

impl FolderState {
    /// Has the headers of some of them read again. Those that still are ours are taken out next. One that
    /// is gone is forgotten, and so is one that the server did not show three times.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn confirm(&mut self, imap: &mut Imap) -> Result<(), Failure> {
        for _ in 0..BATCH {
            if self.backlog.len(Kind::ToRemove) >= TO_REMOVE {
                break;
            }
            let Some(uid) = self.backlog.first(Kind::ToConfirm) else { break };
            let Some(BacklogState::ToConfirm(before)) = self.backlog.remove(uid) else { break };
            // Whatever becomes of the session now: the others are not held up by it.
            let asked = Confirmation { tries: before.tries + 1, ..before };
            let removal = before.removal();
            let is_last = asked.tries >= READ_TRIES;
            if !is_last {
                let again = clock::wall() + BETWEEN_TRIES;
                self.backlog.set(uid, BacklogState::PutOff(asked, again));
            }
            let whose = match removal.token {
                Some(_) => whose(imap, uid, |header| removal.is_named_in(header)).await?,
                None => is_test_mail(imap, uid).await?,
            };
            if whose == Whose::Ours {
                self.backlog.set(uid, BacklogState::ToRemove(removal));
            } else if whose != Whose::Unknown {
                self.backlog.remove(uid);
            }
        }
        Ok(())
    }

    /// Left-overs whose time has passed are to be removed.
    pub(super) fn promote_expired(&mut self, now: SystemTime) {
        if !self.backlog.has(Kind::LeftOver) && !self.backlog.has(Kind::PutOff) {
            return;
        }
        let mut room = LEFT_OVERS.saturating_sub(self.backlog.len(Kind::ToConfirm));
        let due: Vec<(u32, Confirmation)> = self
            .backlog
            .iter()
            .filter_map(|(uid, state)| match state {
                BacklogState::LeftOver(time) if *time <= now && room > 0 => {
                    room -= 1;
                    Some((uid, Confirmation::default()))
                }
                BacklogState::PutOff(confirmation, time) if *time <= now => {
                    Some((uid, *confirmation))
                }
                _ => None,
            })
            .collect();
        for (uid, confirmation) in due {
            self.backlog.set(uid, BacklogState::ToConfirm(confirmation));
        }
    }
}
