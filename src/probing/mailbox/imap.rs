//! Looking into IMAP folders over a held session.
//!
//! [`Session`] is the dialogue, [`Memory`] what is known of the folders from one session to the next;
//! `noop` decides whether the server is asked for news or its folder opened anew.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Judge, Since};
use crate::clock::{self, on_time_line};
use crate::config::{Folder, Login};
pub use folder_state::Memory;
use ledger::FoundIn;
use ledger::LineInstant;
use ledger::{Failure, Reason, Step};
use mail::imap::{Imap, Listed, encode_folder_name};
use mail::trace::Trace;
use mail::wire::Dialer;
use mail::{Fault, Interrupted};
use reading::Viewing;
pub use removal::NotRemoved;

mod folder_state;
mod left_overs;
mod noop;
mod passing_over;
mod progress;
mod reading;
mod removal;
mod returned;
mod tries;

/// How often the folders beside the inbox are looked into between two checks, and the inbox is opened
/// anew whatever the server announces.
const ALL_FOLDERS: Duration = Duration::from_secs(60);

/// A logged-in session with the folders it looks into.
pub struct Session {
    imap: Imap,
    folders: Vec<OpenFolder>,
    /// The folders named by their use that the server does not have.
    not_there: Vec<String>,
    /// Where a mail must go before it can be taken out, if that is so.
    trash: Option<Vec<u8>>,
    /// The index of the selected folder.
    selected: Option<usize>,
    all_looked_at: Instant,
}

struct OpenFolder {
    name: Vec<u8>,
    kind: FoundIn,
    /// Whether nobody receives there.
    holds_copies: bool,
    /// Whether this session has opened it.
    is_met: bool,
}

impl OpenFolder {
    fn viewing(&self, began: LineInstant, shown: Instant, imap: &Imap) -> Viewing {
        let Self { kind, holds_copies, .. } = *self;
        let (network, has_stamps) = (imap.network(), imap.reads_stamps());
        Viewing { kind, holds_copies, began, shown, network, has_stamps }
    }
}

impl Session {
    /// Logs in and finds the folders; the session ends at `end` at the latest. A folder named by its
    /// use is passed over where the server has none. In `copy_folders` nobody receives.
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
        let mut imap = Imap::open(dialer, login, trace, end).await?;
        let all = || folders.iter().chain(copy_folders);
        let by_use = all().any(|folder| matches!(folder, Folder::SpecialUse(_)));
        let has_labels = imap.keeps_what_is_removed();
        let listed = if by_use || has_labels { imap.list().await? } else { Vec::new() };
        let trash = listed.iter().find(|listed| has_labels && listed.is_for(r"\trash"));
        let trash = trash.map(|listed| listed.name.clone());
        let (mut found, mut not_there): (Vec<OpenFolder>, Vec<String>) = Default::default();
        for (index, folder) in all().enumerate() {
            let Some(folder) = find(folder, &listed, index >= folders.len()) else {
                imap.trace().fact(format!("the server has no folder {folder}"));
                not_there.push(folder.to_string());
                continue;
            };
            // By its name and by its use it may be the same.
            if found.iter().all(|known| known.name != folder.name) {
                found.push(folder);
            }
        }
        if found.is_empty() {
            let names = all().map(Folder::to_string).collect::<Vec<_>>().join(", ");
            imap.trace().enter(Step::Select);
            let message = format!("the server has none of the configured folders: {names}");
            return Err(imap.trace().failure(Fault::new(Reason::Other, message)));
        }
        let folders = found;
        let all_looked_at = Instant::now();
        Ok(Self { imap, folders, not_there, trash, selected: None, all_looked_at })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.imap.trace()
    }

    /// Has the `Received` of each mail read as well.
    pub fn set_reads_stamps(&mut self, reads: bool) {
        self.imap.set_reads_stamps(reads);
    }

    /// Whether waiting in IDLE is worth a try.
    pub fn can_idle(&self) -> bool {
        self.imap.can_idle()
    }

    /// Looks into every folder for what is new since the last look, and into one whose UIDs mean
    /// nothing yet for what came `since`. The inbox stays selected.
    ///
    /// # Errors
    /// The first step that fails; what was seen by then stays seen.
    pub async fn look_everywhere(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        self.begin(memory);
        let outcome = self.every_folder(memory, since, judge).await;
        Ok(self.end(memory, outcome)?)
    }

    async fn every_folder(
        &mut self,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        for index in (0..self.folders.len()).rev() {
            self.select_and_look(index, memory, since, judge).await?;
        }
        self.all_looked_at = Instant::now();
        Ok(())
    }

    /// Looks for what is new in the selected folder, and once a minute in all, or if it `decides` about
    /// a mail that is not there. `announced` is when the server has said by itself that there is something.
    /// Gives when it was first asked for all folders, if it was.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn look(
        &mut self,
        memory: &mut Memory,
        announced: Option<Instant>,
        decides: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<Option<Instant>, Failure> {
        let outcome = self.look_now(memory, announced, decides, since, judge).await;
        Ok(self.end(memory, outcome)?)
    }

    async fn look_now(
        &mut self,
        memory: &mut Memory,
        announced: Option<Instant>,
        decides: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<Option<Instant>, Interrupted> {
        if let Some(announced) = announced {
            // What it said was true when it said it.
            let said = announced.checked_sub(self.imap.network()).unwrap_or(announced);
            self.read_announced(memory, said, announced, judge).await?;
        }
        let is_all_due = decides || self.all_looked_at.elapsed() >= ALL_FOLDERS;
        let began = Instant::now();
        if announced.is_none() {
            self.look_into_selected(memory, is_all_due, since, judge).await?;
        } else if is_all_due {
            self.every_folder(memory, since, judge).await?;
        }
        Ok(is_all_due.then_some(began))
    }

    async fn look_into_selected(
        &mut self,
        memory: &mut Memory,
        is_all_due: bool,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        let Some(index) = self.selected else { return Ok(()) };
        let approach = memory.noop.approach();
        let began = Instant::now();
        if approach.asks {
            if let Some(news) = self.imap.news().await? {
                memory.noop.reported();
                self.read_announced(memory, began, news, judge).await?;
                return if is_all_due {
                    self.every_folder(memory, since, judge).await
                } else {
                    Ok(())
                };
            }
            let name =
                self.folders.get(index).map(|folder| folder.name.clone()).unwrap_or_default();
            if memory.folder(&name).has_unread() {
                // What was not shown before may be now.
                self.read_announced(memory, began, Instant::now(), judge).await?;
            }
            if memory.noop.is_reliable()
                && let Some(folder) = self.folders.get(index)
            {
                memory.folder(&folder.name).looked_at = Some(on_time_line(began));
            }
        }
        let has_more = if is_all_due {
            let before = self.next_uid(index, memory);
            self.every_folder(memory, since, judge).await?;
            self.next_uid(index, memory) > before
        } else if approach.opens {
            self.select_and_look(index, memory, since, judge).await?
        } else {
            false
        };
        if has_more {
            memory.noop.missed(approach.asks);
        }
        Ok(())
    }

    fn next_uid(&self, index: usize, memory: &mut Memory) -> u32 {
        self.folders.get(index).map_or(0, |folder| memory.folder(&folder.name).next_uid)
    }

    /// Reads what the server has announced at `shown` in a look that `began` before.
    async fn read_announced(
        &mut self,
        memory: &mut Memory,
        began: Instant,
        shown: Instant,
        judge: &mut Judge<'_>,
    ) -> Result<(), Interrupted> {
        let Some(folder) = self.selected.and_then(|index| self.folders.get(index)) else {
            return Ok(());
        };
        let viewing = folder.viewing(on_time_line(began), shown, &self.imap);
        let known = memory.folder(&folder.name);
        known.begin_look();
        known.read_new(&mut self.imap, viewing, judge).await?;
        known.read_reports(&mut self.imap, viewing, judge).await?;
        known.looked_at = Some(viewing.began);
        Ok(())
    }

    /// Waits until the server announces new mail; see [`Imap::idle`].
    ///
    /// # Errors
    /// The connection's.
    pub async fn idle(
        &mut self,
        until: Instant,
        interrupt: &Notify,
    ) -> Result<Option<Instant>, Failure> {
        self.imap.idle(until, interrupt).await
    }

    /// Ends the session.
    pub async fn close(mut self) {
        self.imap.set_end(Instant::now() + Duration::from_secs(2));
        self.imap.log_out().await;
    }

    /// Opens a folder and reads what is new; whether there was something.
    async fn select_and_look(
        &mut self,
        index: usize,
        memory: &mut Memory,
        since: Since,
        judge: &mut Judge<'_>,
    ) -> Result<bool, Interrupted> {
        let Some(folder) = self.folders.get_mut(index) else { return Ok(false) };
        let began = on_time_line(Instant::now());
        self.selected = None;
        let selected = self.imap.select(&folder.name).await?;
        self.selected = Some(index);
        let viewing = folder.viewing(began, Instant::now(), &self.imap);
        if let Some(went_back) = memory.folder(&folder.name).meet(selected, !folder.is_met) {
            memory.uids_went_back(&folder.name, went_back);
        }
        let known = memory.folder(&folder.name);
        known.begin_look();
        let is_first = !std::mem::replace(&mut folder.is_met, true);
        let before = known.progress.certain(known.next_uid);
        if before == 0 {
            known.read_since(&mut self.imap, selected, since, viewing, judge).await?;
        }
        // Between two checks the server is believed that nothing has come.
        let is_unchanged = before > 0 && selected.uid_next.is_some_and(|next| next <= before);
        if selected.exists > 0 && (is_first || !is_unchanged || known.has_unread()) {
            known.read_new(&mut self.imap, viewing, judge).await?;
        }
        if is_first && !known.can_show(&mut self.imap, viewing, judge).await? {
            let message = format!("the server shows no header of its {} mails", selected.exists);
            return Err(self.imap.trace().failure(Fault::new(Reason::Protocol, message)).into());
        }
        known.read_reports(&mut self.imap, viewing, judge).await?;
        known.move_on(&mut self.imap, selected, began).await?;
        known.looked_at = Some(began);
        known.promote_expired(clock::wall());
        Ok(before > 0 && known.next_uid > before)
    }
}

/// The folder as the server writes it.
fn find(folder: &Folder, listed: &[Listed], holds_copies: bool) -> Option<OpenFolder> {
    let name = match folder {
        Folder::Name(name) => encode_folder_name(name),
        Folder::SpecialUse(usage) => {
            let usage = usage.to_ascii_lowercase();
            listed.iter().find(|listed| listed.is_for(&usage))?.name.clone()
        }
    };
    Some(OpenFolder { name, kind: folder.kind(), holds_copies, is_met: false })
}

#[cfg(test)]
mod cut_off_tests;
#[cfg(test)]
mod tests;
