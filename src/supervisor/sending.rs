//! The sending of a target: begun, and let go. A loop that is let go begins nothing more, and finishes
//! the send that it is in the middle of: its result counts. The next loop of the target waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::beginner::Beginner;
use super::task::Task;
use crate::account::Account;
use crate::config::TargetName;
use crate::probing::send::Sender;
use ledger::Side;

/// What the loops of one target share, whatever its configuration becomes.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) account: Arc<Account>,
    /// Held by the loop that sends.
    pub(super) turn: Arc<Semaphore>,
}

/// The sending that was let go and is not over.
#[derive(Default)]
pub(super) struct LetGo(BTreeMap<TargetName, (Line, Vec<Task>)>);

impl Line {
    pub(super) fn new(account: Account) -> Self {
        Self { account: Arc::new(account), turn: Arc::new(Semaphore::new(1)) }
    }

    /// When a new loop begins whose first mail is due then: a send that is under way is that of its
    /// period.
    pub(super) fn first(&self, due: Instant, interval: Duration) -> Instant {
        let now = Instant::now();
        let is_sending = self.turn.available_permits() == 0;
        let due = if is_sending && due <= now { due + interval } else { due };
        due.clamp(now, now + interval)
    }
}

impl LetGo {
    /// Lets a loop go.
    pub(super) fn take(&mut self, target: &TargetName, line: &Line, sending: Task) {
        sending.cancel();
        let (_, tasks) = self.0.entry(target.clone()).or_insert_with(|| (line.clone(), Vec::new()));
        tasks.push(sending);
    }

    /// What a target that comes back finds of itself, if it is still sending.
    pub(super) fn line(&mut self, target: &TargetName) -> Option<Line> {
        self.forget_ended();
        self.0.get(target).map(|(line, _)| line.clone())
    }

    /// Everything that is not over.
    pub(super) fn into_tasks(self) -> impl Iterator<Item = Task> {
        self.0.into_values().flat_map(|(_, tasks)| tasks)
    }

    pub(super) fn forget_ended(&mut self) {
        self.0.retain(|_, (_, tasks)| {
            tasks.retain(|task| !task.is_over());
            !tasks.is_empty()
        });
    }
}

/// Sends at `first` and then each period; the loop begins in time for `begins`.
pub(super) fn start(
    sender: Arc<Sender>,
    first: Instant,
    begins: Instant,
    beginner: &Beginner,
) -> Task {
    let (account, target) = (Arc::clone(&sender.account), Arc::clone(&sender.target));
    let name = move || format!("the sending of {}", target.name);
    let hangs = move || account.has_overrun(Side::Send);
    Task::put_off(begins, beginner, name, hangs, move |cancel, start| {
        let sender = Arc::clone(&sender);
        async move {
            let first = start.tick(first, sender.target.interval);
            sender.subscriber.announce_send(first);
            sender.run(first, &cancel).await;
        }
    })
}
