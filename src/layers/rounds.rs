//! When the layers below are checked: one round in each period of a target, of its own and never in
//! the way of a mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::ping::{self, Obstacle, Outcome};
use super::places::Places;
use super::readings::{Checks, Readings, Round};
use super::tcp;
use crate::config::{PingCheck, PortCheck, Target, TargetName};
use crate::mail::Fault;
use crate::store::Store;
use crate::target::ledger::Reading;
use crate::target::send::next_tick;

/// How many pings and ports are checked at one time, over all targets.
pub const MOST_AT_ONCE: usize = 256;

/// What the rounds of all targets share.
#[derive(Debug)]
pub struct Bench {
    places: Places,
    permission: AtomicU8,
}

const UNKNOWN: u8 = 0;
const FORBIDDEN: u8 = 1;
const PERMITTED: u8 = 2;

impl Default for Bench {
    fn default() -> Self {
        Self { places: Places::new(MOST_AT_ONCE), permission: AtomicU8::new(UNKNOWN) }
    }
}

impl Bench {
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
                    warn!("{obstacle}; until then the network is not measured");
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
        let check = tcp::check(check, end.min(Instant::now() + timeout));
        match place.hold(check).await {
            Some(Err(fault)) if fault.shortage.is_some() => Reading::Unmeasured,
            Some(outcome) => Reading::Is(outcome),
            None => Reading::Unmeasured,
        }
    }
}

/// The rounds of one target.
#[derive(Debug)]
pub struct Checker {
    /// The target.
    pub target: Arc<Target>,
    /// Where its readings are kept.
    pub checks: Arc<Checks>,
    /// Where its counters are kept; `None`: they end with the process.
    pub store: Option<Arc<Store>>,
    /// What it shares with the other targets.
    pub bench: Arc<Bench>,
}

/// What one task of a round came to.
enum Answer {
    Ping(Option<Result<Outcome, Obstacle>>),
    Port(usize, Reading<Result<Duration, Fault>>),
}

impl Checker {
    /// Begins a round at `first` and then in each period, until it is dropped. A round is over within
    /// its period: what takes longer is cut off.
    pub async fn run(&self, first: Instant) {
        let interval = self.target.interval;
        let mut tick = first;
        loop {
            sleep_until(tick).await;
            let round = self.round(tick + interval).await;
            let (before, after) = self.checks.record(round, self.target.passive);
            self.keep();
            self.log_changes(&before, &after);
            tick = next_tick(tick, interval, Instant::now()).0;
        }
    }

    /// Gives the store the counters, if they have changed.
    fn keep(&self) {
        if let Some(store) = &self.store
            && let Some(counters) = self.checks.take_counters()
        {
            store.record_layers(&self.target.name, counters);
        }
    }

    /// Everything at the same time, so that the layers are compared at one moment.
    async fn round(&self, end: Instant) -> Round {
        let began = SystemTime::now();
        // A task for each ends with the set, whatever becomes of the round.
        let mut tasks = JoinSet::new();
        if let Some(check) = self.target.ping.clone() {
            let (bench, target) = (Arc::clone(&self.bench), self.target.name.clone());
            tasks.spawn(async move { Answer::Ping(bench.ping(&target, &check, end).await) });
        }
        let checks = self.target.port_checks();
        let mut ports = vec![Reading::Unmeasured; checks.len()];
        for (index, check) in checks.into_iter().enumerate() {
            let (bench, target) = (Arc::clone(&self.bench), self.target.name.clone());
            let timeout = self.target.port_timeout;
            tasks.spawn(async move {
                Answer::Port(index, bench.port(&target, &check, timeout, end).await)
            });
        }
        let mut ping = None;
        while let Some(answer) = tasks.join_next().await {
            match answer {
                Ok(Answer::Ping(outcome)) => ping = outcome,
                Ok(Answer::Port(index, outcome)) => {
                    if let Some(port) = ports.get_mut(index) {
                        *port = outcome;
                    }
                }
                Err(error) => warn!(target = %self.target.name, %error, "a check broke off"),
            }
        }
        Round { began, ping, ports }
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
