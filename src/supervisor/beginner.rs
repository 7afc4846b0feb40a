//! Loops that begin later: until shortly before something of them is due, only what they will begin with is there,
//! and neither a task nor what it holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::task::Loop;

/// So long before it is due a loop begins, so that it is in place by then.
const LEAD: Duration = Duration::from_secs(5);
/// How often it is looked which are to begin; much shorter than the lead.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// It is not worth it to look which of so many are gone.
const FEW: usize = 64;

/// Begins each loop in time.
#[derive(Default)]
pub(super) struct Beginner {
    waiting: Mutex<Queue>,
    changed: Notify,
}

/// Those that have not begun, the first one at the top.
#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Waiting>,
    /// So many were left when those that are gone were last taken out.
    swept: usize,
}

/// A loop, and when it is due.
struct Waiting {
    due: Reverse<Instant>,
    /// It may have begun otherwise, or be gone.
    its: Weak<Loop>,
}

impl Beginner {
    /// Whether something that is due then is to begin now.
    pub(super) fn is_time(due: Instant) -> bool {
        due <= Instant::now() + LEAD
    }

    /// Has a loop begin in time for this moment, unless it has begun before.
    pub(super) fn begin_by(&self, due: Instant, its: &Arc<Loop>) {
        if Self::is_time(due) {
            its.begin();
            return;
        }
        self.waiting().push(Waiting { due: Reverse(due), its: Arc::downgrade(its) });
        self.changed.notify_one();
    }

    /// Begins one after the other; to be run as long as there may be loops to begin.
    pub(super) async fn run(&self) {
        loop {
            if self.waiting().heap.is_empty() {
                self.changed.notified().await;
            }
            for its in self.take_due() {
                its.begin();
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    fn take_due(&self) -> Vec<Arc<Loop>> {
        let mut waiting = self.waiting();
        let mut due = Vec::new();
        while waiting.heap.peek().is_some_and(|first| Self::is_time(first.due.0)) {
            due.extend(waiting.heap.pop().and_then(|first| first.its.upgrade()));
        }
        if waiting.heap.is_empty() {
            // The room of as many as there were at the start is not needed any more.
            *waiting = Queue::default();
        }
        due
    }

    fn waiting(&self) -> MutexGuard<'_, Queue> {
        // Each change of it is whole before anything can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Adds one. Those that are gone leave from time to time, and not only when they were due: reloads that remove
    /// targets and add them again would leave a day's worth of them.
    fn push(&mut self, waiting: Waiting) {
        if self.heap.len() >= FEW.max(self.swept * 2) {
            self.heap.retain(|known| known.its.strong_count() > 0);
            self.swept = self.heap.len();
        }
        self.heap.push(waiting);
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::super::task::{Task, end};
    use super::*;

    /// A loop that says when it has begun, and the moment at which it is due.
    fn put_off(beginner: &Beginner, by: Duration) -> (Task, Arc<Notify>) {
        let (begun, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let told_here = Arc::clone(&told);
        let run = move |cancel: CancellationToken, _| {
            told_here.notify_one();
            let begun = Arc::clone(&begun);
            async move {
                begun.notify_one();
                cancel.cancelled().await;
            }
        };
        let due = Instant::now() + by;
        (Task::put_off(due, beginner, || "the loop of a test".into(), || false, run), told)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_begins_shortly_before_it_is_due_and_none_before() {
        let beginner = Arc::new(Beginner::default());
        let running = Arc::clone(&beginner);
        let run = tokio::spawn(async move { running.run().await });
        let began = Instant::now();
        let (late, late_told) = put_off(&beginner, Duration::from_secs(300));
        let (early, early_told) = put_off(&beginner, Duration::from_secs(60));
        let (at_once, told_at_once) = put_off(&beginner, Duration::ZERO);
        told_at_once.notified().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        timeout(Duration::from_secs(60), early_told.notified()).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(50), "{:?}", began.elapsed());
        timeout(Duration::from_secs(300), late_told.notified()).await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(290), "{:?}", began.elapsed());
        end(vec![late, early, at_once]).await;
        run.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn of_loops_that_are_gone_little_is_left() {
        let beginner = Beginner::default();
        let day = Duration::from_secs(24 * 3600);
        let kept: Vec<_> = (0..200).map(|_| put_off(&beginner, day)).collect();
        for _ in 0..10_000 {
            let (task, _) = put_off(&beginner, day);
            end(vec![task]).await;
        }
        let heap = &beginner.waiting().heap;
        assert!(heap.len() <= 1 + 2 * kept.len(), "{}", heap.len());
        let waiting = heap.iter().filter(|waiting| waiting.its.strong_count() > 0).count();
        assert_eq!(waiting, kept.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_ends_before_it_is_due_never_begins() {
        let beginner = Arc::new(Beginner::default());
        let running = Arc::clone(&beginner);
        let run = tokio::spawn(async move { running.run().await });
        let (ended, ended_told) = put_off(&beginner, Duration::from_secs(60));
        let (cancelled, cancelled_told) = put_off(&beginner, Duration::from_secs(60));
        assert!(!cancelled.is_over());
        cancelled.cancel();
        assert!(cancelled.is_over());
        end(vec![ended]).await;
        let either = async {
            tokio::select! {
                () = ended_told.notified() => {}
                () = cancelled_told.notified() => {}
            }
        };
        assert!(timeout(Duration::from_secs(120), either).await.is_err());
        run.abort();
    }
}
