//! The exporter's main job against a real Exim and Courier, as its measures tell it.

use std::time::Duration;

use ledger::{Reading, Reason, Snapshot, Step};
use mailtrip_exporter::config::TlsMode;

use crate::lab::exim_courier::{Mechanisms, SecondStack};
use crate::lab::{Account, Ports};
use crate::real::scenarios::{self, Refusal, assert_logs_in, checked};
use crate::real::stack::{PROTOCOLS, healthy, inject_foreign, protected, target};
use crate::support::logins::{log_in_to_receive, log_in_to_send};
use crate::support::program::{self, Running, is, value};
use crate::support::{Exporter, TargetText, all, yaml};

/// A target from the stack's sender, who logs in, to `reader`, both sides protected in this way.
fn logged_in(
    stack: &SecondStack,
    name: &str,
    protocol: &str,
    tls: TlsMode,
    reader: &Account,
) -> TargetText {
    let ports = stack.ports();
    let (send, imap, pop3) = match tls {
        TlsMode::None => (ports.smtp_login, ports.imap, ports.pop3),
        TlsMode::StartTls => (ports.submission, ports.imap, ports.pop3),
        TlsMode::Implicit => (ports.smtps, ports.imaps, ports.pop3s),
    };
    let receive = if protocol == "imap" { imap } else { pop3 };
    target(stack, name, reader).send(&protected(stack, tls, send), Some(stack.sender())).receive(
        protocol,
        &protected(stack, tls, receive),
        reader,
    )
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip_over_exim_and_courier() {
    scenarios::the_probe_command_makes_a_round_trip(SecondStack::shared().await).await;
}

#[tokio::test]
async fn the_program_tells_100_percent_and_counts_the_mails_over_exim_and_courier() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("scraped", "secret").await;
    let text = logged_in(stack, "one", "imap", TlsMode::StartTls, &reader).set("interval", "1s");
    let folder = program::folder(&yaml(&[text]));
    let running = Running::start(folder.path(), &[]).await;
    let is_measured = |page: &str| {
        value(page, "mailtrip_probes_received_total") >= Some(3.0)
            && is(page, "mailtrip_send_ability_percent", 100.0)
            && is(page, "mailtrip_receive_ability_percent", 100.0)
    };
    let page = running.until("/metrics", is_measured).await;
    assert!(value(&page, "mailtrip_roundtrip_minutes") > Some(0.0), "{page}");
    let logins = format!("INFO: LOGIN, user={}", reader.address);
    let logins = stack.courier_log().matches(&logins).count() as f64;
    let page = running.get("/metrics").await;
    let checks = value(&page, "mailtrip_checks_total").unwrap();
    assert!(logins <= checks + 1.0, "{logins} logins for {checks} checks and the one under way");
    running.kill().await;
}

#[tokio::test]
async fn mail_arrives_over_exim_and_courier_whatever_protects_the_connections() {
    // Courier asks of POP3 for ten seconds between two logins (RFC 2449 section 6.5).
    let longest = Duration::from_secs(30);
    let stack = SecondStack::shared().await;
    scenarios::mail_arrives_whatever_protects_the_connections(stack, "15s", 1, longest).await;
}

#[tokio::test]
async fn mail_of_others_stays_in_courier_as_it_is_flags_included() {
    scenarios::mail_of_others_stays_as_it_is_flags_included(SecondStack::shared().await, 1).await;
}

#[tokio::test]
async fn a_refusal_of_exim_has_the_reason_of_its_reply_code() {
    let refusals = [
        Refusal {
            name: "rejected",
            refuse: SecondStack::reject,
            reason: Reason::Rejected,
            words: "550 not wanted here",
        },
        Refusal {
            name: "deferred",
            refuse: SecondStack::greylist,
            reason: Reason::Deferred,
            words: "451 greylisted, try again later",
        },
    ];
    let stack = SecondStack::shared().await;
    scenarios::a_refusal_has_the_reason_of_its_reply_code(stack, &refusals).await;
}

#[tokio::test]
async fn a_courier_that_is_stopped_refuses_connections_and_what_waited_comes_later() {
    let stack = SecondStack::start().await;
    let reader = stack.user("patient", "secret").await;
    let [by_imap, by_pop3] =
        PROTOCOLS.map(|protocol| logged_in(&stack, protocol, protocol, TlsMode::None, &reader));
    let exporter = Exporter::start(&[by_imap.set("interval", "2s")]).await;
    healthy(&exporter, "imap", 1).await;

    stack.stop_courier().await;
    let refused = |now: &Snapshot| {
        now.sides.receive.failures_for(Reason::Refused) >= 2 && now.outstanding.value() >= Some(2)
    };
    let snapshot = exporter.until("imap", "two refused connections", refused).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.sides.receive.up, Some(false));
    assert!(snapshot.sides.receive.failures_in(Step::Connect) >= 2);
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    let (outcome, transcript) = log_in_to_receive(checked(by_pop3).receive.as_ref().unwrap()).await;
    let failure = outcome.expect_err(&transcript);
    assert_eq!((failure.step, failure.reason), (Step::Connect, Reason::Refused), "{failure}");

    stack.start_courier().await;
    let accepted = exporter.snapshot("imap").totals.accepted;
    let caught_up = |now: &Snapshot| {
        now.receive_ability == Reading::Is(true) && now.totals.received >= accepted
    };
    exporter.until("imap", "able, and all is received", caught_up).await;
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_bounce_of_exim_is_found_in_courier_and_removed() {
    let stack = SecondStack::start().await;
    assert_eq!(inject_foreign(&stack, stack.sender()).len(), 5);
    let reader = stack.user("closed", "secret").await;
    stack.bounce(&reader);
    for protocol in PROTOCOLS {
        // Exim gives no Diagnostic-Code for a failure of its own.
        let code = "5.0.0";
        let (exporter, _) =
            scenarios::a_bounce_is_found_and_removed(&stack, protocol, &reader, code).await;
        exporter.supervisor.stop().await;
    }
}

/// A password that is hard to carry.
const HARD: &str = " p\u{e4}ss \"w\\ ord' \u{20ac} ";

#[tokio::test]
async fn exim_and_courier_are_entered_by_every_mechanism_that_they_offer() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("mechanisms", HARD).await;
    let ports = stack.ports();
    let ways = [ports.submission, ports.imap, ports.pop3]
        .map(|port| protected(stack, TlsMode::StartTls, port));
    for (auth, commands) in [
        ("auto", ["AUTH CRAM-MD5", "AUTHENTICATE CRAM-MD5", "AUTH CRAM-MD5"]),
        ("cram-md5", ["AUTH CRAM-MD5", "AUTHENTICATE CRAM-MD5", "AUTH CRAM-MD5"]),
        ("plain", ["AUTH PLAIN", "AUTHENTICATE PLAIN", "AUTH PLAIN"]),
        ("login", ["AUTH LOGIN", " LOGIN ", "AUTH LOGIN"]),
    ] {
        scenarios::are_entered_by(stack, &ways, &reader, auth, commands).await;
    }
}

#[tokio::test]
async fn courier_as_installed_is_entered_by_its_commands() {
    let stack = SecondStack::start_with(Mechanisms::AsInstalled).await;
    let reader = stack.user("commands", HARD).await;
    for (protocol, tls, command) in [
        ("imap", TlsMode::None, " LOGIN "),
        ("imap", TlsMode::StartTls, "AUTHENTICATE PLAIN"),
        ("imap", TlsMode::Implicit, "AUTHENTICATE PLAIN"),
        ("pop3", TlsMode::None, "PASS "),
        ("pop3", TlsMode::StartTls, "PASS "),
    ] {
        let text = logged_in(&stack, protocol, protocol, tls, &reader);
        assert_logs_in(text, "auto", ["AUTH CRAM-MD5", command]).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_exim_and_courier_as_what_it_is() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("wrong", "secret").await;
    let mut cases = Vec::new();
    for auth in ["auto", "plain", "login"] {
        for protocol in PROTOCOLS {
            let text = logged_in(stack, "wrong", protocol, TlsMode::StartTls, &reader)
                .set("send.password", "not-it")
                .set("send.auth", auth)
                .set("receive.password", "not-it")
                .set("receive.auth", auth);
            let target = checked(text);
            cases.push((format!("{protocol} {auth}"), async move {
                let (send, receive) = tokio::join!(
                    log_in_to_send(&target.send),
                    log_in_to_receive(target.receive.as_ref().unwrap())
                );
                for (outcome, transcript) in [send, receive] {
                    let failure = outcome.unwrap_err();
                    let what = (failure.step, failure.reason);
                    assert_eq!(what, (Step::Auth, Reason::Auth), "{failure}\n{transcript}");
                }
            }));
        }
    }
    all(cases).await;
    let refused = format!("LOGIN FAILED, user={}", reader.address);
    let log = stack.courier_log();
    assert!(log.contains(&refused), "{log}");
}

#[tokio::test]
async fn stacks_run_side_by_side_and_leave_nothing_behind() {
    let (one, other) = tokio::join!(SecondStack::start(), SecondStack::start());
    assert_ne!(one.ports(), other.ports());
    let connect = async |port| tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    let folder = one.folder().to_owned();
    let Ports { smtp, imap, pop3, .. } = one.ports();
    drop(one);
    assert!(!folder.exists());
    for port in [smtp, imap, pop3] {
        assert!(!connect(port).await, "{port}");
    }

    let (folder, Ports { smtp, imap, pop3, .. }) = (other.folder().to_owned(), other.ports());
    for port in [smtp, imap, pop3] {
        assert!(connect(port).await, "{port}");
    }
    let panicked = tokio::spawn(async move {
        let _stack = other;
        panic!("a test that fails");
    });
    assert!(panicked.await.is_err());
    assert!(!folder.exists());
    for port in [smtp, imap, pop3] {
        assert!(!connect(port).await, "{port}");
    }
}
