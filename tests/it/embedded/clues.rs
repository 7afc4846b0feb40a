//! What a failure shows beyond its reason, by codes and by what the session saw, and the advice that comes
//! of it; and which chain of certificates counts.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ledger::TlsFacts;
use ledger::{Clue, Failure, Reason, Side, Step};
use lettre::Address;
use mail::net::tls::{Resumption, TlsClient};
use mail::smtp::{NotAccepted, Smtp};
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::account::advice::next_step;
use mailtrip_exporter::config::{Config, Target};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SniError, SslAcceptor, SslAlert, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use testserver::{Certificate, ServerTls};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_openssl::SslStream;

use crate::support::{Trust, quoted};

const LONGEST: Duration = Duration::from_secs(60);

/// A target that sends to this port, with more keys of `send`.
fn target(port: u16, send: &str) -> Arc<Target> {
    let text = format!(
        "targets: [{{name: a, from: from@example.test, to: to@example.test, host: 127.0.0.1, send: \
         {{port: {port}, {send}}}, receive: {{protocol: imap, tls: none, username: rita, password: x}}}}]"
    );
    let config = Config::parse(&text, Path::new("mailtrip.yml"));
    config.unwrap_or_else(|problems| panic!("{problems}")).targets.into_values().next().unwrap()
}

/// Hands a mail over as far as it goes, in `time` at most.
async fn send(target: &Target, time: Duration) -> Result<(), Failure> {
    let side = &target.send;
    let dialer =
        Dialer::new(&side.endpoint, side.login.as_ref(), &ConnectionContext::default()).unwrap();
    let (login, trace) = (side.login.as_ref(), Trace::new(side.login.as_ref()));
    let name = Some("monitor.example.test");
    let mut smtp = Smtp::open(&dialer, login, name, trace, Instant::now() + time).await?;
    let (from, to): (&Address, &Address) = (&target.from, &target.to);
    let sent = smtp.hand_over(from, to, "1", &b"Subject: x\r\n\r\nx\r\n"[..].into()).await;
    sent.map(drop).map_err(|error: NotAccepted| error.failure().clone())
}

/// Plays a server that answers to each verb as it is told, and `250 ok` to the others, for one client.
async fn play(listener: TcpListener, answers: &'static [(&'static str, &'static str)]) {
    let (socket, _) = listener.accept().await.unwrap();
    let mut line = BufStream::new(socket);
    let answer =
        |verb: &str| answers.iter().find(|(it, _)| *it == verb).map_or("250 ok", |it| it.1);
    let mut said = "CONNECT".to_owned();
    loop {
        let text = answer(&said).replace(" / ", "\r\n");
        line.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        line.flush().await.unwrap();
        let mut heard = String::new();
        if line.read_line(&mut heard).await.unwrap_or(0) == 0 {
            return;
        }
        said = heard.split_whitespace().next().unwrap_or_default().to_owned();
    }
}

async fn sent_to(
    answers: &'static [(&'static str, &'static str)],
    keys: &str,
) -> (Arc<Target>, Result<(), Failure>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap().port(), keys);
    let server = tokio::spawn(play(listener, answers));
    let outcome = send(&target, LONGEST).await;
    server.abort();
    (target, outcome)
}

const GREETING: (&str, &str) = ("CONNECT", "220 mail.example.test ESMTP");
const NOTHING: (&str, &str) = ("EHLO", "250 mail.example.test");
const TLS: (&str, &str) = ("EHLO", "250-mail.example.test / 250 STARTTLS");
const LOGIN: (&str, &str) = ("EHLO", "250-mail.example.test / 250 AUTH PLAIN");
const BOTH: (&str, &str) = ("EHLO", "250-mail.example.test / 250-STARTTLS / 250 AUTH PLAIN");

/// The reply to MAIL, the clue in it and what the advice names.
async fn assert_clue(
    answers: &'static [(&'static str, &'static str)],
    keys: &str,
    clue: Option<Clue>,
    advised: &str,
) {
    let (target, outcome) = sent_to(answers, keys).await;
    let failure = outcome.unwrap_err();
    assert_eq!(failure.clue, clue, "{answers:?}: {failure}");
    let advice = next_step(&target, Side::Send, &failure, "mailtrip.yml:1");
    assert!(advice.contains(advised), "{answers:?}: {advised} is not in {advice}");
}

#[tokio::test]
async fn a_refused_mail_tells_by_its_code_whether_tls_or_a_login_is_missing() {
    const MAIL_530: (&str, &str) = ("MAIL", "530 5.7.0 first something else");
    let none = "tls: none";
    let tls = "set `tls: starttls` under `send`";
    let login = "set `username` and a password under `send`";
    let user = "tls: none, username: sam, password: x";
    assert_clue(&[GREETING, TLS, MAIL_530], none, Some(Clue::TlsFirst), tls).await;
    assert_clue(&[GREETING, LOGIN, MAIL_530], none, Some(Clue::LoginFirst), login).await;
    let either = "also `username`";
    assert_clue(&[GREETING, BOTH, MAIL_530], none, Some(Clue::TlsOrLoginFirst), either).await;
    assert_clue(&[GREETING, NOTHING, MAIL_530], none, Some(Clue::TlsOrLoginFirst), tls).await;
    const LOGGED_IN: &[(&str, &str)] = &[GREETING, BOTH, ("AUTH", "235 2.7.0 ok"), MAIL_530];
    assert_clue(LOGGED_IN, user, Some(Clue::TlsFirst), tls).await;
    const MICROSOFT: &[(&str, &str)] = &[GREETING, TLS, ("MAIL", "530 5.7.57 not authenticated")];
    assert_clue(MICROSOFT, none, Some(Clue::LoginFirst), login).await;
    const LATE_535: &[(&str, &str)] = &[GREETING, NOTHING, ("MAIL", "535 5.7.8 no")];
    assert_clue(LATE_535, none, Some(Clue::LoginFirst), login).await;
    const AUTH_530: &[(&str, &str)] = &[GREETING, BOTH, ("AUTH", "530 5.7.0 Must issue STARTTLS")];
    assert_clue(AUTH_530, user, Some(Clue::TlsFirst), tls).await;
    const AUTH_538: &[(&str, &str)] = &[GREETING, BOTH, ("AUTH", "538 5.7.11 Encryption required")];
    assert_clue(AUTH_538, user, Some(Clue::TlsFirst), tls).await;
    const RELAY: &[(&str, &str)] = &[GREETING, NOTHING, ("RCPT", "550 relay not permitted")];
    assert_clue(RELAY, none, None, "if only after a login, set `username` under `send`").await;
    const DEFERRED: &[(&str, &str)] = &[GREETING, NOTHING, ("RCPT", "451 4.7.1 greylisted")];
    assert_clue(DEFERRED, none, None, "if it was a greylist").await;
}

#[tokio::test]
async fn a_refused_name_is_told_from_a_refused_address() {
    let (none, name) = ("tls: none", "set `ehlo` under `send`");
    const NAMED: &[(&str, &str)] = &[
        GREETING,
        NOTHING,
        ("RCPT", "550 5.7.1 <monitor.example.test>: Helo command rejected: no"),
    ];
    assert_clue(NAMED, none, Some(Clue::EhloName), name).await;
    const NOT_FULL: &[(&str, &str)] = &[GREETING, NOTHING, ("RCPT", "504 5.5.2 <x>: not full")];
    let domains = "check the domains of from@example.test and to@example.test";
    assert_clue(NOT_FULL, none, Some(Clue::EhloNameOrAddress), domains).await;
    const OTHER: &[(&str, &str)] =
        &[GREETING, NOTHING, ("RCPT", "550 5.7.1 host monitor.example.test is on a list")];
    assert_clue(OTHER, none, None, "takes mail from from@example.test").await;
    const GREETED: &[(&str, &str)] = &[("CONNECT", "450 4.7.0 too many connections")];
    assert_clue(GREETED, none, Some(Clue::AddressOnly), "lower `max_connections`").await;
}

#[tokio::test]
async fn a_server_that_greets_twice_is_asked_for_what_it_offers_all_the_same() {
    const TWICE: &[(&str, &str)] = &[
        GREETING,
        ("EHLO", "220 mail.example.test ESMTP / 250-mail.example.test / 250 AUTH PLAIN"),
        ("AUTH", "235 2.7.0 ok"),
        ("DATA", "354 go on"),
        ("Subject:", "250 taken"),
    ];
    let (_, outcome) = sent_to(TWICE, "tls: none, username: sam, password: x").await;
    // The server of this test answers each line of the mail, which no client waits for.
    let failure = outcome.err();
    assert!(failure.as_ref().is_none_or(|it| it.step == Step::Data), "{failure:?}");
}

#[tokio::test]
async fn a_reply_that_the_end_of_the_period_cuts_off_tells_of_the_period() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap().port(), "tls: none");
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        // Only a rest is left for the next reply.
        tokio::time::sleep(Duration::from_millis(400)).await;
        socket.write_all(b"220 mail.example.test ESMTP\r\n").await.unwrap();
        std::future::pending::<()>().await;
    });
    let failure = send(&target, Duration::from_millis(3100)).await.unwrap_err();
    server.abort();
    assert_eq!((failure.reason, failure.clue), (Reason::Timeout, Some(Clue::PeriodOver)));
    // The moment until the dialogue begins is no part of it.
    let words =
        failure.message.strip_prefix("no answer to EHLO monitor.example.test within the 3.1");
    let words = words.and_then(|words| words.split_once(' '));
    assert_eq!(words.map(|it| it.1), Some("s that all of it may take"), "{failure}");
    let advice = next_step(&target, Side::Send, &failure, "mailtrip.yml:1");
    assert!(advice.contains("longer `interval` in mailtrip.yml:1"), "{advice}");
}

/// A failure of the send side against a server that does TLS so, and its advice.
async fn fails_under(server: ServerTls, keys: &str) -> (Failure, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = target(listener.local_addr().unwrap().port(), keys);
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = SslStream::new(server.session().unwrap(), socket).unwrap();
        if Pin::new(&mut stream).accept().await.is_ok() {
            let _ = stream.write_all(b"220 mail.example.test ESMTP\r\n").await;
        }
        let _ = stream.shutdown().await;
    });
    let failure = send(&target, LONGEST).await.unwrap_err();
    serving.await.unwrap();
    let advice = next_step(&target, Side::Send, &failure, "mailtrip.yml:1");
    (failure, advice)
}

#[tokio::test]
async fn an_alert_names_the_key_that_is_missing_and_no_file_of_openssl() {
    let trust = Trust::new();
    let keys = format!("tls: implicit, tls_options: {}", trust.options());
    let asking = trust.authority.server_asking_for_client_certificate(Certificate::Good).unwrap();
    let (failure, advice) = fails_under(asking, &keys).await;
    assert_eq!((failure.reason, failure.clue), (Reason::Tls, Some(Clue::ClientCertificate)));
    assert!(advice.contains("set `cert_file` and `key_file` in `tls_options`"), "{advice}");
    let source_file = |words: &str| words.contains(".c:") || words.contains("error:");
    assert!(failure.message.contains("certificate required"), "{failure}");
    assert!(!source_file(&failure.message), "{failure}");

    let (own, key) = Issuer::new("a", 9, None).leaf(9);
    let mut builder = acceptor(&[own], &key);
    builder.set_servername_callback(|_, alert| {
        *alert = SslAlert::UNRECOGNIZED_NAME;
        Err(SniError::ALERT_FATAL)
    });
    let options = trust.options().replace('}', ", server_name: mail.example.test}");
    let keys = format!("tls: implicit, tls_options: {options}");
    let (failure, advice) = fails_under(ServerTls::new(builder.build()), &keys).await;
    assert_eq!((failure.reason, failure.clue), (Reason::Tls, Some(Clue::ServerName)));
    assert!(advice.contains("set `server_name` in `tls_options`"), "{advice}");
    assert!(!source_file(&failure.message), "{failure}");
}

#[tokio::test]
async fn tls_to_a_port_that_begins_without_it_is_told_to_use_starttls() {
    let (target, outcome) = sent_to(&[GREETING], "tls: implicit").await;
    let failure = outcome.unwrap_err();
    assert_eq!(failure.clue, Some(Clue::NotTls), "{failure}");
    let advice = next_step(&target, Side::Send, &failure, "mailtrip.yml:1");
    assert!(advice.contains("set `tls: starttls` under `send` in mailtrip.yml:1"), "{advice}");
}

/// An authority: its certificate and its key.
struct Issuer {
    certificate: X509,
    key: PKey<Private>,
}

impl Issuer {
    /// One that ends in so many days, below `above` or its own.
    fn new(name: &str, days: i32, above: Option<&Issuer>) -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let certificate = certificate(name, &key, days, above, true);
        Self { certificate, key }
    }

    /// The same authority, name and key, by the word of another one.
    fn signed_by(&self, name: &str, days: i32, above: &Issuer) -> X509 {
        certificate(name, &self.key, days, Some(above), true)
    }

    /// A certificate for 127.0.0.1 and its key.
    fn leaf(&self, days: i32) -> (X509, PKey<Private>) {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        (certificate("127.0.0.1", &key, days, Some(self), false), key)
    }
}

fn certificate(
    name: &str,
    key: &PKey<Private>,
    days: i32,
    above: Option<&Issuer>,
    is_authority: bool,
) -> X509 {
    let mut words = X509NameBuilder::new().unwrap();
    words.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    let words = words.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&words).unwrap();
    let by = above.map_or(words.as_ref(), |above| above.certificate.subject_name());
    builder.set_issuer_name(by).unwrap();
    builder.set_pubkey(key).unwrap();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let at = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
    builder.set_not_before(&at(-400)).unwrap();
    builder.set_not_after(&at(i64::from(days))).unwrap();
    let context = builder.x509v3_context(None, None);
    let extension = if is_authority {
        BasicConstraints::new().critical().ca().build()
    } else {
        SubjectAlternativeName::new().ip("127.0.0.1").build(&context)
    };
    builder.append_extension(extension.unwrap()).unwrap();
    builder.sign(above.map_or(key, |above| &above.key), MessageDigest::sha256()).unwrap();
    builder.build()
}

fn acceptor(chain: &[X509], key: &PKey<Private>) -> openssl::ssl::SslAcceptorBuilder {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&chain[0]).unwrap();
    for issuer in &chain[1..] {
        builder.add_extra_chain_cert(issuer.clone()).unwrap();
    }
    builder.set_private_key(key).unwrap();
    builder
}

/// What a handshake with this server showed to one who trusts `authority`.
async fn facts(server: &ServerTls, authority: &X509) -> (Option<Reason>, TlsFacts) {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.to_pem().unwrap()).unwrap();
    let keys = format!("tls_options: {{ca_file: {}}}", quoted(&ca_file.to_string_lossy()));
    let target = target(25, &keys);
    let client = TlsClient::new(&target.send.endpoint.tls_options).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut serving = SslStream::new(server.session().unwrap(), accepted).unwrap();
    let (endpoint, deadline) = (&target.send.endpoint, Instant::now() + LONGEST);
    let (handshake, _) = tokio::join!(
        client.handshake(endpoint, socket, deadline, Resumption::Never),
        Pin::new(&mut serving).accept()
    );
    (handshake.outcome.err().map(|fault| fault.reason), handshake.facts.unwrap())
}

#[tokio::test]
async fn an_expired_root_beside_a_way_that_holds_does_not_end_the_chain() {
    let old = Issuer::new("Old Root", 300, None);
    let root = Issuer::new("New Root", 3000, None);
    let crossed = root.signed_by("New Root", -30, &old);
    let between = Issuer::new("Between", 50, Some(&root));
    let (leaf, key) = between.leaf(80);
    let chain = [leaf, between.certificate.clone(), crossed];
    let server = ServerTls::new(acceptor(&chain, &key).build());
    let (refused, facts_now) = facts(&server, &root.certificate).await;
    assert_eq!(refused, None);
    let days = |facts: &TlsFacts| {
        let before = facts.leaf_not_after.duration_since(facts.chain_not_after).unwrap();
        before.as_secs() / 86_400
    };
    assert_eq!(
        days(&facts_now),
        30,
        "the one between ends first, the root that was not needed does not count"
    );

    let (refused, facts_now) = facts(&server, &old.certificate).await;
    assert_eq!(refused, Some(Reason::CertificateExpired), "there is no other way to this one");
    assert_eq!(days(&facts_now), 110, "of a refused chain everything that was sent counts");
}
