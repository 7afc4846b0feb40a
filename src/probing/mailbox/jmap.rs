//! Looking into a mailbox by JMAP over a held session.
//!
//! [`Session`] is the dialogue, [`Memory`] what is known of the account from one session to the next. All of the
//! account is looked into at once: the server is asked what has changed since the last look, and of that only what
//! lies in a folder that is configured is judged. `places` says which folders these are. `unread` are the mails that the
//! server has named and not shown, `again` asks for them, and `proof` that it shows any.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Judge, Since};
use crate::clock::{self, on_time_line};
use crate::config::{Folder, Login};
use ledger::{Failure, LineInstant};
use mail::Interrupted;
use mail::jmap::{EmailId, Events, Jmap};
use mail::trace::Trace;
use mail::wire::Dialer;
pub use memory::Memory;
use places::Places;

mod again;
mod judged;
mod listing;
mod memory;
mod places;
mod proof;
mod reading;
mod removal;
mod unread;

/// How often in a row the stream of events may fail before looks alone bring up mail.
const VAIN_EVENTS: u32 = 3;

/// A logged-in session with the folders it looks into.
pub struct Session {
    jmap: Jmap,
    /// The folders of the configuration, with those where nobody receives.
    folders: (Vec<Folder>, Vec<Folder>),
    places: Places,
    /// The ids of all mailboxes that the server has listed.
    listed: BTreeSet<String>,
    /// Whether the look under way was shown a mail.
    has_shown: bool,
    /// Why it was not shown one that it has asked for.
    refusal: Option<Interrupted>,
    /// What it has asked for again.
    asked_again: Vec<EmailId>,
    events: Option<Events>,
    /// The state of which the newest event told, and when.
    told: Option<(String, Instant)>,
    /// Whether its stream of events has failed.
    is_deaf: bool,
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
            has_shown: false,
            refusal: None,
            asked_again: Vec::new(),
            events: None,
            told: None,
            is_deaf: false,
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
        let told = self.told.take().filter(|(_, at)| announced == Some(*at));
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
        self.read_reports(memory, judge).await?;
        self.prove(memory, is_check).await?;
        self.note_tries(memory);
        if is_all {
            memory.looked_at = Some(began);
        }
        memory.promote_expired(clock::wall());
        Ok(is_all)
    }

    /// Whether waiting for events is worth a try.
    pub fn can_wait(&self, memory: &Memory) -> bool {
        self.jmap.has_events() && !self.is_deaf && memory.vain_events < VAIN_EVENTS
    }

    /// Waits until an event tells of new mail, and gives when it came; once as well as soon as the stream of events
    /// is open, for what came before. Where the stream fails, looks alone bring up mail.
    pub async fn wait(
        &mut self,
        memory: &mut Memory,
        until: Instant,
        interrupt: &Notify,
    ) -> Option<Instant> {
        let told = tokio::select! {
            told = self.listen(memory.state.as_deref(), until) => told,
            () = interrupt.notified() => return None,
        };
        match told {
            Ok(told) => {
                memory.vain_events = 0;
                told
            }
            Err(failure) => {
                memory.vain_events += 1;
                (self.events, self.is_deaf) = (None, true);
                self.trace().fact(format!("looking without events: {failure}"));
                None
            }
        }
    }

    /// Cancelling it loses no event of a stream that is open.
    async fn listen(
        &mut self,
        known: Option<&str>,
        until: Instant,
    ) -> Result<Option<Instant>, Failure> {
        let Some(events) = &mut self.events else {
            self.events = Some(self.jmap.events(until, self.end).await?);
            return Ok(Some(Instant::now()));
        };
        loop {
            match events.next(until).await? {
                // What we have changed ourselves is no news.
                Some(state) if Some(state.as_str()) == known => {}
                Some(state) => {
                    let now = Instant::now();
                    self.told = Some((state, now));
                    return Ok(Some(now));
                }
                None => return Ok(None),
            }
        }
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
