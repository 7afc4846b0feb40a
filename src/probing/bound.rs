//! How many of something may be done at one time: a bound that may change while it is used.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The bound, as of the connections to one SMTP server and account.
#[derive(Debug)]
pub struct Bound {
    permits: Semaphore,
    limit: Mutex<Limit>,
}

/// Leave to do it once, given back when it is dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    bound: &'a Bound,
    permit: Option<SemaphorePermit<'a>>,
}

#[derive(Debug)]
struct Limit {
    most: usize,
    /// So many are given beyond a limit that was lowered: what they give back is not given again.
    excess: usize,
}

impl Bound {
    /// At most so many at one time.
    pub fn new(most: usize) -> Self {
        let limit = Mutex::new(Limit { most, excess: 0 });
        Self { permits: Semaphore::new(most), limit }
    }

    /// Waits for leave; who came first is first.
    ///
    /// # Errors
    /// None that happens: the semaphore is never closed.
    pub async fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        let permit = self.permits.acquire().await?;
        Ok(Permit { bound: self, permit: Some(permit) })
    }

    /// From now on at most so many. Those beyond it go on to their end, and none begins in their place.
    pub fn set_limit(&self, most: usize) {
        let mut limit = self.limit();
        let more = most.saturating_sub(limit.most);
        let settled = more.min(limit.excess);
        self.permits.add_permits(more - settled);
        let fewer = limit.most.saturating_sub(most);
        let forgotten = self.permits.forget_permits(fewer);
        limit.excess = limit.excess - settled + fewer - forgotten;
        limit.most = most;
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        // Nothing in between can panic.
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut limit = self.bound.limit();
        if let Some(permit) = self.permit.take()
            && limit.excess > 0
        {
            limit.excess -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::TryAcquireError;

    use super::*;

    fn try_acquire(bound: &Bound) -> Option<Permit<'_>> {
        match bound.permits.try_acquire() {
            Ok(permit) => Some(Permit { bound, permit: Some(permit) }),
            Err(error) => {
                assert_eq!(error, TryAcquireError::NoPermits);
                None
            }
        }
    }

    /// Opens as many as it can.
    fn open(bound: &Bound) -> Vec<Permit<'_>> {
        std::iter::from_fn(|| try_acquire(bound)).collect()
    }

    #[test]
    fn a_higher_limit_holds_at_once() {
        let bound = Bound::new(2);
        let before = open(&bound);
        bound.set_limit(5);
        let more = open(&bound);
        assert_eq!((before.len(), more.len()), (2, 3));
    }

    #[test]
    fn a_lower_limit_holds_as_soon_as_those_beyond_it_are_closed() {
        let bound = Bound::new(5);
        let mut before = open(&bound);
        bound.set_limit(2);
        for _ in 0..3 {
            drop(before.pop());
            assert!(open(&bound).is_empty(), "two and more are still open");
        }
        drop(before.pop());
        assert_eq!(open(&bound).len(), 1);
        drop(before);
        assert_eq!(open(&bound).len(), 2);
    }

    #[test]
    fn the_limit_may_go_up_again_while_too_many_are_open() {
        let bound = Bound::new(5);
        let before = open(&bound);
        bound.set_limit(1);
        bound.set_limit(3);
        assert!(open(&bound).is_empty());
        drop(before);
        assert_eq!(open(&bound).len(), 3);
        bound.set_limit(1);
        assert_eq!(open(&bound).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_a_higher_limit_gives() {
        let bound = Bound::new(1);
        let first = bound.acquire().await.unwrap();
        let waiting = async { bound.acquire().await.map(drop) };
        let raising = async { bound.set_limit(2) };
        let both = async { tokio::join!(waiting, raising).0 };
        tokio::time::timeout(std::time::Duration::from_secs(1), both).await.unwrap().unwrap();
        drop(first);
    }
}
