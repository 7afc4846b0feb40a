//! `probe --all`: every target of the configuration, side by side.
//!
//! They take turns as the targets of the exporter do: at a connection to one SMTP server and account, and in
//! a mailbox. `turns` is that; `output` and `lines` show the results.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::state::{State, Thresholds, judge};
use super::terminal::Look;
use super::verdict::{Ending, time_needed};
use super::{Options, Terminal, Verdict, run_with};
use crate::config::{Config, Target, TargetName};
pub use lines::lines;
pub use output::{document, show};
use turns::{NotBegun, Turns};

mod lines;
mod output;
mod turns;

/// How often the live line is rewritten.
const TICK: Duration = Duration::from_millis(500);
/// The most names in it.
const NAMED: usize = 5;

/// What is known of one target at the end.
#[derive(Debug)]
pub struct Tested {
    target: Arc<Target>,
    /// `Err`: why it was not begun.
    verdict: Result<Box<Verdict>, NotBegun>,
    state: State,
    sentences: Vec<String>,
}

/// The results in the order of the names.
#[derive(Debug)]
pub struct Results(BTreeMap<TargetName, Tested>);

impl Tested {
    fn new(
        target: Arc<Target>,
        verdict: Result<Box<Verdict>, NotBegun>,
        thresholds: &Thresholds,
    ) -> Self {
        let (state, sentences) = match &verdict {
            Ok(verdict) => {
                (judge(verdict, &target, thresholds).0, verdict.sentences(&target, thresholds))
            }
            Err(not_begun) => {
                (State::Unknown, vec![format!("{} was not tested: {not_begun}", target.name)])
            }
        };
        Self { target, verdict, state, sentences }
    }
}

impl Results {
    /// The worst of the states, by the order of the monitoring plugins.
    pub fn state(&self) -> State {
        let states = self.0.values().map(|tested| tested.state);
        states.max_by_key(|state| state.badness()).unwrap_or(State::Unknown)
    }

    fn count(&self, state: State) -> usize {
        self.0.values().filter(|tested| tested.state == state).count()
    }

    /// `12 targets: 9 ok, 1 warning, 2 critical`.
    fn summary(&self) -> String {
        let counts = State::ALL.map(|state| (self.count(state), state.label()));
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, state)| format!("{count} {state}")).collect();
        let targets = match self.0.len() {
            1 => "1 target".to_owned(),
            count => format!("{count} targets"),
        };
        format!("{targets}: {}", counts.join(", "))
    }
}

/// Tests every target; `options` hold for each of them, their `timeout` for all together. What comes in
/// is told on `terminal`. It ends early when `interrupt` does.
pub async fn run_all<W: Write>(
    config: &Config,
    options: &Options,
    terminal: &mut Terminal<W>,
    interrupt: impl Future<Output = ()>,
) -> Results {
    let stop = CancellationToken::new();
    let mut tests = begin(config, options, &stop);
    let mut progress = Progress::new(config);
    let mut results = BTreeMap::new();
    let mut ticks = interval(TICK);
    tokio::pin!(interrupt);
    loop {
        tokio::select! {
            biased;
            () = &mut interrupt, if !stop.is_cancelled() => stop.cancel(),
            tested = tests.join_next() => match tested {
                Some(Ok(tested)) => {
                    progress.tell(&tested, terminal);
                    results.insert(tested.target.name.clone(), tested);
                }
                // It panicked: it has no result, which is told below.
                Some(Err(_)) => {}
                None => break,
            },
            _ = ticks.tick() => progress.show(terminal),
        }
    }
    for target in config.targets.values() {
        results.entry(target.name.clone()).or_insert_with(|| {
            Tested::new(Arc::clone(target), Err(NotBegun::Broken), &options.thresholds)
        });
    }
    Results(results)
}

fn begin(config: &Config, options: &Options, stop: &CancellationToken) -> JoinSet<Tested> {
    let turns = Arc::new(Turns::new(config));
    let end = options.timeout.map(|timeout| Instant::now() + timeout);
    let mut tests = JoinSet::new();
    for target in config.targets.values() {
        let (target, turns) = (Arc::clone(target), Arc::clone(&turns));
        let place = config.places.get(&target.name).cloned();
        let place = place.unwrap_or_else(|| options.place.clone());
        let options = Options { place, shared: turns.shared(&target), ..options.clone() };
        let stop = stop.clone();
        tests.spawn(async move {
            let verdict = Box::pin(test(&target, &options, &turns, end, &stop)).await;
            Tested::new(target, verdict, &options.thresholds)
        });
    }
    tests
}

/// Waits for its turn and makes a round trip in the time that is left. Whoever waits begins only if enough
/// of it is left: what a target needs at most, or half of all that there is.
async fn test(
    target: &Target,
    options: &Options,
    turns: &Turns,
    end: Option<Instant>,
    stop: &CancellationToken,
) -> Result<Box<Verdict>, NotBegun> {
    let needed = time_needed(target);
    let enough = options.timeout.map(|all| needed.min(all / 2));
    let latest = end.zip(enough).map(|(end, enough)| end - enough);
    let mut turn = turns.take(target, latest, stop).await?;
    let left = end.map(|end| end.saturating_duration_since(Instant::now()));
    let own = Options { timeout: left, ..options.clone() };
    let mut nowhere = Terminal::plain(std::io::sink());
    let connection = turn.connection.take();
    let round_trip = run_with(target, &own, connection, &mut nowhere, stop.cancelled());
    let mut verdict = Box::pin(round_trip).await;
    if let (Ending::OutOfTime(_), Some(timeout)) = (verdict.ending, options.timeout) {
        let has_lacked = left.is_some_and(|left| left < needed);
        verdict.ending = match has_lacked {
            true => Ending::LackedTime(timeout),
            false => Ending::OutOfTime(timeout),
        };
    }
    turn.end(&verdict, target, end, stop);
    Ok(Box::new(verdict))
}

/// What is told while results come in.
struct Progress {
    began: Instant,
    /// Those without a result.
    waiting: Vec<TargetName>,
    total: usize,
    bad: usize,
}

impl Progress {
    fn new(config: &Config) -> Self {
        let waiting: Vec<TargetName> = config.targets.keys().cloned().collect();
        Self { began: Instant::now(), total: waiting.len(), waiting, bad: 0 }
    }

    /// Where nothing can be rewritten, each result has a line.
    fn tell<W: Write>(&mut self, tested: &Tested, terminal: &mut Terminal<W>) {
        self.waiting.retain(|name| *name != tested.target.name);
        self.bad += usize::from(tested.state != State::Ok);
        if terminal.is_live() {
            return self.show(terminal);
        }
        let done = self.total - self.waiting.len();
        let (total, state) = (self.total, tested.state.label());
        terminal
            .line(&[(Look::Plain, &format!("{done}/{total}  {state}: {}", tested.target.name))]);
    }

    fn show<W: Write>(&self, terminal: &mut Terminal<W>) {
        if self.waiting.is_empty() {
            return;
        }
        let done = self.total - self.waiting.len();
        let named: Vec<&str> = self.waiting.iter().take(NAMED).map(TargetName::as_str).collect();
        let more = if self.waiting.len() > NAMED { ", …" } else { "" };
        terminal.live(&format!(
            "{done} of {} done, {} not ok, {} s; Ctrl-C ends it; waiting for {}{more}",
            self.total,
            self.bad,
            self.began.elapsed().as_secs(),
            named.join(", ")
        ));
    }
}
