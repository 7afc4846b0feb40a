//! Looking into a mailbox by JMAP over a held session.
//!
//! [`Session`] is the dialogue, [`Memory`] what is known of the account from one session to the next. All of the
//! account is looked into at once: the server is asked what has changed since the last look, and of that only what
//! lies in a folder that is configured is judged. `places` says which folders these are, `listening` when the server tells
//! of mail by itself. `unread` are the mails that the server has named and not shown, `again` asks for them, and `proof`
//! that it shows any.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Judge, Since};
use crate::clock::{self, on_time_line};
use crate::config::{Folder, Login};
use ledger::{Failure, LineInstant};
use listening::Listening;
use mail::Interrupted;
use mail::jmap::{EmailId, Jmap};
use mail::trace::Trace;
use mail::wire::Dialer;
pub use memory::Memory;
use places::Places;

mod again;
mod judged;
mod listening;
mod listing;
mod memory;
mod places;
mod proof;
mod reading;
mod removal;
mod unread;

/// A logged-in session with the folders it looks into.
pub struct Session {
    jmap: Jmap,
    /// The folders of the configuration, with those where nobody receives.
    folders: (Vec<Folder>, Vec<Folder>),
    places: Places,
    /// The ids of all mailboxes that the server has listed.
    listed: BTreeSet<String>,
    /// Whether a mail lies in another one.
    has_unlisted: bool,
    /// Whether the look under way was shown a mail.
    has_shown: bool,
    /// Why it was not shown one that it has asked for.
    refusal: Option<Interrupted>,
    /// What it has asked for again.
    asked_again: Vec<EmailId>,
    listening: Listening,
    end: Instant,
}

/// One look.
#[derive(Clone, Copy)]
struct Viewing {
    /// When it was asked for.
    asked_at: LineInstant,
    /// When the answer was there.
    shown_at: LineInstant,
    /// When the newest look before was asked for.
    previous_look: Option<LineInstant>,
    network: Duration,
}

impl Session {
    /// Logs in and finds the folders; the session ends at `end` at the latest. A folder named by its use is passed
    /// over where the server has none. In `copy_folders` nobody receives.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        folders: &[Folder],
        copy_folders: &[Folder],
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let mut jmap = Jmap::open(dialer, login, trace, end).await?;
        let folders = (folders.to_vec(), copy_folders.to_vec());
        let (places, listed) = listing::list(&mut jmap, &folders).await?;
        for missing in places.not_there() {
            jmap.trace().fact(format!("the server has no folder {missing}"));
        }
        Ok(Self {
            jmap,
            folders,
            places,
            listed,
            has_unlisted: false,
            has_shown: false,
            refusal: None,
            asked_again: Vec::new(),
            listening: Listening::default(),
            end,
        })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.jmap.trace()
    }

    /// Reads what is new since the last look, and at the first contact what came `since`. `announced` is when the
    /// server has said by itself that there is something. A check reads one header in any case, if mail is there.
    /// Whether all is read: of very much that is new the next look reads more.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen.
    pub async fn look(
        &mut self,
        memory: &mut Memory,
        announced: Option<Instant>,
        is_check: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<bool, Failure> {
        let told = self.listening.take_told(announced);
        if is_check {
            memory.hearing.is_tried_again();
        }
        let began = on_time_line(Instant::now());
        (self.has_shown, self.refusal) = (false, None);
        memory.meet(&self.places);
        let is_all = match memory.state.clone() {
            Some(state) => self.read_changes(memory, state, told, since, judge).await?,
            None => {
                self.meet(memory, since, judge).await?;
                true
            }
        };
        self.read_again(memory, judge).await?;
        self.meet_unlisted(memory, since, judge).await?;
        self.read_reports(memory, judge).await?;
        self.prove(memory, is_check).await?;
        self.note_tries(memory);
        if is_all {
            memory.looked_at = Some(began);
        }
        memory.promote_expired(clock::wall());
        Ok(is_all)
    }

    /// What was asked last, as a look.
    fn viewing(&self, memory: &Memory) -> Viewing {
        Viewing {
            asked_at: on_time_line(self.jmap.asked()),
            shown_at: on_time_line(Instant::now()),
            previous_look: memory.looked_at,
            network: self.jmap.network(),
        }
    }
}

#[cfg(test)]
mod tests;
