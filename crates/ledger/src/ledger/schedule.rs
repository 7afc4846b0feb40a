//! How long what was measured stands: until the next measurement, and no longer than a period and the
//! deadline of that. It holds however the loops fare, for it goes by the time alone.

use std::time::Duration;

use super::{Ledger, Moment, Period};
use crate::{Failure, LineInstant, Reason, Side, Step};

/// How much later than its deadline an attempt may tell that it was over by then.
const GRACE: Duration = Duration::from_secs(1);
/// What else a schedule may be late by: turns of the loops, and a store that is slow to write.
pub(super) const SLACK: Duration = Duration::from_secs(2);
/// A mail waits for the check before it as long as this, and half a period, at most.
const PATIENCE: Duration = Duration::from_secs(15);

/// The attempts of one side, as far as the time judges them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Schedule {
    /// When the newest attempt ended; before the first, since when it is expected.
    since: Option<LineInstant>,
    /// When the newest attempt of an earlier process ended, while none of this one has.
    kept: Option<LineInstant>,
    under_way: Option<UnderWay>,
    /// Whether the attempt under way was judged by its deadline and has not ended yet.
    has_overrun: bool,
    /// Periods without an attempt since the newest one began: as the loop has told,
    told: u64,
    /// and as the time tells.
    missed: u64,
}

/// An attempt that has not ended.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    began: LineInstant,
    deadline: LineInstant,
    step: Step,
    is_down: bool,
}

impl Schedule {
    /// From now on an attempt is expected, if none was before.
    pub(super) fn is_expected(&mut self, now: Moment) {
        self.since.get_or_insert(now.instant);
    }

    /// The period is another from now on.
    pub(super) fn begins_anew(&mut self, now: Moment) {
        if self.since.is_some() {
            (self.since, self.kept) = (Some(now.instant), None);
        }
    }

    /// What an earlier process has measured then stands, as long as it would have.
    pub(super) fn goes_on_from(&mut self, at: Option<LineInstant>) {
        self.kept = at;
    }

    /// Whether what an earlier process has measured stands.
    pub(super) fn goes_on(&self) -> bool {
        self.kept.is_some()
    }

    /// What an earlier process has measured does not stand any more; whether something did.
    pub(super) fn forget_kept(&mut self) -> bool {
        self.kept.take().is_some()
    }

    /// Whoever made the attempt under way has stopped without a word: nothing is known of it.
    pub(super) fn abandon(&mut self) {
        (self.under_way, self.has_overrun) = (None, false);
    }

    /// An attempt is over that knows by itself what went wrong: it is not judged by its deadline.
    pub(super) fn is_told(&mut self, now: Moment) {
        if let Some(under_way) = &mut self.under_way {
            under_way.deadline = under_way.deadline.max(now.instant);
        }
    }

    /// The attempt is over; whether it was judged before.
    pub(super) fn end(&mut self, now: Moment) -> bool {
        (self.since, self.kept) = (Some(now.instant), None);
        self.under_way = None;
        std::mem::take(&mut self.has_overrun)
    }

    /// When the attempt that has not ended yet became a failure by its deadline, if it did.
    pub(super) fn overran_at(&self) -> Option<LineInstant> {
        self.since.filter(|_| self.has_overrun)
    }

    /// Periods without an attempt that were not counted before.
    fn newly_skipped(&mut self, told: u64, missed: u64) -> u64 {
        let before = self.told.max(self.missed);
        self.told = self.told.saturating_add(told);
        self.missed = self.missed.max(missed);
        self.told.max(self.missed) - before
    }

    /// What the deadline of the attempt under way makes of it.
    fn overrun(&self, side: Side, now: Moment) -> Option<Failure> {
        let UnderWay { began, deadline, step, is_down } = self.under_way?;
        if now.instant < deadline + GRACE {
            return None;
        }
        let what = match side {
            Side::Send => "the sending",
            Side::Receive => "the check",
        };
        let allowed = deadline.saturating_duration_since(began);
        let message = format!("{what} was not over within {:.1} s", allowed.as_secs_f64());
        Some(Failure {
            step,
            reason: Reason::Timeout,
            down: is_down,
            shortage: None,
            clue: None,
            message,
        })
    }

    /// Whether the newest measurement is too old to hold. One that overran holds until it ends.
    pub(super) fn is_outlived(&self, stands: Duration, now: Moment) -> bool {
        let is_old = |at| now.instant.saturating_duration_since(at) >= stands;
        !self.has_overrun && self.kept.or(self.since).is_some_and(is_old)
    }

    /// When the newest measurement will be too old to hold; `None`: it holds until the next, or there is none.
    fn holds_until(&self, stands: Duration) -> Option<LineInstant> {
        self.kept.or(self.since).filter(|_| !self.has_overrun)?.checked_add(stands)
    }

    /// How many periods have gone by since an attempt of this process was to be over; `None` while none
    /// has.
    fn missed(&self, stands: Duration, period: Duration, now: Moment) -> Option<u64> {
        let age = now.instant.saturating_duration_since(self.since?);
        let beyond = age.checked_sub(stands)?;
        let periods = beyond.as_nanos() / period.as_nanos().max(1);
        Some(u64::try_from(periods).unwrap_or(u64::MAX).saturating_add(1))
    }
}

impl Ledger {
    /// An attempt on a side begins. At `deadline` it is a failure, whether somebody tells its end or not.
    pub fn attempt_began(&mut self, side: Side, deadline: LineInstant, now: Moment) {
        self.expire(now);
        let schedule = &mut self.schedules[side];
        // A server that was not reached yet is not there.
        let under_way = UnderWay { began: now.instant, deadline, step: Step::Dns, is_down: true };
        schedule.under_way = Some(under_way);
        (schedule.has_overrun, schedule.told, schedule.missed) = (false, 0, 0);
    }

    /// The attempt under way has come so far; `is_down` as long as the server has not said anything.
    pub fn attempt_reached(&mut self, side: Side, step: Step, is_down: bool) {
        if let Some(under_way) = &mut self.schedules[side].under_way {
            (under_way.step, under_way.is_down) = (step, is_down);
        }
    }

    /// Whether an attempt is under way whose end nobody has told though its deadline is over.
    pub fn has_overrun(&self, side: Side) -> bool {
        self.schedules[side].has_overrun
    }

    /// Nobody makes the check any more that was under way.
    pub fn check_abandoned(&mut self, now: Moment) {
        self.expire(now);
        self.schedules.receive.abandon();
    }

    /// The exporter itself stood still for so long: no fault of who was asked for something before.
    pub fn stood_still(&mut self, so_long: Duration) {
        for (_, schedule) in self.schedules.iter_mut() {
            if let Some(under_way) = &mut schedule.under_way {
                under_way.deadline += so_long;
            }
        }
    }

    /// From now on the mailbox is checked so often, and a check is over after its `longest`.
    pub fn checks_are_made_every(&mut self, interval: Duration, longest: Duration, now: Moment) {
        self.expire(now);
        self.schedules.receive.is_expected(now);
        if self.check_interval.is_some_and(|known| known != interval) {
            self.schedules.receive.begins_anew(now);
        }
        (self.check_interval, self.longest_check) = (Some(interval), Some(longest));
    }

    /// So many periods did not begin.
    pub fn periods_skipped(&mut self, count: u64) {
        self.totals.periods_skipped += self.schedules.send.newly_skipped(count, 0);
    }

    /// In so many periods of the mailbox it was not checked.
    pub fn checks_skipped(&mut self, count: u64) {
        self.totals.checks_skipped += self.schedules.receive.newly_skipped(count, 0);
    }

    /// How often the mailbox is checked.
    pub(super) fn check_interval(&self) -> Duration {
        let configured = self.check_interval.unwrap_or(self.rules.interval);
        configured.max(self.login_delay.kept())
    }

    /// What has not been over by its deadline has failed, and what is too old to hold does not hold.
    pub(super) fn expire_attempts(&mut self, now: Moment) {
        let mut sides = Side::ALL;
        // What has failed first is told first, so that the time between is counted as it was.
        sides.sort_by_key(|side| self.schedules[*side].under_way.map(|it| it.deadline));
        for side in sides {
            if let Some(failure) = self.schedules[side].overrun(side, now) {
                self.overran(side, failure, now);
            }
        }
        self.account_time(now.instant, now);
        self.outlive_sending(now);
        self.outlive_checks(now);
    }

    fn outlive_sending(&mut self, now: Moment) {
        let interval = self.rules.interval;
        let stands = Self::sending_stands(interval);
        if let Some(missed) = self.schedules.send.missed(stands, interval, now)
            && self.schedules.send.under_way.is_none()
        {
            self.totals.periods_skipped += self.schedules.send.newly_skipped(0, missed);
        }
        if self.schedules.send.is_outlived(stands, now) {
            self.outlive(Side::Send);
        }
        let began = self.period_began;
        if began.is_some_and(|at| now.instant.saturating_duration_since(at.instant) >= stands) {
            // Of two periods that are over no mean is told, be there a newer one or not.
            (self.period, self.previous_period) = (Period::default(), Period::default());
            self.period_began = Some(now);
        }
    }

    /// How long a sending stands where one begins each `interval`.
    pub(super) fn sending_stands(interval: Duration) -> Duration {
        interval * 2 + PATIENCE.min(interval / 2) + SLACK
    }

    /// How long a check stands whose target has this period.
    pub(super) fn checks_stand(&self, interval: Duration) -> Duration {
        let configured = self.check_interval.unwrap_or(interval);
        let longest = self.longest_check.unwrap_or(configured);
        configured.max(self.login_delay.kept()) + longest + SLACK
    }

    /// When the ability of a side is outlived; `None`: not before the next attempt ends.
    pub(super) fn ability_ends(&self, side: Side) -> Option<LineInstant> {
        let stands = match side {
            Side::Send => Self::sending_stands(self.rules.interval),
            Side::Receive => self.checks_stand(self.rules.interval),
        };
        self.schedules[side].holds_until(stands)
    }

    fn outlive_checks(&mut self, now: Moment) {
        let configured = self.check_interval.unwrap_or(self.rules.interval);
        let stands = self.checks_stand(self.rules.interval);
        if let Some(missed) = self.schedules.receive.missed(stands, configured, now)
            && self.schedules.receive.under_way.is_none()
        {
            self.totals.checks_skipped += self.schedules.receive.newly_skipped(0, missed);
        }
        if self.schedules.receive.is_outlived(stands, now) {
            self.outlive(Side::Receive);
        }
    }

    /// The deadline of an attempt is over, and nobody has told of its end.
    fn overran(&mut self, side: Side, failure: Failure, now: Moment) {
        // Whenever that is noticed.
        let over = self.schedules[side].under_way.take().map(|it| it.deadline + GRACE);
        self.account_time(over.unwrap_or(now.instant), now);
        let schedule = &mut self.schedules[side];
        schedule.since = over;
        (schedule.has_overrun, schedule.kept) = (true, None);
        self.settle_overrun(side, failure, now);
    }
}
