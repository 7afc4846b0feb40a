//! Which world is lived through, and what it came to.

use std::fmt::Write as _;

use crate::oracle::Wrong;

/// Which world, and how much of it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// For how many days.
    pub days: u32,
    /// How many sites there are.
    pub sites: usize,
    /// The period of each target in minutes; `None`: as the seed has it.
    pub minutes: Option<u32>,
    /// Only so many events happen; `None`: all.
    pub events: Option<usize>,
    /// Whether nothing befalls the exporter and its host, but only the servers, and the disk takes no time.
    pub only_servers: bool,
    /// Whether no other world is lived through in this process at the same time.
    pub is_only_world: bool,
    /// Whether the trace has everything that is said.
    pub dialogues: bool,
    /// Whether everything goes by TLS. Its bytes are not of the seed.
    pub tls: bool,
}

impl Options {
    /// A world of this seed, with so many days and sites, in which everything may happen.
    pub fn new(seed: u64, days: u32, sites: usize) -> Self {
        Self {
            seed,
            days,
            sites,
            minutes: None,
            events: None,
            only_servers: false,
            is_only_world: false,
            dialogues: false,
            tls: false,
        }
    }

    /// The command that lives through this world.
    pub fn command(&self) -> String {
        let Self { seed, days, sites, minutes, events, only_servers, tls, .. } = self;
        let mut command = format!("make simulate SEED={seed} DAYS={days} SITES={sites}");
        let more = [("PERIOD", minutes.map(u64::from)), ("EVENTS", events.map(|it| it as u64))];
        for (name, value) in more.into_iter().filter_map(|(name, it)| Some((name, it?))) {
            let _ = write!(command, " {name}={value}");
        }
        for (name, is_set) in [("SERVERS", *only_servers), ("TLS", *tls)] {
            if is_set {
                let _ = write!(command, " {name}=1");
            }
        }
        command
    }
}

/// What a world came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What is wrong with it, if anything is.
    pub wrong: Option<Wrong>,
    /// A number that everything that happened goes into.
    pub fingerprint: u64,
    /// The newest of what happened.
    pub trace: Vec<String>,
    /// How many mails the servers have accepted.
    pub mails: u64,
    /// How many processes there were.
    pub processes: u64,
    /// How many events happened.
    pub events: usize,
    /// What happened when to the mails of each calm site, as a number.
    pub calm: Vec<u64>,
}
