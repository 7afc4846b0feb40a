//! Reads files of which nobody knows how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;
use tracing::warn;

use mail::threads::{self, NoOutcome};

/// The longest wait for a reading.
const LONGEST: Duration = Duration::from_secs(30);

/// Reads files, one reading at a time: a file system that hangs holds up one thread and nothing else.
#[derive(Default)]
pub(super) struct Reader {
    /// Held by a reading to its end, also when nobody waits for it any more.
    turn: Arc<Mutex<()>>,
    /// Whether the newest look took too long, which was told.
    is_late: AtomicBool,
}

/// Why a reading told nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It took too long, or one before it still does.
    #[error("the files cannot be read within {} s", LONGEST.as_secs())]
    Hangs,
    /// There was no thread for it, or it broke off, which is a bug.
    #[error("the configuration could not be read: {0}")]
    NoOutcome(#[from] NoOutcome),
}

impl Reader {
    /// Lets no reading begin before what is returned is dropped, as one that hangs does.
    #[cfg(test)]
    pub(super) async fn hang(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// What `reading` tells.
    ///
    /// # Errors
    /// See [`NotRead`].
    pub(super) async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotRead> {
        let turn = timeout(LONGEST, Arc::clone(&self.turn).lock_owned());
        in_time(turn.await.map_err(|_| NotRead::Hangs)?, reading).await
    }

    /// Whether `look` sees that files have changed; no change where it tells nothing in time, or an earlier
    /// reading still hangs.
    pub(super) async fn sees_change(&self, look: impl FnOnce() -> bool + Send + 'static) -> bool {
        let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else { return false };
        let outcome = in_time(turn, look).await;
        let hangs = matches!(outcome, Err(NotRead::Hangs));
        let was_late = self.is_late.swap(hangs, Ordering::Relaxed);
        if hangs && !was_late {
            warn!(
                "the files of the configuration cannot be read within {} s: changes are not seen until \
                 they can",
                LONGEST.as_secs()
            );
        }
        outcome.unwrap_or(false)
    }
}

async fn in_time<T: Send + 'static>(
    turn: OwnedMutexGuard<()>,
    reading: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NotRead> {
    let reading = threads::run(move || {
        let _turn = turn;
        reading()
    });
    Ok(timeout(LONGEST, reading).await.map_err(|_| NotRead::Hangs)??)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_holds_up_nobody_and_is_not_repeated_before_it_ends() {
        let reader = Reader::default();
        let (release, released) = mpsc::channel::<()>();
        let hanging = move || released.recv().is_err();
        assert!(!reader.sees_change(hanging).await, "nobody waits for it for ever");
        let began = tokio::time::Instant::now();
        assert!(!reader.sees_change(|| panic!("a second look while the first hangs")).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let reading = reader.read(|| panic!("a reading while a look hangs")).await;
        assert!(matches!(reading, Err(NotRead::Hangs)));
        drop(release);
        drop(reader.turn.lock().await);
        tokio::time::resume();
        assert!(reader.sees_change(|| true).await);
        assert!(!reader.sees_change(|| false).await);
        assert_eq!(reader.read(|| 7).await.ok(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_that_hangs_ends() {
        let reader = Reader::default();
        let (release, released) = mpsc::channel::<()>();
        let reading = reader.read(move || released.recv().is_err()).await;
        assert_eq!(reading.unwrap_err().to_string(), "the files cannot be read within 30 s");
        drop(release);
    }
}
