//! What is known of one hour or day.

use std::time::Duration;

use super::Trips;
use crate::PerSide;

/// What is known of a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bucket {
    /// How long each side was able.
    pub sides: PerSide<Times>,
    /// Mails that became late.
    pub late: u32,
    /// Mails that were lost.
    pub lost: u32,
    /// The round trips of the mails that arrived.
    pub trips: Trips,
}

/// How long a side was able and how long it was not; the rest of the time is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// In milliseconds, as the other.
    able: u64,
    unable: u64,
}

impl Bucket {
    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn count_mails(&mut self, late: u64, lost: u64) {
        let more =
            |known: u32, more: u64| known.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        (self.late, self.lost) = (more(self.late, late), more(self.lost, lost));
    }

    /// Adds what is known of another span.
    pub fn merge(&mut self, other: &Self) {
        for (side, times) in self.sides.iter_mut() {
            times.able = times.able.saturating_add(other.sides[side].able);
            times.unable = times.unable.saturating_add(other.sides[side].unable);
        }
        self.count_mails(other.late.into(), other.lost.into());
        self.trips.merge(&other.trips);
    }
}

impl Times {
    /// In milliseconds.
    pub(super) fn new(able: u64, unable: u64) -> Self {
        Self { able, unable }
    }

    /// How long it was able. Half able counts half.
    pub fn able(&self) -> Duration {
        Duration::from_millis(self.able)
    }

    /// How long it was not.
    pub fn unable(&self) -> Duration {
        Duration::from_millis(self.unable)
    }

    /// How long it was measured.
    pub fn measured(&self) -> Duration {
        self.able().saturating_add(self.unable())
    }

    /// The share of the measured time in which it was able, from 0 to 1; `None`: nothing was measured.
    pub fn share(&self) -> Option<f64> {
        let measured = self.measured().as_secs_f64();
        (measured > 0.0).then(|| self.able().as_secs_f64() / measured)
    }

    /// Adds so many milliseconds with this ability, from 0 to 1; `width` holds no more. The able part is
    /// rounded down, so that only what was able all the time is.
    pub(super) fn add(&mut self, millis: u64, ability: f64, width: u64) {
        let room = width.saturating_sub(self.able.saturating_add(self.unable));
        let millis = millis.min(room);
        let able = ((millis as f64 * ability.clamp(0.0, 1.0)).floor() as u64).min(millis);
        self.able += able;
        self.unable += millis - able;
    }

    /// Milliseconds: unable, and unknown of this `width`.
    pub(super) fn rest(&self, width: u64) -> (u64, u64) {
        (self.unable, width.saturating_sub(self.able.saturating_add(self.unable)))
    }
}
