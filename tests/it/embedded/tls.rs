//! TLS as required: what is refused, what it is called, and that no credential is ever sent before
//! the server has proved who it is.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ledger::TlsFacts;
use ledger::{Failure, Reason, Side, Step};
use ledger::{PerSide, Snapshot};
use mail::net::tls::{Resumption, SessionMemory, TlsClient};
use mail::pop3::Pop3;
use mail::trace::Trace;
use mail::wire::{ConnectionContext, Dialer};
use mailtrip_exporter::config::{Endpoint, Login, TlsMode};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod, SslVersion};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use testserver::faults::Fault;
use testserver::record::SessionRecord;
use testserver::{Certificate, Delivery, Options, Protocol, Server, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_openssl::SslStream;

use crate::support::{
    Exporter, PASSWORD, TargetText, Trust, USER, World, all, only, protected, quoted,
};

/// The server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Smtp,
    Imap,
    Pop3,
}

const HALVES: [Half; 3] = [Half::Smtp, Half::Imap, Half::Pop3];
const MODES: [TlsMode; 2] = [TlsMode::StartTls, TlsMode::Implicit];

impl Half {
    fn side(self) -> Side {
        if self == Half::Smtp { Side::Send } else { Side::Receive }
    }

    fn key(self, key: &str) -> String {
        format!("{}.{key}", self.side())
    }

    fn server(self, world: &World) -> &Server {
        if self == Half::Smtp { &world.smtp } else { &world.mailbox }
    }

    /// A world whose one server is set up so, and a target that logs in to it with this protection.
    async fn world(self, options: Options, tls: TlsMode, trust: &Trust) -> (World, TargetText) {
        let mailbox = if self == Half::Pop3 { Protocol::Pop3 } else { Protocol::Imap };
        let (send, receive) = match self.side() {
            Side::Send => (options, Options::new()),
            Side::Receive => (Options::new(), options),
        };
        let world = World::with(mailbox, send, receive).await;
        let target = world.target("a").sender_logs_in().protect(self.side().label(), tls, trust);
        (world, target)
    }

    /// The failure of the first attempt.
    async fn failure(self, target: TargetText) -> Failure {
        let snapshot = Exporter::start(&[target]).await.measured("a").await;
        let state = if self == Half::Smtp { &snapshot.sides.send } else { &snapshot.sides.receive };
        assert_eq!(state.failures.total(), 1, "{snapshot:#?}");
        assert_eq!(state.up, Some(true));
        Arc::unwrap_or_clone(state.last_failure.clone().unwrap().1)
    }

    /// Whether a mail goes round.
    async fn goes_round(self, target: TargetText) -> Exporter {
        let exporter = Exporter::start(&[target]).await;
        exporter.received("a", 1).await;
        exporter
    }
}

/// The client has sent nothing that depends on the password, and not even tried to log in.
fn assert_no_credential_was_sent(server: &Server) {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    assert!(!server.sessions().is_empty());
    for session in server.sessions() {
        let said = String::from_utf8_lossy(&session.received).to_ascii_uppercase();
        for word in ["AUTH", "LOGIN", "PASS", "USER"] {
            assert!(!said.contains(word), "{said}");
        }
        assert!(!session.received_contains(PASSWORD.as_bytes()));
        assert!(!session.received_contains(BASE64_STANDARD.encode(PASSWORD).as_bytes()));
    }
    let stats = server.stats();
    assert_eq!((stats.logins, stats.logins_refused), (0, 0));
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_refused_before_any_credential() {
    let certificates = [
        (Certificate::Expired, Reason::CertificateExpired),
        (Certificate::NotYetValid, Reason::CertificateExpired),
        (Certificate::SelfSigned, Reason::CertificateUntrusted),
        (Certificate::WrongName, Reason::CertificateName),
    ];
    let mut cases = Vec::new();
    for half in HALVES {
        for tls in MODES {
            for (certificate, reason) in certificates {
                let case = async move {
                    let trust = Trust::new();
                    let options = protected(tls, &trust, certificate);
                    let (world, target) = half.world(options, tls, &trust).await;
                    let failure = half.failure(target).await;
                    assert_eq!((failure.step, failure.reason), (Step::Tls, reason), "{failure}");
                    assert!(!failure.down);
                    assert_no_credential_was_sent(half.server(&world));
                };
                cases.push((format!("{half:?} {tls:?} {certificate:?}"), case));
            }
        }
    }
    all(cases).await;
}

#[tokio::test]
async fn an_authority_that_nobody_named_is_not_trusted() {
    for half in HALVES {
        let trust = Trust::new();
        let options = protected(TlsMode::StartTls, &trust, Certificate::Good);
        let (world, target) = half.world(options, TlsMode::StartTls, &Trust::new()).await;
        let other = Trust::new();
        let failure = half.failure(target.set(&half.key("tls_options"), &other.options())).await;
        assert_eq!(failure.reason, Reason::CertificateUntrusted, "{failure}");
        assert_no_credential_was_sent(half.server(&world));
    }
}

#[tokio::test]
async fn starttls_that_is_not_offered_fails_and_names_the_ways_out() {
    for half in HALVES {
        // The server would take the login in the clear; the client must not give it.
        let (world, target) =
            half.world(Options::new().clear_text_login(), TlsMode::StartTls, &Trust::new()).await;
        let target = target.set(&half.key("tls_options"), "{insecure_skip_verify: true}");
        let failure = half.failure(target).await;
        assert_eq!((failure.step, failure.reason), (Step::Tls, Reason::Tls), "{failure}");
        assert!(failure.message.contains("tls: none"), "{failure}");
        assert!(failure.message.contains("tls: implicit"), "{failure}");
        assert_no_credential_was_sent(half.server(&world));
    }
}

#[tokio::test]
async fn plaintext_injected_behind_starttls_is_refused() {
    let points = [
        (Half::Smtp, "STARTTLS", "250-injected\r\n250 AUTH PLAIN"),
        (Half::Imap, "STARTTLS", "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nM2 OK injected"),
        (Half::Pop3, "STLS", "+OK injected\r\n."),
    ];
    for (half, point, injected) in points {
        let trust = Trust::new();
        let options = protected(TlsMode::StartTls, &trust, Certificate::Good);
        let (world, target) = half.world(options, TlsMode::StartTls, &trust).await;
        half.server(&world).faults().on(point, Fault::Append(injected.to_owned()));
        let failure = half.failure(target).await;
        assert_eq!((failure.step, failure.reason), (Step::Tls, Reason::Protocol), "{failure}");
        assert_no_credential_was_sent(half.server(&world));
        assert_eq!(half.server(&world).stats().tls_handshakes, 0);
    }
}

#[tokio::test]
async fn what_was_offered_before_tls_is_forgotten() {
    // A login offered in the clear only: behind TLS the server has none, so none is tried.
    let trust = Trust::new();
    let options = protected(TlsMode::StartTls, &trust, Certificate::Good).clear_text_login();
    let (world, target) = Half::Smtp.world(options, TlsMode::StartTls, &trust).await;
    world.smtp.faults().once("EHLO", Fault::None);
    world.smtp.faults().once("EHLO", Fault::reply("250 nothing offered here"));
    let failure = Half::Smtp.failure(target).await;
    assert_eq!((failure.step, failure.reason), (Step::Auth, Reason::Auth), "{failure}");
    assert_no_credential_was_sent(&world.smtp);
}

#[tokio::test]
async fn credentials_go_under_tls_only() {
    for half in HALVES {
        let trust = Trust::new();
        let options = protected(TlsMode::StartTls, &trust, Certificate::Good).clear_text_login();
        let (world, target) = half.world(options, TlsMode::StartTls, &trust).await;
        let exporter = half.goes_round(target).await;
        let session = half.server(&world).sessions().remove(0);
        let clear = String::from_utf8_lossy(session.in_the_clear()).to_ascii_uppercase();
        assert!(clear.ends_with("STARTTLS\r\n") || clear.ends_with("STLS\r\n"), "{clear}");
        assert!(!clear.contains("AUTH") && !clear.contains("PASS"), "{clear}");
        let snapshot = exporter.snapshot("a");
        let PerSide { send, receive } = &snapshot.sides;
        let facts = if half == Half::Smtp { &send.tls } else { &receive.tls };
        let facts = facts.as_ref().unwrap();
        assert_eq!(facts.version, "TLSv1.3");
        assert!(facts.chain_not_after < facts.leaf_not_after, "the issuer ends first: {facts:?}");
    }
}

#[tokio::test]
async fn the_policy_can_be_widened_where_the_configuration_says_so() {
    let old = |trust: &Trust| -> ServerTls {
        trust.authority.server_up_to(Certificate::Good, SslVersion::TLS1_1).unwrap()
    };
    for half in HALVES {
        let trust = Trust::new();
        let options = Options::new().starttls(&old(&trust));
        let (world, target) = half.world(options, TlsMode::StartTls, &trust).await;
        let failure = half.failure(target.clone()).await;
        assert_eq!((failure.step, failure.reason), (Step::Tls, Reason::Tls), "{failure}");
        assert_no_credential_was_sent(half.server(&world));
        let widened = trust.options().replace('}', ", min_version: '1.0'}");
        half.goes_round(target.set(&half.key("tls_options"), &widened)).await;

        let options = protected(TlsMode::Implicit, &trust, Certificate::SelfSigned);
        let (_world, target) = half.world(options, TlsMode::Implicit, &trust).await;
        let any = "{insecure_skip_verify: true}";
        half.goes_round(target.set(&half.key("tls_options"), any)).await;

        let options = protected(TlsMode::StartTls, &trust, Certificate::WrongName);
        let (world, target) = half.world(options, TlsMode::StartTls, &trust).await;
        let named = trust.options().replace('}', ", server_name: elsewhere.example}");
        half.goes_round(target.set(&half.key("tls_options"), &named)).await;
        let session = half.server(&world).sessions().remove(0);
        let name = session.tls.and_then(|tls| tls.server_name);
        assert_eq!(name.as_deref(), Some("elsewhere.example"));
    }
}

#[tokio::test]
async fn a_host_with_a_final_dot_is_named_and_verified_without_it() {
    for half in HALVES {
        let trust = Trust::new();
        let options = protected(TlsMode::StartTls, &trust, Certificate::Good);
        let (world, target) = half.world(options, TlsMode::StartTls, &trust).await;
        half.goes_round(target.set(&half.key("host"), "localhost.")).await;
        let session = half.server(&world).sessions().remove(0);
        let name = session.tls.and_then(|tls| tls.server_name);
        assert_eq!(name.as_deref(), Some("localhost"));
    }
}

/// The facts of one POP3 session over this way, or why there is none.
async fn visit(dialer: &Dialer, login: &Login) -> Result<TlsFacts, Failure> {
    let trace = Trace::new(Some(login));
    let end = Instant::now() + Duration::from_secs(20);
    let mut pop3 = Pop3::open(dialer, login, trace.clone(), end).await?;
    // The tickets of TLS 1.3 come with the first answers.
    pop3.list().await?;
    pop3.quit(false).await?;
    Ok(trace.tls_facts().unwrap())
}

/// The way to the mailbox of this target.
fn way(target: &TargetText) -> (Dialer, Login) {
    let target = only(target.clone());
    let side = target.receive.as_ref().unwrap();
    let dialer =
        Dialer::new(&side.endpoint, Some(&side.login), &ConnectionContext::default()).unwrap();
    (dialer.keeping_sessions(), side.login.clone())
}

#[tokio::test]
async fn a_session_is_resumed_only_where_the_certificate_need_not_be_seen() {
    for tls in MODES {
        for newest in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
            let trust = Trust::new();
            let server = trust.authority.server_up_to(Certificate::Good, newest).unwrap();
            let options = match tls {
                TlsMode::Implicit => Options::new().implicit_tls(&server),
                _ => Options::new().starttls(&server),
            };
            let (_world, target) = Half::Pop3.world(options, tls, &trust).await;
            let (dialer, login) = way(&target);
            let is_resumed =
                async |dialer: &Dialer| visit(dialer, &login).await.unwrap().is_resumed;
            let resuming = dialer.resuming();
            assert!(!is_resumed(&resuming).await, "nothing was kept yet");
            assert!(is_resumed(&resuming).await && is_resumed(&resuming).await);
            assert!(!is_resumed(&dialer).await, "who checks sees the certificate");
            let facts = visit(&resuming, &login).await.unwrap();
            let seen = visit(&dialer, &login).await.unwrap();
            assert_eq!((facts.is_resumed, seen.is_resumed), (true, false));
            assert_eq!(facts.leaf_not_after, seen.leaf_not_after);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_refused_leaves_no_session_to_resume() {
    for tls in MODES {
        let trust = Trust::new();
        let options = protected(tls, &trust, Certificate::Expired);
        let (world, target) = Half::Pop3.world(options, tls, &trust).await;
        let (dialer, login) = way(&target);
        for dialer in [&dialer, &dialer.resuming(), &dialer.resuming()] {
            let failure = visit(dialer, &login).await.unwrap_err();
            assert_eq!(failure.reason, Reason::CertificateExpired, "{failure}");
        }
        assert_no_credential_was_sent(&world.mailbox);
    }
}

#[tokio::test]
async fn the_looks_of_a_period_resume_the_session_of_its_check() {
    let trust = Trust::new();
    let options = protected(TlsMode::StartTls, &trust, Certificate::Good);
    let (world, target) = Half::Pop3.world(options, TlsMode::StartTls, &trust).await;
    world.post.set_delivery(USER, Delivery::held());
    let exporter = Exporter::start(&[target.set("interval", "3s")]).await;
    let checked = |snapshot: &Snapshot| snapshot.totals.checks == 3;
    exporter.until("a", "checked three times", checked).await;
    exporter.supervisor.stop().await;
    let sessions = world.mailbox.sessions();
    let resumed = |session: &SessionRecord| session.tls.as_ref().is_some_and(|tls| tls.resumed);
    let with_tls: Vec<bool> = sessions.iter().filter(|it| it.tls.is_some()).map(resumed).collect();
    assert_eq!((with_tls[0], with_tls[1]), (false, true), "{with_tls:?}");
    let in_full = with_tls.iter().filter(|is_resumed| !**is_resumed).count();
    assert_eq!(in_full, 3, "each check sees the certificate: {with_tls:?}");
}

/// One handshake with a server that has this certificate now, and a byte from it, with which the tickets
/// of TLS 1.3 come; whether a session was resumed.
async fn shake_hands(
    client: &TlsClient,
    endpoint: &Endpoint,
    server: &ServerTls,
    resumption: Resumption<'_>,
) -> Result<bool, Reason> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut serving = SslStream::new(server.session().unwrap(), accepted).unwrap();
    let server = async {
        if Pin::new(&mut serving).accept().await.is_ok() {
            let _ = serving.write_all(b"!").await;
        }
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let client = async {
        let handshake = client.handshake(endpoint, socket, deadline, resumption).await;
        let mut stream = handshake.outcome.map_err(|fault| fault.reason)?;
        stream.read_exact(&mut [0; 1]).await.unwrap();
        Ok(handshake.facts.unwrap().is_resumed)
    };
    tokio::join!(client, server).0
}

#[tokio::test]
async fn a_certificate_that_turned_bad_ends_what_could_be_resumed() {
    let trust = Trust::new();
    let target = Half::Pop3.world(Options::new(), TlsMode::Implicit, &trust).await.1;
    let endpoint = only(target).receive.as_ref().unwrap().endpoint.clone();
    let client = TlsClient::new(&endpoint.tls_options).unwrap();
    let [good, bad] = [Certificate::Good, Certificate::Expired]
        .map(|certificate| trust.authority.server(certificate).unwrap());
    let memory = Arc::new(SessionMemory::default());
    let check = Resumption::Afresh(&memory);
    let look = Resumption::Offered(&memory);
    assert_eq!(shake_hands(&client, &endpoint, &good, check).await, Ok(false));
    assert_eq!(shake_hands(&client, &endpoint, &good, look).await, Ok(true));
    // The new server cannot resume; its certificate is seen, and refused.
    let refused = Err(Reason::CertificateExpired);
    assert_eq!(shake_hands(&client, &endpoint, &bad, look).await, refused);
    assert_eq!(shake_hands(&client, &endpoint, &good, look).await, Ok(false), "nothing was left");
}

/// A certificate for 127.0.0.1 of a key of so many bits, signed with this digest by `issuer`, or by itself.
fn certificate(
    bits: u32,
    digest: MessageDigest,
    issuer: Option<&(X509, PKey<Private>)>,
) -> (X509, PKey<Private>) {
    let key = PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, &format!("{bits} {}", issuer.is_some())).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&name).unwrap();
    let issuer_name = issuer.map_or(name.as_ref(), |(issuer, _)| issuer.subject_name());
    builder.set_issuer_name(issuer_name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(9).unwrap()).unwrap();
    let context = builder.x509v3_context(None, None);
    let extension = match issuer {
        Some(_) => SubjectAlternativeName::new().ip("127.0.0.1").build(&context),
        None => BasicConstraints::new().critical().ca().build(),
    };
    builder.append_extension(extension.unwrap()).unwrap();
    builder.sign(issuer.map_or(&key, |(_, key)| key), digest).unwrap();
    (builder.build(), key)
}

#[tokio::test]
async fn small_keys_and_sha_1_are_accepted_only_where_the_configuration_lowers_the_version() {
    for (bits, digest) in [(1024, MessageDigest::sha256()), (2048, MessageDigest::sha1())] {
        let authority = certificate(2048, MessageDigest::sha256(), None);
        let (own, key) = certificate(bits, digest, Some(&authority));
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        builder.set_certificate(&own).unwrap();
        builder.set_private_key(&key).unwrap();
        let server = ServerTls::new(builder.build());
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, authority.0.to_pem().unwrap()).unwrap();
        let options = Options::new().starttls(&server);
        let trust = Trust::new();
        let (world, target) = Half::Pop3.world(options, TlsMode::StartTls, &trust).await;
        let ca_file = quoted(&ca_file.display().to_string());
        let target = |more: &str| {
            let (dialer, login) = way(&target
                .clone()
                .set("receive.tls_options", &format!("{{ca_file: {ca_file}{more}}}")));
            async move { visit(&dialer, &login).await }
        };
        let failure = target("").await.unwrap_err();
        let is_weak = matches!(failure.reason, Reason::CertificateUntrusted | Reason::Tls);
        assert!(is_weak && failure.step == Step::Tls, "{bits}: {failure}");
        assert!(failure.message.contains("min_version: '1.0'"), "{bits}: {failure}");
        assert_no_credential_was_sent(&world.mailbox);
        assert!(target(", min_version: '1.0'").await.is_ok(), "{bits}");
    }
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate_of_the_client() {
    for half in HALVES {
        for tls in MODES {
            let trust = Trust::new();
            let server =
                trust.authority.server_asking_for_client_certificate(Certificate::Good).unwrap();
            let options = match tls {
                TlsMode::Implicit => Options::new().implicit_tls(&server),
                _ => Options::new().starttls(&server),
            };
            let (world, target) = half.world(options, tls, &trust).await;
            let failure = half.failure(target.clone()).await;
            assert_eq!(failure.reason, Reason::Tls, "{half:?} {tls:?}: {failure}");
            assert_no_credential_was_sent(half.server(&world));

            let folder = tempfile::tempdir().unwrap();
            let own = trust.authority.client("monitor").unwrap();
            let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
            std::fs::write(&cert, own.certificate).unwrap();
            std::fs::write(&key, own.key).unwrap();
            let identity = format!(
                ", cert_file: {}, key_file: {}}}",
                quoted(&cert.to_string_lossy()),
                quoted(&key.to_string_lossy())
            );
            let options = trust.options().replace('}', &identity);
            half.goes_round(target.set(&half.key("tls_options"), &options)).await;
        }
    }
}
