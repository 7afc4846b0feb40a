//! What a key names instead of holding: files and environment variables. Each file is read once,
//! however many targets name it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::hash::Hash;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openssl::pkey::PKey;
use openssl::x509::X509;

use super::problem::MISSING;
use super::section::Place;
use super::{ClientIdentity, Folder, Inputs, PemFile, Secret, SecretSource, TlsOptions};
use ledger::Shortage;
use ledger::durations::Written;
use mail::content::BodyText;
use mail::secret_source::SecretFile;

/// The environment, as a lookup.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The largest YAML file, in bytes.
pub(super) const MAX_YAML_BYTES: u64 = 16 * 1024 * 1024;

/// How long a configuration that comes through a pipe may take.
const LONGEST_PIPE: Duration = Duration::from_secs(10);

/// The largest file of certificates or keys, in bytes.
const MAX_PEM_BYTES: u64 = 4 * 1024 * 1024;

/// The largest file of a password, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Stands at the beginning of a path for the folder that systemd puts credentials in.
pub(super) const CREDENTIALS: &str = "${CREDENTIALS_DIRECTORY}";

/// What `LoadCredential=` of the unit in `deploy/systemd` puts before the name of each file.
const PREFIX_OF_UNIT: &str = "mailtrip_";

/// Reads what keys name, and keeps it for the next key that names the same.
pub(super) struct Sources<'e> {
    environment: Environment<'e>,
    /// That of the main file.
    folder: &'e Path,
    /// Everything that was read so far.
    pub(super) inputs: Inputs,
    pems: HashMap<PathBuf, Result<PemFile, String>>,
    authorities: HashMap<PathBuf, Result<(), String>>,
    identities: HashMap<(PathBuf, PathBuf), Result<(), String>>,
    passwords: HashMap<PathBuf, Result<Arc<SecretFile>, String>>,
    tls_options: HashSet<Arc<TlsOptions>>,
    folders: HashSet<Arc<[Folder]>>,
    bodies: HashSet<Arc<BodyText>>,
}

impl<'e> Sources<'e> {
    /// Nothing was read yet but `inputs`.
    pub(super) fn new(environment: Environment<'e>, folder: &'e Path, inputs: Inputs) -> Self {
        Self {
            environment,
            folder,
            inputs,
            pems: HashMap::new(),
            authorities: HashMap::new(),
            identities: HashMap::new(),
            passwords: HashMap::new(),
            tls_options: HashSet::new(),
            folders: HashSet::new(),
            bodies: HashSet::new(),
        }
    }

    /// One for all servers with the same: most have none of their own.
    pub(super) fn shared_options(&mut self, options: TlsOptions) -> Arc<TlsOptions> {
        shared(&mut self.tls_options, Arc::new(options))
    }

    /// One list for all mailboxes in which it is looked into the same folders.
    pub(super) fn shared_folders(&mut self, folders: Vec<Folder>) -> Arc<[Folder]> {
        shared(&mut self.folders, folders.into())
    }

    /// One text for all mails that say the same.
    pub(super) fn shared_body(&mut self, body: BodyText) -> Arc<BodyText> {
        shared(&mut self.bodies, Arc::new(body))
    }

    /// The password in a file of one line, which is named at `place` and read again once it has changed.
    pub(super) fn password_file(
        &mut self,
        place: &Place<'_>,
        path: &str,
    ) -> Result<SecretSource, String> {
        let path = match path.strip_prefix(CREDENTIALS) {
            Some(rest) => self.credential(rest.trim_start_matches('/'))?,
            None => absolute(place.folder(), path),
        };
        let open = |path: &PathBuf| {
            self.inputs.note_file(path);
            let place = format!("{}: {}", place.file_and_line(), place.key);
            SecretFile::open(path, place, read_secret).map(Arc::new)
        };
        self.passwords.entry(path).or_insert_with_key(open).clone().map(SecretSource::File)
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
            self.inputs.note_file(path);
            let pem = read_bytes(path, MAX_PEM_BYTES).map_err(unreadable)?;
            Ok(PemFile { path: path.clone(), pem: pem.into() })
        };
        self.pems.entry(absolute(folder, path)).or_insert_with_key(read).clone()
    }

    /// The file of a credential. Where systemd has not started the program, as for `check` and `probe` by
    /// hand, it is the one that the unit of this project passes: mailtrip_NAME is `credentials/NAME`.
    fn credential(&mut self, name: &str) -> Result<PathBuf, String> {
        let folder = (self.environment)("CREDENTIALS_DIRECTORY").filter(|value| !value.is_empty());
        if let Some(folder) = folder {
            let path = Path::new(&folder).join(name);
            if path.exists() {
                return Ok(path);
            }
            // For a reload by itself: that it comes is a change.
            self.inputs.note_file(&path);
            return Err(NOT_PASSED.to_owned());
        }
        let passed = absolute(self.folder, "credentials");
        match name.strip_prefix(PREFIX_OF_UNIT) {
            Some(name) if passed.is_dir() => Ok(passed.join(name)),
            _ => Err(
                "needs the environment variable CREDENTIALS_DIRECTORY, which systemd sets for a \
                      service with LoadCredential="
                    .to_owned(),
            ),
        }
    }
}

/// What is said of a credential that systemd has not passed.
const NOT_PASSED: &str = "is none of the credentials that systemd has passed to this service: it passes \
                          them when the service starts, so restart it once the file is there";

/// A password that a login can carry.
pub(crate) fn password(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("is an empty password".to_owned());
    }
    if text.contains(['\0', '\r', '\n']) {
        return Err("is a password with a line break or a NUL, which no login can carry".to_owned());
    }
    Ok(Secret::new(text.to_owned()))
}

/// Why a YAML file is of no use.
pub(super) struct Unreadable {
    /// The line from which on it is none, if it is one that shows.
    pub(super) line: Option<usize>,
    /// What is wrong, and what to do.
    pub(super) message: String,
}

/// The text of a YAML file.
pub(super) fn read_yaml(path: &Path) -> Result<String, Unreadable> {
    let bytes = read_bytes(path, MAX_YAML_BYTES).map_err(|reason| cannot_be_read(&reason))?;
    yaml_text(bytes)
}

/// The same of the main file, which may also come through a pipe: then it is read to its end, once, and
/// the second value says so.
pub(super) fn read_main(path: &Path) -> Result<(String, bool), Unreadable> {
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    match kind {
        Ok(kind) if kind.is_fifo() => {
            let bytes = read_pipe(path, LONGEST_PIPE).map_err(|reason| cannot_be_read(&reason))?;
            yaml_text(bytes).map(|text| (text, true))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Unreadable { line: None, message: MISSING.to_owned() })
        }
        _ => read_yaml(path).map(|text| (text, false)),
    }
}

/// Whether there is nothing at this path that could be read a second time.
pub(super) fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn cannot_be_read(reason: &str) -> Unreadable {
    Unreadable { line: None, message: format!("cannot be read: {reason}") }
}

/// In a thread of its own, for nobody may ever write to the pipe.
pub(super) fn read_pipe(path: &Path, longest: Duration) -> Result<Vec<u8>, String> {
    let (teller, outcome) = std::sync::mpsc::channel();
    let path = path.to_owned();
    std::thread::spawn(move || {
        let _ = teller.send(File::open(path).and_then(|pipe| contents(pipe, MAX_YAML_BYTES)));
    });
    match outcome.recv_timeout(longest) {
        Ok(Ok(bytes)) => within(bytes, MAX_YAML_BYTES),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err(format!("the pipe did not end within {}", Written(longest))),
    }
}

fn yaml_text(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if is_utf_16(&bytes) {
        return Err(cannot_be_read("it is UTF-16; save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let (good, bad) = (error.utf8_error().valid_up_to(), error.as_bytes());
        let before = bad.get(..good).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let message = "is not UTF-8 in this line; save the file as UTF-8".to_owned();
        Unreadable { line: Some(line), message }
    })
}

/// By the mark of its byte order, or by every other byte of what begins in ASCII.
fn is_utf_16(bytes: &[u8]) -> bool {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [0, second, ..] | [second, 0, ..] => *second != 0,
        _ => false,
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    read_text(path, MAX_SECRET_BYTES).map_err(unreadable).and_then(|text| first_line(&text))
}

/// The secret in a file of one line that a flag names.
pub(crate) fn secret_of_flag(path: &Path) -> Result<Secret, String> {
    read_text(path, MAX_SECRET_BYTES).and_then(|text| first_line(&text))
}

/// The authorities to trust in a file that a flag names.
pub(crate) fn authorities_of_flag(path: &Path) -> Result<PemFile, String> {
    let pem = read_bytes(path, MAX_PEM_BYTES)?;
    let file = PemFile { path: path.to_owned(), pem: pem.into() };
    certificates(&file).map(|_| file)
}

fn first_line(text: &str) -> Result<Secret, String> {
    // Editors of Windows put it before the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
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
    format!(
        "cannot be read: {reason}; a relative path starts from the folder of the file that names it"
    )
}

fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let bytes = read_bytes(path, limit)?;
    if is_utf_16(&bytes) {
        return Err("it is UTF-16; save it as UTF-8".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

pub(super) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    match open(path).and_then(|file| contents(file, limit)) {
        Ok(bytes) => within(bytes, limit),
        Err(error) => Err(reason(&error)),
    }
}

/// One byte more than `limit` at most.
fn contents(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn within(bytes: Vec<u8>, limit: u64) -> Result<Vec<u8>, String> {
    match bytes.len() as u64 > limit {
        true => Err(format!("it is larger than {limit} bytes")),
        false => Ok(bytes),
    }
}

/// What the system says, and what to do about it.
pub(super) fn reason(error: &io::Error) -> String {
    if let Some(shortage) = Shortage::of(error) {
        mail::shortage::count(shortage);
        return format!("{error}; {}; {}", shortage.words(), mail::shortage::advice(shortage));
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{error}; let the user as whom this program runs read it")
        }
        _ => error.to_string(),
    }
}

/// Opens what is no pipe or terminal: those could keep the program waiting for ever.
fn open(path: &Path) -> io::Result<File> {
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    let what = if kind.is_dir() {
        "it is a folder; name the file in it"
    } else if kind.is_fifo() {
        "it is a pipe, which cannot be read again; name a file"
    } else {
        "it is not a file"
    };
    Err(io::Error::other(what))
}

/// The one that is known and the same, or this one, which is known from now on.
fn shared<T: ?Sized + Eq + Hash>(known: &mut HashSet<Arc<T>>, new: Arc<T>) -> Arc<T> {
    if let Some(known) = known.get(&new) {
        return Arc::clone(known);
    }
    known.insert(Arc::clone(&new));
    new
}
