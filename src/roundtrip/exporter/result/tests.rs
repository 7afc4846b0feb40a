use serde_json::{Value, json};

use super::*;
use crate::roundtrip::Terminal;
use crate::roundtrip::exporter::{Address, document, line, show};

/// What an exporter says of a target that is well, with other values.
fn answer(condition: &str, changes: &[(&str, Value)]) -> Value {
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
        "send": side, "receive": side, "outstanding": [{ "age_seconds": 1.0 }],
        "checks": [{ "failure": null }],
        "probes": [mail("outstanding", false), mail("received", true)],
    });
    for (pointer, value) in changes {
        *report.pointer_mut(pointer).unwrap() = value.clone();
    }
    report
}

fn report(condition: &str, changes: &[(&str, Value)]) -> Report {
    Report::read(answer(condition, changes).to_string().as_bytes()).unwrap()
}

fn mail(outcome: &str, has_ended: bool) -> Value {
    json!({
        "outcome": outcome, "accepted_after_seconds": 0.5, "folder": null, "report": null, "failure": null,
        "ended": has_ended.then_some("2026-01-01T00:00:00.000Z"),
    })
}

/// A condition, what else is said, the thresholds, and the state and the words that they come to.
type Case = (&'static str, Vec<(&'static str, Value)>, Thresholds, State, &'static str);

fn limits(warning: u64, critical: u64) -> Thresholds {
    Thresholds {
        warning: Some(Duration::from_secs(warning)),
        critical: Some(Duration::from_secs(critical)),
    }
}

/// Where mail comes, or nothing is known of it.
fn delivered() -> Vec<Case> {
    let none = Thresholds::default();
    let no_roundtrip =
        vec![("/roundtrip_seconds", Value::Null), ("/roundtrip_absence", json!("no_mail_lately"))];
    let short = vec![
        ("/send_ability_percent", Value::Null),
        ("/send/last_failure/shortage", json!("descriptors")),
    ];
    let slow = vec![("/roundtrip_seconds", json!(45.0))];
    let junk = vec![("/probes/1/folder", json!("junk"))];
    let age = |seconds: u64| vec![("/outstanding/0/age_seconds", json!(seconds))];
    let not_ended = vec![("/probes/0", mail("lost", false))];
    vec![
        ("well", vec![], none, State::Ok, "corp works: received after 2.5"),
        ("impaired", vec![], none, State::Ok, "; the exporter calls it impaired"),
        ("well", not_ended, none, State::Ok, "corp works: "),
        ("well", slow, none, State::Warning, "corp is slow: received after 45 s, more than 30 s"),
        ("well", vec![], limits(1, 20), State::Warning, "corp is slow: received after 2.5"),
        ("well", vec![], limits(1, 2), State::Critical, "corp is too slow: received after 2.5"),
        ("well", age(5), limits(4, 20), State::Warning, "is slow: a mail has been under way for 5"),
        ("well", age(25), limits(4, 20), State::Critical, "is too slow: a mail has been under way"),
        ("well", age(3), limits(2, 20), State::Warning, "corp is slow: a mail has been under way"),
        ("well", junk, none, State::Warning, "corp delivers: "),
        ("well", no_roundtrip, none, State::Unknown, "was not tested"),
        ("unmeasured", vec![], none, State::Unknown, "was not tested by the exporter: its newest"),
        ("unmeasured", short, none, State::Unknown, "reason auth): 535 no | more"),
    ]
}

/// Where mail does not come.
fn failed() -> Vec<Case> {
    let none = Thresholds::default();
    let no_receive = vec![("/receive_ability_percent", json!(0.0))];
    let cause = json!({ "step": "connect", "reason": "refused", "down": true, "words": "nobody" });
    let unexplained = "corp is failing, and the exporter does not say why";
    let down = vec![("/receive_ability_percent", Value::Null), ("/checks/0/failure", cause)];
    let late = vec![("/late_messages", json!(2))];
    let (lost, bounced) = (mail("lost", true), mail("bounced", true));
    let passive = "not applicable (side receive, step connect, reason refused): nobody";
    vec![
        ("failing", no_receive, none, State::Critical, "corp cannot receive (side receive, step "),
        ("failing", vec![], none, State::Critical, unexplained),
        ("not_applicable", down, none, State::Ok, passive),
        ("late", late, none, State::Critical, "30 s: 2 mails are late"),
        ("well", vec![("/probes/1", lost)], none, State::Critical, "is given up"),
        ("impaired", vec![("/probes/1", bounced)], none, State::Critical, "it bounced"),
    ]
}

#[test]
fn each_condition_has_its_state_and_words_that_agree() {
    for (condition, changes, limits, state, words) in delivered().into_iter().chain(failed()) {
        let finding = Finding::of(report(condition, &changes), &limits);
        let said = finding.sentences.join("; ");
        assert_eq!(finding.state, state, "{condition} {changes:?}: {said}");
        assert!(said.contains(words), "{condition} {changes:?}: {said}");
        assert_eq!(said.contains("works"), state == State::Ok && condition != "not_applicable");
        let is_delivered = ["works", "is slow", "delivers"].iter().any(|it| said.contains(it));
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
fn what_could_fool_a_reader_or_is_no_measurement_is_not_taken() {
    let changes = [
        ("/name", json!("a\u{9b}2J\u{202e}b")),
        ("/receive/host", json!("h\u{85}")),
        ("/receive/last_failure/words", json!("\u{1b}[2J\u{2066}")),
    ];
    let finding = Finding::of(report("well", &changes), &Thresholds::default());
    let address = Address::parse("http://127.0.0.1:9925").unwrap();
    let mut shown = Vec::new();
    show(&finding, &address, &mut Terminal::plain(&mut shown));
    let outputs = [
        String::from_utf8(shown).unwrap(),
        document(&finding, &address)["sides"]["receive"].to_string(),
        line(&finding, &Thresholds::default()),
    ];
    for output in outputs {
        let is_unsafe = |it: char| it != '\n' && text::is_unsafe(it);
        assert!(!output.contains(is_unsafe), "{output:?}");
    }
    for (pointer, value) in [
        ("/send_ability_percent", json!(1e300)),
        ("/receive_ability_percent", json!(-1)),
        ("/roundtrip_seconds", json!(1e300)),
        ("/late_after_seconds", json!(-1)),
        ("/outstanding/0/age_seconds", json!(4e7)),
    ] {
        let answer = answer("well", &[(pointer, value)]).to_string();
        assert_eq!(
            Report::read(answer.as_bytes()).unwrap_err(),
            "a number is out of range",
            "{pointer}"
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
