//! The exporter's main job against a real Exim and Courier, as its measures tell it.

use std::fs;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ledger::Action;
use ledger::Instance;
use ledger::{Reading, Snapshot};
use ledger::{Reason, Step};
use mailtrip_exporter::config::{self, TlsMode};
use mailtrip_exporter::roundtrip;

use crate::lab::{Account, HOST, Ports, until};
use crate::logins::{log_in_to_receive, log_in_to_send};
use crate::program::{self, Running, is, value};
use crate::real_servers::{assert_healthy, failures};
use crate::second_stack::{Mechanisms, SecondStack};
use crate::support::{Exporter, TargetText, all, config, quoted, yaml};

const PROTOCOLS: [&str; 2] = ["imap", "pop3"];

/// A target from the stack's sender, who logs in, to `reader`, both sides protected in this way.
fn target(
    stack: &SecondStack,
    name: &str,
    protocol: &str,
    tls: TlsMode,
    reader: &Account,
) -> TargetText {
    let ports = stack.ports();
    let (send, receive) = match (tls, protocol) {
        (TlsMode::None, "imap") => (ports.smtp_login, ports.imap),
        (TlsMode::None, _) => (ports.smtp_login, ports.pop3),
        (TlsMode::StartTls, "imap") => (ports.submission, ports.imap),
        (TlsMode::StartTls, _) => (ports.submission, ports.pop3),
        (TlsMode::Implicit, "imap") => (ports.smtps, ports.imaps),
        (TlsMode::Implicit, _) => (ports.smtps, ports.pop3s),
    };
    let sender = stack.sender();
    let target = TargetText::named(name)
        .set("from", &sender.address)
        .set("to", &reader.address)
        .set("receive.protocol", protocol);
    let sides = [("send", send, sender), ("receive", receive, reader)];
    sides.into_iter().fold(target, |target, (side, port, account)| {
        let target = target
            .set(&format!("{side}.host"), "127.0.0.1")
            .set(&format!("{side}.port"), &port.to_string())
            .set(&format!("{side}.tls"), tls.label())
            .set(&format!("{side}.username"), &account.address)
            .set(&format!("{side}.password"), &quoted(&account.password));
        if tls == TlsMode::None {
            return target;
        }
        let ca_file = quoted(&stack.ca_file().display().to_string());
        target.set(&format!("{side}.tls_options"), &format!("{{ca_file: {ca_file}}}"))
    })
}

/// Waits until a target has received so many mails. Courier asks of POP3 for ten seconds between two
/// logins (RFC 2449 section 6.5), so that a mail may be seen no earlier.
async fn received(exporter: &Exporter, name: &str, count: u64) -> Snapshot {
    let what = format!("{name} has received {count}");
    until(&what, async || exporter.snapshot(name).totals.received >= count).await;
    exporter.snapshot(name)
}

/// The mailbox as its owner sees it: folder, flags and text of each mail.
fn mails(stack: &SecondStack, account: &Account) -> Vec<String> {
    let mails = stack.mails(account).into_iter();
    let mut mails: Vec<String> =
        mails.map(|mail| format!("{} {} {}", mail.folder, mail.flags, mail.text())).collect();
    mails.sort();
    mails
}

/// Puts mails of others into the mailbox, one of them read, flagged, and marked as deleted but not
/// expunged, and returns all.
fn inject_foreign(stack: &SecondStack, account: &Account) -> Vec<String> {
    let token = Instance::random();
    let ours_to_others = format!(
        "X-Mailtrip: v=1; token={token}; target=other; instance={token}; \
         sent=2026-01-01T00:00:00Z; expires=2999-01-01T00:00:00Z\nSubject: test\n\nof others\n"
    );
    for (folder, text) in [
        ("INBOX", "Subject: hello\n\nfrom a friend\n"),
        ("INBOX", &ours_to_others),
        ("Junk", "Subject: buy\n\nspam\n"),
        ("Trash", "Subject: old\n\nthrown away\n"),
    ] {
        stack.inject(account, folder, text);
    }
    let injected = stack.mails(account);
    let mail = injected.iter().find(|mail| mail.text().contains("friend")).unwrap();
    let name = mail.path.file_name().unwrap().to_string_lossy().into_owned();
    let cur = mail.path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(&mail.path, cur.join(format!("{name}:2,FST"))).unwrap();
    mails(stack, account)
}

#[tokio::test]
async fn the_probe_command_makes_a_round_trip_over_exim_and_courier() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("probed", "secret").await;
    let before = inject_foreign(stack, &reader);
    let options =
        roundtrip::Options { timeout: Some(Duration::from_secs(20)), ..Default::default() };
    for protocol in PROTOCOLS {
        let text = target(stack, protocol, protocol, TlsMode::StartTls, &reader);
        let target = checked(text);
        let mut out = Vec::new();
        let mut terminal = roundtrip::Terminal::plain(&mut out);
        let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
        let text = String::from_utf8(out).unwrap();
        assert!(verdict.is_good(), "{text}{}", stack.smtp_log());
        for words in ["\nsend     smtp", "250 OK id=", "235 Authentication succeeded"] {
            assert!(text.contains(words), "{text}");
        }
        assert!(text.contains(&format!("\nreceive  {protocol}")), "{text}");
        assert!(text.contains(&format!("Verdict: {protocol} works: sent in ")), "{text}");
        stack.wait_for_mails(&reader, before.len()).await;
        assert_eq!(mails(stack, &reader), before, "{protocol}");
    }
}

#[tokio::test]
async fn the_program_tells_100_percent_and_counts_the_mails_over_exim_and_courier() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("scraped", "secret").await;
    let text = target(stack, "one", "imap", TlsMode::StartTls, &reader).set("interval", "1s");
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
    let stack = SecondStack::shared().await;
    let mut targets = Vec::new();
    for protocol in PROTOCOLS {
        for tls in [TlsMode::None, TlsMode::StartTls, TlsMode::Implicit] {
            let name = format!("{protocol}-{}", tls.label());
            let reader = stack.user(&name, "odd: p\"a\\ss{}%u").await;
            targets.push((name, protocol, tls, reader));
        }
    }
    let texts: Vec<TargetText> = targets
        .iter()
        .map(|(name, protocol, tls, reader)| {
            target(stack, name, protocol, *tls, reader).set("interval", "3s")
        })
        .collect();
    let exporter = Exporter::start(&texts).await;
    for (name, _, tls, _) in &targets {
        let snapshot = received(&exporter, name, 1).await;
        assert_healthy(name, &snapshot);
        for side in [&snapshot.sides.send, &snapshot.sides.receive] {
            assert_eq!(side.tls.is_some(), *tls != TlsMode::None, "{name}");
        }
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn mail_of_others_stays_in_courier_as_it_is_flags_included() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("neighbours", "secret").await;
    let before = inject_foreign(stack, &reader);
    assert_eq!(before.len(), 4);
    for protocol in PROTOCOLS {
        let target = target(stack, protocol, protocol, TlsMode::None, &reader);
        let exporter = Exporter::start(&[target]).await;
        let snapshot = received(&exporter, protocol, 1).await;
        assert_eq!(
            failures(&snapshot.sides.receive),
            0,
            "{:?}",
            snapshot.sides.receive.last_failure
        );
        stack.wait_for_mails(&reader, before.len()).await;
        exporter.supervisor.stop().await;
        assert_eq!(mails(stack, &reader), before, "{protocol}");
    }
}

#[tokio::test]
async fn a_refusal_of_exim_has_the_reason_of_its_reply_code() {
    let stack = SecondStack::shared().await;
    let (one, two) = tokio::join!(stack.user("bad", "secret"), stack.user("grey", "secret"));
    stack.reject(&one);
    stack.greylist(&two);
    let cases = [
        (&one, "rejected", Reason::Rejected, "550 not wanted here"),
        (&two, "deferred", Reason::Deferred, "451 greylisted, try again later"),
    ];
    let target = |(reader, name, ..): &(&Account, &str, Reason, &str)| {
        target(stack, name, "imap", TlsMode::StartTls, reader).set("interval", "2s")
    };
    let exporter = Exporter::start(&cases.each_ref().map(target)).await;
    for (reader, name, reason, words) in cases {
        let refused = |now: &Snapshot| now.sides.send.failures_for(reason) >= 2;
        let snapshot = exporter.until(name, "two refusals", refused).await;
        assert_eq!(snapshot.send_ability, Reading::Is(0.0), "{name}");
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{name}");
        assert_eq!(snapshot.outstanding, Reading::Is(0), "{name}");
        assert_eq!(
            failures(&snapshot.sides.send),
            snapshot.sides.send.failures_for(reason),
            "{name}"
        );
        assert_eq!(
            failures(&snapshot.sides.send),
            snapshot.sides.send.failures_in(Step::Envelope),
            "{name}"
        );
        let (_, failure) = snapshot.sides.send.last_failure.unwrap();
        assert!(failure.message.contains(words), "{failure}");
        stack.deliver(reader);
        let snapshot = exporter.received(name, 1).await;
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
    }
    exporter.supervisor.stop().await;
}

#[tokio::test]
async fn a_courier_that_is_stopped_refuses_connections_and_what_waited_comes_later() {
    let stack = SecondStack::start().await;
    let reader = stack.user("patient", "secret").await;
    let [by_imap, by_pop3] =
        PROTOCOLS.map(|protocol| target(&stack, protocol, protocol, TlsMode::None, &reader));
    let exporter = Exporter::start(&[by_imap.set("interval", "2s")]).await;
    assert_healthy("imap", &received(&exporter, "imap", 1).await);

    stack.stop_courier().await;
    let refused = |now: &Snapshot| {
        now.sides.receive.failures_for(Reason::Refused) >= 2 && now.outstanding.value() >= Some(2)
    };
    let snapshot = exporter.until("imap", "two refused connections", refused).await;
    assert_eq!(snapshot.receive_ability, Reading::Is(false));
    assert_eq!(snapshot.sides.receive.up, Some(false));
    assert!(snapshot.sides.receive.failures_in(Step::Connect) >= 2);
    assert_eq!(snapshot.send_ability, Reading::Is(1.0));
    let (outcome, transcript) = log_in_to_receive(&checked(by_pop3).receive).await;
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
    let sender = stack.sender();
    let before = inject_foreign(&stack, sender);
    let reader = stack.user("closed", "secret").await;
    stack.bounce(&reader);
    for protocol in PROTOCOLS {
        let port = if protocol == "imap" { stack.ports().imap } else { stack.ports().pop3 };
        let sender_mailbox = format!(
            "{{protocol: {protocol}, host: 127.0.0.1, port: {port}, tls: none, username: {}, \
             password: '{}'}}",
            sender.address, sender.password
        );
        let target = target(&stack, protocol, protocol, TlsMode::None, &reader)
            .set("sender_mailbox", &sender_mailbox);
        let exporter = Exporter::start(&[target]).await;
        let what = format!("{protocol} is told of the bounce");
        until(&what, async || exporter.snapshot(protocol).totals.bounced == 1).await;
        let bounced = exporter.snapshot(protocol);
        assert_eq!((bounced.outstanding, bounced.delivers), (Reading::Is(0), Reading::Is(false)));
        let (_, notice) = bounced.last_report.expect("a notice");
        assert_eq!(notice.action, Action::Failed, "{notice:?}");
        // Exim gives no Diagnostic-Code for a failure of its own.
        let code = Some("5.0.0");
        assert_eq!((notice.code.as_deref(), notice.remote_server.as_deref()), (code, Some(HOST)));
        stack.wait_for_mails(sender, before.len()).await;
        exporter.supervisor.stop().await;
        assert_eq!(mails(&stack, sender), before, "{protocol}: the rest as it was");
    }
}

/// The first target of a configuration.
fn checked(text: TargetText) -> Arc<config::Target> {
    config(&[text]).targets.into_values().next().unwrap()
}

/// Logs in to send and to receive by `auth`, and asserts that both succeed by these commands.
async fn assert_logs_in(text: TargetText, auth: &str, commands: [&str; 2]) {
    let target = checked(text.set("send.auth", auth).set("receive.auth", auth));
    let outcomes = [log_in_to_send(&target.send).await, log_in_to_receive(&target.receive).await];
    for ((outcome, transcript), command) in outcomes.into_iter().zip(commands) {
        assert_eq!(outcome, Ok(()), "{auth}: {transcript}");
        assert!(transcript.contains(command), "{auth}, not by {command}: {transcript}");
    }
}

/// A password that is hard to carry.
const HARD: &str = " p\u{e4}ss \"w\\ ord' \u{20ac} ";

#[tokio::test]
async fn exim_and_courier_are_entered_by_every_mechanism_that_they_offer() {
    let stack = SecondStack::shared().await;
    let reader = stack.user("mechanisms", HARD).await;
    for (auth, smtp, imap, pop3) in [
        ("auto", "AUTH CRAM-MD5", "AUTHENTICATE CRAM-MD5", "AUTH CRAM-MD5"),
        ("cram-md5", "AUTH CRAM-MD5", "AUTHENTICATE CRAM-MD5", "AUTH CRAM-MD5"),
        ("plain", "AUTH PLAIN", "AUTHENTICATE PLAIN", "AUTH PLAIN"),
        ("login", "AUTH LOGIN", " LOGIN ", "AUTH LOGIN"),
    ] {
        for (protocol, command) in [("imap", imap), ("pop3", pop3)] {
            let text = target(stack, auth, protocol, TlsMode::StartTls, &reader)
                .set("send.username", &reader.address)
                .set("send.password", &quoted(HARD));
            assert_logs_in(text, auth, [smtp, command]).await;
        }
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
        let text = target(&stack, protocol, protocol, tls, &reader);
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
            let text = target(stack, "wrong", protocol, TlsMode::StartTls, &reader)
                .set("send.password", "not-it")
                .set("send.auth", auth)
                .set("receive.password", "not-it")
                .set("receive.auth", auth);
            let target = checked(text);
            cases.push((format!("{protocol} {auth}"), async move {
                let (send, receive) =
                    tokio::join!(log_in_to_send(&target.send), log_in_to_receive(&target.receive));
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
