//! `simulate`: lives through worlds until something is wrong in one of them.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use simulation::{Options, Outcome, clock, run, shrink};

const USAGE: &str = "\
usage: simulate [seed=N] [days=N] [sites=N] [period=N] [seeds=N] [minutes=N] [events=N] [servers=1]
                [tls=1] [trace=N] [dialogues=1] [shrink=0]

Lives through worlds of so many days (30) and sites (20), and holds what the exporter says to what really
happened. Begins with the world of this seed, or of one of the clock; goes on for so many seeds, or minutes.
With servers=1 nothing befalls the exporter itself.
The seed says the period of each target, unless all have that of so many minutes.
Of one that fails it prints the fewest events with which it does, and its last lines;
shrink=0 leaves the events out. dialogues=1 has among the lines what was said.";

/// What is asked for.
struct Wanted {
    options: Options,
    seeds: u64,
    limit: Option<Duration>,
    lines: usize,
    shrinks: bool,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !cfg!(tokio_unstable) {
        eprintln!("simulate: compiled without --cfg tokio_unstable: a seed is not one run");
    }
    let began = Instant::now();
    let first = wanted.options.seed;
    for seed in first..first.saturating_add(wanted.seeds) {
        if wanted.limit.is_some_and(|limit| began.elapsed() >= limit) {
            break;
        }
        let options = Options { seed, ..wanted.options.clone() };
        let began = Instant::now();
        let outcome = run(&options);
        println!("{}", summary(&options, &outcome, began.elapsed()));
        if outcome.wrong.is_some() {
            explain(&options, outcome, &wanted);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn wanted(arguments: impl Iterator<Item = String>) -> Option<Wanted> {
    let of_clock = std::time::UNIX_EPOCH.elapsed().map_or(1, |age| age.as_secs());
    let options = Options { is_only_world: true, ..Options::new(of_clock, 30, 20) };
    let mut wanted = Wanted { options, seeds: 1, limit: None, lines: 60, shrinks: true };
    for argument in arguments {
        let (key, value) = argument.split_once('=')?;
        let number: u64 = value.parse().ok()?;
        let size = usize::try_from(number).ok()?;
        match key {
            "seed" => wanted.options.seed = number,
            "days" => wanted.options.days = u32::try_from(number).ok().filter(|it| *it > 0)?,
            "sites" => wanted.options.sites = size,
            "period" => {
                wanted.options.minutes = Some(u32::try_from(number).ok().filter(|it| *it > 0)?)
            }
            "dialogues" => wanted.options.dialogues = number > 0,
            "servers" => wanted.options.only_servers = number > 0,
            "tls" => wanted.options.tls = number > 0,
            "events" => wanted.options.events = Some(size),
            "seeds" => wanted.seeds = number,
            "minutes" => {
                wanted.limit = Some(Duration::from_secs(number.checked_mul(60)?));
                wanted.seeds = u64::MAX;
            }
            "trace" => wanted.lines = size,
            "shrink" => wanted.shrinks = number > 0,
            _ => return None,
        }
    }
    Some(wanted)
}

fn summary(options: &Options, outcome: &Outcome, took: Duration) -> String {
    let Options { seed, days, sites, .. } = options;
    let Outcome { mails, processes, events, fingerprint, .. } = outcome;
    let verdict = if outcome.wrong.is_some() { "WRONG" } else { "right" };
    format!(
        "seed {seed}: {verdict}, {days} days, {sites} sites, {events} events, {processes} processes, \
         {mails} mails, {:.1} s, {fingerprint:016x}",
        took.as_secs_f64()
    )
}

/// Prints the fewest events with which something is wrong, and how it came to that.
fn explain(options: &Options, outcome: Outcome, wanted: &Wanted) {
    let what = outcome.wrong.as_ref().map(|wrong| (clock::shown(wrong.at), wrong.what.clone()));
    if let Some((at, what)) = what {
        println!("{at}  {what}");
    }
    if !wanted.shrinks {
        return print_end(&outcome, wanted.lines);
    }
    let (shortest, outcome) = shrink::shortest(options, outcome, |events| {
        eprintln!("simulate: trying the first {events} events");
    });
    println!("\nthe events with which something is still wrong:");
    for planned in shrink::events(&shortest) {
        println!("{planned}");
    }
    print_end(&outcome, wanted.lines);
    println!("\nagain: {}", shortest.command());
}

fn print_end(outcome: &Outcome, lines: usize) {
    println!("\nits end:");
    let skipped = outcome.trace.len().saturating_sub(lines);
    outcome.trace.iter().skip(skipped).for_each(|line| println!("{line}"));
}
