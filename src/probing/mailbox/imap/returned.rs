//! Reading the reports that may be about mails of ours. What turns out to be none may be an answer to one.

use super::folder_state::FolderState;
use super::reading::Viewing;
use super::tries::READ_TRIES;
use crate::clock::on_time_line;
use crate::probing::mailbox::backlog::Kind;
use crate::probing::mailbox::{Found, Judge};
use ledger::Failure;
use mail::bounce::DsnReport;
use mail::imap::Imap;
use mail::test_mail::Header;

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
        for (uid, pending) in self.backlog.reports_to_read(viewing.began) {
            self.backlog.try_report(uid, pending, viewing.began, READ_TRIES);
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
                has_stamps: viewing.has_stamps,
                is_copy: viewing.holds_copies,
                report,
            };
            let disposition = judge(&found);
            self.apply_to_header(uid, disposition, None, &found);
        }
        Ok(())
    }
}
