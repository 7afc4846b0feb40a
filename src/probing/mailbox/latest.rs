//! The newest value of something that others wait for. Smaller than a channel, as there are two for each mailbox.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The newest value.
pub(super) struct Latest<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy + PartialEq> Latest<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The newest.
    pub(super) fn get(&self) -> T {
        *self.value()
    }

    /// Puts another in its place, and wakes whoever waits if it is one.
    pub(super) fn set(&self, value: T) {
        if std::mem::replace(&mut *self.value(), value) != value {
            self.changed.notify_waiters();
        }
    }

    /// Waits until it is so.
    pub(super) async fn wait_for(&self, is_so: impl Fn(T) -> bool) {
        loop {
            // Before the value is read: it may change after that.
            let changed = self.changed.notified();
            if is_so(self.get()) {
                return;
            }
            changed.await;
        }
    }

    fn value(&self) -> MutexGuard<'_, T> {
        // It is replaced whole, so it is whole even after a panic.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_value_is_waited_for_by_all_and_seen_by_who_comes_late() {
        let latest = Latest::new(0);
        let until = |least: u64| latest.wait_for(move |value| value >= least);
        let set = async {
            tokio::task::yield_now().await;
            latest.set(1);
            tokio::task::yield_now().await;
            latest.set(2);
        };
        tokio::join!(until(1), until(2), until(2), set);
        until(2).await;
        assert!(futures_util::FutureExt::now_or_never(until(3)).is_none());
    }
}
