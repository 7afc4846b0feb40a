//! A batch: targets with mailboxes and relays of their own, one exporter for each clock and each
//! kind of restart, all at the same time.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::exporter::{Exporter, Probe};
use crate::lab::{Account, Imap, Lab};
use crate::plan::{Batch, Cell, Restart, Way};
use crate::relay::Relay;
use crate::report::{Mail, Row};
use crate::truth::Truth;

/// How often the exporter is asked for its newest mails, of which it keeps twenty a target.
const ASK_EVERY: Duration = Duration::from_secs(3);
const TELL_EVERY: Duration = Duration::from_secs(15);
/// How long the exporter is up from one restart to the next, again and again. It begins its periods
/// anew with each start: by one length it would be the mails of the same targets each time.
const UP_SECONDS: [u64; 4] = [13, 19, 25, 31];
/// How long it is away.
const DOWN: Duration = Duration::from_secs(4);
/// How long restarts go on, if nothing else is measured beside them.
const RESTARTS_ALONE: Duration = Duration::from_secs(110);
/// A mail that was delivered earlier than this before the end should have been seen.
const GRACE: Duration = Duration::from_secs(10);

/// The servers: one Dovecot has no IDLE.
pub(crate) struct Labs {
    whole: Lab,
    without_idle: Lab,
}

/// A row while it is measured.
struct Seat {
    cell: Cell,
    /// Each target has one, and its name is that of the mailbox.
    accounts: Vec<(String, Account)>,
    send: Relay,
    mailbox: Relay,
    /// By token, with the number of the target.
    probes: HashMap<String, (usize, Probe)>,
    looks: f64,
}

/// What one exporter watches.
struct Group {
    title: String,
    clock_seconds: i32,
    restart: Restart,
    configuration: String,
    seats: Vec<Seat>,
    /// From the end of the exporter until it was there again.
    downs: Vec<(SystemTime, SystemTime)>,
    /// When the exporter was asked for the last time.
    asked: SystemTime,
}

impl Labs {
    /// # Panics
    /// As [`Lab::start`].
    pub(crate) async fn start() -> Self {
        let (whole, without_idle) = tokio::join!(Lab::start(), Lab::start_with(Imap::WithoutIdle));
        Self { whole, without_idle }
    }

    fn of(&self, way: Way) -> &Lab {
        if way == Way::ImapWithoutIdle { &self.without_idle } else { &self.whole }
    }
}

/// Measures the rows of a batch.
///
/// # Panics
/// If a server or an exporter fails, or a row does not come to its mails.
pub(crate) async fn measure(labs: &Labs, truth: &Truth, batch: &Batch) -> Vec<Row> {
    eprintln!("{}: {} rows", batch.title, batch.cells.len());
    let mut groups: BTreeMap<(i32, Restart), Vec<Seat>> = BTreeMap::new();
    for &cell in &batch.cells {
        let seat = Seat::take(labs.of(cell.way), truth, cell).await;
        groups.entry((cell.clock_seconds, cell.restart)).or_default().push(seat);
    }
    let others_are_done = CancellationToken::new();
    let (mut measuring, mut restarting) = (JoinSet::new(), JoinSet::new());
    for ((clock_seconds, restart), seats) in groups {
        let group = Group::new(labs, batch.title, clock_seconds, restart, seats);
        if restart == Restart::Never {
            measuring.spawn(group.measure());
        } else {
            restarting.spawn(group.measure_over_restarts(others_are_done.clone()));
        }
    }
    if measuring.is_empty() {
        sleep(RESTARTS_ALONE).await;
    }
    let mut groups = measuring.join_all().await;
    others_are_done.cancel();
    groups.extend(restarting.join_all().await);
    eprintln!("{}: {} mails so far went before they could be read", batch.title, truth.missed());
    groups.into_iter().flat_map(|group| group.rows(labs, truth)).collect()
}

impl Seat {
    async fn take(lab: &Lab, truth: &Truth, cell: Cell) -> Self {
        let mut accounts = Vec::new();
        for number in 0..cell.targets {
            let name = format!("{}-{number}", cell.name());
            let account = lab.user(&name, "secret").await;
            lab.delay(&account, cell.delay);
            if cell.delay.is_zero() {
                lab.deliver(&account);
            }
            truth.watch(lab, &account);
            accounts.push((name, account));
        }
        let ports = lab.ports();
        let port = if cell.way == Way::Pop3 { ports.pop3 } else { ports.imap };
        let (send, mailbox) = tokio::join!(
            Relay::new(ports.submission, cell.latency_of_send()),
            Relay::new(port, cell.latency)
        );
        Self { cell, accounts, send, mailbox, probes: HashMap::new(), looks: f64::NAN }
    }

    /// The part of the configuration.
    fn targets(&self, lab: &Lab) -> String {
        let mut text = String::new();
        let Account { address: sender, password: sender_password } = lab.sender();
        let tls = format!("tls_options: {{ca_file: {}}}", lab.ca_file().display());
        let protocol = if self.cell.way == Way::Pop3 { "pop3" } else { "imap" };
        for (name, Account { address, password }) in &self.accounts {
            let _ = write!(
                text,
                "- name: {name}\n  host: 127.0.0.1\n  interval: {}ms\n  from: {sender}\n  \
                 to: {address}\n  send: {{port: {}, username: {sender}, \
                 password: {sender_password}, max_connections: 100, {tls}}}\n  \
                 receive: {{protocol: {protocol}, port: {}, username: {address}, \
                 password: {password}, {tls}}}\n",
                self.cell.interval.as_millis(),
                self.send.port(),
                self.mailbox.port(),
            );
        }
        text
    }

    async fn ask(&mut self, exporter: &Exporter) {
        for (number, (name, _)) in self.accounts.iter().enumerate() {
            for mut probe in exporter.probes(name).await {
                // What happened before a restart is told without its round trip after it.
                let before = self.probes.get(&probe.token);
                let known = before.and_then(|(_, before)| before.roundtrip_seconds);
                probe.roundtrip_seconds = probe.roundtrip_seconds.or(known);
                self.probes.insert(probe.token.clone(), (number, probe));
            }
        }
    }

    fn received(&self) -> usize {
        self.probes.values().filter(|(_, probe)| probe.outcome == "received").count()
    }

    fn is_done(&self) -> bool {
        self.received() >= self.cell.wanted
    }
}

impl Group {
    fn new(
        labs: &Labs,
        batch: &str,
        clock_seconds: i32,
        restart: Restart,
        seats: Vec<Seat>,
    ) -> Self {
        let targets: String =
            seats.iter().map(|seat| seat.targets(labs.of(seat.cell.way))).collect();
        let title = match restart {
            Restart::Never => format!("{batch}, clock {clock_seconds:+} s"),
            Restart::Killed => format!("{batch}, SIGKILL"),
            Restart::Terminated => format!("{batch}, SIGTERM"),
        };
        let configuration = format!("state_dir: state\ntargets:\n{targets}");
        let (downs, asked) = (Vec::new(), SystemTime::now());
        Self { title, clock_seconds, restart, configuration, seats, downs, asked }
    }

    /// Until each row has its mails.
    async fn measure(mut self) -> Self {
        let exporter = Exporter::start(&self.configuration, self.clock_seconds).await;
        let (began, mut told) = (Instant::now(), Instant::now());
        let longest = self.seats.iter().map(|seat| {
            let mails = seat.cell.wanted.div_ceil(seat.cell.targets);
            seat.cell.interval * u32::try_from(mails + 4).unwrap_or(u32::MAX)
        });
        let end = began + longest.max().unwrap_or_default() + Duration::from_secs(60);
        loop {
            sleep(ASK_EVERY).await;
            self.ask(&exporter).await;
            let done = self.seats.iter().filter(|seat| seat.is_done()).count();
            let is_over = done == self.seats.len() || Instant::now() > end;
            if is_over || told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let seconds = began.elapsed().as_secs();
                eprintln!("{}: {seconds} s, {done} of {} rows", self.title, self.seats.len());
            }
            if is_over {
                break;
            }
        }
        self.count_looks(&exporter.metrics().await);
        self
    }

    /// Until the others are done.
    async fn measure_over_restarts(mut self, others_are_done: CancellationToken) -> Self {
        let mut exporter = Exporter::start(&self.configuration, self.clock_seconds).await;
        for up in UP_SECONDS.into_iter().cycle().map(Duration::from_secs) {
            if others_are_done.run_until_cancelled(sleep(up)).await.is_none() {
                break;
            }
            self.ask(&exporter).await;
            let down = SystemTime::now();
            exporter.restart(self.restart, DOWN).await;
            self.downs.push((down, SystemTime::now()));
            eprintln!("{}: {} times", self.title, self.downs.len());
        }
        let longest = self.seats.iter().map(|seat| seat.cell.delay).max();
        sleep(longest.unwrap_or_default() + 2 * GRACE).await;
        self.ask(&exporter).await;
        self
    }

    async fn ask(&mut self, exporter: &Exporter) {
        self.asked = SystemTime::now();
        for seat in &mut self.seats {
            seat.ask(exporter).await;
        }
    }

    /// By the exporter's own count.
    fn count_looks(&mut self, page: &str) {
        for seat in &mut self.seats {
            let looks = seat.accounts.iter().map(|(target, _)| {
                let series = format!("mailtrip_looks_total{{target=\"{target}\"}} ");
                let value = page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
                value.unwrap_or(f64::NAN)
            });
            seat.looks = looks.sum();
        }
    }

    fn rows(self, labs: &Labs, truth: &Truth) -> Vec<Row> {
        let Self { seats, downs, asked, .. } = self;
        seats.into_iter().map(|seat| seat.row(labs, truth, &downs, asked)).collect()
    }
}

impl Seat {
    fn row(
        self,
        labs: &Labs,
        truth: &Truth,
        downs: &[(SystemTime, SystemTime)],
        asked: SystemTime,
    ) -> Row {
        let lab = labs.of(self.cell.way);
        let logins: usize = self
            .accounts
            .iter()
            .map(|(_, account)| match self.cell.way {
                Way::Pop3 => lab.pop3_logins(account),
                _ => lab.imap_logins(account),
            })
            .sum();
        let received = self.received().max(1) as f64;
        let (looks, logins) = (self.looks / received, logins as f64 / received);
        let mut probes: Vec<_> = self.probes.into_values().collect();
        probes.sort_by_key(|(target, probe)| (*target, probe.began));
        let mut row = Row::new(self.cell, looks, logins);
        let mut place = (0, 0);
        for (target, probe) in probes {
            let nth = if place.0 == target { place.1 } else { 0 };
            place = (target, nth + 1);
            let delivery = truth.delivery(&probe.token);
            let delivered = delivery.map(|delivery| delivery.named);
            if self.cell.restart != Restart::Never && !is_in_way(&probe, delivered, downs) {
                continue;
            }
            let should_be_seen = delivered.is_some_and(|at| {
                let grace = GRACE + self.cell.delay / 2 + 100 * self.cell.latency;
                asked.duration_since(at).unwrap_or_default() > grace
            });
            row.add(Mail {
                is_warm_up: nth < self.cell.way.warm_up(),
                // Before that the exporter itself does not know.
                off_transmission: probe
                    .accepted
                    .and_then(|_| self.send.distance_to_connection(probe.began)),
                delivery,
                should_be_seen,
                probe,
            });
        }
        row
    }
}

/// Whether the exporter was away between the transmission of a mail and its arrival.
fn is_in_way(
    probe: &Probe,
    delivered: Option<SystemTime>,
    downs: &[(SystemTime, SystemTime)],
) -> bool {
    let end = delivered.max(probe.ended).unwrap_or(probe.began);
    downs.iter().any(|(down, up)| probe.began < *up && end > *down)
}
