//! What the log tells of a target: one line when a side changes its state, and no event twice a
//! minute. Every single probe and check is told at level debug, every dialogue at level trace.

use std::time::Duration;

use tracing::{debug, info, trace, warn};

use super::Delay;
use crate::clock::for_timer;
use crate::config::TargetName;
use ledger::LineInstant;
use ledger::LoginDelay;
use ledger::Token;
use ledger::durations;
use ledger::{Attempt, Judged, PerSide, Reading};
use ledger::{Failure, Reason, Side, Step};
use mail::throttle::LogThrottle;

/// The state of a side, as the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Able,
    Unable,
    /// Passive and down.
    Away,
}

/// What was logged of one target. It decides under the lock of the account; the lines are written after.
#[derive(Debug, Default)]
pub(super) struct TargetLog {
    sides: PerSide<SideLog>,
    failed_looks: LogThrottle,
    skipped: LogThrottle,
    /// Reports about mails that came back.
    pub(super) notices: LogThrottle,
    pub(super) sender_mailbox_failures: LogThrottle,
    pub(super) remarks: LogThrottle,
    /// Whether what must not pass was last told not to pass.
    expectation: Option<Reading<bool>>,
}

#[derive(Debug, Default)]
struct SideLog {
    state: Option<State>,
    since: Option<LineInstant>,
    /// How long the state before lasted.
    lasted: Option<Duration>,
    told: Option<State>,
    untold: u64,
    gates: [LogThrottle; 3],
    /// Why the side was last unable.
    cause: Option<(Step, Reason)>,
}

/// A change that is to be told.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    to: State,
    /// How long the state before lasted; `None`: there was none.
    lasted: Option<Duration>,
    /// Changes before it that were not told.
    suppressed: u64,
}

/// A change of a side that is to be logged.
#[derive(Debug)]
pub(super) struct SideChange {
    change: Change,
    /// Why the side was last unable, before this.
    ended_cause: Option<(Step, Reason)>,
}

impl SideLog {
    /// The newest attempt has shown this state. A change that was held back is told later, unless
    /// it was taken back meanwhile: the newest line always tells how the side is, at most a minute
    /// and an attempt late.
    fn note(&mut self, state: State, now: LineInstant) -> Option<Change> {
        if self.state != Some(state) {
            self.lasted = self.since.map(|since| now.saturating_duration_since(since));
            self.since = Some(now);
            let is_first = self.state.replace(state).is_none();
            if is_first && state == State::Able {
                // Nothing has changed.
                self.told = Some(state);
                return None;
            }
            self.untold += 1;
        }
        if self.told == Some(state) {
            return None;
        }
        self.gates.get_mut(state as usize)?.pass(for_timer(now).into_std())?;
        self.told = Some(state);
        let suppressed = std::mem::take(&mut self.untold).saturating_sub(1);
        Some(Change { to: state, lasted: self.lasted, suppressed })
    }
}

impl TargetLog {
    /// An attempt on a side is over, with this ability. Gives what is to be logged of it.
    pub(super) fn attempt_ended(
        &mut self,
        side: Side,
        ability: Reading<bool>,
        attempt: &Attempt,
        now: LineInstant,
    ) -> Option<SideChange> {
        let state = match ability {
            Reading::Is(true) => State::Able,
            Reading::Is(false) => State::Unable,
            Reading::NotApplicable => State::Away,
            Reading::Unmeasured => return None,
        };
        let log = &mut self.sides[side];
        let change = log.note(state, now);
        let ended_cause = log.cause;
        if state != State::Able {
            let failure = attempt.failures.first();
            log.cause = failure.map(|failure| (failure.step, failure.reason)).or(log.cause);
        }
        change.map(|change| SideChange { change, ended_cause })
    }

    /// The newest test of what must not pass has shown this. Whether that is to be logged; nothing is as it should be.
    pub(super) fn judged(&mut self, is_met: Reading<bool>) -> bool {
        // A passive node that is down is nothing to tell of here, and proves nothing.
        let is_met = is_met.value().map_or(Reading::Unmeasured, Reading::Is);
        let before = self.expectation.replace(is_met);
        before.unwrap_or(Reading::Is(true)) != is_met
            && !(before.is_none() && is_met == Reading::Unmeasured)
    }

    /// A look or a removal has failed. Gives how many before it were not logged, `None` if it is not to
    /// be logged itself.
    pub(super) fn look_failed(&mut self, failure: &Failure, now: LineInstant) -> Option<u64> {
        // Of a side that is known to be down a look says nothing new; what the exporter itself is
        // short of is logged once for all targets.
        let is_able =
            self.sides[Side::Receive].state == Some(State::Able) && failure.shortage.is_none();
        if is_able { self.failed_looks.pass(for_timer(now).into_std()) } else { None }
    }

    /// Periods were skipped. Gives what [`TargetLog::look_failed`] gives.
    pub(super) fn periods_skipped(&mut self, now: LineInstant) -> Option<u64> {
        self.skipped.pass(for_timer(now).into_std())
    }
}

/// Logs what the newest test of what must not pass has shown.
pub(super) fn log_expectation(name: &TargetName, judged: &Judged) {
    let Judged { expectation, is_met, words, .. } = judged;
    let expect = expectation.label();
    match is_met {
        Reading::Is(true) => {
            info!(target = %name, expect, words = %words, "the expectation is met")
        }
        Reading::Is(false) => {
            warn!(target = %name, expect, words = %words, "the expectation is not met");
        }
        Reading::Unmeasured | Reading::NotApplicable => {
            warn!(target = %name, expect, words = %words, "nobody knows whether the expectation is met");
        }
    }
}

/// Logs an attempt that is over: its dialogue, and the change of its side if there is one.
pub(super) fn log_attempt(
    name: &TargetName,
    side: Side,
    attempt: &Attempt,
    change: Option<SideChange>,
) {
    let token = attempt.tokens.first().copied();
    log_dialogue(name, side, token, &attempt.transcript);
    if side == Side::Receive {
        log_check(name, attempt);
    }
    if let Some(SideChange { change, ended_cause }) = change {
        log_change(name, side, token, &change, attempt.failures.first(), ended_cause);
    }
}

/// Logs a look or a removal that failed; `passed` is what [`TargetLog::look_failed`] has given.
pub(super) fn log_failed_look(
    name: &TargetName,
    failure: &Failure,
    transcript: &str,
    passed: Option<u64>,
) {
    log_dialogue(name, Side::Receive, None, transcript);
    let Failure { step, reason, .. } = failure;
    match passed {
        Some(held_back) => warn!(target = %name, side = "receive", %step, %reason,
            error = %failure, suppressed = some(held_back), "a look failed"),
        None => debug!(target = %name, side = "receive", %step, %reason, error = %failure,
            "a look failed"),
    }
}

/// Logs that so many periods were skipped, if [`TargetLog::periods_skipped`] has let it pass.
pub(super) fn log_skipped_periods(name: &TargetName, count: u64, why: Delay, passed: Option<u64>) {
    if let Some(held_back) = passed {
        warn!(target = %name, side = "send", count, suppressed = some(held_back),
            "period skipped: {}", why.words());
    }
}

/// Logs that the mailbox's server asks for another time between two logins than before, where the mailbox
/// is to be checked once a `period`.
pub(super) fn log_login_delay(name: &TargetName, delay: LoginDelay, period: Duration) {
    let asked_seconds = delay.asked().as_secs();
    match delay.effect(period) {
        Some(effect) => warn!(target = %name, side = "receive", asked_seconds, "{effect}"),
        None => debug!(target = %name, side = "receive", asked_seconds,
            "the server requires a minimum time between logins (LOGIN-DELAY)"),
    }
}

/// The line of a change.
fn log_change(
    target: &TargetName,
    side: Side,
    token: Option<Token>,
    change: &Change,
    failure: Option<&Failure>,
    ended_cause: Option<(Step, Reason)>,
) {
    let token = token.map(tracing::field::display);
    let suppressed = some(change.suppressed);
    let lasted = change.lasted.map(durations::whole);
    let seconds = change.lasted.map(|lasted| lasted.as_secs_f64());
    let (step, reason) = match (change.to, failure) {
        (State::Able, _) | (_, None) => ended_cause,
        (_, Some(failure)) => Some((failure.step, failure.reason)),
    }
    .unzip();
    let step = step.map(tracing::field::display);
    let reason = reason.map(tracing::field::display);
    let error = failure.filter(|_| change.to != State::Able).map(tracing::field::display);
    let words = match (change.to, lasted) {
        (State::Able, Some(lasted)) => format!("able to {side} again after {lasted}"),
        (State::Able, None) => format!("able to {side}"),
        (State::Unable, Some(lasted)) => format!("not able to {side}, after {lasted}"),
        (State::Unable, None) => format!("not able to {side}"),
        (State::Away, Some(lasted)) => format!("the passive node is down, after {lasted}"),
        (State::Away, None) => "the passive node is down".to_owned(),
    };
    info!(%target, %side, token, step, reason, error, lasted_seconds = seconds, suppressed,
        "{words}");
}

fn log_check(target: &TargetName, attempt: &Attempt) {
    match attempt.failures.first() {
        Some(failure) => debug!(%target, side = "receive", step = %failure.step,
            reason = %failure.reason, error = %failure, "the check failed"),
        None => debug!(%target, side = "receive", "checked"),
    }
}

fn log_dialogue(target: &TargetName, side: Side, token: Option<Token>, transcript: &str) {
    if !transcript.is_empty() {
        trace!(%target, %side, token = token.map(tracing::field::display), transcript,
            "the dialogue");
    }
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(to: State, lasted: Option<u64>, suppressed: u64) -> Option<Change> {
        Some(Change { to, lasted: lasted.map(Duration::from_secs), suppressed })
    }

    /// A side and the time.
    struct Bench {
        log: SideLog,
        start: LineInstant,
    }

    impl Bench {
        fn new() -> Self {
            Self { log: SideLog::default(), start: crate::clock::now().instant }
        }

        fn note(&mut self, seconds: u64, state: State) -> Option<Change> {
            self.log.note(state, self.start + Duration::from_secs(seconds))
        }
    }

    #[test]
    fn each_change_is_told_once_with_how_long_the_state_before_lasted() {
        let mut bench = Bench::new();
        assert_eq!(bench.note(0, State::Able), None, "no change");
        assert_eq!(bench.note(30, State::Able), None);
        assert_eq!(bench.note(60, State::Unable), change(State::Unable, Some(60), 0));
        assert_eq!(bench.note(90, State::Unable), None);
        assert_eq!(bench.note(780, State::Able), change(State::Able, Some(720), 0));
        assert_eq!(bench.note(900, State::Away), change(State::Away, Some(120), 0));
    }

    #[test]
    fn a_look_that_failed_for_want_of_our_own_is_not_told_of_the_target() {
        let now = crate::clock::now().instant;
        let mut log = TargetLog::default();
        log.sides.receive.state = Some(State::Able);
        let (step, reason, message) = (Step::Connect, Reason::Other, String::new());
        let shortage = Some(ledger::Shortage::Descriptors);
        let short = Failure { step, reason, down: false, shortage, clue: None, message };
        log.look_failed(&short, now);
        assert!(
            log.failed_looks.is_open(for_timer(now).into_std()),
            "the next one of the server is told"
        );
        log.look_failed(&Failure { shortage: None, ..short }, now);
        assert!(!log.failed_looks.is_open(for_timer(now).into_std()));
    }

    #[test]
    fn what_is_down_from_the_start_is_told() {
        assert_eq!(Bench::new().note(0, State::Unable), change(State::Unable, None, 0));
        assert_eq!(Bench::new().note(0, State::Away), change(State::Away, None, 0));
    }

    #[test]
    fn a_side_that_flaps_is_told_once_a_minute_with_the_number_that_was_not() {
        let mut bench = Bench::new();
        bench.note(0, State::Able);
        let mut told = Vec::new();
        for second in 1..=121 {
            let state = if second % 2 == 1 { State::Unable } else { State::Able };
            told.extend(bench.note(second, state).map(|change| (second, change)));
        }
        let expected = [
            (1, State::Unable, 0),
            (2, State::Able, 0),
            (61, State::Unable, 58),
            (62, State::Able, 0),
            (121, State::Unable, 58),
        ];
        let told: Vec<_> =
            told.iter().map(|(second, change)| (*second, change.to, change.suppressed)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_change_that_was_held_back_and_stays_is_told_after_all() {
        let mut bench = Bench::new();
        bench.note(0, State::Able);
        bench.note(10, State::Unable);
        bench.note(20, State::Able);
        assert_eq!(bench.note(30, State::Unable), None, "held back");
        assert_eq!(bench.note(60, State::Unable), None);
        assert_eq!(bench.note(70, State::Unable), change(State::Unable, Some(10), 0));
        assert_eq!(bench.note(100, State::Unable), None);
    }
}
