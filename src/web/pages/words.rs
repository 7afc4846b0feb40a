//! Times as the pages word them for people.

use std::time::SystemTime;

pub(in crate::web) use ledger::durations::{exact, minutes, rough};

/// A point in the past.
pub(super) struct When {
    /// As RFC 3339 has it, in UTC.
    pub(super) date: String,
    pub(super) age: String,
}

impl When {
    pub(super) fn new(at: SystemTime, now: SystemTime) -> Self {
        let date = humantime::format_rfc3339_seconds(at).to_string();
        // A clock that was set back gives no negative age.
        let age = now.duration_since(at).unwrap_or_default();
        Self { date, age: format!("{} ago", rough(age)) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_age() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(When::new(now + Duration::from_secs(5), now).age, "0 s ago");
    }
}
