//! What has to hold, and whether it did.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use crate::hostile::page::Page;
use crate::plan::Kind;
use crate::process::Taken;
use crate::run::{GUEST, Target};

/// Memory may grow by this share and so many bytes from the window of reference to the last.
const MEMORY_SHARE: f64 = 1.02;
const MEMORY_BYTES: f64 = 1_048_576.0;
/// Descriptors and threads may differ by so many: connections come and go.
const DESCRIPTORS: f64 = 10.0;
const THREADS: f64 = 1.0;
/// How long the exporter may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long a target may have no value yet.
const FIRST_PERIODS: Duration = Duration::from_secs(30);
/// How many examples are shown of what did not hold.
const EXAMPLES: usize = 5;
/// How many mails are to be accepted a second, at the least: of fifty some are refused, and on a machine
/// that is busy with more some are not sent.
const ACCEPTED_A_SECOND: f64 = 25.0;

/// Gathers what is seen during the run.
pub(crate) struct Watcher {
    length: Duration,
    well: Vec<String>,
    /// By name: how often it held, how often not, and examples of that.
    held: BTreeMap<String, Held>,
    counters: HashMap<String, f64>,
    samples: Vec<Sample>,
    accepted: f64,
    received: f64,
    minute: u64,
    /// The longest time from one sample to the next.
    longest_gap: Duration,
    ended: Option<Duration>,
}

#[derive(Default)]
struct Held {
    yes: u64,
    no: u64,
    examples: Vec<String>,
}

struct Sample {
    at: Duration,
    exporter: Taken,
    servers: Taken,
}

/// The summary.
pub(crate) struct Report {
    text: String,
    holds: bool,
}

impl Report {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn holds(&self) -> bool {
        self.holds
    }
}

impl Watcher {
    pub(crate) fn new(length: Duration, targets: &[Target]) -> Self {
        let is_well = |target: &&Target| target.kind == Kind::Well.label() && target.name != GUEST;
        let well = targets.iter().filter(is_well);
        Self {
            length,
            well: well.map(|target| target.name.clone()).collect(),
            held: BTreeMap::new(),
            counters: HashMap::new(),
            samples: Vec::new(),
            accepted: 0.0,
            received: 0.0,
            minute: 0,
            longest_gap: Duration::ZERO,
            ended: None,
        }
    }

    /// Notes whether something held once.
    pub(crate) fn expect(&mut self, what: &str, holds: bool, example: String) {
        let held = self.held.entry(what.to_owned()).or_default();
        if holds {
            held.yes += 1;
            return;
        }
        held.no += 1;
        if held.no == 1 {
            eprintln!("did not hold: {what}: {example}");
        }
        if held.examples.len() < EXAMPLES {
            held.examples.push(example);
        }
    }

    /// Notes that a page was not answered, or the like.
    pub(crate) fn wrong(&mut self, what: String) {
        self.expect("every request is answered, every mail has an end", false, what);
    }

    /// Reads a page of metrics.
    pub(crate) fn look(&mut self, since: Duration, page: &Page) {
        self.expect("every request is answered, every mail has an end", true, String::new());
        for name in self.well.clone() {
            if page.value(&name, "probes_received_total") < 1.0 {
                continue;
            }
            for what in ["send_ability_percent", "receive_ability_percent"] {
                let value = page.value(&name, what);
                let is_first = value.is_nan() && since < FIRST_PERIODS;
                let holds = value == 100.0 || is_first;
                let example = format!("{name} {what} {value} after {since:?}");
                self.expect("no healthy target below 100", holds, example);
            }
            let failures = page.failures(&name);
            let example = format!("{name}: {failures} failures after {since:?}");
            self.expect("no failure of a healthy target", failures == 0.0, example);
            for what in ["probes_lost_total", "probes_late_total", "probes_duplicate_total"] {
                let value = page.value(&name, what);
                let example = format!("{name} {what} {value} after {since:?}");
                self.expect(
                    "no mail of a healthy target late, lost or doubled",
                    value == 0.0,
                    example,
                );
            }
        }
        self.compare_counters(page);
        let sum =
            |what: &str| page.all().filter(|s| s.key.starts_with(what)).map(|s| s.value).sum();
        self.accepted = sum("mailtrip_probes_accepted_total");
        self.received = sum("mailtrip_probes_received_total");
    }

    /// No counter goes down while it is there.
    fn compare_counters(&mut self, page: &Page) {
        let is_counter = |key: &str| {
            let name = key.split('{').next().unwrap_or_default();
            ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
        };
        let now: HashMap<String, f64> = page
            .all()
            .filter(|series| is_counter(&series.key))
            .map(|series| (series.key.clone(), series.value))
            .collect();
        let before = std::mem::take(&mut self.counters);
        for (key, value) in &now {
            let Some(old) = before.get(key) else { continue };
            self.expect(
                "no counter goes down",
                value >= old,
                format!("{key}: {old}, then {value}"),
            );
        }
        self.counters = now;
    }

    /// Notes what both processes take, and says so each minute.
    pub(crate) fn sample(&mut self, at: Duration, exporter: Taken, servers: Taken) {
        let gap = self.samples.last().map_or(Duration::ZERO, |last| at.saturating_sub(last.at));
        self.longest_gap = self.longest_gap.max(gap);
        self.samples.push(Sample { at, exporter, servers });
        let minute = at.as_secs() / 60;
        if minute == self.minute {
            return;
        }
        self.minute = minute;
        let since =
            self.samples.iter().rev().find(|sample| sample.at + Duration::from_secs(60) <= at);
        let cores = |of: fn(&Sample) -> Taken, now: Taken| {
            since.map_or(0.0, |before| {
                let took = now.processor.saturating_sub(of(before).processor);
                took.as_secs_f64() / at.saturating_sub(before.at).as_secs_f64()
            })
        };
        let wrong: u64 = self.held.values().map(|held| held.no).sum();
        eprintln!(
            "minute {minute} of {}: {} accepted, {} received; {:.1} MB, {} descriptors, {} threads, \
             {:.2} cores; servers {:.1} MB, {:.2} cores; {wrong} did not hold",
            self.length.as_secs() / 60,
            self.accepted,
            self.received,
            mega(exporter.resident_bytes as f64),
            exporter.descriptors,
            exporter.threads,
            cores(|sample| sample.exporter, exporter),
            mega(servers.resident_bytes as f64),
            cores(|sample| sample.servers, servers),
        );
    }

    /// Nothing in the log tells of a bug.
    pub(crate) fn read_log(&mut self, log: &str) {
        let mut bad =
            log.lines().filter(|line| line.contains("panicked") || line.contains("broke off"));
        let first = bad.next().unwrap_or_default().to_owned();
        self.expect("no panic in the log", first.is_empty(), first);
    }

    /// How it ended upon SIGTERM.
    pub(crate) fn ended(&mut self, outcome: Result<Duration, String>) {
        let what = "SIGTERM ends it within 5 s";
        match outcome {
            Ok(took) => {
                self.ended = Some(took);
                self.expect(what, took <= GRACE, format!("{took:?}"));
            }
            Err(error) => self.expect(what, false, error),
        }
    }

    /// The median of a figure of the exporter from one sixtieth of the run to another.
    fn median(&self, from: u32, to: u32, figure: fn(&Sample) -> f64) -> f64 {
        let (from, to) = (self.length * from / 60, self.length * to / 60);
        let within = self.samples.iter().filter(|sample| (from..=to).contains(&sample.at));
        let mut figures: Vec<f64> = within.map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Holds the last tenth of the run to its minutes 10 to 16 (of sixty).
    fn judge_growth(&mut self) -> String {
        type Figure = (&'static str, fn(&Sample) -> f64, fn(f64) -> f64);
        let figures: [Figure; 3] = [
            (
                "memory",
                |it| it.exporter.resident_bytes as f64,
                |it| it * MEMORY_SHARE + MEMORY_BYTES,
            ),
            (
                "descriptors",
                |it| it.exporter.descriptors as f64,
                |it| it * MEMORY_SHARE + DESCRIPTORS,
            ),
            ("threads", |it| it.exporter.threads as f64, |it| it + THREADS),
        ];
        let mut text = String::new();
        for (name, figure, most) in figures {
            let (reference, last) = (self.median(10, 16, figure), self.median(54, 60, figure));
            let shown = |value: f64| {
                if name == "memory" { format!("{:.2} MB", mega(value)) } else { value.to_string() }
            };
            let words = format!(
                "{} in minutes 10 to 16, {} in the last tenth",
                shown(reference),
                shown(last)
            );
            let _ = writeln!(text, "| {name} | {words} |");
            self.expect(&format!("{name} flat"), last <= most(reference), words);
        }
        text
    }

    /// The summary.
    pub(crate) fn report(mut self) -> Report {
        let rate = self.accepted / self.length.as_secs_f64();
        let example = format!("{rate:.1} mails accepted a second");
        self.expect("the load was there", rate >= ACCEPTED_A_SECOND, example);
        let growth = self.judge_growth();
        let mut text = format!(
            "\n| figure | value |\n|---|---|\n| length | {} min |\n",
            self.length.as_secs() / 60
        );
        let _ = writeln!(
            text,
            "| mails | {} accepted ({rate:.1} a second), {} received |",
            self.accepted, self.received
        );
        text.push_str(&growth);
        if let Some(last) = self.samples.last() {
            let cores = |taken: Taken| taken.processor.as_secs_f64() / last.at.as_secs_f64();
            let highest = mega(last.exporter.highest_bytes as f64);
            let _ = writeln!(text, "| highest memory | {highest:.1} MB |");
            let _ = writeln!(
                text,
                "| processor | {:.2} cores; the servers {:.2} |",
                cores(last.exporter),
                cores(last.servers)
            );
        }
        // A machine that keeps even this one waiting is too busy to judge the exporter by.
        let gap = self.longest_gap.as_secs_f64();
        let _ = writeln!(text, "| longest time between two samples, due each 2 s | {gap:.1} s |");
        if let Some(took) = self.ended {
            let _ = writeln!(text, "| SIGTERM | {:.2} s |", took.as_secs_f64());
        }
        text.push_str("\n| what | held | did not |\n|---|---|---|\n");
        for (what, held) in &self.held {
            let _ = writeln!(text, "| {what} | {} | {} |", held.yes, held.no);
        }
        let broken = self.held.iter().filter(|(_, held)| held.no > 0);
        for (what, held) in broken.clone() {
            let _ = writeln!(text, "\nDid not hold: {what}\n  {}", held.examples.join("\n  "));
        }
        let holds = broken.count() == 0;
        Report { text, holds }
    }
}

fn mega(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}
