//! Worlds that are lived through in each run of the tests: some that are always the same, and fresh ones for two minutes.
//! `make simulate` lives through more of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use simulation::{Options, Outcome, clock, run, shrink};

/// Worlds of so many days and sites that are always the same.
const FIXED: [(u64, u32, usize); 3] = [(1, 2, 8), (2, 2, 8), (3, 2, 12)];

/// Worlds in which something was wrong once: the seed, the days, the sites, and what it was.
const FOUND: [(u64, u32, usize, &str); 4] = [
    (
        1001,
        15,
        3,
        "a mail came while its target was left out, a neighbour in the mailbox saw it, and the target that came back waited in vain",
    ),
    (
        10346,
        30,
        1,
        "a mail lay in a queue and came into a POP3 maildrop while the exporter was down: its stamp of the acceptance was taken for its arrival",
    ),
    (
        20011,
        30,
        1,
        "a reload to a shorter period while a check was under way: the next check came after the longer one",
    ),
    (
        31031,
        30,
        1,
        "a mail lay in a queue while a POP3 maildrop could not be reached: its stamp of the acceptance was taken for its arrival",
    ),
];

/// For so long fresh worlds are lived through.
const FRESH: Duration = Duration::from_secs(120);

/// Other sources have other worlds, and the same sources the same: what fails once fails again.
fn of_the_sources() -> io::Result<u64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders = vec![root.join("src"), root.join("crates")];
    let mut files = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => drop(files.insert(path)),
                _ => {}
            }
        }
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        fs::read(file)?.hash(&mut hasher);
    }
    Ok(hasher.finish() >> 32)
}

/// Lives through a world; in words what is wrong with it, if anything is.
fn live(options: &Options) -> Result<Outcome, String> {
    let outcome = run(options);
    let Some(wrong) = outcome.wrong.clone() else { return Ok(outcome) };
    let (shortest, outcome) = shrink::shortest(options, outcome, |_| {});
    let mut words = format!("{}  {}\n", clock::shown(wrong.at), wrong.what);
    for planned in shrink::events(&shortest) {
        let _ = writeln!(words, "{planned}");
    }
    let skipped = outcome.trace.len().saturating_sub(60);
    outcome.trace.iter().skip(skipped).for_each(|line| words.push_str(&format!("{line}\n")));
    Err(format!("{words}again: {}", shortest.command()))
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
fn fresh_worlds_are_right() {
    let began = Instant::now();
    let first = of_the_sources().expect("the sources can be read");
    for (seed, sites) in (first..).zip((2..8).cycle()) {
        if began.elapsed() >= FRESH {
            break;
        }
        let options = Options::new(seed, 3, sites);
        // A share goes by TLS, and in another the neighbours fare as without any fault.
        let told = match seed % 8 {
            0 => live(&Options { tls: true, days: 1, ..options }).map(drop),
            1 => neighbours_fare_well(&Options { days: 2, sites: sites + 3, ..options }),
            _ => live(&options).map(drop),
        };
        if let Err(words) = told {
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
    let options = Options::new(11, 2, 12);
    assert_eq!(neighbours_fare_well(&options), Ok(()));
    let outcome = run(&Options { only_servers: true, ..options });
    assert!(outcome.events > 20 && !outcome.calm.is_empty());
}

/// In words, which neighbour of servers in trouble does not fare as if there were none.
fn neighbours_fare_well(options: &Options) -> Result<(), String> {
    let faults = Options { only_servers: true, ..options.clone() };
    let none = Options { events: Some(0), ..faults.clone() };
    let options_of_faults = faults;
    let (faults, none) = (live(&options_of_faults)?, live(&none)?);
    // Otherwise the choices of the runtime are its own.
    if cfg!(tokio_unstable) && faults.calm != none.calm {
        let command = options_of_faults.command();
        return Err(format!("{:?} is not {:?}: {command}", faults.calm, none.calm));
    }
    Ok(())
}
