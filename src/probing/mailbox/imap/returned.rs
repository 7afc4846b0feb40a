//! Reading the reports that may be about mails of ours.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use super::memory::FolderMemory;
use super::reading::Viewing;
use super::tries::READ_TRIES;
use crate::clock::on_time_line;
use crate::probing::mailbox::{Found, Judge};
use ledger::Failure;
use mail::bounce::DsnReport;
use mail::imap::Imap;
use mail::test_mail::Header;

/// How many reports are read in one look into a folder.
const REPORTS: usize = 20;
/// The least time between two tries with one of them.
const BETWEEN_TRIES: Duration = Duration::from_secs(60);

/// A report that was not read yet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Unheard {
    /// The server's date.
    pub(super) server_date: Option<SystemTime>,
    /// How often it was asked for.
    tries: u32,
    /// When it last was.
    asked: Option<Instant>,
}

impl Unheard {
    /// One that was not asked for yet.
    pub(super) fn new(server_date: Option<SystemTime>) -> Self {
        Self { server_date, ..Self::default() }
    }

    #[cfg(test)]
    pub(super) fn is_to_be_asked_for(&mut self) {
        self.asked = None;
    }
}

impl FolderMemory {
    /// Reads some of the reports that may be about mails of ours, the oldest first, and has them
    /// judged; the rest are read at the next looks. One that the server does not show, or at which the
    /// session breaks, is given up after three tries: it stays where it is.
    pub(super) async fn read_reports(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        let is_soon = |at: Instant| viewing.began.saturating_duration_since(at) < BETWEEN_TRIES;
        let due = self.reports.iter().filter(|(_, unheard)| !unheard.asked.is_some_and(is_soon));
        let due: Vec<(u32, Unheard)> =
            due.map(|(uid, unheard)| (*uid, *unheard)).take(REPORTS).collect();
        for (uid, unheard) in due {
            // Counted before: the session may end with it.
            self.reports.remove(&uid);
            let tries = unheard.tries + 1;
            if tries < READ_TRIES {
                let asked = Some(viewing.began);
                self.reports.insert(uid, Unheard { tries, asked, ..unheard });
            }
            let Some(beginning) = imap.beginning(uid).await? else { continue };
            self.reports.remove(&uid);
            let Some(report) = DsnReport::parse(&beginning) else { continue };
            let found = Found {
                header: Header::default(),
                server_date: unheard.server_date,
                folder: viewing.kind,
                shown_at: on_time_line(viewing.shown),
                asked_at: viewing.began,
                network: viewing.network,
                previous_look: self.looked_at,
                accounted: BTreeSet::new(),
                block: None,
                is_copy: viewing.holds_copies,
                report: Some(report),
            };
            let judgement = judge(&found);
            self.heed(uid, judgement);
        }
        Ok(())
    }
}
