//! Charts of times, which the templates draw as SVG: a sparkline of round trips, a waterfall of
//! steps. Each has a text alternative.

use std::time::Duration;

use super::words::exact;
use crate::account::history::Probe;
use ledger::{MailState, Step};

/// The width of a chart of steps in its own units.
const WIDTH: f64 = 1000.0;
/// The least width that can be seen.
const LEAST_WIDTH: f64 = 3.0;
/// The height of the chart of round trips in its own units, and the least that can be seen.
const HEIGHT: f64 = 28.0;
const LEAST_HEIGHT: f64 = 2.0;
/// From one round trip to the next.
const STEP: usize = 6;
/// How wide the bar of one is.
const BAR_WIDTH: usize = 4;
/// The most round trips that are drawn.
const BARS: usize = 20;

/// The round trips of the newest mails, oldest first.
pub(super) struct Sparkline {
    pub(super) bars: Vec<SparkBar>,
    /// What it shows, in words.
    pub(super) words: String,
}

/// One mail.
pub(super) struct SparkBar {
    pub(super) x: usize,
    pub(super) y: String,
    pub(super) height: String,
    pub(super) class: &'static str,
}

/// Consecutive times.
pub(super) struct Waterfall {
    pub(super) bars: Vec<Bar>,
    /// The sum of all times.
    pub(super) total: String,
}

/// One part.
pub(super) struct Bar {
    pub(super) label: String,
    /// What it is drawn as.
    pub(super) class: &'static str,
    pub(super) x: String,
    pub(super) width: String,
    /// How long it took, in words.
    pub(super) time: String,
}

impl Sparkline {
    /// Of what is known of the newest mails, newest first.
    pub(super) fn new<'a>(newest: impl Iterator<Item = &'a Trip>) -> Self {
        let mut trips: Vec<&Trip> = newest.take(BARS).collect();
        trips.reverse();
        let most = trips.iter().filter_map(|trip| trip.roundtrip).max();
        let first = BARS - trips.len();
        let bars = trips.iter().enumerate().map(|(index, trip)| {
            let height = match trip.roundtrip.zip(most) {
                Some((time, most)) => HEIGHT * share(time, most),
                None if trip.state.has_failed() => HEIGHT,
                None => LEAST_HEIGHT,
            };
            let height = height.max(LEAST_HEIGHT);
            SparkBar {
                x: (first + index) * STEP,
                y: format!("{:.1}", HEIGHT - height),
                height: format!("{height:.1}"),
                class: trip.class(),
            }
        });
        Self { bars: bars.collect(), words: spark_words(&trips) }
    }
}

/// What a sparkline needs to know of a mail.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Trip {
    roundtrip: Option<Duration>,
    state: MailState,
    is_late: bool,
}

impl Trip {
    fn class(self) -> &'static str {
        match self.state {
            state if state.has_failed() => "failing",
            MailState::Left => "unmeasured",
            _ if self.is_late => "late",
            MailState::Returned => "late",
            MailState::Received => "well",
            _ => "unmeasured",
        }
    }
}

impl From<&Probe> for Trip {
    fn from(probe: &Probe) -> Self {
        Self { roundtrip: probe.roundtrip, state: probe.state, is_late: probe.is_late }
    }
}

impl Sparkline {
    /// The outlines of the bars, those of one class together: a page of many targets stays small.
    pub(super) fn outlines(&self) -> Vec<(&'static str, String)> {
        let mut outlines: Vec<(&'static str, String)> = Vec::new();
        for SparkBar { x, y, height, class } in &self.bars {
            let bar = format!("M{x} {y}h{BAR_WIDTH}v{height}h-{BAR_WIDTH}z");
            match outlines.iter_mut().find(|(known, _)| known == class) {
                Some((_, outline)) => outline.push_str(&bar),
                None => outlines.push((class, bar)),
            }
        }
        outlines
    }
}

fn spark_words(trips: &[&Trip]) -> String {
    let times = || trips.iter().filter_map(|trip| trip.roundtrip);
    let bad = trips.iter().filter(|trip| trip.state.has_failed()).count();
    let mut words = match (times().min(), times().max(), times().next_back()) {
        (Some(least), Some(most), Some(newest)) => format!(
            "Latest round trip {}; the latest {} took {} to {}",
            exact(newest),
            times().count(),
            exact(least),
            exact(most)
        ),
        _ => "No recent round trip".to_owned(),
    };
    if bad > 0 {
        words.push_str(&format!("; {bad} failed"));
    }
    words
}

impl Waterfall {
    /// The steps of an attempt.
    pub(super) fn of_steps(steps: impl Iterator<Item = (Step, Duration)>) -> Self {
        Self::new(steps.map(|(step, time)| Part::new(step.label(), class(step), time)).collect())
    }

    /// The steps of the transmission of a mail, and its delivery.
    pub(super) fn of_probe(probe: &Probe) -> Self {
        let mut parts: Vec<Part> = probe
            .steps
            .iter()
            .map(|it| Part::new(it.step.label(), class(it.step), it.duration()))
            .collect();
        if let Some(delivery) = probe.delivery() {
            parts.push(Part::new("delivery", "delivery", delivery));
        }
        Self::new(parts)
    }

    fn new(parts: Vec<Part>) -> Self {
        let total: Duration = parts.iter().map(|part| part.time).sum();
        let mut begun = Duration::ZERO;
        let mut bars = Vec::with_capacity(parts.len());
        for part in parts {
            let width = (WIDTH * share(part.time, total)).max(LEAST_WIDTH);
            let x = (WIDTH * share(begun, total)).min(WIDTH - width);
            begun += part.time;
            bars.push(Bar {
                label: part.label,
                class: part.class,
                x: format!("{x:.1}"),
                width: format!("{width:.1}"),
                time: exact(part.time),
            });
        }
        Self { bars, total: exact(total) }
    }
}

struct Part {
    label: String,
    class: &'static str,
    time: Duration,
}

impl Part {
    fn new(label: &str, class: &'static str, time: Duration) -> Self {
        Self { label: label.to_owned(), class, time }
    }
}

/// How a step is drawn: what belongs together looks alike.
fn class(step: Step) -> &'static str {
    match step {
        Step::Dns | Step::Connect => "network",
        Step::Greeting => "greeting",
        Step::Tls => "tls",
        Step::Token | Step::Auth => "auth",
        Step::Envelope | Step::Select => "envelope",
        Step::Data | Step::Fetch | Step::Remove => "data",
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trip(roundtrip: Option<u64>, state: MailState) -> Trip {
        Trip { roundtrip: roundtrip.map(Duration::from_millis), state, is_late: false }
    }

    #[test]
    fn the_newest_round_trip_stands_right_and_the_longest_fills_the_height() {
        let newest = [
            trip(Some(500), MailState::Received),
            trip(None, MailState::Lost),
            Trip { is_late: true, ..trip(Some(1_000), MailState::Received) },
        ];
        let chart = Sparkline::new(newest.iter());
        let drawn: Vec<_> =
            chart.bars.iter().map(|bar| (bar.x, bar.height.as_str(), bar.class)).collect();
        assert_eq!(drawn, [(102, "28.0", "late"), (108, "28.0", "failing"), (114, "14.0", "well")]);
        let outlines = [
            ("late", "M102 0.0h4v28.0h-4z".to_owned()),
            ("failing", "M108 0.0h4v28.0h-4z".to_owned()),
            ("well", "M114 14.0h4v14.0h-4z".to_owned()),
        ];
        assert_eq!(chart.outlines(), outlines);
        let words = "Latest round trip 500 ms; the latest 2 took 500 ms to 1.0 s; 1 failed";
        assert_eq!(chart.words, words);
    }

    #[test]
    fn a_chart_of_no_round_trip_says_so_and_a_long_one_is_cut() {
        assert_eq!(Sparkline::new([].iter()).words, "No recent round trip");
        let open = [trip(None, MailState::Outstanding); 50];
        let chart = Sparkline::new(open.iter());
        assert_eq!((chart.bars.len(), chart.outlines().len()), (BARS, 1));
    }

    #[test]
    fn steps_follow_each_other_and_the_shortest_can_be_seen() {
        let times = [(Step::Dns, 0), (Step::Connect, 250), (Step::Data, 750)];
        let steps = times.map(|(step, time)| (step, Duration::from_millis(time)));
        let chart = Waterfall::of_steps(steps.into_iter());
        let drawn: Vec<_> =
            chart.bars.iter().map(|bar| (bar.x.as_str(), bar.width.as_str())).collect();
        assert_eq!(drawn, [("0.0", "3.0"), ("0.0", "250.0"), ("250.0", "750.0")]);
        assert_eq!(chart.total, "1.0 s");
    }

    #[test]
    fn nothing_that_took_no_time_breaks_a_chart() {
        let chart = Waterfall::of_steps([(Step::Dns, Duration::ZERO)].into_iter());
        assert_eq!((chart.bars[0].x.as_str(), chart.bars[0].width.as_str()), ("0.0", "3.0"));
        assert!(Waterfall::new(Vec::new()).bars.is_empty());
    }
}
