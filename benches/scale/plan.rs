//! Which runs there are.

use std::time::Duration;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) targets: usize,
    /// The test period of each target.
    pub(crate) period: Duration,
    /// How long its probes are counted, after one period that is not.
    pub(crate) counted: Duration,
    /// How often each page is asked for.
    pub(crate) visits: usize,
}

/// Few targets have a short period, so that there is something to count.
const PERIODS: [(usize, u64); 3] = [(10, 2), (200, 60), (usize::MAX, 300)];
/// The shortest time that probes are counted in.
const COUNTED: Duration = Duration::from_secs(120);
/// Enough for a 99th percentile that is not the slowest of all.
const VISITS: usize = 200;

/// The runs that the environment asks for: TARGETS, MINUTES (that are counted) and PERIOD (in seconds).
///
/// # Errors
/// One of them is no number.
pub(crate) fn plans() -> Result<Vec<Plan>, String> {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let number = |name: &str, text: &str| {
        text.parse::<u64>().map_err(|error| format!("{name}={text}: {error}"))
    };
    let whole = |name: &str| given(name).map(|text| number(name, &text)).transpose();
    let (minutes, period) = (whole("MINUTES")?, whole("PERIOD")?);
    let targets = given("TARGETS").unwrap_or_else(|| "1 100 1000 10000".to_owned());
    let words = targets.split([' ', ',']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let targets = usize::try_from(number("TARGETS", word)?).unwrap_or(usize::MAX).max(1);
            let usual = PERIODS.iter().find(|(most, _)| targets <= *most).map_or(300, |(_, p)| *p);
            let period = Duration::from_secs(period.unwrap_or(usual).max(1));
            let counted = minutes.map(|minutes| Duration::from_secs(60 * minutes));
            let counted = counted.unwrap_or(COUNTED).max(period);
            Ok(Plan { targets, period, counted, visits: VISITS })
        })
        .collect()
}
