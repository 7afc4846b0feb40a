//! The web configuration as written: YAML in, settings and problems out.

use std::path::{Path, PathBuf};

use super::basic::Users;
use super::problems::Problems;
use super::watched::Watched;
use crate::yaml::{self, Entry, Node, Value, shown_key};
use openssl::ssl::SslVersion;

/// What the file says, as far as it is right.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) tls: Option<TlsSettings>,
    pub(super) users: Users,
}

/// `tls_server_config`.
pub(super) struct TlsSettings {
    pub(super) cert_file: NamedFile,
    pub(super) key_file: NamedFile,
    pub(super) client_ca_file: Option<NamedFile>,
    pub(super) client_auth: ClientAuth,
    pub(super) min_version: SslVersion,
}

/// A file that the configuration names, and where it does so.
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) line: usize,
    pub(super) key: &'static str,
}

/// `client_auth_type`: what is asked of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// It is not asked for.
    None,
    /// It is asked for, and not looked at.
    Request,
    /// There must be one, of any authority.
    RequireAny,
    /// If there is one, it must be of `client_ca_file`.
    VerifyIfGiven,
    /// There must be one of `client_ca_file`.
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

    /// Whether certificates are compared with `client_ca_file`.
    pub(super) fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify)
    }

    /// Whether every client is known by its certificate.
    pub(super) fn demands_verified(self) -> bool {
        self == ClientAuth::RequireAndVerify
    }
}

/// Reads the file at `path`. What is wrong goes to `problems`; the settings are then not complete.
pub(super) fn read(path: &Path, watched: &mut Watched, problems: &mut Problems) -> Settings {
    let text = match watched.read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            problems.add_whole("is not UTF-8");
            return Settings::default();
        }
        Err(error) => {
            problems.add_whole(format!("cannot be read: {error}"));
            return Settings::default();
        }
    };
    let (root, faults) = yaml::parse(&text);
    if root.is_none() && faults.is_empty() {
        problems.add_whole(EMPTY);
    }
    for fault in faults {
        problems.add(fault.line, &fault.key, fault.message);
    }
    match root {
        Some(root) => settings(&root, path, problems),
        None => Settings::default(),
    }
}

const EMPTY: &str = "is empty: give it tls_server_config or basic_auth_users, or start without \
                     --web.config.file";

fn settings(document: &Node, path: &Path, problems: &mut Problems) -> Settings {
    let mut settings = Settings::default();
    if document.is_null() {
        // A file that is just being written is empty for a moment: that must not open the listener.
        problems.add_whole(EMPTY);
        return settings;
    }
    for entry in entries(document, "", problems) {
        match entry.key.as_ref() {
            "tls_server_config" => settings.tls = tls_settings(entry, path, problems),
            "basic_auth_users" => settings.users = users(entry, problems),
            key => problems.add(
                entry.line,
                shown_key(key),
                "unknown key: only tls_server_config and basic_auth_users are supported",
            ),
        }
    }
    settings
}

/// The entries of a mapping. `name` is the key that holds it, empty for the document.
fn entries<'a>(node: &'a Node, name: &str, problems: &mut Problems) -> &'a [Entry] {
    let Value::Map(entries) = &node.value else {
        problems.add(node.line, name, "must be a mapping of keys to values, and not empty");
        return &[];
    };
    entries
}

/// `None`, with problems, if the certificate or its key are missing.
fn tls_settings(section: &Entry, path: &Path, problems: &mut Problems) -> Option<TlsSettings> {
    let (mut cert_file, mut key_file, mut client_ca_file) = (None, None, None);
    let mut client_auth = ClientAuth::None;
    let mut min_version = SslVersion::TLS1_2;
    let entries = entries(&section.node, &section.key, problems);
    for entry in entries {
        match entry.key.as_ref() {
            "cert_file" => cert_file = named_file(entry, CERT_FILE, path, problems),
            "key_file" => key_file = named_file(entry, KEY_FILE, path, problems),
            "client_ca_file" => client_ca_file = named_file(entry, CLIENT_CA_FILE, path, problems),
            "client_auth_type" => client_auth = client_auth_type(entry, problems),
            "min_version" => min_version = tls_version(entry, problems),
            key => problems.add(
                entry.line,
                &format!("tls_server_config.{}", shown_key(key)),
                "unknown key: only cert_file, key_file, client_ca_file, client_auth_type and \
                 min_version are supported",
            ),
        }
    }
    for (key, name) in [("cert_file", CERT_FILE), ("key_file", KEY_FILE)] {
        if !entries.iter().any(|entry| entry.key.as_ref() == key) {
            problems.add(section.line, name, "missing");
        }
    }
    let ca_line =
        entries.iter().find(|entry| entry.key.as_ref() == "client_ca_file").map(|it| it.line);
    match (client_auth.verifies(), ca_line) {
        (true, None) => {
            problems.add(section.line, CLIENT_CA_FILE, "missing: client_auth_type needs it");
        }
        (false, Some(line)) => problems.add(
            line,
            CLIENT_CA_FILE,
            "has no effect: set client_auth_type to RequireAndVerifyClientCert or \
             VerifyClientCertIfGiven",
        ),
        _ => {}
    }
    Some(TlsSettings {
        cert_file: cert_file?,
        key_file: key_file?,
        client_ca_file,
        client_auth,
        min_version,
    })
}

const CERT_FILE: &str = "tls_server_config.cert_file";
const KEY_FILE: &str = "tls_server_config.key_file";
const CLIENT_CA_FILE: &str = "tls_server_config.client_ca_file";

fn named_file(
    entry: &Entry,
    key: &'static str,
    path: &Path,
    problems: &mut Problems,
) -> Option<NamedFile> {
    let Some(name) = text(&entry.node).filter(|name| !name.is_empty()) else {
        problems.add(entry.line, key, "must be the name of a file");
        return None;
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    Some(NamedFile { path: folder.join(name), line: entry.line, key })
}

fn client_auth_type(entry: &Entry, problems: &mut Problems) -> ClientAuth {
    text(&entry.node).and_then(ClientAuth::named).unwrap_or_else(|| {
        problems.add(
            entry.line,
            "tls_server_config.client_auth_type",
            "must be NoClientCert, RequestClientCert, RequireAnyClientCert, \
             VerifyClientCertIfGiven or RequireAndVerifyClientCert",
        );
        ClientAuth::None
    })
}

fn tls_version(entry: &Entry, problems: &mut Problems) -> SslVersion {
    match text(&entry.node) {
        Some("TLS12") => SslVersion::TLS1_2,
        Some("TLS13") => SslVersion::TLS1_3,
        _ => {
            let key = "tls_server_config.min_version";
            problems.add(entry.line, key, "must be TLS12 or TLS13: older versions are not offered");
            SslVersion::TLS1_2
        }
    }
}

fn users(section: &Entry, problems: &mut Problems) -> Users {
    let mut users = Users::default();
    let entries = entries(&section.node, &section.key, problems);
    if entries.is_empty() && matches!(section.node.value, Value::Map(_)) {
        problems.add(section.line, &section.key, "has no user: add one, or remove the key");
    }
    for entry in entries {
        let key = format!("basic_auth_users.{}", entry.key);
        if entry.key.contains(':') {
            problems.add(entry.line, &key, "a user name cannot hold a colon");
        }
        if !text(&entry.node).is_some_and(|hash| users.add(&entry.key, hash)) {
            let name = &entry.key;
            problems.add(
                entry.line,
                &key,
                format!("must be a bcrypt hash, as `htpasswd -nBC 10 {name}` prints it"),
            );
        }
    }
    users
}

/// A value that is text.
fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text),
        _ => None,
    }
}
