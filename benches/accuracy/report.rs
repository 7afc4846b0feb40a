//! What came of the rows: errors, whether they are within the aims, and the table.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::exporter::Probe;
use crate::plan::{Cell, Restart, Way};
use crate::truth::Delivery;

/// How exact the instrument is: the exporter tells the moment of a transmission to the millisecond,
/// and the timers of the relays are a millisecond late each way.
const RESOLUTION_SECONDS: f64 = 0.005;

/// One mail with the truth about it.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// What the exporter says.
    pub(crate) probe: Probe,
    /// When it was delivered; `None`: it was not, or it went before it could be read.
    pub(crate) delivery: Option<Delivery>,
    /// Its error does not count: the schedule is being learned.
    pub(crate) is_warm_up: bool,
    /// It was delivered well before the end.
    pub(crate) should_be_seen: bool,
    /// How far the transmission, as the exporter tells it, is from its connection at the relay.
    pub(crate) off_transmission: Option<Duration>,
}

/// One row of the table, measured.
pub(crate) struct Row {
    /// Which.
    pub(crate) cell: Cell,
    looks: f64,
    logins: f64,
    mails: Vec<Mail>,
}

/// A mail with truth and report, in seconds.
struct Sample {
    /// Transmission to delivery.
    truth: f64,
    error: f64,
    /// The largest error that the aim allows.
    allowed: f64,
}

impl Mail {
    fn is_received(&self) -> bool {
        self.probe.outcome == "received"
    }

    fn delivered(&self) -> Option<SystemTime> {
        Some(self.delivery?.named)
    }

    fn is_not_accepted(&self) -> bool {
        ["refused", "deferred", "failed"].contains(&self.probe.outcome.as_str())
    }

    /// From the moment in the name of its file until the file was in its place.
    fn writing_seconds(&self) -> Option<f64> {
        let Delivery { named, moved } = self.delivery?;
        Some(seconds_between(named, moved))
    }

    fn truth_seconds(&self) -> Option<f64> {
        Some(seconds_between(self.probe.began, self.delivered()?))
    }

    fn error_seconds(&self) -> Option<f64> {
        Some(self.probe.roundtrip_seconds? - self.truth_seconds()?)
    }

    /// How long the mail was in the hands of the servers.
    fn delay_seconds(&self) -> Option<f64> {
        Some(seconds_between(self.probe.accepted?, self.delivered()?).max(0.0))
    }
}

impl Row {
    /// Without a mail.
    pub(crate) fn new(cell: Cell, looks: f64, logins: f64) -> Self {
        Self { cell, looks, logins, mails: Vec::new() }
    }

    /// Adds a mail.
    pub(crate) fn add(&mut self, mail: Mail) {
        self.mails.push(mail);
    }

    fn count(&self, holds: impl Fn(&Mail) -> bool) -> usize {
        self.mails.iter().filter(|mail| holds(mail)).count()
    }

    fn received(&self) -> usize {
        self.count(Mail::is_received)
    }

    fn without_round_trip(&self) -> usize {
        self.count(|mail| mail.is_received() && mail.probe.roundtrip_seconds.is_none())
    }

    fn never_seen(&self) -> usize {
        let is_waited_for =
            |mail: &Mail| ["outstanding", "lost"].contains(&mail.probe.outcome.as_str());
        self.count(|mail| is_waited_for(mail) && mail.should_be_seen)
    }

    fn samples(&self) -> Vec<Sample> {
        let sample = |mail: &Mail| {
            let allowed = self.allowed_seconds(mail.delay_seconds()?);
            Some(Sample { truth: mail.truth_seconds()?, error: mail.error_seconds()?, allowed })
        };
        self.mails.iter().filter(|mail| !mail.is_warm_up).filter_map(sample).collect()
    }

    /// The aim: a part of the delay or a little, whichever is more, and some network round trips.
    fn allowed_seconds(&self, delay: f64) -> f64 {
        let round_trip = self.cell.network_round_trip().as_secs_f64();
        match self.cell.way {
            Way::Pop3 => (delay / 4.0).max(0.3) + 3.0 * round_trip,
            Way::Imap | Way::ImapWithoutIdle => (delay / 10.0).max(0.05) + 1.5 * round_trip,
        }
    }

    /// `yes`, or what missed the aim.
    fn verdict(&self, samples: &[Sample]) -> String {
        let round_trip = self.cell.network_round_trip().as_secs_f64();
        let (total, mut misses) = (samples.len(), Vec::new());
        let over = samples.iter().filter(|sample| sample.error > sample.allowed);
        let excess = |sample: &&Sample| sample.error - sample.allowed;
        if let Some(worst) = over.clone().max_by(|a, b| excess(a).total_cmp(&excess(b))) {
            let (count, allowed) = (over.count(), worst.allowed);
            misses.push(format!("{count} of {total} over {allowed:.2} s"));
        }
        let early = |sample: &&Sample| sample.error < -round_trip - RESOLUTION_SECONDS;
        match samples.iter().filter(early).count() {
            0 => {}
            count => misses.push(format!("{count} of {total} too early")),
        }
        if self.without_round_trip() > 0 && self.cell.restart == Restart::Never {
            misses.push(format!("{} without", self.without_round_trip()));
        }
        if self.never_seen() > 0 {
            misses.push(format!("{} never seen", self.never_seen()));
        }
        match (total, misses.is_empty()) {
            (0, true) => "no error to judge".into(),
            (_, true) => "yes".into(),
            (_, false) => misses.join(", "),
        }
    }

    fn line(&self) -> String {
        let samples = self.samples();
        let mut truths: Vec<_> = samples.iter().map(|sample| sample.truth).collect();
        let mut errors: Vec<_> = samples.iter().map(|sample| sample.error).collect();
        truths.sort_by(f64::total_cmp);
        errors.sort_by(f64::total_cmp);
        let received = self.received();
        let share = percent(self.without_round_trip(), received);
        format!(
            "| {} | {received} | {} | {} | {} | {} | {share} | {} | {} | {} |\n",
            self.cell.label(),
            shown(median(&truths), |value| format!("{value:.2} s")),
            shown(median(&errors), signed),
            shown(errors.first().copied(), signed),
            shown(errors.last().copied(), signed),
            shown(Some(self.looks), |value| format!("{value:.1}")),
            shown(Some(self.logins), |value| format!("{value:.1}")),
            self.verdict(&samples),
        )
    }
}

/// The rows in Markdown, and under them what they have in common.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| protocol | latency each way | side | clocks | delay | mails | true, median | \
         error, median | error, least | error, most | without a round trip | looks a mail | \
         logins a mail | within the aim |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    text.extend(rows.iter().map(Row::line));
    let within = rows.iter().filter(|row| row.verdict(&row.samples()) == "yes").count();
    let count = |holds: fn(&Mail) -> bool| rows.iter().map(|row| row.count(holds)).sum::<usize>();
    let received = count(Mail::is_received);
    let without_truth = count(|mail| mail.is_received() && mail.delivery.is_none());
    let not_accepted = count(Mail::is_not_accepted);
    let off = rows.iter().flat_map(|row| &row.mails).filter_map(|mail| mail.off_transmission);
    let mut writing: Vec<_> =
        rows.iter().flat_map(|row| &row.mails).filter_map(Mail::writing_seconds).collect();
    writing.sort_by(f64::total_cmp);
    let _ = writeln!(
        text,
        "\n{within} of {} rows are within the aim. {received} mails were received; the file of \
         {without_truth} was not caught. {not_accepted} were not accepted. The transmission, as \
         the exporter tells it, was at most {:.0} ms from its connection. Dovecot had a \
         file in its place {:.0} ms after the moment in its name (median).",
        rows.len(),
        off.max().unwrap_or_default().as_secs_f64() * 1000.0,
        median(&writing).unwrap_or_default() * 1000.0,
    );
    text
}

/// Writes each mail as a line of JSON.
///
/// # Panics
/// If the file cannot be written.
pub(crate) fn write_mails(path: &Path, rows: &[Row]) {
    let mut text = String::new();
    for row in rows {
        for mail in &row.mails {
            let line = json!({
                "row": row.cell.label(),
                "token": mail.probe.token,
                "outcome": mail.probe.outcome,
                "warm_up": mail.is_warm_up,
                "true_seconds": mail.truth_seconds(),
                "delay_seconds": mail.delay_seconds(),
                "error_seconds": mail.error_seconds(),
                "writing_seconds": mail.writing_seconds(),
                "off_transmission_seconds": mail.off_transmission.map(|off| off.as_secs_f64()),
            });
            let _ = writeln!(text, "{line}");
        }
    }
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", path.display()));
}

fn seconds_between(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// Of an even number the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let is_even = sorted.len().is_multiple_of(2);
    let lower = if is_even { *sorted.get(middle - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

fn signed(seconds: f64) -> String {
    format!("{seconds:+.3} s").replace('-', "−")
}

fn shown(value: Option<f64>, form: impl Fn(f64) -> String) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| "–".into(), form)
}

fn percent(part: usize, whole: usize) -> String {
    match whole {
        0 => "–".into(),
        whole => format!("{:.0} %", 100.0 * part as f64 / whole as f64),
    }
}
