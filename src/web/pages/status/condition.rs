//! How the condition of a target is shown.

use crate::supervisor::View;
use ledger::{Column, Condition};

/// How the pages show a condition.
pub(in crate::web) trait ShownCondition {
    /// A sign beside the colour.
    fn sign(self) -> &'static str;

    /// What the style sheet and the address of the listing call it.
    fn class(self) -> &'static str;

    /// For people.
    fn words(self) -> &'static str;
}

impl ShownCondition for Condition {
    fn sign(self) -> &'static str {
        match self {
            Condition::Failing => "✕",
            Condition::Late => "!",
            Condition::Impaired => "△",
            Condition::Unmeasured => "?",
            Condition::NotApplicable => "–",
            Condition::Well => "✓",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late",
            Condition::Impaired => "impaired",
            Condition::Well => "well",
            Condition::NotApplicable => "not-applicable",
            Condition::Unmeasured => "unmeasured",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Condition::Failing => "failing",
            Condition::Late => "late mail",
            Condition::Impaired => "a layer is bad",
            Condition::Well => "well",
            Condition::NotApplicable => "not applicable",
            Condition::Unmeasured => "not measured yet",
        }
    }
}

/// The condition of a target.
pub(in crate::web) fn condition_of(view: &View) -> Condition {
    Condition::of_target(&view.snapshot, &Column::of(&view.snapshot, &view.layers.evidence()))
}
