//! The newest answers of the layers below, and their counters.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::ping::{Obstacle, Outcome};
use super::tcp;
use crate::config::{PortCheck, Target};
use crate::mail::{Fault, Reason};
use crate::target::ledger::Reading;

/// The readings of one target: its rounds of checks write them, the metrics and the page read them.
/// The lock is held for one of either, never across an await.
#[derive(Debug, Default)]
pub struct Checks {
    readings: Mutex<Readings>,
}

/// What is known of the layers below a target's mail service.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// When the newest round that is over began.
    pub began: Option<SystemTime>,
    /// The network; `None` if it is not checked.
    pub ping: Option<PingReadings>,
    /// The TCP ports, in the order of [`Target::port_checks`].
    pub ports: Vec<PortReadings>,
}

/// What is known of the network.
#[derive(Debug, Clone, Default)]
pub struct PingReadings {
    /// What the newest ping came to.
    pub newest: Reading<Outcome>,
    /// Why the newest one could not be made.
    pub obstacle: Option<Obstacle>,
    /// Requests sent.
    pub sent: u64,
    /// Replies received in time.
    pub received: u64,
}

/// What is known of a TCP port.
#[derive(Debug, Clone)]
pub struct PortReadings {
    /// Which port it is.
    pub check: PortCheck,
    /// How long the newest connection took to come about; [`Reading::Is`]`(None)`: it did not.
    pub newest: Reading<Option<Duration>>,
    /// Why the newest connection did not come about.
    pub fault: Option<Fault>,
    failures: [u64; tcp::REASONS.len()],
}

impl PortReadings {
    fn new(check: PortCheck) -> Self {
        Self { check, newest: Reading::Unmeasured, fault: None, failures: Default::default() }
    }

    /// Whether the port accepted the newest connection.
    pub fn answers(&self) -> Reading<bool> {
        self.newest.map(|duration| duration.is_some())
    }

    /// How often it did not, by reason, in the order of [`tcp::REASONS`].
    pub fn failures(&self) -> impl Iterator<Item = (Reason, u64)> {
        tcp::REASONS.into_iter().zip(self.failures)
    }

    fn record(&mut self, outcome: Reading<Result<Duration, Fault>>, is_passive: bool) {
        self.fault = None;
        self.newest = match outcome {
            Reading::Unmeasured => Reading::Unmeasured,
            Reading::NotApplicable => Reading::NotApplicable,
            Reading::Is(Ok(duration)) => Reading::Is(Some(duration)),
            Reading::Is(Err(fault)) if is_passive && fault.down => Reading::NotApplicable,
            Reading::Is(Err(fault)) => {
                let index = tcp::REASONS.iter().position(|reason| *reason == fault.reason);
                if let Some(count) = index.and_then(|index| self.failures.get_mut(index)) {
                    *count += 1;
                }
                self.fault = Some(fault);
                Reading::Is(None)
            }
        };
    }
}

impl PingReadings {
    /// Whether the host replied to the newest ping at all.
    pub fn answers(&self) -> Reading<bool> {
        self.newest.map(|outcome| outcome.received > 0)
    }

    fn record(&mut self, outcome: Result<Outcome, Obstacle>, is_down: bool) {
        self.obstacle = None;
        match outcome {
            Ok(outcome) => {
                self.sent += u64::from(outcome.sent);
                self.received += u64::from(outcome.received);
                let is_silent = outcome.received == 0;
                self.newest = match outcome.sent {
                    _ if is_down && is_silent => Reading::NotApplicable,
                    // The round was over before the first request.
                    0 => Reading::Unmeasured,
                    _ => Reading::Is(outcome),
                };
            }
            Err(Obstacle::Unresolved(_)) if is_down => self.newest = Reading::NotApplicable,
            Err(obstacle) => {
                self.newest = Reading::Unmeasured;
                self.obstacle = Some(obstacle);
            }
        }
    }
}

/// What one round of checks came to.
#[derive(Debug)]
pub struct Round {
    /// When it began.
    pub began: SystemTime,
    /// The ping, if one was made.
    pub ping: Option<Result<Outcome, Obstacle>>,
    /// Every port, in the order of [`Target::port_checks`]; [`Reading::Unmeasured`] if its turn did
    /// not come within the period.
    pub ports: Vec<Reading<Result<Duration, Fault>>>,
}

impl Checks {
    /// Goes by this configuration of the target from now on: what is checked as before keeps its
    /// readings.
    pub fn set_target(&self, target: &Target) {
        let mut readings = self.lock();
        let mut known = std::mem::take(&mut readings.ports);
        readings.ports = target
            .port_checks()
            .into_iter()
            .map(|check| match known.iter().position(|port| port.check == check) {
                Some(index) => known.swap_remove(index),
                None => PortReadings::new(check),
            })
            .collect();
        readings.ping = target.ping.is_some().then(|| readings.ping.take().unwrap_or_default());
        // What did not apply to a passive target is not measured yet for an active one.
        if !target.passive {
            readings.forget_not_applicable();
        }
    }

    /// Takes in a round that is over, and gives the readings before and after it. A passive target is
    /// down at a port that has no address or no connection, and at the network if none of its ports
    /// answers either.
    pub fn record(&self, round: Round, is_passive: bool) -> (Readings, Readings) {
        let mut readings = self.lock();
        let before = readings.clone();
        readings.began = Some(round.began);
        for (port, outcome) in readings.ports.iter_mut().zip(round.ports) {
            port.record(outcome, is_passive);
        }
        let is_down = is_passive && !readings.any_port_answers();
        match (&mut readings.ping, round.ping) {
            (Some(ping), Some(outcome)) => ping.record(outcome, is_down),
            // Its turn did not come: an old answer does not stand for a new one.
            (Some(ping), None) => ping.newest = Reading::Unmeasured,
            (None, _) => {}
        }
        (before, readings.clone())
    }

    /// Everything that is known now.
    pub fn readings(&self) -> Readings {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readings {
    /// Whether the host replies to a ping.
    pub fn network(&self) -> Reading<bool> {
        self.ping.as_ref().map_or(Reading::Unmeasured, PingReadings::answers)
    }

    /// Whether any port accepted its newest connection.
    pub fn any_port_answers(&self) -> bool {
        self.ports.iter().any(|port| port.answers() == Reading::Is(true))
    }

    /// Whether every port answers: one that does not decides, then one that does not apply, then one
    /// that was not measured.
    pub fn tcp(&self) -> Reading<bool> {
        let worst = [Reading::Is(false), Reading::NotApplicable, Reading::Unmeasured];
        let has = |state: &Reading<bool>| self.ports.iter().any(|port| port.answers() == *state);
        worst.into_iter().find(has).unwrap_or(Reading::Is(true))
    }

    fn forget_not_applicable(&mut self) {
        for port in &mut self.ports {
            if port.newest == Reading::NotApplicable {
                port.newest = Reading::Unmeasured;
            }
        }
        if let Some(ping) = &mut self.ping
            && ping.newest == Reading::NotApplicable
        {
            ping.newest = Reading::Unmeasured;
        }
    }
}
