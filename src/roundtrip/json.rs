//! The output for scripts: one JSON document. docs/probe.md says what its members mean.

use std::time::Duration;

use humantime::format_rfc3339_millis;
use serde_json::{Value, json};

use super::record::SideRecord;
use super::state::{State, Thresholds, is_successful, judge};
use super::verdict::{Arrival, Check, Ending, Removal, Sent, Verdict};
use super::way;
use crate::account::advice::next_step;
use crate::config::{Endpoint, Target};
use ledger::{Failure, Shortage, Side};
use ledger::{TlsFacts, certificate_date};

/// The document of a verdict; with the transcripts only if `shows_transcript`.
pub fn document(
    verdict: &Verdict,
    target: &Target,
    thresholds: &Thresholds,
    shows_transcript: bool,
) -> Value {
    let (state, _) = judge(verdict, target, thresholds);
    let sentences = verdict.sentences(target, thresholds);
    let (roundtrip, folder) = match verdict.arrival {
        Arrival::Seen { roundtrip, folder } => (Some(roundtrip), Some(folder.label())),
        _ => (None, None),
    };
    let bytes = match verdict.sent {
        Sent::Accepted { bytes, .. } => Some(bytes),
        _ => None,
    };
    let side = |side| document_side(verdict, target, side, shows_transcript);
    json!({
        "target": target.name.as_str(),
        "successful": is_successful(verdict, target, thresholds),
        "state": state.label(),
        "verdict": sentences.join("; "),
        "remark": verdict.left_behind(target),
        "ending": match verdict.ending {
            Ending::Complete => "complete",
            Ending::Interrupted => "interrupted",
            Ending::OutOfTime(_) | Ending::LackedTime(_) => "out_of_time",
        },
        "began": format_rfc3339_millis(verdict.began).to_string(),
        "ended": format_rfc3339_millis(verdict.began + verdict.took).to_string(),
        "duration_seconds": seconds(verdict.took),
        "roundtrip_seconds": roundtrip.map(seconds),
        "folder": folder,
        "mail": {
            "from": target.from.to_string(),
            "to": target.to.to_string(),
            "token": verdict.token.to_string(),
            "subject": target.subject(verdict.token, verdict.written),
            "bytes": bytes,
        },
        "expectation": verdict.expectation(target).map(|(expected, shown)| json!({
            "expect": expected.outcome.label(),
            "met": shown.is_met.value(),
            "words": shown.words,
        })),
        "way": verdict.way.as_ref().map(way::document),
        "report": verdict.notice.as_ref().map(|notice| json!({
            "action": notice.action.label(),
            "code": notice.code,
            "remote_server": notice.remote_server,
            "words": notice.text,
        })),
        "sender_mailbox": target.sender_mailbox.as_deref().map(|_| json!({
            "failure": verdict.sender_mailbox_failure.as_ref().map(|failure| json!({
                "step": failure.step.label(),
                "reason": failure.reason.label(),
                "message": failure.message,
            })),
        })),
        "sides": { "send": side(Side::Send), "receive": side(Side::Receive) },
    })
}

/// The document of a probe that could not begin.
pub fn not_begun(target: Option<&str>, problem: &str) -> Value {
    json!({
        "target": target,
        "successful": false,
        "state": State::Unknown.label(),
        "verdict": problem,
    })
}

fn document_side(verdict: &Verdict, target: &Target, side: Side, shows_transcript: bool) -> Value {
    let record = verdict.side(side);
    let (protocol, endpoint) = match (side, &target.receive) {
        (Side::Send, _) => ("smtp", &target.send.endpoint),
        (Side::Receive, Some(side)) => (side.protocol.label(), &side.endpoint),
        (Side::Receive, None) => return Value::Null,
    };
    let Endpoint { host, port, .. } = endpoint;
    let steps = record.steps.iter();
    let steps =
        steps.map(|(step, took)| json!({ "step": step.label(), "seconds": seconds(*took) }));
    let mut document = json!({
        "protocol": protocol,
        "host": host,
        "port": port,
        "address": record.address.map(|address| address.ip().to_string()),
        "outcome": outcome(verdict, side),
        "steps": steps.collect::<Vec<Value>>(),
        "failure": verdict.failure(side).map(|failure| {
            let advice = next_step(target, side, failure, &verdict.place);
            document_failure(failure, record, advice)
        }),
        "tls": record.tls.as_ref().map(document_tls),
    });
    let Some(members) = document.as_object_mut() else { return document };
    if let (Side::Send, Sent::Accepted { reply, .. }) = (side, &verdict.sent) {
        members.insert("reply".to_owned(), json!(reply));
    }
    if shows_transcript {
        members.insert("transcript".to_owned(), json!(record.transcript));
        members.insert("transcript_lines_left_out".to_owned(), json!(record.left_out));
    }
    document
}

fn outcome(verdict: &Verdict, side: Side) -> &'static str {
    match side {
        Side::Send => match &verdict.sent {
            Sent::NotTried => "not_tried",
            Sent::Unfinished => "unfinished",
            Sent::Accepted { .. } => "accepted",
            Sent::Consented(_) => "consented",
            Sent::NotAccepted(_) => "not_accepted",
            Sent::Doubtful(_) => "doubtful",
        },
        Side::Receive => match (&verdict.mailbox, verdict.arrival, &verdict.removal) {
            (Check::Unfinished, ..) => "unfinished",
            (Check::Failed(_), ..) => "failed",
            (Check::Passed, Arrival::NotAwaited, _) => "readable",
            (Check::Passed, Arrival::NotSeen(_), _) => "not_seen",
            (Check::Passed, Arrival::Bounced(_), _) => "bounced",
            (Check::Passed, Arrival::Seen { .. }, Removal::Done) => "removed",
            (Check::Passed, Arrival::Seen { .. }, _) => "not_removed",
        },
    }
}

fn document_failure(failure: &Failure, record: &SideRecord, advice: String) -> Value {
    json!({
        "step": failure.step.label(),
        "reason": failure.reason.label(),
        "down": failure.down,
        "shortage": failure.shortage.map(Shortage::label),
        "message": failure.message,
        "server_words": record.words,
        "advice": advice,
    })
}

fn document_tls(facts: &TlsFacts) -> Value {
    json!({
        "version": facts.version,
        "cipher": facts.cipher,
        "certificate_not_after": certificate_date(facts.leaf_not_after),
        "chain_not_after": certificate_date(facts.chain_not_after),
    })
}

/// To the microsecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}
