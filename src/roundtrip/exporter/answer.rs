//! What an exporter says of a target, as far as it counts here. `web::api` writes it; a name of this one that
//! it does not write is null.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::time::Duration;

use crate::roundtrip::arguments::LONGEST;
use ledger::{Condition, Side};
use mail::text;

/// The most characters of what is wrong with an answer.
const WRONG_CHARS: usize = 120;

/// A target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Report {
    pub(super) name: String,
    pub(super) late_after_seconds: f64,
    #[serde(deserialize_with = "condition")]
    pub(super) condition: Condition,
    pub(super) send_ability_percent: Option<f64>,
    pub(super) receive_ability_percent: Option<f64>,
    pub(super) late_messages: usize,
    pub(super) roundtrip_seconds: Option<f64>,
    pub(super) roundtrip_absence: Option<String>,
    /// `None`: mails are to be delivered.
    pub(super) expectation: Option<ExpectationReport>,
    pub(super) send: SideReport,
    /// Of a target without a mailbox it says nothing.
    #[serde(deserialize_with = "or_nothing")]
    pub(super) receive: SideReport,
    /// The mails under way.
    pub(super) outstanding: Vec<OutstandingReport>,
    /// The newest first.
    pub(super) probes: Vec<ProbeReport>,
    /// Of the mailbox, the newest first.
    pub(super) checks: Vec<CheckReport>,
}

/// Whether what must not pass passes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ExpectationReport {
    pub(super) expect: String,
    /// `None`: nothing is proved.
    pub(super) met: Option<bool>,
    pub(super) words: String,
}

/// A mail under way.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct OutstandingReport {
    pub(super) age_seconds: f64,
}

/// A check of the mailbox.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct CheckReport {
    pub(super) failure: Option<CauseReport>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct CauseReport {
    pub(super) step: String,
    pub(super) reason: String,
    pub(super) down: bool,
    pub(super) words: String,
}

/// A side of it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(super) struct SideReport {
    pub(super) protocol: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) last_attempt: Option<String>,
    pub(super) last_success: Option<String>,
    pub(super) steps: Vec<StepReport>,
    pub(super) last_failure: Option<FailureReport>,
}

/// A step of its newest attempt.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct StepReport {
    pub(super) step: String,
    pub(super) seconds: f64,
}

/// Why it failed last.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct FailureReport {
    pub(super) at: String,
    pub(super) step: String,
    pub(super) reason: String,
    pub(super) down: bool,
    pub(super) shortage: Option<String>,
    pub(super) words: String,
    pub(super) advice: String,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ProbeReport {
    pub(super) outcome: String,
    pub(super) accepted_after_seconds: Option<f64>,
    pub(super) folder: Option<String>,
    pub(super) ended: Option<String>,
    pub(super) report: Option<String>,
    pub(super) failure: Option<CauseReport>,
}

/// An answer without a target.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    pub(super) error: String,
}

/// A side, if there is one.
fn or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SideReport, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A condition by its label.
fn condition<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
    let label = String::deserialize(deserializer)?;
    let known = Condition::ALL.into_iter().find(|condition| condition.label() == label);
    known.ok_or_else(|| D::Error::custom(format!("unknown condition `{label}`")))
}

impl Report {
    /// Reads it; what could fool a reader is escaped.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        let mut value: Value = serde_json::from_slice(body).map_err(|_| "no JSON".to_owned())?;
        escape(&mut value);
        let report: Self = serde_json::from_value(value)
            .map_err(|error| text::cut_to(&error.to_string(), WRONG_CHARS))?;
        report
            .has_good_numbers()
            .then_some(report)
            .ok_or_else(|| "a number is out of range".to_owned())
    }

    fn has_good_numbers(&self) -> bool {
        let percents = [self.send_ability_percent, self.receive_ability_percent];
        let steps = self.send.steps.iter().chain(&self.receive.steps).map(|step| step.seconds);
        let probes = self.probes.iter().filter_map(|probe| probe.accepted_after_seconds);
        let ages = self.outstanding.iter().map(|mail| mail.age_seconds);
        let of_target = [Some(self.late_after_seconds), self.roundtrip_seconds];
        let mut seconds = of_target.into_iter().flatten().chain(steps).chain(probes).chain(ages);
        percents.into_iter().flatten().all(|percent| (0.0..=100.0).contains(&percent))
            && seconds.all(|seconds| (0.0..=LONGEST.as_secs_f64()).contains(&seconds))
    }

    /// How long the oldest mail has been under way.
    pub(super) fn oldest_age(&self) -> Option<Duration> {
        self.outstanding.iter().filter_map(|mail| duration(mail.age_seconds)).max()
    }

    /// Why the newest attempt of this side that found it down did so.
    pub(super) fn why_down(&self, side: Side) -> Option<&CauseReport> {
        let is_down = |cause: &&CauseReport| cause.down;
        match side {
            Side::Send => self.probes.iter().find_map(|it| it.failure.as_ref().filter(is_down)),
            Side::Receive => self.checks.iter().find_map(|it| it.failure.as_ref().filter(is_down)),
        }
    }

    /// What it says of a side.
    pub(super) fn side(&self, side: Side) -> &SideReport {
        match side {
            Side::Send => &self.send,
            Side::Receive => &self.receive,
        }
    }

    /// Of the mails, or the checks, of the newest period; `None`: not measured, or not applicable.
    pub(super) fn ability(&self, side: Side) -> Option<f64> {
        match side {
            Side::Send => self.send_ability_percent,
            Side::Receive => self.receive_ability_percent,
        }
    }

    /// The newest mail whose fate is known.
    pub(super) fn newest(&self) -> Option<&ProbeReport> {
        self.probes.iter().find(|probe| probe.ended.is_some())
    }

    /// How long the newest mail took to be handed over, where they are.
    pub(super) fn send_time(&self) -> Option<Duration> {
        self.ability(Side::Send).filter(|percent| *percent > 0.0)?;
        duration(self.probes.iter().find_map(|probe| probe.accepted_after_seconds)?)
    }

    /// How long the newest check of the mailbox took, if it passed.
    pub(super) fn receive_time(&self) -> Option<Duration> {
        self.ability(Side::Receive).filter(|percent| *percent > 0.0)?;
        self.receive.time()
    }

    /// The newest round trip that still holds.
    pub(super) fn roundtrip(&self) -> Option<Duration> {
        duration(self.roundtrip_seconds?)
    }

    pub(super) fn late_after(&self) -> Duration {
        duration(self.late_after_seconds).unwrap_or(Duration::MAX)
    }
}

impl SideReport {
    /// How long its newest attempt took, up to the last step that is no removal.
    fn time(&self) -> Option<Duration> {
        let steps = self.steps.iter().filter(|step| step.step != ledger::Step::Remove.label());
        let sum = steps.map(|step| step.seconds).reduce(|sum, more| sum + more)?;
        duration(sum)
    }
}

/// What an exporter says is from elsewhere.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = text::shown(text.as_bytes()),
        Value::Array(values) => values.iter_mut().for_each(escape),
        Value::Object(members) => members.values_mut().for_each(escape),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
