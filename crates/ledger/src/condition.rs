//! The condition of a target, in one word.

use crate::{Column, Reading, Snapshot};

/// The condition of a target or of one of its values, in one word; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Mail cannot be sent or cannot be received, or what must not pass does.
    Failing,
    /// A mail is late and not there yet.
    Late,
    /// Mail passes, but a layer is bad: a port does not answer, or a mail was lost or bounced.
    Impaired,
    /// Nothing is known yet.
    Unmeasured,
    /// A passive node is down.
    NotApplicable,
    /// Everything works.
    Well,
}

impl Condition {
    /// All of them, the worst first.
    pub const ALL: [Self; 6] = [
        Self::Failing,
        Self::Late,
        Self::Impaired,
        Self::Unmeasured,
        Self::NotApplicable,
        Self::Well,
    ];

    /// In one word, as JSON has it.
    pub fn label(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late",
            Condition::Impaired => "impaired",
            Condition::Unmeasured => "unmeasured",
            Condition::NotApplicable => "not_applicable",
            Condition::Well => "well",
        }
    }

    /// The condition of a target.
    pub fn of_target(snapshot: &Snapshot, column: &Column) -> Self {
        if let Some(judged) = &snapshot.expectation {
            return Self::of_ability(judged.is_met);
        }
        let send = Self::of_share(snapshot.send_ability);
        let receive = Self::of_ability(snapshot.receive_ability);
        let both = [send, receive];
        if both.contains(&Condition::Failing) {
            Condition::Failing
        } else if both.contains(&Condition::NotApplicable) {
            Condition::NotApplicable
        } else if snapshot.is_late() {
            Condition::Late
        } else if column.to_blame().is_some() {
            Condition::Impaired
        } else if both.contains(&Condition::Unmeasured) {
            Condition::Unmeasured
        } else {
            Condition::Well
        }
    }

    /// The condition that a value shows, unless it was not measured.
    pub fn of<T>(reading: Reading<T>, condition: impl FnOnce(T) -> Self) -> Self {
        match reading {
            Reading::Unmeasured => Condition::Unmeasured,
            Reading::NotApplicable => Condition::NotApplicable,
            Reading::Is(value) => condition(value),
        }
    }

    /// The condition of an ability that is there or not.
    pub fn of_ability(reading: Reading<bool>) -> Self {
        Self::of(reading, |is_able| if is_able { Condition::Well } else { Condition::Failing })
    }

    /// The condition of an ability by the share of the mails for which it was there, from 0 to 1.
    pub fn of_share(reading: Reading<f64>) -> Self {
        Self::of_ability(reading.map(|share| share >= 1.0))
    }

    /// The condition of the mails that are waited for.
    pub fn of_outstanding(snapshot: &Snapshot) -> Self {
        let is_late = snapshot.is_late();
        Self::of(snapshot.outstanding, |_| if is_late { Condition::Late } else { Condition::Well })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{Ledger, Moment, NetworkEvidence, Rules};

    /// A snapshot in which everything works.
    fn well() -> Snapshot {
        let minute = Duration::from_secs(60);
        let rules = Rules {
            interval: minute,
            late_after: minute,
            lost_after: minute * 10,
            max_outstanding: 20,
            passive: false,
            expectation: None,
        };
        let now = Moment { instant: crate::some_instant(), wall: SystemTime::UNIX_EPOCH };
        Snapshot {
            send_ability: Reading::Is(1.0),
            receive_ability: Reading::Is(true),
            ..Ledger::new(rules).snapshot(now)
        }
    }

    fn condition(snapshot: &Snapshot, network: &NetworkEvidence) -> Condition {
        Condition::of_target(snapshot, &Column::of(snapshot, network))
    }

    #[test]
    fn the_worst_that_is_known_is_the_condition() {
        let sound = NetworkEvidence::default();
        let closed = NetworkEvidence { tcp: Reading::Is(false), ..sound };
        let mut snapshot = well();
        assert_eq!(condition(&snapshot, &sound), Condition::Well);
        assert_eq!(condition(&snapshot, &closed), Condition::Impaired);
        snapshot.late_outstanding = 1;
        assert_eq!(condition(&snapshot, &closed), Condition::Late);
        snapshot.receive_ability = Reading::NotApplicable;
        assert_eq!(condition(&snapshot, &closed), Condition::NotApplicable);
        snapshot.send_ability = Reading::Is(0.5);
        assert_eq!(condition(&snapshot, &closed), Condition::Failing);
    }

    #[test]
    fn a_side_that_was_not_measured_says_less_than_a_bad_layer() {
        let snapshot = Snapshot { send_ability: Reading::Unmeasured, ..well() };
        let lost = Snapshot { delivers: Reading::Is(false), ..snapshot.clone() };
        assert_eq!(condition(&snapshot, &NetworkEvidence::default()), Condition::Unmeasured);
        assert_eq!(condition(&lost, &NetworkEvidence::default()), Condition::Impaired);
    }
}
