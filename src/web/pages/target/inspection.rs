//! The header of the latest mail, in words for people.

use std::time::SystemTime;

use crate::web::pages::chart::Waterfall;
use crate::web::pages::words::{When, rough};
use mail::inspection::{Clock, Hop, Inspection, LastHop, Outcome, Spam};

/// The section of the page.
pub(super) struct InspectionNote {
    pub(super) seen: When,
    pub(super) is_cut: bool,
    pub(super) hops: Vec<HopNote>,
    pub(super) waterfall: Waterfall,
    /// How many hops are not shown.
    pub(super) more_hops: usize,
    /// Method, outcome, class.
    pub(super) authentication: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) authserv_id: Option<String>,
    pub(super) spam: Vec<SpamNote>,
    pub(super) last_hop: Option<LastHopNote>,
}

/// One server that took the mail in.
pub(super) struct HopNote {
    pub(super) kind: &'static str,
    pub(super) from: Option<String>,
    /// What is wrong with its clock, if anything is.
    pub(super) clock: Option<String>,
}

/// The verdict of a spam filter.
pub(super) struct SpamNote {
    pub(super) filter: &'static str,
    pub(super) words: String,
    pub(super) class: &'static str,
}

/// How the receiving server got the mail.
pub(super) struct LastHopNote {
    pub(super) words: String,
    pub(super) class: &'static str,
}

impl InspectionNote {
    pub(super) fn new(inspection: &Inspection, now: SystemTime) -> Self {
        let verdicts = inspection.authentication.iter();
        Self {
            seen: When::new(inspection.seen, now),
            is_cut: inspection.is_cut,
            hops: inspection.hops.iter().map(HopNote::new).collect(),
            waterfall: Waterfall::of_hops(&inspection.hops),
            more_hops: inspection.hop_count.saturating_sub(inspection.hops.len()),
            authentication: verdicts
                .map(|it| (it.method.label(), it.outcome.label(), class(it.outcome)))
                .collect(),
            authserv_id: inspection.authserv_id.clone(),
            spam: inspection.spam.iter().map(SpamNote::new).collect(),
            last_hop: inspection.last_hop.as_ref().map(LastHopNote::new),
        }
    }
}

impl HopNote {
    fn new(hop: &Hop) -> Self {
        let clock = match hop.clock {
            Clock::Believed => None,
            Clock::Unknown => Some("no plausible date".to_owned()),
            Clock::Ahead(by) => Some(format!("its clock is at least {} ahead", rough(by))),
            Clock::Behind(by) => Some(format!("its clock is at least {} behind", rough(by))),
            Clock::Contradicted => Some("its clock contradicts a neighbour's".to_owned()),
        };
        Self { kind: hop.kind.label(), from: hop.from.clone(), clock }
    }
}

impl SpamNote {
    fn new(spam: &Spam) -> Self {
        let (verdict, class) = match spam.is_spam {
            Some(true) => ("spam", "failing"),
            Some(false) => ("not spam", "well"),
            None => ("no verdict", "unmeasured"),
        };
        let words = match spam.score {
            Some(score) => format!("{verdict}, score {score}"),
            None => verdict.to_owned(),
        };
        Self { filter: spam.filter.label(), words, class }
    }
}

impl LastHopNote {
    fn new(hop: &LastHop) -> Self {
        let (how, class) =
            if hop.is_protected { ("by TLS", "well") } else { ("without TLS", "late") };
        let mut words = how.to_owned();
        let parts = [hop.version.as_deref(), hop.cipher.as_deref()];
        for part in parts.into_iter().flatten() {
            words.push_str(", ");
            words.push_str(part);
        }
        if let Some(from) = &hop.from {
            words.push_str(&format!(", from {from}"));
        }
        if let Some(by) = &hop.by {
            words.push_str(&format!(", to {by}"));
        }
        Self { words, class }
    }
}

fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "well",
        Outcome::Fail | Outcome::Policy => "failing",
        Outcome::SoftFail | Outcome::TempError | Outcome::PermError => "late",
        _ => "unmeasured",
    }
}
