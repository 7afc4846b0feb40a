//! What each site of a world is, as its seed has it.

use std::time::Duration;

use crate::options::Options;
use crate::plan::stream;

/// What a site is, and its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Nothing ever goes wrong with it.
    pub is_calm: bool,
    /// Its target is passive.
    pub is_passive: bool,
    /// Its mailbox is one of POP3.
    pub is_pop3: bool,
    /// Its mail comes into the mailbox of the site before.
    pub shares: bool,
    /// Mails that somebody has marked as deleted lie among the others in its mailbox.
    pub has_deleted: bool,
    /// Its target checks ports as well.
    pub checks_ports: bool,
    /// How many mails go out in each period.
    pub messages: u32,
    /// The period, in minutes.
    pub minutes: u32,
    /// How long a byte is under way to it when nothing is wrong.
    pub latency: Duration,
}

/// What the sites are. Neighbours differ: every fifth is calm, every sixth passive, every third has POP3, every fourth
/// shares the mailbox of the one before.
pub fn fates(options: &Options) -> Vec<Fate> {
    let mut all: Vec<Fate> = Vec::with_capacity(options.sites);
    // Which is which differs between worlds, for small ones to be of all kinds.
    let first = usize::try_from(options.seed % 60).unwrap_or_default();
    for role in first..first + options.sites {
        let before = all.last().copied();
        let owner = before.filter(|_| role % 4 == 3);
        let mut chance = stream(options.seed, 30_000 + all.len() as u64);
        let drawn = chance.choice([5, 10, 15, 30, 60, 60]).unwrap_or(5);
        let latency = match role % 4 {
            0 => 1,
            1 => 4,
            2 => 20,
            _ => 80,
        };
        all.push(Fate {
            is_calm: role % 5 == 0 && owner.is_none_or(|owner| owner.is_calm),
            is_passive: role % 6 == 1,
            is_pop3: owner.map_or(role % 3 == 2, |owner| owner.is_pop3),
            shares: owner.is_some(),
            has_deleted: owner.map_or(role % 9 == 4, |owner| owner.has_deleted),
            checks_ports: role.is_multiple_of(4),
            messages: if role % 7 == 3 { 2 } else { 1 },
            minutes: options.minutes.unwrap_or(drawn),
            latency: Duration::from_millis(latency),
        });
    }
    all
}
