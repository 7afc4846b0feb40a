//! What will go wrong in a world, drawn before it begins: a list of events, each at its time. What happens to
//! one site does not depend on the others, and an event not on those after it.

use std::fmt;
use std::time::Duration;

use mailtrip_exporter::store::simulated::Failing;

use crate::clock::shown;
use crate::fate::Fate;
use crate::trouble::{Place, Trouble};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// One in so many worlds has a host that is often slow to write, and dies meanwhile.
const SLOW_HOSTS: u64 = 4;

/// Something that happens to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something goes wrong at a site, where nothing is wrong at this place.
    Begin(usize, Place, Trouble),
    /// It is over.
    End(usize, Place, Trouble),
    /// The folders of a mailbox are numbered anew, as after a restored backup.
    Renumber(usize),
    /// Mail of somebody else arrives in a mailbox.
    Foreign(usize),
    /// The process is killed with so many further uses of the network, and is started again so much later.
    Kill(u16, Duration),
    /// The same with the host: what was written in the last second is lost.
    PowerLoss(u16, Duration),
    /// The process is told to stop, and is started again so much later.
    Restart(Duration),
    /// The exporter's clock on the wall is set by so many milliseconds.
    Step(i64),
    /// Each commit takes so many milliseconds longer from now on; none: no longer.
    SlowDisk(u16),
    /// The state cannot be written from now on.
    Disk(Failing),
    /// It can be written again.
    DiskWorks,
    /// The configuration is another: the period of a site in minutes, or the site is left out (0).
    Reload(usize, u32),
}

impl Event {
    /// Whether it befalls the servers, and neither the exporter nor its host.
    pub fn is_of_servers(self) -> bool {
        matches!(self, Event::Begin(..) | Event::End(..) | Event::Renumber(_) | Event::Foreign(_))
    }
}

/// An event at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// The age of the world.
    pub at: Duration,
    /// What happens.
    pub event: Event,
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}  {:?}", shown(self.at), self.event)
    }
}

/// The events of a world with these sites in so many days; the last day and a half of them are quiet, for what is
/// left to come to its end.
pub fn draw(seed: u64, days: u32, sites: &[Fate]) -> Vec<Planned> {
    let end = u64::from(days) * DAY;
    let quiet = end.saturating_sub((DAY * 3 / 2).min(end / 4));
    let mut events = Vec::new();
    for (site, fate) in sites.iter().enumerate().filter(|(_, fate)| !fate.is_calm) {
        let has_place = |place: &Place| !fate.shares || *place == Place::Send;
        let places = Place::ALL.into_iter().enumerate().filter(|(_, place)| has_place(place));
        for (number, place) in places {
            let mut chance = stream(seed, (site * Place::ALL.len() + number) as u64);
            troubles(site, place, fate.is_pop3, quiet, &mut chance, &mut events);
        }
        if fate.shares {
            continue;
        }
        let mut chance = stream(seed, 10_000 + site as u64);
        let renumbers = times(9 * DAY, quiet, &mut chance);
        events.extend(renumbers.map(|at| Planned { at, event: Event::Renumber(site) }));
        let mails = times(8 * HOUR, quiet, &mut chance);
        events.extend(mails.map(|at| Planned { at, event: Event::Foreign(site) }));
    }
    let mut chance = stream(seed, 20_000);
    deaths(quiet, &mut chance, &mut events);
    let mut chance = stream(seed, 20_001);
    let steps: Vec<Duration> = times(4 * DAY, quiet, &mut chance).collect();
    events.extend(steps.into_iter().map(|at| {
        let size = 1 << chance.u32(7..24);
        let event = Event::Step(chance.i64(-size..=size));
        Planned { at, event }
    }));
    let mut chance = stream(seed, 20_002);
    disks(quiet, &mut chance, &mut events);
    if seed % SLOW_HOSTS == SLOW_HOSTS - 1 {
        let mut chance = stream(seed, 20_004);
        slow_deaths(quiet, &mut chance, &mut events);
    }
    let mut chance = stream(seed, 20_003);
    reloads(quiet, sites, &mut chance, &mut events);
    events.sort_by_key(|planned| planned.at);
    events
}

/// Numbers of chance for one thing of the world of this seed.
pub(crate) fn stream(seed: u64, number: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number))
}

/// Moments that lie so many seconds apart on average, until `end`.
fn times(mean: u64, end: u64, chance: &mut fastrand::Rng) -> impl Iterator<Item = Duration> {
    let mut at = Duration::ZERO;
    let mut all = Vec::new();
    loop {
        at += wait(mean, chance);
        if at.as_secs() >= end {
            return all.into_iter();
        }
        all.push(at);
    }
}

/// How long it takes until something happens that happens once in so many seconds.
fn wait(mean: u64, chance: &mut fastrand::Rng) -> Duration {
    let even = 1.0 - chance.f64();
    Duration::from_secs_f64(mean as f64 * -even.ln()).max(Duration::from_secs(1))
}

/// Short ones are as frequent as long ones.
fn span(from: Duration, to: Duration, chance: &mut fastrand::Rng) -> Duration {
    from.mul_f64((to.as_secs_f64() / from.as_secs_f64()).powf(chance.f64()))
}

fn troubles(
    site: usize,
    place: Place,
    is_pop3: bool,
    end: u64,
    chance: &mut fastrand::Rng,
    events: &mut Vec<Planned>,
) {
    let mut at = Duration::ZERO;
    loop {
        at += wait(36 * HOUR, chance);
        let trouble = Trouble::draw(place, is_pop3, chance);
        let lasts = span(Duration::from_secs(5), Duration::from_secs(5 * HOUR), chance);
        if (at + lasts).as_secs() >= end {
            return;
        }
        events.push(Planned { at, event: Event::Begin(site, place, trouble) });
        at += lasts;
        events.push(Planned { at, event: Event::End(site, place, trouble) });
    }
}

fn deaths(end: u64, chance: &mut fastrand::Rng, events: &mut Vec<Planned>) {
    let moments: Vec<Duration> = times(20 * HOUR, end, chance).collect();
    for at in moments {
        let down = span(Duration::from_millis(300), Duration::from_secs(2 * HOUR), chance);
        let uses = chance.u16(0..400);
        let event = match chance.u8(0..6) {
            0..3 => Event::Kill(uses, down),
            3 => Event::PowerLoss(uses, down),
            _ => Event::Restart(down),
        };
        events.push(Planned { at, event });
    }
}

fn disks(end: u64, chance: &mut fastrand::Rng, events: &mut Vec<Planned>) {
    let mut at = Duration::ZERO;
    loop {
        at += wait(2 * DAY, chance);
        let lasts = span(Duration::from_secs(1), Duration::from_secs(HOUR), chance);
        if (at + lasts).as_secs() >= end {
            return;
        }
        let (begin, end) = match chance.u8(0..4) {
            0 => (Event::Disk(Failing::AtBegin), Event::DiskWorks),
            1 => (Event::Disk(Failing::AtCommit), Event::DiskWorks),
            _ => (Event::SlowDisk(chance.u16(30..900)), Event::SlowDisk(0)),
        };
        events.push(Planned { at, event: begin });
        at += lasts;
        events.push(Planned { at, event: end });
    }
}

/// Deaths while each commit takes long: what was done before it was written down shows only then. Nobody waits for more
/// than a second for a commit, and there may be one before it.
fn slow_deaths(end: u64, chance: &mut fastrand::Rng, events: &mut Vec<Planned>) {
    let mut at = Duration::ZERO;
    loop {
        at += wait(10 * HOUR, chance);
        let lasts = span(Duration::from_secs(10 * MINUTE), Duration::from_secs(HOUR), chance);
        if (at + lasts).as_secs() >= end {
            return;
        }
        let slow = Event::SlowDisk(chance.u16(150..450));
        let death = Event::Kill(chance.u16(0..120), Duration::from_secs(chance.u64(1..60)));
        let dies = at + lasts.mul_f64(chance.f64());
        events.push(Planned { at, event: slow });
        events.push(Planned { at: dies, event: death });
        at += lasts;
        events.push(Planned { at, event: Event::SlowDisk(0) });
    }
}

fn reloads(end: u64, sites: &[Fate], chance: &mut fastrand::Rng, events: &mut Vec<Planned>) {
    let moments: Vec<Duration> = times(DAY, end, chance).collect();
    for at in moments {
        let site = chance.usize(0..sites.len().max(1));
        let minutes = chance.choice([0, 2, 5, 20]).unwrap_or(5);
        events.push(Planned { at, event: Event::Reload(site, minutes) });
        let back = at + span(Duration::from_secs(2), Duration::from_secs(6 * HOUR), chance);
        let usual = sites.get(site).map_or(5, |fate| fate.minutes);
        events.push(Planned { at: back, event: Event::Reload(site, usual) });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fate::fates;
    use crate::options::Options;

    /// Those of four sites: a calm one, three that are not.
    fn sites() -> Vec<Fate> {
        fates(&Options::new(60, 30, 4))
    }

    #[test]
    fn a_seed_is_one_plan_and_what_befalls_a_site_is_its_own() {
        let plan = draw(3, 30, &sites());
        assert_eq!(plan, draw(3, 30, &sites()));
        assert_ne!(plan, draw(4, 30, &sites()));
        let of_second = |plan: Vec<Planned>| -> Vec<Planned> {
            let is_its = |it: &Planned| matches!(it.event, Event::Begin(1, ..) | Event::End(1, ..));
            plan.into_iter().filter(is_its).collect()
        };
        assert_eq!(of_second(plan), of_second(draw(3, 30, &sites()[..2])));
    }

    #[test]
    fn troubles_begin_and_end_in_turn_and_the_end_is_quiet() {
        let plan = draw(5, 30, &sites());
        let mut under_way = BTreeMap::new();
        for Planned { at, event } in &plan {
            match event {
                Event::Begin(site, place, trouble) => {
                    assert!(*site > 0, "a calm site has no trouble");
                    assert_eq!(under_way.insert((site, place), trouble), None);
                }
                Event::End(site, place, trouble) => {
                    assert_eq!(under_way.remove(&(site, place)), Some(trouble));
                }
                _ => {}
            }
            let is_back = matches!(event, Event::Reload(..));
            assert!(is_back || at.as_secs() < 30 * DAY - 36 * HOUR, "{event:?}");
        }
        assert!(under_way.is_empty());
        assert!(plan.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
