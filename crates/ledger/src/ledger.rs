//! The account of one target's mails. Pure: events and the time go in, a [`Snapshot`] and the next
//! look go out; no I/O, no clock, no metric.
//!
//! Every mail is in exactly one [`MailState`]: *sending*, then *refused*, *doubtful* or *accepted*; accepted
//! mails are *outstanding*, then *received*, *bounced* or *lost*. Over the life of the account
//! accepted = outstanding + received + bounced + lost + those that left with a passive outage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::{
    Availability, Awaited, Failure, LineInstant, LoginDelay, PerSide, Purpose, Shared, Side, Token,
};
use accounting::Accounted;
pub use arrival::Bracket;
pub use exemplars::{Exemplar, Exemplars};
use expectation::Judgement;
use lifecycle::Ended;
pub use mail_state::MailState;
pub use moment::Moment;
use moment::{ClockJump, WallClock};
pub use newest::{KeptJudgement, Measured, Newest, Servers, Visited};
use pacing::Pacing;
pub use pacing::SessionKind;
use record::Journal;
pub use record::{AccountRecord, Changes, MailRecord, StoredAccount};
use schedule::Schedule;
pub use server_clock::{ClockOffset, ServerClock};
pub use state::{
    Attempt, DeliveryReport, FoundIn, Histogram, OutstandingMail, Reading, ReportOutcome,
    SenderMailbox, SideCounters, SideState, Sighting, SightingOutcome, Snapshot, Totals,
    Transmission,
};

mod accounting;
mod arrival;
mod arrivals;
mod attempts;
mod beginnings;
mod delivery_reports;
mod exemplars;
mod expectation;
mod lifecycle;
mod looks;
mod mail_state;
mod moment;
mod newest;
mod pacing;
mod record;
mod schedule;
mod server_clock;
mod state;

/// What of a target's configuration the account goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The test period.
    pub interval: Duration,
    /// The age at which an accepted mail is late.
    pub late_after: Duration,
    /// The age at which it is lost.
    pub lost_after: Duration,
    /// The most mails that are outstanding at one time.
    pub max_outstanding: usize,
    /// While a side is down, nothing is measured.
    pub passive: bool,
    /// What must become of its mails; `None`: they are to be delivered. With one, neither the mails nor the sides have
    /// measures of their own.
    pub expectation: Option<Awaited>,
}

/// The account; see the module.
#[derive(Debug, Clone)]
pub struct Ledger {
    rules: Rules,
    servers: Servers,
    /// The sender's own mailbox, as `imap://user@host:port`; empty: nobody has told, or there is none.
    sender_server: Arc<str>,
    /// Since when these are the servers; `None`: all that is known is of them.
    measured_since: Option<LineInstant>,
    sending: BTreeMap<Token, Sending>,
    /// In the order of acceptance.
    outstanding: VecDeque<Outstanding>,
    /// Mails whose wait is over, oldest first.
    ended: VecDeque<Ended>,
    totals: Shared<Totals>,
    /// Of the mails that are not to be delivered.
    unshown: Shared<Totals>,
    judgement: Option<Judgement>,
    /// Whether the mailbox hides its folder for junk, and no other than the inbox is looked into.
    hides_junk: bool,
    roundtrips: Shared<Histogram>,
    exemplars: Exemplars,
    period: Period,
    previous_period: Period,
    /// When the newest period began.
    period_began: Option<Moment>,
    send_ability: Reading<f64>,
    receive_ability: Reading<bool>,
    sides: PerSide<Shared<SideState>>,
    schedules: PerSide<Schedule>,
    /// How often the mailbox is checked; `None`: not known yet.
    check_interval: Option<Duration>,
    /// How long a check takes at most.
    longest_check: Option<Duration>,
    login_delay: LoginDelay,
    delivery: Option<Duration>,
    last_roundtrip: Option<Duration>,
    /// Whether the newest mail whose wait ended one way or the other has arrived.
    newest_end: Reading<bool>,
    sender_mailbox: Shared<SenderMailbox>,
    last_report: Option<Shared<(SystemTime, DeliveryReport)>>,
    pacing: Pacing,
    /// When the newest look into all of the mailbox was asked for that has succeeded.
    looked: Option<LineInstant>,
    /// The least time between two looks.
    look_gap: Duration,
    /// A session of a passive target broke off, and it is not known yet what that was.
    broken_off: Option<Failure>,
    journal: Journal,
    wall_clock: WallClock,
    availability: Availability,
    accounted: Accounted,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    purpose: Purpose,
    /// When it was registered.
    began: Moment,
    /// Set if the mail was seen before the server's reply.
    seen: Option<Sighting>,
    /// Whether it was reported as undeliverable before the server's reply.
    has_bounced: bool,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    token: Token,
    purpose: Purpose,
    transmitted: LineInstant,
    /// Nothing arrives before this.
    handed_over: LineInstant,
    /// The earliest moment at which the server can have sent its reply.
    taken: LineInstant,
    accepted: Moment,
    is_late: bool,
    /// Since when a look at it is due that would make it late or lost.
    overdue: Option<LineInstant>,
    /// Nobody here has looked for so long that it may have come and been removed by another exporter.
    is_unattended: bool,
}

/// The round trips of the mails received during one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// How many round trips are known.
    pub received: u32,
    /// Their sum.
    pub sum: Duration,
    /// Whether one was received of which nobody can tell when.
    pub has_unknown: bool,
}

impl Period {
    fn mean(&self) -> Option<Duration> {
        (self.received > 0).then(|| self.sum / self.received)
    }
}

impl Ledger {
    /// An empty account.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            servers: Servers::default(),
            sender_server: Arc::default(),
            measured_since: None,
            sending: BTreeMap::new(),
            outstanding: VecDeque::new(),
            ended: VecDeque::new(),
            totals: Shared::default(),
            unshown: Shared::default(),
            judgement: None,
            hides_junk: false,
            roundtrips: Shared::default(),
            exemplars: Exemplars::default(),
            period: Period::default(),
            previous_period: Period::default(),
            period_began: None,
            send_ability: Reading::Unmeasured,
            receive_ability: Reading::Unmeasured,
            sides: PerSide::default(),
            schedules: PerSide::default(),
            check_interval: None,
            longest_check: None,
            login_delay: LoginDelay::default(),
            delivery: None,
            last_roundtrip: None,
            newest_end: Reading::Unmeasured,
            sender_mailbox: Shared::default(),
            last_report: None,
            pacing: Pacing::default(),
            looked: None,
            look_gap: Duration::ZERO,
            broken_off: None,
            journal: Journal::default(),
            wall_clock: WallClock::default(),
            availability: Availability::default(),
            accounted: Accounted::default(),
        }
    }

    /// Goes by other rules from now on; what happened stays.
    pub fn set_rules(&mut self, rules: Rules, now: Moment) {
        self.expire(now);
        if rules.interval != self.rules.interval {
            self.schedules.send.begins_anew(now);
            self.period_began = self.period_began.map(|_| now);
        }
        if rules.expectation != self.rules.expectation {
            self.expect_anew(now);
        }
        self.rules = rules;
        if !rules.passive && rules.expectation.is_none() {
            self.apply_again();
        }
    }

    /// What did not apply to a passive target is not measured yet for an active one.
    fn apply_again(&mut self) {
        for (_, state) in self.sides.iter_mut() {
            if state.is_not_applicable() {
                state.consecutive_failures = Reading::Unmeasured;
            }
        }
        if self.send_ability == Reading::NotApplicable {
            self.send_ability = Reading::Unmeasured;
        }
        if self.receive_ability == Reading::NotApplicable {
            self.receive_ability = Reading::Unmeasured;
        }
    }

    /// A test period begins.
    pub fn period_began(&mut self, now: Moment) {
        self.expire(now);
        self.previous_period = std::mem::take(&mut self.period);
        self.period_began = Some(now);
        self.schedules.send.is_expected(now);
    }

    /// A mail is about to be sent. It is known from here on, because it may arrive before the
    /// sending server's reply.
    pub fn sending(&mut self, token: Token, now: Moment) {
        let server = self.server(Side::Send);
        self.sending_by(&server, token, now);
    }

    /// The same of a mail that goes to this server (see [`Servers`]), which may be that of before a change.
    pub fn sending_by(&mut self, server: &str, token: Token, now: Moment) {
        self.expire(now);
        // However long it was waited for: what this mail shows holds as long as what others do.
        if let Some(began) = &mut self.period_began {
            let waited = now.instant.saturating_duration_since(began.instant);
            if waited >= self.rules.interval {
                // The period before is too old by now.
                self.previous_period = Period::default();
            }
            *began = now;
        }
        let purpose = self.purpose_at(server);
        let sending = Sending { purpose, began: now, seen: None, has_bounced: false };
        self.sending.insert(token, sending);
        self.journal.sent(token, now);
    }

    /// Whoever was sending has stopped without a word: what was under way is doubtful.
    pub fn sending_abandoned(&mut self, now: Moment) {
        self.expire(now);
        self.schedules.send.abandon();
        for (token, sending) in std::mem::take(&mut self.sending) {
            self.doubt(token, sending.purpose, sending.seen.is_some(), now);
        }
    }

    /// The SMTP server has accepted a mail. Gives the round trip of one that was seen before that.
    pub fn accepted(
        &mut self,
        token: Token,
        transmission: &Transmission,
        now: Moment,
    ) -> Option<Duration> {
        self.expire(now);
        let sending = self.take_sending(token)?;
        let purpose = sending.purpose;
        self.tally(purpose).probes += 1;
        self.tally(purpose).accepted += 1;
        let Transmission { began, handed_over, network } = *transmission;
        let replied = now.instant.checked_sub(network).unwrap_or(handed_over);
        let mail = Outstanding {
            token,
            purpose,
            transmitted: began,
            handed_over,
            taken: replied.max(handed_over),
            accepted: now,
            is_late: false,
            overdue: None,
            is_unattended: false,
        };
        match sending.seen {
            Some(sighting) => self.arrive_early(mail, &sighting, now),
            None if sending.has_bounced => {
                self.bounce(token, purpose, now);
                None
            }
            // It was sent before something else was expected of the target.
            None if self.rules.is_out_of_place(purpose) => {
                self.tally(purpose).left += 1;
                self.end(token, purpose, MailState::Left, now);
                None
            }
            None => {
                self.outstanding.push_back(mail);
                self.journal.touch(token);
                while self.outstanding.len() > self.rules.max_outstanding {
                    self.lose_oldest(now);
                }
                None
            }
        }
    }

    /// Whether the servers may be down without anything being wrong.
    pub fn is_passive(&self) -> bool {
        self.rules.passive
    }

    /// When the transmission of an outstanding mail began.
    pub fn transmitted(&self, token: Token) -> Option<SystemTime> {
        let mail = self.outstanding.iter().find(|mail| mail.token == token)?;
        let took = mail.accepted.instant.saturating_duration_since(mail.transmitted);
        mail.accepted.wall.checked_sub(took)
    }

    /// Whether a mail with this token is ours.
    pub fn is_live(&self, token: Token) -> bool {
        self.sending.contains_key(&token)
            || self.outstanding.iter().any(|mail| mail.token == token)
            || self.ended_state(token).is_some()
    }

    /// When the oldest outstanding mail was accepted; `None` if nothing is outstanding.
    pub fn oldest_outstanding(&self) -> Option<SystemTime> {
        self.outstanding.front().map(|mail| mail.accepted.wall)
    }

    /// When the oldest outstanding mail was accepted that is late if the next look does not show it.
    fn oldest_attended(&self) -> Option<SystemTime> {
        let attended = self.outstanding.iter().find(|mail| !mail.is_unattended);
        attended.map(|mail| mail.accepted.wall)
    }

    /// The outstanding mails, oldest first, `most` at most.
    pub fn outstanding_mails(&self, most: usize) -> Vec<OutstandingMail> {
        let awaited = |mail: &Outstanding| OutstandingMail {
            token: mail.token,
            accepted: mail.accepted.wall,
            is_late: mail.is_late,
        };
        self.outstanding.iter().take(most).map(awaited).collect()
    }

    /// Whether a doubtful or lost mail is remembered, which may still turn up.
    pub fn is_missing_mail(&self) -> bool {
        self.ended.iter().any(|ended| matches!(ended.state, MailState::Doubtful | MailState::Lost))
    }

    /// The age of loss, which is also how long others' left-overs are respected.
    pub fn lost_after(&self) -> Duration {
        self.rules.lost_after
    }

    /// Everything that is known now. Two snapshots of the same moment are equal.
    pub fn snapshot(&mut self, now: Moment) -> Snapshot {
        self.expire(now);
        let expectation = self.expectation(now);
        let not_applicable = expectation.is_some() || self.is_not_applicable();
        let outstanding = match (not_applicable, self.send_ability) {
            (true, _) => Reading::NotApplicable,
            // What was accepted is known for ever, unlike whether it would be accepted now.
            (false, Reading::Unmeasured)
                if self.outstanding.is_empty() && !self.sides.send.was_tried() =>
            {
                Reading::Unmeasured
            }
            (false, _) => Reading::Is(self.outstanding.len()),
        };
        let mean = self.period.mean().or_else(|| self.previous_period.mean());
        let roundtrip = match (not_applicable, mean) {
            (true, _) => Reading::NotApplicable,
            (false, Some(mean)) => Reading::Is(mean),
            (false, None) => Reading::Unmeasured,
        };
        Snapshot {
            send_ability: match expectation {
                Some(_) => Reading::NotApplicable,
                None => self.send_ability,
            },
            receive_ability: match expectation {
                Some(_) => Reading::NotApplicable,
                None => self.receive_ability,
            },
            expectation,
            outstanding,
            late_outstanding: if not_applicable {
                0
            } else {
                self.outstanding.iter().filter(|mail| mail.is_late).count()
            },
            roundtrip,
            is_arrival_unknown: self.period.has_unknown || self.previous_period.has_unknown,
            delivers: if not_applicable { Reading::NotApplicable } else { self.delivers(now) },
            delivery: self.delivery,
            last_roundtrip: self.last_roundtrip,
            oldest_outstanding: self.oldest_attended().filter(|_| !not_applicable),
            roundtrips: self.roundtrips.clone(),
            exemplars: self.exemplars.clone(),
            totals: self.totals.clone(),
            sides: self.sides.clone(),
            sender_mailbox: self.sender_mailbox.clone(),
            last_report: self.last_report.clone(),
            interval: self.rules.interval,
            check_interval: self.check_interval(),
            login_delay: self.login_delay,
            late_after: self.rules.late_after,
        }
    }

    /// Whether a side is passive and down: then nothing is said of the mails.
    fn is_not_applicable(&self) -> bool {
        self.sides.iter().any(|(_, state)| state.is_not_applicable())
    }
}

#[cfg(test)]
mod tests;
