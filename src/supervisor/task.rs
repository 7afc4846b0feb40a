//! Loops: how they end, and how one goes on that broke off or hangs.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::beginner::Beginner;
use crate::clock::next_tick;

/// How long the loops may take to end their sessions.
const FAREWELL: Duration = Duration::from_secs(3);
/// The first wait before a loop that broke off is started again; it doubles.
const RESTART_FIRST: Duration = Duration::from_secs(1);
/// The longest; a loop that ran so long is not in a series of failures any more.
const RESTART_LONGEST: Duration = Duration::from_secs(60);
/// How often it is asked whether a loop hangs; one that did so twice in a row is started again.
const BETWEEN_VISITS: Duration = Duration::from_secs(60);

/// A loop and the way to end it.
pub(super) struct Task(Arc<Loop>);

/// A loop that may not have begun yet.
pub(super) struct Loop(Mutex<Stage>);

enum Stage {
    /// It begins when this is called.
    Waiting(Box<dyn FnOnce() -> Running + Send>),
    Running(Running),
    Ended,
}

struct Running {
    cancel: CancellationToken,
    handle: JoinHandle<()>,
}

impl Loop {
    /// Begins, if it has not done so.
    pub(super) fn begin(&self) {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Waiting(begin) => *stage = Stage::Running(begin()),
            other => *stage = other,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // To begin a task does not panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A start of a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Its first.
    First,
    /// It broke off before.
    Again,
}

impl Start {
    /// When a loop with periods begins whose first was to begin at `first`: one that broke off goes on
    /// with its next period, so that no start adds another mail.
    pub(super) fn tick(self, first: Instant, interval: Duration) -> Instant {
        let now = Instant::now();
        if self == Start::First || first > now { first } else { next_tick(first, interval, now).0 }
    }
}

impl Task {
    /// Starts a loop that ends when its token is cancelled. One that panics, which is a bug, is started
    /// again after a while: it must not silence its target for ever. `name` says in the log which it is.
    #[cfg(test)]
    pub(super) fn spawn<F>(
        name: &'static str,
        run: impl Fn(CancellationToken, Start) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::spawn_watched(name, || false, run)
    }

    /// The same of a loop of which somebody else knows that it hangs in what should be over: then it is
    /// ended by force and started again.
    #[cfg(test)]
    pub(super) fn spawn_watched<F>(
        name: &'static str,
        hangs: impl Fn() -> bool + Send + Sync + 'static,
        run: impl Fn(CancellationToken, Start) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let beginner = Beginner::default();
        Self::put_off(Instant::now(), &beginner, || name.to_owned(), hangs, run)
    }

    /// A loop of which nothing is `due` before that, and which begins in time for it. It ends when its token is
    /// cancelled. One that panics, which is a bug, is started again after a while: it must not silence its target for
    /// ever. So is one of which `hangs` says twice in a row that it hangs in what should be over, after it was ended by
    /// force. `name` says in the log which it is.
    pub(super) fn put_off<F>(
        due: Instant,
        beginner: &Beginner,
        name: impl Fn() -> String + Send + 'static,
        hangs: impl Fn() -> bool + Send + Sync + 'static,
        run: impl Fn(CancellationToken, Start) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let begin = move || {
            let cancel = CancellationToken::new();
            let handle = tokio::spawn(keep_running(name, hangs, run, cancel.clone()));
            Running { cancel, handle }
        };
        let task = Self::at(Stage::Waiting(Box::new(begin)));
        task.begin_by(due, beginner);
        task
    }

    /// Has it begin in time for this moment, unless it has begun before.
    pub(super) fn begin_by(&self, due: Instant, beginner: &Beginner) {
        beginner.begin_by(due, &self.0);
    }

    /// Has it end, and does not wait for that.
    pub(super) fn cancel(&self) {
        let mut stage = self.0.stage();
        match &*stage {
            Stage::Running(running) => running.cancel.cancel(),
            Stage::Waiting(_) | Stage::Ended => *stage = Stage::Ended,
        }
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        match &*self.0.stage() {
            Stage::Waiting(_) => false,
            Stage::Running(running) => running.handle.is_finished(),
            Stage::Ended => true,
        }
    }

    /// Whether it does not take room any more only for its beginning.
    #[cfg(test)]
    pub(super) fn has_begun(&self) -> bool {
        !matches!(&*self.0.stage(), Stage::Waiting(_))
    }

    /// One that is over.
    pub(super) fn ended() -> Self {
        Self::at(Stage::Ended)
    }

    fn at(stage: Stage) -> Self {
        Self(Arc::new(Loop(Mutex::new(stage))))
    }

    /// Takes it out, to end it.
    fn into_running(self) -> Option<Running> {
        match std::mem::replace(&mut *self.0.stage(), Stage::Ended) {
            Stage::Running(running) => Some(running),
            Stage::Waiting(_) | Stage::Ended => None,
        }
    }
}

/// What keeps a loop running. It is written so that it takes little: there are three for each target.
#[expect(
    clippy::manual_async_fn,
    reason = "a block holds what it captures once, an asynchronous function its arguments twice"
)]
fn keep_running<F>(
    name: impl Fn() -> String,
    hangs: impl Fn() -> bool,
    run: impl Fn(CancellationToken, Start) -> F,
    cancel: CancellationToken,
) -> impl Future<Output = ()>
where
    F: Future<Output = ()> + Send + 'static,
{
    async move {
        let mut wait = RESTART_FIRST;
        let mut start = Start::First;
        loop {
            let began = Instant::now();
            let why = tokio::select! {
                ended = caught(run(cancel.clone(), start)) => match ended {
                    Err(panic) => panic,
                    Ok(()) => return,
                },
                () = hangs_on(&hangs) => "it hangs past its deadline".to_owned(),
            };
            if began.elapsed() >= RESTART_LONGEST {
                wait = RESTART_FIRST;
            }
            error!(name = name(), error = why, again_in = ?wait,
                "a task failed; this is a bug in the exporter");
            if Box::pin(cancel.run_until_cancelled(sleep(wait))).await.is_none() {
                return;
            }
            wait = (wait * 2).min(RESTART_LONGEST);
            start = Start::Again;
        }
    }
}

/// Runs a loop to its end, or to a panic, and gives the words of that. The loop is dropped with it.
fn caught(running: impl Future<Output = ()>) -> impl Future<Output = Result<(), String>> {
    let mut running = Box::pin(running);
    poll_fn(move |context| {
        // After a panic the loop is not asked again, and what it shares is guarded by locks that bear it.
        match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context))) {
            Ok(ended) => ended.map(Ok),
            Err(panic) => Poll::Ready(Err(words_of(&*panic))),
        }
    })
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().copied();
    let words = words.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", words.unwrap_or("without words"))
}

/// Comes to an end once it was called twice in a row for a loop that hangs.
async fn hangs_on(hangs: &impl Fn() -> bool) {
    let mut hung = false;
    loop {
        sleep(BETWEEN_VISITS).await;
        let hangs = hangs();
        if hangs && hung {
            return;
        }
        hung = hangs;
    }
}

/// Cancels all, waits for all together, and forces what does not end.
pub(super) async fn end(tasks: Vec<Task>) {
    let running: Vec<Running> = tasks.into_iter().filter_map(Task::into_running).collect();
    for running in &running {
        running.cancel.cancel();
    }
    let deadline = Instant::now() + FAREWELL;
    for mut running in running {
        let rest = deadline.saturating_duration_since(Instant::now());
        if timeout(rest, &mut running.handle).await.is_err() {
            running.handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::Notify;
    use tokio::time::sleep_until;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A loop that notes its starts and breaks off at once, as often as asked; then it goes on.
    fn breaking(times: usize) -> (Task, Arc<Mutex<Vec<Instant>>>, Arc<Notify>) {
        let (starts, steady) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let (noted, is_steady) = (Arc::clone(&starts), Arc::clone(&steady));
        let task = Task::spawn("the loop of a test", move |cancel, start| {
            let count = {
                let mut starts = noted.lock().unwrap();
                assert_eq!(start == Start::First, starts.is_empty());
                starts.push(Instant::now());
                starts.len()
            };
            let is_steady = Arc::clone(&is_steady);
            async move {
                assert!(count > times, "broken off by the test");
                is_steady.notify_one();
                cancel.cancelled().await;
            }
        });
        (task, starts, steady)
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_breaks_off_is_started_again_after_longer_and_longer() {
        let (task, starts, steady) = breaking(9);
        timeout(10 * MINUTE, steady.notified()).await.unwrap();
        let starts = starts.lock().unwrap().clone();
        let waits: Vec<u64> = starts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        end(vec![task]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_ended_and_started_again() {
        let (starts, held) = (Arc::new(Notify::new()), Arc::new(()));
        let (started, its_own) = (Arc::clone(&starts), Arc::clone(&held));
        let task = Task::spawn_watched(
            "a loop",
            || true,
            move |_, _| {
                started.notify_one();
                let held = Arc::clone(&its_own);
                async move {
                    std::future::pending::<()>().await;
                    drop(held);
                }
            },
        );
        for _ in 0..3 {
            timeout(3 * MINUTE, starts.notified()).await.unwrap();
        }
        assert!(Arc::strong_count(&held) <= 3, "those before hold nothing any more");
        end(vec![task]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hung_for_a_moment_goes_on() {
        let visits = Arc::new(Mutex::new(0));
        let asked = Arc::clone(&visits);
        let hangs = move || {
            let mut visits = asked.lock().unwrap();
            *visits += 1;
            *visits % 2 == 0
        };
        let starts = Arc::new(Mutex::new(0));
        let started = Arc::clone(&starts);
        let task = Task::spawn_watched("a loop", hangs, move |cancel, _| {
            *started.lock().unwrap() += 1;
            async move { cancel.cancelled().await }
        });
        sleep(20 * MINUTE).await;
        assert!(*visits.lock().unwrap() >= 10);
        assert_eq!(*starts.lock().unwrap(), 1);
        end(vec![task]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_waits_to_be_started_again_ends_at_once() {
        let (task, _, _) = breaking(usize::MAX);
        sleep(4 * MINUTE).await;
        let began = Instant::now();
        end(vec![task]).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_end_is_ended_with_everything_it_holds() {
        let held = Arc::new(());
        let loops_own = Arc::clone(&held);
        let task = Task::spawn("a stubborn loop", move |_, _| {
            let held = Arc::clone(&loops_own);
            async move {
                sleep(1_000 * MINUTE).await;
                drop(held);
            }
        });
        sleep(MINUTE).await;
        end(vec![task]).await;
        // The task is gone once the runtime has dropped it.
        timeout(MINUTE, async {
            while Arc::strong_count(&held) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_with_periods_goes_on_with_the_next_one() {
        let first = Instant::now();
        let tick = |start: Start| (start.tick(first, MINUTE) - first).as_secs();
        sleep_until(first + MINUTE / 2).await;
        assert_eq!(tick(Start::First), 0, "it is late, and begins at once");
        assert_eq!(tick(Start::Again), 60, "the mail of this period may have been sent");
        sleep_until(first + MINUTE * 5 / 2).await;
        assert_eq!(tick(Start::Again), 180);
        let ahead = Instant::now() + MINUTE;
        assert_eq!(Start::Again.tick(ahead, MINUTE), ahead);
    }
}
