//! What holds for every stack of real mail servers, written once: each function is a test of each stack.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{Action, Reading, Reason, Side, SideState, Snapshot, Step};
use mailtrip_exporter::config::{Target, TlsMode};
use mailtrip_exporter::roundtrip;

use crate::lab::{Account, HOST};
use crate::real::stack::{
    PROTOCOLS, Stack, Way, failures, healthy, inject_foreign, mails, plain, protected, target,
};
use crate::support::logins::{log_in_to_receive, log_in_to_send};
use crate::support::{Exporter, TargetText, only};

/// A password that YAML, SASL and the commands of a dialogue each have to carry.
const ODD: &str = "odd: p\"a\\ss{}%u";

/// The first target of a configuration.
pub(crate) fn checked(text: TargetText) -> Arc<Target> {
    only(text)
}

/// The ways to send: name, port, and whether a login is needed.
fn ways_to_send(stack: &impl Stack) -> [(&'static str, Way, bool); 5] {
    let ports = stack.ports();
    [
        ("open", plain(ports.smtp), false),
        ("login", plain(ports.smtp_login), true),
        ("starttls", protected(stack, TlsMode::StartTls, ports.smtp), false),
        ("submission", protected(stack, TlsMode::StartTls, ports.submission), true),
        ("smtps", protected(stack, TlsMode::Implicit, ports.smtps), true),
    ]
}

fn ways_to_receive(stack: &impl Stack) -> [(&'static str, Way); 6] {
    let ports = stack.ports();
    [
        ("imap", plain(ports.imap)),
        ("imap", protected(stack, TlsMode::StartTls, ports.imap)),
        ("imap", protected(stack, TlsMode::Implicit, ports.imaps)),
        ("pop3", plain(ports.pop3)),
        ("pop3", protected(stack, TlsMode::StartTls, ports.pop3)),
        ("pop3", protected(stack, TlsMode::Implicit, ports.pop3s)),
    ]
}

/// Mails arrive by each way to send with each way to receive: so many each, within `longest`.
pub(crate) async fn mail_arrives_whatever_protects_the_connections(
    stack: &impl Stack,
    interval: &str,
    count: u64,
    longest: Duration,
) {
    // The targets of one kind of mailbox share it.
    let mut targets = Vec::new();
    for (protocol, receive) in ways_to_receive(stack) {
        let kind = format!("{protocol}-{}", receive.tls.label());
        let reader = stack.user(&format!("ways-{kind}"), ODD).await;
        for (way, send, with_login) in ways_to_send(stack) {
            let name = format!("{way}-{kind}");
            let login = with_login.then(|| stack.sender());
            let text = target(stack, &name, &reader).every(interval);
            let text = text.send(&send, login).receive(protocol, &receive, &reader);
            targets.push((name, text, send.tls, receive.tls));
        }
    }
    let texts: Vec<TargetText> = targets.iter().map(|(_, text, ..)| text.clone()).collect();
    let exporter = Exporter::start(&texts).await;
    for (name, _, send, receive) in &targets {
        let snapshot = healthy(&exporter, name, count).await;
        let has_tls = |side: &SideState| side.tls.is_some();
        assert_eq!(has_tls(&snapshot.sides.send), *send != TlsMode::None, "{name}");
        assert_eq!(has_tls(&snapshot.sides.receive), *receive != TlsMode::None, "{name}");
        assert!(snapshot.roundtrip.value().unwrap() < longest, "{name}: {snapshot:?}");
    }
    exporter.supervisor.stop().await;
}

/// The command `probe` makes a round trip by either protocol and leaves the mailbox as it was.
pub(crate) async fn the_probe_command_makes_a_round_trip<S: Stack>(stack: &S) {
    let reader = stack.user("probed", "secret").await;
    let before = inject_foreign(stack, &reader);
    let ports = stack.ports();
    let submission = protected(stack, TlsMode::StartTls, ports.submission);
    let options =
        roundtrip::Options { timeout: Some(Duration::from_secs(20)), ..Default::default() };
    for (name, tls, port) in [
        ("imap", TlsMode::StartTls, ports.imap),
        ("imap", TlsMode::Implicit, ports.imaps),
        ("pop3", TlsMode::StartTls, ports.pop3),
    ] {
        let text = target(stack, name, &reader).send(&submission, Some(stack.sender()));
        let text = text.set("late_after", "20s");
        let target = checked(text.receive(name, &protected(stack, tls, port), &reader));
        let mut out = Vec::new();
        let mut terminal = roundtrip::Terminal::plain(&mut out);
        let began = Instant::now();
        let verdict = roundtrip::run(&target, &options, &mut terminal, pending()).await;
        let text = String::from_utf8(out).unwrap();
        assert!(verdict.is_good(), "{text}{}", stack.smtp_log());
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
        for side in Side::ALL {
            assert!(text.contains(&format!("\n{side} ")), "{text}");
        }
        assert!(text.contains(&format!("\nreceive  {name}")), "{text}");
        assert!(text.contains("\nsend     smtp") && text.contains(" 235 "), "{text}");
        assert!(text.contains(S::ACCEPTED), "{text}");
        assert!(text.contains(&format!("Verdict: {name} works: sent in ")), "{text}");
        stack.wait_for_mails(&reader, before.len()).await;
        assert_eq!(mails(stack, &reader), before, "{text}");
    }
}

/// Nothing that is not ours is touched, whatever its flags.
pub(crate) async fn mail_of_others_stays_as_it_is_flags_included(stack: &impl Stack, count: u64) {
    let reader = stack.user("neighbours", "secret").await;
    let before = inject_foreign(stack, &reader);
    assert_eq!(before.len(), 5);
    let ports = stack.ports();
    for (protocol, port) in [("imap", ports.imap), ("pop3", ports.pop3)] {
        let text = target(stack, protocol, &reader).receive(protocol, &plain(port), &reader);
        let exporter = Exporter::start(&[text]).await;
        let snapshot = exporter.received(protocol, count).await;
        exporter.supervisor.stop().await;
        assert_eq!(
            failures(&snapshot.sides.receive),
            0,
            "{:?}",
            snapshot.sides.receive.last_failure
        );
        // What was under way at the end is there as well.
        let mut others = mails(stack, &reader);
        others.retain(|mail| !PROTOCOLS.iter().any(|it| mail.contains(&format!("; target={it};"))));
        assert_eq!(others, before, "{protocol}");
    }
}

/// How a stack refuses a recipient.
pub(crate) struct Refusal<S> {
    pub(crate) name: &'static str,
    /// Has the stack refuse mails to this user.
    pub(crate) refuse: fn(&S, &Account),
    pub(crate) reason: Reason,
    /// What the failure quotes of the reply.
    pub(crate) words: &'static str,
}

/// A refusal is a failure of the step `envelope` alone, with the reason of its reply code; it ends with it.
pub(crate) async fn a_refusal_has_the_reason_of_its_reply_code<S: Stack>(
    stack: &S,
    refusals: &[Refusal<S>],
) {
    let mut readers = Vec::new();
    for refusal in refusals {
        let reader = stack.user(refusal.name, "secret").await;
        (refusal.refuse)(stack, &reader);
        readers.push(reader);
    }
    let cases = || refusals.iter().zip(&readers);
    let text = |(refusal, reader): (&Refusal<S>, &Account)| {
        target(stack, refusal.name, reader).every("2s")
    };
    let texts: Vec<TargetText> = cases().map(text).collect();
    let exporter = Exporter::start(&texts).await;
    for (Refusal { name, reason, words, .. }, reader) in cases() {
        let refused = |now: &Snapshot| {
            now.sides.send.failures_for(*reason) >= 2 && now.receive_ability != Reading::Unmeasured
        };
        let snapshot = exporter.until(name, "two refusals", refused).await;
        assert_eq!(snapshot.send_ability, Reading::Is(0.0), "{name}");
        assert_eq!(snapshot.receive_ability, Reading::Is(true), "{name}");
        assert_eq!(snapshot.outstanding, Reading::Is(0), "{name}");
        let send = &snapshot.sides.send;
        assert_eq!(failures(send), send.failures_for(*reason), "{name}");
        assert_eq!(failures(send), send.failures_in(Step::Envelope), "{name}");
        assert_eq!(send.up, Some(true), "{name}");
        let (_, failure) = send.last_failure.as_ref().unwrap();
        assert!(failure.message.contains(words), "{failure}");
        stack.deliver(reader);
        let snapshot = exporter.received(name, 1).await;
        assert_eq!(snapshot.send_ability, Reading::Is(1.0), "{name}");
    }
    exporter.supervisor.stop().await;
}

/// A mail to `reader`, which the stack bounces, is bounced: the report with this code is found in the
/// sender's mailbox by `protocol` and removed, and the rest of it stays as it was. Returns the exporter,
/// still at work, and the account.
pub(crate) async fn a_bounce_is_found_and_removed(
    stack: &impl Stack,
    protocol: &str,
    reader: &Account,
    code: &str,
) -> (Exporter, Snapshot) {
    let sender = stack.sender();
    let before = mails(stack, sender);
    let ports = stack.ports();
    let port = if protocol == "imap" { ports.imap } else { ports.pop3 };
    let text = target(stack, protocol, reader).every("1h").sender_mailbox(protocol, port, sender);
    let exporter = Exporter::start(&[text]).await;
    // A look may find the report before the first check of that mailbox has ended.
    let is_known = |now: &Snapshot| now.totals.bounced == 1 && now.sender_mailbox.up.is_some();
    let bounced = exporter.until(protocol, "bounced", is_known).await;
    assert_eq!((bounced.outstanding, bounced.delivers), (Reading::Is(0), Reading::Is(false)));
    assert_eq!(bounced.sender_mailbox.up, Some(true));
    let notice = &bounced.last_report.as_ref().expect("a notice").1;
    assert_eq!((notice.action, notice.code.as_deref()), (Action::Failed, Some(code)), "{notice:?}");
    assert_eq!(notice.remote_server.as_deref(), Some(HOST));
    stack.wait_for_mails(sender, before.len()).await;
    assert_eq!(mails(stack, sender), before, "{protocol}: the rest as it was");
    (exporter, bounced)
}

/// The servers are entered by `auth`, by these commands of SMTP, IMAP and POP3.
pub(crate) async fn are_entered_by(
    stack: &impl Stack,
    [smtp, imap, pop3]: &[Way; 3],
    reader: &Account,
    auth: &str,
    commands: [&str; 3],
) {
    for (protocol, way, command) in [("imap", imap, commands[1]), ("pop3", pop3, commands[2])] {
        let text = target(stack, "mechanisms", reader)
            .send(smtp, Some(reader))
            .receive(protocol, way, reader);
        assert_logs_in(text, auth, [commands[0], command]).await;
    }
}

/// Logs in to send and to receive by `auth`, and asserts that both succeed by these commands.
pub(crate) async fn assert_logs_in(text: TargetText, auth: &str, commands: [&str; 2]) {
    let target = checked(text.set("send.auth", auth).set("receive.auth", auth));
    let outcomes = [
        log_in_to_send(&target.send).await,
        log_in_to_receive(target.receive.as_ref().unwrap()).await,
    ];
    for ((outcome, transcript), command) in outcomes.into_iter().zip(commands) {
        assert_eq!(outcome, Ok(()), "{auth}: {transcript}");
        assert!(transcript.contains(command), "{auth}, not by {command}: {transcript}");
    }
}
