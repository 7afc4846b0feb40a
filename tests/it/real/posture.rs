//! The posture of a domain as it is in the world: a signed zone behind unbound, which validates; Postfix as its MX; and
//! the server of OpenSSL with its policy. Each test starts itself again in namespaces of its own.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mailtrip_exporter::metrics::{self, Syntax};
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::PKey;
use openssl::x509::X509;
use serde_json::Value;
use tempfile::TempDir;
use testserver::{Delivery, Options, Protocol, Server};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::process::Child;
use tokio_util::task::AbortOnDropHandle;

use crate::lab::certificates::{CA_FILE, SERVER_FILE, write_certificates};
use crate::lab::tool::server;
use crate::lab::{Lab, namespace, wait};
use crate::real::layers::run;
use crate::real::routes::{name_servers, take_name_servers};
use crate::support::program::{Running, folder, post, program, target};
use crate::support::{Exporter, USER, World};

const KEYS: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mail.lab.test\nmax_age: 86400\n";

/// A zone in which all is well, but for the record of DANE.
fn zone() -> String {
    format!(
        "$ORIGIN lab.test.\n$TTL 5\n@ SOA ns admin 1 3600 600 86400 5\n@ NS ns\nns A 127.0.0.1\n\
         @ MX 10 mail\nmail A 127.0.0.1\nwww A 127.0.0.1\n\
         @ TXT \"v=spf1 mx include:spf.lab.test -all\"\nspf TXT \"v=spf1 ip4:198.51.100.7 ?all\"\n\
         s1._domainkey TXT \"{KEYS}\"\n_dmarc TXT \"v=DMARC1; p=reject; rua=mailto:d@lab.test\"\n\
         _smtp._tls TXT \"v=TLSRPTv1; rua=mailto:t@lab.test\"\n\
         mta-sts A 127.0.0.1\n_mta-sts TXT \"v=STSv1; id=20261130\"\nout A 198.51.100.7\n"
    )
}

/// What of the zone is another text, and what comes of which check then, in which words.
const CHANGES: &[(&str, &str, &str, &str, &str)] = &[
    ("@ MX 10 mail\n", "@ MX 0 .\n", "mx", "failed", "takes no mail"),
    (
        "@ MX 10 mail\n",
        "@ MX 10 alias\nalias CNAME mail\n",
        "mx",
        "failed",
        "alias (CNAME) of mail",
    ),
    (
        "@ MX 10 mail\n",
        "@ MX 10 mail\n@ MX 20 gone\n",
        "mx",
        "failed",
        "gone.lab.test does not exist",
    ),
    (
        "@ MX 10 mail\n",
        "@ MX 10 mail\n@ MX 20 two\ntwo A 127.0.0.2\n",
        "mx",
        "failed",
        "two.lab.test does not answer",
    ),
    ("@ TXT", "@ TXT \"v=spf1 -all\"\n@ TXT", "spf", "failed", "2 SPF records"),
    ("include:spf", "include:", "spf", "failed", "`include:.lab.test`"),
    ("include:spf.", "include:", "spf", "failed", "more than 10 look-ups"),
    ("include:spf.", "include:www.", "spf", "failed", "www.lab.test, whose record"),
    (
        "mx include",
        "a:x1.lab.test a:x2.lab.test a:x3.lab.test include",
        "spf",
        "failed",
        "find nothing",
    ),
    ("-all", "+all", "spf", "failed", "whole world"),
    (
        "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        "p=",
        "dkim",
        "failed",
        "revoked",
    ),
    ("s1._domainkey", "s2._domainkey", "dkim", "failed", "s1._domainkey.lab.test has no record"),
    ("_dmarc TXT", "_dmarc2 TXT", "dmarc", "failed", "has no record"),
    ("p=reject", "p=refuse", "dmarc", "failed", "`p=refuse`"),
    ("_smtp._tls TXT", "_smtp._tls2 TXT", "tls_rpt", "absent", "has no record"),
    ("rua=mailto:t@", "rua=t@", "tls_rpt", "failed", "neither mailto"),
    ("_mta-sts TXT", "_mta-sts2 TXT", "mta_sts", "absent", "has no record"),
    ("mta-sts A 127.0.0.1\n", "", "mta_sts", "failed", "mta-sts.lab.test has no address"),
    ("@ MX 10 mail\n", "@ MX 10 ns\n", "mta_sts", "failed", "does not name ns.lab.test"),
    ("TLSA 3 1 1 ", "TLSA 3 0 1 ", "dane", "failed", "fits none of the records"),
    ("_25._tcp.mail", "_25._tcp.other", "dane", "absent", "no server has a TLSA record"),
    (
        "out A 198.51.100.7",
        "out A 198.51.100.8",
        "ptr",
        "failed",
        "is not among the addresses of out.lab.test",
    ),
];

/// The name server of the machine, with the zone, signed.
struct Names {
    folder: TempDir,
    key: String,
    unbound: Option<Child>,
}

impl Names {
    async fn start(zone: &str) -> Self {
        take_name_servers();
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let made = std::process::Command::new("ldns-keygen")
            .args(["-k", "-a", "ECDSAP256SHA256", "lab.test"])
            .current_dir(folder.path())
            .output()
            .expect("ldnsutils is needed: `scripts/install-prerequisites test` installs it");
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let mut names = Self { folder, key, unbound: None };
        names.hold(zone, |signed| signed).await;
        names
    }

    /// The zone is this one from now on, and what is served of it what `change` makes of it.
    async fn hold(&mut self, zone: &str, change: impl Fn(String) -> String) {
        self.stop().await;
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("zone"), zone).unwrap();
        let signed = std::process::Command::new("ldns-signzone")
            .args(["-o", "lab.test", "-f", "signed", "zone", &self.key])
            .current_dir(self.folder.path())
            .output()
            .unwrap();
        assert!(signed.status.success(), "{signed:?}\n{zone}");
        let text = fs::read_to_string(path("signed")).unwrap();
        fs::write(path("signed"), change(text)).unwrap();
        fs::write(path("unbound.conf"), self.unbound()).unwrap();
        self.unbound = Some(server("unbound", &["-d", "-c", "unbound.conf"], self.folder.path()));
        for name_server in name_servers() {
            let address = SocketAddr::new(name_server, 53);
            wait::until("the zone is served", async || is_served(address).await).await;
        }
    }

    async fn stop(&mut self) {
        if let Some(mut unbound) = self.unbound.take() {
            unbound.kill().await.unwrap();
        }
    }

    fn unbound(&self) -> String {
        let interfaces: String =
            name_servers().iter().map(|address| format!("  interface: {address}\n")).collect();
        let folder = self.folder.path().display();
        format!(
            "server:\n  directory: \"{folder}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n\
             {interfaces}  access-control: 0.0.0.0/0 allow\n  access-control: ::/0 allow\n  \
             module-config: \"validator iterator\"\n  num-threads: 1\n  local-zone: \"test.\" nodefault\n  \
             trust-anchor-file: \"{}.key\"\n  local-data-ptr: \"198.51.100.7 out.lab.test\"\n\
             auth-zone:\n  name: \"lab.test.\"\n  zonefile: \"signed\"\n  for-downstream: no\n  for-upstream: yes\n\
             remote-control:\n  control-enable: no\n",
            self.key
        )
    }
}

/// Whether the name server answers about the zone.
async fn is_served(server: SocketAddr) -> bool {
    let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().unwrap();
    let socket = UdpSocket::bind(any).await.unwrap();
    let question = b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x02ns\x03lab\x04test\x00\x00\x01\x00\x01";
    if socket.connect(server).await.is_err() || socket.send(question).await.is_err() {
        return false;
    }
    let mut answer = [0; 512];
    let wait = std::time::Duration::from_millis(500);
    let received = tokio::time::timeout(wait, socket.recv(&mut answer)).await;
    matches!(received, Ok(Ok(_))) && answer[3] & 0xf == 0
}

/// Everything that the domain has.
struct Place {
    names: Names,
    lab: Lab,
    /// Port 25 of the MX, which is that of Postfix.
    port: Option<AbortOnDropHandle<()>>,
    policy: TempDir,
    _https: Child,
    zone: String,
}

impl Place {
    async fn start() -> Self {
        run("ip", &["link", "set", "lo", "up"], "");
        let lab = Lab::start().await;
        let zone = format!("{}_25._tcp.mail TLSA 3 1 1 {}\n", zone(), key_hash(&lab));
        let names = Names::start(&zone).await;
        let policy = tempfile::tempdir().unwrap();
        write_certificates(policy.path(), "mta-sts.lab.test");
        fs::create_dir(policy.path().join(".well-known")).unwrap();
        let arguments =
            ["s_server", "-accept", "127.0.0.1:443", "-cert", SERVER_FILE, "-WWW", "-quiet"];
        let _https = server("openssl", &arguments, policy.path());
        wait::until_open(Ipv4Addr::LOCALHOST.into(), 443).await;
        let mut place = Self { names, lab, port: None, policy, _https, zone };
        place.set_policy(POLICY);
        place.open().await;
        place
    }

    fn set_policy(&self, policy: &str) {
        fs::write(self.policy.path().join(".well-known/mta-sts.txt"), policy).unwrap();
    }

    async fn open(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:25").await.unwrap();
        let postfix = self.lab.ports().smtp;
        self.port = Some(AbortOnDropHandle::new(tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(("127.0.0.1", postfix)).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        })));
    }

    /// The authorities of both servers, or of the MX alone.
    fn authorities(&self, of_both: bool) -> PathBuf {
        let mut pem = fs::read(self.lab.ca_file()).unwrap();
        if of_both {
            pem.extend(fs::read(self.policy.path().join(CA_FILE)).unwrap());
        }
        let file = self.policy.path().join(format!("authorities-{of_both}"));
        fs::write(&file, pem).unwrap();
        file
    }

    /// What came of each check, in one document.
    async fn said(&self, trust: &str, authorities: &Path) -> Value {
        let folder = config(self.policy.path());
        let mut command = program(folder.path());
        command.args(["probe", "one", "--dns", "--output=json", "--timeout=20s"]);
        command.env("RES_OPTIONS", trust).env("SSL_CERT_FILE", authorities);
        let output = command.env("SSL_CERT_DIR", "/nonexistent").output().await.unwrap();
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        document["domain_checks"].clone()
    }

    /// State and words of one check now.
    async fn of(&self, check: &str) -> (String, String) {
        let all = self.said("trust-ad attempts:1", &self.authorities(true)).await;
        word_of(&all, check)
    }
}

fn word_of(all: &Value, check: &str) -> (String, String) {
    let found = all.as_array().unwrap().iter().find(|it| it["check"] == check);
    let found = found.unwrap_or_else(|| panic!("no {check}: {all}"));
    let text = |member: &str| found[member].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("remedy").is_empty(), text("state") != "failed", "{found}");
    (text("state"), text("words"))
}

fn key_hash(lab: &Lab) -> String {
    let server = lab.ca_file().with_file_name(SERVER_FILE);
    let certificate = X509::from_pem(&fs::read(server).unwrap()).unwrap();
    let key = certificate.public_key().unwrap().public_key_to_der().unwrap();
    let hash = hash(MessageDigest::sha256(), &key).unwrap();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn config(folder: &Path) -> TempDir {
    let key = PKey::generate_ed25519().unwrap().private_key_to_pem_pkcs8().unwrap();
    let key_file = folder.join("dkim.pem");
    fs::write(&key_file, key).unwrap();
    crate::support::program::folder(&format!(
        "targets:\n- name: one\n  host: 127.0.0.1\n  from: a@lab.test\n  to: b@lab.test\n  send: {{mx: true}}\n  \
         receive: {{protocol: imap, port: 1, tls: none, username: b, password: p}}\n  \
         mail: {{dkim: {{domain: lab.test, selector: s1, key_file: '{}'}}}}\n  \
         domain_checks: {{addresses: [198.51.100.7]}}\n",
        key_file.display()
    ))
}

#[tokio::test]
async fn each_check_passes_and_fails_for_what_the_domain_publishes() {
    let name = "real::posture::each_check_passes_and_fails_for_what_the_domain_publishes";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let mut place = Place::start().await;
    let all = place.said("trust-ad attempts:1", &place.authorities(true)).await;
    for check in all.as_array().unwrap() {
        assert_eq!(check["state"], "passed", "{all:#}");
    }
    assert_eq!(all.as_array().unwrap().len(), 8, "{all:#}");
    for (old, new, check, state, part) in CHANGES {
        let zone = place.zone.replacen(old, new, 1);
        assert_ne!(zone, place.zone, "{old}");
        place.names.hold(&zone, |signed| signed).await;
        let (found, words) = place.of(check).await;
        assert_eq!(found, *state, "{check} with {new}: {words}");
        assert!(words.contains(part), "{check} with {new}: {words}");
    }
}

#[tokio::test]
async fn what_was_not_answered_or_met_is_not_known_and_what_is_bogus_fails() {
    let name = "real::posture::what_was_not_answered_or_met_is_not_known_and_what_is_bogus_fails";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let mut place = Place::start().await;
    // Whose word is not to be trusted proves nothing.
    let all = place.said("attempts:1", &place.authorities(true)).await;
    let trusts_all = name_servers().iter().all(std::net::IpAddr::is_loopback);
    let (state, words) = word_of(&all, "dane");
    assert_eq!(state, if trusts_all { "passed" } else { "unknown" }, "{words}");
    // The policy is that of nobody who is known.
    let all = place.said("trust-ad attempts:1", &place.authorities(false)).await;
    let (state, words) = word_of(&all, "mta_sts");
    assert!(
        state == "failed" && words.contains("the certificate of mta-sts.lab.test is refused"),
        "{words}"
    );
    // The policy holds, and nobody vouches for the certificate of the MX.
    let all = place.said("trust-ad attempts:1", &place.policy.path().join(CA_FILE)).await;
    let (state, words) = word_of(&all, "mta_sts");
    assert!(
        state == "failed" && words.contains("the certificate of mail.lab.test is refused"),
        "{words}"
    );
    place.set_policy(&POLICY.replace("mx: mail", "mx: other"));
    let (state, words) = place.of("mta_sts").await;
    assert!(state == "failed" && words.contains("does not name mail.lab.test"), "{words}");
    place.set_policy(POLICY);
    let zone = place.zone.clone();
    place.names.hold(&zone, |signed| signed.replace("p=reject", "p=none; ")).await;
    let (state, words) = place.of("dmarc").await;
    assert!(state == "failed" && words.contains("does not stand up to DNSSEC"), "{state}: {words}");
    place.names.hold(&zone, |signed| signed).await;
    // Port 25 is closed, as many networks have it.
    place.port = None;
    let all = place.said("trust-ad attempts:1", &place.authorities(true)).await;
    for check in ["mx", "mta_sts", "dane"] {
        let (state, words) = word_of(&all, check);
        assert_eq!(state, "unknown", "{check}: {words}");
    }
    assert_eq!(word_of(&all, "spf").0, "passed", "{all:#}");
    place.names.stop().await;
    let all = place.said("trust-ad attempts:1", &place.authorities(true)).await;
    for check in all.as_array().unwrap() {
        assert_eq!(check["state"], "unknown", "{all:#}");
    }
}

#[tokio::test]
async fn the_exporter_checks_the_keys_that_the_mails_show() {
    let name = "real::posture::the_exporter_checks_the_keys_that_the_mails_show";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let _names = Names::start(&zone()).await;
    let world = World::new(Protocol::Imap).await;
    world.post.set_delivery(USER, Delivery::lost());
    let checks = "{checks: [dkim, ptr, spf], sending_domain: lab.test}";
    let exporter = Exporter::start(&[world.target("a").set("domain_checks", checks)]).await;
    let mail = world.sent(1).await.remove(0);
    exporter.until("a", "accepted", |snapshot| snapshot.totals.accepted == 1).await;
    let value = |check: &str, value: &str| {
        let sample =
            format!("mailtrip_domain_check_passed{{target=\"a\",check=\"{check}\"}} {value}\n");
        let views = exporter.supervisor.views();
        let page: String = metrics::pieces(views, None, Syntax::OpenMetrics).collect();
        page.contains(&sample)
    };
    wait::until("SPF is checked", async || value("spf", "1.0")).await;
    assert!(value("dkim", "NaN") && value("ptr", "NaN"), "no mail has arrived");
    let header = "DKIM-Signature: v=1; a=ed25519-sha256; d=Lab.test; s=s1;\r\n\th=from; bh=AAAA; b=AAAA\r\n\
                  Received: from out.lab.test (out.lab.test [198.51.100.7])\r\n\tby mx.demo.test \
                  with ESMTPS id 1; Mon, 30 Nov 2026 10:00:00 +0000\r\n\
                  Received: from monitor.demo.test (monitor.demo.test [203.0.113.9])\r\n\tby out.lab.test \
                  with ESMTPSA id 2; Mon, 30 Nov 2026 09:59:59 +0000\r\n";
    world.post.insert(USER, "INBOX", format!("{header}{mail}").as_bytes());
    wait::until("the key is checked", async || value("dkim", "1.0")).await;
    wait::until("the address is checked", async || value("ptr", "1.0")).await;
}

#[tokio::test]
async fn what_was_found_is_shown_with_its_remedy_and_stands_over_a_restart() {
    let name = "real::posture::what_was_found_is_shown_with_its_remedy_and_stands_over_a_restart";
    if !namespace::is_inside(name, &["--net"], &[]) {
        return;
    }
    let mut names = Names::start(&zone().replace("-all", "+all")).await;
    let post = post();
    let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await.unwrap();
    let imap = Server::start(Protocol::Imap, &post, Options::new()).await.unwrap();
    let checks = "  domain_checks: {checks: [spf, dmarc], sending_domain: lab.test}\n";
    let target = target("one", smtp.port(), imap.port());
    let folder = folder(&format!("targets:\n{target}{checks}"));
    let running = Running::start(folder.path(), &[]).await;
    let samples = ["spf\"} 0.0\n", "dmarc\"} 1.0\n"]
        .map(|rest| format!("mailtrip_domain_check_passed{{target=\"one\",check=\"{rest}"));
    let has_both = |page: &str| samples.iter().all(|sample| page.contains(sample));
    running.until("/metrics", has_both).await;
    let document: Value = serde_json::from_str(&running.get("/api/targets/one").await).unwrap();
    let spf = &document["domain_checks"][0];
    assert_eq!((&spf["state"], &spf["domain"]), (&"failed".into(), &"lab.test".into()), "{spf}");
    let remedy = spf["remedy"].as_str().unwrap();
    let page = running.get("/targets/one").await;
    assert!(page.contains("lab.test lets the whole world send"), "{page}");
    assert!(page.contains(&format!("Remedy: {remedy}.")), "{page}");
    running.has_kept_all(folder.path()).await;
    running.kill().await;
    // What is shown now nobody has said to this process.
    names.stop().await;
    let running = Running::start(folder.path(), &[]).await;
    let page = running.get("/metrics").await;
    assert!(has_both(&page), "{page}");
}
