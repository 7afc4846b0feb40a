//! Reading the reports that may be about mails of ours. What turns out to be none may be an answer to one.

use std::time::Duration;

use super::folder_state::FolderState;
use super::reading::Viewing;
use super::tries::READ_TRIES;
use crate::clock::on_time_line;
use crate::probing::mailbox::backlog::{BacklogState, Kind, PendingReport};
use crate::probing::mailbox::{Found, Judge};
use ledger::Failure;
use ledger::LineInstant;
use mail::bounce::DsnReport;
use mail::imap::Imap;
use mail::test_mail::Header;

/// How many reports are read in one look into a folder.
const REPORTS: usize = 20;
/// The least time between two tries with one of them.
const BETWEEN_TRIES: Duration = Duration::from_secs(60);

impl FolderState {
    /// Reads some of the reports that may be about mails of ours, the oldest first, and has them
    /// judged; the rest are read at the next looks. One that the server does not show, or at which the
    /// session breaks, is given up after three tries: it stays where it is.
    pub(super) async fn read_reports(
        &mut self,
        imap: &mut Imap,
        viewing: Viewing,
        judge: &mut Judge<'_>,
    ) -> Result<(), Failure> {
        for (uid, pending) in self.reports_to_read(viewing.began) {
            // Counted before: the session may end with it.
            self.backlog.remove_if(uid, Kind::Report);
            let tries = pending.tries + 1;
            if tries < READ_TRIES {
                let asked = Some(viewing.began);
                let pending = PendingReport { tries, asked, ..pending };
                self.backlog.set(uid, BacklogState::Report(Box::new(pending)));
            }
            let Some(beginning) = imap.beginning(uid).await? else { continue };
            self.backlog.remove_if(uid, Kind::Report);
            let report = DsnReport::parse(&beginning);
            let header = match &report {
                Some(_) => Header::default(),
                None => Header::parse(&beginning).of_no_report(),
            };
            let found = Found {
                header,
                server_date: pending.server_date,
                folder: viewing.kind,
                shown_at: on_time_line(viewing.shown),
                asked_at: viewing.began,
                network: viewing.network,
                previous_look: pending.before,
                was_left: false,
                accounted: self.displaced.clone(),
                block: None,
                is_copy: viewing.holds_copies,
                report,
            };
            let disposition = judge(&found);
            self.apply_to_header(uid, disposition, None, &found);
        }
        Ok(())
    }

    /// Some of the reports, the oldest first, as far as it is time to ask for them.
    fn reports_to_read(&self, now: LineInstant) -> Vec<(u32, PendingReport)> {
        if !self.backlog.has(Kind::Report) {
            return Vec::new();
        }
        let is_soon = |at: LineInstant| now.saturating_duration_since(at) < BETWEEN_TRIES;
        let due = self.backlog.iter().filter_map(|(uid, state)| match state {
            BacklogState::Report(report) if !report.asked.is_some_and(is_soon) => {
                Some((uid, **report))
            }
            _ => None,
        });
        due.take(REPORTS).collect()
    }
}
