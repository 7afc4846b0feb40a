//! Worlds that are lived through in each run of the tests, always the same. `make simulate` lives through fresh ones.

use std::fmt::Write as _;

use simulation::{Options, Outcome, clock, run, shrink};

/// Worlds of so many days and sites that are always the same.
const FIXED: [(u64, u32, usize); 3] = [(1, 2, 8), (2, 2, 8), (3, 2, 12)];

/// Worlds in which something was wrong once: the seed, the days, the sites, and what it was.
const FOUND: [(u64, u32, usize, &str); 0] = [];

/// Lives through a world; in words what is wrong with it, if anything is.
fn live(options: &Options) -> Result<Outcome, String> {
    let outcome = run(options);
    let Some(wrong) = outcome.wrong.clone() else { return Ok(outcome) };
    let (shortest, outcome) = shrink::shortest(options, outcome, |_| {});
    let Options { seed, days, sites, events, tls, .. } = shortest;
    let tls = if tls { " TLS=1" } else { "" };
    let events = events.unwrap_or_default();
    let mut words = format!("{}  {}\n", clock::shown(wrong.at), wrong.what);
    for planned in shrink::events(&shortest) {
        let _ = writeln!(words, "{planned}");
    }
    let skipped = outcome.trace.len().saturating_sub(60);
    outcome.trace.iter().skip(skipped).for_each(|line| words.push_str(&format!("{line}\n")));
    Err(format!(
        "{words}again: make simulate SEED={seed} DAYS={days} SITES={sites} EVENTS={events}{tls}"
    ))
}

#[test]
fn worlds_in_which_something_was_wrong_once_are_right() {
    for (seed, days, sites, what) in FOUND {
        if let Err(words) = live(&Options::new(seed, days, sites)) {
            panic!("{what}:\n{words}");
        }
    }
}

#[test]
fn fixed_worlds_are_right() {
    for (seed, days, sites) in FIXED {
        if let Err(words) = live(&Options::new(seed, days, sites)) {
            panic!("seed {seed}: {words}");
        }
    }
}

#[test]
fn a_world_with_tls_is_right() {
    if let Err(words) = live(&Options { tls: true, ..Options::new(4, 1, 4) }) {
        panic!("{words}");
    }
}

#[test]
#[cfg(tokio_unstable)]
fn one_seed_is_one_run() {
    let options = Options::new(7, 1, 8);
    let (first, second) = (run(&options), run(&options));
    assert_eq!(first.fingerprint, second.fingerprint);
    let other = run(&Options { seed: 8, ..options });
    assert_ne!(first.fingerprint, other.fingerprint);
}

/// Whatever befalls their neighbours: each mail goes out, arrives and is removed at the same moment.
#[test]
#[cfg(tokio_unstable)]
fn neighbours_fare_as_in_a_world_without_faults() {
    let faults = Options { only_servers: true, ..Options::new(11, 2, 12) };
    let none = Options { events: Some(0), ..faults.clone() };
    let (faults, none) = (run(&faults), run(&none));
    assert_eq!((&faults.wrong, &none.wrong), (&None, &None));
    assert!(faults.events > 20 && !faults.calm.is_empty());
    assert_eq!(faults.calm, none.calm);
}
