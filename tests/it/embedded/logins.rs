//! Logging in by every mechanism, to the embedded servers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledger::Snapshot;
use ledger::{Failure, Reason, Step};
use mailtrip_exporter::config::TlsMode;
use testserver::faults::{CHALLENGE, CREDENTIALS, Fault};
use testserver::record::SessionRecord;
use testserver::{Certificate, Delivery, Options, Protocol, Server};

use crate::support::logins::{log_in_to_receive, log_in_to_send};
use crate::support::{
    Exporter, LINE_MAILBOXES, PASSWORD, TargetText, Trust, USER, World, only, protected, quoted,
};

/// The mechanisms that need a password, the strongest first.
const MECHANISMS: &[&str] = &["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"];
const STRONGEST_FIRST: [&str; 5] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"];

/// Passwords that are hard to carry.
fn hard_passwords() -> Vec<String> {
    vec![
        " two spaces ".into(),
        r#"a "quoted" \ back,slash=x"#.into(),
        "päßwörd \u{2168}\u{a0}€".into(),
        "x1 ".repeat(66) + "yz",
        "{5}".into(),
        "=".into(),
    ]
}

/// Logs in to all three protocols, in this order: SMTP, IMAP, POP3. No transcript shows the password.
async fn log_in_everywhere(
    worlds: &[World; 2],
    password: &str,
    auth: &str,
) -> [(Result<(), Failure>, String); 3] {
    let target = |world: &World| {
        let text: TargetText = world
            .target("a")
            .set("send.username", USER)
            .set("send.password", &quoted(password))
            .set("send.auth", auth)
            .set("receive.password", &quoted(password))
            .set("receive.auth", auth);
        only(text)
    };
    let [imap, pop3] = worlds.each_ref().map(target);
    let outcomes = [
        log_in_to_send(&imap.send).await,
        log_in_to_receive(imap.receive.as_ref().unwrap()).await,
        log_in_to_receive(pop3.receive.as_ref().unwrap()).await,
    ];
    for (outcome, transcript) in &outcomes {
        let message = outcome.as_ref().err().map(|failure| failure.message.as_str());
        for text in [transcript.as_str(), message.unwrap_or_default()] {
            let forms = [password.to_owned(), BASE64_STANDARD.encode(password)];
            for form in forms.iter().filter(|form| form.len() > 3) {
                assert!(!text.contains(form.as_str()), "{form} is shown: {text}");
            }
        }
    }
    outcomes
}

async fn worlds(mechanisms: &'static [&'static str]) -> [World; 2] {
    let options = || Options::new().mechanisms(mechanisms);
    let [imap, pop3] = LINE_MAILBOXES;
    [World::with(imap, options(), options()).await, World::with(pop3, options(), options()).await]
}

#[tokio::test]
async fn every_mechanism_logs_in_with_passwords_that_are_hard_to_carry() {
    let worlds = worlds(MECHANISMS).await;
    for password in hard_passwords() {
        for world in &worlds {
            world.post.set_password(USER, &password);
        }
        for mechanism in MECHANISMS {
            let auth = mechanism.to_ascii_lowercase();
            for (outcome, transcript) in log_in_everywhere(&worlds, &password, &auth).await {
                // The embedded servers digest a password as it is; SCRAM prepares it (RFC 4013).
                let is_changed = mechanism.starts_with("SCRAM") && password.contains('\u{2168}');
                assert_eq!(outcome.is_err(), is_changed, "{mechanism}: {outcome:?}\n{transcript}");
                let command = [format!("AUTH {mechanism}"), format!("AUTHENTICATE {mechanism}")];
                assert!(command.iter().any(|it| transcript.contains(it)), "{transcript}");
            }
        }
    }
}

#[tokio::test]
async fn the_digest_of_scram_is_made_of_the_prepared_password() {
    let worlds = worlds(MECHANISMS).await;
    for world in &worlds {
        // RFC 4013 section 3: the Roman numeral nine is I and X, a soft hyphen is nothing.
        world.post.set_password(USER, "IX IX");
    }
    let written = "I\u{ad}X\u{a0}\u{2168}";
    for (outcome, _) in log_in_everywhere(&worlds, written, "scram-sha-256").await {
        assert_eq!(outcome, Ok(()));
    }
}

#[tokio::test]
async fn the_strongest_mechanism_on_offer_is_used() {
    for (number, strongest) in STRONGEST_FIRST.iter().enumerate() {
        let weaker: Vec<&'static str> =
            STRONGEST_FIRST.iter().skip(number).rev().copied().collect();
        let worlds = worlds(weaker.leak()).await;
        for (outcome, transcript) in log_in_everywhere(&worlds, PASSWORD, "auto").await {
            assert_eq!(outcome, Ok(()), "{transcript}");
            assert!(transcript.contains(&format!(" {strongest}")), "{strongest}: {transcript}");
        }
    }
}

#[tokio::test]
async fn without_a_mechanism_imap_and_pop3_have_commands_of_their_own() {
    let worlds = worlds(&[]).await;
    for world in &worlds {
        world.mailbox.faults().leave_out("SASL ");
    }
    let [smtp, imap, pop3] = log_in_everywhere(&worlds, PASSWORD, "auto").await;
    assert_eq!((smtp.0.unwrap_err().reason, imap.0, pop3.0), (Reason::Auth, Ok(()), Ok(())));
    assert!(imap.1.contains("LOGIN ... <secret>") && pop3.1.contains("PASS <secret>"));
}

#[tokio::test]
async fn a_mechanism_that_is_named_and_not_offered_is_an_error_that_tells_what_is() {
    let worlds = worlds(&["PLAIN"]).await;
    for (outcome, _) in log_in_everywhere(&worlds, PASSWORD, "scram-sha-256").await {
        let failure = outcome.unwrap_err();
        assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Auth));
        assert!(failure.message.ends_with("only PLAIN"), "{failure}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_every_mechanism() {
    let worlds = worlds(MECHANISMS).await;
    for mechanism in MECHANISMS {
        let auth = mechanism.to_ascii_lowercase();
        for (outcome, transcript) in log_in_everywhere(&worlds, "not the one", &auth).await {
            let failure = outcome.unwrap_err();
            assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Auth), "{transcript}");
            assert!(failure.message.contains("the login as rita was refused"), "{failure}");
        }
    }
}

/// A world of which one server offers PLAIN beside this digest, over TLS, and the target for it.
async fn digest_world(
    protocol: Protocol,
    offers: &'static [&'static str],
    trust: &Trust,
) -> (World, TargetText) {
    let options = protected(TlsMode::StartTls, trust, Certificate::Good);
    let options = options.mechanisms(offers);
    let (send, receive) = match protocol {
        Protocol::Smtp => (options, Options::new()),
        _ => (Options::new(), options),
    };
    let mailbox = if protocol == Protocol::Pop3 { Protocol::Pop3 } else { Protocol::Imap };
    let world = World::with(mailbox, send, receive).await;
    let side = if protocol == Protocol::Smtp { "send" } else { "receive" };
    let target = world.target("a").sender_logs_in().protect(side, TlsMode::StartTls, trust);
    (world, target.set("interval", "1s").set("late_after", "1h"))
}

fn logging_in(world: &World, protocol: Protocol) -> &Server {
    if protocol == Protocol::Smtp { &world.smtp } else { &world.mailbox }
}

#[tokio::test]
async fn a_password_that_only_a_digest_is_refused_for_is_shown_to_a_server_that_proved_itself() {
    for (protocol, refusal) in [(Protocol::Smtp, "535 5.7.8 no"), (Protocol::Imap, "{tag} NO no")] {
        let trust = Trust::new();
        let (world, target) = digest_world(protocol, &["PLAIN", "CRAM-MD5"], &trust).await;
        let server = logging_in(&world, protocol);
        // The first login of all.
        server.faults().once(CREDENTIALS, Fault::reply(refusal));
        let exporter = Exporter::start(&[target]).await;
        let snapshot = exporter.received("a", 2).await;
        let state =
            if protocol == Protocol::Smtp { &snapshot.sides.send } else { &snapshot.sides.receive };
        assert_eq!(state.last_failure, None, "{protocol:?}");
        assert_eq!(server.stats().logins_refused, 1, "{protocol:?}");
        let by_digest = |session: &SessionRecord| session.received_contains(b"CRAM-MD5");
        let sessions = server.sessions();
        assert_eq!(sessions.iter().filter(|session| by_digest(session)).count(), 1);
        assert!(
            sessions
                .iter()
                .all(|session| !session.in_the_clear().windows(5).any(|it| it == b"PLAIN"))
        );
    }
}

#[tokio::test]
async fn where_the_refusal_is_for_the_password_the_next_period_tries_another_form() {
    const CRAM: &[&str] = &["PLAIN", "CRAM-MD5"];
    const SCRAM: &[&str] = &["PLAIN", "SCRAM-SHA-256"];
    for (protocol, offers, refusal) in [
        (Protocol::Imap, CRAM, "{tag} NO [AUTHENTICATIONFAILED] no"),
        (Protocol::Pop3, CRAM, "-ERR [AUTH] no"),
        // A server that asks for the proof can check it.
        (Protocol::Smtp, SCRAM, "535 5.7.0 no"),
        (Protocol::Smtp, CRAM, "534 5.7.9 no"),
    ] {
        let trust = Trust::new();
        let (world, target) = digest_world(protocol, offers, &trust).await;
        let server = logging_in(&world, protocol);
        let digest = offers[1];
        server.faults().once(CREDENTIALS, Fault::reply(refusal));
        let exporter = Exporter::start(&[target]).await;
        let failed = |snapshot: &Snapshot| {
            let failures = snapshot.totals.check_failures + snapshot.sides.send.failures.total();
            failures > 0
        };
        exporter.until("a", "refused", failed).await;
        exporter.received("a", 1).await;
        assert_eq!(server.stats().logins_refused, 1, "{refusal}");
        let sessions = server.sessions();
        let by_digest = |session: &&SessionRecord| session.received_contains(digest.as_bytes());
        assert_eq!(sessions.iter().filter(by_digest).count(), 1, "{refusal}");
        let twice = |session: &SessionRecord| {
            session.received_contains(digest.as_bytes()) && session.received_contains(b"PLAIN")
        };
        assert!(!sessions.iter().any(twice), "{refusal}");
    }
}

#[tokio::test]
async fn a_wrong_password_costs_one_login_a_period_and_side() {
    for mailbox in LINE_MAILBOXES {
        let trust = Trust::new();
        let options = || {
            protected(TlsMode::StartTls, &trust, Certificate::Good)
                .mechanisms(&["PLAIN", "CRAM-MD5"])
        };
        let world = World::with(mailbox, options(), options()).await;
        let target = world.target("a").sender_logs_in().set("interval", "1s");
        let target = target.protect("send", TlsMode::StartTls, &trust);
        let target = target.protect("receive", TlsMode::StartTls, &trust);
        let wrong = target.set("receive.password", "wrong").set("send.password", "wrong");
        let exporter = Exporter::start(&[wrong]).await;
        let snapshot = exporter.until("a", "refused", |s| s.totals.check_failures >= 6).await;
        let (refused_send, refused_receive) =
            (world.smtp.stats().logins_refused, world.mailbox.stats().logins_refused);
        // One more of the send side at the very first, whose refusal may not tell; and those under way.
        assert!(refused_send <= snapshot.totals.checks + 2, "{mailbox:?}: {refused_send}");
        assert!(refused_receive <= snapshot.totals.checks + 1, "{mailbox:?}: {refused_receive}");
    }
}

#[tokio::test]
async fn no_look_after_a_refused_login_tries_it_again_before_the_next_check() {
    for mailbox in LINE_MAILBOXES {
        let world = World::new(mailbox).await;
        world.post.set_delivery(USER, Delivery::held());
        let target = world.target("a").set("interval", "6s").set("late_after", "1h");
        let exporter = Exporter::start(&[target]).await;
        exporter.until("a", "outstanding", |s| s.outstanding.value() >= Some(1)).await;
        let refusal = if mailbox == Protocol::Pop3 { "-ERR [AUTH] no" } else { "{tag} NO no" };
        world.mailbox.faults().on(CREDENTIALS, Fault::reply(refusal));
        // A look of POP3 may be the first to be refused.
        let snapshot = exporter.until("a", "refused", |s| s.totals.check_failures >= 2).await;
        let refused = world.mailbox.stats().logins_refused;
        assert!(refused <= snapshot.totals.check_failures + 1, "{mailbox:?}: {refused}");
    }
}

#[tokio::test]
async fn a_password_that_a_digest_could_hide_is_shown_to_nobody_who_did_not_prove_himself() {
    let worlds = worlds(&["PLAIN", "CRAM-MD5"]).await;
    let [imap, pop3] = &worlds;
    for server in [&imap.smtp, &imap.mailbox, &pop3.mailbox] {
        let refusal = match server.protocol() {
            Protocol::Smtp => "535 5.7.8 no",
            Protocol::Imap => "{tag} NO [AUTHENTICATIONFAILED] no",
            Protocol::Pop3 | Protocol::Jmap => "-ERR [AUTH] no",
        };
        server.faults().on(CREDENTIALS, Fault::reply(refusal));
    }
    for (outcome, transcript) in log_in_everywhere(&worlds, PASSWORD, "auto").await {
        assert_eq!(outcome.unwrap_err().reason, Reason::Auth, "{transcript}");
        assert!(!transcript.contains("PLAIN <secret>") && !transcript.contains("AUTH PLAIN\n"));
    }
}

/// A challenge as each protocol writes it.
fn challenge(protocol: Protocol, text: &str) -> Fault {
    let asks = if protocol == Protocol::Smtp { "334" } else { "+" };
    Fault::reply(format!("{asks} {text}"))
}

/// The failures of a login by `mechanism` whose challenge number `number` is spoilt like this.
async fn spoilt(mechanism: &'static str, number: u32, text: &str) -> Vec<(Failure, String)> {
    let worlds = worlds(MECHANISMS).await;
    let [imap, pop3] = &worlds;
    for server in [&imap.smtp, &imap.mailbox, &pop3.mailbox] {
        // POP3 asks for the first words of the client, the others are told them with the command.
        let skipped = number + u32::from(server.protocol() == Protocol::Pop3);
        let skipped = if mechanism == "CRAM-MD5" { 0 } else { skipped };
        server.faults().times(skipped, CHALLENGE, Fault::None);
        server.faults().once(CHALLENGE, challenge(server.protocol(), text));
    }
    let outcomes = log_in_everywhere(&worlds, PASSWORD, &mechanism.to_ascii_lowercase()).await;
    outcomes.map(|(outcome, transcript)| (outcome.unwrap_err(), transcript)).into()
}

#[tokio::test]
async fn a_server_that_cannot_prove_that_it_knows_the_password_is_not_believed() {
    let wrong = BASE64_STANDARD.encode("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
    for (failure, transcript) in spoilt("SCRAM-SHA-1", 1, &wrong).await {
        assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Protocol));
        assert!(failure.message.contains("proof of SCRAM-SHA-1 is wrong"), "{failure}");
        assert!(transcript.contains("> *\n"), "the login is given up: {transcript}");
    }
}

#[tokio::test]
async fn success_without_the_proof_of_scram_is_none() {
    let worlds = worlds(MECHANISMS).await;
    let [imap, pop3] = &worlds;
    for (server, success) in [
        (&imap.smtp, "235 2.7.0 welcome"),
        (&imap.mailbox, "{tag} OK welcome"),
        (&pop3.mailbox, "+OK welcome"),
    ] {
        let skipped = 1 + u32::from(server.protocol() == Protocol::Pop3);
        server.faults().times(skipped, CHALLENGE, Fault::None);
        server.faults().once(CHALLENGE, Fault::reply(success));
    }
    for (outcome, _) in log_in_everywhere(&worlds, PASSWORD, "scram-sha-256").await {
        let failure = outcome.unwrap_err();
        assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Protocol));
        assert!(failure.message.contains("without the proof"), "{failure}");
    }
}

#[tokio::test]
async fn challenges_that_are_none_end_the_login_and_not_the_program() {
    let rounds = BASE64_STANDARD.encode("r=abc,s=QSXCR+Q6sek8bf92,i=4000000000");
    let nonce = BASE64_STANDARD.encode("r=foreign,s=QSXCR+Q6sek8bf92,i=4096");
    let long = "A".repeat(8000);
    for (mechanism, text, words) in [
        ("SCRAM-SHA-256", "no base64!", "not base64"),
        ("CRAM-MD5", "no base64!", "not base64"),
        ("SCRAM-SHA-256", rounds.as_str(), "rounds of its digest"),
        ("SCRAM-SHA-256", nonce.as_str(), "does not keep to it"),
        ("SCRAM-SHA-1", long.as_str(), "not one of SCRAM"),
    ] {
        for (failure, transcript) in spoilt(mechanism, 0, text).await {
            let what = (failure.step, failure.reason);
            assert_eq!(what, (Step::Auth, Reason::Protocol), "{mechanism} {failure}");
            assert!(failure.message.contains(words), "{mechanism} {text}: {failure}");
            assert!(transcript.contains("> *\n"), "the login is given up: {transcript}");
        }
    }
}

#[tokio::test]
async fn what_a_server_echoes_of_a_login_is_not_shown() {
    let worlds = worlds(MECHANISMS).await;
    let [imap, pop3] = &worlds;
    for server in [&imap.smtp, &imap.mailbox, &pop3.mailbox] {
        let no = match server.protocol() {
            Protocol::Smtp => "535 5.7.8",
            Protocol::Imap => "{tag} NO",
            Protocol::Pop3 | Protocol::Jmap => "-ERR",
        };
        let echo = format!("{no} you said {{password}}, that is {{base64}}, with {{line}}");
        server.faults().on(CREDENTIALS, Fault::reply(echo));
    }
    for mechanism in MECHANISMS {
        let outcomes = log_in_everywhere(&worlds, PASSWORD, &mechanism.to_ascii_lowercase()).await;
        for (outcome, _) in outcomes {
            assert!(outcome.unwrap_err().message.contains("<secret>"));
        }
    }
}

/// Who reads a transcript must not be able to try passwords for as long as he likes.
#[tokio::test]
async fn a_transcript_of_scram_holds_nothing_to_guess_the_password_with() {
    let worlds = worlds(MECHANISMS).await;
    for auth in ["scram-sha-256", "scram-sha-1"] {
        for (outcome, transcript) in log_in_everywhere(&worlds, PASSWORD, auth).await {
            assert_eq!(outcome, Ok(()), "{transcript}");
            let challenges = transcript.lines().filter(|line| {
                line.starts_with("< 334 ") || (line.starts_with("< + ") && line.len() > 10)
            });
            let hidden = challenges.filter(|line| line.ends_with(" <secret>")).count();
            assert_eq!(hidden, 2, "{transcript}");
            let is_long = |word: &str| word.len() > 27 && !word.contains(['<', '.', '(', '_']);
            assert!(!transcript.split_whitespace().any(is_long), "{transcript}");
        }
    }
}
