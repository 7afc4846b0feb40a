//! `tls_server_config`: certificates, versions, suites and curves.

use std::path::{Path, PathBuf};

use openssl::ssl::SslVersion;
use secrecy::SecretString;

use super::Section;
use crate::web::server::auth::problems::Problems;

/// `tls_server_config`, where it asks for TLS.
pub(in crate::web::server::auth) struct TlsSettings {
    /// The chain of the listener, its own certificate first.
    pub(in crate::web::server::auth) certificate: Pem,
    /// The key of that.
    pub(in crate::web::server::auth) key: Pem,
    /// Whose client certificates are accepted; `None` for those that the system trusts.
    pub(in crate::web::server::auth) client_ca: Option<Pem>,
    /// What is asked of a client's certificate.
    pub(in crate::web::server::auth) client_auth: ClientAuth,
    /// `client_allowed_sans`: of these names it has to have one.
    pub(in crate::web::server::auth) client_names: Option<Vec<String>>,
    /// The oldest and the newest version; the first is not newer than the second.
    pub(in crate::web::server::auth) versions: (SslVersion, SslVersion),
    /// The suites of TLS 1.2 and older, in OpenSSL's names; `None` for the usual ones.
    pub(in crate::web::server::auth) suites: Option<Vec<&'static str>>,
    /// Whether the listener's order of suites counts, not the client's.
    pub(in crate::web::server::auth) prefers_own_suites: bool,
    /// The curves, in OpenSSL's names; `None` for the usual ones.
    pub(in crate::web::server::auth) curves: Option<Vec<&'static str>>,
}

/// Something in PEM, and where the configuration names it.
pub(in crate::web::server::auth) struct Pem {
    /// Where it is.
    pub(in crate::web::server::auth) source: PemSource,
    /// The line of its key.
    pub(in crate::web::server::auth) line: usize,
    /// Its key, as `tls_server_config.cert_file`.
    pub(in crate::web::server::auth) key: String,
}

/// Where something in PEM is.
pub(in crate::web::server::auth) enum PemSource {
    /// In a file.
    File(PathBuf),
    /// In the configuration itself.
    Inline(SecretString),
}

/// `client_auth_type`: what is asked of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web::server::auth) enum ClientAuth {
    /// It is not asked for.
    None,
    /// It is asked for, and not looked at.
    Request,
    /// There must be one, of any authority.
    RequireAny,
    /// If there is one, it must be of a trusted authority.
    VerifyIfGiven,
    /// There must be one of a trusted authority.
    RequireAndVerify,
}

impl ClientAuth {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "NoClientCert" => ClientAuth::None,
            "RequestClientCert" => ClientAuth::Request,
            // The second is the older name in the exporter-toolkit.
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => return None,
        })
    }

    /// Whether certificates are verified.
    pub(in crate::web::server::auth) fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify)
    }
}

impl TlsSettings {
    /// Whether every client is known by its certificate. What the system trusts proves no more
    /// than that somebody has a name somewhere.
    pub(in crate::web::server::auth) fn knows_clients(&self) -> bool {
        self.client_auth == ClientAuth::RequireAndVerify
            && (self.client_ca.is_some() || self.client_names.is_some())
    }

    /// Whether a client without a certificate is sent away.
    pub(in crate::web::server::auth) fn demands_certificate(&self) -> bool {
        match self.client_auth {
            ClientAuth::None => false,
            ClientAuth::Request | ClientAuth::VerifyIfGiven => self.client_names.is_some(),
            ClientAuth::RequireAny | ClientAuth::RequireAndVerify => true,
        }
    }
}

const KEYS: [&str; 13] = [
    "cert_file",
    "key_file",
    "client_ca_file",
    "cert",
    "key",
    "client_ca",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

/// Reads the section; `None` for plain HTTP, or with problems. `http2`: the file asks for HTTP/2.
pub(super) fn read(
    section: &Section<'_>,
    path: &Path,
    http2: bool,
    problems: &mut Problems,
) -> Option<TlsSettings> {
    section.refuse_others(&KEYS, problems);
    let certificate = pem(section, ["cert_file", "cert"], path, problems);
    let key = pem(section, ["key_file", "key"], path, problems);
    let client_ca = pem(section, ["client_ca_file", "client_ca"], path, problems);
    let client_auth = client_auth_type(section, problems);
    let names = section.texts("client_allowed_sans", problems);
    let client_names =
        names.map(|names| names.into_iter().map(|(_, name)| name.to_owned()).collect());
    let versions = versions(section, problems);
    let prefers_own_suites = section.boolean("prefer_server_cipher_suites", true, problems);
    let suites = suites(section, problems);
    let curves = curves(section, problems);
    // Nothing else in this section switches TLS on.
    if certificate.is_none() && key.is_none() && client_ca.is_none() && client_auth.is_none() {
        return None;
    }
    let client_auth = client_auth.unwrap_or(ClientAuth::None);
    if let (Some(pem), ClientAuth::None) = (&client_ca, client_auth) {
        let text = "has no effect: set client_auth_type to RequireAndVerifyClientCert or \
                    VerifyClientCertIfGiven";
        problems.add(pem.line, &pem.key, text);
    }
    for (pem, file, inline) in [(&certificate, "cert_file", "cert"), (&key, "key_file", "key")] {
        if pem.is_none() {
            let text = format!("missing: give {file} or {inline}");
            problems.add(section.line, &section.path(file), text);
        }
    }
    let (versions, suites) = agree(section, versions, suites, http2, problems);
    Some(TlsSettings {
        certificate: certificate?,
        key: key?,
        client_ca,
        client_auth,
        client_names,
        versions,
        suites,
        prefers_own_suites,
        curves,
    })
}

/// The file at the first key or the text at the second one; if there are both, the file.
fn pem(
    section: &Section<'_>,
    keys: [&str; 2],
    path: &Path,
    problems: &mut Problems,
) -> Option<Pem> {
    let [file, inline] = keys;
    let folder = path.parent().unwrap_or(Path::new(""));
    let named = section.text(file, problems);
    let written = section.text(inline, problems);
    match (named, written) {
        (Some((line, name)), _) => {
            let source = PemSource::File(folder.join(name));
            Some(Pem { source, line, key: section.path(file) })
        }
        (None, Some((line, text))) => {
            let source = PemSource::Inline(SecretString::from(text));
            Some(Pem { source, line, key: section.path(inline) })
        }
        (None, None) => None,
    }
}

/// `None` where it is not given.
fn client_auth_type(section: &Section<'_>, problems: &mut Problems) -> Option<ClientAuth> {
    let (line, name) = section.text("client_auth_type", problems)?;
    let named = ClientAuth::named(name);
    if named.is_none() {
        let text = "must be NoClientCert, RequestClientCert, RequireAnyClientCert, \
                    VerifyClientCertIfGiven or RequireAndVerifyClientCert";
        problems.add(line, &section.path("client_auth_type"), text);
    }
    Some(named.unwrap_or(ClientAuth::RequireAndVerify))
}

const VERSIONS: [(&str, SslVersion); 4] = [
    ("TLS10", SslVersion::TLS1),
    ("TLS11", SslVersion::TLS1_1),
    ("TLS12", SslVersion::TLS1_2),
    ("TLS13", SslVersion::TLS1_3),
];

/// The oldest and the newest version, as places in [`VERSIONS`].
fn versions(section: &Section<'_>, problems: &mut Problems) -> (usize, usize) {
    let mut version = |key: &str, default: usize| {
        let Some(entry) = section.find(key) else { return default };
        let name = super::text(&entry.node);
        let place = VERSIONS.iter().position(|(known, _)| name == Some(*known));
        if place.is_none() {
            let text = "must be TLS10, TLS11, TLS12 or TLS13";
            problems.add(entry.line, &section.path(key), text);
        }
        place.unwrap_or(default)
    };
    let (oldest, newest) = (version("min_version", TLS12), version("max_version", TLS13));
    if oldest > newest {
        let text = "is below min_version (TLS12 unless another is given): no client could connect";
        let line = section.find("max_version").map_or(section.line, |entry| entry.line);
        problems.add(line, &section.path("max_version"), text);
    }
    (oldest, newest)
}

const TLS12: usize = 2;
const TLS13: usize = 3;

/// The names of Go (crypto/tls, `CipherSuites`) and those of OpenSSL. Those of TLS 1.3 can be
/// listed, and are always offered.
const SUITES: [(&str, Option<&str>); 13] = [
    ("TLS_AES_128_GCM_SHA256", None),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Some("ECDHE-ECDSA-AES128-SHA")),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Some("ECDHE-ECDSA-AES256-SHA")),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Some("ECDHE-RSA-AES128-SHA")),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Some("ECDHE-RSA-AES256-SHA")),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some("ECDHE-ECDSA-AES128-GCM-SHA256")),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some("ECDHE-RSA-AES128-GCM-SHA256")),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some("ECDHE-RSA-AES256-GCM-SHA384")),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some("ECDHE-RSA-CHACHA20-POLY1305")),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some("ECDHE-ECDSA-CHACHA20-POLY1305")),
];

/// Those that HTTP/2 needs one of (RFC 9113, section 9.2.2).
const HTTP2_SUITES: [&str; 2] = ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"];

/// The suites of TLS 1.2 and older; `None` where none is listed.
fn suites(section: &Section<'_>, problems: &mut Problems) -> Option<Vec<&'static str>> {
    let listed = section.texts("cipher_suites", problems).filter(|listed| !listed.is_empty())?;
    let mut suites = Vec::new();
    for (line, name) in listed {
        match SUITES.iter().find(|(known, _)| *known == name) {
            Some((_, suite)) => suites.extend(*suite),
            None => {
                let text = "is not one of the suites that the exporter-toolkit knows, as \
                            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
                problems.add(line, &section.path("cipher_suites"), text);
            }
        }
    }
    Some(suites)
}

const CURVES: [(&str, &str); 4] =
    [("CurveP256", "P-256"), ("CurveP384", "P-384"), ("CurveP521", "P-521"), ("X25519", "X25519")];

fn curves(section: &Section<'_>, problems: &mut Problems) -> Option<Vec<&'static str>> {
    let listed =
        section.texts("curve_preferences", problems).filter(|listed| !listed.is_empty())?;
    let mut curves = Vec::new();
    for (line, name) in listed {
        match CURVES.iter().find(|(known, _)| *known == name) {
            Some((_, curve)) => curves.push(*curve),
            None => {
                let text = "must be CurveP256, CurveP384, CurveP521 or X25519";
                problems.add(line, &section.path("curve_preferences"), text);
            }
        }
    }
    Some(curves)
}

/// Holds versions, suites and HTTP/2 against each other.
fn agree(
    section: &Section<'_>,
    (mut oldest, newest): (usize, usize),
    suites: Option<Vec<&'static str>>,
    http2: bool,
    problems: &mut Problems,
) -> ((SslVersion, SslVersion), Option<Vec<&'static str>>) {
    let mut problem = |text: &str| {
        let line = section.find("cipher_suites").map_or(section.line, |entry| entry.line);
        problems.add(line, &section.path("cipher_suites"), text);
    };
    let listed = suites.as_deref().unwrap_or(&HTTP2_SUITES);
    if http2 && oldest < TLS13 && !HTTP2_SUITES.iter().any(|suite| listed.contains(suite)) {
        problem(
            "holds neither TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 nor \
             TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, of which HTTP/2 needs one: add it, or set \
             http2 of http_server_config to false",
        );
    }
    if listed.is_empty() {
        if newest < TLS13 {
            problem("holds suites of TLS 1.3 only, which max_version excludes");
        }
        oldest = TLS13;
    }
    let version =
        |place: usize| VERSIONS.get(place).map_or(SslVersion::TLS1_3, |(_, version)| *version);
    ((version(oldest), version(newest)), suites.filter(|suites| !suites.is_empty()))
}
