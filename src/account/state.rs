//! What the tasks of a target share, behind the one lock of its account.

use std::sync::Arc;

use super::attempts::Progress;
use super::history::{Archive, History};
use super::side_log::TargetLog;
use ledger::{Changes, Ledger, Moment};
use mail::inspection::Inspection;

/// The ledger with what stands beside it.
pub(super) struct State {
    pub(super) ledger: Ledger,
    /// Entered into the ledger before anything is read from it.
    pub(super) progress: Progress,
    /// What the header of the newest mail says.
    pub(super) inspection: Option<Arc<Inspection>>,
    pub(super) history: History,
    pub(super) log: TargetLog,
    /// Whether nobody looks for its mails among the junk.
    pub(super) lacks_junk_folder: bool,
}

impl State {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self {
            ledger,
            progress: Progress::new(),
            inspection: None,
            history: History::new(Archive::new(Archive::MOST_BYTES)),
            log: TargetLog::default(),
            lacks_junk_folder: false,
        }
    }

    /// Enters into the ledger how far the attempts under way have come.
    pub(super) fn catch_up(&mut self) {
        self.progress.report_to(&mut self.ledger);
    }

    /// What has changed in the ledger since the last time, entered into the history.
    pub(super) fn take_changes(&mut self, now: Moment) -> Changes {
        let changes = self.ledger.take_changes(now);
        self.history.apply(&changes);
        changes
    }
}
