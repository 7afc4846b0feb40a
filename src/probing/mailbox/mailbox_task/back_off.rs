//! How long nothing is tried again after a failure.

use tokio::time::Instant;

use super::super::shared::Settings;
use super::{BACK_OFF_FIRST, MailboxTask};
use crate::clock::next_tick;
use ledger::Failure;

impl MailboxTask {
    /// The session is dropped, and opened again after longer and longer. A login that was refused is made
    /// again by the next check and by no look before it: for each wrong password servers punish the
    /// address, or come nearer to locking the account.
    pub(super) fn back_off(&mut self, settings: &Settings, failure: &Failure) {
        let now = Instant::now();
        self.reader.drop_session();
        self.not_before = Some(now + self.back_off);
        self.back_off = (self.back_off * 2).min(settings.period.max(BACK_OFF_FIRST));
        if failure.is_refused_login() {
            let check = self.shared.schedule().next_check;
            let next = |at| next_tick(at, settings.period, now).0;
            let check = check.map(|at| if at > now { at } else { next(at) });
            self.not_before = self.not_before.max(check);
        }
    }

    /// Another login is not held up by what the one before came to.
    pub(super) fn forgive(&mut self, settings: &Settings) {
        if self.settings.as_ref().is_some_and(|known| known.access.login != settings.access.login) {
            self.not_before = None;
        }
    }
}
