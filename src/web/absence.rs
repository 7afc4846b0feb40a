//! Why a measure has no value.

use ledger::{Reading, SideState, Snapshot};

/// Why a measure has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Absence {
    /// No attempt on the target's server is known.
    NotMeasuredYet,
    /// The newest measurement is too old to stand for now.
    NotMeasuredLately,
    /// No mail was sent, or none was received, over the life of the account.
    NoMailYet,
    /// No mail was received in the newest two periods.
    NoMailLately,
    /// Mails were received, and nobody can tell when they arrived.
    ArrivedUnknown,
    /// A passive node is down.
    StandbyDown,
    /// Its mails are not to be delivered.
    NotToPass,
}

impl Absence {
    /// For people.
    pub(in crate::web) fn words(self) -> &'static str {
        match self {
            Absence::NotMeasuredYet => "not measured yet",
            Absence::NotMeasuredLately => "not measured recently",
            Absence::NoMailYet => "no mail yet",
            Absence::NoMailLately => "no recent mail",
            Absence::ArrivedUnknown => "received, time unknown",
            Absence::StandbyDown => "standby is down",
            Absence::NotToPass => "not to pass",
        }
    }

    /// Why this reading has no value; `unmeasured` where it was not measured.
    fn of<T>(reading: Reading<T>, unmeasured: Absence) -> Option<Self> {
        match reading {
            Reading::Unmeasured => Some(unmeasured),
            Reading::NotApplicable => Some(Absence::StandbyDown),
            Reading::Is(_) => None,
        }
    }
}

/// Why the ability of a side has no value, if it has none.
pub(in crate::web) fn ability_absence<T>(ability: Reading<T>, side: &SideState) -> Option<Absence> {
    let unmeasured = match side.last_attempt {
        None => Absence::NotMeasuredYet,
        Some(_) => Absence::NotMeasuredLately,
    };
    Absence::of(ability, unmeasured)
}

/// Why nobody can say how many mails are outstanding, if so.
pub(in crate::web) fn outstanding_absence(snapshot: &Snapshot) -> Option<Absence> {
    let unmeasured = match snapshot.totals.probes {
        0 => Absence::NoMailYet,
        _ => Absence::NotMeasuredYet,
    };
    Absence::of(snapshot.outstanding, unmeasured)
}

/// Why there is no round trip, if there is none.
pub(in crate::web) fn roundtrip_absence(snapshot: &Snapshot) -> Option<Absence> {
    let unmeasured = match (snapshot.totals.received, snapshot.sides.send.last_attempt) {
        _ if snapshot.is_arrival_unknown => Absence::ArrivedUnknown,
        (0, _) => Absence::NoMailYet,
        // Of another server, or kept by no process before.
        (_, None) => Absence::NotMeasuredYet,
        (_, Some(_)) => Absence::NoMailLately,
    };
    Absence::of(snapshot.roundtrip, unmeasured)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use ledger::{Ledger, Moment, Rules};

    #[test]
    fn a_missing_round_trip_says_whether_mail_came() {
        let rules = Rules {
            interval: Duration::from_secs(60),
            late_after: Duration::from_secs(60),
            lost_after: Duration::from_secs(600),
            max_outstanding: 10,
            passive: false,
            expectation: None,
        };
        let now = Moment { instant: crate::clock::now().instant, wall: SystemTime::UNIX_EPOCH };
        let mut snapshot = Ledger::new(rules).snapshot(now);
        let words = |snapshot: &Snapshot| roundtrip_absence(snapshot).map(Absence::words);
        assert_eq!(words(&snapshot), Some("no mail yet"));
        snapshot.totals.received = 3;
        assert_eq!(words(&snapshot), Some("not measured yet"));
        snapshot.sides.send.last_attempt = Some(now.wall);
        assert_eq!(words(&snapshot), Some("no recent mail"));
        snapshot.is_arrival_unknown = true;
        assert_eq!(words(&snapshot), Some("received, time unknown"));
        snapshot.roundtrip = Reading::NotApplicable;
        assert_eq!(words(&snapshot), Some("standby is down"));
        snapshot.roundtrip = Reading::Is(Duration::from_secs(1));
        assert_eq!(words(&snapshot), None);
    }
}
