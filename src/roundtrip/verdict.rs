//! The result of a round trip, in sentences that say what to check next.

use std::time::{Duration, SystemTime};

use super::record::SideRecord;
use crate::config::Target;
use ledger::LoginDelay;
use ledger::Token;
pub(super) use ledger::durations::precise as seconds;
use ledger::{DeliveryReport, FoundIn};
use ledger::{Failure, PerSide, Reason, Shortage, Side};
use mail::inspection::Inspection;

mod sentences;

/// The result of one round trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The check of the mailbox.
    pub mailbox: Check,
    /// The sending of the mail.
    pub sent: Sent,
    /// The way of the mail to the mailbox.
    pub arrival: Arrival,
    /// What the header of the mail told; `None`: it was not read.
    pub way: Option<Inspection>,
    /// The newest report that came back about the mail: of a bounce, or of a delay.
    pub notice: Option<DeliveryReport>,
    /// What the mailbox's server asks for between two logins; zero if nothing.
    pub login_delay: LoginDelay,
    /// Whether nobody could look for the mail in time, as the server allows no login so soon.
    pub is_held_back: bool,
    /// Why the newest look into the sender's own mailbox failed.
    pub sender_mailbox_failure: Option<Failure>,
    /// The newest look that failed since the last one that succeeded.
    pub look_failure: Option<Failure>,
    /// Whether the mailbox has no junk folder that is known by its use.
    pub lacks_junk_folder: bool,
    /// What else there is to know of the mailbox, in sentences.
    pub remarks: Vec<String>,
    /// Whether the mail that arrived, or the report of its bounce, was taken out of the mailbox again.
    pub removal: Removal,
    /// Whether it came to its end.
    pub ending: Ending,
    /// When it began.
    pub began: SystemTime,
    /// The time that is in its mail, as `{time}` of its Subject.
    pub written: SystemTime,
    /// How long all of it took, so far.
    pub took: Duration,
    /// What the dialogues showed.
    pub sides: PerSide<SideRecord>,
    /// Where the target is configured, as `mailtrip.yml:12`.
    pub place: String,
    /// The id of the mail.
    pub token: Token,
}

/// How the check of the mailbox went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It did not come to its end.
    Unfinished,
    /// A fresh login worked and the mailbox could be read.
    Passed,
    /// It could not.
    Failed(Failure),
}

/// How the sending went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was not begun.
    NotTried,
    /// It was cut short: the server may have the mail.
    Unfinished,
    /// The SMTP server has the mail.
    Accepted {
        /// From the beginning of the transmission to the server's reply.
        took: Duration,
        /// That reply.
        reply: String,
        /// How many bytes the mail has.
        bytes: u64,
    },
    /// It was asked for what it should refuse, and consented in these words; no mail was sent.
    Consented(String),
    /// It has not.
    NotAccepted(Failure),
    /// The connection ended before the server's reply: it may have the mail.
    Doubtful(Failure),
}

/// What became of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody looked for it.
    NotAwaited,
    /// It was looked for, and not seen in this time.
    NotSeen(Duration),
    /// A report said that it cannot be delivered, this long after the beginning of the transmission.
    Bounced(Duration),
    /// It was seen.
    Seen {
        /// Since the beginning of the transmission.
        roundtrip: Duration,
        /// Where.
        folder: FoundIn,
    },
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All was done that could be.
    Complete,
    /// Somebody ended it early.
    Interrupted,
    /// This time of `--timeout` was over before the server had answered.
    OutOfTime(Duration),
    /// The same, and others had left it less time than it may need: what it did not come to says nothing of
    /// its servers.
    LackedTime(Duration),
}

/// How the removal of the mail went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was not begun, or did not come to its end.
    Unfinished,
    /// The mail is gone from the mailbox.
    Done,
    /// It may still be there.
    Failed(Failure),
}

impl Verdict {
    /// Nothing has happened yet.
    pub(super) fn new(token: Token, place: &str) -> Self {
        Self {
            mailbox: Check::Unfinished,
            sent: Sent::NotTried,
            arrival: Arrival::NotAwaited,
            way: None,
            notice: None,
            login_delay: LoginDelay::default(),
            is_held_back: false,
            sender_mailbox_failure: None,
            look_failure: None,
            lacks_junk_folder: false,
            remarks: Vec::new(),
            removal: Removal::Unfinished,
            ending: Ending::Complete,
            began: SystemTime::now(),
            written: SystemTime::now(),
            took: Duration::ZERO,
            sides: PerSide::default(),
            place: place.to_owned(),
            token,
        }
    }

    /// Whether the mail was sent, received and removed.
    pub fn is_good(&self) -> bool {
        matches!(self.mailbox, Check::Passed)
            && matches!(self.sent, Sent::Accepted { .. })
            && matches!(self.arrival, Arrival::Seen { .. })
            && self.removal == Removal::Done
    }

    /// Whether this failure says that the passive target is down: nothing is to be expected of it then. A
    /// node from which the mail came was not down.
    pub(super) fn is_standby_down(&self, target: &Target, failure: &Failure) -> bool {
        let came = matches!(self.arrival, Arrival::Seen { .. } | Arrival::Bounced(_));
        target.passive && failure.down && !came
    }

    /// Whether a side of the passive target is down and nothing else is wrong.
    pub fn is_not_applicable(&self, target: &Target) -> bool {
        let mut failures = self.failures().peekable();
        failures.peek().is_some()
            && self.ending != Ending::Interrupted
            && failures.all(|failure| self.is_standby_down(target, failure))
    }

    /// Whether a side of it does not work, as far as is known; a look that failed is none if its
    /// successors were cut off.
    pub(super) fn has_failed(&self, target: &Target) -> bool {
        let mut failures = self
            .failures()
            .filter(|failure| failure.shortage.is_none() && !self.is_standby_down(target, failure));
        let has_failure = match self.ending {
            Ending::Interrupted => failures.any(|it| Some(it) != self.look_failure.as_ref()),
            // Its deadline was that of all.
            Ending::LackedTime(_) => failures.any(|failure| failure.reason != Reason::Timeout),
            Ending::Complete | Ending::OutOfTime(_) => failures.next().is_some(),
        };
        has_failure || matches!(self.arrival, Arrival::Bounced(_))
    }

    fn failures(&self) -> impl Iterator<Item = &Failure> {
        Side::ALL.into_iter().filter_map(|side| self.failure(side))
    }

    /// What this machine was short of, if that is all that kept the mail from being seen: then nothing
    /// is known of the servers.
    pub fn shortage(&self) -> Option<Shortage> {
        let is_seen = matches!(self.arrival, Arrival::Seen { .. } | Arrival::Bounced(_));
        let is_only = !is_seen && self.failures().all(|failure| failure.shortage.is_some());
        self.failures().next().filter(|_| is_only)?.shortage
    }

    /// What went wrong on this side.
    pub fn failure(&self, side: Side) -> Option<&Failure> {
        match side {
            Side::Send => match &self.sent {
                Sent::NotAccepted(failure) | Sent::Doubtful(failure) => Some(failure),
                Sent::NotTried | Sent::Unfinished | Sent::Accepted { .. } | Sent::Consented(_) => {
                    None
                }
            },
            Side::Receive => match (&self.mailbox, &self.removal) {
                (Check::Failed(failure), _) | (_, Removal::Failed(failure)) => Some(failure),
                _ => self.look_failure.as_ref(),
            },
        }
    }

    /// The record of this side.
    pub fn side(&self, side: Side) -> &SideRecord {
        &self.sides[side]
    }
}

/// The time after which a round trip that has not come to its end says something of its servers.
pub(super) fn time_needed(target: &Target) -> Duration {
    let receive = target.receive.as_ref().map(|side| side.endpoint.timeout);
    target.send.endpoint.timeout.max(receive.unwrap_or_default()) * 2
}
