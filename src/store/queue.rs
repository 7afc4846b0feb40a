//! What has come for the thread that writes, and how it is woken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::work::Work;
use super::{FolderKey, FolderRecord, KeptFinding, KeptInspection, LayerRecord, StoredTarget};
use crate::config::{Secret, TargetName};
use ledger::{AvailabilityChanges, Changes};

/// What somebody wants to know.
pub(super) enum Question {
    /// What is kept of targets, each without the mails that ended so long ago.
    Targets {
        targets: Vec<(TargetName, Duration)>,
        answer: oneshot::Sender<BTreeMap<TargetName, StoredTarget>>,
    },
    /// The folders of a mailbox.
    Folders { mailbox: String, answer: oneshot::Sender<BTreeMap<String, FolderRecord>> },
    /// The newest refresh token of an origin.
    RefreshToken { origin: String, answer: oneshot::Sender<Option<Secret>> },
}

/// Where the store and its writer meet.
#[derive(Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Something has come for the writer, or the writer has ended.
    pub(super) changed: Condvar,
    pub(super) errors: AtomicU64,
    /// The same for a writer that is no thread.
    #[cfg(feature = "simulation")]
    pub(super) called: tokio::sync::Notify,
}

/// The writer sleeps; until it is woken if `until` is `None`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sleep {
    pub(super) until: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) work: Work,
    /// Set while the writer sleeps.
    pub(super) sleep: Option<Sleep>,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    pub(super) questions: Vec<Question>,
    pub(super) is_failing: bool,
    pub(super) is_closing: bool,
    pub(super) has_ended: bool,
}

pub(super) struct Batch {
    pub(super) work: Work,
    pub(super) waiting: Vec<oneshot::Sender<()>>,
    pub(super) questions: Vec<Question>,
}

impl Shared {
    pub(super) fn record(&self, target: &TargetName, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        let mut queue = self.queue();
        let dropped = queue.work.record(target, changes);
        self.wake(queue);
        self.errors.fetch_add(dropped, Ordering::Relaxed);
    }

    pub(super) fn record_layers(&self, target: TargetName, record: LayerRecord, has_counted: bool) {
        let mut queue = self.queue();
        queue.work.layers.insert(target, record);
        if has_counted {
            queue.work.press();
        } else {
            queue.work.linger();
        }
        self.wake(queue);
    }

    pub(super) fn record_inspection(&self, target: TargetName, kept: Option<KeptInspection>) {
        let mut queue = self.queue();
        queue.work.inspections.insert(target, kept);
        queue.work.linger();
        self.wake(queue);
    }

    pub(super) fn record_findings(&self, target: TargetName, findings: Vec<KeptFinding>) {
        let mut queue = self.queue();
        queue.work.findings.insert(target, findings);
        queue.work.linger();
        self.wake(queue);
    }

    pub(super) fn record_availability(&self, target: TargetName, changes: AvailabilityChanges) {
        let mut queue = self.queue();
        queue.work.record_availability(target, changes);
        self.wake(queue);
    }

    pub(super) fn record_folder(&self, folder: FolderKey, record: FolderRecord) {
        let mut queue = self.queue();
        queue.work.folders.insert(folder, record);
        queue.work.press();
        self.wake(queue);
    }

    pub(super) fn record_refresh_token(&self, origin: String, token: Secret) {
        let mut queue = self.queue();
        queue.work.refresh_tokens.insert(origin, token);
        queue.work.press();
        self.wake(queue);
    }

    /// Resolves when what is queued now is written, or could not be. `None`: nobody needs to wait,
    /// for the store is failing.
    pub(super) fn wait_for_commit(&self) -> Option<oneshot::Receiver<()>> {
        let mut queue = self.queue();
        if queue.is_failing || queue.has_ended {
            return None;
        }
        let (written, receiver) = oneshot::channel();
        queue.waiting.push(written);
        self.call();
        Some(receiver)
    }

    pub(super) fn ask(&self, question: Question) {
        let mut queue = self.queue();
        if !queue.has_ended {
            queue.questions.push(question);
            self.call();
        }
    }

    pub(super) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Has the writer write the rest and end, and waits so long for it.
    pub(super) fn close(&self, longest: Duration) {
        let mut queue = self.queue();
        queue.is_closing = true;
        self.call();
        let waited = self.changed.wait_timeout_while(queue, longest, |queue| !queue.has_ended);
        drop(waited);
    }

    /// Wakes the writer, unless it is awake or wakes by itself in time: each wake-up is a switch of threads.
    fn wake(&self, queue: MutexGuard<'_, Queue>) {
        let is_too_late = match queue.sleep {
            None => false,
            Some(Sleep { until }) => {
                queue.work.due().is_some_and(|due| until.is_none_or(|it| due < it))
            }
        };
        drop(queue);
        if is_too_late {
            self.call();
        }
    }

    /// Has the writer look.
    fn call(&self) {
        self.changed.notify_all();
        #[cfg(feature = "simulation")]
        self.called.notify_one();
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each change of the queue is whole before anything can panic.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("errors", &self.errors()).finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn take(&mut self) -> Batch {
        Batch {
            work: std::mem::take(&mut self.work),
            waiting: std::mem::take(&mut self.waiting),
            questions: std::mem::take(&mut self.questions),
        }
    }
}
