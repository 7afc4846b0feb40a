//! What a probe shows of a target whose mails must not pass.

use super::verdict::{Arrival, Sent, Verdict, seconds};
use crate::config::{Expected, Target};
use ledger::{Expectation, Failure, FoundIn, Reading};

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
        let outcome = expected.outcome;
        let shown = match &self.sent {
            Sent::NotTried | Sent::Unfinished => {
                Shown::new(Reading::Unmeasured, "the test did not come to its end")
            }
            Sent::Consented(words) => Shown::new(Reading::Is(false), words.as_str()),
            Sent::NotAccepted(failure) => not_accepted(outcome, failure),
            Sent::Accepted { reply, .. } if outcome == Expectation::Refused => {
                Shown::new(Reading::Is(false), reply.as_str())
            }
            Sent::Doubtful(failure) if !matches!(self.arrival, Arrival::Seen { .. }) => {
                Shown::new(Reading::Unmeasured, failure.message.as_str())
            }
            Sent::Accepted { .. } | Sent::Doubtful(_) => self.arrived(outcome),
        };
        Some((expected, shown))
    }

    /// The same in a sentence.
    pub(super) fn expectation_in_words(&self, target: &Target) -> Option<String> {
        let (expected, Shown { is_met, words }) = self.expectation(target)?;
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
    fn arrived(&self, outcome: Expectation) -> Shown {
        let is_junk = outcome == Expectation::Junk;
        match self.arrival {
            Arrival::Seen { folder, .. } => {
                let is_met = is_junk && folder != FoundIn::Inbox;
                let words = format!("the mail was found in the folder {}", folder.label());
                Shown::new(Reading::Is(is_met), words)
            }
            Arrival::Bounced(_) => {
                Shown::new(Reading::Is(!is_junk), "the mail came back as undeliverable")
            }
            Arrival::NotSeen(wait) => match &self.look_failure {
                None => {
                    let words = format!("the mail was not found within {}", seconds(wait));
                    Shown::new(Reading::Is(!is_junk), words)
                }
                Some(failure) => Shown::new(Reading::Unmeasured, failure.message.as_str()),
            },
            Arrival::NotAwaited => {
                Shown::new(Reading::Unmeasured, "nobody could look for the mail")
            }
        }
    }
}

fn not_accepted(outcome: Expectation, failure: &Failure) -> Shown {
    let is_met = match failure.is_refusal() {
        true => Reading::Is(outcome != Expectation::Junk),
        false => Reading::Unmeasured,
    };
    Shown::new(is_met, failure.message.as_str())
}
