//! How late the exporter itself is. What it does late it measures late: a reply is read when the processor is free
//! for it, and the wait is in the round trip, which has some twenty of them. Nothing here is about a server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The timer of its own goes off so often. Each time the runtime wakes up for nothing else.
const TIMER_EVERY: Duration = Duration::from_secs(1);
/// Of a stall no more turns of the timer are counted than this: those of a minute.
const MOST_TURNS: u32 = 60;
/// More than this part late, one in so many, is worth a word.
const ONE_IN: u64 = 100;
/// So few are not: they are chance.
const FEW: u64 = 2;
/// What is told of the latest minutes goes so far back, in minutes.
pub const LATEST_MINUTES: u64 = 5;
/// One more minute than that: the present one has only begun.
const SLOTS: usize = 6;

/// What may be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The start of a send: from the time at which it is due to its beginning, without the wait for a connection
    /// that the account still has in use, and for the check of the mailbox.
    Start,
    /// A timer that does nothing else. A round trip that is measured meanwhile waits for the processor some twenty times:
    /// it is wrong by several times as much.
    Timer,
}

/// The lateness since the exporter started.
#[derive(Debug)]
pub struct Lag {
    start: Counters,
    timer: Counters,
    recent: Mutex<[Minute; SLOTS]>,
    began: Instant,
}

/// How often one part was how late, as buckets that do not overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// The counts up to each of [`Lateness::BOUNDS_SECONDS`], and beyond the last.
    pub counts: [u64; Lateness::BUCKETS],
    /// All of it together.
    pub sum: Duration,
}

/// How late something was in the latest minutes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lately {
    /// What was late.
    pub part: Part,
    /// The part of what was due that came later than [`Part::late`], above 0 and up to 1.
    pub ratio: f64,
    /// The latest of all.
    pub worst: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    counts: [AtomicU64; Lateness::BUCKETS],
    sum_nanos: AtomicU64,
}

/// What was due in a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    /// Which one since the exporter started, from 1; 0: none.
    number: u64,
    parts: [Tally; Part::ALL.len()],
}

/// How much of one part was due, and how much of that late.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    due: u64,
    late: u64,
    worst: Duration,
}

impl Part {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Start, Self::Timer];

    /// The value of the label `part`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Timer => "timer",
        }
    }

    /// What comes later than that is late. Of the timer: from here on a round trip is visibly wrong. Of a start, which
    /// makes no round trip wrong: it is not by chance.
    pub fn late(self) -> Duration {
        match self {
            Self::Start => Duration::from_millis(250),
            Self::Timer => Duration::from_millis(25),
        }
    }
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            late: self.late + other.late,
            worst: self.worst.max(other.worst),
        }
    }
}

impl Lateness {
    /// The upper bounds of the buckets but the last, in seconds.
    pub const BOUNDS_SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
    /// One more than bounds.
    pub const BUCKETS: usize = Self::BOUNDS_SECONDS.len() + 1;
}

impl Default for Lag {
    fn default() -> Self {
        Self {
            start: Counters::default(),
            timer: Counters::default(),
            recent: Mutex::default(),
            began: Instant::now(),
        }
    }
}

impl Lag {
    /// Something came so late.
    pub fn observe(&self, part: Part, lateness: Duration) {
        self.counters(part).observe(lateness);
        let number = self.minute();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(minute) = recent.get_mut(slot(number)) else { return };
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        let Some(tally) = minute.parts.get_mut(part as usize) else { return };
        let late = u64::from(lateness > part.late());
        *tally = tally.and(Tally { due: 1, late, worst: lateness });
    }

    /// How late that was since the exporter started.
    pub fn of(&self, part: Part) -> Lateness {
        self.counters(part).read()
    }

    /// How late it was in the latest minutes; `None`: 99 of 100 were in time. If both parts were late the timer is told:
    /// by that round trips are wrong.
    pub fn lately(&self) -> Option<Lately> {
        let number = self.minute();
        let recent = *self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |part: Part| {
            let minutes = recent.iter().filter(|it| it.number + LATEST_MINUTES >= number);
            let tallies = minutes.filter_map(|minute| minute.parts.get(part as usize).copied());
            let all = tallies.fold(Tally::default(), Tally::and);
            let is_late = all.late > FEW.max(all.due / ONE_IN);
            is_late.then(|| Lately { part, ratio: ratio(all), worst: all.worst })
        };
        of(Part::Timer).or_else(|| of(Part::Start))
    }

    /// Observes the timer for as long as it is polled.
    pub async fn watch(&self) {
        let mut due = Instant::now() + TIMER_EVERY;
        loop {
            sleep_until(due).await;
            let now = Instant::now();
            // Each turn that was due meanwhile counts, so that what is counted is in proportion to the time.
            for _ in 0..MOST_TURNS {
                if due > now {
                    break;
                }
                self.observe(Part::Timer, now - due);
                due += TIMER_EVERY;
            }
            due = due.max(now);
        }
    }

    fn counters(&self, part: Part) -> &Counters {
        match part {
            Part::Start => &self.start,
            Part::Timer => &self.timer,
        }
    }

    fn minute(&self) -> u64 {
        self.began.elapsed().as_secs() / 60 + 1
    }
}

impl Counters {
    fn observe(&self, lateness: Duration) {
        let bounds = Lateness::BOUNDS_SECONDS.iter();
        let bucket = bounds.take_while(|bound| **bound < lateness.as_secs_f64()).count();
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(lateness.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    fn read(&self) -> Lateness {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        Lateness { counts, sum: Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)) }
    }
}

fn slot(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default() % SLOTS
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes")]
fn ratio(Tally { due, late, .. }: Tally) -> f64 {
    late as f64 / due.max(1) as f64
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_falls_into_the_bucket_of_its_bound() {
        let lag = Lag::default();
        for millis in [0, 5, 6, 250, 251, 40_000] {
            lag.observe(Part::Start, MILLISECOND * millis);
        }
        let start = lag.of(Part::Start);
        assert_eq!(start.counts, [2, 1, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!(start.sum, MILLISECOND * 40_512);
        assert_eq!(lag.of(Part::Timer).counts.iter().sum::<u64>(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_minutes_are_told_of_as_long_as_more_than_one_in_a_hundred_was_late() {
        let lag = Lag::default();
        assert_eq!(lag.lately(), None);
        (0..396).for_each(|_| lag.observe(Part::Timer, MILLISECOND * 25));
        (0..4).for_each(|_| lag.observe(Part::Timer, MILLISECOND * 26));
        assert_eq!(lag.lately(), None);
        // Few starts are not lost among many turns of the timer, but two are chance.
        (0..2).for_each(|_| lag.observe(Part::Start, MILLISECOND * 400));
        (0..9).for_each(|_| lag.observe(Part::Start, MILLISECOND * 250));
        assert_eq!(lag.lately(), None);
        lag.observe(Part::Start, MILLISECOND * 251);
        let starts = Lately { part: Part::Start, ratio: 0.25, worst: MILLISECOND * 400 };
        assert_eq!(lag.lately(), Some(starts));
        // The more serious one is told.
        lag.observe(Part::Timer, MILLISECOND * 90);
        let lately = lag.lately().unwrap();
        assert_eq!((lately.part, lately.worst), (Part::Timer, MILLISECOND * 90));
        assert!((lately.ratio - 5.0 / 401.0).abs() < 1e-9, "{lately:?}");
        advance(Duration::from_secs(5 * 60)).await;
        assert!(lag.lately().is_some());
        advance(Duration::from_secs(60)).await;
        assert_eq!(lag.lately(), None);
    }

    #[tokio::test]
    async fn a_runtime_that_is_blocked_is_late_by_so_much() {
        let lag = std::sync::Arc::new(Lag::default());
        let watched = std::sync::Arc::clone(&lag);
        let watch = tokio::spawn(async move { watched.watch().await });
        tokio::task::yield_now().await;
        // What a task does that leaves the processor to nobody.
        std::thread::sleep(Duration::from_millis(3_600));
        tokio::time::timeout(Duration::from_secs(60), async {
            while lag.of(Part::Timer).counts.iter().sum::<u64>() < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        watch.abort();
        let timer = lag.of(Part::Timer);
        // The turns of the time that it stood still: by some seconds, and by less and less.
        let beyond = |bounds: usize| timer.counts.iter().skip(bounds).sum::<u64>();
        assert!(beyond(6) >= 2, "two by more than a second: {timer:?}");
        assert!(beyond(5) >= 3, "three by more than half a second: {timer:?}");
        assert!(timer.sum >= Duration::from_millis(4_800), "{timer:?}");
        assert!(lag.lately().is_some_and(|lately| lately.worst >= Duration::from_secs(1)));
    }
}
