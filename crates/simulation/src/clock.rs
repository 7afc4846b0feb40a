//! The time of a simulated world: how long it has existed, and what its clocks on the wall show.
//!
//! While a process lives, the time is that of its runtime, which stands still and jumps from event to event.
//! Between two processes the simulation sets it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// What the clocks on the wall show when a world begins.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The clock of a world. A clone is the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The age of the world when the runtime began, or now if there is none.
    age: Duration,
    runtime_began: Option<Instant>,
    /// By how much the exporter's clock on the wall is ahead, in milliseconds.
    ahead: i64,
}

impl Clock {
    /// How old the world is.
    pub fn age(&self) -> Duration {
        self.state().age()
    }

    /// The true time.
    pub fn true_time(&self) -> SystemTime {
        UNIX_EPOCH + EPOCH + self.age()
    }

    /// What the clock on the wall of the exporter's host shows.
    pub fn wall(&self) -> SystemTime {
        let state = self.state();
        let shift = Duration::from_millis(state.ahead.unsigned_abs());
        let truth = UNIX_EPOCH + EPOCH + state.age();
        if state.ahead < 0 { truth - shift } else { truth + shift }
    }

    /// Sets the exporter's clock forward or back by so many milliseconds.
    pub fn step(&self, milliseconds: i64) {
        self.state().ahead += milliseconds;
    }

    /// From now on the time is that of the runtime in which this is called.
    pub fn runtime_begins(&self) {
        self.state().runtime_began = Some(Instant::now());
    }

    /// Keeps the time that the runtime has come to.
    pub fn runtime_ends(&self) {
        let mut state = self.state();
        (state.age, state.runtime_began) = (state.age(), None);
    }

    /// While there is no runtime: it is this late now, if it is not later already.
    pub fn advance_to(&self, age: Duration) {
        let mut state = self.state();
        if state.runtime_began.is_none() {
            state.age = state.age.max(age);
        }
    }

    /// When the world will be that old, for a timer of the runtime; now if it is already, or there is none.
    pub fn at(&self, age: Duration) -> Instant {
        let state = self.state();
        let began = state.runtime_began.unwrap_or_else(Instant::now);
        began + age.saturating_sub(state.age)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn age(&self) -> Duration {
        self.age + self.runtime_began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

/// An age of the world, as it stands in a trace: days, hours, minutes, seconds.
pub fn shown(age: Duration) -> String {
    let (seconds, thousandths) = (age.as_secs(), age.subsec_millis());
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("day {days:2} {hours:02}:{minutes:02}:{seconds:02}.{thousandths:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_the_runtime_and_is_set_between_two() {
        let clock = Clock::default();
        clock.runtime_begins();
        tokio::time::sleep(MINUTE).await;
        let before = clock.true_time();
        clock.step(-1_500);
        assert_eq!(before.duration_since(clock.wall()).unwrap(), Duration::from_millis(1_500));
        assert_eq!(clock.at(MINUTE * 3), Instant::now() + MINUTE * 2);
        clock.runtime_ends();
        clock.advance_to(MINUTE * 5);
        clock.advance_to(MINUTE * 4);
        assert_eq!(clock.age(), MINUTE * 5);
        clock.runtime_begins();
        assert_eq!(clock.age(), MINUTE * 5);
    }
}
