//! A verdict in sentences, each with what to look at next.

use std::time::Duration;

use super::{Arrival, Check, Ending, Removal, Sent, Verdict, seconds, time_needed};
use crate::account::advice::{next_step, next_step_for_bounce, next_step_for_late_mail};
use crate::config::Target;
use crate::roundtrip::state::{State, Thresholds, judge};
use ledger::{DeliveryReport, FoundIn};
use ledger::{Failure, Side};
use mail::text;

/// The most characters of a cause that a sentence holds: what to look at comes after it.
const CAUSE_CHARS: usize = 300;

impl Verdict {
    /// The verdict, a sentence for each thing that is wrong, or one that nothing is. The words are those of
    /// the state that it is judged to be.
    pub fn sentences(&self, target: &Target, thresholds: &Thresholds) -> Vec<String> {
        if let Some(untested) = self.lacked_time(target, thresholds) {
            return vec![untested];
        }
        if let Some(sentence) = self.expectation_in_words(target) {
            return vec![sentence];
        }
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
                    _ => self.unknown_fate(target),
                };
                sentences.push(format!("{}; {fate}", self.cannot(target, Side::Send, failure)));
            }
            Sent::NotTried | Sent::Unfinished | Sent::Accepted { .. } | Sent::Consented(_) => {}
        }
        sentences.extend(self.bounced(target));
        let delivery = self.delivery(target, thresholds);
        sentences.extend(self.cut_short(target, delivery.as_deref()));
        if let Removal::Failed(failure) = &self.removal {
            let is_slow = judge(self, target, thresholds).1.is_some();
            sentences.extend(delivery.clone().filter(|_| is_slow));
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
            sentences.extend(delivery);
        }
        sentences
    }

    /// That it had too little time to tell anything of its servers.
    fn lacked_time(&self, target: &Target, thresholds: &Thresholds) -> Option<String> {
        let Ending::LackedTime(limit) = self.ending else { return None };
        let is_unknown = judge(self, target, thresholds).0 == State::Unknown
            && self.failures().all(|failure| failure.shortage.is_none());
        let name = &target.name;
        is_unknown.then(|| format!("{name} was not fully tested: {}", too_short(target, limit)))
    }

    /// What is left to do about a mail that may turn up unobserved.
    pub fn left_behind(&self, target: &Target) -> Option<String> {
        let is_out = match self.sent {
            Sent::NotTried | Sent::NotAccepted(_) | Sent::Consented(_) => false,
            Sent::Unfinished | Sent::Accepted { .. } | Sent::Doubtful(_) => true,
        };
        if !is_out || self.removal == Removal::Done {
            return None;
        }
        if target.takes_replies() {
            return self.answer_left_behind(target);
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
            target.subject(self.token, self.written)
        ))
    }

    /// The same where an answer is waited for: no other process knows whose it is.
    fn answer_left_behind(&self, target: &Target) -> Option<String> {
        let what = match self.arrival {
            Arrival::Seen { .. } => "The answer is still in the mailbox",
            Arrival::Bounced(_) => return None,
            _ => "An answer may still come, and stays in the mailbox",
        };
        let subject = target.subject(self.token, self.written);
        Some(format!("{what}: delete what answers the mail with the subject \"{subject}\" by hand"))
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

    /// How the mail came.
    fn delivery(&self, target: &Target, thresholds: &Thresholds) -> Option<String> {
        let way = self.way()?;
        let name = &target.name;
        let (state, exceeded) = judge(self, target, thresholds);
        let limit =
            exceeded.map_or_else(String::new, |most| format!(", more than {}", seconds(most)));
        let verb = match (state, exceeded) {
            (State::Ok, _) => "works",
            (State::Critical, Some(_)) => "is too slow",
            (_, Some(_)) => "is slow",
            (_, None) => "delivers",
        };
        let folder = match self.arrival {
            Arrival::Seen { folder: FoundIn::Junk, .. } => ", but filed as junk",
            Arrival::Seen { folder: FoundIn::Other, .. } => {
                ", not in the inbox but in another folder"
            }
            _ => "",
        };
        Some(format!("{name} {verb}: {way}{limit}{folder}"))
    }

    /// How long both ways took.
    fn way(&self) -> Option<String> {
        let (Sent::Accepted { took, .. }, Arrival::Seen { roundtrip, .. }) =
            (&self.sent, self.arrival)
        else {
            return None;
        };
        Some(format!("sent in {}, received after {}", seconds(*took), seconds(roundtrip)))
    }

    fn bounced(&self, target: &Target) -> Option<String> {
        let (Arrival::Bounced(_), Some(notice)) = (self.arrival, &self.notice) else { return None };
        let advice = next_step_for_bounce(target, notice.code.as_deref());
        let name = &target.name;
        Some(format!("{name} accepted the mail, but it bounced: {}; {advice}", words_of(notice)))
    }

    /// Why the mail was not waited for to the end, or what is wrong if it was.
    fn cut_short(&self, target: &Target, delivery: Option<&str>) -> Option<String> {
        let name = &target.name;
        if self.is_not_applicable(target) && self.ending != Ending::Complete {
            let failure = self.look_failure.as_ref()?;
            return Some(self.cannot(target, Side::Receive, failure));
        }
        let cause = match self.ending {
            Ending::Interrupted => "interrupted".to_owned(),
            Ending::OutOfTime(limit) if self.is_held_back => format!(
                "the server allows the next login only {} s after the check (LOGIN-DELAY), and \
                 `--timeout` is {}; raise it above that",
                self.login_delay.kept().as_secs(),
                humantime::format_duration(limit),
            ),
            Ending::OutOfTime(limit) => format!(
                "`--timeout` ({}) expired; raise it to at least twice the `timeout` of the target \
                 ({})",
                humantime::format_duration(limit),
                humantime::format_duration(target.send.endpoint.timeout)
            ),
            Ending::LackedTime(limit) => too_short(target, limit),
            Ending::Complete => {
                let (Sent::Accepted { reply, .. }, Arrival::NotSeen(waited)) =
                    (&self.sent, self.arrival)
                else {
                    return None;
                };
                return Some(self.not_seen(target, reply, waited));
            }
        };
        let is_untested =
            self.ending == Ending::Interrupted || self.is_held_back || self.shortage().is_some();
        let cause = format!("{}{cause}", self.look_failed());
        Some(match delivery {
            Some(delivery) => format!("{delivery}, but the mail was not removed: {cause}"),
            None if is_untested => format!("{name} was not fully tested: {cause}"),
            None => format!("{name} did not pass: {cause}"),
        })
    }

    /// Of a mail that the server may have, and that was not seen.
    fn unknown_fate(&self, target: &Target) -> String {
        let unknown = "it is unknown whether the server has the mail";
        match &self.look_failure {
            Some(failure) if !self.is_standby_down(target, failure) => format!(
                "{unknown}, and the mailbox could not be read completely ({}): {}",
                step_and_reason(Side::Receive, failure),
                cause(failure)
            ),
            _ => unknown.to_owned(),
        }
    }

    /// Why the newest look failed, where the looks did not come to their end.
    fn look_failed(&self) -> String {
        let failure = self.look_failure.as_ref();
        failure.map_or_else(String::new, |failure| {
            format!("{} ({}); ", cause(failure), step_and_reason(Side::Receive, failure))
        })
    }

    fn not_seen(&self, target: &Target, reply: &str, waited: Duration) -> String {
        let name = &target.name;
        match &self.look_failure {
            Some(failure) if self.is_standby_down(target, failure) => {
                self.cannot(target, Side::Receive, failure)
            }
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
                let missing = match target.takes_replies() {
                    true => "no answer was",
                    false => "it was not",
                };
                format!(
                    "{name} accepted the mail (\"{}\"), but {missing} seen in the mailbox within {}{}; {}",
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
        if self.is_standby_down(target, failure) {
            return format!("{name} is passive and down: not applicable ({place}): {cause}");
        }
        let advice = next_step(target, side, failure, &self.place);
        format!("{name} cannot {side} ({place}): {cause}; {advice}")
    }
}

/// That others left it too little of this time.
fn too_short(target: &Target, limit: Duration) -> String {
    format!(
        "`--timeout` ({}) expired and had left it less time than it may need ({}); raise it",
        humantime::format_duration(limit),
        humantime::format_duration(time_needed(target))
    )
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
