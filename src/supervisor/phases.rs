//! When the loops of targets begin that start or change: their mails, the rounds of checks between them, and the
//! logins that do not come with a mail. Each kind is spread by itself; what runs on keeps its phase.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use super::starts::Starts;
use crate::config::{Config, Target};
use crate::probing::mailbox::Subscriber;
use ledger::durations::Written;

/// A round of checks lies so long after the mail of its period, or half a period if that is shorter: a server may
/// count the connections of one client.
const AFTER_MAIL: Duration = Duration::from_secs(15);
/// A measurement that is missing waits so long for the next mail.
const SOON: Duration = Duration::from_secs(60);
/// What may have been left behind in a mailbox waits so long.
const FAR: Duration = Duration::from_secs(600);

/// The phases of all targets, as seen from one moment.
pub(super) struct Phases {
    now: Instant,
    mails: Starts,
    rounds: Starts,
    logins: Starts,
    outcome: Outcome,
}

/// What became of the targets that begin, for the log.
#[derive(Default)]
struct Outcome {
    new: usize,
    kept: usize,
    moved: usize,
    earliest: Option<Duration>,
    latest: Duration,
}

/// What is wanted of a mailbox before its first mail; the more urgent is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// Nothing: no mail was ever sent there.
    Nothing,
    /// To see what an earlier process has left behind.
    Look,
    /// To measure what was not measured.
    Measurement,
    /// The mails that are under way.
    Mail,
}

/// The phase that a target had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    /// When its next mail is due.
    pub(super) due: Instant,
    /// When a period has gone since its newest mail, if it has not yet.
    pub(super) not_before: Option<Instant>,
}

impl Phase {
    /// That of a target whose newest mail was sent by an earlier process, so that a restart adds no mail; `None` if a
    /// period has gone by since.
    pub(super) fn kept(
        target: &Target,
        last_sent: Option<SystemTime>,
        now: Instant,
    ) -> Option<Self> {
        let due = now + rest_of_period(target, last_sent)?;
        Some(Self { due, not_before: Some(due) })
    }
}

impl Phases {
    /// Of a configuration, of whose targets these run on.
    pub(super) fn new<'a>(
        config: &Config,
        running: impl Iterator<Item = &'a Arc<Subscriber>>,
    ) -> Self {
        let now = Instant::now();
        let [mut mails, mut rounds, logins] =
            [(); 3].map(|()| Starts::new(config.targets.values().map(|target| target.interval)));
        for subscriber in running {
            let interval = subscriber.target.interval;
            let next = subscriber.next_send().map(|next| from(now, next, interval));
            let next = next.unwrap_or_default();
            mails.occupy(next, interval);
            rounds.occupy(next + after_mail(interval), interval);
        }
        Self { now, mails, rounds, logins, outcome: Outcome::default() }
    }

    /// The moment from which all of it is seen.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// When the first mail of a target is due that had this phase. Those that are due first come first.
    pub(super) fn keep(&mut self, phase: Phase, interval: Duration) -> Instant {
        let due = phase.due.saturating_duration_since(self.now);
        let not_before =
            phase.not_before.map(|at| at.saturating_duration_since(self.now)).unwrap_or_default();
        let first = self.mails.keep(due, not_before, interval);
        self.outcome.kept += 1;
        self.outcome.moved += usize::from(first != due);
        self.outcome.note(first);
        self.now + first
    }

    /// When the first mail of a new target is due. Those with the shortest period come first: they have the fewest
    /// places to choose from.
    pub(super) fn place(&mut self, interval: Duration) -> Instant {
        let first = self.mails.place(interval);
        self.outcome.new += 1;
        self.outcome.note(first);
        self.now + first
    }

    /// When the rounds of checks of a target begin whose first mail is due at `first`: some time after a mail, and
    /// within a period. Where something was never asked yet, soon.
    pub(super) fn round(
        &mut self,
        first: Instant,
        interval: Duration,
        lacks_answers: bool,
    ) -> Instant {
        let after = after_mail(interval);
        let round = if lacks_answers {
            self.rounds.place_after(after, interval)
        } else {
            let due = from(self.now, first, interval) + after;
            let due = due.checked_sub(interval).unwrap_or(due);
            self.rounds.occupy(due, interval);
            due
        };
        self.now + round
    }

    /// When a mailbox is opened for the first time whose first mail is due at `first_mail`: with that mail, or
    /// earlier if what is `wanted` of it cannot wait so long.
    pub(super) fn login(
        &mut self,
        first_mail: Instant,
        interval: Duration,
        wanted: Wanted,
    ) -> Instant {
        let patience = match wanted {
            Wanted::Mail => Duration::ZERO,
            Wanted::Measurement => SOON,
            Wanted::Look => FAR,
            Wanted::Nothing => Duration::MAX,
        };
        let is_too_late = first_mail.saturating_duration_since(self.now) > patience;
        if is_too_late {
            return first_mail.min(self.now + self.logins.place(interval));
        }
        first_mail
    }

    /// Tells when the first mails come.
    pub(super) fn log(&self) {
        let Outcome { new, kept, moved, earliest, latest } = &self.outcome;
        let Some(earliest) = earliest else { return };
        let whole = |time: &Duration| Written(Duration::from_secs(time.as_secs())).to_string();
        let (first_in, last_in) = (whole(earliest), whole(latest));
        info!(new, kept, moved, first_in, last_in, "the first test mails of these targets are due");
    }
}

impl Outcome {
    fn note(&mut self, first: Duration) {
        self.earliest = Some(self.earliest.map_or(first, |earliest| earliest.min(first)));
        self.latest = self.latest.max(first);
    }
}

/// How long after a mail the checks of its period lie.
fn after_mail(interval: Duration) -> Duration {
    AFTER_MAIL.min(interval / 2)
}

/// How long it is until `at`, or until the next moment of its phase if it is over.
fn from(now: Instant, at: Instant, interval: Duration) -> Duration {
    if let Some(ahead) = at.checked_duration_since(now) {
        return ahead;
    }
    let over = now.saturating_duration_since(at).as_nanos() % interval.as_nanos().max(1);
    interval.saturating_sub(Duration::from_nanos(u64::try_from(over).unwrap_or_default()))
}

/// How long a target whose newest mail was sent by an earlier process waits for its next. `None` if a period has
/// gone by since, or the clock says that it was not sent yet.
fn rest_of_period(target: &Target, last_sent: Option<SystemTime>) -> Option<Duration> {
    let age = SystemTime::now().duration_since(last_sent?).ok()?;
    target.interval.checked_sub(age).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    fn config(count: usize) -> Config {
        let targets: String = (0..count)
            .map(|index| {
                format!(
                    "- {{name: t{index}, host: h, interval: 1h, from: a@b.example, to: a@b.example, receive: \
                     {{protocol: imap, username: u{index}, password: p}}}}\n"
                )
            })
            .collect();
        Config::parse(&format!("targets:\n{targets}"), Path::new("test.yml")).unwrap()
    }

    fn phases(count: usize) -> Phases {
        Phases::new(&config(count), std::iter::empty())
    }

    #[test]
    fn a_restart_keeps_the_time_of_the_next_mail_until_it_is_over() {
        let target = config(1).targets.into_values().next().unwrap();
        let (now, sent) = (Instant::now(), |ago| SystemTime::now().checked_sub(ago));
        let kept = |ago: Duration| Phase::kept(&target, sent(ago), now).map(|phase| phase.due);
        for minutes in [1, 30, 59] {
            let rest = kept(MINUTE * minutes).unwrap() - now;
            assert!(rest <= HOUR - MINUTE * minutes, "{rest:?}");
            assert!(rest > HOUR - MINUTE * (minutes + 1), "{rest:?}");
        }
        assert_eq!(kept(HOUR), None);
        assert_eq!(Phase::kept(&target, None, now), None);
        let ahead = SystemTime::now() + MINUTE;
        assert_eq!(Phase::kept(&target, Some(ahead), now), None, "the clock was set back");
    }

    #[test]
    fn a_mailbox_is_opened_with_its_first_mail() {
        let mut phases = phases(1);
        let first = phases.now() + HOUR / 2;
        assert_eq!(phases.login(first, HOUR, Wanted::Nothing), first);
        for (minutes, wanted) in [(1, Wanted::Measurement), (10, Wanted::Look)] {
            let first = phases.now() + MINUTE * minutes;
            assert_eq!(phases.login(first, HOUR, wanted), first, "{wanted:?}");
        }
    }

    #[test]
    fn mailboxes_that_cannot_wait_for_it_are_opened_within_the_share() {
        let mut phases = phases(100);
        let (now, first) = (phases.now(), phases.now() + HOUR / 2);
        let logins: Vec<u64> = (0..100)
            .map(|index| {
                let wanted = [Wanted::Mail, Wanted::Measurement, Wanted::Look][index % 3];
                (phases.login(first, HOUR, wanted) - now).as_secs()
            })
            .collect();
        for second in 0..5 {
            assert_eq!(logins.iter().filter(|it| **it == second).count(), 20, "{logins:?}");
        }
        let soon = now + Duration::from_secs(2);
        assert_eq!(phases.login(soon, HOUR, Wanted::Mail), soon, "not after its mail");
    }

    #[test]
    fn checks_lie_between_two_mails_and_soon_where_nothing_is_known() {
        let mut phases = phases(3);
        let now = phases.now();
        let after = |first: Instant, interval| first + AFTER_MAIL.min(interval / 2);
        let (new, kept) = (now, now + HOUR / 2);
        assert_eq!(phases.round(new, HOUR, false), after(new, HOUR));
        assert_eq!(phases.round(kept, HOUR, false), after(kept, HOUR));
        let late = now + HOUR - Duration::from_secs(5);
        assert_eq!(
            phases.round(late, HOUR, false),
            now + Duration::from_secs(10),
            "within a period"
        );
        assert_eq!(phases.round(new, MINUTE / 6, false), now + MINUTE / 12);
        assert!(phases.round(late, HOUR, true) < now + MINUTE / 2);
    }

    #[test]
    fn the_checks_of_new_targets_fill_the_gaps_between_those_that_run() {
        let mut phases = phases(100);
        let (now, count) = (phases.now(), 20);
        // They fill the second in which the checks of a new target could begin first.
        for _ in 0..count {
            let _ = phases.round(now, HOUR, false);
        }
        assert_eq!((phases.round(now, HOUR, true) - now).as_secs(), AFTER_MAIL.as_secs() + 1);
    }

    #[test]
    fn what_runs_keeps_its_place() {
        let now = Instant::now() + HOUR * 3;
        assert_eq!(from(now, now + MINUTE, HOUR), MINUTE);
        assert_eq!(from(now, now - MINUTE, HOUR), HOUR - MINUTE, "it is sending");
        assert_eq!(from(now, now - HOUR - MINUTE, HOUR), HOUR - MINUTE);
    }
}
