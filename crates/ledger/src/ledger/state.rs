//! What goes into the account, and what comes out of it: sightings and attempts, their outcomes, counters
//! and snapshots.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Bracket, Exemplars, Moment, SessionKind};
use crate::Action;
use crate::Judged;
use crate::LoginDelay;
use crate::PerSide;
use crate::Shared;
use crate::TlsFacts;
use crate::Token;
use crate::{Cause, Failure, Failures, LineInstant, Reason, Step};

/// Where a mail was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundIn {
    /// The inbox, or a POP3 maildrop.
    Inbox,
    /// The folder for junk.
    Junk,
    /// Another folder.
    Other,
}

impl FoundIn {
    /// All of them, in the order of [`Totals::found`].
    pub const ALL: [FoundIn; 3] = [FoundIn::Inbox, FoundIn::Junk, FoundIn::Other];

    /// The value of the label `folder`.
    pub fn label(self) -> &'static str {
        match self {
            FoundIn::Inbox => "inbox",
            FoundIn::Junk => "junk",
            FoundIn::Other => "other",
        }
    }
}

/// How a mail was handed to the SMTP server, on the time line of the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmission {
    /// When it began: with the look-up of the name for its connection, for a further mail on the same
    /// connection with its MAIL FROM. The round trip begins here.
    pub began: LineInstant,
    /// When all of it but the final dot was written: it cannot arrive before.
    pub handed_over: LineInstant,
    /// How long the network took there and back on that connection.
    pub network: Duration,
}

impl Transmission {
    /// All of it in one moment.
    pub fn at(moment: LineInstant) -> Self {
        Self { began: moment, handed_over: moment, network: Duration::ZERO }
    }
}

/// A mail of ours was seen in the mailbox.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// Where.
    pub folder: FoundIn,
    /// When the server's reply that first could show it was read.
    pub shown_at: LineInstant,
    /// When that reply was asked for.
    pub asked_at: LineInstant,
    /// When the newest look into the same folder that did not show it was asked for; `None` if there
    /// was none.
    pub previous_look: Option<LineInstant>,
    /// What the server's own date of the mail means on our time line; `None` if it has none, or the
    /// server's clock is not known.
    pub dated: Option<Bracket>,
    /// Whether that may be the date at which it was accepted, and not that of its delivery: one server alone has
    /// stamped it.
    pub is_stamped_once: bool,
    /// How long the network took there and back on the connection to the mailbox.
    pub network: Duration,
    /// Whether a look has failed since the previous one that did not: nobody knows how long it lay there.
    pub looks_failed: bool,
    /// Since when this process is there to look: since its beginning, or the end of a suspension.
    pub attended_since: LineInstant,
    /// How the mailbox is looked at.
    pub style: SessionKind,
}

/// What a sighting means for the mailbox; in all cases but the last the mail is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightingOutcome {
    /// It has arrived.
    Received {
        /// The time since its transmission began; `None` if nobody can tell when it arrived.
        roundtrip: Option<Duration>,
        /// Between which moments the server of the mailbox wrote the date that it shows.
        stamped: Bracket,
    },
    /// It has arrived before the sending server said that it accepted it.
    Early,
    /// A doubtful, lost or bounced mail has turned up after all.
    Returned,
    /// Another copy of a mail that has been received.
    Duplicate,
    /// It left the account with a passive outage, uncounted.
    Left,
    /// Not in this account.
    Unknown,
}

/// What a delivery status notification about a mail of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The mail.
    pub token: Token,
    /// What became of it.
    pub action: Action,
    /// The enhanced status code (RFC 3463), as `5.1.1`; `None` if the report tells none.
    pub code: Option<String>,
    /// The server that refused it or makes it wait, as the report names it; fit to be shown.
    pub remote_server: Option<String>,
    /// That server's words; fit to be shown.
    pub text: Option<String>,
}

impl DeliveryReport {
    /// Whether the mail cannot be delivered.
    pub fn is_bounce(&self) -> bool {
        self.action == Action::Failed
    }
}

/// What a delivery report means for the account; in all cases but the last it is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The wait for the mail has ended: it is bounced.
    Bounced,
    /// The mail is waited for as before.
    Waiting,
    /// The wait had ended before; nothing changes.
    Over,
    /// Not in this account.
    Unknown,
}

/// The state of the sender's own mailbox, where a target has one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SenderMailbox {
    /// Whether the newest session there succeeded; `None` before the first, and where the newest was
    /// not measured.
    pub up: Option<bool>,
    /// Sessions and looks there that failed.
    pub failures: u64,
    /// The newest failure, and when it happened.
    pub last_failure: Option<(SystemTime, Failure)>,
    /// When the newest session or look there was over that was measured.
    pub last_visit: Option<SystemTime>,
}

/// What one attempt on a side came to.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// On which server it was made, as [`Servers`](super::Servers) tells; empty: on that of the target.
    pub server: Arc<str>,
    /// What went wrong; empty if nothing did.
    pub failures: Vec<Failure>,
    /// The steps with their times.
    pub steps: Vec<(Step, Duration)>,
    /// The address of the server that answered; `None` if none did.
    pub address: Option<SocketAddr>,
    /// How long its TCP handshake took; `None` if no connection came about.
    pub handshake: Option<Duration>,
    /// What the TLS handshake showed.
    pub tls: Option<TlsFacts>,
    /// The mails that were to be sent; none in a check.
    pub tokens: Vec<Token>,
    /// The newest lines of the dialogue, secrets replaced.
    pub transcript: String,
}

impl Attempt {
    /// Whether all that went wrong is that the exporter itself was short of something: the server was
    /// not measured.
    pub fn is_unmeasured(&self) -> bool {
        !self.failures.is_empty() && self.failures.iter().all(|it| it.shortage.is_some())
    }
}

/// A mail that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutstandingMail {
    /// Its token.
    pub token: Token,
    /// When the SMTP server accepted it.
    pub accepted: SystemTime,
    /// Whether it was not seen within `late_after`.
    pub is_late: bool,
}

/// A value that may not be there.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Reading<T> {
    /// Never measured, or nothing that still holds.
    #[default]
    Unmeasured,
    /// There is nothing to be measured: the target is passive and down, or does without.
    NotApplicable,
    /// Measured.
    Is(T),
}

impl<T> Reading<T> {
    /// The same reading of something that follows from the value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Reading::Unmeasured => Reading::Unmeasured,
            Reading::NotApplicable => Reading::NotApplicable,
            Reading::Is(value) => Reading::Is(f(value)),
        }
    }

    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Reading::Is(value) => Some(value),
            Reading::Unmeasured | Reading::NotApplicable => None,
        }
    }
}

/// The counters of an account, from 0 at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Test mails tried: accepted, refused and doubtful.
    pub probes: u64,
    /// Accepted by the SMTP server.
    pub accepted: u64,
    /// Handed over without a reply.
    pub doubtful: u64,
    /// Seen in the mailbox, late ones included.
    pub received: u64,
    /// Not seen `late_after` after they were accepted.
    pub late: u64,
    /// Not seen `lost_after` after they were accepted.
    pub lost: u64,
    /// Outstanding, and reported as undeliverable.
    pub bounced: u64,
    /// Doubtful, lost or bounced, and seen after all.
    pub returned: u64,
    /// Further copies of received mails.
    pub duplicate: u64,
    /// Accepted, and left with a passive outage.
    pub left: u64,
    /// Received, and nobody can tell when: a restart or an outage of the exporter lay in the way.
    pub roundtrips_unknown: u64,
    /// Received, by folder: inbox, junk, other.
    pub found: [u64; 3],
    /// Checks of the mailbox.
    pub checks: u64,
    /// Checks that failed.
    pub check_failures: u64,
    /// Looks into the mailbox between the checks while a mail of the target was outstanding, failed
    /// ones included.
    pub looks: u64,
    /// Periods that did not begin: the one before was still sending, there was no connection free, or
    /// the loop stood still.
    pub periods_skipped: u64,
    /// Periods of the mailbox in which it was not checked: the check before was still under way, the
    /// server allowed no login, or the loop stood still.
    pub checks_skipped: u64,
}

/// The state of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SideState {
    /// Whether the service answers at all; the opposite of *down*. `None` before the first attempt.
    pub up: Option<bool>,
    /// Attempts in a row that failed.
    pub consecutive_failures: Reading<u32>,
    /// Its failures, also of earlier processes.
    pub failures: Failures<Cause>,
    /// Attempts while passive and down.
    pub not_applicable: u64,
    /// The newest attempt.
    pub last_attempt: Option<SystemTime>,
    /// The newest attempt that succeeded.
    pub last_success: Option<SystemTime>,
    /// The steps of the newest attempt.
    pub steps: Arc<[(Step, Duration)]>,
    /// The address of the server that answered the newest attempt; `None` if none did.
    pub address: Option<SocketAddr>,
    /// What the newest TLS handshake showed.
    pub tls: Option<Arc<TlsFacts>>,
    /// The newest failure, and when it happened.
    pub last_failure: Option<(SystemTime, Arc<Failure>)>,
    /// Whether what was measured is too old to hold, and nothing has taken its place.
    pub is_outlived: bool,
}

impl SideState {
    /// How often this reason occurred, in any step.
    pub fn failures_for(&self, reason: Reason) -> u64 {
        self.failures.of(|cause| cause.1 == reason)
    }

    /// How often this step failed, for any reason.
    pub fn failures_in(&self, step: Step) -> u64 {
        self.failures.of(|cause| cause.0 == step)
    }

    /// Its counters.
    pub(super) fn counters(&self) -> SideCounters {
        SideCounters { failures: self.failures.clone(), not_applicable: self.not_applicable }
    }

    /// A side that was not tried yet, with the counters of an earlier process.
    pub(super) fn counted(counters: SideCounters) -> Self {
        let SideCounters { failures, not_applicable } = counters;
        Self { failures, not_applicable, ..Self::default() }
    }

    /// Whether an attempt on its server was measured at any time.
    pub(super) fn was_tried(&self) -> bool {
        self.is_outlived || self.last_attempt.is_some()
    }

    pub(super) fn is_not_applicable(&self) -> bool {
        self.consecutive_failures == Reading::NotApplicable
    }

    /// Counts a failure of the server.
    pub(super) fn count(&mut self, failure: &Failure, now: Moment) {
        if failure.shortage.is_some() {
            return;
        }
        self.failures.count((failure.step, failure.reason), now.wall);
        self.last_failure = Some((now.wall, Arc::new(failure.clone())));
    }
}

/// The counters of one side; see [`SideState`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SideCounters {
    /// Its failures.
    pub failures: Failures<Cause>,
    /// Attempts while passive and down.
    pub not_applicable: u64,
}

/// Round trips by size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Histogram {
    /// How many fell into each bucket; the last has no upper bound.
    pub counts: [u64; 11],
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// The upper bounds of the buckets, in seconds.
    pub const BOUNDS_SECONDS: [f64; 10] =
        [0.1, 0.5, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0];

    /// The index of the bucket that `value` falls into.
    pub fn bucket(value: Duration) -> usize {
        let seconds = value.as_secs_f64();
        Self::BOUNDS_SECONDS.iter().take_while(|bound| seconds > **bound).count()
    }

    pub(super) fn observe(&mut self, value: Duration) {
        if let Some(count) = self.counts.get_mut(Self::bucket(value)) {
            *count += 1;
        }
        self.sum += value;
    }
}

/// Everything that is known of a target at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The share of the newest period's mails that the SMTP server accepted, from 0 to 1.
    pub send_ability: Reading<f64>,
    /// Whether the newest check read the mailbox.
    pub receive_ability: Reading<bool>,
    /// What was expected of its mails in place of their delivery, and whether it came true; `None`: nothing is.
    pub expectation: Option<Judged>,
    /// Mails accepted and not yet seen.
    pub outstanding: Reading<usize>,
    /// How many of the outstanding mails are late.
    pub late_outstanding: usize,
    /// The mean delay of the mails received lately.
    pub roundtrip: Reading<Duration>,
    /// Whether a mail was received as lately of which nobody can tell when it arrived.
    pub is_arrival_unknown: bool,
    /// Whether what was accepted arrives: not while a mail is late, else as the newest mail whose
    /// wait is over tells.
    pub delivers: Reading<bool>,
    /// The time from acceptance to arrival of the newest mail that arrived.
    pub delivery: Option<Duration>,
    /// The round trip of the newest mail that arrived.
    pub last_roundtrip: Option<Duration>,
    /// When the oldest outstanding mail was accepted.
    pub oldest_outstanding: Option<SystemTime>,
    /// The round trips.
    pub roundtrips: Shared<Histogram>,
    /// Mails that are examples of them; none before the first one that this process has found.
    pub exemplars: Exemplars,
    /// The counters.
    pub totals: Shared<Totals>,
    /// The two sides.
    pub sides: PerSide<Shared<SideState>>,
    /// The sender's own mailbox.
    pub sender_mailbox: Shared<SenderMailbox>,
    /// The newest report that a mail of ours cannot be delivered or has to wait, and when it was read.
    pub last_report: Option<Shared<(SystemTime, DeliveryReport)>>,
    /// The test period.
    pub interval: Duration,
    /// How often the mailbox is checked: the shortest period of those who share it, or what the server
    /// allows.
    pub check_interval: Duration,
    /// What the mailbox's server asks for between two logins; zero if nothing, or not known.
    pub login_delay: LoginDelay,
    /// The age at which an accepted mail is late.
    pub late_after: Duration,
}

impl Snapshot {
    /// Whether a mail is late and not there yet.
    pub fn is_late(&self) -> bool {
        self.late_outstanding > 0
    }
}
