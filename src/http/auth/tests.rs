use std::fs;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509NameBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::*;
use crate::http::Limits;
use crate::http::tests::{GUARD, Log, Running, echo, read_to_end, request, start};

/// A certificate with its key.
struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

impl Identity {
    /// A certificate for `name`, signed by `issuer` or by itself.
    fn new(name: &str, issuer: Option<&Identity>) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut serial = BigNum::new().unwrap();
        serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        match issuer {
            Some(issuer) => {
                builder.set_issuer_name(issuer.certificate.subject_name()).unwrap();
                builder.sign(&issuer.key, MessageDigest::sha256()).unwrap();
            }
            None => {
                builder.set_issuer_name(&subject).unwrap();
                let constraints = BasicConstraints::new().critical().ca().build().unwrap();
                builder.append_extension(constraints).unwrap();
                builder.sign(&key, MessageDigest::sha256()).unwrap();
            }
        }
        Self { certificate: builder.build(), key }
    }
}

/// A folder with a web configuration and what it names.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
        // Two writes within one tick of the file system's clock must not look alike.
        static WRITES: AtomicU64 = AtomicU64::new(0);
        let age = Duration::from_secs(WRITES.fetch_add(1, Ordering::Relaxed));
        let file = fs::File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    fn write_identity(&self, identity: &Identity) {
        self.write("cert.pem", identity.certificate.to_pem().unwrap());
        self.write("key.pem", identity.key.private_key_to_pem_pkcs8().unwrap());
    }

    fn with_tls(identity: &Identity, more: &str) -> Self {
        let folder = Self::new();
        folder.write_identity(identity);
        let tls = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";
        folder.write("web.yml", format!("{tls}{more}"));
        folder
    }

    fn with_users(users: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        folder.write_users(users);
        folder
    }

    fn write_users(&self, users: &[(&str, &str)]) {
        let mut text = "basic_auth_users:\n".to_owned();
        for (name, password) in users {
            let hash = bcrypt::hash(password, 4).unwrap();
            text.push_str(&format!("  {name}: {hash}\n"));
        }
        self.write("web.yml", text);
    }

    fn load(&self) -> Result<WebConfig, WebConfigError> {
        WebConfig::load_checked_every(&self.path("web.yml"), Duration::ZERO)
    }

    /// The problems, with the name of the file only.
    fn problems(&self) -> String {
        let error = self.load().unwrap_err().to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }

    async fn serve(&self) -> Running {
        start(Limits::default(), self.load().unwrap(), echo).await
    }
}

/// A request over TLS: the server's certificate and the answer.
async fn ask_tls(
    server: &Running,
    client: Option<&Identity>,
    newest: Option<SslVersion>,
) -> Result<(X509, String), String> {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_max_proto_version(newest).unwrap();
    if let Some(identity) = client {
        builder.set_certificate(&identity.certificate).unwrap();
        builder.set_private_key(&identity.key).unwrap();
    }
    let ssl = builder.build().configure().unwrap().into_ssl("localhost").unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut stream = SslStream::new(ssl, tcp).unwrap();
    let exchange = async {
        Pin::new(&mut stream).connect().await.map_err(|error| error.to_string())?;
        let bytes = request("GET", "/metrics", "");
        stream.write_all(bytes.as_bytes()).await.map_err(|error| error.to_string())?;
        let answer = read_to_end(&mut stream).await;
        let certificate = stream.ssl().peer_certificate().ok_or("no certificate")?;
        if answer.is_empty() { Err("no answer".to_owned()) } else { Ok((certificate, answer)) }
    };
    timeout(GUARD, exchange).await.expect("the handshake or the answer comes")
}

async fn status_as(server: &Running, credentials: &str) -> String {
    let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials));
    let answer = server.ask("GET", "/metrics", &header).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[test]
fn every_problem_is_told_with_its_line_and_key() {
    let folder = Folder::new();
    folder.write("empty.pem", "");
    folder.write(
        "web.yml",
        "tls_server_config:\n\
         \x20 cert_file: missing.pem\n\
         \x20 key_file: empty.pem\n\
         \x20 client_auth_type: Always\n\
         \x20 min_version: TLS10\n\
         \x20 cipher_suites: []\n\
         basic_auth_users:\n\
         \x20 ann: secret-in-clear\n\
         \x20 'b:c': 7\n\
         http_server_config:\n\
         \x20 http2: false\n",
    );
    let problems = folder.problems();
    assert!(!problems.contains("secret-in-clear"), "{problems}");
    assert_eq!(
        problems,
        "web.yml:2: tls_server_config.cert_file: missing.pem cannot be read: No such file or \
         directory (os error 2)\n\
         web.yml:3: tls_server_config.key_file: empty.pem holds no private key in PEM without a \
         passphrase\n\
         web.yml:4: tls_server_config.client_auth_type: must be NoClientCert, RequestClientCert, \
         RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert\n\
         web.yml:5: tls_server_config.min_version: must be TLS12 or TLS13: older versions are not \
         offered\n\
         web.yml:6: tls_server_config.cipher_suites: unknown key: only cert_file, key_file, \
         client_ca_file, client_auth_type and min_version are supported\n\
         web.yml:8: basic_auth_users.ann: must be a bcrypt hash, as `htpasswd -nBC 10 ann` prints \
         it\n\
         web.yml:9: basic_auth_users.b:c: a user name cannot hold a colon\n\
         web.yml:9: basic_auth_users.b:c: must be a bcrypt hash, as `htpasswd -nBC 10 b:c` prints \
         it\n\
         web.yml:10: http_server_config: unknown key: only tls_server_config and \
         basic_auth_users are supported"
    );
}

#[test]
fn a_file_that_would_silently_protect_nothing_is_refused() {
    let empty = "web.yml: is empty: give it tls_server_config or basic_auth_users, or start \
                 without --web.config.file";
    let mapping = "must be a mapping of keys to values, and not empty";
    let ca_without_type = "tls_server_config:\n  cert_file: c\n  key_file: k\n  client_ca_file: a";
    let type_without_ca = "tls_server_config:\n  cert_file: c\n  key_file: k\n  client_auth_type: \
         RequireAndVerifyClientCert";
    for (text, expected) in [
        ("", empty),
        ("# later\n", empty),
        ("---\n", empty),
        ("basic_auth_users:\n", &format!("web.yml:1: basic_auth_users: {mapping}")),
        (
            "basic_auth_users: {}\n",
            "web.yml:1: basic_auth_users: has no user: add one, or remove the key",
        ),
        ("- a\n", &format!("web.yml:1: {mapping}")),
        (
            "tls_server_config: {}\n",
            "web.yml:1: tls_server_config.cert_file: missing\n\
             web.yml:1: tls_server_config.key_file: missing",
        ),
        (
            ca_without_type,
            "web.yml:4: tls_server_config.client_ca_file: has no effect: set client_auth_type to \
             RequireAndVerifyClientCert or VerifyClientCertIfGiven",
        ),
        (
            type_without_ca,
            "web.yml:1: tls_server_config.client_ca_file: missing: client_auth_type needs it",
        ),
    ] {
        let folder = Folder::new();
        folder.write("web.yml", text);
        let problems = folder.problems();
        assert!(problems.contains(expected), "{text:?} gave {problems}");
    }
    let folder = Folder::new();
    folder.write("web.yml", "a: [\n");
    assert!(folder.problems().contains(": is not YAML: "), "{}", folder.problems());
    let missing = WebConfig::load(&folder.path("none.yml")).unwrap_err().to_string();
    assert!(missing.contains("none.yml: cannot be read: No such file"), "{missing}");
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let folder = Folder::with_tls(&Identity::new("one", None), "");
    folder.write("key.pem", Identity::new("two", None).key.private_key_to_pem_pkcs8().unwrap());
    assert_eq!(
        folder.problems(),
        "web.yml:3: tls_server_config.key_file: is not the key of the certificate in cert_file"
    );
}

#[test]
fn a_key_with_a_passphrase_is_refused_without_asking() {
    let identity = Identity::new("one", None);
    let folder = Folder::with_tls(&identity, "");
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let pem = identity.key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
    folder.write("key.pem", pem);
    assert!(folder.problems().contains("without a passphrase"), "{}", folder.problems());
}

#[tokio::test]
async fn users_and_demanded_certificates_are_authentication() {
    let authority = Identity::new("authority", None);
    let has = |folder: &Folder| folder.load().unwrap().has_authentication();
    assert!(!WebConfig::none().has_authentication());
    assert!(has(&Folder::with_users(&[("ann", "x")])));
    assert!(!has(&Folder::with_tls(&authority, "")));
    for (kind, expected) in
        [("VerifyClientCertIfGiven", false), ("RequireAndVerifyClientCert", true)]
    {
        let more = format!("  client_ca_file: cert.pem\n  client_auth_type: {kind}\n");
        assert_eq!(has(&Folder::with_tls(&authority, &more)), expected, "{kind}");
    }
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

    let folder = Folder::with_tls(&identity, "  min_version: TLS13\n");
    let server = folder.serve().await;
    assert!(ask_tls(&server, None, None).await.is_ok());
    assert!(ask_tls(&server, None, Some(SslVersion::TLS1_2)).await.is_err());
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
async fn only_users_with_their_password_are_served() {
    let folder = Folder::with_users(&[("ann", "right"), ("bob", "other")]);
    let server = folder.serve().await;
    for (credentials, expected) in [
        ("ann:right", "200"),
        ("bob:other", "200"),
        ("ann:other", "401"),
        ("eve:right", "401"),
        ("ann:", "401"),
    ] {
        assert_eq!(status_as(&server, credentials).await, expected, "{credentials}");
    }
    for path in ["/metrics", "/-/healthy", "/-/ready"] {
        let answer = server.ask("GET", path, "").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
        let challenge = "www-authenticate: Basic realm=\"mailtrip_exporter\"\r\n";
        assert!(answer.contains(challenge), "{answer}");
    }
    let header = format!("Authorization: Basic {}\r\n", STANDARD.encode("ann:right"));
    let answer = server.ask("GET", "/", &header).await;
    assert!(answer.ends_with("authenticated=true\n"), "{answer}");
    server.end().await;
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

#[tokio::test]
async fn changed_users_hold_on_open_connections_too() {
    let folder = Folder::with_users(&[("ann", "old")]);
    let server = folder.serve().await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    let credentials = STANDARD.encode("ann:old");
    let bytes =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\r\n");
    for (expected, users) in [("200", None), ("401", Some([("ann", "new")]))] {
        if let Some(users) = users {
            folder.write_users(&users);
        }
        kept.write_all(bytes.as_bytes()).await.unwrap();
        let mut buffer = [0; 2048];
        let length = timeout(GUARD, kept.read(&mut buffer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
    }
    assert_eq!(status_as(&server, "ann:new").await, "200");
    drop(kept);
    server.end().await;
}

#[tokio::test]
async fn a_broken_new_file_changes_nothing_and_is_logged_once() {
    let log = Log::default();
    // The look runs on a thread of its own, which only a global log would reach; so it is called.
    let _capturing = log.capture();
    let folder = Folder::with_users(&[("ann", "old")]);
    let web = folder.load().unwrap();
    folder.write("web.yml", "basic_auth_users: {ann: not-a-hash}\n");
    for _ in 0..3 {
        web.look();
    }
    assert!(web.has_authentication());
    let text = log.text();
    assert_eq!(text.matches("bad web configuration").count(), 1, "{text}");
    assert!(text.contains("web.yml:1: basic_auth_users.ann: must be a bcrypt hash"), "{text}");
    assert!(!text.contains("not-a-hash"), "{text}");

    fs::remove_file(folder.path("web.yml")).unwrap();
    web.look();
    assert!(web.has_authentication());
    folder.write_users(&[("bob", "new")]);
    web.look();
    let protection = web.current().await;
    let header = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode("bob:new"))).unwrap();
    let peer = Peer::of([127, 0, 0, 1].into());
    assert_eq!(web.admits(&protection, Some(&header), peer).await, Admission::Granted);
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_once_a_second_at_most() {
    let folder = Folder::with_users(&[("ann", "old")]);
    let web = WebConfig::load(&folder.path("web.yml")).unwrap();
    assert!(!web.takes_a_look());
    tokio::time::advance(WebConfig::CHECK_INTERVAL).await;
    assert!(web.takes_a_look());
    assert!(!web.takes_a_look(), "another looks already");
    let none = WebConfig::none();
    tokio::time::advance(WebConfig::CHECK_INTERVAL).await;
    assert!(!none.takes_a_look());
}

#[test]
fn nothing_secret_is_in_debug() {
    let folder = Folder::with_users(&[("ann", "old")]);
    let shown = format!("{:?}", folder.load().unwrap());
    assert!(shown.contains("web.yml") && !shown.contains("$2b$"), "{shown}");
}
