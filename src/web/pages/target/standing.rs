//! What lists of addresses say, and what came of the checks of domains, in words for people.

use std::time::SystemTime;

use crate::standing::findings::{Finding, Findings};
use crate::supervisor::View;
use crate::web::absence::Absence;
use crate::web::pages::words::When;
use ledger::Reading;
use mail::posture::Check;

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
        (!lists.is_empty()).then(|| Self {
            tally: tally(&counts),
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

/// How many are what, without those that none is.
fn tally(counts: &[(usize, &str)]) -> String {
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts.map(|(count, words)| format!("{count} {words}")).collect();
    counts.join(", ")
}

/// The checks of the domains of a target.
pub(super) struct DomainNote {
    /// How many came to what.
    pub(super) tally: String,
    /// Whether one failed.
    pub(super) deserves_a_look: bool,
    pub(super) checks: Vec<DomainCheckNote>,
}

/// One of them.
pub(super) struct DomainCheckNote {
    pub(super) name: &'static str,
    /// The domain that it is about.
    pub(super) domain: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    /// What was found, or why nothing was.
    pub(super) words: String,
    /// What to do, where it failed.
    pub(super) remedy: Option<&'static str>,
    pub(super) at: Option<When>,
}

impl DomainNote {
    /// `None` where nothing is checked.
    pub(super) fn new(view: &View, now: SystemTime) -> Option<Self> {
        let (findings, wanted) = (view.standing.as_deref()?, view.target.domain_checks()?);
        let count = |state| findings.domain.iter().filter(|one| one.is_well == state).count();
        let failed = count(Reading::Is(false));
        let counts = [
            (failed, "failed"),
            (count(Reading::Is(true)), "passed"),
            (count(Reading::NotApplicable), "absent"),
            (count(Reading::Unmeasured), "not known"),
        ];
        let note = |finding: &Finding| {
            let check = Check::of_label(&finding.name)?;
            Some(DomainCheckNote::new(check, view.target.domain_of(wanted, check), finding, now))
        };
        Some(Self {
            tally: tally(&counts),
            deserves_a_look: failed > 0,
            checks: findings.domain.iter().filter_map(note).collect(),
        })
    }
}

impl DomainCheckNote {
    fn new(check: Check, domain: &str, finding: &Finding, now: SystemTime) -> Self {
        let (state, class) = match finding.is_well {
            Reading::Is(false) => ("failed", "failing"),
            Reading::Is(true) => ("passed", "well"),
            Reading::NotApplicable => ("absent", "quiet"),
            Reading::Unmeasured if finding.at.is_none() => {
                (Absence::NotMeasuredYet.words(), "unmeasured")
            }
            Reading::Unmeasured => ("not known", "late"),
        };
        Self {
            name: check.title(),
            domain: domain.to_owned(),
            state,
            class,
            words: finding.words.clone(),
            remedy: (finding.is_well == Reading::Is(false)).then(|| check.remedy()),
            at: finding.at.map(|at| When::new(at, now)),
        }
    }
}
