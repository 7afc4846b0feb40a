//! The result of a round trip, in sentences that say what to check next.

use std::time::{Duration, SystemTime};

use super::record::SideRecord;
use crate::account::advice::{next_step, next_step_for_bounce, next_step_for_late_mail};
use crate::config::Target;
use ledger::LoginDelay;
use ledger::Token;
pub(super) use ledger::durations::precise as seconds;
use ledger::{DeliveryReport, FoundIn};
use ledger::{Failure, PerSide, Shortage, Side};
use mail::test_mail::subject;
use mail::text;

/// The most characters of a cause that a sentence holds: what to look at comes after it.
const CAUSE_CHARS: usize = 300;

/// The result of one round trip.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The check of the mailbox.
    pub mailbox: Check,
    /// The sending of the mail.
    pub sent: Sent,
    /// The way of the mail to the mailbox.
    pub arrival: Arrival,
    /// The newest report that came back about the mail: of a bounce, or of a delay.
    pub notice: Option<DeliveryReport>,
    /// What the mailbox's server asks for between two logins; zero if nothing.
    pub login_delay: LoginDelay,
    /// Whether nobody could look for the mail in time, as the server allows no login so soon.
    pub is_held_back: bool,
    /// Why the newest look into the sender's own mailbox failed.
    pub sender_mailbox_failure: Option<Failure>,
    /// The newest look that failed since the last one that succeeded.
    pub look_failure: Option<Failure>,
    /// Whether the mailbox has no junk folder that is known by its use.
    pub lacks_junk_folder: bool,
    /// What else there is to know of the mailbox, in sentences.
    pub remarks: Vec<String>,
    /// Whether the mail that arrived, or the report of its bounce, was taken out of the mailbox again.
    pub removal: Removal,
    /// Whether it came to its end.
    pub ending: Ending,
    /// When it began.
    pub began: SystemTime,
    /// How long all of it took, so far.
    pub took: Duration,
    /// What the dialogues showed.
    pub sides: PerSide<SideRecord>,
    /// Where the target is configured, as `mailtrip.yml:12`.
    pub place: String,
    /// The id of the mail.
    pub token: Token,
}

/// How the check of the mailbox went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It did not come to its end.
    Unfinished,
    /// A fresh login worked and the mailbox could be read.
    Passed,
    /// It could not.
    Failed(Failure),
}

/// How the sending went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It was not begun.
    NotTried,
    /// It was cut short: the server may have the mail.
    Unfinished,
    /// The SMTP server has the mail.
    Accepted {
        /// From the beginning of the transmission to the server's reply.
        took: Duration,
        /// That reply.
        reply: String,
    },
    /// It has not.
    NotAccepted(Failure),
    /// The connection ended before the server's reply: it may have the mail.
    Doubtful(Failure),
}

/// What became of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Nobody looked for it.
    NotAwaited,
    /// It was looked for, and not seen in this time.
    NotSeen(Duration),
    /// A report said that it cannot be delivered, this long after the beginning of the transmission.
    Bounced(Duration),
    /// It was seen.
    Seen {
        /// Since the beginning of the transmission.
        roundtrip: Duration,
        /// Where.
        folder: FoundIn,
    },
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All was done that could be.
    Complete,
    /// Somebody ended it early.
    Interrupted,
    /// This time of `--timeout` was over before the server had answered.
    OutOfTime(Duration),
}

/// How the removal of the mail went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was not begun, or did not come to its end.
    Unfinished,
    /// The mail is gone from the mailbox.
    Done,
    /// It may still be there.
    Failed(Failure),
}

impl Verdict {
    /// Nothing has happened yet.
    pub(super) fn new(token: Token, place: &str) -> Self {
        Self {
            mailbox: Check::Unfinished,
            sent: Sent::NotTried,
            arrival: Arrival::NotAwaited,
            notice: None,
            login_delay: LoginDelay::default(),
            is_held_back: false,
            sender_mailbox_failure: None,
            look_failure: None,
            lacks_junk_folder: false,
            remarks: Vec::new(),
            removal: Removal::Unfinished,
            ending: Ending::Complete,
            began: SystemTime::now(),
            took: Duration::ZERO,
            sides: PerSide::default(),
            place: place.to_owned(),
            token,
        }
    }

    /// Whether the mail was sent, received and removed.
    pub fn is_good(&self) -> bool {
        matches!(self.mailbox, Check::Passed)
            && matches!(self.sent, Sent::Accepted { .. })
            && matches!(self.arrival, Arrival::Seen { .. })
            && self.removal == Removal::Done
    }

    /// Whether a side of the passive target is down, so that nothing is to be expected of it, and
    /// nothing else is wrong.
    pub fn is_not_applicable(&self, target: &Target) -> bool {
        let failures = Side::ALL.map(|side| self.failure(side));
        let mut failures = failures.iter().flatten().peekable();
        failures.peek().is_some()
            && self.ending == Ending::Complete
            && failures.all(|failure| target.passive && failure.down)
    }

    /// What this machine was short of, if that is all that kept the mail from being seen: then nothing
    /// is known of the servers.
    pub fn shortage(&self) -> Option<Shortage> {
        let [send, receive] = Side::ALL.map(|side| self.failure(side));
        let failures = || [send, receive].into_iter().flatten();
        let is_seen = matches!(self.arrival, Arrival::Seen { .. } | Arrival::Bounced(_));
        let is_only = !is_seen && failures().all(|failure| failure.shortage.is_some());
        failures().next().filter(|_| is_only)?.shortage
    }

    /// What went wrong on this side.
    pub fn failure(&self, side: Side) -> Option<&Failure> {
        match side {
            Side::Send => match &self.sent {
                Sent::NotAccepted(failure) | Sent::Doubtful(failure) => Some(failure),
                Sent::NotTried | Sent::Unfinished | Sent::Accepted { .. } => None,
            },
            Side::Receive => match (&self.mailbox, &self.removal) {
                (Check::Failed(failure), _) | (_, Removal::Failed(failure)) => Some(failure),
                _ => self.look_failure.as_ref(),
            },
        }
    }

    /// The record of this side.
    pub fn side(&self, side: Side) -> &SideRecord {
        &self.sides[side]
    }

    /// The verdict, a sentence for each thing that is wrong, or one that nothing is.
    pub fn sentences(&self, target: &Target) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Check::Failed(failure) = &self.mailbox {
            sentences.push(self.cannot(target, Side::Receive, failure));
        }
        match &self.sent {
            Sent::NotAccepted(failure) => sentences.push(self.cannot(target, Side::Send, failure)),
            Sent::Doubtful(failure) => {
                let fate = match self.arrival {
                    Arrival::Seen { roundtrip, .. } => {
                        format!("the mail arrived nevertheless, after {}", seconds(roundtrip))
                    }
                    Arrival::Bounced(_) => "the server accepted it, and it bounced".to_owned(),
                    _ => "it is unknown whether the server has the mail".to_owned(),
                };
                sentences.push(format!("{}; {fate}", self.cannot(target, Side::Send, failure)));
            }
            Sent::NotTried | Sent::Unfinished | Sent::Accepted { .. } => {}
        }
        sentences.extend(self.bounced(target));
        sentences.extend(self.cut_short(target));
        if let Removal::Failed(failure) = &self.removal {
            let place = step_and_reason(Side::Receive, failure);
            let what = match self.arrival {
                Arrival::Bounced(_) => "sent the mail back, but the report could not be removed",
                _ => "delivers, but the mail could not be removed",
            };
            sentences.push(format!(
                "{} {what} ({place}): {}; {}",
                target.name,
                cause(failure),
                next_step(target, Side::Receive, failure, &self.place)
            ));
        }
        if sentences.is_empty() {
            sentences.extend(self.praise(target));
        }
        sentences
    }

    /// What is left to do about a mail that may turn up unobserved.
    pub fn left_behind(&self, target: &Target) -> Option<String> {
        let is_out = match self.sent {
            Sent::NotTried | Sent::NotAccepted(_) => false,
            Sent::Unfinished | Sent::Accepted { .. } | Sent::Doubtful(_) => true,
        };
        if !is_out || self.removal == Removal::Done {
            return None;
        }
        let what = match self.arrival {
            Arrival::Seen { .. } => "The mail is still in the mailbox",
            Arrival::Bounced(_) => return None,
            _ => "The mail may still arrive",
        };
        Some(format!(
            "{what}: an exporter that watches this mailbox, or a later `probe`, removes it after \
             {}; if you run neither, delete the mail with the subject \"{}\" by hand",
            humantime::format_duration(target.lost_after),
            subject(self.token)
        ))
    }

    /// That a bounce would not have been found.
    pub fn blind_to_bounces(&self) -> Option<String> {
        let failure = self.sender_mailbox_failure.as_ref()?;
        let (step, reason) = (failure.step, failure.reason);
        let cause = cause(failure);
        Some(format!(
            "The sender's own mailbox could not be searched for a bounce (step {step}, reason \
             {reason}): {cause}"
        ))
    }

    fn praise(&self, target: &Target) -> Option<String> {
        let (Sent::Accepted { took, .. }, Arrival::Seen { roundtrip, folder }) =
            (&self.sent, self.arrival)
        else {
            return None;
        };
        let folder = match folder {
            FoundIn::Inbox => "",
            FoundIn::Junk => ", but filed as junk",
            FoundIn::Other => ", not in the inbox but in another folder",
        };
        let (sent, received) = (seconds(*took), seconds(roundtrip));
        Some(format!("{} works: sent in {sent}, received after {received}{folder}", target.name))
    }

    fn bounced(&self, target: &Target) -> Option<String> {
        let (Arrival::Bounced(_), Some(notice)) = (self.arrival, &self.notice) else { return None };
        let advice = next_step_for_bounce(target, notice.code.as_deref());
        let name = &target.name;
        Some(format!("{name} accepted the mail, but it bounced: {}; {advice}", words_of(notice)))
    }

    /// Why the mail was not waited for to the end, or what is wrong if it was.
    fn cut_short(&self, target: &Target) -> Option<String> {
        let name = &target.name;
        match (self.ending, &self.sent, self.arrival) {
            (Ending::Interrupted, ..) => Some(format!("{name} was not fully tested: interrupted")),
            (Ending::OutOfTime(limit), ..) if self.is_held_back => Some(format!(
                "{name} was not fully tested: the server allows the next login only {} s after the \
                 check (LOGIN-DELAY), and `--timeout` is {}; raise it above that",
                self.login_delay.kept().as_secs(),
                humantime::format_duration(limit),
            )),
            (Ending::OutOfTime(limit), ..) => Some(format!(
                "{name} was not fully tested: `--timeout` ({}) expired; raise it to at least twice \
                 the `timeout` of the target ({})",
                humantime::format_duration(limit),
                humantime::format_duration(target.send.endpoint.timeout)
            )),
            (Ending::Complete, Sent::Accepted { reply, .. }, Arrival::NotSeen(waited)) => {
                Some(self.not_seen(target, reply, waited))
            }
            (Ending::Complete, ..) => None,
        }
    }

    fn not_seen(&self, target: &Target, reply: &str, waited: Duration) -> String {
        let name = &target.name;
        match &self.look_failure {
            Some(failure) => format!(
                "{name} accepted the mail, but the mailbox could not be read completely ({}): {}; \
                 {}",
                step_and_reason(Side::Receive, failure),
                cause(failure),
                next_step(target, Side::Receive, failure, &self.place)
            ),
            None => {
                let delay = self.notice.as_ref();
                let delay = delay.map(|notice| {
                    format!(", and a delivery report says that it is delayed: {}", words_of(notice))
                });
                format!(
                    "{name} accepted the mail (\"{}\"), but it was not seen in the mailbox within {}{}; \
                     {}",
                    text::cut_to(reply, CAUSE_CHARS),
                    seconds(waited),
                    delay.unwrap_or_default(),
                    next_step_for_late_mail(target, self.lacks_junk_folder)
                )
            }
        }
    }

    fn cannot(&self, target: &Target, side: Side, failure: &Failure) -> String {
        let (name, cause) = (&target.name, cause(failure));
        let place = step_and_reason(side, failure);
        if failure.shortage.is_some() {
            let advice = next_step(target, side, failure, &self.place);
            return format!("{name} was not tested ({place}): {cause}; {advice}");
        }
        if target.passive && failure.down {
            return format!("{name} is passive and down: not applicable ({place}): {cause}");
        }
        let advice = next_step(target, side, failure, &self.place);
        format!("{name} cannot {side} ({place}): {cause}; {advice}")
    }
}

/// Where it happened and why, in the words of the labels.
fn step_and_reason(side: Side, failure: &Failure) -> String {
    format!("side {side}, step {}, reason {}", failure.step, failure.reason)
}

/// What a report says: `5.1.1, mx.example.com, "550 5.1.1 no such user"`, as far as it does.
fn words_of(notice: &DeliveryReport) -> String {
    let words = notice.text.as_ref().map(|text| format!("\"{}\"", text::cut_to(text, CAUSE_CHARS)));
    let code = notice.code.clone().unwrap_or_else(|| "no code".to_owned());
    let parts: Vec<String> =
        [Some(code), notice.remote_server.clone(), words].into_iter().flatten().collect();
    parts.join(", ")
}

fn cause(failure: &Failure) -> String {
    text::cut_to(&failure.message, CAUSE_CHARS)
}
