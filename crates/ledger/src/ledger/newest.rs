//! The newest measurement over the end of the process: what is kept of it, and how it goes on. It is of
//! one server, and void where the target has another; an age that nobody can tell is too old.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Ledger, Moment, Period, Reading, SideState};
use crate::{Expectation, Failure, PerSide, Side, Step, TlsFacts};

/// Which servers a target measures: where it sends to, as `smtp://user@host:port`, and its mailbox, as
/// `imap://user@host:port`; empty: nobody has told. Where mails must not pass, a `#` and what is tested stand before it.
pub type Servers = PerSide<Arc<str>>;

/// What is kept of the newest measurements, with their times.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Newest {
    /// The test period by which it was measured.
    pub interval: Duration,
    /// The two sides.
    pub sides: PerSide<Measured>,
    /// When the newer of the two periods below began; `None` if neither tells anything.
    pub period_began: Option<SystemTime>,
    /// The mails of the newest period.
    pub period: Period,
    /// Those of the one before.
    pub previous_period: Period,
    /// See [`Snapshot::delivery`](super::Snapshot::delivery).
    pub delivery: Option<Duration>,
    /// Whether the newest mail whose wait ended one way or the other has arrived.
    pub has_arrived: Option<bool>,
    /// The sender's own mailbox.
    pub sender_mailbox: Visited,
    /// What the newest test of what must not pass has shown.
    pub judgement: Option<KeptJudgement>,
}

/// What is kept of the newest test of what must not pass. Of which one it is tells [`Measured::server`] of the side that
/// sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptJudgement {
    /// What was expected.
    pub expectation: Expectation,
    /// Whether it came true; `None`: nothing was proved.
    pub is_met: Option<bool>,
    /// See [`Judged::words`](crate::Judged::words).
    pub words: Arc<str>,
    /// When the mail was handed over, or was to be.
    pub sent: SystemTime,
    /// When it was judged.
    pub at: SystemTime,
}

/// What is kept of the newest session in the sender's own mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visited {
    /// Which mailbox it is, as `imap://user@host:port`.
    pub server: Arc<str>,
    /// See [`SenderMailbox::up`](super::SenderMailbox::up).
    pub up: Option<bool>,
    /// When it was measured.
    pub at: Option<SystemTime>,
}

/// What is kept of the newest attempt of one side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// Of whom; see [`Servers`].
    pub server: Arc<str>,
    /// The share of the mails that was accepted, or 1 or 0 for a mailbox that could be read or not.
    pub ability: Reading<f64>,
    /// See [`SideState::is_outlived`].
    pub is_outlived: bool,
    /// See [`SideState::up`].
    pub up: Option<bool>,
    /// See [`SideState::consecutive_failures`].
    pub consecutive_failures: Reading<u32>,
    /// See [`SideState::last_failure`].
    pub last_failure: Option<(SystemTime, Arc<Failure>)>,
    /// When it was measured.
    pub last_attempt: Option<SystemTime>,
    /// See [`SideState::last_success`].
    pub last_success: Option<SystemTime>,
    /// See [`SideState::steps`].
    pub steps: Arc<[(Step, Duration)]>,
    /// See [`SideState::address`].
    pub address: Option<SocketAddr>,
    /// See [`SideState::tls`].
    pub tls: Option<Arc<TlsFacts>>,
}

impl Newest {
    /// Whether it tells only of whom it would be.
    pub(super) fn is_unmeasured(&self) -> bool {
        let side =
            |side: &Measured| Measured { server: Arc::clone(&side.server), ..Measured::default() };
        let server = Arc::clone(&self.sender_mailbox.server);
        let blank = Self {
            interval: self.interval,
            sides: self.sides.as_ref().map(side),
            sender_mailbox: Visited { server, ..Visited::default() },
            ..Self::default()
        };
        *self == blank
    }
}

impl Measured {
    fn of(server: &Arc<str>, ability: Reading<f64>, state: &SideState) -> Self {
        Self {
            server: Arc::clone(server),
            ability,
            is_outlived: state.is_outlived,
            up: state.up,
            consecutive_failures: state.consecutive_failures,
            last_attempt: state.last_attempt,
            last_success: state.last_success,
            steps: Arc::clone(&state.steps),
            address: state.address,
            tls: state.tls.clone(),
            last_failure: state.last_failure.clone(),
        }
    }
}

impl Ledger {
    /// These are the servers of the target. What was measured of another one, by this process or the one
    /// before, says nothing of them.
    pub fn measures(&mut self, servers: Servers, now: Moment) {
        self.expire(now);
        let before = std::mem::replace(&mut self.servers, servers);
        let mut are_others = false;
        for (side, before) in before.iter() {
            if !before.is_empty() && *before != self.servers[side] {
                self.forget_measurement(side, now);
                are_others = true;
            }
        }
        if are_others && self.rules.expectation.is_some() {
            self.expect_anew(now);
        }
    }

    /// The server of a side; see [`Servers`].
    pub fn server(&self, side: Side) -> Arc<str> {
        Arc::clone(&self.servers[side])
    }

    /// This is the sender's own mailbox, empty if there is none. What was seen of another one, by this
    /// process or the one before, says nothing of it.
    pub fn visits(&mut self, sender_mailbox: Arc<str>) {
        if self.sender_server != sender_mailbox {
            (self.sender_mailbox.up, self.sender_mailbox.last_visit) = (None, None);
            self.sender_mailbox.last_failure = None;
        }
        self.sender_server = sender_mailbox;
    }

    /// Whether this is a server that the target has no longer.
    pub fn is_of_another(&self, side: Side, server: &str) -> bool {
        let own = &self.servers[side];
        !server.is_empty() && !own.is_empty() && **own != *server
    }

    /// What is to be kept now.
    pub(super) fn newest(&self) -> Newest {
        let receive = self.receive_ability.map(|able| if able { 1.0 } else { 0.0 });
        let has_periods = [self.period, self.previous_period] != [Period::default(); 2];
        Newest {
            interval: self.rules.interval,
            sides: PerSide {
                send: Measured::of(&self.servers.send, self.send_ability, &self.sides.send),
                receive: Measured::of(&self.servers.receive, receive, &self.sides.receive),
            },
            period_began: self.period_began.filter(|_| has_periods).map(|began| began.wall),
            period: self.period,
            previous_period: self.previous_period,
            delivery: self.delivery,
            has_arrived: self.newest_end.value(),
            sender_mailbox: Visited {
                server: Arc::clone(&self.sender_server),
                up: self.sender_mailbox.up,
                at: self.sender_mailbox.last_visit,
            },
            judgement: self.kept_judgement(),
        }
    }

    /// Goes on from what was kept, by its own time: what is older than its schedule, by the shorter of the
    /// period then and now, is outlived at once, and so is what has a date to come, for nobody knows its
    /// age.
    pub(super) fn restore_newest(&mut self, kept: &Newest, now: Moment) {
        let interval = kept.interval.min(self.rules.interval);
        for side in Side::ALL {
            self.restore_side(side, kept, now);
            let stands = match side {
                Side::Send => Self::sending_stands(interval),
                Side::Receive => self.checks_stand(interval),
            };
            if self.schedules[side].is_outlived(stands, now) {
                self.outlive(side);
            }
        }
        let began = kept.period_began.and_then(|date| now.moment_of(date));
        let stands = Self::sending_stands(interval);
        if let Some(began) = began.filter(|at| now.instant.saturating_duration_since(*at) < stands)
        {
            (self.period, self.previous_period) = (kept.period, kept.previous_period);
            let wall = kept.period_began.unwrap_or(now.wall);
            self.period_began = Some(Moment { instant: began, wall });
        }
        // Nobody has kept when a mail came or was lost: it is as old as the sending.
        if self.schedules.send.goes_on() {
            self.delivery = kept.delivery;
            self.newest_end = kept.has_arrived.map_or(Reading::Unmeasured, Reading::Is);
        }
        self.restore_visit(&kept.sender_mailbox, self.checks_stand(interval), now);
        if let Some(judgement) = &kept.judgement {
            self.restore_judgement(judgement, interval, now);
        }
    }

    fn restore_visit(&mut self, kept: &Visited, stands: Duration, now: Moment) {
        self.sender_server = Arc::clone(&kept.server);
        let at = kept.at.and_then(|date| now.moment_of(date));
        if at.is_some_and(|at| now.instant.saturating_duration_since(at) < stands) {
            (self.sender_mailbox.up, self.sender_mailbox.last_visit) = (kept.up, kept.at);
        }
    }

    fn restore_side(&mut self, side: Side, kept: &Newest, now: Moment) {
        let (measured, state) = (&kept.sides[side], &mut self.sides[side]);
        let date = |date: Option<SystemTime>| date.filter(|date| now.moment_of(*date).is_some());
        let at = measured.last_attempt.and_then(|date| now.moment_of(date));
        state.up = measured.up;
        state.consecutive_failures = measured.consecutive_failures;
        state.last_attempt = date(measured.last_attempt);
        state.last_success = date(measured.last_success);
        state.is_outlived = measured.is_outlived;
        state.steps = Arc::clone(&measured.steps);
        state.address = measured.address;
        // A certificate ends when it does, however long ago it was seen.
        state.tls = measured.tls.clone();
        state.last_failure =
            measured.last_failure.clone().filter(|it| now.moment_of(it.0).is_some());
        self.servers[side] = Arc::clone(&measured.server);
        match side {
            Side::Send => self.send_ability = measured.ability,
            Side::Receive => self.receive_ability = measured.ability.map(|able| able > 0.0),
        }
        self.schedules[side].goes_on_from(at);
        if at.is_none() {
            self.take_away(side, true);
        }
        if !self.rules.passive {
            self.apply_again();
        }
    }

    /// What was measured on a side is too old to hold. What an earlier process has told of the server is
    /// over with it: failures with a gap between them are none in a row.
    pub(super) fn outlive(&mut self, side: Side) {
        let was_kept = self.schedules[side].forget_kept();
        self.take_away(side, was_kept);
    }

    fn take_away(&mut self, side: Side, was_kept: bool) {
        let state = &mut self.sides[side];
        let had_value = match side {
            Side::Send => outlived(&mut self.send_ability),
            Side::Receive => outlived(&mut self.receive_ability),
        };
        if was_kept {
            state.up = None;
            outlived(&mut state.consecutive_failures);
        }
        if had_value {
            state.is_outlived = true;
            state.steps = Arc::default();
        }
    }

    /// The server of a side is another from now on.
    fn forget_measurement(&mut self, side: Side, now: Moment) {
        let state = &mut self.sides[side];
        *state = SideState::counted(state.counters()).into();
        self.availability.recovered(side, now.wall);
        match side {
            Side::Send => self.send_ability = Reading::Unmeasured,
            Side::Receive => self.receive_ability = Reading::Unmeasured,
        }
        let schedule = &mut self.schedules[side];
        schedule.abandon();
        schedule.forget_kept();
        schedule.begins_anew(now);
        (self.period, self.previous_period) = (Period::default(), Period::default());
        (self.delivery, self.newest_end) = (None, Reading::Unmeasured);
        self.last_roundtrip = None;
        self.measured_since = Some(now.instant);
    }
}

/// Takes a value away; whether there was one.
fn outlived<T: Copy>(reading: &mut Reading<T>) -> bool {
    let had_value = reading.value().is_some();
    if had_value {
        *reading = Reading::Unmeasured;
    }
    had_value
}
