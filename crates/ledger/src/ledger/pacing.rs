//! When to look: often while a mail is young, rarely when it is old, so that the delay is measured
//! to a fraction of itself and not to the length of the period.

use std::collections::VecDeque;
use std::time::Duration;

use super::Bracket;
use crate::LineInstant;

/// The first IMAP look after an acceptance: most mails are there by then.
const IMAP_FIRST: Duration = Duration::from_millis(30);
/// The shortest time between two looks over a held IMAP session: with the time that an answer takes, an
/// arrival is then known to 50 ms.
pub(super) const IMAP_SHORTEST: Duration = Duration::from_millis(40);
/// The longest.
pub(super) const IMAP_LONGEST: Duration = Duration::from_secs(60);
/// The first POP3 look after an acceptance, when nothing is known yet.
const POP3_FIRST: Duration = Duration::from_millis(300);
/// The earliest first POP3 look.
const POP3_EARLIEST: Duration = Duration::from_millis(50);
/// Up to this wait POP3 looks are close together.
const POP3_CLOSE: Duration = Duration::from_secs(4);
/// From this usual delay on the POP3 looks around it are a tenth apart.
const POP3_USUAL: Duration = Duration::from_secs(1);
/// How many delays are remembered.
const REMEMBERED: usize = 5;

/// What a look is made over, and so what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A command over a held session: IMAP.
    Held,
    /// A session for each: POP3, whose view is frozen at the login.
    PerPoll,
}

/// The delays seen lately, and the looks that follow from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pacing {
    /// Where looking for recent mails had best begun, newest last, and whether their delay is known to a
    /// fifth: then a little before it, else when they were certainly not there yet.
    begin: VecDeque<(Duration, bool)>,
    /// In place of them, after a mail that was there at the first look: half of that.
    guess: Option<Duration>,
}

impl Pacing {
    /// A mail accepted at `accepted` arrived within `arrived`, and the look that showed it was asked for
    /// at `asked`. How long that look took is no part of the delay.
    pub(super) fn learn(&mut self, accepted: LineInstant, arrived: &Bracket, asked: LineInstant) {
        let waited = |at: LineInstant| at.saturating_duration_since(accepted);
        let (not_yet, there) = (waited(arrived.earliest), waited(arrived.latest.min(asked)));
        let first = self.first_look();
        if not_yet.is_zero() {
            // A first look that came late, for whatever reason, says nothing of the usual delay.
            if there <= first * 2 + POP3_USUAL {
                self.begin.clear();
                self.guess = Some(first.min(there) / 2);
            }
            return;
        }
        let unknown = there.saturating_sub(not_yet);
        if unknown * 3 > there * 2 {
            return;
        }
        self.guess = None;
        let is_close = unknown * 5 <= there;
        let begin = if is_close { (not_yet + unknown / 2) * 19 / 20 } else { not_yet };
        if is_close {
            self.begin.retain(|(_, is_close)| *is_close);
        }
        self.begin.push_back((begin, is_close));
        if self.begin.len() > REMEMBERED {
            self.begin.pop_front();
        }
    }

    /// The next look after `last_look`, with mails outstanding that were accepted at `oldest` to
    /// `newest`.
    pub(super) fn next_look(
        &self,
        style: SessionKind,
        oldest: LineInstant,
        newest: LineInstant,
        last_look: Option<LineInstant>,
        interval: Duration,
    ) -> LineInstant {
        match style {
            SessionKind::Held => {
                let Some(last) = last_look.filter(|last| *last >= newest) else {
                    return newest + IMAP_FIRST;
                };
                let waited = last.saturating_duration_since(newest);
                last + (waited / 10).clamp(IMAP_SHORTEST, IMAP_LONGEST)
            }
            // Each POP3 poll is a login: while an older mail is outstanding, a new one adds no fast looks.
            SessionKind::PerPoll => {
                let first = self.first_look();
                let Some(last) = last_look.filter(|last| *last >= oldest + first) else {
                    return oldest + first;
                };
                let waited = last.saturating_duration_since(oldest);
                let is_usual = self.guess.is_none() && first >= POP3_USUAL;
                let step = if is_usual && waited < first + first / 4 {
                    waited / 10
                } else if waited < POP3_CLOSE.max(first * 2) {
                    waited / 4
                } else {
                    waited
                };
                last + step.min(interval)
            }
        }
    }

    /// How long after its acceptance a mail is first looked for.
    pub(super) fn first_wait(&self, style: SessionKind) -> Duration {
        match style {
            SessionKind::Held => IMAP_FIRST,
            SessionKind::PerPoll => self.first_look(),
        }
    }

    /// Just below the delays seen lately.
    fn first_look(&self) -> Duration {
        let least = self.begin.iter().map(|(begin, _)| *begin).min();
        self.guess.or(least).map_or(POP3_FIRST, |least| least.max(POP3_EARLIEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits after acceptance at which a single mail is looked for, up to `until`.
    fn waits(pacing: &Pacing, style: SessionKind, until: Duration) -> Vec<Duration> {
        let accepted = crate::some_instant();
        let mut waits = Vec::new();
        let mut last = None;
        loop {
            let next = pacing.next_look(style, accepted, accepted, last, Duration::from_secs(300));
            let wait = next - accepted;
            if wait > until {
                return waits;
            }
            waits.push(wait);
            last = Some(next);
        }
    }

    #[test]
    fn an_imap_delay_is_bracketed_to_a_tenth_or_50_ms() {
        let waits = waits(&Pacing::default(), SessionKind::Held, Duration::from_secs(600));
        assert!(waits.len() <= 90, "{} looks for ten minutes", waits.len());
        let mut previous = Duration::ZERO;
        for wait in waits {
            let bracket = wait - previous;
            assert!(
                bracket <= IMAP_SHORTEST.max(previous / 10) + Duration::from_micros(1),
                "{wait:?}"
            );
            previous = wait;
        }
    }

    #[test]
    fn an_old_imap_mail_is_looked_for_once_a_minute() {
        let waits = waits(&Pacing::default(), SessionKind::Held, Duration::from_secs(7200));
        let [.., before, last] = waits.as_slice() else { panic!("few looks") };
        assert_eq!(*last - *before, IMAP_LONGEST);
    }

    #[test]
    fn pop3_looks_get_rare_and_never_rarer_than_a_period() {
        let waits = waits(&Pacing::default(), SessionKind::PerPoll, Duration::from_secs(3600));
        assert_eq!(waits[0], POP3_FIRST);
        assert!(waits.len() < 40, "{} logins for an hour", waits.len());
        let longest = waits.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert_eq!(longest, Duration::from_secs(300));
    }

    /// Teaches a mail of this delay that was found by the looks alone, each of which takes `session`
    /// from the command on; gives the looks it took and the delay at which it was asked for.
    fn find(pacing: &mut Pacing, delay: Duration, session: Duration) -> (usize, Duration) {
        let accepted = crate::some_instant();
        let looks = waits(pacing, SessionKind::PerPoll, Duration::from_secs(60));
        let found = looks.iter().position(|wait| *wait >= delay).unwrap();
        let previous = found.checked_sub(1).map_or(accepted, |index| accepted + looks[index]);
        let asked = accepted + looks[found];
        let arrived = Bracket { earliest: previous, latest: asked + session };
        pacing.learn(accepted, &arrived, asked);
        (found + 1, looks[found])
    }

    #[test]
    fn pop3_learns_to_look_just_before_the_mail_comes() {
        let delay = Duration::from_secs(10);
        let mut pacing = Pacing::default();
        for _ in 0..3 {
            find(&mut pacing, delay, Duration::ZERO);
        }
        let first = waits(&pacing, SessionKind::PerPoll, Duration::from_secs(60))[0];
        assert!(first >= delay * 9 / 10 && first < delay, "first look after {first:?}");
        let (looks, asked) = find(&mut pacing, delay, Duration::ZERO);
        assert!(looks <= 2, "{looks} logins for a mail of the usual delay");
        assert!(asked <= delay * 11 / 10, "reported as {asked:?}");
    }

    #[test]
    fn how_long_a_session_takes_does_not_move_the_first_look() {
        let mut pacing = Pacing::default();
        for _ in 0..10 {
            find(&mut pacing, Duration::from_millis(5), Duration::from_secs(4));
        }
        assert_eq!(waits(&pacing, SessionKind::PerPoll, Duration::from_secs(1))[0], POP3_EARLIEST);
    }

    #[test]
    fn a_mail_that_is_there_at_the_first_look_halves_it() {
        let mut pacing = Pacing::default();
        let (looks, _) = find(&mut pacing, Duration::from_millis(5), Duration::ZERO);
        assert_eq!(looks, 1);
        assert_eq!(waits(&pacing, SessionKind::PerPoll, Duration::from_secs(1))[0], POP3_FIRST / 2);
        for _ in 0..9 {
            find(&mut pacing, Duration::from_millis(5), Duration::ZERO);
        }
        assert_eq!(waits(&pacing, SessionKind::PerPoll, Duration::from_secs(1))[0], POP3_EARLIEST);
    }

    #[test]
    fn one_early_mail_is_forgotten_with_the_next_of_the_usual_delay() {
        let mut pacing = Pacing::default();
        for _ in 0..5 {
            find(&mut pacing, Duration::from_secs(10), Duration::ZERO);
        }
        find(&mut pacing, Duration::from_secs(5), Duration::ZERO);
        find(&mut pacing, Duration::from_secs(10), Duration::ZERO);
        let (looks, _) = find(&mut pacing, Duration::from_secs(10), Duration::ZERO);
        assert!(looks <= 2, "{looks} logins for a mail of the usual delay");
    }

    #[test]
    fn a_new_mail_adds_no_fast_sessions_while_an_old_one_is_outstanding() {
        let accepted = crate::some_instant();
        let (newest, last) =
            (accepted + Duration::from_secs(600), accepted + Duration::from_secs(601));
        let pacing = Pacing::default();
        let interval = Duration::from_secs(300);
        let next = pacing.next_look(SessionKind::PerPoll, accepted, newest, Some(last), interval);
        assert_eq!(next, last + interval);
        let next = pacing.next_look(SessionKind::Held, accepted, newest, Some(last), interval);
        assert_eq!(next, last + Duration::from_millis(100));
    }
}
