//! What lists of addresses say, in words for people.

use std::time::SystemTime;

use crate::standing::findings::{Finding, Findings};
use crate::web::absence::Absence;
use crate::web::pages::words::When;
use ledger::Reading;

/// The lists on which the outgoing addresses of a target are looked up.
pub(super) struct ListsNote {
    /// How many say what.
    pub(super) tally: String,
    /// Whether one has an address, or does not tell.
    pub(super) deserves_a_look: bool,
    pub(super) lists: Vec<ListNote>,
}

/// One of them.
pub(super) struct ListNote {
    pub(super) name: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    /// Addresses and reasons, or why it is not known.
    pub(super) words: String,
    pub(super) at: Option<When>,
}

impl ListsNote {
    /// `None` where no list is asked.
    pub(super) fn new(findings: &Findings, now: SystemTime) -> Option<Self> {
        let lists = &findings.dnsbl;
        let count = |state| lists.iter().filter(|list| list.is_well == state).count();
        let [listed, not_listed] = [false, true].map(|is_well| count(Reading::Is(is_well)));
        let unknown = lists.len() - listed - not_listed;
        let counts = [(listed, "listed"), (not_listed, "not listed"), (unknown, "not known")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts.map(|(count, words)| format!("{count} {words}")).collect();
        (!lists.is_empty()).then(|| Self {
            tally: counts.join(", "),
            deserves_a_look: not_listed < lists.len(),
            lists: lists.iter().map(|list| ListNote::new(list, now)).collect(),
        })
    }
}

impl ListNote {
    fn new(finding: &Finding, now: SystemTime) -> Self {
        let (state, class) = match finding.is_well {
            Reading::Is(false) => ("listed", "failing"),
            Reading::Is(true) => ("not listed", "well"),
            _ if finding.at.is_none() => (Absence::NotMeasuredYet.words(), "unmeasured"),
            Reading::Unmeasured | Reading::NotApplicable => ("not known", "late"),
        };
        let at = finding.at.map(|at| When::new(at, now));
        Self { name: finding.name.clone(), state, class, words: finding.words.clone(), at }
    }
}
