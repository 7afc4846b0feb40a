//! Mails that are read again before they are taken out: left-overs, which were seen long ago and may have
//! been misread, and what an earlier process was to take out, whose UIDs may be others' mail by now.

use std::time::{Duration, SystemTime};

use super::memory::FolderMemory;
use super::removal::{Whose, is_test_mail, whose};
use crate::probing::mailbox::{LEFT_OVERS, TO_REMOVE};
use ledger::Failure;
use mail::imap::Imap;

/// How many of them are asked for after one removal.
const BATCH: usize = 20;
/// The least time between two asks for one of them.
const BETWEEN_TRIES: Duration = Duration::from_secs(60);

impl FolderMemory {
    /// Has the headers of some of them read again. Those that still are ours are taken out next. One that
    /// is gone is forgotten, and so is one that the server did not show three times.
    ///
    /// # Errors
    /// The connection's.
    pub(super) async fn confirm(&mut self, imap: &mut Imap) -> Result<(), Failure> {
        for _ in 0..BATCH {
            if self.to_remove.len() >= TO_REMOVE {
                break;
            }
            let Some((uid, token)) = self.due.pop_first() else { break };
            if self.broken.contains(&uid) {
                continue;
            }
            // Whatever becomes of the session now: the others are not held up by it.
            let is_last = self.confirmations.begin(uid);
            if !is_last {
                self.put_off.insert(uid, (token, SystemTime::now() + BETWEEN_TRIES));
            }
            let whose = match token {
                Some(token) => whose(imap, uid, |header| header.carries(token)).await?,
                None => is_test_mail(imap, uid).await?,
            };
            if is_last || whose != Whose::Unknown {
                self.confirmations.end(uid);
                self.put_off.remove(&uid);
            }
            if whose == Whose::Ours {
                self.to_remove.insert(uid, token);
            }
        }
        Ok(())
    }

    /// Left-overs whose time has passed are to be removed.
    pub(super) fn sweep(&mut self, now: SystemTime) {
        let due = &mut self.due;
        self.left_overs.retain(|(uid, time)| {
            let is_due = *time <= now && due.len() < LEFT_OVERS;
            if is_due {
                due.insert(*uid, None);
            }
            !is_due
        });
        self.put_off.retain(|uid, (token, time)| {
            let is_due = *time <= now;
            if is_due {
                due.insert(*uid, *token);
            }
            !is_due
        });
    }
}
