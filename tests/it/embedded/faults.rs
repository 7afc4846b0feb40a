//! Every way in which a server can fail, at every step: which side, step and reason it is, whether
//! the server counts as down, and that nothing is ever mistaken for an answer.

use std::sync::Arc;
use std::time::Duration;

use ledger::{Failure, Reason, Side, Step};
use ledger::{Reading, SideState, Snapshot};
use mailtrip_exporter::config::TlsMode;
use testserver::faults::{
    ACCEPTED, AFTER_DATA, CONNECT, CREDENTIALS, Fault, GREETING, TLS_HANDSHAKE,
};
use testserver::{Certificate, Delivery, Options, Protocol, Server};

use crate::support::{
    DEADLINE, Exporter, PASSWORD, TargetText, Trust, USER, World, all, assert_balanced, protected,
    quoted,
};

/// What a failure is to be.
type Expected = (Step, Reason, bool);

/// A side of a target, protected by STARTTLS and with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Smtp,
    Imap,
    Pop3,
}

impl Half {
    fn side(self) -> Side {
        if self == Half::Smtp { Side::Send } else { Side::Receive }
    }

    fn mailbox(self) -> Protocol {
        if self == Half::Pop3 { Protocol::Pop3 } else { Protocol::Imap }
    }

    fn server(self, world: &World) -> &Server {
        if self == Half::Smtp { &world.smtp } else { &world.mailbox }
    }

    fn state(self, snapshot: &Snapshot) -> &SideState {
        if self == Half::Smtp { &snapshot.sides.send } else { &snapshot.sides.receive }
    }
}

/// A world whose half is protected in this way, with somebody's mail in the inbox.
async fn world(half: Half, tls: TlsMode, trust: &Trust) -> (World, TargetText) {
    let odd = protected(tls, trust, Certificate::Good);
    let (send, receive) =
        if half == Half::Smtp { (odd, Options::new()) } else { (Options::new(), odd) };
    let world = World::with(half.mailbox(), send, receive).await;
    world.post.insert(USER, "INBOX", b"Subject: somebody's\r\n\r\nhands off\r\n");
    let target = world.target("a").sender_logs_in().protect(half.side().label(), tls, trust);
    (world, target)
}

/// Checks the failure of one attempt, and what follows from it.
fn assert_failed(half: Half, snapshot: &Snapshot, expected: Expected) -> Failure {
    let state = half.state(snapshot);
    let (_, failure) = state.last_failure.clone().unwrap_or_else(|| panic!("{snapshot:#?}"));
    assert_eq!((failure.step, failure.reason, failure.down), expected, "{failure}");
    assert_eq!(state.failures_for(failure.reason), 1);
    assert_eq!(state.failures_in(failure.step), 1);
    assert_eq!(state.failures.total(), 1);
    assert_eq!(state.up, Some(!failure.down));
    assert_eq!(state.consecutive_failures, Reading::Is(1));
    assert_eq!((state.not_applicable, state.last_success), (0, None));
    match half.side() {
        Side::Send => {
            assert_eq!(snapshot.send_ability, Reading::Is(0.0));
            assert_eq!(snapshot.receive_ability, Reading::Is(true), "the other side is well");
        }
        Side::Receive => {
            assert_eq!(snapshot.receive_ability, Reading::Is(false));
            assert_eq!(snapshot.send_ability, Reading::Is(1.0), "the other side is well");
            assert_eq!((snapshot.totals.checks, snapshot.totals.check_failures), (1, 1));
            assert_eq!(snapshot.totals.received, 0);
        }
    }
    assert!(snapshot.receive_ability.value().is_some() && snapshot.outstanding.value().is_some());
    assert_balanced(snapshot);
    assert!(!failure.message.contains(PASSWORD), "{failure}");
    Arc::unwrap_or_clone(failure)
}

/// Waits until the side has failed once and the other has been tried.
async fn failed(exporter: &Exporter, half: Half, expected: Expected) -> Failure {
    let snapshot = exporter.measured("a").await;
    assert_failed(half, &snapshot, expected)
}

/// Fails at `point` in each of the ways in which a connection can.
fn connection_faults(point: &'static str, step: Step, down: bool) -> Vec<(Fault, Expected)> {
    let mut cases = vec![
        (Fault::Hang, (step, Reason::Timeout, down)),
        (Fault::Close, (step, Reason::Closed, down)),
        (Fault::Reset, (step, Reason::Closed, down)),
    ];
    if !matches!(point, CONNECT | TLS_HANDSHAKE | ACCEPTED) {
        cases.push((Fault::Garbage, (step, Reason::Protocol, false)));
        cases.push((Fault::EndlessLine, (step, Reason::Protocol, false)));
        cases.push((Fault::Cut(3), (step, Reason::Closed, false)));
    }
    if point == "CAPA" {
        // That is what old servers do upon it.
        cases.retain(|(_, (_, reason, _))| *reason != Reason::Closed);
    }
    cases
}

#[tokio::test]
async fn a_connection_that_fails_is_told_by_step_and_reason() {
    use Half::{Imap, Pop3, Smtp};
    let points: &[(Half, &'static str, Step, bool)] = &[
        (Smtp, CONNECT, Step::Greeting, true),
        (Smtp, GREETING, Step::Greeting, true),
        (Smtp, "EHLO", Step::Greeting, false),
        (Smtp, "STARTTLS", Step::Tls, false),
        (Smtp, TLS_HANDSHAKE, Step::Tls, false),
        (Smtp, CREDENTIALS, Step::Auth, false),
        (Smtp, "MAIL", Step::Envelope, false),
        (Smtp, "RCPT", Step::Envelope, false),
        (Smtp, "DATA", Step::Data, false),
        (Smtp, AFTER_DATA, Step::Data, false),
        (Imap, CONNECT, Step::Greeting, true),
        (Imap, GREETING, Step::Greeting, true),
        (Imap, "STARTTLS", Step::Tls, false),
        (Imap, TLS_HANDSHAKE, Step::Tls, false),
        (Imap, "CAPABILITY", Step::Tls, false),
        (Imap, CREDENTIALS, Step::Auth, false),
        (Imap, "LIST", Step::Select, false),
        (Imap, "SELECT", Step::Select, false),
        (Imap, "UID SEARCH", Step::Select, false),
        (Imap, "UID FETCH", Step::Fetch, false),
        (Pop3, CONNECT, Step::Greeting, true),
        (Pop3, GREETING, Step::Greeting, true),
        (Pop3, "CAPA", Step::Greeting, false),
        (Pop3, "STLS", Step::Tls, false),
        (Pop3, TLS_HANDSHAKE, Step::Tls, false),
        (Pop3, CREDENTIALS, Step::Auth, false),
        (Pop3, "UIDL", Step::Select, false),
        (Pop3, "TOP", Step::Fetch, false),
    ];
    let mut cases = Vec::new();
    for (half, point, step, down) in points.iter().copied() {
        for (fault, expected) in connection_faults(point, step, down) {
            // Before the greeting the first bytes show that somebody is there.
            let is_heard = matches!(fault, Fault::Cut(_) | Fault::Garbage | Fault::EndlessLine);
            let expected = (expected.0, expected.1, expected.2 && !is_heard);
            cases.push((format!("{half:?} {point} {fault:?}"), async move {
                let trust = Trust::new();
                let (world, target) = world(half, TlsMode::StartTls, &trust).await;
                half.server(&world).faults().on(point, fault.clone());
                let is_hang = fault == Fault::Hang;
                // What comes before it may take as long on a busy machine.
                let target = target.set("timeout", if is_hang { "4s" } else { "30s" });
                // A server may think for two minutes about a mail, if the period is that long.
                let target =
                    if point == AFTER_DATA { target.set("interval", "6s") } else { target };
                let exporter = Exporter::start(&[target]).await;
                failed(&exporter, half, expected).await;
                let doubtful = exporter.snapshot("a").totals.doubtful;
                assert_eq!(doubtful, u64::from(point == AFTER_DATA));
            }));
        }
    }
    all(cases).await;
}

/// What a server answers at a point of the dialogue, and what that comes to.
fn answers() -> Vec<(Half, &'static str, &'static str, Expected)> {
    use Half::{Imap, Pop3, Smtp};
    let greeting = Step::Greeting;
    vec![
        (Smtp, GREETING, "421 4.3.2 shutting down", (greeting, Reason::Deferred, true)),
        (Smtp, GREETING, "421 busy", (greeting, Reason::Deferred, true)),
        (Smtp, GREETING, "554 no service", (greeting, Reason::Rejected, true)),
        (Smtp, GREETING, "550 not you", (greeting, Reason::Rejected, false)),
        (Smtp, "EHLO", "421 4.3.2 going", (greeting, Reason::Deferred, true)),
        (Smtp, "EHLO", "421 4.7.0 too many errors", (greeting, Reason::Deferred, false)),
        (Smtp, "STARTTLS", "421 4.3.2 going", (Step::Tls, Reason::Tls, true)),
        (Smtp, "STARTTLS", "454 4.7.0 no TLS now", (Step::Tls, Reason::Tls, false)),
        (Smtp, CREDENTIALS, "421 4.3.2 going", (Step::Auth, Reason::Deferred, true)),
        (Smtp, CREDENTIALS, "454 4.7.0 no database", (Step::Auth, Reason::Deferred, false)),
        (Smtp, CREDENTIALS, "535 5.7.8 wrong", (Step::Auth, Reason::Auth, false)),
        (Smtp, "MAIL", "421 4.3.2 going", (Step::Envelope, Reason::Deferred, true)),
        (Smtp, "RCPT", "421 4.3.2 going", (Step::Envelope, Reason::Deferred, true)),
        (Smtp, "DATA", "421 4.3.2 going", (Step::Data, Reason::Deferred, true)),
        (Smtp, AFTER_DATA, "421 4.3.2 going", (Step::Data, Reason::Deferred, true)),
        (Smtp, AFTER_DATA, "421 4.7.0 enough", (Step::Data, Reason::Deferred, false)),
        (Imap, GREETING, "* BYE not here", (greeting, Reason::Closed, true)),
        (Imap, GREETING, "* NO such server", (greeting, Reason::Rejected, false)),
        (Imap, GREETING, "HTTP/1.1 400 Bad Request", (greeting, Reason::Protocol, false)),
        (Imap, "CAPABILITY", "* BYE going", (Step::Tls, Reason::Closed, false)),
        (Imap, "STARTTLS", "{tag} NO not now", (Step::Tls, Reason::Tls, false)),
        (Imap, CREDENTIALS, "{tag} NO wrong", (Step::Auth, Reason::Auth, false)),
        (Imap, CREDENTIALS, "{tag} NO [UNAVAILABLE] later", (Step::Auth, Reason::Deferred, false)),
        (Imap, CREDENTIALS, "{tag} BAD what", (Step::Auth, Reason::Protocol, false)),
        (Imap, "LIST", "{tag} NO no", (Step::Select, Reason::Rejected, false)),
        (Imap, "LIST", "{tag} BAD no", (Step::Select, Reason::Protocol, false)),
        (Imap, "SELECT", "{tag} NO no", (Step::Select, Reason::Rejected, false)),
        (Imap, "SELECT", "{tag} NO [INUSE] busy", (Step::Select, Reason::Busy, false)),
        (Imap, "SELECT", "{tag} BAD no", (Step::Select, Reason::Protocol, false)),
        (Imap, "SELECT", "* BYE going", (Step::Select, Reason::Closed, false)),
        (Imap, "UID FETCH", "{tag} NO no", (Step::Fetch, Reason::Rejected, false)),
        (Imap, "UID FETCH", "{tag} BAD no", (Step::Fetch, Reason::Protocol, false)),
        (Imap, "UID FETCH", "* BYE going", (Step::Fetch, Reason::Closed, false)),
        (Imap, "UID SEARCH", "{tag} NO no", (Step::Select, Reason::Rejected, false)),
        (Pop3, GREETING, "-ERR not here", (greeting, Reason::Closed, true)),
        (Pop3, GREETING, "* OK I am IMAP", (greeting, Reason::Protocol, false)),
        (Pop3, "STLS", "-ERR not now", (Step::Tls, Reason::Tls, false)),
        (Pop3, CREDENTIALS, "-ERR [AUTH] wrong", (Step::Auth, Reason::Auth, false)),
        // It has announced that it says [AUTH] of wrong credentials (RFC 3206).
        (Pop3, CREDENTIALS, "-ERR too many sessions", (Step::Auth, Reason::Rejected, false)),
        (Pop3, CREDENTIALS, "-ERR [SYS/PERM] broken", (Step::Auth, Reason::Other, false)),
        (Pop3, "UIDL", "-ERR no", (Step::Select, Reason::Rejected, false)),
        (Pop3, "UIDL", "+OK\r\nnot a listing\r\n.", (Step::Select, Reason::Protocol, false)),
        (Pop3, "UIDL", "+OK\r\n1\r\n.", (Step::Select, Reason::Protocol, false)),
        (Pop3, "UIDL", "+OK\r\n.", (Step::Select, Reason::Protocol, false)),
        (Imap, "UID FETCH", "{tag} NO [SERVERBUG] no", (Step::Fetch, Reason::Other, false)),
        (Pop3, "TOP", "-ERR no", (Step::Fetch, Reason::Rejected, false)),
    ]
}

#[tokio::test]
async fn a_service_says_that_it_is_not_there_in_its_own_words() {
    all(answers().into_iter().map(|(half, point, answer, expected)| {
        let case = async move {
            let trust = Trust::new();
            let (world, target) = world(half, TlsMode::StartTls, &trust).await;
            half.server(&world).faults().on(point, Fault::reply(answer));
            if point == "UID FETCH" {
                // A server that shows mail by its number can be read.
                half.server(&world).faults().on("FETCH", Fault::reply(answer));
            }
            let exporter = Exporter::start(&[target]).await;
            let failure = failed(&exporter, half, expected).await;
            // The server's words are in the message, without the part that is filled in.
            let words = answer.trim_start_matches("{tag} ").trim_start_matches("* ");
            if !words.contains('\n') && !words.is_empty() {
                let words = words.trim_start_matches("BYE ");
                assert!(failure.message.contains(words.trim_start_matches("-ERR ")), "{failure}");
            }
        };
        (format!("{half:?} {point} {answer}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_up_on_capa_is_read_without_it() {
    for fault in [Fault::Close, Fault::Reset, Fault::Cut(3)] {
        let trust = Trust::new();
        let (world, target) = world(Half::Pop3, TlsMode::StartTls, &trust).await;
        world.mailbox.faults().on("CAPA", fault);
        let snapshot = Exporter::start(&[target]).await.received("a", 1).await;
        assert_eq!(snapshot.sides.receive.last_failure, None);
    }
}

#[tokio::test]
async fn nobody_there_is_down() {
    for half in [Half::Smtp, Half::Imap, Half::Pop3] {
        let trust = Trust::new();
        let (mut world, target) = world(half, TlsMode::None, &trust).await;
        match half {
            Half::Smtp => world.smtp.stop().await,
            _ => world.mailbox.stop().await,
        }
        let exporter = Exporter::start(std::slice::from_ref(&target)).await;
        failed(&exporter, half, (Step::Connect, Reason::Refused, true)).await;
        let host = format!("{}.host", half.side());
        let exporter = Exporter::start(&[target.set(&host, "no-such-host.invalid")]).await;
        failed(&exporter, half, (Step::Dns, Reason::Dns, true)).await;
    }
}

#[tokio::test]
async fn under_implicit_tls_silence_before_the_handshake_is_down_and_an_alert_is_not() {
    let down = |reason| (Step::Tls, reason, true);
    let faults = [
        (CONNECT, Fault::Hang, down(Reason::Timeout)),
        (CONNECT, Fault::Close, down(Reason::Closed)),
        (CONNECT, Fault::Reset, down(Reason::Closed)),
        (TLS_HANDSHAKE, Fault::Hang, down(Reason::Timeout)),
        (TLS_HANDSHAKE, Fault::Close, down(Reason::Closed)),
        // A fatal alert: handshake_failure.
        (
            CONNECT,
            Fault::Raw(b"\x15\x03\x03\x00\x02\x02\x28".to_vec()),
            (Step::Tls, Reason::Tls, false),
        ),
        (CONNECT, Fault::Raw(b"220 no TLS here\r\n".to_vec()), (Step::Tls, Reason::Tls, false)),
        (GREETING, Fault::Hang, (Step::Greeting, Reason::Timeout, false)),
        (GREETING, Fault::Close, (Step::Greeting, Reason::Closed, false)),
    ];
    let halves = [Half::Smtp, Half::Imap, Half::Pop3];
    let cases = halves.iter().flat_map(|half| faults.clone().map(|case| (*half, case)));
    all(cases.map(|(half, (point, fault, expected))| {
        let name = format!("{half:?} {point} {fault:?}");
        let case = async move {
            let trust = Trust::new();
            let (world, target) = world(half, TlsMode::Implicit, &trust).await;
            let is_hang = fault == Fault::Hang;
            half.server(&world).faults().on(point, fault);
            let target = target.set("timeout", if is_hang { "1s" } else { "10s" });
            let exporter = Exporter::start(&[target]).await;
            failed(&exporter, half, expected).await;
        };
        (name, case)
    }))
    .await;
}

#[tokio::test]
async fn a_password_that_the_server_echoes_is_in_no_message() {
    use Half::{Imap, Pop3, Smtp};
    let password = r#"s3cret "quoted" \slash"#;
    let base64 = "czNjcmV0ICJxdW90ZWQiIFxzbGFzaA";
    let answers = [
        (Smtp, "plain", "535 5.7.8 {user} said {password} and {base64}"),
        (Smtp, "login", "535 5.7.8 {user} said {password} in {line}"),
        (Imap, "plain", "{tag} NO {user} said {password} and {base64} in {line}"),
        (Imap, "login", "{tag} NO {user} said {password} in {line}"),
        (Pop3, "plain", "-ERR [AUTH] {user} said {password} and {base64}"),
        (Pop3, "login", "-ERR [AUTH] {user} said {password} in {line}"),
    ];
    all(answers.map(|(half, auth, answer)| {
        let case = async move {
            let trust = Trust::new();
            let (world, target) = world(half, TlsMode::None, &trust).await;
            half.server(&world).faults().on(CREDENTIALS, Fault::reply(answer));
            let side = half.side();
            let target = target
                .set(&format!("{side}.password"), &quoted(password))
                .set(&format!("{side}.auth"), auth);
            // The other side's server must know the password it is given.
            let exporter = Exporter::start(&[target]).await;
            let failure = failed(&exporter, half, (Step::Auth, Reason::Auth, false)).await.message;
            assert!(failure.contains("said <secret>"), "{failure}");
            for form in ["s3cret", r#"\"quoted"#, base64, "s3cret \\\"quoted\\\""] {
                assert!(!failure.contains(form), "{failure}");
            }
        };
        (format!("{half:?} {auth}"), case)
    }))
    .await;
}

#[tokio::test]
async fn no_login_that_fits_is_told_without_sending_the_password() {
    let cases = [
        (Half::Smtp, "AUTH", "plain"),
        (Half::Smtp, "AUTH PLAIN", "plain"),
        (Half::Smtp, "AUTH LOGIN", "login"),
        (Half::Imap, "AUTH=PLAIN", "plain"),
        (Half::Pop3, "SASL PLAIN", "plain"),
        (Half::Pop3, "USER", "login"),
    ];
    all(cases.map(|(half, missing, auth)| {
        let case = async move {
            let trust = Trust::new();
            let (world, target) = world(half, TlsMode::None, &trust).await;
            half.server(&world).faults().leave_out(missing);
            let target = target.set(&format!("{}.auth", half.side()), auth);
            let exporter = Exporter::start(&[target]).await;
            failed(&exporter, half, (Step::Auth, Reason::Auth, false)).await;
            let sessions = half.server(&world).sessions();
            assert!(sessions.iter().all(|s| !s.received_contains(PASSWORD.as_bytes())));
            assert_eq!(half.server(&world).stats().count("AUTH"), 0);
        };
        (format!("{half:?} {missing} {auth}"), case)
    }))
    .await;
}

#[tokio::test]
async fn a_busy_maildrop_is_tried_again_and_then_busy() {
    let codes = ["-ERR [IN-USE] locked", "-ERR [SYS/TEMP] later", "-ERR [LOGIN-DELAY] wait"];
    all(codes.map(|answer| {
        let case = async move {
            let world = World::new(Protocol::Pop3).await;
            world.mailbox.faults().times(2, CREDENTIALS, Fault::reply(answer));
            let exporter = Exporter::start(&[world.target("a")]).await;
            let snapshot = exporter.received("a", 1).await;
            assert_eq!(snapshot.sides.receive.last_failure, None);
            assert_eq!(world.mailbox.stats().logins_refused, 2);
            assert!(world.mailbox.stats().sessions_most == 1);
        };
        (answer.to_owned(), case)
    }))
    .await;
    let world = World::new(Protocol::Pop3).await;
    world.mailbox.faults().on(CREDENTIALS, Fault::reply(codes[0]));
    let exporter = Exporter::start(&[world.target("a").set("timeout", "2s")]).await;
    let snapshot = exporter.measured("a").await;
    assert_failed(Half::Pop3, &snapshot, (Step::Auth, Reason::Busy, false));
    let refused = world.mailbox.stats().logins_refused;
    assert!((2..=4).contains(&refused), "{refused} tries");
}

#[tokio::test]
async fn a_pop3_server_without_uidl_or_top_fails_clearly() {
    let missing = [
        ("UIDL", Step::Select, Reason::Protocol, "cannot be watched by POP3"),
        ("TOP", Step::Fetch, Reason::Protocol, "cannot give a header alone (TOP)"),
    ];
    for (missing, step, reason, words) in missing {
        let trust = Trust::new();
        let (world, target) = world(Half::Pop3, TlsMode::None, &trust).await;
        world.mailbox.faults().leave_out(missing);
        let exporter = Exporter::start(&[target]).await;
        let failure = failed(&exporter, Half::Pop3, (step, reason, false)).await;
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(world.mailbox.stats().count("RETR"), 0, "nobody's mail is read");
        assert!(world.inbox_len() >= 1);
    }
}

#[tokio::test]
async fn a_removal_that_fails_is_counted_at_its_step_and_tried_again() {
    let points = [
        (Half::Imap, "UID STORE", Fault::reply("{tag} NO no"), Reason::Rejected),
        (Half::Imap, "UID EXPUNGE", Fault::reply("{tag} NO no"), Reason::Rejected),
        (Half::Imap, "UID EXPUNGE", Fault::Close, Reason::Closed),
        (Half::Pop3, "DELE", Fault::reply("-ERR no"), Reason::Rejected),
        (Half::Pop3, "QUIT", Fault::Close, Reason::Closed),
    ];
    all(points.map(|(half, point, fault, reason)| {
        let name = format!("{half:?} {point} {fault:?}");
        let case = async move {
            let world = World::new(half.mailbox()).await;
            // POP3: the first QUIT ends the check, the second the look that finds the mail.
            if point == "QUIT" {
                world.mailbox.faults().once(point, Fault::None);
            }
            world.mailbox.faults().once(point, fault);
            let exporter = Exporter::start(&[world.target("a").set("interval", "2s")]).await;
            let snapshot =
                exporter.until("a", "a failure", |s| s.sides.receive.last_failure.is_some()).await;
            let (_, failure) = snapshot.sides.receive.last_failure.clone().unwrap();
            assert_eq!((failure.step, failure.reason), (Step::Remove, reason), "{failure}");
            assert_eq!(snapshot.receive_ability, Reading::Is(true));
            assert_eq!(snapshot.totals.received, 1);
            world.inbox_holds(0).await;
            let snapshot = exporter.snapshot("a");
            assert_eq!(snapshot.totals.duplicate, 0, "{snapshot:#?}");
            exporter.supervisor.stop().await;
        };
        (name, case)
    }))
    .await;
}

#[tokio::test]
async fn a_slow_answer_is_an_answer() {
    let world = World::new(Protocol::Imap).await;
    let slow = Fault::Drip(Duration::from_millis(2));
    for point in [GREETING, "EHLO", "RCPT"] {
        world.smtp.faults().on(point, slow.clone());
    }
    for point in [GREETING, "UID STORE", "NOOP"] {
        world.mailbox.faults().on(point, slow.clone());
    }
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(
        (&snapshot.sides.send.last_failure, &snapshot.sides.receive.last_failure),
        (&None, &None)
    );
}

#[tokio::test]
async fn untagged_lines_that_nobody_asked_for_are_passed_over() {
    let world = World::new(Protocol::Imap).await;
    let odd = "* OK [ALERT] {99}\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* X-ODD ((((\"\r\n* 3 RECENT\r\n* ESEARCH\r\n*  \r\n";
    for point in ["SELECT", "UID FETCH", "NOOP", "LIST", "UID STORE", "UID EXPUNGE"] {
        world.mailbox.faults().on(point, Fault::Before(odd.replace("{99}", "you have mail")));
    }
    let exporter = Exporter::start(&[world.target("a")]).await;
    let snapshot = exporter.received("a", 1).await;
    world.inbox_holds(0).await;
    assert_eq!(snapshot.sides.receive.last_failure, None);
}

#[tokio::test]
async fn a_maildrop_in_which_no_mail_can_be_read_fails_the_check() {
    let trust = Trust::new();
    let (world, target) = world(Half::Pop3, TlsMode::None, &trust).await;
    for number in 0..4 {
        let mail = format!("Subject: news {number}\r\n\r\nhello\r\n");
        world.post.insert(USER, "INBOX", mail.as_bytes());
    }
    world.mailbox.faults().on("TOP", Fault::reply("-ERR no"));
    let exporter = Exporter::start(&[target]).await;
    failed(&exporter, Half::Pop3, (Step::Fetch, Reason::Rejected, false)).await;
}

#[tokio::test]
async fn a_server_that_refuses_every_removal_keeps_its_session() {
    let world = World::new(Protocol::Imap).await;
    world.mailbox.faults().on("UID STORE", Fault::reply("{tag} NO no"));
    let exporter = Exporter::start(&[world.target("a").set("interval", "1500ms")]).await;
    let snapshot = exporter.until("a", "six checks", |s| s.totals.checks >= 6).await;
    let stats = world.mailbox.stats();
    assert!(stats.logins <= snapshot.totals.checks + 1, "{stats:?}");
    let failures = snapshot.sides.receive.failures_in(Step::Remove);
    assert!((1..=3 + snapshot.totals.checks).contains(&failures), "{failures} failures");
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Rejected), failures);
    assert_eq!(snapshot.sides.receive.failures.total(), failures);
    assert_eq!(snapshot.receive_ability, Reading::Is(true));
    let totals = snapshot.totals;
    assert!(totals.received >= 4, "{totals:?}");
    // In a session that is held a mail is found at once, not at the next check.
    let roundtrips = snapshot.roundtrips;
    let mean = roundtrips.sum / u32::try_from(roundtrips.counts.iter().sum::<u64>()).unwrap();
    assert!(mean < Duration::from_millis(700), "{mean:?}");
    assert_eq!((totals.duplicate, totals.check_failures), (0, 0));
}

#[tokio::test]
async fn whatever_the_refusal_of_a_removal_says_the_session_is_kept() {
    let refusals = [
        ("{tag} NO [LIMIT] not so often", Reason::Deferred),
        ("{tag} NO [SERVERBUG] out of order", Reason::Other),
        ("{tag} BAD no", Reason::Protocol),
    ];
    all(refusals.map(|(answer, reason)| {
        let case = async move {
            let world = World::new(Protocol::Imap).await;
            // Each mail is looked for after the removal of the one before was refused.
            for delay in [300, 1800, 3800, 6000].map(Duration::from_millis) {
                world.post.deliver_next(USER, Delivery::at_once().after(delay));
            }
            world.mailbox.faults().on("UID STORE", Fault::reply(answer));
            let target = world.target("a").set("messages", "4").set("interval", "20s");
            let exporter = Exporter::start(&[target]).await;
            let snapshot = exporter.received("a", 4).await;
            let stats = world.mailbox.stats();
            assert!(stats.logins <= snapshot.totals.checks, "{stats:?}");
            let refused = snapshot.sides.receive.failures_for(reason);
            assert!(refused >= 1, "{snapshot:#?}");
            assert_eq!(snapshot.sides.receive.failures_in(Step::Remove), refused);
            exporter.supervisor.stop().await;
        };
        (answer.to_owned(), case)
    }))
    .await;
}

#[tokio::test]
async fn a_server_that_closes_after_the_dot_is_one_failure() {
    let world = World::new(Protocol::Imap).await;
    world.smtp.faults().once(AFTER_DATA, Fault::last_words("421 4.3.2 going"));
    let exporter = Exporter::start(&[world.target("a").set("messages", "2")]).await;
    let snapshot = exporter.measured("a").await;
    assert_failed(Half::Smtp, &snapshot, (Step::Data, Reason::Deferred, true));
    let totals = snapshot.totals;
    assert_eq!((totals.probes, totals.accepted, totals.doubtful), (2, 0, 0));
    let stats = world.smtp.stats();
    assert_eq!((stats.count("RSET"), stats.count("MAIL"), stats.connections), (0, 1, 1));
}

#[tokio::test]
async fn a_reply_after_the_dot_that_is_none_leaves_the_mail_doubtful() {
    for answer in ["354 what", "150 what"] {
        let world = World::new(Protocol::Imap).await;
        world.smtp.faults().once(AFTER_DATA, Fault::reply(answer));
        let exporter = Exporter::start(&[world.target("a")]).await;
        let snapshot = exporter.measured("a").await;
        let totals = snapshot.totals;
        assert_eq!((totals.probes, totals.accepted, totals.doubtful), (1, 0, 1), "{answer}");
        let (_, failure) = snapshot.sides.send.last_failure.clone().unwrap();
        assert_eq!(failure.step, Step::Data);
        assert!(failure.message.contains(answer), "{failure}");
    }
}

/// One failed look, not one at each wait.
#[tokio::test]
async fn a_server_that_always_answers_idle_with_nonsense_is_left_alone_with_it() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    world.mailbox.faults().on("IDLE", Fault::reply("what is that"));
    let target = world.target("a").set("receive.min_look_interval", "700ms");
    let exporter = Exporter::start(&[target]).await;
    let again = world.mailbox.wait_until(DEADLINE, |stats| stats.logins == 2).await;
    assert!(again, "{:?}", world.mailbox.stats());
    let looks = exporter.snapshot("a").totals.looks;
    exporter.until("a", "looks without IDLE", |s| s.totals.looks >= looks + 3).await;
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.sides.receive.failures_for(Reason::Protocol), 1, "{snapshot:#?}");
    assert_eq!(world.mailbox.stats().count("IDLE"), 1);
}

#[tokio::test]
async fn a_session_that_answers_idle_with_nonsense_is_dropped() {
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::held());
    world.mailbox.faults().once("IDLE", Fault::reply("what is that"));
    let target = world.target("a").set("receive.min_look_interval", "700ms");
    let exporter = Exporter::start(&[target]).await;
    let again = world.mailbox.wait_until(DEADLINE, |stats| stats.logins == 2).await;
    assert!(again, "{:?}", world.mailbox.stats());
    world.post.release(USER);
    let snapshot = exporter.received("a", 1).await;
    assert_eq!(snapshot.totals.checks, 1, "the second login was a look's");
    let receive = snapshot.sides.receive;
    assert_eq!(receive.failures_for(Reason::Protocol), 1);
    let (_, failure) = receive.last_failure.clone().unwrap();
    assert_eq!((failure.step, failure.reason), (Step::Fetch, Reason::Protocol), "{failure}");
}
