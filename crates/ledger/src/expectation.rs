//! What a target expects of its test mails in place of their delivery.

use std::sync::Arc;
use std::time::SystemTime;

use crate::{Clue, Failure, FoundIn, Reading, Reason, Step};

/// What must become of a test mail that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expectation {
    /// The SMTP server refuses it, for good (5xx).
    Refused,
    /// It is found in the folder for junk.
    Junk,
    /// It is found nowhere: it was refused, or disappears.
    Nothing,
}

impl Expectation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Junk, Self::Nothing];

    /// In one word, as the configuration has it.
    pub fn label(self) -> &'static str {
        match self {
            Expectation::Refused => "refused",
            Expectation::Junk => "junk",
            Expectation::Nothing => "nothing",
        }
    }
}

/// What a test mail was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To be delivered: it is counted.
    #[default]
    Delivery,
    /// To be refused, filed as junk, or to disappear, as is still expected: it is judged.
    Test,
    /// The same, as is not expected any more, or of another server: it shows nothing.
    FormerTest,
}

/// Why nothing is proved where the server marks no folder for junk, behind an "and".
pub const HIDDEN_JUNK: &str =
    r"the server marks no folder for junk: name it in `folders` in place of \Junk";

/// What must become of a test mail, and what answers that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// What must become of it.
    pub outcome: Expectation,
    /// The first step at which a refusal is one of what is tested. Nobody has seen what is in a mail before
    /// [`Step::Data`].
    pub judged_from: Step,
    /// Whether the domain of the sender is tested, so that a refusal of it is an answer.
    pub is_sender_tested: bool,
    /// Whether a folder known by its name alone is the one for junk.
    pub is_other_junk: bool,
}

impl From<Expectation> for Awaited {
    fn from(outcome: Expectation) -> Self {
        let judged_from = Step::Envelope;
        Self { outcome, judged_from, is_sender_tested: false, is_other_junk: false }
    }
}

impl Awaited {
    /// Whether the server refused for good what is tested: the mail, one of its addresses, or to hear of a login. A refusal
    /// of something else is no answer.
    pub fn is_answer(self, failure: &Failure) -> bool {
        let is_of_this = match (failure.step, failure.clue) {
            // That TLS must come first is what the test of a login without it asks for.
            (Step::Auth, _) => self.judged_from == Step::Auth,
            (Step::Envelope | Step::Data, Some(Clue::SenderDomain)) => self.is_sender_tested,
            (
                Step::Envelope | Step::Data,
                Some(
                    Clue::AnotherMatter
                    | Clue::EhloName
                    | Clue::EhloNameOrAddress
                    | Clue::TlsFirst
                    | Clue::TlsOrLoginFirst
                    | Clue::TooLarge
                    | Clue::NoRoom,
                ),
            ) => false,
            (Step::Envelope, _) => self.judged_from == Step::Envelope,
            (Step::Data, _) => self.judged_from != Step::Auth,
            _ => false,
        };
        is_of_this && failure.reason == Reason::Rejected
    }

    /// What it shows that a mail was not accepted.
    pub fn of_refusal(self, failure: &Failure) -> Reading<bool> {
        match self.is_answer(failure) {
            true => Reading::Is(self.outcome != Expectation::Junk),
            false => Reading::Unmeasured,
        }
    }

    /// What it shows that a mail was found in this folder.
    fn of_sight(self, folder: FoundIn) -> bool {
        let is_junk = match folder {
            FoundIn::Inbox => false,
            FoundIn::Junk => true,
            FoundIn::Other => self.is_other_junk,
        };
        self.outcome == Expectation::Junk && is_junk
    }

    /// The same where the mailbox `hides_junk`: a folder that is known by its name alone may be the one for junk.
    pub fn of_sight_where(self, folder: FoundIn, hides_junk: bool) -> Reading<bool> {
        let is_unsure = hides_junk && folder == FoundIn::Other;
        match self.outcome == Expectation::Junk && is_unsure {
            true => Reading::Unmeasured,
            false => Reading::Is(self.of_sight(folder)),
        }
    }

    /// What it shows that an accepted mail came back as undeliverable, or is found nowhere.
    pub fn of_absence(self) -> bool {
        self.outcome == Expectation::Nothing
    }
}

/// What the newest test has shown of an expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What is expected.
    pub expectation: Expectation,
    /// Whether it came true. A test that proved nothing leaves it unmeasured, as does one that is too old; it is not
    /// applicable to a passive node that is down.
    pub is_met: Reading<bool>,
    /// What the server said, or where the mail was found; one line that can be shown, empty before the first test.
    pub words: Arc<str>,
    /// When that was known; `None`: no test has come to an end yet.
    pub at: Option<SystemTime>,
}
