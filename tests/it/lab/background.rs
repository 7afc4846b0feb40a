//! A server of the tests' own that Postfix or Dovecot asks, for as long as a lab lives.

use std::thread::{self, JoinHandle};

use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

/// A thread with a runtime of its own: a lab shared by many tests outlives the runtime of the test
/// that started it. It ends when this is dropped.
pub(crate) struct Background {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs `serve` in the thread. What it starts by `spawn_local` ends with it.
    ///
    /// # Panics
    /// If the runtime cannot be had.
    pub(crate) fn start(serve: impl AsyncFnOnce() + Send + 'static) -> Self {
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap_or_else(|error| panic!("no runtime for a server of the lab: {error}"));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            LocalSet::new().block_on(&runtime, stopped.run_until_cancelled(serve()));
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
