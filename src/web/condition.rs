//! How a target is, in one word.

use crate::checks::Column;
use crate::supervisor::View;
use ledger::Reading;

/// How a target is, in one word; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::web) enum Condition {
    /// Mail cannot be sent or cannot be received.
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
    pub(in crate::web) const ALL: [Self; 6] = [
        Self::Failing,
        Self::Late,
        Self::Impaired,
        Self::Unmeasured,
        Self::NotApplicable,
        Self::Well,
    ];

    /// A sign beside the colour.
    pub(in crate::web) fn sign(self) -> &'static str {
        match self {
            Condition::Failing => "✕",
            Condition::Late => "!",
            Condition::Impaired => "△",
            Condition::Unmeasured => "?",
            Condition::NotApplicable => "–",
            Condition::Well => "✓",
        }
    }

    /// What the summary and the style sheet call it.
    pub(in crate::web) fn class(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late",
            Condition::Impaired => "impaired",
            Condition::Well => "well",
            Condition::NotApplicable => "not-applicable",
            Condition::Unmeasured => "unmeasured",
        }
    }

    /// For people.
    pub(in crate::web) fn label(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late mail",
            Condition::Impaired => "a layer is bad",
            Condition::Well => "well",
            Condition::NotApplicable => "not applicable",
            Condition::Unmeasured => "not measured yet",
        }
    }

    /// How well a value shows it, unless it was not measured.
    pub(in crate::web) fn of<T>(reading: Reading<T>, judge: impl FnOnce(T) -> Condition) -> Self {
        match reading {
            Reading::Unmeasured => Condition::Unmeasured,
            Reading::NotApplicable => Condition::NotApplicable,
            Reading::Is(value) => judge(value),
        }
    }
}

/// How a target is.
pub(in crate::web) fn condition_of(view: &View) -> Condition {
    let View { snapshot, layers, .. } = view;
    let send = Condition::of(snapshot.send_ability, judge_share);
    let receive = Condition::of(snapshot.receive_ability, judge_ability);
    let both = [send, receive];
    if both.contains(&Condition::Failing) {
        Condition::Failing
    } else if both.contains(&Condition::NotApplicable) {
        Condition::NotApplicable
    } else if snapshot.late_outstanding > 0 {
        Condition::Late
    } else if Column::of(snapshot, layers).to_blame().is_some() {
        Condition::Impaired
    } else if both.contains(&Condition::Unmeasured) {
        Condition::Unmeasured
    } else {
        Condition::Well
    }
}

pub(in crate::web) fn judge_share(share: f64) -> Condition {
    if share >= 1.0 { Condition::Well } else { Condition::Failing }
}

pub(in crate::web) fn judge_ability(is_able: bool) -> Condition {
    if is_able { Condition::Well } else { Condition::Failing }
}
