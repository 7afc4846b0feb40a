//! When a mail arrived. It lies in a bracket: not before its final dot was handed over nor before the
//! newest look that did not show it, and not after the reply that did. Where the bracket is as narrow
//! as the schedule and the network allow, the mail was watched and arrived at its upper end. Else the
//! server's own date narrows it, and the arrival is the middle of what is left.

use std::time::Duration;

use super::pacing::{IMAP_LONGEST, IMAP_SHORTEST};
use super::{Outstanding, SessionKind, Sighting};
use crate::LineInstant;

/// How many round trips of the network lie in the bracket of a watched mail: the command that did not
/// show it, the one that did, and one for a connection that is slower at times.
const NETWORK: u32 = 3;
/// What the servers and this process add to it.
const THINKING: Duration = Duration::from_millis(150);
/// IMAP: a look may be made in two ways in turn, of which one shows the mail.
const TURNS: u32 = 2;
/// A date that leaves no more than this tells when a mail arrived, whatever the bracket was.
const HELPFUL: Duration = Duration::from_secs(5);
/// POP3: looks that lie this close together watch a mail of any age.
const POP3_CLOSE: Duration = Duration::from_millis(300);

/// A span of time that holds a moment which is not known better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bracket {
    /// The moment is not before this.
    pub earliest: LineInstant,
    /// Nor after this.
    pub latest: LineInstant,
}

impl Bracket {
    /// How much is not known.
    pub fn width(&self) -> Duration {
        self.latest.saturating_duration_since(self.earliest)
    }

    /// Whether the moment may be this one.
    pub fn holds(&self, moment: LineInstant) -> bool {
        self.earliest <= moment && moment <= self.latest
    }

    /// What both have in common; `None` if that is nothing.
    pub(super) fn common(&self, other: &Self) -> Option<Self> {
        let both = Self {
            earliest: self.earliest.max(other.earliest),
            latest: self.latest.min(other.latest),
        };
        (both.earliest <= both.latest).then_some(both)
    }

    pub(super) fn middle(&self) -> LineInstant {
        self.earliest + self.width() / 2
    }
}

/// When a mail arrived, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The looks alone: what a clock may be learned from.
    pub(super) watched: Bracket,
    /// What the server's date leaves of that.
    pub(super) bracket: Bracket,
    /// The moment that is reported; `None` if nobody can tell.
    pub(super) at: Option<LineInstant>,
}

/// The arrival of a mail that was seen.
pub(super) fn arrival(mail: &Outstanding, sighting: &Sighting) -> Arrival {
    let latest = sighting.shown_at;
    let earliest =
        sighting.previous_look.map_or(mail.handed_over, |look| look.max(mail.handed_over));
    let watched = Bracket { earliest: earliest.min(latest), latest };
    let is_narrow = likely(mail, &watched).width() <= allowance(mail, sighting);
    // Where looks have failed, how long it lay in a queue nobody has seen.
    let is_blind =
        was_unattended(&watched, sighting) || (sighting.is_stamped_once && sighting.looks_failed);
    let may_be_acceptance = sighting.is_stamped_once && is_blind;
    let is_of_acceptance =
        |dated: &Bracket| may_be_acceptance && dated.earliest <= mail.accepted.instant;
    let dated = sighting.dated.filter(|dated| !is_of_acceptance(dated));
    let dated = dated.and_then(|dated| watched.common(&dated));
    let bracket = dated.unwrap_or(watched);
    let at = if latest < mail.handed_over {
        // A mistake, not a delay of nothing.
        None
    } else if is_narrow {
        Some(latest)
    } else if is_blind {
        // Only a date that helps tells.
        helps(&bracket, &watched).then(|| likely(mail, &bracket).middle())
    } else if sighting.dated.is_some() && dated.is_none() {
        Some(latest)
    } else {
        Some(likely(mail, &bracket).middle())
    };
    Arrival { watched, bracket, at }
}

/// Whether this process was not there to look for a part of the time.
pub(super) fn was_unattended(watched: &Bracket, sighting: &Sighting) -> bool {
    watched.earliest < sighting.attended_since
}

/// Whether the date has made of a long absence a time that is worth to be told.
fn helps(bracket: &Bracket, watched: &Bracket) -> bool {
    bracket != watched && (bracket.width() <= HELPFUL || bracket.width() * 2 <= watched.width())
}

/// The part of a bracket in which the server had taken the mail, if there is one: what it needed to
/// accept it is seldom time in which the mail lay in the mailbox.
fn likely(mail: &Outstanding, bracket: &Bracket) -> Bracket {
    let after = Bracket { earliest: mail.taken, latest: bracket.latest };
    bracket.common(&after).unwrap_or(*bracket)
}

/// How wide the bracket of a watched mail may be.
fn allowance(mail: &Outstanding, sighting: &Sighting) -> Duration {
    let waited = sighting.shown_at.saturating_duration_since(mail.accepted.instant);
    let steps = match sighting.style {
        SessionKind::Held => (waited / 10).clamp(IMAP_SHORTEST, IMAP_LONGEST) * TURNS,
        SessionKind::PerPoll => (waited / 4).max(POP3_CLOSE),
    };
    steps + sighting.network * NETWORK + THINKING
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::Token;
    use crate::ledger::{FoundIn, Moment};

    /// A mail whose final dot was handed over at 100 s and that was accepted at 101 s, on a network
    /// without delay; all times in seconds on one clock.
    struct Case {
        zero: LineInstant,
        mail: Outstanding,
        sighting: Sighting,
    }

    fn case(previous: Option<f64>, shown: f64, style: SessionKind) -> Case {
        let zero = crate::some_instant();
        let at = |seconds: f64| zero + Duration::from_secs_f64(seconds);
        let mail = Outstanding {
            purpose: crate::Purpose::Delivery,
            token: Token::random(),
            transmitted: at(99.0),
            handed_over: at(100.0),
            taken: at(101.0),
            accepted: Moment { instant: at(101.0), wall: SystemTime::UNIX_EPOCH },
            is_late: false,
            overdue: None,
            is_unattended: false,
        };
        let sighting = Sighting {
            folder: FoundIn::Inbox,
            shown_at: at(shown),
            asked_at: at(shown),
            previous_look: previous.map(at),
            dated: None,
            is_stamped_once: false,
            looks_failed: false,
            network: Duration::ZERO,
            attended_since: zero,
            style,
        };
        Case { zero, mail, sighting }
    }

    impl Case {
        fn dated(mut self, earliest: f64, latest: f64) -> Self {
            let at = |seconds: f64| self.zero + Duration::from_secs_f64(seconds);
            self.sighting.dated = Some(Bracket { earliest: at(earliest), latest: at(latest) });
            self
        }

        /// The process has begun at this time.
        fn attended_since(mut self, seconds: f64) -> Self {
            self.sighting.attended_since = self.zero + Duration::from_secs_f64(seconds);
            self
        }

        fn over(mut self, network: f64) -> Self {
            self.sighting.network = Duration::from_secs_f64(network);
            self
        }

        fn arrived(&self) -> Option<f64> {
            let at = arrival(&self.mail, &self.sighting).at?;
            Some(((at - self.zero).as_secs_f64() * 1000.0).round() / 1000.0)
        }
    }

    #[test]
    fn a_watched_mail_arrives_at_the_look_whatever_the_server_dates() {
        let watched = case(Some(139.0), 140.0, SessionKind::Held).dated(120.0, 121.0);
        assert_eq!(watched.arrived(), Some(140.0));
        assert_eq!(case(Some(131.0), 140.0, SessionKind::PerPoll).arrived(), Some(140.0));
    }

    #[test]
    fn what_the_server_needs_to_accept_is_no_time_of_waiting() {
        let mut slow = case(None, 101.06, SessionKind::Held);
        slow.mail.handed_over = slow.zero;
        slow.mail.transmitted = slow.zero;
        assert_eq!(slow.arrived(), Some(101.06));
    }

    #[test]
    fn a_bracket_of_the_network_is_narrow() {
        assert_eq!(case(Some(101.0), 102.0, SessionKind::Held).over(0.25).arrived(), Some(102.0));
        assert_eq!(case(Some(101.0), 102.0, SessionKind::Held).arrived(), Some(101.5));
        assert_eq!(case(Some(102.0), 103.5, SessionKind::PerPoll).over(0.4).arrived(), Some(103.5));
        assert_eq!(case(Some(102.0), 103.5, SessionKind::PerPoll).arrived(), Some(102.75));
    }

    #[test]
    fn where_nobody_looked_it_is_the_middle_of_what_the_date_leaves() {
        for style in [SessionKind::Held, SessionKind::PerPoll] {
            let between = case(Some(110.0), 400.0, style);
            assert_eq!(between.dated(250.0, 252.0).arrived(), Some(251.0));
            let at_the_end = case(Some(110.0), 400.0, style).dated(399.0, 401.0);
            assert_eq!(at_the_end.arrived(), Some(399.5));
            let restarted = case(None, 400.0, style).attended_since(300.0).dated(150.0, 151.0);
            assert_eq!(restarted.arrived(), Some(150.5));
            assert_eq!(case(None, 400.0, style).arrived(), Some(250.5), "after it was taken");
        }
    }

    #[test]
    fn a_date_that_contradicts_the_looks_leaves_their_upper_end() {
        let early = case(Some(110.0), 400.0, SessionKind::Held).dated(50.0, 52.0);
        assert_eq!(early.arrived(), Some(400.0));
        let restarted =
            case(None, 400.0, SessionKind::Held).attended_since(300.0).dated(50.0, 52.0);
        assert_eq!(restarted.arrived(), None, "nobody looked, and no date helps");
        assert_eq!(case(None, 400.0, SessionKind::PerPoll).attended_since(300.0).arrived(), None);
    }

    #[test]
    fn a_stamp_of_the_acceptance_does_not_tell_what_came_after_it() {
        let restarted = |earliest, latest| {
            let mut case = case(None, 400.0, SessionKind::PerPoll).attended_since(300.0);
            case.sighting.is_stamped_once = true;
            case.dated(earliest, latest).arrived()
        };
        assert_eq!(restarted(100.5, 102.0), None, "it may have lain in a queue for minutes");
        assert_eq!(restarted(150.0, 151.0), Some(150.5), "it was accepted at 101");
        let mut attended = case(Some(110.0), 400.0, SessionKind::PerPoll).dated(100.0, 112.0);
        attended.sighting.is_stamped_once = true;
        assert_eq!(attended.arrived(), Some(111.0), "the looks tell the rest");
    }

    #[test]
    fn while_looks_fail_a_stamp_of_the_acceptance_tells_nothing() {
        for previous in [None, Some(90.0), Some(110.0)] {
            let mut case = case(previous, 400.0, SessionKind::PerPoll).dated(100.5, 112.0);
            case.sighting.looks_failed = true;
            assert!(case.arrived() < Some(112.0), "that of a delivery tells");
            case.sighting.is_stamped_once = true;
            assert_eq!(case.arrived(), None, "it may have lain in a queue: {previous:?}");
            // A server that lets in once in five minutes.
            case.sighting.looks_failed = false;
            assert!(case.arrived().is_some_and(|at| at < 112.0), "{previous:?}");
        }
    }

    #[test]
    fn once_it_looks_again_a_restart_is_over() {
        let since = case(Some(300.5), 399.5, SessionKind::Held).attended_since(300.0);
        assert_eq!(since.arrived(), Some(350.0));
    }

    #[test]
    fn after_a_short_restart_the_first_look_tells() {
        let quick = case(None, 101.2, SessionKind::Held).attended_since(101.1);
        assert_eq!(quick.arrived(), Some(101.2));
    }

    #[test]
    fn a_sighting_from_before_the_final_dot_is_a_mistake() {
        assert_eq!(case(None, 99.9, SessionKind::Held).dated(99.0, 100.0).arrived(), None);
    }
}
