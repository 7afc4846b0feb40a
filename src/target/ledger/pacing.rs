//! When to look: often while a mail is young, rarely when it is old, so that the delay is measured
//! to a fraction of itself and not to the length of the period.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Protocol;

/// The shortest time between two looks over a held IMAP session.
const IMAP_SHORTEST: Duration = Duration::from_millis(50);
/// The longest.
const IMAP_LONGEST: Duration = Duration::from_secs(60);
/// The first POP3 look after an acceptance, when nothing is known yet.
const POP3_FIRST: Duration = Duration::from_millis(300);
/// The earliest first POP3 look.
const POP3_EARLIEST: Duration = Duration::from_millis(50);
/// Up to this wait POP3 looks are close together.
const POP3_CLOSE: Duration = Duration::from_secs(4);
/// How many delays are remembered.
const REMEMBERED: usize = 5;

/// What a look costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookStyle {
    /// A command over a held session: IMAP.
    Command,
    /// A session of its own: POP3, whose view is frozen at the login.
    Session,
}

impl Protocol {
    /// What a look costs in this protocol.
    pub fn look_style(&self) -> LookStyle {
        match self {
            Protocol::Imap { .. } => LookStyle::Command,
            Protocol::Pop3 => LookStyle::Session,
        }
    }
}

/// The delays seen lately, and the looks that follow from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Pacing {
    /// Waits after which recent mails were certainly not there yet, newest last.
    not_yet: VecDeque<Duration>,
}

impl Pacing {
    /// A mail accepted at `accepted` was there at `seen`, and not at `previous_look`.
    pub(super) fn learn(
        &mut self,
        accepted: Instant,
        previous_look: Option<Instant>,
        seen: Instant,
    ) {
        let waited = previous_look.map(|look| look.saturating_duration_since(accepted));
        let not_yet = match waited.filter(|wait| !wait.is_zero()) {
            Some(wait) => wait,
            // There at the first look: half as late next time.
            None => {
                self.not_yet.clear();
                seen.saturating_duration_since(accepted) / 2
            }
        };
        self.not_yet.push_back(not_yet);
        if self.not_yet.len() > REMEMBERED {
            self.not_yet.pop_front();
        }
    }

    /// The next look after `last_look`, with mails outstanding that were accepted at `oldest` to
    /// `newest`.
    pub(super) fn next_look(
        &self,
        style: LookStyle,
        oldest: Instant,
        newest: Instant,
        last_look: Option<Instant>,
        interval: Duration,
    ) -> Instant {
        match style {
            LookStyle::Command => {
                let Some(last) = last_look.filter(|last| *last >= newest) else {
                    return newest + IMAP_SHORTEST;
                };
                let waited = last.saturating_duration_since(newest);
                last + (waited / 10).clamp(IMAP_SHORTEST, IMAP_LONGEST)
            }
            // A session is dear: while an older mail is outstanding, a new one adds no fast looks.
            LookStyle::Session => {
                let first = self.first_look();
                let Some(last) = last_look.filter(|last| *last >= oldest + first) else {
                    return oldest + first;
                };
                let waited = last.saturating_duration_since(oldest);
                let step = if waited < POP3_CLOSE.max(first * 2) { waited / 4 } else { waited };
                last + step.min(interval)
            }
        }
    }

    /// Just below the delays seen lately.
    fn first_look(&self) -> Duration {
        self.not_yet.iter().min().map_or(POP3_FIRST, |least| (*least).max(POP3_EARLIEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits after acceptance at which a single mail is looked for, up to `until`.
    fn waits(pacing: &Pacing, style: LookStyle, until: Duration) -> Vec<Duration> {
        let accepted = Instant::now();
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
        let waits = waits(&Pacing::default(), LookStyle::Command, Duration::from_secs(600));
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
        let waits = waits(&Pacing::default(), LookStyle::Command, Duration::from_secs(7200));
        let [.., before, last] = waits.as_slice() else { panic!("few looks") };
        assert_eq!(*last - *before, IMAP_LONGEST);
    }

    #[test]
    fn pop3_looks_get_rare_and_never_rarer_than_a_period() {
        let waits = waits(&Pacing::default(), LookStyle::Session, Duration::from_secs(3600));
        assert_eq!(waits[0], POP3_FIRST);
        assert!(waits.len() < 40, "{} logins for an hour", waits.len());
        let longest = waits.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert_eq!(longest, Duration::from_secs(300));
    }

    #[test]
    fn pop3_learns_to_look_just_before_the_mail_comes() {
        let delay = Duration::from_secs(10);
        let mut pacing = Pacing::default();
        for _ in 0..3 {
            let accepted = Instant::now();
            let looks = waits(&pacing, LookStyle::Session, Duration::from_secs(60));
            let found = looks.iter().position(|wait| *wait >= delay).unwrap();
            let previous = found.checked_sub(1).map(|index| accepted + looks[index]);
            pacing.learn(accepted, previous, accepted + looks[found]);
        }
        let looks = waits(&pacing, LookStyle::Session, Duration::from_secs(60));
        let found = looks.iter().position(|wait| *wait >= delay).unwrap();
        assert!(found <= 3, "{} logins for a mail of the usual delay", found + 1);
        assert!(looks[found] <= delay * 5 / 4, "reported as {:?}", looks[found]);
    }

    #[test]
    fn a_mail_that_is_there_at_the_first_look_halves_it() {
        let mut pacing = Pacing::default();
        let accepted = Instant::now();
        pacing.learn(accepted, None, accepted + POP3_FIRST);
        assert_eq!(waits(&pacing, LookStyle::Session, Duration::from_secs(1))[0], POP3_FIRST / 2);
        for _ in 0..9 {
            let first = waits(&pacing, LookStyle::Session, Duration::from_secs(1))[0];
            pacing.learn(accepted, None, accepted + first);
        }
        assert_eq!(waits(&pacing, LookStyle::Session, Duration::from_secs(1))[0], POP3_EARLIEST);
    }

    #[test]
    fn a_new_mail_adds_no_fast_sessions_while_an_old_one_is_outstanding() {
        let accepted = Instant::now();
        let (newest, last) =
            (accepted + Duration::from_secs(600), accepted + Duration::from_secs(601));
        let pacing = Pacing::default();
        let interval = Duration::from_secs(300);
        let next = pacing.next_look(LookStyle::Session, accepted, newest, Some(last), interval);
        assert_eq!(next, last + interval);
        let next = pacing.next_look(LookStyle::Command, accepted, newest, Some(last), interval);
        assert_eq!(next, last + Duration::from_millis(100));
    }
}
