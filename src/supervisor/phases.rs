//! When the loops of targets begin that start or change: their mails, the rounds of checks between them, and the
//! logins that do not come with a mail. Each kind is spread by itself; what runs on keeps its phase.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::info;

use super::starts::Starts;
use crate::clock;
use crate::config::Config;
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
    overdue: usize,
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

/// What lies behind a target that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// It has a phase.
    Phase(Phase),
    /// Its newest mail was sent then, and a period has gone by since.
    Overdue(SystemTime),
    /// No mail; or the clock says that it was not sent yet.
    Nothing,
}

impl Past {
    /// That of a target whose newest mail was sent by an earlier process, so that a restart adds no mail.
    pub(super) fn of(interval: Duration, last_sent: Option<SystemTime>, now: Instant) -> Self {
        let age = |last_sent: &SystemTime| clock::wall().duration_since(*last_sent).ok();
        let Some((last_sent, age)) = last_sent.and_then(|it| Some((it, age(&it)?))) else {
            return Self::Nothing;
        };
        match interval.checked_sub(age).filter(|rest| !rest.is_zero()) {
            Some(rest) => {
                let due = now + rest;
                Self::Phase(Phase { due, not_before: Some(due) })
            }
            None => Self::Overdue(last_sent),
        }
    }

    /// Who takes a place before whom. Those that have a phase come first, as they are due. Of the others those with the
    /// shortest period do, which have the fewest places to choose from; among them those that wait longest: the last
    /// measurement stands for two periods, and does not end while one is only waiting for its turn.
    pub(super) fn turn(self, interval: Duration) -> impl Ord + use<> {
        match self {
            Self::Phase(Phase { due, .. }) => (false, Some(due), interval, false, None),
            Self::Overdue(last_sent) => (true, None, interval, false, Some(last_sent)),
            Self::Nothing => (true, None, interval, true, None),
        }
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
            // Not where those are that were placed when nothing was known: few, and none in the way of a mail.
            rounds.occupy(next + after_mail(interval), interval);
        }
        Self { now, mails, rounds, logins, outcome: Outcome::default() }
    }

    /// The moment from which all of it is seen.
    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// When the first mail of a target is due. They come by their [turns](Past::turn).
    pub(super) fn first(&mut self, past: Past, interval: Duration) -> Instant {
        match past {
            Past::Phase(phase) => self.keep(phase, interval),
            Past::Overdue(_) => {
                self.outcome.overdue += 1;
                self.place(interval)
            }
            Past::Nothing => {
                self.outcome.new += 1;
                self.place(interval)
            }
        }
    }

    fn keep(&mut self, phase: Phase, interval: Duration) -> Instant {
        let due = phase.due.saturating_duration_since(self.now);
        let not_before =
            phase.not_before.map(|at| at.saturating_duration_since(self.now)).unwrap_or_default();
        let first = self.mails.keep(due, not_before, interval);
        self.outcome.kept += 1;
        self.outcome.moved += usize::from(first != due);
        self.outcome.note(first);
        self.now + first
    }

    fn place(&mut self, interval: Duration) -> Instant {
        let first = self.mails.place(interval);
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
        let Outcome { new, overdue, kept, moved, earliest, latest } = &self.outcome;
        let Some(earliest) = earliest else { return };
        let whole = |time: &Duration| Written(Duration::from_secs(time.as_secs())).to_string();
        let (first_in, last_in) = (whole(earliest), whole(latest));
        info!(
            new,
            overdue,
            kept,
            moved,
            first_in,
            last_in,
            "the first test mails of these targets are due"
        );
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
        let (now, sent) = (Instant::now(), |ago| SystemTime::now().checked_sub(ago));
        let past = |ago: Duration| Past::of(HOUR, sent(ago), now);
        for minutes in [1, 30, 59] {
            let Past::Phase(phase) = past(MINUTE * minutes) else { panic!("{minutes}") };
            let rest = phase.due - now;
            assert!(rest <= HOUR - MINUTE * minutes, "{rest:?}");
            assert!(rest > HOUR - MINUTE * (minutes + 1), "{rest:?}");
            assert_eq!(phase.not_before, Some(phase.due));
        }
        assert!(matches!(past(HOUR), Past::Overdue(_)));
        assert_eq!(Past::of(HOUR, None, now), Past::Nothing);
        let ahead = SystemTime::now() + MINUTE;
        assert_eq!(Past::of(HOUR, Some(ahead), now), Past::Nothing, "the clock was set back");
    }

    #[test]
    fn after_a_restart_nobody_waits_longer_than_its_last_measurement_stands() {
        const COUNT: u64 = 10_000;
        let (interval, stands) = (MINUTE * 5, MINUTE * 10 + Duration::from_secs(2));
        for away in [5, 60, 299] {
            let starts = || Starts::new((0..COUNT).map(|_| interval));
            let (now, wall) = (Instant::now(), SystemTime::now());
            let mut phases = Phases {
                now,
                mails: starts(),
                rounds: starts(),
                logins: starts(),
                outcome: Outcome::default(),
            };
            // They filled the period evenly when the exporter went, in no order of their names.
            let age = |index: u64| {
                let phase = 300_000 * (index * 7_919 % COUNT) / COUNT;
                Duration::from_millis(away * 1_000 + (200_000 + 300_000 - phase) % 300_000)
            };
            let mut targets: Vec<(Past, Duration)> = (0..COUNT)
                .map(|index| (Past::of(interval, wall.checked_sub(age(index)), now), age(index)))
                .collect();
            targets.push((Past::Nothing, Duration::ZERO));
            targets.sort_by_key(|(past, _)| past.turn(interval));
            assert_eq!(targets.last().unwrap().0, Past::Nothing, "who never sent comes last");
            for (past, age) in targets {
                let gap = age + (phases.first(past, interval) - now);
                assert!(gap < stands, "away {away} s: {gap:?} between two mails");
            }
            assert!(phases.outcome.overdue > 100, "{}", phases.outcome.overdue);
            assert_eq!(phases.outcome.new, 1);
        }
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
