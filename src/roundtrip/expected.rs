//! What a probe shows of a target whose mails must not pass.

use std::time::Duration;

use super::verdict::{Arrival, Ending, Sent, Verdict, seconds};
use crate::config::{Expected, Target};
use ledger::durations::Written;
use ledger::{Awaited, Expectation, HIDDEN_JUNK, Reading};
use mail::text;

/// The most characters of why a passive node is down.
const CAUSE_CHARS: usize = 300;

/// What it shows, in the words of the server or of where the mail was found.
pub(super) struct Shown {
    /// Whether the expectation is met; unmeasured where nothing is proved.
    pub(super) is_met: Reading<bool>,
    pub(super) words: String,
}

impl Shown {
    fn new(is_met: Reading<bool>, words: impl Into<String>) -> Self {
        Self { is_met, words: words.into() }
    }
}

impl Verdict {
    /// What it shows of the expectation of the target, with that; `None`: its mails are to be delivered.
    pub(super) fn expectation<'a>(&self, target: &'a Target) -> Option<(&'a Expected, Shown)> {
        let expected = target.expected()?;
        let awaited = target.awaited()?;
        let shown = match &self.sent {
            Sent::NotTried | Sent::Unfinished => {
                Shown::new(Reading::Unmeasured, "the test did not come to its end")
            }
            Sent::Consented(words) => Shown::new(Reading::Is(false), words.as_str()),
            Sent::NotAccepted(failure) => {
                Shown::new(awaited.of_refusal(failure), failure.message.as_str())
            }
            Sent::Accepted { reply, .. } if awaited.outcome == Expectation::Refused => {
                Shown::new(Reading::Is(false), reply.as_str())
            }
            Sent::Doubtful(failure) if !matches!(self.arrival, Arrival::Seen { .. }) => {
                Shown::new(Reading::Unmeasured, failure.message.as_str())
            }
            Sent::Accepted { .. } | Sent::Doubtful(_) => self.arrived(awaited, target),
        };
        Some((expected, shown))
    }

    /// The same in a sentence.
    pub(super) fn expectation_in_words(&self, target: &Target) -> Option<String> {
        let (expected, Shown { is_met, words }) = self.expectation(target)?;
        if is_met.value().is_none() && self.is_not_applicable(target) {
            let (name, words) = (&target.name, text::cut_to(&words, CAUSE_CHARS));
            return Some(format!("{name} is passive and down: not applicable: {words}"));
        }
        let (name, expects) = (&target.name, expected.words());
        Some(match is_met {
            Reading::Is(true) => format!("{name} expects {expects}, and so it is: {words}"),
            Reading::Is(false) => format!("{name} expects {expects}, in vain: {words}"),
            Reading::Unmeasured | Reading::NotApplicable => {
                format!("{name} expects {expects}, and nothing is proved: {words}")
            }
        })
    }

    /// Of a mail that the server has.
    fn arrived(&self, awaited: Awaited, target: &Target) -> Shown {
        match self.arrival {
            Arrival::Seen { folder, .. } => {
                let mut words = format!("the mail was found in the folder {}", folder.label());
                let hides_junk = target.hides_junk(self.lacks_junk_folder);
                let is_met = awaited.of_sight_where(folder, hides_junk);
                if is_met == Reading::Unmeasured {
                    words.push_str(&format!(", and {HIDDEN_JUNK}"));
                }
                Shown::new(is_met, words)
            }
            Arrival::Bounced(_) => {
                let words = "the mail came back as undeliverable";
                Shown::new(Reading::Is(awaited.of_absence()), words)
            }
            Arrival::NotSeen(wait) => self.absent(awaited, target, wait),
            Arrival::NotAwaited => {
                Shown::new(Reading::Unmeasured, "nobody could look for the mail")
            }
        }
    }

    /// That it was not seen so long proves nothing where it was looked for too short a time, or not everywhere.
    fn absent(&self, awaited: Awaited, target: &Target, wait: Duration) -> Shown {
        if let Some(failure) = &self.look_failure {
            return Shown::new(Reading::Unmeasured, failure.message.as_str());
        }
        if self.ending != Ending::Complete {
            return Shown::new(Reading::Unmeasured, "the test did not come to its end");
        }
        let mut words = format!("the mail was not found within {}", seconds(wait));
        let mut is_met = Reading::Is(awaited.of_absence());
        if wait < target.lost_after {
            is_met = Reading::Unmeasured;
            words.push_str(&format!(", and `lost_after` is {}", Written(target.lost_after)));
        } else if target.hides_junk(self.lacks_junk_folder) {
            is_met = Reading::Unmeasured;
            words.push_str(&format!(", and {HIDDEN_JUNK}"));
        }
        Shown::new(is_met, words)
    }
}
