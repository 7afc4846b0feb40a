//! When the layers below are checked: one round in each period of a target, of its own and never in
//! the way of a mail. The port of a side is checked by the connections that the side makes anyway; only
//! where it has made none within a period a round asks for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::ping::{self, Obstacle, Outcome};
use super::places::Places;
use super::readings::{Checks, Readings, Round};
use super::tcp;
use crate::account::Account;
use crate::account::reached::Reached;
use crate::clock::{self, next_tick};
use crate::config::{Owner, PingCheck, PortCheck, Target, TargetName};
use crate::descriptors::MOST_CHECKS;
use crate::store::Store;
use ledger::Reading;
use ledger::Side;
use mail::Fault;
use mail::trace::Trace;
use mail::wire::ConnectionContext;

/// What the rounds of all targets share: how many checks are under way at one time, and whether this
/// system permits pings.
pub struct CheckLimiter {
    places: Places,
    permission: AtomicU8,
    /// With what a check shakes hands at a port that begins with TLS.
    clients: ConnectionContext,
}

const UNKNOWN: u8 = 0;
const FORBIDDEN: u8 = 1;
const PERMITTED: u8 = 2;

impl Default for CheckLimiter {
    fn default() -> Self {
        Self {
            places: Places::new(MOST_CHECKS),
            permission: AtomicU8::new(UNKNOWN),
            clients: ConnectionContext::default(),
        }
    }
}

impl CheckLimiter {
    /// Whether this system lets the exporter ping; `None` before the first.
    pub fn may_ping(&self) -> Option<bool> {
        match self.permission.load(Ordering::Relaxed) {
            UNKNOWN => None,
            permission => Some(permission == PERMITTED),
        }
    }

    /// Notes whether the system allowed a ping; a refusal is logged once, not once a target.
    fn note_permission(&self, outcome: &Result<Outcome, Obstacle>) {
        match outcome {
            Ok(_) => self.permission.store(PERMITTED, Ordering::Relaxed),
            Err(obstacle @ Obstacle::Forbidden) => {
                if self.permission.swap(FORBIDDEN, Ordering::Relaxed) != FORBIDDEN {
                    warn!("{obstacle}; the network is not measured until then");
                }
            }
            Err(Obstacle::Socket(_) | Obstacle::Short { .. } | Obstacle::Unresolved(_)) => {}
        }
    }

    /// `None` if its turn did not come before `end`, or was over too soon.
    async fn ping(
        &self,
        target: &TargetName,
        check: &PingCheck,
        end: Instant,
    ) -> Option<Result<Outcome, Obstacle>> {
        let place = self.places.take(target, end).await?;
        let outcome = place.hold(ping::ping(check, end)).await?;
        self.note_permission(&outcome);
        Some(outcome)
    }

    async fn port(
        &self,
        target: &TargetName,
        check: &PortCheck,
        timeout: Duration,
        end: Instant,
    ) -> Reading<Result<Duration, Fault>> {
        let Some(place) = self.places.take(target, end).await else { return Reading::Unmeasured };
        let trace = Trace::new(None);
        let until = end.min(Instant::now() + timeout);
        let check = tcp::check(check, &self.clients, trace.clone(), until);
        match place.hold(check).await {
            Some(Err(fault)) if fault.shortage.is_some() => Reading::Unmeasured,
            Some(outcome) => Reading::Is(outcome),
            // A place that was taken away during the farewell leaves what was measured before.
            None => trace.handshake().map_or(Reading::Unmeasured, |took| Reading::Is(Ok(took))),
        }
    }
}

/// The rounds of one target.
pub struct Checker {
    /// The target.
    pub target: Arc<Target>,
    /// Where its readings are kept.
    pub checks: Arc<Checks>,
    /// Where its counters are kept; `None`: they end with the process.
    pub store: Option<Arc<Store>>,
    /// What it shares with the other targets.
    pub limiter: Arc<CheckLimiter>,
    /// The connections of its sides.
    pub account: Arc<Account>,
}

/// What there was before the rounds of a target began.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// From when on connections of the sides are to be expected.
    since: Instant,
    /// The newest connections of the sides, in the order of `OWNERS`, which another loop has taken in.
    taken: [Option<Instant>; 2],
}

/// The sides as the checks know them and as the account does.
const OWNERS: [(Owner, Side); 2] = [(Owner::Send, Side::Send), (Owner::Receive, Side::Receive)];

/// What one task of a round came to.
enum Answer {
    Ping(Option<Result<Outcome, Obstacle>>),
    Port(usize, Reading<Result<Duration, Fault>>),
}

/// Whether the host was asked and did not reply.
fn is_silent(outcome: &Result<Outcome, Obstacle>) -> bool {
    match outcome {
        Ok(outcome) => outcome.received == 0,
        Err(obstacle) => matches!(obstacle, Obstacle::Unresolved(_)),
    }
}

impl Checker {
    /// What there is now.
    pub fn known(&self) -> Known {
        let reached = self.account.reached().latest();
        let taken = OWNERS.map(|(_, side)| reached.of(side).map(|connection| connection.at));
        Known { since: Instant::now(), taken }
    }

    /// Begins a round at `first` and then in each period, until it is dropped. A round is over within
    /// its period: what takes longer is cut off. Between the rounds it takes in the connections of the sides
    /// but those that were `known`.
    pub async fn run(&self, first: Instant, known: Known) {
        let interval = self.target.interval;
        let reached = self.account.reached();
        let Known { since: began, mut taken } = known;
        let mut tick = first;
        loop {
            tokio::select! {
                biased;
                () = reached.changed() => self.take_in(&reached.latest(), &mut taken),
                () = sleep_until(tick) => {
                    // On the heap, as it is over soon: this loop waits for most of its time.
                    let round = Box::pin(self.round(tick + interval, &reached.latest(), began)).await;
                    let (before, after) = self.checks.record(round, self.target.passive);
                    self.persist();
                    self.log_changes(&before, &after);
                    tick = next_tick(tick, interval, Instant::now()).0;
                }
            }
        }
    }

    /// The newest connections of the sides stand for their ports; `taken` are those that do so already.
    fn take_in(&self, reached: &Reached, taken: &mut [Option<Instant>; 2]) {
        for ((owner, side), taken) in OWNERS.into_iter().zip(taken) {
            let Some(connection) = reached.of(side) else { continue };
            if taken.replace(connection.at).is_some_and(|taken| taken >= connection.at) {
                continue;
            }
            let outcome = connection.outcome.clone().map(|outcome| outcome.map_err(tcp::folded));
            let (before, after) = self.checks.reached(owner, &outcome, self.target.passive);
            self.persist();
            self.log_changes(&before, &after);
        }
    }

    /// Whether a connection of the side whose port it is was made, or is to be expected, within a period and
    /// the time that one may take.
    fn is_told_of(&self, check: &PortCheck, reached: &Reached, began: Instant) -> bool {
        let Some((_, side)) = OWNERS.into_iter().find(|(owner, _)| check.owner == Some(*owner))
        else {
            return false;
        };
        let newest = reached.of(side).map_or(began, |connection| connection.at.max(began));
        let longest = self.target.interval + self.target.send.endpoint.timeout;
        newest.elapsed() <= longest
    }

    /// Hands the store what is new.
    fn persist(&self) {
        if let Some(store) = &self.store {
            let (record, has_counted) = self.checks.take_record();
            store.record_layers(&self.target.name, record, has_counted);
        }
    }

    /// Everything at the same time, so that the layers are compared at one moment.
    async fn round(&self, end: Instant, reached: &Reached, started: Instant) -> Round {
        let began = clock::wall();
        // A task for each ends with the set, whatever becomes of the round.
        let mut tasks = JoinSet::new();
        if let Some(check) = self.target.ping.clone() {
            let (limiter, target) = (Arc::clone(&self.limiter), self.target.name.clone());
            tasks.spawn(async move { Answer::Ping(limiter.ping(&target, &check, end).await) });
        }
        let checks = self.target.port_checks();
        let is_told_of = |check: &PortCheck| self.is_told_of(check, reached, started);
        let mut ports: Vec<_> =
            checks.iter().map(|it| (!is_told_of(it)).then_some(Reading::Unmeasured)).collect();
        for (index, check) in checks.into_iter().enumerate() {
            if is_told_of(&check) {
                continue;
            }
            let (limiter, target) = (Arc::clone(&self.limiter), self.target.name.clone());
            let timeout = self.target.port_timeout;
            tasks.spawn(async move {
                Answer::Port(index, limiter.port(&target, &check, timeout, end).await)
            });
        }
        let mut ping = None;
        while let Some(answer) = tasks.join_next().await {
            match answer {
                Ok(Answer::Ping(outcome)) => ping = outcome,
                Ok(Answer::Port(index, outcome)) => {
                    if let Some(port) = ports.get_mut(index) {
                        *port = Some(outcome);
                    }
                }
                Err(error) => warn!(target = %self.target.name, %error, "a check panicked"),
            }
        }
        if self.target.passive && ping.as_ref().is_some_and(is_silent) {
            self.ask_sides(&mut ports, end).await;
        }
        Round { began, ping, ports }
    }

    /// Asks the ports of the sides of a passive target, whose host does not reply: only what they say now
    /// tells whether it is down, as it may be.
    async fn ask_sides(
        &self,
        ports: &mut [Option<Reading<Result<Duration, Fault>>>],
        end: Instant,
    ) {
        let Target { name, port_timeout, .. } = &*self.target;
        for (check, port) in self.target.port_checks().iter().zip(ports) {
            if port.is_none() {
                *port = Some(self.limiter.port(name, check, *port_timeout, end).await);
            }
        }
    }

    /// One line for each change.
    fn log_changes(&self, before: &Readings, after: &Readings) {
        let target = &self.target.name;
        for (before, after) in before.ports.iter().zip(&after.ports) {
            let name = &after.check.name;
            match (before.answers(), after.answers(), &after.fault) {
                (was, now, _) if was == now => {}
                (_, Reading::Is(false), Some(fault)) => {
                    warn!(%target, port = name, reason = %fault.reason, error = fault.message,
                        "a TCP port does not answer");
                }
                (Reading::Is(false), Reading::Is(true), _) => {
                    info!(%target, port = name, "the TCP port answers again");
                }
                _ => {}
            }
        }
        match (before.network(), after.network()) {
            (was, now) if was == now => {}
            (_, Reading::Is(false)) => warn!(%target, "the host does not reply to ping"),
            (Reading::Is(false), Reading::Is(true)) => {
                info!(%target, "the host replies to ping again");
            }
            _ => {}
        }
        if let Some(obstacle) = after.ping.as_ref().and_then(|ping| ping.obstacle.as_ref())
            // Of a shortage the log tells once for all targets.
            && !matches!(obstacle, Obstacle::Forbidden)
            && obstacle.shortage().is_none()
            && before.ping.as_ref().is_none_or(|ping| ping.obstacle.is_none())
        {
            warn!(%target, error = %obstacle, "the network could not be checked");
        }
    }
}
