//! The slots of the listener: who is let in, and who has to leave when they run out.
//!
//! A connection that waits for its client holds a slot for nothing. Where slots are short the one
//! that has waited longest leaves, of the client that holds most or had to leave most often lately,
//! so that a client who has something to ask always finds one, and a client with many connections
//! takes them from itself. A client that was answered lately, as one who scrapes is, has a few
//! connections that leave last before they have asked: strangers press each other out meanwhile.
//! It knows no HTTP: the listener says what a connection is at.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Limits;
use super::recent::Recent;

use crowd::{Crowd, Held, Inside, Scope};
pub(in crate::web) use observed::Observed;

mod crowd;
mod observed;

/// A client as it is counted: an IPv4 address, or the first 64 bits of an IPv6 address, of which
/// one machine has all the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::web) struct Peer(u128);

impl Peer {
    /// The client at `address`.
    pub(in crate::web) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().to_bits()),
            IpAddr::V6(address) => Self(address.to_bits() >> 64 << 64),
        }
    }
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Phase {
    /// The TLS handshake.
    Handshake,
    /// It has not sent the whole head of a first request yet.
    FirstHead,
    /// It takes its answer, or has not begun its next request.
    Kept,
    /// It has begun the head of another request.
    NextHead,
    /// Its request has a body to send or a password that is checked.
    Admission,
    /// Its answer is made.
    Answer,
}

impl Phase {
    /// Whether it has not asked for anything yet.
    fn is_new(self) -> bool {
        matches!(self, Phase::Handshake | Phase::FirstHead)
    }
}

/// Everything about the slots of one listener.
pub(in crate::web) struct Door {
    limits: Limits,
    places: Mutex<Vec<Arc<Place>>>,
    /// Whose connections were called out.
    called_out: Mutex<Recent>,
    /// Who was admitted to an answer.
    answered: Mutex<Recent>,
    /// A connection ended, or has begun to wait.
    changed: Notify,
}

/// A slot that is taken, for as long as it lives.
pub(in crate::web) struct Seat(Progress);

/// How far the connection in a seat is, told by whoever works for it.
#[derive(Clone)]
pub(in crate::web) struct Progress {
    door: Arc<Door>,
    place: Arc<Place>,
}

impl Door {
    /// A door with all slots free.
    pub(in crate::web) fn new(limits: Limits) -> Arc<Self> {
        let (places, called_out) = (Mutex::default(), Mutex::default());
        let answered = Mutex::new(Recent::remembering(limits.acquaintance));
        Arc::new(Self { limits, places, called_out, answered, changed: Notify::new() })
    }

    /// A slot for a new connection of `address`. Where none is free, another connection is called
    /// out; there is a wait, of [`Limits::least_wait`] as a rule, if all have come just now.
    ///
    /// `None` if the client has its whole share in answers that are being made.
    pub(in crate::web) async fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let peer = Peer::of(address);
        loop {
            let changed = self.changed.notified();
            match self.try_enter(peer, Instant::now()) {
                Entry::Now(place) => {
                    return Some(Seat(Progress { door: Arc::clone(self), place }));
                }
                Entry::Never => return None,
                Entry::Later(None) => changed.await,
                Entry::Later(Some(at)) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(at) => {}
                    }
                }
            }
        }
    }

    /// Calls out the connection that has waited longest for its client, unless one is leaving, and waits
    /// until one has ended, for `patience` at most; `false` if none has.
    pub(in crate::web) async fn make_room(&self, patience: Duration) -> bool {
        let (before, end) = (self.places().len(), Instant::now() + patience);
        loop {
            let changed = self.changed.notified();
            if self.places().len() < before {
                return true;
            }
            let now = Instant::now();
            if now >= end {
                return false;
            }
            self.call_out_longest(now);
            let _ = timeout_at(end.min(now + self.limits.least_wait), changed).await;
        }
    }

    fn call_out_longest(&self, now: Instant) {
        let places = self.places();
        let mut crowd = self.crowd(&places, now);
        if crowd.inside.len() < places.len() {
            return;
        }
        crowd.inside.retain(|inside| {
            let is_at_work = matches!(inside.state.phase, Phase::Admission | Phase::Answer);
            !is_at_work && inside.state.since + self.limits.least_wait <= now
        });
        let since = |index: &usize| crowd.inside.get(*index).map(|inside| inside.state.since);
        if let Some(longest) = (0..crowd.inside.len()).min_by_key(since) {
            crowd.call_out(longest);
        }
    }

    fn try_enter(&self, peer: Peer, now: Instant) -> Entry {
        let mut places = self.places();
        let mut crowd = self.crowd(&places, now);
        crowd.call_out_overdue();
        while let Some(scope) = crowd.full_for(peer) {
            let Some(longest) = crowd.longest_waiting(scope, peer) else {
                return Entry::Later(None);
            };
            if longest.ripe_at > now {
                // The clients of others do not wait for one that has all its share at work.
                let is_far = longest.ripe_at > now + self.limits.least_wait;
                let is_own = scope == Scope::Own;
                return if is_own && is_far {
                    Entry::Never
                } else {
                    Entry::Later(Some(longest.ripe_at))
                };
            }
            crowd.call_out(longest.index);
        }
        drop(crowd);
        // Those who were called out leave a moment later.
        if places.len() >= self.limits.connections + self.limits.connections / 8 {
            return Entry::Later(None);
        }
        let place = Arc::new(Place::new(peer, now));
        places.push(Arc::clone(&place));
        Entry::Now(place)
    }

    fn places(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        lock(&self.places)
    }

    fn crowd<'a>(&'a self, places: &'a [Arc<Place>], now: Instant) -> Crowd<'a> {
        let (called_out, answered) = (lock(&self.called_out), lock(&self.answered));
        let mut held: HashMap<Peer, Held> = HashMap::new();
        let all = places.iter().map(|place| Inside { place, state: *place.state() });
        let inside: Vec<Inside<'_>> = all.filter(|inside| !inside.state.leaves).collect();
        for inside in &inside {
            let peer = inside.place.peer;
            let was_answered = || answered.of(peer, now) > 0;
            held.entry(peer)
                .or_insert_with(|| Held { places: 0, is_known: was_answered() })
                .places += 1;
        }
        Crowd { limits: &self.limits, called_out, now, inside, held }
    }
}

/// Whether there is a slot.
enum Entry {
    Now(Arc<Place>),
    /// Not before this time, or before something has changed.
    Later(Option<Instant>),
    Never,
}

impl Seat {
    /// How often [`Self::over`] looks at the clock.
    const TICK: Duration = Duration::from_secs(1);

    /// The connection is now at `phase`, and starts to wait where that is a wait.
    pub(in crate::web) fn set(&self, phase: Phase) {
        if phase == Phase::Answer {
            lock(&self.0.door.answered).add(self.peer(), Instant::now());
        }
        self.0.set(phase);
    }

    /// For whoever still makes an answer while it is sent.
    pub(in crate::web) fn progress(&self) -> Progress {
        self.0.clone()
    }

    /// `stream` whose reads and writes are seen here.
    pub(in crate::web) fn observe<S>(&self, stream: S) -> Observed<S> {
        Observed::new(stream, Arc::clone(&self.0.place))
    }

    /// Who it is.
    pub(in crate::web) fn peer(&self) -> Peer {
        self.0.place.peer
    }

    /// Comes back when the connection is to end: it was called out, or it has waited for its
    /// client as long as its phase allows. Asked after the connection itself has had its turn, so
    /// that a request which has just come is still answered.
    pub(in crate::web) async fn over(&self) {
        loop {
            let called = self.0.place.called.notified();
            let left = match self.0.place.left(&self.0.door.limits, Instant::now()) {
                Some(Duration::ZERO) => return,
                Some(left) => left.min(Self::TICK),
                None => Self::TICK,
            };
            tokio::select! {
                () = called => {}
                () = sleep(left) => {}
            }
        }
    }
}

impl Progress {
    /// See [`Seat::set`].
    pub(in crate::web) fn set(&self, phase: Phase) {
        self.place.set(phase);
        if phase != Phase::Answer {
            self.door.changed.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.door.places().retain(|place| !Arc::ptr_eq(place, &self.0.place));
        self.0.door.changed.notify_one();
    }
}

/// A connection as the door sees it.
struct Place {
    peer: Peer,
    state: Mutex<State>,
    called: Notify,
}

#[derive(Clone, Copy)]
struct State {
    phase: Phase,
    /// When the connection came.
    entered: Instant,
    /// When that began, or the client last took something of its answer.
    since: Instant,
    /// It was called out and has not gone yet.
    leaves: bool,
}

impl Place {
    fn new(peer: Peer, now: Instant) -> Self {
        let state = State { phase: Phase::Handshake, entered: now, since: now, leaves: false };
        Self { peer, state: Mutex::new(state), called: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        let mut state = self.state();
        // A whole request has come: it is not the one to leave any more.
        let leaves = state.leaves && !matches!(phase, Phase::Admission | Phase::Answer);
        *state = State { phase, since: Instant::now(), leaves, ..*state };
    }

    /// Something came from the client.
    fn heard(&self) {
        let mut state = self.state();
        if state.phase == Phase::Kept {
            state.phase = Phase::NextHead;
            state.since = Instant::now();
        }
    }

    /// The client took something.
    fn taken(&self) {
        let mut state = self.state();
        if state.phase == Phase::Kept {
            state.since = Instant::now();
        }
    }

    /// How much longer the connection may go on as it is; `None` without an end.
    fn left(&self, limits: &Limits, now: Instant) -> Option<Duration> {
        let state = *self.state();
        if state.leaves {
            return Some(Duration::ZERO);
        }
        let patience = match state.phase {
            Phase::Handshake => limits.handshake,
            Phase::FirstHead | Phase::NextHead => limits.header_read,
            Phase::Kept => limits.keep_alive,
            // The listener bounds them itself.
            Phase::Admission | Phase::Answer => return None,
        };
        Some((state.since + patience).saturating_duration_since(now))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
