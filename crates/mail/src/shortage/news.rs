//! What is logged of shortages: a line in the log when one is met, at most once a minute, a line when it
//! is over, and for the page what the exporter is short of now.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use ledger::Shortage;

use super::advice;
use crate::throttle::LogThrottle;

/// A shortage is over when it was not met for so long.
const OVER_AFTER: Duration = Duration::from_secs(120);

/// A shortage that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// What there is too little of.
    pub shortage: Shortage,
    /// How often it was met since it began.
    pub times: u64,
    /// When it was last met, so long ago.
    pub ago: Duration,
}

/// What is known of all shortages; a shortage is its own index.
#[derive(Debug, Default)]
struct News([Item; Shortage::ALL.len()]);

#[derive(Debug, Default)]
struct Item {
    /// `None`: it is over, or never was.
    spell: Option<Spell>,
    gate: LogThrottle,
}

#[derive(Debug, Clone, Copy)]
struct Spell {
    began: Instant,
    newest: Instant,
    times: u64,
}

static NEWS: Mutex<News> = Mutex::new(News::new());

/// A shortage was met: it is logged, if none of its kind was within the minute.
pub(super) fn met(shortage: Shortage) {
    let logged = news().met(shortage, Instant::now());
    if let Some(held_back) = logged {
        let suppressed = (held_back > 0).then_some(held_back);
        warn!(resource = %shortage, suppressed, "{}; {}", shortage.words(), advice(shortage));
    }
}

/// Logs which shortages are over; to be called every few seconds.
pub fn tell_ended() {
    let ended = news().ended(Instant::now());
    for (shortage, spell) in ended {
        let lasted = (spell.newest - spell.began).as_secs();
        info!(resource = %shortage, times = spell.times, lasted_seconds = lasted,
            "the exporter has enough {} again", shortage.things());
    }
}

/// The shortages that go on.
pub fn current() -> Vec<Current> {
    news().current(Instant::now())
}

fn news() -> MutexGuard<'static, News> {
    NEWS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl News {
    const fn new() -> Self {
        Self([const { Item { spell: None, gate: LogThrottle::new() } }; Shortage::ALL.len()])
    }

    /// How many were held back before this one, if it is to be logged.
    fn met(&mut self, shortage: Shortage, now: Instant) -> Option<u64> {
        let item = self.0.get_mut(shortage as usize)?;
        let spell = item.spell.get_or_insert(Spell { began: now, newest: now, times: 0 });
        spell.newest = now;
        spell.times += 1;
        item.gate.pass(now)
    }

    /// Those that are over now, and were not before.
    fn ended(&mut self, now: Instant) -> Vec<(Shortage, Spell)> {
        let items = Shortage::ALL.into_iter().zip(&mut self.0);
        let ended = items.filter_map(|(shortage, item)| {
            let is_over = |spell: &mut Spell| is_over(spell, now);
            Some((shortage, item.spell.take_if(is_over)?))
        });
        ended.collect()
    }

    fn current(&self, now: Instant) -> Vec<Current> {
        let items = Shortage::ALL.into_iter().zip(&self.0);
        let current = items.filter_map(|(shortage, item)| {
            let spell = item.spell.filter(|spell| !is_over(spell, now))?;
            let ago = now.saturating_duration_since(spell.newest);
            Some(Current { shortage, times: spell.times, ago })
        });
        current.collect()
    }
}

fn is_over(spell: &Spell, now: Instant) -> bool {
    now.saturating_duration_since(spell.newest) >= OVER_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_once_a_minute_and_once_that_it_is_over() {
        let (mut news, start) = (News::new(), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let told: Vec<_> =
            [0, 1, 59, 60].map(|second| news.met(Shortage::Descriptors, at(second))).into();
        assert_eq!(told, [Some(0), None, None, Some(2)]);
        // Another one is told apart from it.
        assert_eq!(news.met(Shortage::Memory, at(60)), Some(0));
        let going_on =
            Current { shortage: Shortage::Descriptors, times: 4, ago: Duration::from_secs(119) };
        assert_eq!(news.current(at(179))[0], going_on);
        assert!(news.ended(at(179)).is_empty());
        let ended = news.ended(at(180));
        assert_eq!(ended.len(), 2, "{ended:?}");
        assert_eq!((ended[0].0, ended[0].1.times), (Shortage::Descriptors, 4));
        assert!(news.ended(at(300)).is_empty(), "told once");
        assert!(news.current(at(300)).is_empty());
        assert_eq!(news.met(Shortage::Descriptors, at(301)), Some(0), "it begins anew");
        assert_eq!(news.current(at(301))[0].times, 1);
    }
}
