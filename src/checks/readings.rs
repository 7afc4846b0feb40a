//! The newest answers of the layers below, and their counters.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::ping::{Obstacle, Outcome};
use crate::clock;
use crate::config::{Owner, PortCheck, Target};
use crate::store::LayerCounters;
use ledger::{Failures, NetworkEvidence, Reading, Reason};
use mail::Fault;

/// The readings of one target: its rounds of checks write them, the metrics and the page read them.
/// The lock is held for one of either, never across an await.
#[derive(Debug, Default)]
pub struct Checks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    readings: Readings,
    /// Also of what is not checked at present: it goes on from there.
    counters: LayerCounters,
    has_counted: bool,
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
    /// How often it did not, also of earlier processes; each with one of [`super::tcp::REASONS`].
    pub failures: Failures<Reason>,
}

impl PortReadings {
    fn new(check: PortCheck) -> Self {
        Self { check, newest: Reading::Unmeasured, fault: None, failures: Failures::default() }
    }

    /// The same with the failures that were counted under its name before.
    fn counted(self, counters: &LayerCounters) -> Self {
        let failures = counters.port_failures.get(&self.check.name).cloned().unwrap_or_default();
        Self { failures, ..self }
    }

    /// Whether the port accepted the newest connection.
    pub fn answers(&self) -> Reading<bool> {
        self.newest.map(|duration| duration.is_some())
    }

    fn record(&mut self, outcome: Reading<Result<Duration, Fault>>, is_passive: bool) {
        self.fault = None;
        self.newest = match outcome {
            Reading::Unmeasured => Reading::Unmeasured,
            Reading::NotApplicable => Reading::NotApplicable,
            Reading::Is(Ok(duration)) => Reading::Is(Some(duration)),
            Reading::Is(Err(fault)) if is_passive && fault.down => Reading::NotApplicable,
            Reading::Is(Err(fault)) => {
                self.failures.count(fault.reason, clock::now().wall);
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
            Err(Obstacle::Unresolved(fault)) if is_down && fault.shortage.is_none() => {
                self.newest = Reading::NotApplicable;
            }
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
    /// not come within the period. `None`: it was not asked, as a connection of its side tells of it.
    pub ports: Vec<Option<Reading<Result<Duration, Fault>>>>,
}

impl Checks {
    /// Those of a target that was counted before. Nothing of it is measured yet.
    pub fn counted(counters: LayerCounters) -> Self {
        Self { state: Mutex::new(State { counters, ..State::default() }) }
    }

    /// Goes by this configuration of the target from now on: what is checked as before keeps its
    /// readings, and what was checked at any time its counters.
    pub fn set_target(&self, target: &Target) {
        let mut state = self.lock();
        let State { readings, counters, .. } = &mut *state;
        let mut known = std::mem::take(&mut readings.ports);
        readings.ports = target
            .port_checks()
            .into_iter()
            .map(|check| match known.iter().position(|port| port.check == check) {
                Some(index) => known.swap_remove(index),
                None => PortReadings::new(check).counted(counters),
            })
            .collect();
        let ping = readings.ping.take();
        readings.ping = target.ping.is_some().then(|| PingReadings {
            sent: counters.ping_sent,
            received: counters.ping_received,
            ..ping.unwrap_or_default()
        });
        // What did not apply to a passive target is not measured yet for an active one.
        if !target.passive {
            readings.forget_not_applicable();
        }
    }

    /// Takes in a round that is over, and gives the readings before and after it. A passive target is
    /// down at a port that has no address or no connection, and at the network if none of its ports
    /// answers either.
    pub fn record(&self, round: Round, is_passive: bool) -> (Readings, Readings) {
        let mut state = self.lock();
        let readings = &mut state.readings;
        let before = readings.clone();
        readings.began = Some(round.began);
        for (port, outcome) in readings.ports.iter_mut().zip(round.ports) {
            if let Some(outcome) = outcome {
                port.record(outcome, is_passive);
            }
        }
        let is_down = is_passive && !readings.any_port_answers();
        match (&mut readings.ping, round.ping) {
            (Some(ping), Some(outcome)) => ping.record(outcome, is_down),
            // Its turn did not come: an old answer does not stand for a new one.
            (Some(ping), None) => ping.newest = Reading::Unmeasured,
            (None, _) => {}
        }
        let after = readings.clone();
        state.count(&after);
        (before, after)
    }

    /// Takes in the connection of a side to its port, and gives the readings before and after it.
    pub fn reached(
        &self,
        owner: Owner,
        outcome: &Reading<Result<Duration, Fault>>,
        is_passive: bool,
    ) -> (Readings, Readings) {
        let mut state = self.lock();
        let before = state.readings.clone();
        let ports = state.readings.ports.iter_mut();
        for port in ports.filter(|port| port.check.owner == Some(owner)) {
            port.record(outcome.clone(), is_passive);
        }
        let after = state.readings.clone();
        state.count(&after);
        (before, after)
    }

    /// Everything that is known now.
    pub fn readings(&self) -> Readings {
        self.lock().readings.clone()
    }

    /// The counters, if they have changed since they were last taken.
    pub fn take_counters(&self) -> Option<LayerCounters> {
        let mut state = self.lock();
        std::mem::take(&mut state.has_counted).then(|| state.counters.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, readings: &Readings) {
        let counters = &mut self.counters;
        let before = counters.clone();
        if let Some(ping) = &readings.ping {
            (counters.ping_sent, counters.ping_received) = (ping.sent, ping.received);
        }
        for port in readings.ports.iter().filter(|port| port.failures.total() > 0) {
            counters.port_failures.insert(port.check.name.clone(), port.failures.clone());
        }
        self.has_counted |= *counters != before;
    }
}

impl Readings {
    /// What it says of the layers below the mail service.
    pub fn evidence(&self) -> NetworkEvidence {
        NetworkEvidence {
            ping: self.network(),
            tcp: self.tcp(),
            any_port_answers: self.any_port_answers(),
            round_began: self.began,
        }
    }

    /// Whether the host replies to a ping.
    pub fn network(&self) -> Reading<bool> {
        self.ping.as_ref().map_or(Reading::Unmeasured, PingReadings::answers)
    }

    /// Whether any port accepted its newest connection.
    fn any_port_answers(&self) -> bool {
        self.ports.iter().any(|port| port.answers() == Reading::Is(true))
    }

    /// Whether every port answers: one that does not decides, then one that does not apply, then one
    /// that was not measured.
    pub fn tcp(&self) -> Reading<bool> {
        if self.ports.is_empty() {
            return Reading::Unmeasured;
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;
    use ledger::CauseCount;

    fn target(checks: &str) -> Arc<Target> {
        let yaml = format!(
            "targets: [{{name: a, host: 127.0.0.1, from: a@b.example, to: a@b.example, receive: \
             {{protocol: pop3, username: u, password: p}}, {checks}}}]\n"
        );
        let config = Config::parse(&yaml, Path::new("test.yml")).unwrap();
        Arc::clone(config.targets.values().next().unwrap())
    }

    /// The failures of a port, whatever their reason.
    fn failures(checks: &Checks, port: &str) -> Option<u64> {
        let readings = checks.readings();
        let port = readings.ports.iter().find(|it| it.check.name == port)?;
        Some(port.failures.total())
    }

    #[test]
    fn what_is_checked_again_goes_on_counting() {
        let began = SystemTime::UNIX_EPOCH;
        let refused = CauseCount { cause: Reason::Refused, count: 4, last: began };
        let before = LayerCounters {
            ping_sent: 30,
            ping_received: 20,
            port_failures: [("web".to_owned(), Failures::counted([refused]))].into(),
        };
        let checks = Checks::counted(before);
        checks.set_target(&target("ping: true, ports: ['web:80']"));
        assert_eq!(checks.take_counters(), None, "nothing is new");
        let refused = Reading::Is(Err(Fault::down(Reason::Refused, "refused")));
        let outcome = Outcome { sent: 3, received: 1, round_trips: None };
        let ports = vec![None, None, Some(refused)];
        checks.record(Round { began, ping: Some(Ok(outcome)), ports }, false);
        let counters = checks.take_counters().unwrap();
        assert_eq!((counters.ping_sent, counters.ping_received), (33, 21));
        let newest = counters.port_failures["web"].newest().unwrap();
        assert_eq!((newest.cause, newest.count), (Reason::Refused, 5));
        assert!(newest.last > began, "it was just now");
        assert_eq!(checks.take_counters(), None);
        checks.set_target(&target("ports: ['web:81']"));
        assert_eq!(failures(&checks, "web"), Some(5), "at another port");
        checks.set_target(&target("ports: []"));
        assert_eq!(failures(&checks, "web"), None);
        checks.set_target(&target("ping: true, ports: ['web:80']"));
        assert_eq!(failures(&checks, "web"), Some(5));
        assert_eq!(checks.readings().ping.map(|it| (it.sent, it.received)), Some((33, 21)));
    }

    #[test]
    fn without_checks_of_ports_there_are_no_readings_of_them() {
        let checks = Checks::default();
        checks.set_target(&target("ports: ['web:80']"));
        assert_eq!(checks.readings().ports.len(), 3);
        checks.set_target(&target("ping: true, port_checks: false"));
        assert!(checks.readings().ports.is_empty());
        assert_eq!(checks.readings().tcp(), Reading::Unmeasured, "nothing was asked");
    }

    #[test]
    fn the_connection_of_a_side_tells_of_its_port_and_of_no_other() {
        let checks = Checks::default();
        checks.set_target(&target("ports: ['pop:127.0.0.1:110', 'web:80']"));
        let refused = Reading::Is(Err(Fault::down(Reason::Refused, "refused")));
        let (before, after) = checks.reached(Owner::Receive, &refused, false);
        let answers = |readings: &Readings| -> Vec<Reading<bool>> {
            readings.ports.iter().map(PortReadings::answers).collect()
        };
        assert_eq!(answers(&before), [Reading::Unmeasured; 3]);
        let [send, pop, web] = [Reading::Unmeasured, Reading::Is(false), Reading::Unmeasured];
        assert_eq!(answers(&after), [send, pop, web], "under the name that it has in the list");
        assert_eq!(failures(&checks, "pop"), Some(1));
        // A round that did not ask leaves it as it is.
        let took = Some(Reading::Is(Ok(Duration::from_millis(1))));
        let ports = vec![took.clone(), None, took];
        checks.record(Round { began: SystemTime::UNIX_EPOCH, ping: None, ports }, false);
        assert_eq!(
            answers(&checks.readings()),
            [Reading::Is(true), Reading::Is(false), Reading::Is(true)]
        );
    }
}
