//! The mails that were named and not shown: they count as such before they are asked for, as a session may end with
//! them.

use std::time::Duration;

use tokio::time::Instant;

use super::memory::Memory;
use super::reading::{BETWEEN_TRIES, READ_TRIES};
use super::{EmailId, Viewing};
use crate::clock::on_time_line;
use crate::probing::mailbox::LEFT_OVERS;
use crate::probing::mailbox::backlog::{BacklogState, Kind, Unread};
use ledger::LineInstant;

/// The least time between two asks for a mail that was not shown.
const BETWEEN_ASKS: Duration = Duration::from_secs(1);

impl Memory {
    /// Those that are to be asked for, those first that were tried least and longest ago, `most` of them.
    pub(super) fn due(&self, now: LineInstant, most: usize) -> Vec<(EmailId, Unread)> {
        if !self.backlog.has(Kind::Unread) {
            return Vec::new();
        }
        let is_due = |(id, state): (EmailId, &BacklogState)| match state {
            BacklogState::Unread(unread) => {
                let between = if unread.breaks { BETWEEN_TRIES } else { BETWEEN_ASKS };
                let is_soon = |at| now.saturating_duration_since(at) < between;
                (!unread.asked.is_some_and(is_soon)).then_some((id, **unread))
            }
            _ => None,
        };
        let mut due: Vec<(EmailId, Unread)> = self.backlog.iter().filter_map(is_due).collect();
        due.sort_by_key(|(_, unread)| (unread.tries, unread.asked));
        due.truncate(most);
        due
    }

    /// It was named and not shown; what was judged stays judged.
    pub(super) fn set_unread(&mut self, id: &EmailId, unread: Unread) {
        if self.backlog.kind(id.clone()).is_none() && self.backlog.len(Kind::Unread) < LEFT_OVERS {
            self.backlog.set(id.clone(), BacklogState::Unread(Box::new(unread)));
        }
    }

    /// These are about to be asked for, all at once.
    pub(super) fn begin_to_ask(&mut self, ids: &[EmailId]) {
        let (now, before) = (on_time_line(Instant::now()), self.looked_at);
        for id in ids {
            self.set_unread(id, Unread { before, ..Unread::default() });
            if let Some(unread) = self.backlog.unread_mut(id.clone()) {
                (unread.asked, unread.breaks) = (Some(now), true);
            }
        }
    }

    /// The session goes on.
    pub(super) fn end_asking(&mut self, ids: &[EmailId]) {
        for id in ids {
            if let Some(unread) = self.backlog.unread_mut(id.clone()) {
                unread.breaks = false;
            }
        }
    }

    /// It is about to be asked for by itself, which counts as a try if it ends the session; gives what was known before.
    pub(super) fn begin_to_ask_alone(&mut self, id: &EmailId) -> Option<Unread> {
        let now = on_time_line(Instant::now());
        let before = self.looked_at;
        self.set_unread(id, Unread { before, ..Unread::default() });
        let unread = self.backlog.unread_mut(id.clone())?;
        let before = Unread { asked: Some(now), breaks: false, ..*unread };
        unread.has_failed(now, READ_TRIES);
        (unread.asked, unread.breaks) = (Some(now), true);
        Some(before)
    }

    /// The session goes on: that was no try.
    pub(super) fn restore_unread(&mut self, id: &EmailId, before: Option<Unread>) {
        if let (Some(unread), Some(before)) = (self.backlog.unread_mut(id.clone()), before) {
            *unread = before;
        }
    }

    /// What was known of a mail that was not shown before, if it was not.
    pub(super) fn take_unread(&mut self, id: &EmailId) -> Option<Unread> {
        match self.backlog.remove_if(id.clone(), Kind::Unread) {
            Some(BacklogState::Unread(unread)) => Some(*unread),
            _ => None,
        }
    }

    /// These were named in this look, and not shown.
    pub(super) fn note_unread<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a EmailId>,
        viewing: Viewing,
    ) {
        for id in ids {
            let (before, asked) = (viewing.previous_look, Some(viewing.shown_at));
            self.set_unread(id, Unread { before, asked, ..Unread::default() });
            self.end_asking(std::slice::from_ref(id));
        }
    }

    /// The server shows others and not this one, or a session ends with it again and again: it is not asked for again.
    pub(super) fn pass_over(&mut self, id: &EmailId) {
        let breaks = self.take_unread(id).is_some_and(|unread| unread.breaks);
        let does = match breaks {
            true => "a session ends with it again and again",
            false => "the server does not show it, but others",
        };
        self.remark(format!("the mail {id} cannot be read: {does}; it is passed over"));
        if self.backlog.len(Kind::Broken) < LEFT_OVERS {
            self.backlog.set(id.clone(), BacklogState::Broken);
        }
    }
}
