//! A point in time on both clocks.

use std::time::{Instant, SystemTime};

/// A point in time, on both clocks: delays come from the monotonic one, dates from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time line of the accounts: the monotonic clock, with the time added for which the machine
    /// was suspended.
    pub instant: Instant,
    /// The wall clock, which may be set.
    pub wall: SystemTime,
}
