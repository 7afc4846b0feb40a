//! What clients did lately, counted: a bounded memory that forgets.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::door::Peer;

/// Events of each client. A client that had none for a while begins anew.
#[derive(Debug)]
pub(in crate::web) struct Recent {
    counts: HashMap<Peer, Count>,
    memory: Duration,
}

impl Default for Recent {
    fn default() -> Self {
        Self::remembering(Self::MEMORY)
    }
}

#[derive(Debug)]
struct Count {
    events: u32,
    last: Instant,
}

impl Recent {
    /// How long a client is remembered after its last event, where nothing else is said.
    pub(in crate::web) const MEMORY: Duration = Duration::from_secs(60);

    /// The most clients that are remembered; for a further one that which was quiet for longest is
    /// forgotten.
    const MOST: usize = 1024;

    /// A memory in which a client stays for so long after its last event.
    pub(in crate::web) fn remembering(memory: Duration) -> Self {
        Self { counts: HashMap::new(), memory }
    }

    /// One more event of `peer`.
    pub(in crate::web) fn add(&mut self, peer: Peer, now: Instant) {
        if self.counts.len() >= Self::MOST && !self.counts.contains_key(&peer) {
            self.forget(now);
        }
        let events = self.of(peer, now).saturating_add(1);
        self.counts.insert(peer, Count { events, last: now });
    }

    /// The events of `peer`.
    pub(in crate::web) fn of(&self, peer: Peer, now: Instant) -> u32 {
        match self.counts.get(&peer) {
            Some(count) if now.saturating_duration_since(count.last) < self.memory => count.events,
            _ => 0,
        }
    }

    /// Makes room for one.
    fn forget(&mut self, now: Instant) {
        let memory = self.memory;
        self.counts.retain(|_, count| now.saturating_duration_since(count.last) < memory);
        if self.counts.len() >= Self::MOST {
            let oldest = self.counts.iter().min_by_key(|(_, count)| count.last);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.counts.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(index: u16) -> Peer {
        let [high, low] = index.to_be_bytes();
        Peer::of(IpAddr::from([10, 0, high, low]))
    }

    #[test]
    fn a_client_is_forgotten_a_minute_after_its_last_event() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        recent.add(peer(1), start);
        recent.add(peer(1), start + Recent::MEMORY / 2);
        let nearly = start + Recent::MEMORY * 5 / 4;
        assert_eq!((recent.of(peer(1), nearly), recent.of(peer(2), nearly)), (2, 0));
        let later = start + Recent::MEMORY * 3 / 2;
        assert_eq!(recent.of(peer(1), later), 0);
        recent.add(peer(1), later);
        assert_eq!(recent.of(peer(1), later), 1);
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_the_newest() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        for index in 0..2000 {
            let now = start + Duration::from_millis(u64::from(index));
            recent.add(peer(index), now);
        }
        assert_eq!(recent.counts.len(), Recent::MOST);
        let end = start + Duration::from_secs(2);
        assert_eq!((recent.of(peer(0), end), recent.of(peer(1999), end)), (0, 1));
    }
}
