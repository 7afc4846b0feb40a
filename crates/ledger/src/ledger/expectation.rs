//! Whether what a target expects of its mails in place of their delivery came true. The newest mail of which that is
//! known decides; one that passed though it must not counts however old it is.

use std::sync::Arc;
use std::time::SystemTime;

use super::schedule::SLACK;
use super::{FoundIn, Ledger, Moment, Outstanding, Reading, Totals};
use crate::{Expectation, Failure, Judged, LineInstant};

/// The most characters of what a server said.
const MOST_WORDS: usize = 500;

/// What the newest test has shown.
#[derive(Debug, Clone)]
pub(super) struct Judgement {
    is_met: Reading<bool>,
    words: Arc<str>,
    /// When the mail was handed over, or was to be.
    sent: LineInstant,
    /// When it was judged.
    at: LineInstant,
    date: SystemTime,
}

impl Ledger {
    /// A test that sends no mail is over. `is_met` is unmeasured where it proves nothing.
    pub fn judged(&mut self, is_met: Reading<bool>, words: &str, now: Moment) {
        self.expire(now);
        self.judge(is_met, words, now.instant, now);
    }

    /// What is known of the expectation; `None`: its mails are to be delivered.
    pub fn expectation(&self, now: Moment) -> Option<Judged> {
        let expectation = self.rules.expectation?;
        let Some(judgement) = &self.judgement else {
            let (is_met, words, at) = (Reading::Unmeasured, Arc::default(), None);
            return Some(Judged { expectation, is_met, words, at });
        };
        let wait = match expectation {
            Expectation::Refused => self.rules.interval,
            Expectation::Junk | Expectation::Nothing => self.rules.lost_after + self.rules.interval,
        };
        let stands = self.rules.interval + wait + SLACK;
        let holds = now.instant.saturating_duration_since(judgement.at) < stands;
        Some(Judged {
            expectation,
            is_met: if holds { judgement.is_met } else { Reading::Unmeasured },
            words: Arc::clone(&judgement.words),
            at: Some(judgement.date),
        })
    }

    /// What is counted of mails. Those that are not to be delivered are shown in no counter.
    pub(super) fn tally(&mut self) -> &mut Totals {
        match self.rules.expectation {
            Some(_) => &mut self.unshown,
            None => &mut self.totals,
        }
    }

    /// A mail was not accepted.
    pub(super) fn judge_not_accepted(&mut self, failure: &Failure, is_doubtful: bool, now: Moment) {
        let Some(expectation) = self.rules.expectation else { return };
        let is_met = match expectation {
            _ if is_doubtful || !failure.is_refusal() => Reading::Unmeasured,
            Expectation::Refused | Expectation::Nothing => Reading::Is(true),
            Expectation::Junk => Reading::Is(false),
        };
        self.judge(is_met, &failure.message, now.instant, now);
    }

    /// A mail was seen in the mailbox that was handed over at `sent`. That of a refusal was judged when it was accepted.
    pub(super) fn judge_seen(&mut self, sent: LineInstant, folder: FoundIn, now: Moment) {
        let is_met = match self.rules.expectation {
            None | Some(Expectation::Refused) => return,
            Some(Expectation::Junk) => folder != FoundIn::Inbox,
            Some(Expectation::Nothing) => false,
        };
        let words = match folder {
            FoundIn::Inbox => "the mail was found in the inbox",
            FoundIn::Junk => "the mail was found in the junk folder",
            FoundIn::Other => "the mail was found in another folder than the inbox",
        };
        self.judge(Reading::Is(is_met), words, sent, now);
    }

    /// A mail came back as undeliverable.
    pub(super) fn judge_bounced(&mut self, now: Moment) {
        let is_met = match self.rules.expectation {
            None | Some(Expectation::Refused) => return,
            Some(Expectation::Junk) => false,
            Some(Expectation::Nothing) => true,
        };
        self.judge(Reading::Is(is_met), "the mail came back as undeliverable", now.instant, now);
    }

    /// A mail is not waited for any more. That it did not come is proved by a look alone that was asked for since.
    pub(super) fn judge_given_up(&mut self, mail: &Outstanding, now: Moment) {
        let Some(expectation) = self.rules.expectation else { return };
        let due = mail.accepted.instant.checked_add(self.rules.lost_after);
        let was_looked_for = self.looked.zip(due).is_some_and(|(looked, due)| looked >= due);
        let (is_met, words) = match expectation {
            Expectation::Refused => return,
            _ if !was_looked_for || mail.is_unattended => {
                (Reading::Unmeasured, "nobody could look for the mail")
            }
            Expectation::Junk => (Reading::Is(false), "the mail was found nowhere"),
            Expectation::Nothing => (Reading::Is(true), "the mail was found nowhere"),
        };
        self.judge(is_met, words, mail.accepted.instant, now);
    }

    fn judge(&mut self, is_met: Reading<bool>, words: &str, sent: LineInstant, now: Moment) {
        if self.rules.expectation.is_none() {
            return;
        }
        let is_newest = self.judgement.as_ref().is_none_or(|newest| sent >= newest.sent);
        if is_newest || is_met == Reading::Is(false) {
            let words: String = words.chars().take(MOST_WORDS).collect();
            let (at, date) = (now.instant, now.wall);
            self.judgement = Some(Judgement { is_met, words: words.into(), sent, at, date });
        }
    }
}
