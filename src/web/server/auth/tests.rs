use std::fs;
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
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::web::server::tests::{GUARD, Log, Running, echo, start};
use crate::web::server::{Limits, Response};

mod format;
mod tls;

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
        let names = SubjectAlternativeName::new()
            .dns(&format!("{name}.example"))
            .email(&format!("{name}@mail.example"))
            .uri(&format!("spiffe://{name}"))
            .ip("192.0.2.7")
            .ip("2001:db8::7")
            .build(&builder.x509v3_context(None, None))
            .unwrap();
        builder.append_extension(names).unwrap();
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

async fn status_as(server: &Running, credentials: &str) -> String {
    let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials));
    let answer = server.ask("GET", "/metrics", &header).await;
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
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
async fn a_file_that_protects_nothing_any_more_changes_nothing() {
    let log = Log::default();
    let _capturing = log.capture();
    let folder = Folder::with_users(&[("ann", "old")]);
    let web = folder.load().unwrap();
    for text in ["", "basic_auth_users:\n", "http_server_config: {http2: false}\n"] {
        folder.write("web.yml", text);
        web.look();
        assert!(web.has_authentication(), "{text:?}");
    }
    assert_eq!(
        log.text().matches("has neither TLS nor users any more").count(),
        3,
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn the_rate_limit_holds_for_all_requests() {
    let folder = Folder::new();
    folder.write("web.yml", "rate_limit: {interval: 1h, burst: 2}\n");
    let server = folder.serve().await;
    for expected in ["200", "200", "429", "429"] {
        assert_eq!(status_as(&server, "").await, expected);
    }
    // A new file is a new limit.
    folder.write("web.yml", "rate_limit: {interval: 0, burst: 0}\n");
    assert_eq!(status_as(&server, "").await, "200");
    server.end().await;
}

#[tokio::test]
async fn headers_of_the_file_are_on_every_answer_beside_those_of_a_page() {
    let folder = Folder::with_users(&[("ann", "right")]);
    let users = fs::read_to_string(folder.path("web.yml")).unwrap();
    folder.write(
        "web.yml",
        format!(
            "{users}http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
             X-XSS-Protection: 1\n    X-Content-Type-Options: nosniff\n    \
             Content-Security-Policy: default-src 'self'\n    Strict-Transport-Security: ''\n"
        ),
    );
    let page = async |_| Response::html(hyper::StatusCode::OK, "page");
    let server = start(Limits::default(), folder.load().unwrap(), page).await;
    let header = format!("Authorization: Basic {}\r\n", STANDARD.encode("ann:right"));
    for (credentials, status, policies) in [(header.as_str(), "200", 2), ("", "401", 1)] {
        let answer = server.ask("GET", "/", credentials).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        for line in ["x-frame-options: deny\r\n", "x-xss-protection: 1\r\n"] {
            assert_eq!(answer.matches(line).count(), 1, "{answer}");
        }
        assert_eq!(answer.matches("x-content-type-options: nosniff\r\n").count(), 1, "{answer}");
        // A browser obeys each of several policies: the one of the page is never weakened.
        assert_eq!(answer.matches("content-security-policy: ").count(), policies, "{answer}");
        assert!(!answer.contains("strict-transport-security"), "{answer}");
    }
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
    folder.write("web.yml", "basic_auth_users: {ann: not-a-hash}\nhttp_server: {}\n");
    for _ in 0..3 {
        web.look();
    }
    assert!(web.has_authentication());
    let text = log.text();
    assert_eq!(text.matches("bad web configuration").count(), 2, "a line for each problem: {text}");
    assert!(text.lines().all(|line| line.matches("web.yml:").count() <= 1), "{text}");
    assert!(text.contains("web.yml:2: http_server: "), "{text}");
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
