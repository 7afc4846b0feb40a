//! Work that takes long or blocks, on a thread of its own.
//!
//! The runtime's own threads for that panic where the system has none left, or let the work wait for
//! ever. Here whoever asks learns it, and can do without.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::Fault;
use ledger::{Reason, Shortage};

/// The most of them at one time; more work waits for its turn.
const MOST: usize = 64;

static TURNS: Semaphore = Semaphore::const_new(MOST);

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum NoOutcome {
    /// No thread could be made, which is counted.
    #[error("no thread could be started: {0}")]
    NoThread(io::Error),
    /// It broke off, which is a bug.
    #[error("the work broke off")]
    BrokeOff,
}

impl NoOutcome {
    /// The fault that it is for somebody who cannot do `what` for it.
    pub fn fault(&self, what: &str) -> Fault {
        let message = format!("{what}: {self}");
        match self {
            // It was counted where it happened.
            NoOutcome::NoThread(_) => Fault::short_and_counted(Shortage::Threads, message),
            NoOutcome::BrokeOff => Fault::new(Reason::Other, message),
        }
    }
}

/// Where work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On a thread of its own.
    Aside,
    /// On that of whoever waits for it, who holds up others meanwhile.
    Here,
}

/// What `work` comes to. It goes on to its end also when nobody waits for it any more.
///
/// # Errors
/// See [`NoOutcome`].
pub async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoOutcome> {
    // It is never closed.
    let turn = TURNS.acquire().await.map_err(|_| NoOutcome::BrokeOff)?;
    let (teller, outcome) = oneshot::channel();
    begin(move || {
        let _turn = turn;
        let _ = teller.send(work());
    })
    .map_err(NoOutcome::NoThread)?;
    outcome.await.map_err(|_| NoOutcome::BrokeOff)
}

/// The same; without a thread the work is done here, where it holds up others for a moment: an answer
/// late is better than none. The work is told where it is done, and may do less at one time for that.
///
/// # Errors
/// [`NoOutcome::BrokeOff`].
pub async fn run_or_here<T: Send + 'static>(
    work: impl FnOnce(Place) -> T + Send + 'static,
) -> Result<T, NoOutcome> {
    let work = Arc::new(Mutex::new(Some(work)));
    let of_thread = Arc::clone(&work);
    let outcome = run(move || taken(&of_thread).map(|work| work(Place::Aside))).await;
    match outcome {
        Ok(outcome) => outcome.ok_or(NoOutcome::BrokeOff),
        Err(none) => taken(&work).map(|work| work(Place::Here)).ok_or(none),
    }
}

fn taken<F>(work: &Mutex<Option<F>>) -> Option<F> {
    work.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Begins `work`, which ends by itself.
///
/// # Errors
/// No thread could be made, which is counted.
pub fn begin(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let begun = thread::Builder::new().name("work".into()).spawn(work);
    // EAGAIN as well as ENOMEM: whichever it is, it is a thread that there is none of.
    begun.map(drop).inspect_err(|_| crate::shortage::count(Shortage::Threads))
}

/// Whether this process gets so many threads at one time.
///
/// # Errors
/// What the system says if not.
pub fn try_so_many(count: usize) -> io::Result<()> {
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let mut begun = Vec::new();
    let mut outcome = Ok(());
    for _ in 0..count {
        let held = Arc::clone(&held);
        match thread::Builder::new().spawn(move || drop(held.lock().map(|held| held.recv()))) {
            Ok(thread) => begun.push(thread),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    drop(hold);
    for thread in begun {
        let _ = thread.join();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_and_a_bug_in_it_is_told() {
        assert_eq!(run(|| 7).await.unwrap(), 7);
        let broken = run(|| panic!("a bug")).await;
        assert!(matches!(broken, Err(NoOutcome::BrokeOff)), "{broken:?}");
        assert_eq!(run_or_here(|place| (8, place)).await.unwrap(), (8, Place::Aside));
        try_so_many(4).unwrap();
    }

    #[test]
    fn a_thread_that_there_is_none_of_is_our_own_shortage() {
        let error = NoOutcome::NoThread(io::ErrorKind::WouldBlock.into());
        assert_eq!(error.fault("cannot log in").shortage, Some(Shortage::Threads));
        assert_eq!(NoOutcome::BrokeOff.fault("cannot log in").shortage, None);
    }
}
