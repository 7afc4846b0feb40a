//! Looks at files of which nobody knows how long they take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::warn;

use mail::threads;

/// The longest wait for a look.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Whether files have changed, one look at a time: a file system that hangs holds up one thread and nothing
/// else.
#[derive(Default)]
pub(super) struct Watch {
    /// Held by a look to its end, also when nobody waits for it any more.
    turn: Arc<Mutex<()>>,
    /// Whether the newest look took too long, which was told.
    is_late: AtomicBool,
}

impl Watch {
    /// What `look` tells; no change where it tells nothing in time, or an earlier one still hangs.
    pub(super) async fn sees_change(&self, look: impl FnOnce() -> bool + Send + 'static) -> bool {
        let Ok(turn) = Arc::clone(&self.turn).try_lock_owned() else { return false };
        let look = threads::run(move || {
            let _turn = turn;
            look()
        });
        let Ok(outcome) = timeout(LONGEST_LOOK, look).await else {
            if !self.is_late.swap(true, Ordering::Relaxed) {
                warn!(
                    "the files of the configuration cannot be read within {} s: changes are not seen \
                     until they can",
                    LONGEST_LOOK.as_secs()
                );
            }
            return false;
        };
        self.is_late.store(false, Ordering::Relaxed);
        outcome.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_holds_up_nobody_and_is_not_repeated_before_it_ends() {
        let watch = Watch::default();
        let (release, released) = mpsc::channel::<()>();
        let hanging = move || released.recv().is_err();
        assert!(!watch.sees_change(hanging).await, "nobody waits for it for ever");
        let began = tokio::time::Instant::now();
        assert!(!watch.sees_change(|| panic!("a second look while the first hangs")).await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(release);
        drop(watch.turn.lock().await);
        tokio::time::resume();
        assert!(watch.sees_change(|| true).await);
        assert!(!watch.sees_change(|| false).await);
    }
}
