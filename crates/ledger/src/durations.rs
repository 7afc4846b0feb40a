//! Every form in which a duration is written for people: in messages, in the log, on the pages and in the
//! configuration that is shown.

use std::fmt;
use std::time::Duration;

/// As messages about deadlines write it: `30 s`, `0.25 s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 10.0 || seconds.fract() == 0.0 {
            write!(f, "{seconds:.0} s")
        } else {
            write!(f, "{seconds:.2} s")
        }
    }
}

/// As the configuration writes it: `1h30m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 6] = [
            (3_600_000_000_000, "h"),
            (60_000_000_000, "m"),
            (1_000_000_000, "s"),
            (1_000_000, "ms"),
            (1_000, "us"),
            (1, "ns"),
        ];
        const DAY: u128 = 24 * 3_600_000_000_000;
        let mut rest = self.0.as_nanos();
        match rest {
            0 => return f.write_str("0s"),
            days if days > DAY && days.is_multiple_of(DAY) => return write!(f, "{}d", days / DAY),
            _ => {}
        }
        for (nanoseconds, unit) in UNITS {
            let count = rest / nanoseconds;
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
            rest %= nanoseconds;
        }
        Ok(())
    }
}

/// In words for people, whole: `1 day`, `1 h 30 min`, `250 ms`.
pub fn spelled(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] =
        [(86_400_000, "day"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let mut rest = duration.as_millis();
    let mut parts = Vec::new();
    for (milliseconds, unit) in UNITS {
        let count = rest / milliseconds;
        rest %= milliseconds;
        match (count, unit) {
            (0, _) => {}
            (2.., "day") => parts.push(format!("{count} days")),
            _ => parts.push(format!("{count} {unit}")),
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// In whole seconds, below one in whole milliseconds: `2h 12m 3s`, `250ms`.
pub fn whole(duration: Duration) -> String {
    let whole = match duration.as_secs() {
        0 => Duration::from_millis(u64::from(duration.subsec_millis())),
        seconds => Duration::from_secs(seconds),
    };
    humantime::format_duration(whole).to_string()
}

/// In seconds with digits enough to compare two: `0.061 s`, `12.35 s`.
pub fn precise(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds.fract() == 0.0 {
        format!("{seconds} s")
    } else if seconds < 1.0 {
        format!("{seconds:.3} s")
    } else {
        format!("{seconds:.2} s")
    }
}

/// How long a step took: `0.4 ms`, `2.35 s`.
pub fn step_time(took: Duration) -> String {
    if took < Duration::from_secs(1) {
        format!("{:.1} ms", took.as_secs_f64() * 1e3)
    } else {
        format!("{:.2} s", took.as_secs_f64())
    }
}

/// In minutes with two or three digits that mean something: `0.10 min`, `180 min`.
pub fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs_f64() / 60.0;
    let digits = match minutes {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 0.1 => 2,
        _ => 4,
    };
    format!("{minutes:.digits$} min")
}

/// A measured time in the unit that suits it: `480 µs`, `4.8 ms`, `6.0 s`, `12.5 min`, `3.0 h`.
///
/// The unit is that of the rounded time, so that none shows as much as the next one begins with.
pub fn exact(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // Where a unit ends, in seconds; how many of it are a second; the digits after the point.
    let units = [
        (0.000_999_5, "µs", 1e6, 0),
        (0.009_95, "ms", 1e3, 1),
        (0.999_5, "ms", 1e3, 0),
        (119.95, "s", 1.0, 1),
        (7_197.0, "min", 1.0 / 60.0, 1),
        (172_620.0, "h", 1.0 / 3_600.0, 1),
    ];
    match units.into_iter().find(|(end, ..)| seconds < *end) {
        Some((_, unit, scale, digits)) => format!("{:.digits$} {unit}", seconds * scale),
        None => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// How long something lasted, rounded down from two minutes on, and exact below: `800 ms`, `3 min`, `2 h`.
pub fn lasted(duration: Duration) -> String {
    if duration < Duration::from_secs(120) { exact(duration) } else { rough(duration) }
}

/// An age in its largest unit, rounded down: `119 s`, `2 h`.
pub fn rough(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The difference of two stamps in whole seconds, or of one and a moment: `under 1 s`, `4 min 3 s`.
pub fn between_stamps(delay: Duration) -> String {
    match delay.as_secs() {
        0 => "under 1 s".to_owned(),
        seconds @ 1..7_200 => spelled(Duration::from_secs(seconds)),
        _ => exact(delay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_stamps_is_no_more_exact_than_they_are() {
        let words = |seconds| between_stamps(Duration::from_secs_f64(seconds));
        assert_eq!(
            [0.7, 1.9, 243.2, 9_000.0].map(words),
            ["under 1 s", "1 s", "4 min 3 s", "2.5 h"]
        );
    }

    #[test]
    fn times_are_shown_in_a_unit_that_suits_them() {
        let milliseconds = Duration::from_millis;
        let shown = |duration| format!("{} = {}", minutes(duration), exact(duration));
        assert_eq!(shown(milliseconds(110)), "0.0018 min = 110 ms");
        assert_eq!(shown(milliseconds(6_000)), "0.10 min = 6.0 s");
        assert_eq!(shown(milliseconds(754_000)), "12.6 min = 12.6 min");
        assert_eq!(shown(milliseconds(10_800_000)), "180 min = 3.0 h");
        assert_eq!(exact(Duration::from_micros(480)), "480 µs");
        assert_eq!(exact(Duration::from_micros(4_800)), "4.8 ms");
        for (microseconds, expected) in [
            (0, "0 µs"),
            (999_400, "999 ms"),
            (999_600, "1.0 s"),
            (9_960, "10 ms"),
            (119_940_000, "119.9 s"),
            (119_960_000, "2.0 min"),
            (179_000_000, "3.0 min"),
            (7_190_000_000, "119.8 min"),
            (7_198_000_000, "2.0 h"),
            (172_790_000_000, "2.0 days"),
        ] {
            assert_eq!(exact(Duration::from_micros(microseconds)), expected);
        }
        let long = [800, 119_000, 179_000].map(|it| lasted(milliseconds(it)));
        assert_eq!(long, ["800 ms", "119.0 s", "2 min"]);
        let ages = [0, 119, 120, 7_199, 7_200, 172_800].map(|age| rough(Duration::from_secs(age)));
        assert_eq!(ages, ["0 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }

    #[test]
    fn each_form_has_the_digits_that_it_needs() {
        let milliseconds = Duration::from_millis;
        assert_eq!(
            [250, 5_000, 12_345].map(|it| Seconds(milliseconds(it)).to_string()),
            ["0.25 s", "5 s", "12 s"]
        );
        assert_eq!(
            [0, 250, 300_000, 5_400_000, 86_400_000, 180_000_000]
                .map(|it| spelled(milliseconds(it))),
            ["0 s", "250 ms", "5 min", "1 h 30 min", "1 day", "2 days 2 h"]
        );
        assert_eq!([250, 7_923_400].map(|it| whole(milliseconds(it))), ["250ms", "2h 12m 3s"]);
        assert_eq!(
            [61, 12_346, 5_000].map(|it| precise(milliseconds(it))),
            ["0.061 s", "12.35 s", "5 s"]
        );
        assert_eq!(
            [0, 999, 2_350].map(|it| step_time(milliseconds(it))),
            ["0.0 ms", "999.0 ms", "2.35 s"]
        );
    }
}
