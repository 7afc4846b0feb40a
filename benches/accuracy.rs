//! `make bench-accuracy`: how right is the round trip?
//!
//! A real Postfix and Dovecot deliver with known delays; the exporter watches by IMAP, by IMAP of a
//! server without IDLE, and by POP3 once it has seen a few mails.
//! What it reports between acceptance and arrival is compared with the truth: the name that Dovecot
//! gave the file holds the microsecond of its delivery. Beside it stands what a mail costs: looks by
//! the exporter's own count, logins by Dovecot's log, the check of each period included. The table
//! goes to standard output, in the form in which README.md shows it; nothing here passes or fails.
//!
//! `MAILTRIP_BENCH_LONG=1` adds a delay of ten minutes, `MAILTRIP_BENCH_SHORT=1` leaves out those
//! beyond half a second.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mailtrip_exporter::config::Config;
use mailtrip_exporter::metrics::{self, ExporterFacts};
use mailtrip_exporter::supervisor::Supervisor;
use mailtrip_exporter::target::message::Token;
use mailtrip_exporter::target::send::Origin;

#[path = "../tests/it"]
mod it {
    #[allow(dead_code, unused_imports, clippy::expect_used, clippy::unwrap_used)]
    #[allow(clippy::indexing_slicing)]
    pub(crate) mod lab;
}

use it::lab;
use lab::{Account, Imap, Lab};

/// How often the exporter's memory and the mailboxes are looked into.
const SAMPLE: Duration = Duration::from_millis(2);
/// Mails that teach the POP3 schedule before those that count.
const WARM_UP: usize = 3;

/// How the mailbox is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Imap,
    ImapWithoutIdle,
    Pop3,
}

impl Way {
    const ALL: [Self; 3] = [Self::Imap, Self::ImapWithoutIdle, Self::Pop3];

    fn label(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::ImapWithoutIdle => "imap without IDLE",
            Self::Pop3 => "pop3",
        }
    }
}

/// The servers: one Dovecot has no IDLE.
struct Labs {
    whole: Lab,
    without_idle: Lab,
}

impl Labs {
    async fn start() -> Self {
        let (whole, without_idle) = tokio::join!(Lab::start(), Lab::start_with(Imap::WithoutIdle));
        Self { whole, without_idle }
    }

    fn of(&self, way: Way) -> &Lab {
        if way == Way::ImapWithoutIdle { &self.without_idle } else { &self.whole }
    }
}

/// What the mails of a row have cost, each.
struct Cost {
    looks: f64,
    logins: f64,
}

/// One row of the table while it is measured.
struct Row {
    name: String,
    way: Way,
    delay: Duration,
    account: Account,
    wanted: usize,
    received: u64,
    accepted: Option<SystemTime>,
    delivered: Option<SystemTime>,
    samples: Vec<Sample>,
}

#[derive(Clone, Copy)]
struct Sample {
    truth: Duration,
    reported: Duration,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap_or_else(|error| panic!("no runtime: {error}"));
    runtime.block_on(measure());
}

async fn measure() {
    let labs = Labs::start().await;
    let mut rows = Vec::new();
    for way in Way::ALL {
        for seconds in delays() {
            rows.push(row(&labs, way, seconds).await);
        }
    }
    let config = Config::parse(&configuration(&labs, &rows), Path::new("bench.yml"))
        .unwrap_or_else(|problems| panic!("{problems}"));
    let origin = Origin { instance: Token::random(), host: None };
    let supervisor =
        Supervisor::start(config, None, origin).await.unwrap_or_else(|problem| panic!("{problem}"));
    watch(&labs, &supervisor, &mut rows).await;
    let costs = costs(&labs, &supervisor, &rows);
    supervisor.stop().await;
    print!("{}", table(&rows, &costs));
}

/// In seconds.
fn delays() -> Vec<f64> {
    let is_set = |name| std::env::var_os(name).is_some();
    let mut delays = vec![0.0, 0.3, 2.0, 10.0, 60.0];
    if is_set("MAILTRIP_BENCH_SHORT") {
        delays.truncate(2);
    }
    if is_set("MAILTRIP_BENCH_LONG") {
        delays.push(600.0);
    }
    delays
}

async fn row(labs: &Labs, way: Way, seconds: f64) -> Row {
    let lab = labs.of(way);
    let delay = Duration::from_secs_f64(seconds);
    let name = format!("{}-{}", way.label().replace(' ', "-"), delay.as_millis());
    let account = lab.user(&name.to_lowercase(), "secret").await;
    lab.delay(&account, delay);
    let wanted = if seconds < 60.0 { 6 } else { 2 };
    Row {
        name,
        way,
        delay,
        account,
        wanted: wanted + WARM_UP,
        received: 0,
        accepted: None,
        delivered: None,
        samples: Vec::new(),
    }
}

fn configuration(labs: &Labs, rows: &[Row]) -> String {
    let mut text = String::from("targets:\n");
    for row in rows {
        let lab = labs.of(row.way);
        let (protocol, port) = match row.way {
            Way::Pop3 => ("pop3", lab.ports().pop3),
            _ => ("imap", lab.ports().imap),
        };
        let interval = (row.delay.as_secs_f64() * 1.6).ceil() + 4.0;
        let _ = write!(
            text,
            "- name: {}\n  host: 127.0.0.1\n  interval: {interval}s\n  from: {}\n  to: {}\n  \
             send: {{port: {}, tls: none}}\n  receive: {{protocol: {}, port: {port}, tls: none, \
             username: {}, password: {}}}\n",
            row.name,
            lab.sender().address,
            row.account.address,
            lab.ports().smtp,
            protocol,
            row.account.address,
            row.account.password,
        );
    }
    text
}

/// Looks until every row has its mails.
async fn watch(labs: &Labs, supervisor: &Arc<Supervisor>, rows: &mut [Row]) {
    let began = Instant::now();
    let mut told = Instant::now();
    while rows.iter().any(|row| row.samples.len() < row.wanted) {
        for row in rows.iter_mut() {
            row.look(labs.of(row.way), supervisor);
        }
        if told.elapsed() >= Duration::from_secs(10) {
            told = Instant::now();
            let missing: usize =
                rows.iter().map(|row| row.wanted - row.samples.len().min(row.wanted)).sum();
            eprintln!("{:.0} s, {missing} mails to go", began.elapsed().as_secs_f64());
        }
        tokio::time::sleep(SAMPLE).await;
    }
}

impl Row {
    fn look(&mut self, lab: &Lab, supervisor: &Supervisor) {
        if let Some(mail) = lab.mails(&self.account).first()
            && let Some(delivered) = mail.delivered()
        {
            self.delivered = Some(delivered);
        }
        let Some(view) = supervisor.view(&self.name) else { return };
        let snapshot = view.snapshot;
        if let Some(accepted) = snapshot.oldest_outstanding {
            self.accepted = Some(accepted);
        }
        if snapshot.totals.received == self.received {
            return;
        }
        self.received = snapshot.totals.received;
        let (accepted, delivered) = (self.accepted.take(), self.delivered.take());
        // A mail that came and went between two samples tells nothing.
        if let (Some(accepted), Some(delivered), Some(reported)) =
            (accepted, delivered, snapshot.delivery)
            && let Ok(truth) = delivered.duration_since(accepted)
        {
            self.samples.push(Sample { truth, reported });
        }
    }

    /// Those after the warm-up.
    fn counted(&self) -> &[Sample] {
        self.samples.get(WARM_UP..).unwrap_or_default()
    }
}

fn costs(labs: &Labs, supervisor: &Supervisor, rows: &[Row]) -> BTreeMap<String, Cost> {
    let page = metrics::encode(&supervisor.views(), &ExporterFacts::of(supervisor));
    let cost = |row: &Row| {
        let lab = labs.of(row.way);
        let logins = match row.way {
            Way::Pop3 => lab.pop3_logins(&row.account),
            _ => lab.imap_logins(&row.account),
        };
        let mails = row.received.max(1) as f64;
        let cost = Cost { looks: looks(&page, &row.name) / mails, logins: logins as f64 / mails };
        (row.name.clone(), cost)
    };
    rows.iter().map(cost).collect()
}

/// The looks on behalf of a target, as a page of metrics counts them; NaN if it does not.
fn looks(page: &str, target: &str) -> f64 {
    let series = format!("mailtrip_looks_total{{target=\"{target}\"}} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
    value.unwrap_or(f64::NAN)
}

fn table(rows: &[Row], costs: &BTreeMap<String, Cost>) -> String {
    let mut text = String::from(
        "| protocol | delay | true, median | error, median | error, most | looks a mail | \
         logins a mail |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let mut truths: Vec<f64> = row.counted().iter().map(|it| it.truth.as_secs_f64()).collect();
        let mut errors: Vec<f64> = row
            .counted()
            .iter()
            .map(|it| it.reported.as_secs_f64() - it.truth.as_secs_f64())
            .collect();
        truths.sort_by(f64::total_cmp);
        errors.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let _ = writeln!(
            text,
            "| {} | {} s | {:.2} s | {:+.3} s | {:+.3} s | {:.1} | {:.1} |",
            row.way.label(),
            row.delay.as_secs_f64(),
            median(&truths),
            median(&errors),
            errors.last().copied().unwrap_or(f64::NAN),
            costs.get(&row.name).map_or(f64::NAN, |cost| cost.looks),
            costs.get(&row.name).map_or(f64::NAN, |cost| cost.logins),
        );
    }
    text
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
