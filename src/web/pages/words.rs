//! Times as the pages word them for people.

use std::time::{Duration, SystemTime};

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

/// Minutes with two or three digits that mean something.
pub(super) fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs_f64() / 60.0;
    let digits = match minutes {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 0.1 => 2,
        _ => 4,
    };
    format!("{minutes:.digits$} min")
}

/// A measured time in the unit that suits it.
pub(super) fn exact(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 0.01 => format!("{:.1} ms", seconds * 1000.0),
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds if seconds < 120.0 => format!("{seconds:.1} s"),
        _ => rough(duration),
    }
}

/// An age in its largest unit.
pub(super) fn rough(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn times_are_shown_in_a_unit_that_suits_them() {
        let milliseconds = Duration::from_millis;
        let shown = |duration| format!("{} = {}", minutes(duration), exact(duration));
        assert_eq!(shown(milliseconds(110)), "0.0018 min = 110 ms");
        assert_eq!(shown(milliseconds(6_000)), "0.10 min = 6.0 s");
        assert_eq!(shown(milliseconds(754_000)), "12.6 min = 12 min");
        assert_eq!(shown(milliseconds(10_800_000)), "180 min = 3 h");
        assert_eq!(exact(Duration::from_micros(480)), "480 µs");
        assert_eq!(exact(Duration::from_micros(4_800)), "4.8 ms");
        let ages = [0, 119, 120, 7_199, 7_200, 172_800].map(|age| rough(Duration::from_secs(age)));
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_age() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(When::new(now + Duration::from_secs(5), now).age, "0 s ago");
    }
}
