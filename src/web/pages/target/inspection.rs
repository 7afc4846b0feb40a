//! The header of the latest mail, in words for people.

use std::time::SystemTime;

use super::way::Way;
use crate::supervisor::View;
use crate::web::pages::words::{When, between_stamps};
use mail::inspection::{Delay, LastHop, Outcome, Sizes, Spam};

/// The section of the page.
pub(super) struct InspectionNote {
    pub(super) seen: When,
    pub(super) is_cut: bool,
    /// `None`: its header has no hop.
    pub(super) way: Option<Way>,
    /// Method, outcome, class.
    pub(super) authentication: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) authserv_id: Option<String>,
    pub(super) spam: Vec<SpamNote>,
    pub(super) last_hop: Option<LastHopNote>,
    /// How long it took there, and how long back, where it was to come back.
    pub(super) ways: Option<(String, String)>,
    /// How large the mail was at both ends of its way.
    pub(super) size: Option<String>,
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
    /// `None`: no header was read.
    pub(super) fn of(view: &View, now: SystemTime) -> Option<Self> {
        let inspection = view.inspection.as_deref()?;
        let way = Way::new(inspection, view.usual.as_deref(), view.target.late_after);
        let verdicts = inspection.authentication.iter();
        Some(Self {
            seen: When::new(inspection.seen, now),
            is_cut: inspection.is_cut,
            way,
            authentication: verdicts
                .map(|it| (it.method.label(), it.outcome.label(), class(it.outcome)))
                .collect(),
            authserv_id: inspection.authserv_id.clone(),
            spam: inspection.spam.iter().map(SpamNote::new).collect(),
            last_hop: inspection.last_hop.as_ref().map(LastHopNote::new),
            ways: inspection.there_and_back.map(|it| (took(it.out), took(it.back))),
            size: inspection.sizes.map(size),
        })
    }
}

impl InspectionNote {
    /// Whether the mail waited so long that somebody should look.
    pub(super) fn is_slow(&self) -> bool {
        self.way.as_ref().is_some_and(|way| way.is_slow)
    }

    /// How long it waited where it waited longest.
    pub(super) fn longest_wait(&self) -> Option<&str> {
        self.way.as_ref()?.longest_wait.as_deref()
    }

    /// Whether nobody has said anything of the mail.
    pub(super) fn says_nothing(&self) -> bool {
        self.last_hop.is_none() && self.authentication.is_empty() && self.spam.is_empty()
    }
}

/// A stretch, or a whole way.
pub(super) fn took(delay: Delay) -> String {
    match delay {
        Delay::Measured(delay) => between_stamps(delay),
        Delay::Skewed => "the clocks disagree".to_owned(),
        Delay::Unknown => "time unknown".to_owned(),
    }
}

fn size(sizes: Sizes) -> String {
    let Sizes { sent, arrived } = sizes;
    let sent = sent.map(|sent| format!("; it was sent as {sent}")).unwrap_or_default();
    format!("{arrived} bytes in the mailbox{sent}")
}

impl SpamNote {
    pub(super) fn new(spam: &Spam) -> Self {
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
