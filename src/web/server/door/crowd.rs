//! All connections at one moment: where there is no room, and who is called out to make some.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use tokio::time::Instant;

use super::{Limits, Peer, Phase, Place, Recent, State};

/// Among whom the one is sought that has to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The connections of the client that knocks.
    Own,
    /// Those that have not asked for anything yet.
    New,
    All,
}

/// All connections that are not about to leave, at one moment.
pub(super) struct Crowd<'a> {
    pub(super) limits: &'a Limits,
    pub(super) called_out: MutexGuard<'a, Recent>,
    pub(super) now: Instant,
    pub(super) inside: Vec<Inside<'a>>,
    /// What each client had at that moment.
    pub(super) held: HashMap<Peer, Held>,
}

/// What a client has.
pub(super) struct Held {
    pub(super) places: usize,
    /// It was answered lately.
    pub(super) is_known: bool,
}

pub(super) struct Inside<'a> {
    pub(super) place: &'a Arc<Place>,
    pub(super) state: State,
}

/// The connection to call out.
pub(super) struct Longest {
    pub(super) index: usize,
    /// From when on it may be.
    pub(super) ripe_at: Instant,
}

impl Crowd<'_> {
    fn new_ones(&self) -> usize {
        self.inside.iter().filter(|inside| inside.state.phase.is_new()).count()
    }

    /// Where there is no room for one more of `peer`.
    pub(super) fn full_for(&self, peer: Peer) -> Option<Scope> {
        let own = self.inside.iter().filter(|inside| inside.place.peer == peer).count();
        if own >= self.limits.per_peer {
            Some(Scope::Own)
        } else if self.inside.len() >= self.limits.connections {
            Some(Scope::All)
        } else if self.new_ones() >= self.limits.new_connections {
            Some(Scope::New)
        } else {
            None
        }
    }

    /// Calls out those who have waited longer than is allowed while slots are scarce.
    pub(super) fn call_out_overdue(&mut self) {
        let is_scarce = |taken: usize, all: usize| taken * 4 >= all * 3;
        let all = is_scarce(self.inside.len(), self.limits.connections);
        let new = all || is_scarce(self.new_ones(), self.limits.new_connections);
        let is_overdue = |inside: &Inside<'_>| {
            let is_meant = if inside.state.phase.is_new() { new } else { all };
            is_meant
                && !self.is_welcome(inside)
                && inside.state.phase != Phase::Answer
                && inside.state.since + self.limits.scarce_wait <= self.now
        };
        let overdue: Vec<usize> = (0..self.inside.len())
            .rev()
            .filter(|index| self.inside.get(*index).is_some_and(is_overdue))
            .collect();
        for index in overdue {
            self.call_out(index);
        }
    }

    /// Whether it is about to ask, as one of the few connections of a client that was answered lately.
    fn is_welcome(&self, inside: &Inside<'_>) -> bool {
        let held = self.held.get(&inside.place.peer);
        inside.state.phase.is_new()
            && held
                .is_some_and(|held| held.is_known && held.places <= self.limits.welcome_connections)
    }

    /// The one that may be called out first: of strangers before clients that are welcome, then of
    /// the client that holds most in `scope` and was called out most, whatever waits longest. `None` if there is nobody.
    pub(super) fn longest_waiting(&self, scope: Scope, peer: Peer) -> Option<Longest> {
        let is_meant = |inside: &&Inside<'_>| match scope {
            Scope::Own => inside.place.peer == peer,
            Scope::New => inside.state.phase.is_new(),
            Scope::All => true,
        };
        let mut loads: HashMap<Peer, u32> = HashMap::new();
        for inside in self.inside.iter().filter(is_meant) {
            let peer = inside.place.peer;
            *loads.entry(peer).or_insert_with(|| self.called_out.of(peer, self.now)) += 1;
        }
        let order = |inside: &Inside<'_>| {
            let ripe_at = self.ripe_at(inside);
            let load = loads.get(&inside.place.peer).copied().unwrap_or_default();
            let first = if ripe_at <= self.now { Reverse(load) } else { Reverse(0) };
            (self.is_welcome(inside), first, ripe_at)
        };
        let all = self.inside.iter().enumerate().filter(|(_, inside)| is_meant(inside));
        let (index, inside) = all.min_by_key(|(_, inside)| order(inside))?;
        Some(Longest { index, ripe_at: self.ripe_at(inside) })
    }

    /// From when on a connection may be called out.
    fn ripe_at(&self, inside: &Inside<'_>) -> Instant {
        let State { phase, entered, since, .. } = inside.state;
        match phase {
            Phase::Answer => since + self.limits.scarce_wait,
            // A handshake that is done is no reason to stay longer than one that needs its time.
            _ if phase.is_new() => entered + self.limits.least_wait,
            _ => since + self.limits.least_wait,
        }
    }

    pub(super) fn call_out(&mut self, index: usize) {
        let inside = self.inside.swap_remove(index);
        inside.leave();
        self.called_out.add(inside.place.peer, self.now);
    }
}

impl Inside<'_> {
    fn leave(&self) {
        let mut state = self.place.state();
        // Meanwhile it may have got what it waited for.
        if state.phase == self.state.phase && state.since == self.state.since {
            state.leaves = true;
            self.place.called.notify_one();
        }
    }
}
