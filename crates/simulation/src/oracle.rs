//! Holds what the exporter says to what really happened.

use std::time::Duration;

use ledger::Totals;
use mailtrip_exporter::supervisor::Supervisor;

use crate::clock::Clock;
use crate::panics::panicked;
use crate::site::Site;
use crate::trouble::{Effect, Place};
use crate::truth::Truth;

use memory::Memory;

mod bounds;
mod memory;
mod rules;

/// How long the newest mail of a site without trouble may take at most, as the exporter measures it.
const CALM_ROUND_TRIP: Duration = Duration::from_secs(3);
/// What else an attempt may take beside its period.
const SLACK: Duration = Duration::from_secs(20);
/// A look is made so long after it is due at most: one that waits for another to end.
const LOOK: Duration = Duration::from_secs(90);
/// Beside two periods: from then on no measurement of an earlier process stands.
const OUTLIVED: Duration = Duration::from_secs(60);
/// A store that failed tries again so often at least.
const DISK_RETRY: Duration = Duration::from_secs(65);
/// A commit that takes no longer is done before a mail goes out, even if it has to wait for the one before.
const AWAITED_COMMIT: Duration = Duration::from_millis(450);
/// After so long without a sign of life a loop stands still.
const STANDSTILL: Duration = Duration::from_secs(25 * 60);
/// The age at which mails are lost, as the configuration of the simulation has it.
pub const LOST_AFTER: Duration = Duration::from_secs(6 * 3600);
/// The most tasks of the runtime at one time, for each site: three loops, and the two sides of connections.
const MOST_TASKS: usize = 20;
/// The most sessions that the exporter may hold at one mailbox.
const MOST_SESSIONS: usize = 2;
/// The most connections to one server, those to the port check included.
const MOST_CONNECTIONS: usize = 6;

/// What somebody who sees everything knows of one side of a site.
#[derive(Debug, Clone, Copy)]
struct Known {
    effect: Effect,
    since: Duration,
}

/// What is known of a site, and what its target said before.
#[derive(Debug, Clone)]
struct Record {
    /// Whose mailbox its mail comes into.
    owner: usize,
    send: Known,
    receive: Known,
    /// Since when the target was not changed, nor the process or its state.
    undisturbed_since: Duration,
    /// Of a target that is not configured, that by which it was measured last.
    interval: Duration,
    /// The one before the newest change: a mail that was waited for then was found by a look of that time.
    earlier_interval: Duration,
    is_configured: bool,
    totals: Option<Totals>,
    /// What had been counted before a part of the state was lost, as far as that is known.
    lost: Option<Totals>,
    /// The newest round trip that was judged.
    round_trip: Option<Duration>,
    /// When a counter of sends, and of checks, has grown.
    progress: [Duration; 2],
    /// Until when no exact account is to be had, for a part of the state was lost.
    inexact_until: Duration,
    /// What had been counted then, and how many mails the server had accepted.
    base: (Totals, u64),
    /// Since when a look is due that was not made.
    look_due_since: Option<Duration>,
    /// The probes and the checks that were counted when a process began after a time for which no earlier
    /// measurement stands.
    outlived: [Option<u64>; 2],
}

impl Record {
    /// Whether both sides have worked for so long.
    fn works_for(&self, long: Duration, now: Duration) -> bool {
        [self.send, self.receive]
            .into_iter()
            .all(|known| known.effect == Effect::Works && now.saturating_sub(known.since) > long)
    }

    /// After so long a change of the server must show: an attempt is made once a period, and has a period's
    /// time.
    fn longest(&self) -> Duration {
        self.interval * 2 + SLACK
    }

    /// How much later than it came a mail may be seen: each look by POP3 is a login, and while mail is late there is
    /// one in each period. By IMAP it is seen at once.
    fn latest_look(&self, site: &Site) -> Duration {
        match site.fate.is_pop3 {
            true => self.interval.max(self.earlier_interval),
            false => Duration::ZERO,
        }
    }
}

/// The judge.
pub struct Oracle {
    clock: Clock,
    truth: Truth,
    records: Vec<Record>,
    /// Since when the exporter runs; `None` while it does not.
    alive_since: Option<Duration>,
    is_disk_broken: bool,
    /// How much longer each commit takes.
    slow_by: Duration,
    /// Until when something may not have been written yet that came while the disk was broken.
    disk_is_unsure_until: Duration,
    memory: Option<Memory>,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// When it was seen.
    pub at: Duration,
    /// What it is.
    pub what: String,
}

impl Oracle {
    /// One that has seen nothing yet. It judges the memory if its world is the only one of this process.
    pub fn new(sites: &[Site], clock: Clock, truth: Truth, is_only_world: bool) -> Self {
        let known = Known { effect: Effect::Works, since: Duration::ZERO };
        let record = |site: &Site| Record {
            owner: site.owner,
            send: known,
            receive: known,
            undisturbed_since: Duration::ZERO,
            interval: Duration::from_secs(u64::from(site.fate.minutes) * 60),
            earlier_interval: Duration::ZERO,
            is_configured: true,
            totals: None,
            lost: None,
            round_trip: None,
            progress: [Duration::ZERO; 2],
            inexact_until: Duration::ZERO,
            base: (Totals::default(), 0),
            look_due_since: None,
            outlived: [None; 2],
        };
        let records = sites.iter().map(record).collect();
        let disk_is_unsure_until = Duration::ZERO;
        Self {
            clock,
            truth,
            records,
            alive_since: None,
            is_disk_broken: false,
            slow_by: Duration::ZERO,
            disk_is_unsure_until,
            memory: is_only_world.then(Memory::begin),
        }
    }

    /// A process has begun, so long after the one before had ended.
    pub fn process_begins(&mut self, away: Duration) {
        let now = self.clock.age();
        self.alive_since = Some(now);
        for record in &mut self.records {
            record.look_due_since = None;
            let counted = record.totals.map(|it| [it.probes, it.checks]);
            let is_outlived = away > record.interval * 2 + OUTLIVED;
            record.outlived = match counted.filter(|_| is_outlived) {
                Some(counts) => counts.map(Some),
                None => [None; 2],
            };
        }
        self.disturb_all();
    }

    /// It has ended; whether it had begun.
    pub fn process_ends(&mut self) -> bool {
        if self.is_disk_unsure() {
            // What it has said of the disk was true of it.
            drop(self.truth.take_disk_error());
        }
        self.alive_since.take().is_some()
    }

    /// Something that the exporter had counted is lost: what it has not written, which is little unless the disk
    /// did not let it.
    pub fn state_is_lost(&mut self) {
        let until = self.clock.age() + LOST_AFTER * 2;
        let was_written = !self.is_disk_unsure();
        for record in &mut self.records {
            let known = record.totals.take().or(record.lost);
            record.lost = known.filter(|_| was_written);
            record.inexact_until = until;
        }
    }

    /// A process died whose disk was slow: what it had counted last it may not have written. No mail has left that was
    /// not written before.
    pub fn counts_are_lost(&mut self) {
        for record in &mut self.records {
            record.lost = record.totals.take().or(record.lost);
        }
    }

    /// Whether the server may still hold a session with the mailbox when the host has lost its power, without any
    /// other trouble with it.
    pub fn may_be_locked(&self, site: &Site) -> bool {
        let works = self.record(site).is_some_and(|it| it.receive.effect == Effect::Works);
        let mut sharers = self.records.iter().filter(|it| it.owner == site.owner);
        let is_quiet = sharers.all(|it| it.receive.since < self.clock.age());
        site.fate.is_pop3 && site.is_owner() && !site.fate.is_calm && works && is_quiet
    }

    /// Each commit takes so much longer from now on.
    pub fn disk_is_slow(&mut self, by: Duration) {
        self.slow_by = by;
        self.disturb_all();
    }

    /// Whether a process that ends now takes something with it that it could not write.
    pub fn is_disk_unsure(&self) -> bool {
        self.is_disk_broken || self.clock.age() < self.disk_is_unsure_until
    }

    /// Whether a mail may have gone out that was not written down: a commit is waited for, though not for ever.
    pub fn is_disk_too_slow(&self) -> bool {
        self.slow_by > AWAITED_COMMIT
    }

    /// Whether what was counted last may not have been written yet.
    pub fn is_disk_behind(&self) -> bool {
        !self.slow_by.is_zero() || self.is_disk_unsure()
    }

    /// The state can be written, or it cannot.
    pub fn disk_changes(&mut self, is_broken: bool) {
        self.is_disk_broken = is_broken;
        self.disk_is_unsure_until = self.clock.age() + DISK_RETRY;
        self.disturb_all();
    }

    /// The exporter's clock was set.
    pub fn clock_was_set(&mut self) {
        self.disturb_all();
    }

    /// The target of a site has this period now; zero: it is not configured.
    pub fn configured(&mut self, site: usize, minutes: u32) {
        let now = self.clock.age();
        let owner = self.records.get(site).map(|it| it.owner);
        for record in self.records.iter_mut().filter(|it| Some(it.owner) == owner) {
            record.undisturbed_since = now;
        }
        if let Some(record) = self.records.get_mut(site) {
            record.progress = [now; 2];
            record.is_configured = minutes > 0;
            if minutes > 0 {
                record.earlier_interval = record.interval;
                record.interval = Duration::from_secs(u64::from(minutes) * 60);
            }
        }
    }

    /// From now on the trouble at this place means this.
    pub fn is_known(&mut self, site: usize, place: Place, effect: Effect) {
        let now = self.clock.age();
        let known = Known { effect, since: now };
        match (place, self.records.get_mut(site)) {
            (Place::Send, Some(record)) => record.send = known,
            (Place::Receive, _) => {
                let sharers = self.records.iter_mut().filter(|it| it.owner == site);
                sharers.for_each(|record| record.receive = known);
            }
            // What becomes of each mail is known by itself.
            _ => {}
        }
    }

    /// Judges everything that the exporter says now.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn judge(&mut self, supervisor: &Supervisor, sites: &[Site]) -> Result<(), Wrong> {
        let at = self.clock.age();
        let wrong = |what| Wrong { at, what };
        if let Some(what) = self.wrong_by_itself() {
            return Err(wrong(what));
        }
        if let Some(what) = self.memory.as_mut().and_then(|it| it.judge(at, sites.len())) {
            return Err(wrong(what));
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if tasks > MOST_TASKS * sites.len() + MOST_TASKS {
            return Err(wrong(format!("there are {tasks} tasks")));
        }
        let handles = supervisor.handles();
        for site in sites {
            self.judge_sessions(site).map_err(wrong)?;
            let handle = handles.iter().find(|it| it.target.name.as_str() == site.user);
            let is_configured = self.record(site).is_some_and(|record| record.is_configured);
            match handle {
                Some(handle) if is_configured => self.judge_target(site, handle).map_err(wrong)?,
                None if is_configured => {
                    return Err(wrong(format!("{}: the target is not there", site.user)));
                }
                Some(_) => {
                    return Err(wrong(format!("{}: the target is still there", site.user)));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// In words, what is wrong whatever else there is: a mail of somebody else that was touched, a panic, a line of
    /// level ERROR, unless that is about a disk that fails.
    pub fn wrong_by_itself(&self) -> Option<String> {
        let of_disk = self.truth.take_disk_error().filter(|_| !self.is_disk_unsure());
        self.truth.wrong().or_else(panicked).or(of_disk)
    }

    fn disturb_all(&mut self) {
        let now = self.clock.age();
        for record in &mut self.records {
            record.undisturbed_since = now;
        }
    }

    fn record(&self, site: &Site) -> Option<&Record> {
        self.records.get(site.number)
    }
}
