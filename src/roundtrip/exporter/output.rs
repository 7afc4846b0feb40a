//! The three outputs of what an exporter has measured.

use std::io::Write;

use serde_json::{Value, json};

use super::Address;
use super::answer::SideReport;
use super::result::Finding;
use crate::roundtrip::nagios;
use crate::roundtrip::state::{State, Thresholds};
use crate::roundtrip::terminal::{Look, Terminal};
use ledger::Side;
use mail::options::BracketedHost;

/// For people.
pub fn show<W: Write>(finding: &Finding, address: &Address, terminal: &mut Terminal<W>) {
    let rest = format!(": as the exporter at {address} has measured it");
    terminal.line(&[(Look::Strong, &finding.report.name), (Look::Plain, &rest)]);
    for side in [Side::Receive, Side::Send] {
        let (label, words) = (format!("{:<9}", side.label()), side_words(finding, side));
        terminal.line(&[(Look::Strong, &label), (Look::Plain, &words)]);
    }
    let look = if finding.state == State::Ok { Look::Good } else { Look::Bad };
    for sentence in &finding.sentences {
        terminal.paragraph(&[(look, "Verdict: "), (Look::Plain, sentence)]);
    }
}

fn side_words(finding: &Finding, side: Side) -> String {
    let report = finding.report.side(side);
    let SideReport { protocol, host, port, last_attempt, last_success, .. } = report;
    let ability = match finding.report.ability(side) {
        Some(percent) => format!("{percent:.0} %"),
        None => "not measured".to_owned(),
    };
    let time = |what: &str, at: &Option<String>| {
        at.as_ref().map_or_else(String::new, |at| format!(", {what} {at}"))
    };
    format!(
        "{} {}:{port}: {ability}{}{}",
        protocol,
        BracketedHost(host),
        time("last attempt", last_attempt),
        time("last success", last_success)
    )
}

/// For scripts: the members of a probe of our own, as far as they are known.
pub fn document(finding: &Finding, address: &Address) -> Value {
    let report = &finding.report;
    let newest = report.newest();
    let side = |side| {
        let it = report.side(side);
        let steps = it.steps.iter();
        let steps = steps.map(|step| json!({ "step": step.step, "seconds": step.seconds }));
        json!({
            "protocol": it.protocol,
            "host": it.host,
            "port": it.port,
            "ability_percent": report.ability(side),
            "last_attempt": it.last_attempt,
            "last_success": it.last_success,
            "steps": steps.collect::<Vec<Value>>(),
            "last_failure": it.last_failure.as_ref().map(|failure| json!({
                "at": failure.at,
                "step": failure.step,
                "reason": failure.reason,
                "down": failure.down,
                "shortage": failure.shortage,
                "message": failure.words,
                "advice": failure.advice,
            })),
        })
    };
    json!({
        "target": report.name,
        "successful": finding.is_successful(),
        "state": finding.state.label(),
        "verdict": finding.sentences.join("; "),
        "exporter": address.to_string(),
        "roundtrip_seconds": report.roundtrip_seconds,
        "late_messages": report.late_messages,
        "folder": newest.and_then(|probe| probe.folder.as_deref()),
        "sides": { "send": side(Side::Send), "receive": side(Side::Receive) },
    })
}

/// For Icinga, Nagios and their like: the line, with the same labels as that of a probe of our own.
pub fn line(finding: &Finding, thresholds: &Thresholds) -> String {
    let Finding { report, state, sentences } = finding;
    let limits = (Some(thresholds.warning_or(report.late_after())), thresholds.critical);
    let performance = [
        nagios::time("roundtrip", report.roundtrip(), limits),
        nagios::percent("send", report.ability(Side::Send)),
        nagios::percent("receive", report.ability(Side::Receive)),
        nagios::time("send_time", report.send_time(), (None, None)),
        nagios::time("receive_time", report.receive_time(), (None, None)),
    ];
    format!("{} | {}", nagios::status(*state, &sentences.join("; ")), performance.join(" "))
}
