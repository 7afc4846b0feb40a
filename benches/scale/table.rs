//! The table of all runs, with the aims beside it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::process::Taken;
use crate::row::{Row, at};
use crate::servers::DELAY;
use crate::visits::Visits;

/// What the ratios are to.
const REFERENCE: usize = 100;

/// In Markdown: a column for each run.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut table = Table { rows, text: String::new() };
    let heads = rows.iter().map(|row| match row.plan.targets {
        1 => "1 target".to_owned(),
        targets => format!("{targets} targets"),
    });
    line(&mut table.text, "", heads, "aim");
    line(&mut table.text, "---", rows.iter().map(|_| "---".to_owned()), "---");
    table.work();
    table.memory();
    table.scrapes();
    table.truth();
    table.rest();
    table.text
}

struct Table<'a> {
    rows: &'a [Row],
    text: String,
}

impl Table<'_> {
    fn add(&mut self, name: &str, aim: &str, cell: impl Fn(&Row) -> String) {
        line(&mut self.text, name, self.rows.iter().map(cell), aim);
    }

    /// Beside the run with [`REFERENCE`] targets.
    fn add_ratio(&mut self, name: &str, of: impl Fn(&Row) -> f64) {
        let reference = self.rows.iter().find(|row| row.plan.targets == REFERENCE).map(&of);
        self.add(name, "1", |row| {
            reference.map_or("-".to_owned(), |reference| format!("{:.2}", of(row) / reference))
        });
    }

    fn work(&mut self) {
        self.add("test period", "", |row| format!("{} s", row.plan.period.as_secs()));
        self.add("round trips counted, failures, skipped periods", "no failure", |row| {
            format!("{}, {}, {}", row.probes, row.failures, row.skipped)
        });
        self.add("from the start to the listener", "", |row| time(row.start));
        self.add("processor a round trip, checks included", "the same in each column", |row| {
            time(processor_each(row))
        });
        self.add_ratio("the same beside 100 targets", |row| processor_each(row).as_secs_f64());
    }

    fn memory(&mut self) {
        let both = |taken: &Taken| {
            format!("{} ({})", mega(taken.resident_bytes), mega(taken.anonymous_bytes))
        };
        let aim = "20 MB at 200, 80 MB at 10,000";
        self.add("resident after the start (of it heap and stacks)", aim, |row| both(&row.idle));
        self.add("resident at most, probing", "200 MB at 10,000", |row| {
            mega(row.probed.highest_bytes)
        });
        let aim = "16.8 MB at 1, 200 MB at 10,000";
        self.add("resident at the end (of it heap and stacks)", aim, |row| both(&row.end));
        self.add_ratio("heap a target at the end beside 100 targets", |row| {
            row.end.anonymous_bytes as f64 / row.plan.targets as f64
        });
        self.add("resident at most while scraped, over that before", "4 MB", |row| {
            mega(row.highest_read.saturating_sub(row.probed.resident_bytes))
        });
    }

    fn scrapes(&mut self) {
        self.add("series; a target", "100 a target", |row| {
            format!("{}; {:.0}", row.series, row.series as f64 / row.plan.targets as f64)
        });
        self.add("scrape: bytes; with gzip", "", |row| {
            format!("{}; {}", bytes(row.plain.bytes), bytes(row.gzip.bytes))
        });
        let aim = "250 ms a million series";
        self.add("scrape: p50, p99", aim, |row| percentiles(&row.plain));
        self.add("scrape with gzip: p50, p99", "", |row| percentiles(&row.gzip));
        self.add("processor a scrape; with gzip", aim, |row| {
            let [plain, gzip] = row.scrape_processor;
            format!("{}; {}", time(plain), time(gzip))
        });
    }

    fn truth(&mut self) {
        self.add("lateness of the exporter, p99", "", |row| match &row.lag {
            None => "not told".to_owned(),
            Some(parts) => {
                let words = parts.iter().map(|(part, lag)| format!("{part} {}", seconds(*lag)));
                words.collect::<Vec<_>>().join(", ")
            }
        });
        self.add("mails in the fullest second; in the mean", "20, or the mean", |row| {
            let mean = row.plan.targets as f64 / row.plan.period.as_secs_f64();
            format!("{}; {mean:.1}", row.fullest_second)
        });
        let delay = DELAY.as_millis();
        let name = format!("error of the round trip at a true one of {delay} ms: p50, p99, most");
        self.add(&name, "that of one target", |row| {
            let part = |share| seconds(at(&row.errors, share));
            format!("{}, {}, {}", part(0.5), part(0.99), part(1.0))
        });
    }

    fn rest(&mut self) {
        self.add("descriptors at most", "", |row| row.descriptors.to_string());
        let pages = self.rows.first().map(|row| row.pages.as_slice()).unwrap_or_default();
        for (index, (path, _)) in pages.iter().enumerate() {
            self.add(&format!("`{path}`: p50, p99"), "100 ms", |row| {
                let page = row.pages.get(index).map(|(_, visits)| visits);
                page.map_or(String::new(), percentiles)
            });
        }
        self.add("cores that the exporter took; the servers", "", |row| {
            let share = |time: Duration| time.as_secs_f64() / row.counted.as_secs_f64();
            format!("{:.2}; {:.2}", share(row.processor), share(row.servers))
        });
    }
}

fn line(text: &mut String, name: &str, cells: impl Iterator<Item = String>, aim: &str) {
    let cells = cells.collect::<Vec<_>>().join(" | ");
    // Writing to a string does not fail.
    let _ = writeln!(text, "| {name} | {cells} | {aim} |");
}

fn processor_each(row: &Row) -> Duration {
    Duration::from_secs_f64(row.processor.as_secs_f64() / row.probes.max(1.0))
}

fn percentiles(visits: &Visits) -> String {
    format!("{}, {}", time(visits.median()), time(visits.high()))
}

fn time(time: Duration) -> String {
    seconds(time.as_secs_f64())
}

fn seconds(seconds: f64) -> String {
    match seconds.abs() {
        none if none.is_nan() => "-".to_owned(),
        short if short < 0.01 => format!("{:.2} ms", seconds * 1e3),
        short if short < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

fn mega(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn bytes(bytes: usize) -> String {
    match bytes {
        few if few < 1_000_000 => format!("{:.1} kB", few as f64 / 1e3),
        many => format!("{:.1} MB", many as f64 / 1e6),
    }
}
