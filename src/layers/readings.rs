//! The newest answers of the layers below, and the failures of their ports. An answer stands until the next one; that of
//! an earlier process no longer than a period, the shorter of that process' and this one's, and the time
//! that a round may take.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::ping::{Obstacle, Outcome};
use crate::clock;
use crate::config::{Owner, PortCheck, Target};
use crate::store::{KeptReading, LayerRecord, PortFailures};
use ledger::{Failures, LineInstant, Moment, NetworkEvidence, Reading, Reason, Shared};
use mail::Fault;

/// The readings of one target: its rounds of checks write them, the metrics and the page read them.
/// The lock is held for one of either, never across an await.
#[derive(Debug, Default)]
pub struct Checks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    readings: Shared<Readings>,
    /// Also of ports that are not checked at present: they go on from there.
    failures: PortFailures,
    has_counted: bool,
    /// The test period of the target.
    interval: Option<Duration>,
    /// Of an earlier process, until it is known what is checked.
    kept: Option<Box<LayerRecord>>,
}

/// How long an answer of an earlier process stands after it was given: a round begins in each period and
/// may take that long.
fn stands(interval: Duration) -> Duration {
    /// Turns of the loops, and a store that is slow to write.
    const SLACK: Duration = Duration::from_secs(2);
    interval * 2 + SLACK
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
    /// Which host is asked.
    pub host: String,
    /// What the newest ping came to.
    pub newest: Reading<Outcome>,
    /// When that was.
    pub at: Option<SystemTime>,
    /// How long it stands, if an earlier process made it.
    stands_until: Option<LineInstant>,
    /// Why the newest one could not be made.
    pub obstacle: Option<Obstacle>,
}

/// What is known of a TCP port.
#[derive(Debug, Clone)]
pub struct PortReadings {
    /// Which port it is.
    pub check: PortCheck,
    /// How long the newest connection took to come about; [`Reading::Is`]`(None)`: it did not.
    pub newest: Reading<Option<Duration>>,
    /// When that was.
    pub at: Option<SystemTime>,
    /// How long it stands, if an earlier process made it.
    stands_until: Option<LineInstant>,
    /// Why the newest connection did not come about.
    pub fault: Option<Fault>,
    /// How often it did not, also of earlier processes; each with one of [`super::tcp::REASONS`].
    pub failures: Failures<Reason>,
}

impl PortReadings {
    fn new(check: PortCheck) -> Self {
        let (newest, failures) = (Reading::Unmeasured, Failures::default());
        Self { check, newest, at: None, stands_until: None, fault: None, failures }
    }

    /// The same with the failures that were counted under its name before.
    fn counted(self, failures: &PortFailures) -> Self {
        let failures = failures.get(&self.check.name).cloned().unwrap_or_default();
        Self { failures, ..self }
    }

    fn place(&self) -> String {
        format!("{}:{}", self.check.host, self.check.port)
    }

    /// The same with what an earlier process has kept of it, as far as it stands.
    fn restored(self, kept: Option<KeptReading<Result<Duration, Fault>>>, until: Until) -> Self {
        let Some((kept, until)) = until.of(kept, &self.place()) else { return self };
        let (at, stands_until) = (Some(kept.at), Some(until));
        let (newest, fault) = match kept.reading {
            Reading::Is(Err(fault)) => (Reading::Is(None), Some(fault)),
            Reading::Is(Ok(took)) => (Reading::Is(Some(took)), None),
            Reading::NotApplicable => (Reading::NotApplicable, None),
            Reading::Unmeasured => (Reading::Unmeasured, None),
        };
        Self { newest, fault, at, stands_until, ..self }
    }

    /// As it is kept; `None` before the first.
    fn kept(&self) -> Option<KeptReading<Result<Duration, Fault>>> {
        let reading = match (self.newest, &self.fault) {
            (Reading::Is(None), Some(fault)) => Reading::Is(Err(fault.clone())),
            (Reading::Is(Some(took)), _) => Reading::Is(Ok(took)),
            (Reading::NotApplicable, _) => Reading::NotApplicable,
            (Reading::Is(None) | Reading::Unmeasured, _) => Reading::Unmeasured,
        };
        Some(KeptReading { place: self.place(), at: self.at?, reading })
    }

    /// Whether the port accepted the newest connection.
    pub fn answers(&self) -> Reading<bool> {
        self.newest.map(|duration| duration.is_some())
    }

    fn record(&mut self, outcome: Reading<Result<Duration, Fault>>, is_passive: bool) {
        (self.at, self.stands_until, self.fault) = (Some(clock::wall()), None, None);
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

    fn new(host: &str) -> Self {
        Self { host: host.to_owned(), ..Self::default() }
    }

    /// The same with what an earlier process has kept of it, as far as it stands.
    fn restored(self, kept: Option<KeptReading<Outcome>>, until: Until) -> Self {
        let Some((kept, until)) = until.of(kept, &self.host) else { return self };
        Self { newest: kept.reading, at: Some(kept.at), stands_until: Some(until), ..self }
    }

    /// As it is kept; `None` before the first.
    fn kept(&self) -> Option<KeptReading<Outcome>> {
        Some(KeptReading { place: self.host.clone(), at: self.at?, reading: self.newest })
    }

    fn record(&mut self, outcome: Result<Outcome, Obstacle>, is_down: bool) {
        (self.at, self.stands_until, self.obstacle) = (Some(clock::wall()), None, None);
        match outcome {
            Ok(outcome) => {
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

/// Which answers of an earlier process stand now, and how long.
#[derive(Clone, Copy)]
struct Until {
    interval: Duration,
    now: Moment,
}

impl Until {
    /// The answer, if it is of this place and stands, and until when; one with a date to come is of an
    /// unknown age.
    fn of<T>(
        self,
        kept: Option<KeptReading<T>>,
        place: &str,
    ) -> Option<(KeptReading<T>, LineInstant)> {
        let kept = kept.filter(|kept| kept.place == place)?;
        let until = self.now.moment_of(kept.at)? + stands(self.interval);
        (until > self.now.instant).then_some((kept, until))
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
    /// Those of a target that an earlier process has checked.
    pub fn restored(kept: LayerRecord) -> Self {
        let failures = kept.port_failures.clone();
        let kept = (kept != LayerRecord::default()).then(|| Box::new(kept));
        Self { state: Mutex::new(State { failures, kept, ..State::default() }) }
    }

    /// Goes by this configuration of the target from now on: what is checked as before keeps its
    /// readings, and a port that was checked at any time its failures.
    pub fn set_target(&self, target: &Target) {
        let mut state = self.lock();
        state.interval = Some(target.interval);
        let State { readings, failures, kept, .. } = &mut *state;
        let readings: &mut Readings = readings;
        let mut kept = kept.take().map(|kept| *kept).unwrap_or_default();
        let interval = kept.interval.unwrap_or(target.interval).min(target.interval);
        let until = Until { interval, now: clock::now() };
        let stands = |began: &SystemTime| until.now.moment_of(*began).is_some();
        readings.began = readings.began.or(kept.began.filter(stands));
        let mut known = std::mem::take(&mut readings.ports);
        readings.ports = target
            .port_checks()
            .into_iter()
            .map(|check| match known.iter().position(|port| port.check == check) {
                Some(index) => known.swap_remove(index),
                None => {
                    let kept = kept.ports.remove(&check.name);
                    PortReadings::new(check).counted(failures).restored(kept, until)
                }
            })
            .collect();
        let ping = readings.ping.take();
        readings.ping = target.ping.as_ref().map(|check| {
            let known = ping.filter(|ping| ping.host == check.host);
            let ping = known.unwrap_or_else(|| PingReadings::new(&check.host));
            ping.restored(kept.ping.take(), until)
        });
        // What did not apply to a passive target is not measured yet for an active one.
        if !target.passive {
            readings.forget_not_applicable();
        }
    }

    /// Takes in a round that is over, and gives the readings before and after it. A passive target is
    /// down at a port that has no address or no connection, and at the network if none of its ports
    /// answers either.
    pub fn record(&self, round: Round, is_passive: bool) -> (Shared<Readings>, Shared<Readings>) {
        let mut state = self.lock();
        let before = state.readings_now().clone();
        let readings: &mut Readings = &mut state.readings;
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
            (Some(ping), None) => {
                (ping.newest, ping.at) = (Reading::Unmeasured, Some(clock::wall()));
            }
            (None, _) => {}
        }
        let after = state.readings.clone();
        state.count(&after);
        (before, after)
    }

    /// Takes in the connection of a side to its port, and gives the readings before and after it.
    pub fn reached(
        &self,
        owner: Owner,
        outcome: &Reading<Result<Duration, Fault>>,
        is_passive: bool,
    ) -> (Shared<Readings>, Shared<Readings>) {
        let mut state = self.lock();
        let before = state.readings_now().clone();
        let ports = state.readings.ports.iter_mut();
        for port in ports.filter(|port| port.check.owner == Some(owner)) {
            port.record(outcome.clone(), is_passive);
        }
        let after = state.readings.clone();
        state.count(&after);
        (before, after)
    }

    /// Everything that is known now.
    pub fn readings(&self) -> Shared<Readings> {
        self.lock().readings_now().clone()
    }

    /// What is to be kept now, and whether something was counted since this was last asked.
    pub fn take_record(&self) -> (LayerRecord, bool) {
        let mut state = self.lock();
        let has_counted = std::mem::take(&mut state.has_counted);
        let State { readings, failures, interval, .. } = &*state;
        let ports = readings.ports.iter();
        let record = LayerRecord {
            port_failures: failures.clone(),
            began: readings.began,
            interval: *interval,
            ping: readings.ping.as_ref().and_then(PingReadings::kept),
            ports: ports.filter_map(|it| Some((it.check.name.clone(), it.kept()?))).collect(),
        };
        (record, has_counted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The readings without those of an earlier process that are too old to stand, and without a failure
    /// that is dated in the future, as those of before the clock was set back.
    fn readings_now(&mut self) -> &Shared<Readings> {
        let now = clock::now();
        for failures in self.failures.values_mut() {
            failures.are_over(now.wall);
        }
        // Who has them in common with others does not change them for nothing.
        if self.readings.are_outlived(now) {
            self.readings.outlive(now);
        }
        &self.readings
    }

    fn count(&mut self, readings: &Readings) {
        let before = self.failures.clone();
        for port in readings.ports.iter().filter(|port| port.failures.total() > 0) {
            self.failures.insert(port.check.name.clone(), port.failures.clone());
        }
        self.has_counted |= self.failures != before;
    }
}

impl Readings {
    /// Whether [`Self::outlive`] changes something.
    fn are_outlived(&self, now: Moment) -> bool {
        let of_ping = self.ping.as_ref().is_some_and(|ping| is_over(ping.stands_until, now));
        of_ping
            || self
                .ports
                .iter()
                .any(|port| is_over(port.stands_until, now) || port.failures.lie_ahead(now.wall))
    }

    /// Forgets the answers that stand no more, and dates what is to come as of now.
    fn outlive(&mut self, now: Moment) {
        for port in &mut self.ports {
            port.failures.are_over(now.wall);
            if is_over(port.stands_until, now) {
                (port.newest, port.fault, port.stands_until) = (Reading::Unmeasured, None, None);
            }
        }
        if let Some(ping) = &mut self.ping
            && is_over(ping.stands_until, now)
        {
            (ping.newest, ping.stands_until) = (Reading::Unmeasured, None);
        }
    }

    /// Whether something was never asked that only a round asks.
    pub fn lacks_answers(&self) -> bool {
        let lacks_ping = self.ping.as_ref().is_some_and(|ping| ping.at.is_none());
        let asked_by_rounds = |port: &&PortReadings| port.check.owner.is_none();
        lacks_ping || self.ports.iter().filter(asked_by_rounds).any(|port| port.at.is_none())
    }

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

fn is_over(until: Option<LineInstant>, now: Moment) -> bool {
    until.is_some_and(|until| until <= now.instant)
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
        let port_failures = [("web".to_owned(), Failures::counted([refused]))].into();
        let checks = Checks::restored(LayerRecord { port_failures, ..LayerRecord::default() });
        checks.set_target(&target("ping: true, ports: ['web:80']"));
        assert!(!checks.take_record().1, "nothing is new");
        let refused = Reading::Is(Err(Fault::down(Reason::Refused, "refused")));
        let outcome = Outcome { sent: 3, received: 1, round_trips: None };
        let ports = vec![None, None, Some(refused)];
        checks.record(Round { began, ping: Some(Ok(outcome)), ports }, false);
        let (LayerRecord { port_failures, .. }, has_counted) = checks.take_record();
        assert!(has_counted);
        let newest = port_failures["web"].newest().unwrap();
        assert_eq!((newest.cause, newest.count), (Reason::Refused, 5));
        assert!(newest.last > began, "it was just now");
        assert!(!checks.take_record().1);
        checks.set_target(&target("ports: ['web:81']"));
        assert_eq!(failures(&checks, "web"), Some(5), "at another port");
        checks.set_target(&target("ports: []"));
        assert_eq!(failures(&checks, "web"), None);
        checks.set_target(&target("ping: true, ports: ['web:80']"));
        assert_eq!(failures(&checks, "web"), Some(5));
    }

    #[test]
    fn a_failure_of_before_the_clock_was_set_back_is_of_now_and_ages() {
        let now = SystemTime::now();
        let ahead = now + Duration::from_secs(3600);
        let refused = CauseCount { cause: Reason::Refused, count: 4, last: ahead };
        let ports = ["web", "gone"].map(|port| (port.to_owned(), Failures::counted([refused])));
        let port_failures = ports.into();
        let checks = Checks::restored(LayerRecord { port_failures, ..LayerRecord::default() });
        checks.set_target(&target("ports: ['web:80']"));
        let last = |failures: &Failures<Reason>| failures.newest().unwrap().last;
        let shown = last(&checks.readings().ports[2].failures);
        assert!((now..ahead).contains(&shown), "{shown:?}");
        assert_eq!(last(&checks.readings().ports[2].failures), shown, "it ages");
        let timeout = Reading::Is(Err(Fault::down(Reason::Timeout, "timeout")));
        let round = Round { began: now, ping: None, ports: vec![None, None, Some(timeout)] };
        checks.record(round, false);
        let kept = checks.take_record().0.port_failures;
        assert_eq!(kept["web"].newest().unwrap().cause, Reason::Timeout);
        assert!(kept.values().all(|failures| last(failures) < ahead), "also what is not checked");
    }

    /// Readings of a ping and of the three ports, as old as that.
    fn kept(age: Duration) -> LayerRecord {
        let checks = Checks::default();
        checks.set_target(&target("interval: 60s, ping: true, ports: ['web:80']"));
        let refused = Reading::Is(Err(Fault::down(Reason::Refused, "refused")));
        let took = Reading::Is(Ok(Duration::from_millis(1)));
        let outcome = Outcome { sent: 3, received: 3, round_trips: None };
        let ports = vec![Some(took.clone()), Some(took), Some(refused)];
        let began = SystemTime::now() - age;
        checks.record(Round { began, ping: Some(Ok(outcome)), ports }, false);
        let mut record = checks.take_record().0;
        let older = |at: &mut SystemTime| *at -= age;
        record.ping.iter_mut().for_each(|it| older(&mut it.at));
        record.ports.values_mut().for_each(|it| older(&mut it.at));
        record
    }

    fn answers_after_a_restart(kept: LayerRecord, checks: &str) -> Vec<Reading<bool>> {
        let restored = Checks::restored(kept);
        restored.set_target(&target(checks));
        let readings = restored.readings();
        let ports = readings.ports.iter().map(PortReadings::answers);
        [readings.network()].into_iter().chain(ports).collect()
    }

    #[test]
    fn answers_of_an_earlier_process_stand_for_their_place_and_their_time() {
        const CHECKS: &str = "interval: 60s, ping: true, ports: ['web:80']";
        let (yes, no, none) = (Reading::Is(true), Reading::Is(false), Reading::Unmeasured);
        let young = || kept(Duration::from_secs(100));
        assert_eq!(answers_after_a_restart(young(), CHECKS), [yes, yes, yes, no]);
        let old = kept(Duration::from_secs(130));
        assert_eq!(answers_after_a_restart(old, CHECKS), [none; 4]);
        let mut ahead = young();
        ahead.ping.iter_mut().for_each(|it| it.at += Duration::from_secs(3600));
        assert_eq!(answers_after_a_restart(ahead, CHECKS), [none, yes, yes, no]);
        let hourly = CHECKS.replace("60s", "1h");
        let old = kept(Duration::from_secs(130));
        assert_eq!(answers_after_a_restart(old, &hourly), [none; 4], "by the shorter period");
        let old = LayerRecord { interval: None, ..kept(Duration::from_secs(130)) };
        assert_eq!(answers_after_a_restart(old, &hourly), [yes, yes, yes, no], "as if unchanged");
        let elsewhere = CHECKS.replace("80", "81");
        assert_eq!(answers_after_a_restart(young(), &elsewhere), [yes, yes, yes, none]);
        let mut elsewhere = young();
        elsewhere.ping.iter_mut().for_each(|it| it.place = "mail.example".to_owned());
        assert_eq!(answers_after_a_restart(elsewhere, CHECKS), [none, yes, yes, no]);
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
