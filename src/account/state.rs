//! What the tasks of a target share, behind the one lock of its account.

use std::sync::Arc;

use super::attempts::Progress;
use super::history::{Archive, History};
use super::side_log::TargetLog;
use super::usual::Learned;
use ledger::{Changes, Ledger, Moment};
use mail::inspection::Inspection;

/// The ledger with what stands beside it.
pub(super) struct State {
    pub(super) ledger: Ledger,
    /// Entered into the ledger before anything is read from it.
    pub(super) progress: Progress,
    /// What the header of the newest mail says.
    pub(super) inspection: Option<Arc<Inspection>>,
    /// What is usual on the way of the mails; `None`: nobody wants to know, or there was no mail yet.
    pub(super) learned: Option<Box<Learned>>,
    /// `None`: nothing has happened yet.
    history: Option<Box<History>>,
    /// Where transcripts are filed; `None`: nowhere but with the target.
    archive: Option<Arc<Archive>>,
    /// `None`: nothing was logged yet.
    log: Option<Box<TargetLog>>,
    /// Whether nobody looks for its mails among the junk.
    pub(super) lacks_junk_folder: bool,
}

impl State {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            progress: Progress::new(),
            inspection: None,
            learned: None,
            history: None,
            archive: None,
            log: None,
            lacks_junk_folder: false,
        }
    }

    /// Enters into the ledger how far the attempts under way have come.
    pub(super) fn catch_up(&mut self) {
        self.progress.report_to(&mut self.ledger);
    }

    /// Files its transcripts in this archive.
    pub(super) fn set_archive(&mut self, archive: Arc<Archive>) {
        if let Some(history) = &mut self.history {
            history.set_archive(Arc::clone(&archive));
        }
        self.archive = Some(archive);
    }

    /// What happened lately.
    pub(super) fn history(&mut self) -> &mut History {
        let archive = || self.archive.clone().unwrap_or_else(|| Archive::new(Archive::MOST_BYTES));
        self.history.get_or_insert_with(|| Box::new(History::new(archive())))
    }

    /// The same, if anything did.
    pub(super) fn known_history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// What was logged of it.
    pub(super) fn log(&mut self) -> &mut TargetLog {
        self.log.get_or_insert_default()
    }

    /// What has changed in the ledger since the last time, entered into the history.
    pub(super) fn take_changes(&mut self, now: Moment) -> Changes {
        let changes = self.ledger.take_changes(now);
        // Of mails that it does not know it learns nothing.
        if let Some(history) = &mut self.history {
            history.apply(&changes);
        }
        changes
    }
}
