//! What is measured: the rows of the table, and which of them run at the same time.

use std::time::Duration;

/// How the mailbox is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By IMAP with IDLE (RFC 2177).
    Imap,
    /// By IMAP of a server that has no IDLE.
    ImapWithoutIdle,
    /// By POP3.
    Pop3,
}

/// Which servers are far away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The mailbox alone.
    Mailbox,
    /// The mailbox and the SMTP server.
    Both,
}

/// What happens to the exporter while mails are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Restart {
    /// Nothing.
    Never,
    /// It is ended by SIGKILL, and started again.
    Killed,
    /// It is ended by SIGTERM, and started again.
    Terminated,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// How the mailbox is watched.
    pub(crate) way: Way,
    /// Whether the exporter is restarted.
    pub(crate) restart: Restart,
    /// How many targets make up the row.
    pub(crate) targets: usize,
    /// By how many seconds the clock of the exporter is before that of the servers.
    pub(crate) clock_seconds: i32,
    /// How long each byte is under way, each way.
    pub(crate) latency: Duration,
    /// Between which of the servers and the exporter.
    pub(crate) side: Side,
    /// How much later Postfix delivers a mail.
    pub(crate) delay: Duration,
    /// The period of each target.
    pub(crate) interval: Duration,
    /// Mails to wait for, those of the warm-up included.
    pub(crate) wanted: usize,
}

/// Rows that are measured at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// For the progress.
    pub(crate) title: &'static str,
    /// The rows.
    pub(crate) cells: Vec<Cell>,
}

/// One-way delay in milliseconds, and where.
type Distance = (u64, Side);

const WAYS: [Way; 3] = [Way::Imap, Way::ImapWithoutIdle, Way::Pop3];
/// The delays of a row over a restart, and how often it is sent.
const RESTARTED_DELAY: Duration = Duration::from_secs(10);
const RESTARTED_INTERVAL: Duration = Duration::from_secs(20);
const MANY_TARGETS: usize = 200;

const HERE: Distance = (0, Side::Mailbox);
const EVERY_DISTANCE: [Distance; 7] = [
    HERE,
    (20, Side::Mailbox),
    (20, Side::Both),
    (75, Side::Mailbox),
    (75, Side::Both),
    (250, Side::Mailbox),
    (250, Side::Both),
];
/// A clock before that of the servers is the harder one: mails then seem to arrive too early.
const EVERY_CLOCK: [i32; 3] = [0, 5, -90];

/// The rows of the short run: clock in seconds, distance, delay in seconds.
const SHORT: [(i32, Distance, u64); 14] = [
    (0, HERE, 0),
    (0, HERE, 2),
    (0, HERE, 10),
    (0, (20, Side::Mailbox), 0),
    (0, (75, Side::Mailbox), 0),
    (0, (75, Side::Both), 2),
    (0, (75, Side::Both), 10),
    (0, (250, Side::Both), 0),
    (5, (20, Side::Both), 0),
    (5, (75, Side::Both), 0),
    (5, (75, Side::Both), 10),
    (-90, HERE, 0),
    (-90, (20, Side::Both), 10),
    (-90, (75, Side::Mailbox), 0),
];

impl Way {
    /// As the table has it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Imap => "IMAP",
            Self::ImapWithoutIdle => "IMAP without IDLE",
            Self::Pop3 => "POP3",
        }
    }

    /// Mails that teach the schedule of POP3 before those whose error counts.
    pub(crate) fn warm_up(self) -> usize {
        if self == Self::Pop3 { 3 } else { 0 }
    }
}

impl Cell {
    /// A target of its own, with so many mails whose error counts.
    fn new(way: Way, clock_seconds: i32, distance: Distance, delay: u64, counted: usize) -> Self {
        let (latency, side) = (Duration::from_millis(distance.0), distance.1);
        let delay = Duration::from_secs(delay);
        // A session costs some twenty one-way delays, and there are three in a period.
        let interval = Duration::from_secs(12) + delay.mul_f64(1.3) + 60 * latency;
        let wanted = way.warm_up() + counted;
        let (restart, targets) = (Restart::Never, 1);
        Self { way, restart, targets, clock_seconds, latency, side, delay, interval, wanted }
    }

    /// Over restarts; the batch ends when the others are measured.
    fn restarted(way: Way, restart: Restart) -> Self {
        let cell = Self::new(way, 0, (20, Side::Mailbox), 0, 0);
        Self {
            restart,
            delay: RESTARTED_DELAY,
            interval: RESTARTED_INTERVAL,
            targets: 3,
            wanted: 0,
            ..cell
        }
    }

    /// Many targets on one exporter.
    fn crowd() -> Self {
        let cell = Self::new(Way::Imap, 0, HERE, 0, 2 * MANY_TARGETS);
        Self { targets: MANY_TARGETS, interval: Duration::from_secs(60), ..cell }
    }

    /// The order of the table.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let clock = (self.clock_seconds.abs(), self.clock_seconds);
        (self.way, self.restart, self.targets, clock, self.latency, self.side, self.delay)
    }

    /// What tells the row from others, as the name of its targets: letters, digits and hyphens.
    pub(crate) fn name(&self) -> String {
        let way = self.way.label().to_lowercase().replace(' ', "-");
        let restart = match self.restart {
            Restart::Never => "",
            Restart::Killed => "-killed",
            Restart::Terminated => "-terminated",
        };
        let side = if self.side == Side::Both { "both" } else { "mailbox" };
        let clock = self.clock_seconds.to_string().replace('-', "minus");
        let (latency, delay) = (self.latency.as_millis(), self.delay.as_secs());
        format!("{way}{restart}-{}-{latency}-{side}-{clock}-{delay}", self.targets)
    }

    /// What tells the row from others, as the first columns of the table have it.
    pub(crate) fn label(&self) -> String {
        let clock = match self.clock_seconds {
            0 => "in step".to_owned(),
            seconds => format!("{seconds:+} s").replace('-', "−"),
        };
        let side = match (self.latency.is_zero(), self.side) {
            (true, _) => "–",
            (false, Side::Mailbox) => "mailbox",
            (false, Side::Both) => "both",
        };
        let remark = match (self.restart, self.targets) {
            (Restart::Killed, _) => ", over SIGKILL",
            (Restart::Terminated, _) => ", over SIGTERM",
            (Restart::Never, MANY_TARGETS) => ", 200 targets",
            _ => "",
        };
        let (latency, delay) = (self.latency.as_millis(), self.delay.as_secs());
        format!("{}{remark} | {latency} ms | {side} | {clock} | {delay} s", self.way.label())
    }

    /// There and back between the exporter and the mailbox.
    pub(crate) fn network_round_trip(&self) -> Duration {
        2 * self.latency
    }

    /// One way between the exporter and the SMTP server.
    pub(crate) fn latency_of_send(&self) -> Duration {
        if self.side == Side::Both { self.latency } else { Duration::ZERO }
    }
}

/// What runs one after the other.
pub(crate) fn batches(is_long: bool) -> Vec<Batch> {
    if is_long { long() } else { short() }
}

fn short() -> Vec<Batch> {
    let cell = |way, (clock, distance, delay): (i32, Distance, u64)| {
        Cell::new(way, clock, distance, delay, if way == Way::Pop3 { 2 } else { 4 })
    };
    let mut cells: Vec<_> =
        WAYS.iter().flat_map(|way| SHORT.map(|which| cell(*way, which))).collect();
    cells.extend(restarts());
    vec![Batch { title: "all", cells }]
}

fn long() -> Vec<Batch> {
    let every = |delay: u64| {
        let of_clock = move |way, clock| {
            EVERY_DISTANCE
                .into_iter()
                .map(move |distance| Cell::new(way, clock, distance, delay, 5))
        };
        let of_way = move |way| EVERY_CLOCK.into_iter().flat_map(move |clock| of_clock(way, clock));
        WAYS.into_iter().flat_map(of_way)
    };
    vec![
        Batch { title: "delays of 0 s", cells: every(0).collect() },
        Batch { title: "delays of 2 s", cells: every(2).collect() },
        Batch {
            title: "delays of 10 s and 45 s, and restarts",
            cells: every(10).chain(every(45)).chain(restarts()).collect(),
        },
        Batch { title: "200 targets", cells: vec![Cell::crowd()] },
    ]
}

fn restarts() -> impl Iterator<Item = Cell> {
    let of =
        |way| [Restart::Killed, Restart::Terminated].map(|restart| Cell::restarted(way, restart));
    WAYS.into_iter().flat_map(of)
}
