//! What a key names instead of holding: files and environment variables. Each file is read once,
//! however many targets name it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openssl::pkey::PKey;
use openssl::x509::X509;

use crate::mail::Shortage;

use super::{ClientIdentity, PemFile, Secret};

/// The environment, as a lookup.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The largest YAML file, in bytes.
pub(super) const MAX_YAML_BYTES: u64 = 16 * 1024 * 1024;

/// The largest file of certificates or keys, in bytes.
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;

/// The largest file of a password, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Stands at the beginning of a path for the folder that systemd puts credentials in.
const CREDENTIALS: &str = "${CREDENTIALS_DIRECTORY}";

/// Reads what keys name, and keeps it for the next key that names the same.
pub(super) struct Sources<'e> {
    environment: Environment<'e>,
    pems: HashMap<PathBuf, Result<PemFile, String>>,
    authorities: HashMap<PathBuf, Result<(), String>>,
    identities: HashMap<(PathBuf, PathBuf), Result<(), String>>,
    passwords: HashMap<PathBuf, Result<Secret, String>>,
}

impl<'e> Sources<'e> {
    /// Nothing was read yet.
    pub(super) fn new(environment: Environment<'e>) -> Self {
        Self {
            environment,
            pems: HashMap::new(),
            authorities: HashMap::new(),
            identities: HashMap::new(),
            passwords: HashMap::new(),
        }
    }

    /// The password in a file of one line; `folder` is where a relative path starts.
    pub(super) fn password_file(&mut self, folder: &Path, path: &str) -> Result<Secret, String> {
        let path = match path.strip_prefix(CREDENTIALS) {
            Some(rest) => self.credentials_folder()?.join(rest.trim_start_matches('/')),
            None => absolute(folder, path),
        };
        let read = |path: &PathBuf| {
            read_text(path, MAX_SECRET_BYTES).map_err(unreadable).and_then(|text| first_line(&text))
        };
        self.passwords.entry(path).or_insert_with_key(read).clone()
    }

    /// The password in an environment variable.
    pub(super) fn password_variable(&self, name: &str) -> Result<Secret, String> {
        // The name stays unsaid: it may be the password itself, written to the wrong key.
        let value = (self.environment)(name)
            .ok_or("names an environment variable that is not set".to_owned())?;
        let value = value
            .into_string()
            .map_err(|_| "names an environment variable that is not UTF-8".to_owned())?;
        password(&value)
    }

    /// A file of authorities to trust.
    pub(super) fn authorities(&mut self, folder: &Path, path: &str) -> Result<PemFile, String> {
        let file = self.pem(folder, path)?;
        let check = |_: &PathBuf| certificates(&file).map(|_| ());
        self.authorities.entry(file.path.clone()).or_insert_with_key(check).clone()?;
        Ok(file)
    }

    /// A certificate and the key that fits it.
    pub(super) fn identity(
        &mut self,
        cert: PemFile,
        key: PemFile,
    ) -> Result<ClientIdentity, String> {
        let paths = (cert.path.clone(), key.path.clone());
        self.identities.entry(paths).or_insert_with(|| fit(&cert, &key)).clone()?;
        Ok(ClientIdentity { cert_file: cert, key_file: key })
    }

    /// A PEM file, unparsed.
    pub(super) fn pem(&mut self, folder: &Path, path: &str) -> Result<PemFile, String> {
        let read = |path: &PathBuf| {
            let pem = read_bytes(path, MAX_PEM_BYTES).map_err(unreadable)?;
            Ok(PemFile { path: path.clone(), pem: pem.into() })
        };
        self.pems.entry(absolute(folder, path)).or_insert_with_key(read).clone()
    }

    fn credentials_folder(&self) -> Result<PathBuf, String> {
        let folder = (self.environment)("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty());
        folder.map(PathBuf::from).ok_or_else(|| {
            "needs the environment variable CREDENTIALS_DIRECTORY, which systemd sets for a \
             service with LoadCredential="
                .to_owned()
        })
    }
}

/// A password that a login can carry.
pub(super) fn password(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("is an empty password".to_owned());
    }
    if text.contains(['\0', '\r', '\n']) {
        return Err("is a password with a line break or a NUL, which no login can carry".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// The text of a YAML file.
pub(super) fn read_yaml(path: &Path) -> Result<String, String> {
    read_text(path, MAX_YAML_BYTES).map_err(|reason| format!("cannot be read: {reason}"))
}

fn first_line(text: &str) -> Result<Secret, String> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains('\n') {
        return Err("names a file of several lines; the password must stand there alone".to_owned());
    }
    password(line).map_err(|message| format!("names a file whose content {message}"))
}

fn certificates(file: &PemFile) -> Result<Vec<X509>, String> {
    match X509::stack_from_pem(&file.pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err("names a file without a certificate in PEM form".to_owned()),
    }
}

fn fit(cert: &PemFile, key: &PemFile) -> Result<(), String> {
    let certificates = certificates(cert)?;
    // The empty pass phrase keeps OpenSSL from asking for one at the terminal.
    let key = PKey::private_key_from_pem_passphrase(&key.pem, b"").map_err(|_| {
        "goes with a `key_file` that holds no private key in PEM form without a pass phrase"
            .to_owned()
    })?;
    let public = certificates.first().and_then(|certificate| certificate.public_key().ok());
    if public.is_some_and(|public| public.public_eq(&key)) {
        return Ok(());
    }
    Err("does not fit the private key in `key_file`".to_owned())
}

/// Absolute, so that the path means the same in the running configuration.
fn absolute(folder: &Path, path: &str) -> PathBuf {
    let path = folder.join(path);
    std::path::absolute(&path).unwrap_or(path)
}

/// The path stays unsaid: it may be a password, written to the wrong key.
fn unreadable(reason: String) -> String {
    format!("cannot be read: {reason}; a relative path starts from the folder of this file")
}

fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    String::from_utf8(read_bytes(path, limit)?).map_err(|_| "it is not UTF-8".to_owned())
}

fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(match Shortage::of(&error) {
            Some(shortage) => {
                shortage.count();
                format!("{error}; {}; {}", shortage.words(), shortage.advice())
            }
            None => error.to_string(),
        }),
        Ok(_) if bytes.len() as u64 > limit => Err(format!("it is larger than {limit} bytes")),
        Ok(_) => Ok(bytes),
    }
}

/// Opens what is no pipe or terminal: those could keep the program waiting for ever.
fn open(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if !kind.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path)
}
