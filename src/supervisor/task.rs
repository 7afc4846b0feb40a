//! Loops, and how they end.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long the loops may take to end their sessions.
const FAREWELL: Duration = Duration::from_secs(3);

/// A loop and the way to end it.
pub(super) struct Task {
    pub(super) cancel: CancellationToken,
    pub(super) handle: JoinHandle<()>,
}

impl Task {
    /// Starts a loop that ends when its token is cancelled.
    pub(super) fn spawn<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cancel = CancellationToken::new();
        let handle = tokio::spawn(run(cancel.clone()));
        Self { cancel, handle }
    }

    /// One that is over.
    pub(super) fn ended() -> Self {
        Self::spawn(|_| async {})
    }
}

/// Cancels all, waits for all together, and forces what does not end.
pub(super) async fn end(tasks: Vec<Task>) {
    for task in &tasks {
        task.cancel.cancel();
    }
    let deadline = Instant::now() + FAREWELL;
    for mut task in tasks {
        let rest = deadline.saturating_duration_since(Instant::now());
        if timeout(rest, &mut task.handle).await.is_err() {
            task.handle.abort();
        }
    }
}
