//! Who may check next: a fixed number of checks at one time, shared fairly by the targets.
//!
//! What counts is how long a target has held places lately. A free place goes to the target that waits
//! and has held them least. One that has hardly held any does not wait for others' silence: the check
//! that has cost most gives up its place. So a target that answers is checked whatever the others do, and
//! those whose packets vanish share what is left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::config::TargetName;

/// No place is given up that a target holds who has held any for less than this.
const LITTLE: Duration = Duration::from_secs(1);
/// It is given up for a target that has held them for less than this part of the time.
const PART: u32 = 3;
/// What so many targets have held is remembered in any case.
const MANY: usize = 1024;
/// How often whoever waits looks whether it should wait any longer.
const PATIENCE: Duration = LITTLE;
/// What was held so long ago counts half.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// The places.
#[derive(Debug, Clone)]
pub(super) struct Places {
    state: Arc<Mutex<State>>,
}

/// One of them; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    /// Told, or closed, when it is to be given up.
    revoked: oneshot::Receiver<()>,
    places: Places,
}

#[derive(Debug)]
struct State {
    free: usize,
    /// Numbers those who wait and the places.
    next: u64,
    held: HashMap<u64, Held>,
    waiting: HashMap<u64, Waiting>,
    spent: HashMap<TargetName, Spent>,
    costliest: Option<(u64, Duration, Instant)>,
    /// At so many of them it is looked for some to forget.
    many: usize,
}

#[derive(Debug)]
struct Held {
    target: TargetName,
    since: Instant,
    /// `None`: it is being given up.
    revoke: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Waiting {
    target: TargetName,
    turn: oneshot::Sender<Place>,
}

/// How long a target has held places that it has given back, as of a moment.
#[derive(Debug, Clone, Copy)]
struct Spent {
    time: Duration,
    at: Instant,
}

impl Spent {
    fn by(self, now: Instant) -> Duration {
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        self.time.mul_f64(0.5_f64.powf(age / HALF_LIFE.as_secs_f64()))
    }
}

impl Places {
    pub(super) fn new(count: usize) -> Self {
        let state = State {
            free: count,
            next: 0,
            held: HashMap::new(),
            waiting: HashMap::new(),
            spent: HashMap::new(),
            costliest: None,
            many: MANY,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A place for a check of this target; `None` if it does not come before `end`.
    pub(super) async fn take(&self, target: &TargetName, end: Instant) -> Option<Place> {
        let (turn, mut place) = oneshot::channel();
        let number = {
            let mut state = self.lock();
            state.next += 1;
            let number = state.next;
            state.waiting.insert(number, Waiting { target: target.clone(), turn });
            self.hand_out(state);
            number
        };
        let _leaving = Leaving { number, places: self };
        loop {
            self.lock().plead(target, Instant::now());
            let patience = end.min(Instant::now() + PATIENCE);
            match timeout_at(patience, &mut place).await {
                Ok(place) => return place.ok(),
                Err(_) if Instant::now() >= end => return None,
                Err(_) => {}
            }
        }
    }

    /// Gives the free places to those who wait.
    fn hand_out(&self, mut state: MutexGuard<'_, State>) {
        let now = Instant::now();
        let mut gone = Vec::new();
        while state.free > 0
            && let Some(number) = state.next_waiting(now)
            && let Some(Waiting { target, turn }) = state.waiting.remove(&number)
        {
            let (revoke, revoked) = oneshot::channel();
            let place = Place { number, revoked, places: self.clone() };
            state.free -= 1;
            state.held.insert(number, Held { target, since: now, revoke: Some(revoke) });
            // Whoever has gone meanwhile gives it back when the lock is free.
            gone.extend(turn.send(place).err());
        }
        drop(state);
        drop(gone);
    }

    fn give_back(&self, number: u64) {
        let mut state = self.lock();
        let Some(held) = state.held.remove(&number) else { return };
        let now = Instant::now();
        let before = state.spent.get(&held.target).map_or(Duration::ZERO, |spent| spent.by(now));
        let time = before + now.saturating_duration_since(held.since);
        state.spent.insert(held.target, Spent { time, at: now });
        state.forget_the_old(now);
        state.free += 1;
        self.hand_out(state);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// What `check` comes to; `None` if the place has to be given up before.
    pub(super) async fn hold<T>(mut self, check: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            outcome = check => Some(outcome),
            _ = &mut self.revoked => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(self.number);
    }
}

/// Takes whoever waits off the list.
struct Leaving<'a> {
    number: u64,
    places: &'a Places,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.places.lock().waiting.remove(&self.number);
    }
}

impl State {
    /// How long a target has held places lately, those that it holds now included; and how many it holds.
    fn cost(&self, target: &TargetName, now: Instant) -> (Duration, usize) {
        let held = self.held.values().filter(|held| held.target == *target);
        let (time, count) = held.fold((Duration::ZERO, 0), |(time, count), held| {
            (time + now.saturating_duration_since(held.since), count + 1)
        });
        (time + self.spent.get(target).map_or(Duration::ZERO, |spent| spent.by(now)), count)
    }

    /// The same of each target that holds a place.
    fn costs(&self, now: Instant) -> HashMap<&TargetName, (Duration, usize)> {
        let mut costs: HashMap<&TargetName, (Duration, usize)> = HashMap::new();
        for held in self.held.values() {
            let of_before = || {
                let spent = self.spent.get(&held.target);
                (spent.map_or(Duration::ZERO, |spent| spent.by(now)), 0)
            };
            let (time, count) = costs.entry(&held.target).or_insert_with(of_before);
            *time += now.saturating_duration_since(held.since);
            *count += 1;
        }
        costs
    }

    /// Who is next: whose target has cost least, holds fewest, and has waited longest.
    fn next_waiting(&self, now: Instant) -> Option<u64> {
        if self.waiting.len() < 2 {
            return self.waiting.keys().next().copied();
        }
        let costs = self.costs(now);
        let rank = |number: u64, target: &TargetName| {
            let of_before = || self.spent.get(target).map_or(Duration::ZERO, |it| it.by(now));
            let (cost, count) = costs.get(target).copied().unwrap_or_else(|| (of_before(), 0));
            (cost, count, number)
        };
        let ranks = self.waiting.iter().map(|(number, waiting)| rank(*number, &waiting.target));
        ranks.min().map(|(_, _, number)| number)
    }

    /// For somebody of this target who waits: has the check give up its place whose target has cost most,
    /// that which was held longest, if this target has cost far less.
    fn plead(&mut self, target: &TargetName, now: Instant) {
        if self.free > 0 {
            return;
        }
        let Some((number, most)) = self.costliest(now) else { return };
        let spent = self.spent.get(target).map_or(Duration::ZERO, |spent| spent.by(now));
        // The first alone tells of most of those who wait.
        if most >= LITTLE
            && spent < most / PART
            && self.cost(target, now).0 < most / PART
            && let Some(revoke) = self.held.get_mut(&number).and_then(|held| held.revoke.take())
        {
            let _ = revoke.send(());
        }
    }

    /// The place whose target has cost most, and how much; as it was a moment ago, for many ask.
    fn costliest(&mut self, now: Instant) -> Option<(u64, Duration)> {
        if let Some((number, most, at)) = self.costliest
            && now.saturating_duration_since(at) < LITTLE / 10
            && let Some(held) = self.held.get(&number)
        {
            // One that is being given up comes free at once.
            return held.revoke.is_some().then_some((number, most));
        }
        let costs = self.costs(now);
        let rank = |held: &Held| {
            let (cost, _) = costs.get(&held.target).copied().unwrap_or_default();
            (cost, now.saturating_duration_since(held.since))
        };
        let ((most, _), number) =
            self.held.iter().map(|(number, held)| (rank(held), *number)).max()?;
        self.costliest = Some((number, most, now));
        Some((number, most))
    }

    /// What was held long ago, or hardly at all, makes no difference any more.
    fn forget_the_old(&mut self, now: Instant) {
        if self.spent.len() >= self.many {
            self.spent.retain(|_, spent| spent.by(now) > LITTLE / 100);
            self.many = MANY.max(self.spent.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::task::JoinSet;
    use tokio::time::{sleep, sleep_until};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn name(index: usize) -> TargetName {
        TargetName::new(&format!("x{index}")).unwrap()
    }

    /// Whether a check that takes so long came to its end within its period.
    async fn check(places: Places, target: TargetName, takes: Duration, end: Instant) -> bool {
        let Some(place) = places.take(&target, end).await else { return false };
        place.hold(async { tokio::time::timeout_at(end, sleep(takes)).await.is_ok() }).await
            == Some(true)
    }

    #[tokio::test(start_paused = true)]
    async fn targets_whose_packets_vanish_do_not_starve_one_that_answers() {
        let places = Places::new(256);
        let period = SECOND * 10;
        let start = Instant::now();
        let timed_out = Arc::new(AtomicUsize::new(0));
        let mut silent = JoinSet::new();
        for index in 0..400 {
            let (places, timed_out) = (places.clone(), Arc::clone(&timed_out));
            silent.spawn(async move {
                // As the supervisor spreads them: 40 in a second.
                let mut tick = start + SECOND * u32::try_from(index).unwrap() / 40;
                loop {
                    sleep_until(tick).await;
                    let mut round = JoinSet::new();
                    for _ in 0..5 {
                        let (places, end) = (places.clone(), tick + period);
                        round.spawn(check(places, name(index), SECOND * 5, end));
                    }
                    let ended = round.join_all().await.into_iter().filter(|ended| *ended);
                    timed_out.fetch_add(ended.count(), Ordering::Relaxed);
                    tick += period;
                }
            });
        }
        for round in 0..10 {
            let tick = start + SECOND * 9 + period * round;
            sleep_until(tick).await;
            for part in 0..3 {
                let end = tick + period;
                let target = TargetName::new("good").unwrap();
                assert!(check(places.clone(), target, SECOND / 100, end).await, "{round} {part}");
            }
            assert!(tick.elapsed() < SECOND / 2, "round {round} took {:?}", tick.elapsed());
        }
        // The others lose little by that: 256 places for 5 s each, over 100 s, less the ends of rounds.
        let timed_out = timed_out.load(Ordering::Relaxed);
        assert!(timed_out > 256 * 100 / 5 * 6 / 10, "{timed_out}");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_share_what_comes_free() {
        let places = Places::new(2);
        let end = Instant::now() + SECOND * 3600;
        let (greedy, modest) = (name(0), name(1));
        let first = places.take(&greedy, end).await.unwrap();
        let _second = places.take(&greedy, end).await.unwrap();
        let mut order = JoinSet::new();
        for target in [&greedy, &greedy, &modest] {
            let (places, target) = (places.clone(), target.clone());
            order.spawn(async move { (target.clone(), places.take(&target, end).await.is_some()) });
            tokio::task::yield_now().await;
        }
        drop(first);
        assert_eq!(order.join_next().await.unwrap().unwrap(), (modest, true));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_leaves_nothing_behind() {
        let places = Places::new(1);
        let end = Instant::now() + SECOND;
        let place = places.take(&name(0), end).await.unwrap();
        assert!(places.take(&name(0), end).await.is_none());
        assert_eq!(end.elapsed(), Duration::ZERO);
        assert!(places.lock().waiting.is_empty());
        drop(place);
        assert_eq!(places.lock().free, 1);
        assert!(places.lock().held.is_empty());
        let end = Instant::now() + SECOND;
        assert!(places.take(&name(1), end).await.is_some());
    }

    #[test]
    fn what_was_held_long_ago_counts_less_and_is_forgotten() {
        let now = Instant::now();
        let spent = Spent { time: SECOND * 8, at: now };
        assert_eq!(spent.by(now + HALF_LIFE * 3).as_millis(), 1000);
        let places = Places::new(1);
        let mut state = places.lock();
        state.spent.extend((0..MANY).map(|index| (name(index), spent)));
        state.forget_the_old(now + HALF_LIFE);
        assert_eq!(state.spent.len(), MANY);
        state.forget_the_old(now + HALF_LIFE * 20);
        assert_eq!(state.spent.len(), MANY, "not before they are twice as many");
        state.many = MANY;
        state.forget_the_old(now + HALF_LIFE * 20);
        assert!(state.spent.is_empty());
    }
}
