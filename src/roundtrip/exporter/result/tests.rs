use serde_json::{Value, json};

use super::*;
use crate::roundtrip::exporter::{Address, document, line};

/// What an exporter says of a target that is well, with other values.
fn report(condition: &str, changes: &[(&str, Value)]) -> Report {
    let failure = json!({
        "at": "2026-01-01T00:00:00.000Z", "step": "auth", "reason": "auth", "down": false,
        "shortage": null, "words": "535 no | more\\u{1b}", "advice": "check the password",
    });
    let side = json!({
        "protocol": "imap", "host": "h.example", "port": 143, "address": null, "up": true,
        "last_attempt": "2026-01-01T00:00:00.000Z", "last_success": null, "last_failure": failure,
        "steps": [{ "step": "auth", "seconds": 0.25 }, { "step": "remove", "seconds": 9.0 }],
    });
    let mut report = json!({
        "name": "corp", "path": "/api/targets/corp", "passive": false, "late_after_seconds": 30.0,
        "condition": condition, "send_ability_percent": 100.0, "receive_ability_percent": 100.0,
        "late_messages": 0, "roundtrip_seconds": 2.5, "roundtrip_absence": null,
        "send": side, "receive": side,
        "probes": [mail("outstanding", false), mail("received", true)],
    });
    for (pointer, value) in changes {
        *report.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(report).unwrap()
}

fn mail(outcome: &str, has_ended: bool) -> Value {
    json!({
        "outcome": outcome, "accepted_after_seconds": 0.5, "folder": null, "report": null,
        "ended": has_ended.then_some("2026-01-01T00:00:00.000Z"),
    })
}

#[test]
fn each_condition_has_its_state_and_words_that_agree() {
    let none = Value::Null;
    let limits = |warning: u64, critical: u64| Thresholds {
        warning: Some(Duration::from_secs(warning)),
        critical: Some(Duration::from_secs(critical)),
    };
    let (few, most) = (Thresholds::default(), limits(1, 2));
    let roundtrip = |value: Value, absence: &str| {
        [("/roundtrip_seconds", value), ("/roundtrip_absence", json!(absence))]
    };
    let no_receive = [("/receive_ability_percent", json!(0.0))];
    let down =
        [("/receive_ability_percent", none.clone()), ("/receive/last_failure/down", json!(true))];
    let short = [
        ("/send_ability_percent", none.clone()),
        ("/send/last_failure/shortage", json!("descriptors")),
    ];
    let slow = [("/roundtrip_seconds", json!(45.0))];
    for (condition, changes, limits, state, words) in [
        ("well", &[][..], &few, State::Ok, "corp works: received after 2.5"),
        ("impaired", &[], &few, State::Ok, "corp works: received after 2.5"),
        ("well", &slow, &few, State::Warning, "corp is slow: received after 45 s, more than 30 s"),
        ("well", &[], &limits(1, 20), State::Warning, "corp is slow: received after 2.5"),
        ("well", &[], &most, State::Critical, "corp is too slow: received after 2.5"),
        ("well", &[("/probes/1/folder", json!("junk"))], &few, State::Warning, "corp delivers: "),
        (
            "well",
            &roundtrip(none.clone(), "no_mail_lately"),
            &few,
            State::Unknown,
            "was not tested",
        ),
        (
            "unmeasured",
            &[],
            &few,
            State::Unknown,
            "corp was not tested by the exporter: its newest",
        ),
        ("unmeasured", &short, &few, State::Unknown, "reason auth): 535 no | more"),
        ("failing", &no_receive, &few, State::Critical, "corp cannot receive (side receive, step "),
        (
            "not_applicable",
            &down,
            &few,
            State::Ok,
            "corp is passive and down: not applicable (side ",
        ),
        ("late", &[("/late_messages", json!(2))], &few, State::Critical, "30 s: 2 mails are late"),
        ("well", &[("/probes/1", mail("lost", true))], &few, State::Critical, "is given up"),
        ("impaired", &[("/probes/1", mail("bounced", true))], &few, State::Critical, "it bounced"),
        ("well", &[("/probes/0", mail("lost", false))], &few, State::Ok, "corp works: "),
    ] {
        let finding = Finding::of(report(condition, changes), limits);
        let said = finding.sentences.join("; ");
        assert_eq!(finding.state, state, "{condition} {changes:?}: {said}");
        assert!(said.contains(words), "{condition} {changes:?}: {said}");
        assert_eq!(said.contains("works"), state == State::Ok && condition != "not_applicable");
        let is_delivered =
            said.contains("works") || said.contains("is slow") || said.contains("delivers");
        assert_eq!(finding.is_successful(), is_delivered, "{said}");
        let address = Address::parse("http://127.0.0.1:9925").unwrap();
        let document = document(&finding, &address);
        assert_eq!(
            (&document["state"], &document["verdict"]),
            (&json!(state.label()), &json!(said))
        );
    }
}

#[test]
fn the_line_has_the_labels_of_a_probe_and_no_bar_of_the_exporter() {
    let finding = Finding::of(
        report(
            "failing",
            &[("/send_ability_percent", json!(50.0)), ("/roundtrip_seconds", Value::Null)],
        ),
        &Thresholds::default(),
    );
    assert_eq!(
        line(&finding, &Thresholds::default()),
        "MAILTRIP CRITICAL - corp cannot send (side send, step auth, reason auth): 535 no / more\\u{1b}; \
         check the password | roundtrip=U;30;;0 send=50%;;;0;100 receive=100%;;;0;100 \
         send_time=0.500s;;;0 receive_time=0.250s;;;0"
    );
}
