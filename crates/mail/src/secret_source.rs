//! Where a secret comes from: written down, or in a file that is read again once it has changed.
//!
//! How a file is read is up to whoever names it. Here is decided when, on a thread of its own: a file
//! system that hangs holds up a login for two seconds and nothing else. A file that is of no use leaves
//! the secret as it was, and says so in the log once.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::secret::Secret;
use crate::threads;

/// The longest wait for a file.
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// How a file is read: the secret in it, or what is wrong, without a word of the content.
pub type ReadSecret = fn(&Path) -> Result<Secret, String>;

/// A secret, by where it comes from.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// It stays as it is.
    Fixed(Secret),
    /// It is what the file holds.
    File(Arc<SecretFile>),
}

/// When a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// If it is another file than the one that was read, or was changed since.
    IfChanged,
    /// In any case.
    Always,
}

/// A file with a secret.
pub struct SecretFile {
    path: PathBuf,
    /// Where the configuration names it.
    place: String,
    read: ReadSecret,
    state: Mutex<State>,
    /// Held by whoever looks at the file.
    turn: Arc<AsyncMutex<()>>,
}

struct State {
    secret: Secret,
    /// The secret before, of which a server may still speak.
    previous: Option<Secret>,
    /// The file that was read; `None` if that is not known.
    identity: Option<Identity>,
    /// Why the file is of no use.
    trouble: Option<String>,
}

/// What is different once a file was replaced or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// That of the file to which the path leads, symbolic links followed.
    fn of(path: &Path) -> Option<Self> {
        let of = |file: Metadata| Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        };
        std::fs::metadata(path).ok().map(of)
    }
}

impl SecretSource {
    /// The newest value that is known.
    pub fn value(&self) -> Secret {
        match self {
            Self::Fixed(secret) => secret.clone(),
            Self::File(file) => file.state().secret.clone(),
        }
    }

    /// The value and the one before it: neither may be shown.
    pub fn known(&self) -> Vec<Secret> {
        match self {
            Self::Fixed(secret) => vec![secret.clone()],
            Self::File(file) => {
                let state = file.state();
                [&state.secret].into_iter().chain(&state.previous).cloned().collect()
            }
        }
    }

    /// Why the file is of no use, with its path.
    pub(crate) fn trouble(&self) -> Option<String> {
        let Self::File(file) = self else { return None };
        let trouble = file.state().trouble.clone()?;
        Some(format!("{}: {trouble}", file.path.display()))
    }

    /// What tells this source from others, whatever value it has.
    pub(crate) fn identifier(&self) -> Vec<u8> {
        match self {
            Self::Fixed(secret) => [b"value ", secret.expose().as_bytes()].concat(),
            Self::File(file) => [b"file ", file.path.as_os_str().as_encoded_bytes()].concat(),
        }
    }

    /// Reads the file again; afterwards [`SecretSource::value`] is what it holds, if it is of use.
    pub(crate) async fn look(&self, look: Look, end: Instant) {
        if let Self::File(file) = self {
            file.look(look, end).await;
        }
    }
}

/// The same source, and the same value.
impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        let is_same_source = match (self, other) {
            (Self::Fixed(_), Self::Fixed(_)) => true,
            (Self::File(one), Self::File(other)) => one.path == other.path,
            _ => false,
        };
        is_same_source && self.value() == other.value()
    }
}

impl Eq for SecretSource {}

impl SecretFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file for the first time. `place` is where the configuration names it, for the log.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn open(path: &Path, place: String, read: ReadSecret) -> Result<Self, String> {
        // Asked for before it is read: what is written meanwhile is read again.
        let identity = Identity::of(path);
        let state = State { secret: read(path)?, previous: None, identity, trouble: None };
        let (path, state) = (path.to_owned(), Mutex::new(state));
        Ok(Self { path, place, read, state, turn: Arc::default() })
    }

    /// Looks at the file, until `end` and for two seconds at most.
    async fn look(self: &Arc<Self>, look: Look, end: Instant) {
        let file = Arc::clone(self);
        let looked = async {
            // Goes along with the thread: of a file system that hangs there is one thread a file.
            let turn = Arc::clone(&self.turn).lock_owned().await;
            let (teller, told) = oneshot::channel();
            let work = move || {
                file.look_now(look);
                drop(turn);
                let _ = teller.send(());
            };
            threads::begin(work).map_err(|error| format!("no thread to read it: {error}"))?;
            told.await.map_err(|_| "its reader broke off".to_owned())
        };
        let deadline = end.min(Instant::now() + LONGEST_LOOK);
        let outcome = timeout_at(deadline, looked).await;
        if let Err(trouble) = outcome.unwrap_or_else(|_| Err("it was not read in time".to_owned()))
        {
            self.complain(trouble);
        }
    }

    fn look_now(&self, look: Look) {
        let identity = Identity::of(&self.path);
        if look == Look::IfChanged && identity.is_some() && identity == self.state().identity {
            self.state().trouble = None;
            return;
        }
        match (self.read)(&self.path) {
            Ok(secret) => self.take(secret, identity),
            Err(trouble) => self.complain(trouble),
        }
    }

    fn take(&self, secret: Secret, identity: Option<Identity>) {
        let mut state = self.state();
        state.identity = identity;
        let was_troubled = state.trouble.take().is_some();
        let is_new = secret != state.secret;
        if is_new {
            state.previous = Some(std::mem::replace(&mut state.secret, secret));
        }
        drop(state);
        let (file, place) = (self.path.display(), &self.place);
        if is_new {
            info!(%file, place, "the secret in this file has changed and is used from now on");
        } else if was_troubled {
            info!(%file, place, "the file of a secret can be read again");
        }
    }

    fn complain(&self, trouble: String) {
        let mut state = self.state();
        let is_told = state.trouble.as_ref() == Some(&trouble);
        state.trouble = Some(trouble.clone());
        drop(state);
        if !is_told {
            let (file, place, error) = (self.path.display(), &self.place, trouble);
            warn!(%file, place, error, "the file of a secret is of no use; the secret read before stays in use");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its path and nothing else: the length of a secret is none of anybody's business.
impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretFile({})", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(path: &Path) -> Result<Secret, String> {
        let text = fs::read_to_string(path).map_err(|error| error.kind().to_string())?;
        if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Secret::new(text)) }
    }

    fn source(path: &Path) -> SecretSource {
        let file = SecretFile::open(path, "mailtrip.yml:7".to_owned(), read).unwrap();
        SecretSource::File(Arc::new(file))
    }

    async fn looked(source: &SecretSource, look: Look) -> String {
        source.look(look, Instant::now() + LONGEST_LOOK).await;
        source.value().expose().to_owned()
    }

    #[tokio::test]
    async fn a_file_that_was_written_replaced_or_swapped_by_a_link_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("1")).unwrap();
        fs::create_dir_all(at("2")).unwrap();
        fs::write(at("1/password"), "one").unwrap();
        fs::write(at("2/password"), "two").unwrap();
        symlink("1", at("..data")).unwrap();
        symlink("..data/password", at("password")).unwrap();
        let source = source(&at("password"));
        assert_eq!(looked(&source, Look::IfChanged).await, "one");
        // As Kubernetes does it.
        symlink("2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_eq!(looked(&source, Look::IfChanged).await, "two");
        fs::write(at("2/new"), "six").unwrap();
        fs::rename(at("2/new"), at("2/password")).unwrap();
        assert_eq!(looked(&source, Look::IfChanged).await, "six");
        fs::write(at("2/password"), "seven").unwrap();
        assert_eq!(looked(&source, Look::IfChanged).await, "seven");
        let known: Vec<_> = source.known().iter().map(|it| it.expose().to_owned()).collect();
        assert_eq!(known, ["seven", "six"]);
    }

    #[tokio::test]
    async fn a_file_of_no_use_leaves_the_secret_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "one").unwrap();
        let source = source(&path);
        for (spoil, trouble) in [
            (&(|| fs::write(&path, "").unwrap()) as &dyn Fn(), "is empty"),
            (&|| fs::remove_file(&path).unwrap(), "entity not found"),
            (&|| fs::create_dir(&path).unwrap(), "is a directory"),
        ] {
            spoil();
            assert_eq!(looked(&source, Look::IfChanged).await, "one");
            let told = source.trouble().unwrap();
            assert_eq!(told, format!("{}: {trouble}", path.display()));
        }
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(looked(&source, Look::IfChanged).await, "two");
        assert_eq!(source.trouble(), None);
    }

    #[tokio::test]
    async fn a_file_that_looks_unchanged_is_read_if_it_must_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "one").unwrap();
        let source = source(&path);
        fs::write(&path, "two").unwrap();
        let SecretSource::File(file) = &source else { panic!() };
        // As if both had been written within one tick of the clock.
        file.state().identity = Identity::of(&path);
        assert_eq!(looked(&source, Look::IfChanged).await, "one");
        assert_eq!(looked(&source, Look::Always).await, "two");
    }

    #[test]
    fn sources_are_the_same_if_what_they_name_and_hold_is() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        for path in [&one, &other] {
            fs::write(path, "a").unwrap();
        }
        let fixed = SecretSource::Fixed(Secret::new("a".to_owned()));
        assert!(source(&one) == source(&one) && fixed == fixed.clone());
        assert!(source(&one) != source(&other) && source(&one) != fixed);
        let before = source(&one);
        fs::write(&one, "b").unwrap();
        assert!(source(&one) != before);
        assert_eq!(format!("{before:?}"), format!("File(SecretFile({}))", one.display()));
    }
}
