//! The targets as JSON. Times are RFC 3339 in UTC, durations are seconds as numbers, and what is
//! unknown or not applicable is null. The names of the fields are public and stable.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::absence::roundtrip_absence;
use super::condition::condition_of;
use super::mount::PathPrefix;
use super::paths::{self, TARGET_REPORTS};
use crate::account::advice::next_step;
use crate::account::history::{Check, Evidence, FailedLook, Probe, Steps, Transcript};
use crate::config::{Endpoint, LOCATION};
use crate::supervisor::{Details, View};
use expectation::ExpectationRecord;
use inspection::InspectionRecord;
use layers::{ChecksRecord, ColumnRecord};
use ledger::{DeliveryReport, FoundIn, OutstandingMail, SideState};
use ledger::{Failure, Shortage, Side, Step};
use ledger::{TlsFacts, certificate_date};
use mail::shortage::news as shortages;
use mail::text;
use standing::{DomainRecord, ListRecord};
use values::{absence_name, condition_name, date, queue_name, seconds};

pub(in crate::web) mod discovery;
mod expectation;
pub(in crate::web) mod history;
mod inspection;
mod layers;
pub(in crate::web) mod listing;
mod standing;
mod values;

/// One target with what happened lately, newest first.
#[derive(Serialize)]
pub(in crate::web) struct Report<'a> {
    #[serde(flatten)]
    overview: Overview<'a>,
    history_path: String,
    badge_path: String,
    outstanding: Vec<Outstanding>,
    probes: Vec<ProbeRecord>,
    checks: Vec<CheckRecord>,
    failed_looks: Vec<LookRecord>,
    layer_checks: ChecksRecord<'a>,
    newest_report: Option<DsnRecord<'a>>,
    inspection: Option<InspectionRecord<'a>>,
    /// What must become of its mails, and whether it does; `None`: they are to be delivered.
    expectation: Option<ExpectationRecord<'a>>,
    dnsbl: Option<Vec<ListRecord<'a>>>,
    domain_checks: Option<Vec<DomainRecord<'a>>>,
    /// `None`: not for this client.
    transcripts: Option<Vec<TranscriptRecord<'a>>>,
}

/// An answer without a target.
#[derive(Serialize)]
pub(in crate::web) struct Problem {
    error: String,
}

/// What the exporter itself is short of now.
#[derive(Serialize)]
struct ShortageRecord {
    resource: &'static str,
    /// How often it was met since it began.
    times: u64,
    /// When it was last met, so long ago.
    age_seconds: f64,
    words: String,
}

#[derive(Serialize)]
struct Overview<'a> {
    name: &'a str,
    path: String,
    passive: bool,
    cluster: Option<&'a str>,
    /// From where it is tested.
    location: Option<&'a str>,
    interval_seconds: f64,
    late_after_seconds: f64,
    next_mail: Option<String>,
    /// What a mail waits for that is due.
    waits_for: Option<&'static str>,
    condition: &'static str,
    send_ability_percent: Option<f64>,
    receive_ability_percent: Option<f64>,
    outstanding_messages: Option<usize>,
    oldest_outstanding: Option<String>,
    late_messages: usize,
    roundtrip_seconds: Option<f64>,
    /// Why there is no round trip; `None` where there is one.
    roundtrip_absence: Option<&'static str>,
    delivery_seconds: Option<f64>,
    layers: ColumnRecord,
    send: SideRecord<'a>,
    /// `None`: nobody looks for its mails.
    receive: Option<SideRecord<'a>>,
}

#[derive(Serialize)]
struct SideRecord<'a> {
    protocol: &'static str,
    host: &'a str,
    port: u16,
    /// The one that answered the newest attempt.
    address: Option<IpAddr>,
    up: Option<bool>,
    consecutive_failures: Option<u32>,
    last_attempt: Option<String>,
    last_success: Option<String>,
    steps: Vec<StepRecord>,
    last_failure: Option<DatedFailure>,
    tls: Option<TlsRecord<'a>>,
}

#[derive(Serialize)]
struct StepRecord {
    step: &'static str,
    seconds: f64,
}

#[derive(Serialize)]
struct DatedFailure {
    at: String,
    #[serde(flatten)]
    failure: FailureRecord,
    /// What to look at next.
    advice: String,
}

#[derive(Serialize)]
struct FailureRecord {
    step: &'static str,
    reason: &'static str,
    down: bool,
    /// What the exporter itself was short of, if that was it.
    shortage: Option<&'static str>,
    words: String,
}

#[derive(Serialize)]
struct TlsRecord<'a> {
    version: &'static str,
    cipher: &'a str,
    certificate_not_after: Option<String>,
    chain_not_after: Option<String>,
}

#[derive(Serialize)]
struct Outstanding {
    token: String,
    accepted: String,
    age_seconds: f64,
    late: bool,
}

#[derive(Serialize)]
struct ProbeRecord {
    token: String,
    began: String,
    outcome: &'static str,
    late: bool,
    accepted_after_seconds: Option<f64>,
    delivery_seconds: Option<f64>,
    roundtrip_seconds: Option<f64>,
    folder: Option<&'static str>,
    ended: Option<String>,
    steps: Vec<StepRecord>,
    failure: Option<FailureRecord>,
    report: Option<String>,
}

#[derive(Serialize)]
struct CheckRecord {
    began: String,
    passed: bool,
    steps: Vec<StepRecord>,
    failure: Option<FailureRecord>,
}

#[derive(Serialize)]
struct LookRecord {
    at: String,
    #[serde(flatten)]
    failure: FailureRecord,
}

#[derive(Serialize)]
struct DsnRecord<'a> {
    at: String,
    token: String,
    action: &'static str,
    code: Option<&'a str>,
    remote_server: Option<&'a str>,
    words: Option<&'a str>,
}

#[derive(Serialize)]
struct TranscriptRecord<'a> {
    dialogue: &'static str,
    failed: bool,
    ended: String,
    token: Option<String>,
    /// `None`: it had to make room for those of other targets.
    text: Option<&'a str>,
}

impl ShortageRecord {
    /// All of them; none as a rule.
    fn current() -> impl Iterator<Item = Self> {
        shortages::current().into_iter().map(|current| Self {
            resource: current.shortage.label(),
            times: current.times,
            age_seconds: current.ago.as_secs_f64(),
            words: format!(
                "{}; {}",
                current.shortage.words(),
                mail::shortage::advice(current.shortage)
            ),
        })
    }
}

impl<'a> Report<'a> {
    /// Its links begin with `base`. Transcripts are included only if `shows_transcripts`.
    pub(in crate::web) fn new(
        details: &'a Details,
        base: &PathPrefix,
        shows_transcripts: bool,
        now: SystemTime,
    ) -> Self {
        let Evidence { probes, checks, failed_looks, transcripts } = &details.evidence;
        let notice = details.view.snapshot.last_report.as_ref();
        Self {
            overview: Overview::new(&details.view, base),
            history_path: format!("{base}{}", paths::of_history(&details.view.target.name)),
            badge_path: format!("{base}{}", paths::of_badge(&details.view.target.name)),
            outstanding: details.awaited.iter().map(|mail| Outstanding::new(mail, now)).collect(),
            probes: probes.iter().map(ProbeRecord::new).collect(),
            checks: checks.iter().map(CheckRecord::new).collect(),
            failed_looks: failed_looks.iter().map(LookRecord::new).collect(),
            layer_checks: ChecksRecord::new(&details.view.layers),
            newest_report: notice.map(|it| DsnRecord::new(it.0, &it.1)),
            inspection: details
                .view
                .inspection
                .as_deref()
                .map(|one| InspectionRecord::new(one, details.view.usual.as_deref())),
            expectation: details.view.snapshot.expectation.as_ref().map(ExpectationRecord::new),
            dnsbl: ListRecord::all(&details.view),
            domain_checks: DomainRecord::all(&details.view),
            transcripts: shows_transcripts
                .then(|| transcripts.iter().map(TranscriptRecord::new).collect()),
        }
    }
}

impl Problem {
    pub(in crate::web) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }
}

impl<'a> Overview<'a> {
    fn new(view: &'a View, base: &PathPrefix) -> Self {
        let View { target, snapshot, .. } = view;
        let percent = |share: f64| share * 100.0;
        let able = |is_able: bool| if is_able { 100.0 } else { 0.0 };
        Self {
            name: target.name.as_str(),
            path: format!("{base}{}", paths::of_target(TARGET_REPORTS, &target.name)),
            passive: target.passive,
            cluster: target.cluster.as_deref(),
            location: target.labels.get(LOCATION).map(String::as_str),
            interval_seconds: snapshot.interval.as_secs_f64(),
            late_after_seconds: target.late_after.as_secs_f64(),
            next_mail: view.next_mail_at().map(date),
            waits_for: view.waits_for.and_then(queue_name),
            condition: condition_name(condition_of(view)),
            send_ability_percent: snapshot.send_ability.value().map(percent),
            receive_ability_percent: snapshot.receive_ability.value().map(able),
            outstanding_messages: snapshot.outstanding.value(),
            oldest_outstanding: snapshot.oldest_outstanding.map(date),
            late_messages: snapshot.late_outstanding,
            roundtrip_seconds: snapshot.roundtrip.value().map(seconds),
            roundtrip_absence: roundtrip_absence(snapshot).map(absence_name),
            delivery_seconds: snapshot.delivery.map(seconds),
            layers: ColumnRecord::new(view),
            send: SideRecord::new(view, Side::Send, "smtp", &target.send.endpoint),
            receive: target.receive.as_ref().map(|side| {
                SideRecord::new(view, Side::Receive, side.protocol.label(), &side.endpoint)
            }),
        }
    }
}

impl<'a> SideRecord<'a> {
    fn new(
        View { target, snapshot, .. }: &'a View,
        side: Side,
        protocol: &'static str,
        endpoint: &'a Endpoint,
    ) -> Self {
        let state: &SideState = &snapshot.sides[side];
        let failure = |(at, failure): &(SystemTime, Arc<Failure>)| DatedFailure {
            at: date(*at),
            failure: FailureRecord::new(failure),
            advice: next_step(target, side, failure, "the configuration"),
        };
        let steps = state.steps.iter().map(|(step, time)| StepRecord::new(*step, *time));
        Self {
            protocol,
            host: &endpoint.host,
            port: endpoint.port,
            address: state.address.map(|address| address.ip()),
            up: state.up,
            consecutive_failures: state.consecutive_failures.value(),
            last_attempt: state.last_attempt.map(date),
            last_success: state.last_success.map(date),
            steps: steps.collect(),
            last_failure: state.last_failure.as_ref().map(failure),
            tls: state.tls.as_deref().map(TlsRecord::new),
        }
    }
}

impl StepRecord {
    fn new(step: Step, time: Duration) -> Self {
        Self { step: step.label(), seconds: seconds(time) }
    }

    fn all(steps: &Steps) -> Vec<Self> {
        steps.iter().map(|time| Self::new(time.step, time.duration())).collect()
    }
}

impl FailureRecord {
    fn new(failure: &Failure) -> Self {
        Self {
            step: failure.step.label(),
            reason: failure.reason.label(),
            down: failure.down,
            shortage: failure.shortage.map(Shortage::label),
            // Escaped and cut where it was read; not relied on here.
            words: text::shown(failure.message.as_bytes()),
        }
    }
}

impl<'a> TlsRecord<'a> {
    fn new(facts: &'a TlsFacts) -> Self {
        Self {
            version: facts.version,
            cipher: &facts.cipher,
            certificate_not_after: certificate_date(facts.leaf_not_after),
            chain_not_after: certificate_date(facts.chain_not_after),
        }
    }
}

impl Outstanding {
    fn new(mail: &OutstandingMail, now: SystemTime) -> Self {
        Self {
            token: mail.token.to_string(),
            accepted: date(mail.accepted),
            // A clock that was set back gives no negative age.
            age_seconds: seconds(now.duration_since(mail.accepted).unwrap_or_default()),
            late: mail.is_late,
        }
    }
}

impl ProbeRecord {
    fn new(probe: &Probe) -> Self {
        Self {
            token: probe.token.to_string(),
            began: date(probe.began),
            outcome: probe.outcome().label(),
            late: probe.is_late,
            accepted_after_seconds: probe.accepted_after.map(seconds),
            delivery_seconds: probe.delivery().map(seconds),
            roundtrip_seconds: probe.roundtrip.map(seconds),
            folder: probe.folder.map(FoundIn::label),
            ended: probe.ended.map(date),
            steps: StepRecord::all(&probe.steps),
            failure: probe.failure.as_deref().map(FailureRecord::new),
            report: probe.report.as_ref().map(|words| text::shown(words.as_bytes())),
        }
    }
}

impl CheckRecord {
    fn new(check: &Check) -> Self {
        Self {
            began: date(check.began),
            passed: check.failure.is_none(),
            steps: StepRecord::all(&check.steps),
            failure: check.failure.as_deref().map(FailureRecord::new),
        }
    }
}

impl LookRecord {
    fn new(look: &FailedLook) -> Self {
        Self { at: date(look.at), failure: FailureRecord::new(&look.failure) }
    }
}

impl<'a> DsnRecord<'a> {
    fn new(at: SystemTime, notice: &'a DeliveryReport) -> Self {
        Self {
            at: date(at),
            token: notice.token.to_string(),
            action: notice.action.label(),
            code: notice.code.as_deref(),
            remote_server: notice.remote_server.as_deref(),
            words: notice.text.as_deref(),
        }
    }
}

impl<'a> TranscriptRecord<'a> {
    fn new(transcript: &'a Transcript) -> Self {
        Self {
            dialogue: transcript.kind.label(),
            failed: transcript.has_failed,
            ended: date(transcript.ended),
            token: transcript.token.map(|token| token.to_string()),
            text: transcript.text.as_deref(),
        }
    }
}
