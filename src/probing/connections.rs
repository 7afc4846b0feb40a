//! How many connections may be open at one time to one SMTP server and account: a limit that may
//! change while they are in use.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The connections to one SMTP server and account.
#[derive(Debug)]
pub struct Connections {
    permits: Semaphore,
    limit: Mutex<Limit>,
}

/// Leave to have one connection open, given back when it is dropped.
#[derive(Debug)]
pub struct Connection<'a> {
    connections: &'a Connections,
    permit: Option<SemaphorePermit<'a>>,
}

#[derive(Debug)]
struct Limit {
    most: usize,
    /// So many are open beyond a limit that was lowered: what they give back is not given again.
    excess: usize,
}

impl Connections {
    /// At most so many are open at one time.
    pub fn new(most: usize) -> Self {
        let limit = Mutex::new(Limit { most, excess: 0 });
        Self { permits: Semaphore::new(most), limit }
    }

    /// Waits for a free one; who came first is first.
    ///
    /// # Errors
    /// None that happens: the semaphore is never closed.
    pub async fn acquire(&self) -> Result<Connection<'_>, AcquireError> {
        let permit = self.permits.acquire().await?;
        Ok(Connection { connections: self, permit: Some(permit) })
    }

    /// From now on at most so many are open. Those that are open beyond it stay until they are
    /// closed, and none is opened in their place.
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

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let mut limit = self.connections.limit();
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

    fn try_acquire(connections: &Connections) -> Option<Connection<'_>> {
        match connections.permits.try_acquire() {
            Ok(permit) => Some(Connection { connections, permit: Some(permit) }),
            Err(error) => {
                assert_eq!(error, TryAcquireError::NoPermits);
                None
            }
        }
    }

    /// Opens as many as it can.
    fn open(connections: &Connections) -> Vec<Connection<'_>> {
        std::iter::from_fn(|| try_acquire(connections)).collect()
    }

    #[test]
    fn a_higher_limit_holds_at_once() {
        let connections = Connections::new(2);
        let before = open(&connections);
        connections.set_limit(5);
        let more = open(&connections);
        assert_eq!((before.len(), more.len()), (2, 3));
    }

    #[test]
    fn a_lower_limit_holds_as_soon_as_those_beyond_it_are_closed() {
        let connections = Connections::new(5);
        let mut before = open(&connections);
        connections.set_limit(2);
        for _ in 0..3 {
            drop(before.pop());
            assert!(open(&connections).is_empty(), "two and more are still open");
        }
        drop(before.pop());
        assert_eq!(open(&connections).len(), 1);
        drop(before);
        assert_eq!(open(&connections).len(), 2);
    }

    #[test]
    fn the_limit_may_go_up_again_while_too_many_are_open() {
        let connections = Connections::new(5);
        let before = open(&connections);
        connections.set_limit(1);
        connections.set_limit(3);
        assert!(open(&connections).is_empty());
        drop(before);
        assert_eq!(open(&connections).len(), 3);
        connections.set_limit(1);
        assert_eq!(open(&connections).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_a_higher_limit_gives() {
        let connections = Connections::new(1);
        let first = connections.acquire().await.unwrap();
        let waiting = async { connections.acquire().await.map(drop) };
        let raising = async { connections.set_limit(2) };
        let both = async { tokio::join!(waiting, raising).0 };
        tokio::time::timeout(std::time::Duration::from_secs(1), both).await.unwrap().unwrap();
        drop(first);
    }
}
