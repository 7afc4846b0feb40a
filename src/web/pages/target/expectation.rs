//! Whether what must not pass passes, in words for people.

use std::time::SystemTime;

use crate::supervisor::View;
use crate::web::absence::Absence;
use crate::web::pages::words::When;
use ledger::Reading;

/// What a target expects of its mails in place of their delivery.
pub(super) struct ExpectationNote {
    /// As a part of a sentence.
    pub(super) expected: &'static str,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    /// What the server said, or where the mail was found.
    pub(super) words: String,
    pub(super) at: Option<When>,
}

impl ExpectationNote {
    /// `None` where mails are to be delivered.
    pub(super) fn of(view: &View, now: SystemTime) -> Option<Self> {
        let (expected, judged) = (view.target.expected()?, view.snapshot.expectation.as_ref()?);
        let (state, class) = match judged.is_met {
            Reading::Is(true) => ("yes", "well"),
            Reading::Is(false) => ("no", "failing"),
            Reading::NotApplicable => (Absence::StandbyDown.words(), "not-applicable"),
            Reading::Unmeasured if judged.at.is_none() => {
                (Absence::NotMeasuredYet.words(), "unmeasured")
            }
            Reading::Unmeasured => ("nothing is proved", "late"),
        };
        let at = judged.at.map(|at| When::new(at, now));
        let words = judged.words.to_string();
        Some(Self { expected: expected.words(), state, class, words, at })
    }
}
