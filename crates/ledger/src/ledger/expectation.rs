//! Whether what a target expects of its mails in place of their delivery came true. The newest mail of which that is
//! known decides; one that passed though it must not counts however old it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::schedule::SLACK;
use super::{
    ClockJump, FoundIn, KeptJudgement, Ledger, Moment, Outstanding, Reading, Rules, Totals,
};
use crate::{Awaited, Expectation, Failure, HIDDEN_JUNK, Judged, LineInstant, Purpose, Side};

/// The most characters of what a server said.
const MOST_WORDS: usize = 500;

const FOUND_ELSEWHERE: &str = "the mail was found in another folder than the inbox";

fn and_hidden(words: &str) -> String {
    format!("{words}, and {HIDDEN_JUNK}")
}

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

impl Judgement {
    /// Whether it is not older than this.
    fn holds(&self, stands: Duration, now: Moment) -> bool {
        now.instant.saturating_duration_since(self.at) < stands
    }

    /// The wall clock was set.
    pub(super) fn follow(&mut self, jump: ClockJump) {
        self.date = jump.correct(self.date);
    }
}

impl Rules {
    /// Whether a mail that was sent for this is not waited for, as something else is expected by now.
    pub(super) fn is_out_of_place(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Delivery => self.expectation.is_some(),
            Purpose::Test => self.expectation.is_none(),
            Purpose::FormerTest => true,
        }
    }

    /// How long it holds what a test has shown: until the next but one would have.
    fn judgement_stands(&self, expectation: Expectation) -> Duration {
        let wait = match expectation {
            Expectation::Refused => Duration::ZERO,
            Expectation::Junk | Expectation::Nothing => self.lost_after,
        };
        self.interval * 2 + wait + SLACK
    }
}

impl Ledger {
    /// A test that sends no mail begins. It counts as a mail for when the next is due, in this process or a later one.
    pub fn asks(&mut self, now: Moment) {
        self.expire(now);
        self.journal.asked(now);
    }

    /// A test is over whose mail nobody looks for, by this server (see [`Servers`](super::Servers)). `is_met` is unmeasured
    /// where it proves nothing. One of a server or a test that the target has no longer says nothing.
    pub fn judged(&mut self, server: &str, is_met: Reading<bool>, words: &str, now: Moment) {
        self.expire(now);
        if !self.is_of_another(Side::Send, server) {
            self.judge(is_met, words, now.instant, now);
        }
    }

    /// Whether the mailbox shows no folder for junk though one should be looked into.
    pub fn hides_junk(&mut self, hides_junk: bool) {
        self.hides_junk = hides_junk;
        let is_junk = |awaited: Awaited| awaited.outcome == Expectation::Junk;
        let is_expected = self.rules.expectation.is_some_and(is_junk);
        // The look that tells this first may have shown a mail before.
        if let Some(judgement) = &mut self.judgement
            && hides_junk
            && is_expected
            && *judgement.words == *FOUND_ELSEWHERE
        {
            judgement.is_met = Reading::Unmeasured;
            judgement.words = and_hidden(FOUND_ELSEWHERE).into();
        }
    }

    /// Something else is expected from now on, or of other servers: of the mails under way nobody expects it.
    pub(super) fn expect_anew(&mut self, now: Moment) {
        self.leave(now);
        self.judgement = None;
        let ended = self.ended.iter_mut().map(|mail| (mail.token, &mut mail.purpose));
        let sending = self.sending.iter_mut().map(|(token, mail)| (*token, &mut mail.purpose));
        for (token, purpose) in ended.chain(sending) {
            if *purpose == Purpose::Test {
                *purpose = Purpose::FormerTest;
                self.journal.touch(token);
            }
        }
    }

    /// What a mail is sent for that goes to this server (see [`Servers`](super::Servers)), which may be that of before a
    /// change.
    pub(super) fn purpose_at(&self, server: &str) -> Purpose {
        let is_test = match self.is_of_another(Side::Send, server) {
            true if server.starts_with('#') => return Purpose::FormerTest,
            true => false,
            false => self.rules.expectation.is_some(),
        };
        if is_test { Purpose::Test } else { Purpose::Delivery }
    }

    /// See [`Ledger::expectation`], of this moment.
    pub fn newest_judgement(&mut self, now: Moment) -> Option<Judged> {
        self.rules.expectation?;
        self.expire(now);
        self.expectation(now)
    }

    /// What is known of the expectation; `None`: its mails are to be delivered.
    pub fn expectation(&self, now: Moment) -> Option<Judged> {
        let expectation = self.rules.expectation?.outcome;
        // Nothing is to be expected of a passive node that is down.
        let is_down = self.sides.iter().any(|(_, side)| side.up == Some(false));
        let unproved = match self.rules.passive && is_down {
            true => Reading::NotApplicable,
            false => Reading::Unmeasured,
        };
        let Some(judgement) = &self.judgement else {
            let (is_met, words, at) = (unproved, Arc::default(), None);
            return Some(Judged { expectation, is_met, words, at });
        };
        let holds = judgement.holds(self.rules.judgement_stands(expectation), now);
        let is_met = if holds { judgement.is_met } else { Reading::Unmeasured };
        Some(Judged {
            expectation,
            is_met: if is_met == Reading::Unmeasured { unproved } else { is_met },
            words: Arc::clone(&judgement.words),
            at: Some(judgement.date),
        })
    }

    /// What is to be kept of it.
    pub(super) fn kept_judgement(&self) -> Option<KeptJudgement> {
        let (awaited, judgement) = (self.rules.expectation?, self.judgement.as_ref()?);
        let Judgement { is_met, words, sent, at, date } = judgement;
        // The date of the mail is told by that of its judgement, which the present moment does not change.
        let judged = Moment { instant: *at, wall: *date };
        Some(KeptJudgement {
            expectation: awaited.outcome,
            is_met: is_met.value(),
            words: Arc::clone(words),
            sent: judged.date_of(*sent),
            at: *date,
        })
    }

    /// Goes on from what was kept, if the same is still expected. The words are shown however old it is; whether it was met
    /// holds by the shorter of the period then and now. [`Ledger::measures`] drops it where it is of another test.
    pub(super) fn restore_judgement(
        &mut self,
        kept: &KeptJudgement,
        interval: Duration,
        now: Moment,
    ) {
        let is_expected = |awaited: Awaited| awaited.outcome == kept.expectation;
        if !self.rules.expectation.is_some_and(is_expected) {
            return;
        }
        // Nobody knows the age of what has a date to come.
        let (Some(at), Some(sent)) = (now.moment_of(kept.at), now.moment_of(kept.sent)) else {
            return;
        };
        let (words, date) = (Arc::clone(&kept.words), kept.at);
        let is_met = kept.is_met.map_or(Reading::Unmeasured, Reading::Is);
        let mut judgement = Judgement { is_met, words, sent, at, date };
        let stands = Rules { interval, ..self.rules }.judgement_stands(kept.expectation);
        if !judgement.holds(stands, now) {
            judgement.is_met = Reading::Unmeasured;
        }
        self.judgement = Some(judgement);
    }

    /// What is counted of mails. Those that are not to be delivered are shown in no counter.
    pub(super) fn tally(&mut self, purpose: Purpose) -> &mut Totals {
        match purpose {
            Purpose::Test | Purpose::FormerTest => &mut self.unshown,
            Purpose::Delivery => &mut self.totals,
        }
    }

    /// A mail was not accepted.
    pub(super) fn judge_not_accepted(
        &mut self,
        purpose: Purpose,
        failure: &Failure,
        is_doubtful: bool,
        now: Moment,
    ) {
        let Some(awaited) = self.expected_of(purpose) else { return };
        let is_met = if is_doubtful { Reading::Unmeasured } else { awaited.of_refusal(failure) };
        self.judge(is_met, &failure.message, now.instant, now);
    }

    /// A mail was seen in the mailbox that was handed over at `sent`.
    pub(super) fn judge_seen(
        &mut self,
        purpose: Purpose,
        sent: LineInstant,
        folder: FoundIn,
        now: Moment,
    ) {
        let Some(awaited) = self.expected_of(purpose) else { return };
        let mut words = match folder {
            FoundIn::Inbox => "the mail was found in the inbox",
            FoundIn::Junk => "the mail was found in the junk folder",
            FoundIn::Other => FOUND_ELSEWHERE,
        }
        .to_owned();
        let is_met = awaited.of_sight_where(folder, self.hides_junk);
        if is_met == Reading::Unmeasured {
            words = and_hidden(&words);
        }
        // What has passed counts however old it is; all else by its own age.
        let has_passed = is_met == Reading::Is(false);
        let sent = if has_passed { now.instant } else { sent };
        self.judge(is_met, &words, sent, now);
    }

    /// A mail came back as undeliverable.
    pub(super) fn judge_bounced(&mut self, purpose: Purpose, now: Moment) {
        let Some(awaited) = self.expected_of(purpose) else { return };
        let words = "the mail came back as undeliverable";
        self.judge(Reading::Is(awaited.of_absence()), words, now.instant, now);
    }

    /// A mail is not waited for any more. That it did not come is proved by a look alone that was asked for since, and into
    /// the folder for junk as well.
    pub(super) fn judge_given_up(&mut self, mail: &Outstanding, now: Moment) {
        let Some(awaited) = self.expected_of(mail.purpose) else { return };
        let due = mail.accepted.instant.checked_add(self.rules.lost_after);
        let was_looked_for = self.looked.zip(due).is_some_and(|(looked, due)| looked >= due);
        let (is_met, words) = match awaited.outcome {
            Expectation::Refused => return,
            _ if !was_looked_for || mail.is_unattended => {
                (Reading::Unmeasured, "nobody could look for the mail")
            }
            _ if self.hides_junk => {
                let words = and_hidden("the mail was found nowhere");
                return self.judge(Reading::Unmeasured, &words, mail.accepted.instant, now);
            }
            Expectation::Junk | Expectation::Nothing => {
                (Reading::Is(awaited.of_absence()), "the mail was found nowhere")
            }
        };
        self.judge(is_met, words, mail.accepted.instant, now);
    }

    /// What is expected of a mail that was sent for this.
    fn expected_of(&self, purpose: Purpose) -> Option<Awaited> {
        self.rules.expectation.filter(|_| purpose == Purpose::Test)
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
