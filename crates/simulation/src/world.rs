//! A world: sites, a network, a clock, and one exporter after the other, until the days are over or something is
//! wrong.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use mailtrip_exporter::clock::read_wall_from;
use mailtrip_exporter::store::simulated::{fail, slow};
use tempfile::TempDir;
use testserver::{Authority, Certificate, ServerTls};
use tokio::runtime::Runtime;

use crate::clock::Clock;
use crate::fate::fates;
use crate::life::config;
use crate::log::into_trace;
use crate::network::Network;
use crate::options::{Options, Outcome};
use crate::oracle::{Oracle, Wrong};
use crate::panics::watch;
use crate::plan::{Event, Planned, draw, stream};
use crate::site::Site;
use crate::state::{copy, folder, restore};
use crate::trace::Trace;
use crate::trouble::Trouble;
use crate::truth::{Held, Truth};

mod turns;

/// How often everything is judged, besides after each event.
const JUDGE_EVERY: Duration = Duration::from_secs(60);
/// From when on a mail of which nothing is left is of no interest.
const FORGET_AFTER: Duration = Duration::from_secs(14 * 3600);
/// How long the state that a power loss leaves behind is older than its end, at most.
const UNSYNCED: Duration = Duration::from_millis(900);

/// How long a commit takes.
const COMMIT: Duration = Duration::from_millis(3);

/// How the life of a process ended.
enum End {
    /// It is to go on so much later.
    Again(Duration),
    /// The days are over.
    Over,
}

/// Lives through a world.
pub fn run(options: &Options) -> Outcome {
    watch();
    let clock = Clock::default();
    let trace = Trace::new(clock.clone());
    let lived = into_trace(&trace, || World::new(options, &clock, &trace)?.live(options));
    let mut outcome = lived.unwrap_or_else(|wrong| Outcome {
        wrong: Some(wrong),
        fingerprint: 0,
        trace: Vec::new(),
        mails: 0,
        processes: 0,
        events: 0,
        calm: Vec::new(),
    });
    if let Some(wrong) = &outcome.wrong {
        trace.note(&format!("WRONG: {}", wrong.what));
    }
    outcome.fingerprint = trace.fingerprint();
    outcome.trace = trace.newest(4_000);
    outcome
}

struct World {
    clock: Clock,
    trace: Trace,
    network: Network,
    sites: Vec<Site>,
    truth: Truth,
    oracle: Oracle,
    plan: Vec<Planned>,
    /// How many events of it have happened.
    done: usize,
    /// What becomes of mails that are held back, and when.
    releases: BTreeMap<(Duration, usize, u64), Held>,
    /// The trouble with the delivery at each site.
    deliveries: Vec<Option<Trouble>>,
    chance: fastrand::Rng,
    minutes: Vec<u32>,
    directory: TempDir,
    /// The state as a power loss will leave it behind.
    synced: Option<TempDir>,
    next_judgement: Duration,
    end: Duration,
    processes: u64,
    /// When the newest of them ended.
    ended: Duration,
}

impl World {
    fn new(options: &Options, clock: &Clock, trace: &Trace) -> Result<Self, Wrong> {
        let network = Network::new(options.seed ^ 1);
        if options.dialogues {
            network.write_down(trace);
        }
        let tls = options.tls.then(certificate).transpose();
        let tls = tls.map_err(|what| Wrong { at: Duration::ZERO, what })?;
        let mut sites = Vec::with_capacity(options.sites);
        for fate in fates(options) {
            let site = Site::new(fate, &sites, (&network, clock), tls.as_ref());
            sites.push(site);
        }
        let truth = Truth::watch(&sites, clock, trace);
        let oracle = Oracle::new(&sites, clock.clone(), truth.clone(), options.is_only_world);
        let mut plan = plan_of(options);
        plan.truncate(options.events.unwrap_or(usize::MAX));
        // An earlier world of this thread may have ended with a disk that fails.
        fail(None);
        // Who waits for the disk waits for the commits of others: where times are compared, it takes none.
        slow(if options.only_servers { Duration::ZERO } else { COMMIT });
        let directory = folder().map_err(|problem| unusable(&problem))?;
        Ok(Self {
            clock: clock.clone(),
            trace: trace.clone(),
            network,
            truth,
            oracle,
            plan,
            done: 0,
            releases: BTreeMap::new(),
            deliveries: vec![None; sites.len()],
            chance: fastrand::Rng::with_seed(options.seed ^ 2),
            minutes: sites.iter().map(|site| site.fate.minutes).collect(),
            directory,
            synced: None,
            next_judgement: Duration::ZERO,
            end: Duration::from_secs(u64::from(options.days) * 86_400),
            processes: 0,
            ended: Duration::ZERO,
            sites,
        })
    }

    fn live(mut self, options: &Options) -> Result<Outcome, Wrong> {
        let wrong = loop {
            match self.one_process(options.seed) {
                Ok(End::Over) => break None,
                Ok(End::Again(down)) => self.be_down(down),
                Err(wrong) => break Some(wrong),
            }
        };
        let wrong = wrong.or_else(|| {
            let what = self.oracle.wrong_by_itself()?;
            Some(self.wrong_here(what))
        });
        let mails = (0..self.sites.len()).map(|site| self.truth.site(site, |it| it.accepted)).sum();
        Ok(Outcome {
            wrong,
            fingerprint: 0,
            trace: Vec::new(),
            mails,
            processes: self.processes,
            events: self.done,
            calm: self.calm(),
        })
    }

    fn calm(&self) -> Vec<u64> {
        // Mail of a neighbour in trouble has the mailbox read at other times.
        let is_alone = |site: &&Site| {
            let mut others = self.sites.iter().filter(|it| it.owner == site.owner);
            others.all(|it| it.fate.is_calm)
        };
        let calm = self.sites.iter().filter(is_alone);
        calm.map(|site| self.truth.site(site.number, |truth| truth.times())).collect()
    }

    /// From the start of a process to its end. Whatever of it is left is dropped at its await.
    fn one_process(&mut self, seed: u64) -> Result<End, Wrong> {
        self.processes += 1;
        let mut chance = fastrand::Rng::with_seed(seed ^ (self.processes << 20));
        let dies_early = self.processes > 1 && stream(seed, 40_000 + self.processes).u8(0..8) == 0;
        let runtime = runtime(chance.u64(..)).map_err(|problem| self.wrong(unusable(&problem)))?;
        self.network.revive();
        if dies_early {
            // Often while it starts.
            self.network.die_after(chance.u64(0..60));
        }
        ledger::lot::draw_from(Some(Box::new(move |bytes| chance.fill(bytes))));
        let clock = self.clock.clone();
        read_wall_from(Some(Box::new(move || clock.wall())));
        mail::net::simulated::connect_in(Some(std::sync::Arc::new(self.network.clone())));
        let end = runtime.block_on(async {
            self.clock.runtime_begins();
            let end = Box::pin(self.process()).await;
            self.clock.runtime_ends();
            end
        });
        drop(runtime);
        let has_begun = self.oracle.process_ends();
        mail::net::simulated::connect_in(None);
        read_wall_from(None);
        ledger::lot::draw_from(None);
        if has_begun {
            self.ended = self.clock.age();
        }
        if self.synced.is_some() || self.oracle.is_disk_unsure() || self.oracle.is_disk_too_slow() {
            self.oracle.state_is_lost();
        } else if self.oracle.is_disk_behind() {
            self.oracle.counts_are_lost();
        }
        if let Some(synced) = self.synced.take() {
            self.sites
                .iter()
                .filter(|site| self.oracle.may_be_locked(site))
                .for_each(Site::is_still_locked);
            let restored = restore(synced.path(), self.directory.path());
            restored.map_err(|problem| self.wrong(unusable(&problem)))?;
        }
        end
    }

    /// While no process lives: what happens to the servers happens all the same.
    fn be_down(&mut self, down: Duration) {
        let until = (self.clock.age() + down).min(self.end);
        loop {
            let release = self.releases.first_key_value().map(|((at, ..), _)| *at);
            let event = self.plan.get(self.done).map(|planned| planned.at);
            let next = release.into_iter().chain(event).min().filter(|at| *at <= until);
            let Some(at) = next else { break };
            self.clock.advance_to(at);
            self.release();
            if event.is_some_and(|at| at <= self.clock.age()) {
                match self.next_event() {
                    Some(Event::Reload(site, minutes)) => drop(self.configure(site, minutes)),
                    // Who is dead cannot be killed.
                    Some(event) => self.befall(event),
                    None => {}
                }
            }
        }
        self.clock.advance_to(until);
    }

    /// The next event of the plan, which has come.
    fn next_event(&mut self) -> Option<Event> {
        let planned = self.plan.get(self.done).copied()?;
        self.done += 1;
        self.trace.note(&format!("{:?}", planned.event));
        Some(planned.event)
    }

    fn keep_synced(&mut self) -> Result<(), Wrong> {
        let kept = folder().and_then(|kept| {
            copy(self.directory.path(), kept.path())?;
            Ok(kept)
        });
        self.synced = Some(kept.map_err(|problem| self.wrong(unusable(&problem)))?);
        Ok(())
    }

    fn config(&self) -> Result<mailtrip_exporter::config::Config, Wrong> {
        config(&self.sites, &self.minutes).map_err(|problem| self.wrong_here(problem))
    }

    fn wrong_here(&self, what: String) -> Wrong {
        Wrong { at: self.clock.age(), what }
    }

    fn wrong(&self, wrong: Wrong) -> Wrong {
        Wrong { at: self.clock.age(), ..wrong }
    }
}

/// Everything that happens in such a world.
pub(crate) fn plan_of(options: &Options) -> Vec<Planned> {
    let mut plan = draw(options.seed, options.days, &fates(options));
    plan.retain(|planned| !options.only_servers || planned.event.is_of_servers());
    plan
}

fn certificate() -> Result<ServerTls, String> {
    let authority = Authority::new().map_err(|problem| problem.to_string())?;
    authority.server(Certificate::Good).map_err(|problem| problem.to_string())
}

/// The machine does not let a world be.
fn unusable(problem: &io::Error) -> Wrong {
    Wrong { at: Duration::ZERO, what: format!("the simulation cannot go on: {problem}") }
}

/// A runtime whose time jumps from event to event.
fn runtime(seed: u64) -> io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    // Without it the choices of the runtime are its own, and a seed is not one run.
    #[cfg(tokio_unstable)]
    builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()));
    #[cfg(not(tokio_unstable))]
    let _ = seed;
    builder.build()
}
