//! What is read, and what is refused with which words.

use super::*;

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
         \x20 min_version: TLS111\n\
         \x20 cipher_suites: [TLS_NEW]\n\
         basic_auth_users:\n\
         \x20 ann: secret-in-clear\n\
         \x20 'b:c': 7\n\
         http_server_config:\n\
         \x20 http2: maybe\n\
         \x20 http3: true\n\
         rate_limit:\n\
         \x20 interval: 1 day\n\
         \x20 burst: some\n",
    );
    let problems = folder.problems();
    assert!(!problems.contains("secret-in-clear"), "{problems}");
    let expected = [
        "2: tls_server_config.cert_file: missing.pem cannot be read: No such file or directory \
         (os error 2)",
        "3: tls_server_config.key_file: empty.pem holds no private key in PEM without a passphrase",
        "4: tls_server_config.client_auth_type: must be NoClientCert, RequestClientCert, \
         RequireAnyClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert",
        "5: tls_server_config.min_version: must be TLS10, TLS11, TLS12 or TLS13",
        "6: tls_server_config.cipher_suites: is not one of the suites that the exporter-toolkit \
         knows, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "8: basic_auth_users.ann: must be a bcrypt hash, as `htpasswd -nBC 10 ann` prints it",
        "9: basic_auth_users.b:c: a user name cannot hold a colon (RFC 7617)",
        "9: basic_auth_users.b:c: must be a bcrypt hash, as `htpasswd -nBC 10 b:c` prints it",
        "11: http_server_config.http2: must be true or false",
        "12: http_server_config.http3: unknown key: there are http2, headers",
        "14: rate_limit.interval: must be a duration as 1s, 500ms or 1m30s, or 0 for no limit",
        "15: rate_limit.burst: must be a whole number",
    ];
    for line in expected {
        assert!(problems.contains(&format!("web.yml:{line}")), "{line}\nis missing in\n{problems}");
    }
}

/// A folder with a certificate, its key and `text` as the configuration.
fn folder(identity: &Identity, text: &str) -> Folder {
    let folder = Folder::new();
    folder.write_identity(identity);
    folder.write("web.yml", text);
    folder
}

const TLS: &str = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n";

#[test]
fn what_the_exporter_toolkit_starts_with_starts_here() {
    let identity = Identity::new("localhost", None);
    let hash = |cost: u32| bcrypt::hash("x", 4).unwrap().replace("$04$", &format!("${cost}$"));
    let users =
        format!("basic_auth_users:\n  a: {}\n  b: {}\n", hash(10).replace("$2b", "$2y"), hash(18));
    for (text, expected) in [
        ("", "plain HTTP, no users"),
        ("# later\n", "plain HTTP, no users"),
        ("---\n", "plain HTTP, no users"),
        ("tls_server_config:\nbasic_auth_users:\nrate_limit:\n", "plain HTTP, no users"),
        ("tls_server_config: {}\nbasic_auth_users: {}\n", "plain HTTP, no users"),
        // Neither of these is TLS: that needs a certificate.
        ("tls_server_config: {min_version: TLS13}\n", "plain HTTP, no users"),
        ("tls_server_config: {cert_file: '', key_file: ''}\n", "plain HTTP, no users"),
        (&users, "plain HTTP, 2 users"),
        (&format!("{TLS}{users}"), "TLS, 2 users"),
        (TLS, "TLS, no users"),
        (&format!("{TLS}  min_version:\n  max_version: ~\n"), "TLS, no users"),
        (&format!("{TLS}  client_auth_type: VerifyClientCertIfGiven\n"), "TLS, no users"),
        (&format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n"), "TLS, no users"),
        (
            &format!(
                "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: cert.pem\n"
            ),
            "TLS with client certificates, no users",
        ),
        (&format!("{TLS}  client_auth_type: RequireClientCert\n"), "TLS, no users"),
        (
            &format!("{TLS}  client_auth_type: RequestClientCert\n  client_ca_file: cert.pem\n"),
            "TLS, no users",
        ),
        (&format!("{TLS}  client_allowed_sans: [a]\n"), "TLS, no users"),
        (&format!("{TLS}  min_version: TLS10\n"), "TLS, no users"),
        (&format!("{TLS}  min_version: TLS11\n  max_version: TLS12\n"), "TLS, no users"),
        (&format!("{TLS}  prefer_server_cipher_suites: no\n"), "TLS, no users"),
        (&format!("{TLS}  cipher_suites: []\n  curve_preferences: []\n"), "TLS, no users"),
        (
            &format!("{TLS}  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n"),
            "TLS, no users",
        ),
        ("http_server_config: {http2: true}\n", "plain HTTP, no users"),
        ("http_server_config:\n  headers:\n    X-XSS-Protection: ''\n", "plain HTTP, no users"),
        ("rate_limit: {interval: 1s, burst: 20}\n", "plain HTTP, no users"),
        ("rate_limit: {interval: 1000000, burst: 0}\n", "plain HTTP, no users"),
        ("rate_limit: {interval: -1s}\n", "plain HTTP, no users"),
    ] {
        let loaded = folder(&identity, text).load();
        assert_eq!(loaded.map(|web| web.describe()).as_deref().ok(), Some(expected), "{text}");
    }
}

#[test]
fn what_the_exporter_toolkit_refuses_is_refused_here() {
    let identity = Identity::new("localhost", None);
    let tls = |more: &str| format!("{TLS}  {more}\n");
    for (text, expected) in [
        ("- a\n".to_owned(), "1: must be a mapping"),
        ("certs: 1\n".to_owned(), "1: certs: unknown key"),
        ("tls_server_config: {cert_filse: a}\n".to_owned(), "cert_filse: unknown key"),
        ("tls_server_config: {cert_file: '', key_file: k}\n".to_owned(), "cert_file: missing"),
        ("tls_server_config: {cert: '', key_file: k}\n".to_owned(), "cert_file: missing"),
        ("tls_server_config: {cert_file: cert.pem}\n".to_owned(), "key_file: missing"),
        ("tls_server_config: {cert_file: cert.pem, key: ''}\n".to_owned(), "key_file: missing"),
        ("tls_server_config: {client_auth_type: NoClientCert}\n".to_owned(), "cert_file: missing"),
        ("tls_server_config: {client_ca_file: cert.pem}\n".to_owned(), "has no effect"),
        (tls("client_ca_file: cert.pem"), "client_ca_file: has no effect"),
        (tls("client_auth_type: x"), "client_auth_type: must be"),
        (tls("max_version: TLS14"), "max_version: must be"),
        (tls("cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]"), "4: tls_server_config.cipher_suites"),
        (tls("curve_preferences: [CurveP257]"), "4: tls_server_config.curve_preferences"),
        (tls("cipher_suites: TLS_AES_128_GCM_SHA256"), "must be a list"),
        (tls("prefer_server_cipher_suites: 'true'"), "must be true or false"),
        // HTTP/2 could not be spoken with it.
        (tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]"), "HTTP/2 needs one"),
        ("http_server_config: {headers: {Content-Type: foo}}\n".to_owned(), "unknown key"),
        ("http_server_config: {headers: {X-Frame-Options: foo}}\n".to_owned(), "deny or same"),
        ("http_server_config: {headers: {X-Frame-Options: ''}}\n".to_owned(), "deny or same"),
        ("http_server_config: {headers: {X-Content-Type-Options: no}}\n".to_owned(), "nosniff"),
        ("basic_auth_users: {john: doe}\n".to_owned(), "must be a bcrypt hash"),
        ("basic_auth_users: {john: [doe]}\n".to_owned(), "must be a bcrypt hash"),
        ("rate_limit: {interval: 1, per: 3}\n".to_owned(), "rate_limit.per: unknown key"),
        ("rate_limit: {interval: 1.5}\n".to_owned(), "must be a duration"),
        ("a: [\n".to_owned(), ": is not YAML: "),
    ] {
        let problems = folder(&identity, &text).problems();
        assert!(problems.contains(expected), "{text}\n{problems}");
    }
    let missing = WebConfig::load(&Folder::new().path("none.yml")).unwrap_err().to_string();
    assert!(missing.contains("none.yml: cannot be read: No such file"), "{missing}");
}

#[test]
fn what_cannot_be_done_here_is_refused_with_its_reason() {
    let identity = Identity::new("localhost", None);
    let tls = |more: &str| format!("{TLS}  {more}\n");
    let hash = bcrypt::hash("x", 4).unwrap().replace("$04$", "$31$");
    let only_13 = "min_version: TLS11\n  max_version: TLS12\n  cipher_suites: \
                   [TLS_AES_128_GCM_SHA256]\nhttp_server_config: {http2: false}";
    for (text, expected) in [
        (format!("basic_auth_users: {{a: '{hash}'}}\n"), "a bcrypt cost of 31: a check would take"),
        (tls("max_version: TLS11"), "is below min_version"),
        (tls(only_13), "which max_version excludes"),
        (tls("client_auth_type: RequestClientCert\n  client_ca: x"), "holds no certificate in PEM"),
        (
            "http_server_config: {headers: {X-XSS-Protection: \"1\\n2\"}}\n".to_owned(),
            "must be text in one line",
        ),
    ] {
        let problems = folder(&identity, &text).problems();
        assert!(problems.contains(expected), "{text}\n{problems}");
    }
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let folder = Folder::with_tls(&Identity::new("one", None), "");
    folder.write("key.pem", Identity::new("two", None).key.private_key_to_pem_pkcs8().unwrap());
    assert_eq!(
        folder.problems(),
        "web.yml:3: tls_server_config.key_file: is not the key of the certificate in \
         tls_server_config.cert_file"
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
