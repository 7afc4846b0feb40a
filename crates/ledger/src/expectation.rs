//! What a target expects of its test mails in place of their delivery.

use std::sync::Arc;
use std::time::SystemTime;

use crate::Reading;

/// What must become of a test mail that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expectation {
    /// The SMTP server refuses it, for good (5xx).
    Refused,
    /// It is found in another folder than the inbox: one for junk.
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

/// What the newest test has shown of an expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What is expected.
    pub expectation: Expectation,
    /// Whether it came true. A test that proved nothing leaves it unmeasured, as does one that is too old.
    pub is_met: Reading<bool>,
    /// What the server said, or where the mail was found; one line that can be shown, empty before the first test.
    pub words: Arc<str>,
    /// When that was known; `None`: no test has come to an end yet.
    pub at: Option<SystemTime>,
}
