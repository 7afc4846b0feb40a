//! What a client meets in the handshake.

use std::pin::Pin;

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use tokio_openssl::SslStream;

use super::*;
use crate::web::server::tests::{hold, read_to_end, request};

/// What a client saw.
struct Seen {
    certificate: X509,
    version: &'static str,
    suite: String,
    answer: String,
}

/// A request over TLS, by a client that `set_up` has made.
async fn ask_as(
    server: &Running,
    set_up: impl FnOnce(&mut SslConnectorBuilder),
) -> Result<Seen, String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    set_up(&mut builder);
    let ssl = builder.build().configure().unwrap().into_ssl("localhost").unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut stream = SslStream::new(ssl, tcp).unwrap();
    let exchange = async {
        Pin::new(&mut stream).connect().await.map_err(|error| error.to_string())?;
        let bytes = request("GET", "/metrics", "");
        stream.write_all(bytes.as_bytes()).await.map_err(|error| error.to_string())?;
        let answer = read_to_end(&mut stream).await;
        let ssl = stream.ssl();
        let certificate = ssl.peer_certificate().ok_or("no certificate")?;
        let suite = ssl.current_cipher().ok_or("no suite")?.name().to_owned();
        let version = ssl.version_str();
        if answer.is_empty() {
            return Err("no answer".to_owned());
        }
        Ok(Seen { certificate, version, suite, answer })
    };
    timeout(GUARD, exchange).await.expect("the handshake or the answer comes")
}

/// A request of a client with a certificate of its own, or none: the server's and the answer.
async fn ask_tls(
    server: &Running,
    client: Option<&Identity>,
    newest: Option<SslVersion>,
) -> Result<(X509, String), String> {
    let seen = ask_as(server, |builder| {
        builder.set_max_proto_version(newest).unwrap();
        if let Some(identity) = client {
            show(builder, identity);
        }
    });
    seen.await.map(|seen| (seen.certificate, seen.answer))
}

fn show(builder: &mut SslConnectorBuilder, identity: &Identity) {
    builder.set_certificate(&identity.certificate).unwrap();
    builder.set_private_key(&identity.key).unwrap();
}

/// A client of one version only, however old it is.
fn speaks_only(builder: &mut SslConnectorBuilder, version: SslVersion) {
    builder.set_cipher_list("DEFAULT:@SECLEVEL=0").unwrap();
    builder.set_min_proto_version(Some(version)).unwrap();
    builder.set_max_proto_version(Some(version)).unwrap();
}

#[tokio::test]
async fn half_handshakes_beyond_all_slots_delay_no_scrape() {
    // Were they waited for, it would be until the guard.
    let limits = Limits { handshake: GUARD * 10, ..Limits::default() };
    let all = limits.connections;
    let folder = Folder::with_tls(&Identity::new("localhost", None), "");
    let server = start(limits, folder.load().unwrap(), echo).await;
    // Nothing, one byte, and the beginning of a ClientHello.
    for beginning in ["", "\x16", "\x16\x03\x01\x02\x00\x01\x00\x01"] {
        let held = hold(&server, &vec![beginning; all + 50]).await;
        let (_, answer) = ask_tls(&server, None, None).await.unwrap();
        assert!(answer.contains("GET /metrics"), "{beginning:?}: {answer}");
        drop(held);
    }
    server.end().await;
}

#[tokio::test]
async fn versions_are_offered_as_the_file_says() {
    const ALL: [SslVersion; 4] =
        [SslVersion::TLS1, SslVersion::TLS1_1, SslVersion::TLS1_2, SslVersion::TLS1_3];
    let identity = Identity::new("localhost", None);
    for (more, expected) in [
        ("", [false, false, true, true]),
        ("  min_version: TLS10\n", [true, true, true, true]),
        ("  min_version: TLS11\n  max_version: TLS12\n", [false, true, true, false]),
        ("  max_version: TLS12\n", [false, false, true, false]),
        ("  min_version: TLS13\n", [false, false, false, true]),
    ] {
        let server = Folder::with_tls(&identity, more).serve().await;
        for (version, expected) in ALL.into_iter().zip(expected) {
            let seen = ask_as(&server, |builder| speaks_only(builder, version)).await;
            assert_eq!(seen.is_ok(), expected, "{more:?} {version:?}: {:?}", seen.err());
        }
        server.end().await;
    }
}

#[tokio::test]
async fn suites_and_their_order_are_those_of_the_file() {
    let identity = Identity::new("localhost", None);
    let (strong, usual) = ("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256");
    let listed = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
                  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n";
    let one = "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n";
    let no_preference = format!("{listed}  prefer_server_cipher_suites: false\n");
    let old = "  min_version: TLS10\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA]\n\
               http_server_config: {http2: false}\n";
    for (more, offered, expected) in [
        (listed, format!("{usual}:{strong}"), Some(strong)),
        (no_preference.as_str(), format!("{usual}:{strong}"), Some(usual)),
        (one, format!("{strong}:{usual}"), Some(usual)),
        (one, strong.to_owned(), None),
        (one, "ECDHE-ECDSA-CHACHA20-POLY1305".to_owned(), None),
        (old, "ECDHE-ECDSA-AES256-SHA".to_owned(), Some("ECDHE-ECDSA-AES256-SHA")),
    ] {
        let server = Folder::with_tls(&identity, more).serve().await;
        let seen = ask_as(&server, |builder| {
            builder.set_max_proto_version(Some(SslVersion::TLS1_2)).unwrap();
            builder.set_cipher_list(&offered).unwrap();
        })
        .await;
        assert_eq!(seen.ok().map(|seen| seen.suite).as_deref(), expected, "{more} {offered}");
        // Suites of TLS 1.3 cannot be chosen.
        assert_eq!(ask_as(&server, |_| {}).await.unwrap().version, "TLSv1.3", "{more}");
        server.end().await;
    }
    let only_13 = "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n\
                   http_server_config: {http2: false}\n";
    let server = Folder::with_tls(&identity, only_13).serve().await;
    assert!(ask_tls(&server, None, None).await.is_ok());
    assert!(ask_tls(&server, None, Some(SslVersion::TLS1_2)).await.is_err());
    server.end().await;
}

#[tokio::test]
async fn curves_are_those_of_the_file() {
    let identity = Identity::new("localhost", None);
    let folder = Folder::with_tls(&identity, "  curve_preferences: [CurveP521, X25519]\n");
    let server = folder.serve().await;
    for (curve, expected) in [("P-521", true), ("X25519", true), ("P-384", false)] {
        let seen = ask_as(&server, |builder| builder.set_groups_list(curve).unwrap()).await;
        assert_eq!(seen.is_ok(), expected, "{curve}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_client_certificate_needs_one_of_the_allowed_names() {
    let authority = Identity::new("authority", None);
    let client = Identity::new("client", Some(&authority));
    for (kind, names, with_ours, with_none) in [
        ("RequireAndVerifyClientCert", "[other, client.example]", true, false),
        ("RequireAndVerifyClientCert", "[client@mail.example]", true, false),
        ("RequireAndVerifyClientCert", "['spiffe://client']", true, false),
        ("RequireAndVerifyClientCert", "[192.0.2.7]", true, false),
        ("RequireAndVerifyClientCert", "['2001:db8::7']", true, false),
        ("RequireAndVerifyClientCert", "[client, example, 192.0.2.8]", false, false),
        ("RequireAndVerifyClientCert", "[]", false, false),
        ("VerifyClientCertIfGiven", "[client.example]", true, false),
        ("RequestClientCert", "[client.example]", true, false),
        ("RequestClientCert", "[other.example]", false, false),
        ("NoClientCert", "[other.example]", true, true),
    ] {
        let mut more = format!("  client_auth_type: {kind}\n  client_allowed_sans: {names}\n");
        if kind.contains("Verify") {
            more.push_str("  client_ca_file: authority.pem\n");
        }
        let folder = Folder::with_tls(&Identity::new("localhost", None), &more);
        folder.write("authority.pem", authority.certificate.to_pem().unwrap());
        let server = folder.serve().await;
        for (shown, expected) in [(Some(&client), with_ours), (None, with_none)] {
            let outcome = ask_tls(&server, shown, None).await;
            assert_eq!(outcome.is_ok(), expected, "{kind} {names}: {:?}", outcome.err());
        }
        server.end().await;
    }
}

#[tokio::test]
async fn certificate_key_and_authorities_can_stand_in_the_file_itself() {
    let identity = Identity::new("localhost", None);
    let authority = Identity::new("authority", None);
    let client = Identity::new("client", Some(&authority));
    let block = |key: &str, pem: Vec<u8>| {
        let text = String::from_utf8(pem).unwrap();
        format!("  {key}: |\n    {}\n", text.trim_end().replace('\n', "\n    "))
    };
    let certificate = block("cert", identity.certificate.to_pem().unwrap());
    let key = block("key", identity.key.private_key_to_pem_pkcs8().unwrap());
    let client_ca = block("client_ca", authority.certificate.to_pem().unwrap());
    let demand = "  client_auth_type: RequireAndVerifyClientCert\n";
    let folder = Folder::new();
    folder.write_identity(&identity);
    for own in [
        format!("{certificate}{key}"),
        format!("{certificate}  key_file: key.pem\n"),
        format!("  cert_file: cert.pem\n{key}"),
        // If there are both, the file counts.
        format!("  cert_file: cert.pem\n  cert: x\n{key}"),
    ] {
        folder.write("web.yml", format!("tls_server_config:\n{own}{client_ca}{demand}"));
        let server = folder.serve().await;
        let (shown, answer) = ask_tls(&server, Some(&client), None).await.unwrap();
        assert_eq!(shown.to_der().unwrap(), identity.certificate.to_der().unwrap());
        assert!(answer.ends_with("authenticated=true\n"), "{answer}");
        assert!(ask_tls(&server, None, None).await.is_err());
        server.end().await;
    }
    let other = block("key", authority.key.private_key_to_pem_pkcs8().unwrap());
    folder.write("web.yml", format!("tls_server_config:\n{certificate}{other}"));
    let problems = folder.problems();
    assert!(
        problems.contains("tls_server_config.key: is not the key of the certificate in"),
        "{problems}"
    );
    assert!(!problems.contains("BEGIN"), "{problems}");
}

#[tokio::test]
async fn tls_is_served_and_plain_http_on_it_explained() {
    let identity = Identity::new("localhost", None);
    let server = Folder::with_tls(&identity, "").serve().await;
    let (certificate, answer) = ask_tls(&server, None, None).await.unwrap();
    assert_eq!(certificate.to_der().unwrap(), identity.certificate.to_der().unwrap());
    assert!(answer.ends_with("GET /metrics authenticated=false\n"), "{answer}");
    assert!(ask_tls(&server, None, Some(SslVersion::TLS1_2)).await.is_ok());
    assert!(ask_tls(&server, None, Some(SslVersion::TLS1_1)).await.is_err());
    let plain = server.ask("GET", "/", "").await;
    assert!(plain.starts_with("HTTP/1.0 400 ") && plain.contains("use https"), "{plain}");
    server.end().await;
}

#[tokio::test]
async fn a_client_that_never_ends_the_handshake_is_cut() {
    let folder = Folder::with_tls(&Identity::new("localhost", None), "");
    let short = Duration::from_millis(150);
    let limits = Limits { handshake: short, ..Limits::default() };
    let server = start(limits, folder.load().unwrap(), echo).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
    assert_eq!(read_to_end(&mut half).await, "");
    // In the middle of a handshake the shutdown does not wait either.
    let mut last = TcpStream::connect(server.address).await.unwrap();
    server.end().await;
    assert!(matches!(last.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn each_client_auth_type_admits_whom_it_says() {
    let authority = Identity::new("authority", None);
    let ours = Identity::new("client", Some(&authority));
    let stranger = Identity::new("stranger", None);
    for (kind, with_none, with_stranger, with_ours) in [
        ("NoClientCert", true, true, true),
        ("RequestClientCert", true, true, true),
        ("RequireAnyClientCert", false, true, true),
        ("VerifyClientCertIfGiven", true, false, true),
        ("RequireAndVerifyClientCert", false, false, true),
    ] {
        let mut more = format!("  client_auth_type: {kind}\n");
        if kind.contains("Verify") {
            more.push_str("  client_ca_file: authority.pem\n");
        }
        let folder = Folder::with_tls(&Identity::new("localhost", None), &more);
        folder.write("authority.pem", authority.certificate.to_pem().unwrap());
        let server = folder.serve().await;
        for (client, expected) in
            [(None, with_none), (Some(&stranger), with_stranger), (Some(&ours), with_ours)]
        {
            let outcome = ask_tls(&server, client, None).await;
            assert_eq!(outcome.is_ok(), expected, "{kind}: {:?}", outcome.err());
            let Ok((_, answer)) = outcome else { continue };
            let known = kind == "RequireAndVerifyClientCert";
            assert!(answer.ends_with(&format!("authenticated={known}\n")), "{kind}: {answer}");
        }
        server.end().await;
    }
}

#[tokio::test]
async fn a_changed_certificate_is_used_for_the_next_connection() {
    let (old, new) = (Identity::new("old", None), Identity::new("new", None));
    let folder = Folder::with_tls(&old, "");
    let server = folder.serve().await;
    let shown = async || ask_tls(&server, None, None).await.unwrap().0.to_der().unwrap();
    assert_eq!(shown().await, old.certificate.to_der().unwrap());
    folder.write_identity(&new);
    assert_eq!(shown().await, new.certificate.to_der().unwrap());
    server.end().await;
}
