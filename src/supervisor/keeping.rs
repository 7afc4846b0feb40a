//! What of the accounts goes on by itself, so that nobody hands it to the store by an event: how the targets
//! were over the latest hours and days.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::sleep;

use super::Supervisor;
use crate::account::Account;

/// A process that is killed loses no more than this and the second in which the store writes.
const KEEP_EVERY: Duration = Duration::from_secs(60);
/// So many parts of the targets take turns: an hour ends for all of them at once.
const TURNS: usize = 10;
/// The targets of one part: few are written together, by one commit.
const PART: usize = 1_000;

impl Supervisor {
    /// Keeps it from time to time, as long as the supervisor is at work.
    pub(super) fn start_keeping(self: &Arc<Self>) {
        let (supervisor, stopped) = (Arc::downgrade(self), self.stopped.clone());
        let keep = async move {
            for turn in (0..TURNS).cycle() {
                sleep(KEEP_EVERY / TURNS as u32).await;
                let Some(supervisor) = supervisor.upgrade() else { return };
                supervisor.keep_availability(turn).await;
            }
        };
        tokio::spawn(stopped.run_until_cancelled_owned(keep));
    }

    async fn keep_availability(&self, turn: usize) {
        let accounts: Vec<Arc<Account>> = {
            let state = self.state();
            let targets = state.targets.values().enumerate();
            let due = targets.filter(|(number, _)| number / PART % TURNS == turn);
            due.map(|(_, running)| Arc::clone(&running.line.account)).collect()
        };
        for account in accounts {
            account.keep_availability();
            yield_now().await;
        }
    }
}
