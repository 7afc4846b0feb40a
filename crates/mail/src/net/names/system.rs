//! The system's own resolver, for names that neither the hosts file nor a name server knows. It blocks a
//! thread for each question until it gives up, whoever still waits: so it has few threads.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::{descriptors, threads};
use ledger::Shortage;

/// How many names the system looks up at one time; tokio has 512 threads for all that blocks, the
/// pages among it.
const PLACES: usize = 16;

/// The addresses of a host in any family.
pub(super) type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// `Err`: it does not know the name, or had no descriptor to find out.
type Outcome = Result<Vec<IpAddr>, NoAnswer>;
type Running = HashMap<String, watch::Receiver<Option<Outcome>>>;

/// The questions to the system's resolver.
#[derive(Debug)]
pub(super) struct System {
    resolve: Resolve,
    places: Arc<Semaphore>,
    running: Arc<Mutex<Running>>,
}

/// Why the system gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It does not know the name, or nobody answered.
    Unknown,
    /// It was not asked: no place came free in time.
    NoTurn,
    /// It was not asked: no thread could be made for it, which is counted.
    NoThread(String),
    /// It could not ask: no descriptor was left.
    NoDescriptor,
}

impl System {
    pub(super) fn new(resolve: Resolve) -> Self {
        Self { resolve, places: Arc::new(Semaphore::new(PLACES)), running: Arc::default() }
    }

    /// One that is full for good.
    #[cfg(test)]
    pub(super) fn full() -> Self {
        let places = Arc::new(Semaphore::new(0));
        Self { places, ..Self::new(|_| Err(io::Error::other("was asked"))) }
    }

    /// The system's own.
    pub(super) fn own() -> Self {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.map(|it: SocketAddr| it.ip()).collect()))
    }

    /// What it says of a host; a question that is under way is waited for, and not asked again. The wait
    /// for a place ends at `deadline`, that for an answer with the asker.
    pub(super) async fn ask(&self, host: &str, deadline: Instant) -> Result<Vec<IpAddr>, NoAnswer> {
        let running = lock(&self.running).get(host).cloned();
        let mut outcome = match running {
            Some(running) => running,
            None => self.begin(host, deadline).await?,
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            _ => Err(NoAnswer::Unknown),
        }
    }

    async fn begin(
        &self,
        host: &str,
        deadline: Instant,
    ) -> Result<watch::Receiver<Option<Outcome>>, NoAnswer> {
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(NoAnswer::NoTurn)?;
        let mut running = lock(&self.running);
        // Another one may have begun meanwhile.
        if let Some(running) = running.get(host) {
            return Ok(running.clone());
        }
        let (teller, outcome) = watch::channel(None);
        running.insert(host.to_owned(), outcome.clone());
        let ending = Ending { host: host.to_owned(), running: Arc::clone(&self.running) };
        let resolve = self.resolve;
        // Without a thread the question is taken off the list, which needs the lock.
        drop(running);
        let begun = threads::begin(move || {
            let _place = place;
            let found = resolve(&ending.host).map_err(|_| why_unknown());
            drop(ending);
            teller.send_replace(Some(found));
        });
        begun.map(|()| outcome).map_err(|error| NoAnswer::NoThread(error.to_string()))
    }
}

/// The C library does not say that it had no descriptor; it may have been so if there is none now.
fn why_unknown() -> NoAnswer {
    let socket = std::net::UdpSocket::bind(("127.0.0.1", 0));
    match socket.and_then(descriptors::unless_kept) {
        Err(error) if Shortage::of(&error) == Some(Shortage::Descriptors) => NoAnswer::NoDescriptor,
        _ => NoAnswer::Unknown,
    }
}

/// Takes a question off the list when it ends, however it does.
struct Ending {
    host: String,
    running: Arc<Mutex<Running>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.host);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_full_house_is_told_from_a_name_that_nobody_knows() {
        // Ends when the test does.
        static GATE: LazyLock<(Mutex<bool>, std::sync::Condvar)> = LazyLock::new(Default::default);
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let system = Arc::new(System::new(|host| {
            if host.starts_with("hangs") {
                ASKED.fetch_add(1, Ordering::SeqCst);
                let mut is_open = GATE.0.lock().unwrap();
                while !*is_open {
                    is_open = GATE.1.wait(is_open).unwrap();
                }
            }
            Err(io::Error::other("no such name"))
        }));
        let later = Instant::now() + Duration::from_secs(600);
        assert_eq!(system.ask("unknown", later).await, Err(NoAnswer::Unknown));
        let mut hanging = tokio::task::JoinSet::new();
        for index in 0..PLACES {
            // Each is asked by two, and takes one place.
            for _ in 0..2 {
                let system = Arc::clone(&system);
                hanging.spawn(async move { system.ask(&format!("hangs{index}"), later).await });
            }
        }
        while system.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(system.ask("unknown", soon).await, Err(NoAnswer::NoTurn));
        *GATE.0.lock().unwrap() = true;
        GATE.1.notify_all();
        while let Some(answer) = hanging.join_next().await {
            assert_eq!(answer.unwrap(), Err(NoAnswer::Unknown));
        }
        assert_eq!(ASKED.load(Ordering::SeqCst), PLACES);
        assert_eq!(system.ask("unknown", later).await, Err(NoAnswer::Unknown));
        assert!(lock(&system.running).is_empty());
    }
}
