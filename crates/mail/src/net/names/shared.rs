//! Work that several askers want at the same time is done once: it begins with the first and ends with
//! the last of them. Nothing is kept of it afterwards.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// Work under way, by what it is for.
#[derive(Debug)]
pub(super) struct Shared<K, T> {
    under_way: Arc<Mutex<HashMap<K, Weak<Work<T>>>>>,
}

/// One piece of work; it ends when the last asker lets go of it.
#[derive(Debug)]
struct Work<T> {
    outcome: watch::Receiver<Option<T>>,
    _task: AbortOnDropHandle<()>,
}

impl<K, T> Default for Shared<K, T> {
    fn default() -> Self {
        Self { under_way: Arc::default() }
    }
}

impl<K, T> Shared<K, T>
where
    K: Eq + Hash + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// What the work that is under way for `key` comes to, or this one if there is none; `None` if it
    /// broke off.
    pub(super) async fn join<F>(&self, key: K, work: F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let work = self.under_way(key, work);
        let mut outcome = work.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn under_way<F>(&self, key: K, work: F) -> Arc<Work<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(known) = under_way.get(&key).and_then(Weak::upgrade)
            && known.outcome.borrow().is_none()
        {
            return known;
        }
        let (teller, outcome) = watch::channel(None);
        let leaving = Leaving { key: key.clone(), under_way: Arc::clone(&self.under_way) };
        let task = tokio::spawn(async move {
            // Taken off the list also where all have gone.
            let _leaving = leaving;
            let done = work.await;
            teller.send_replace(Some(done));
        });
        let work = Arc::new(Work { outcome, _task: AbortOnDropHandle::new(task) });
        under_way.insert(key, Arc::downgrade(&work));
        work
    }

    /// How much is under way.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.under_way).len()
    }
}

/// Takes work off the list when it ends, unless other work has taken its place.
struct Leaving<K: Eq + Hash, T> {
    key: K,
    under_way: Arc<Mutex<HashMap<K, Weak<Work<T>>>>>,
}

impl<K: Eq + Hash, T> Drop for Leaving<K, T> {
    fn drop(&mut self) {
        let mut under_way = lock(&self.under_way);
        let is_over = under_way.get(&self.key).is_some_and(|work| match work.upgrade() {
            None => true,
            Some(work) => work.outcome.borrow().is_some(),
        });
        if is_over {
            under_way.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
