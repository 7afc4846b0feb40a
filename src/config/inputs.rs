//! The files that a configuration was read from, and whether they are still as they were.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openssl::sha::sha256;

use super::file;
use super::source;

/// What a configuration was read from, whether it held or not: its files, those that it includes, and the
/// secrets and certificates that it names. Clones are cheap.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Inputs(Arc<Noted>);

#[derive(Clone, Default, PartialEq, Eq)]
struct Noted {
    /// Each file with a digest of its content, or of why it has none.
    files: BTreeMap<PathBuf, [u8; 32]>,
    /// Each entry of `include` with the folder that it starts from, and what it matched.
    includes: BTreeMap<(PathBuf, String), Result<Vec<PathBuf>, String>>,
}

impl Inputs {
    /// Notes a file that is about to be read: what is written meanwhile shows as a change.
    pub(super) fn note_file(&mut self, path: &Path) {
        let digest = digest(path);
        Arc::make_mut(&mut self.0).files.insert(path.to_owned(), digest);
    }

    /// The files that an entry of `include` means, which are noted as such.
    pub(super) fn matching(&mut self, folder: &Path, entry: &str) -> Result<Vec<PathBuf>, String> {
        let found = file::matching(folder, entry);
        let key = (folder.to_owned(), entry.to_owned());
        Arc::make_mut(&mut self.0).includes.insert(key, found.clone());
        found
    }

    /// Whether one of the files has another content than when it was read, or an entry of `include` means
    /// other files. It reads them all.
    pub fn have_changed(&self) -> bool {
        let Noted { files, includes } = &*self.0;
        files.iter().any(|(path, noted)| digest(path) != *noted)
            || includes
                .iter()
                .any(|((folder, entry), found)| file::matching(folder, entry) != *found)
    }
}

/// The paths only: by the digest of a secret it can be guessed.
impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.files.keys()).finish()
    }
}

fn digest(path: &Path) -> [u8; 32] {
    match source::read_bytes(path, source::MAX_YAML_BYTES) {
        Ok(bytes) => sha256(&bytes),
        Err(reason) => sha256(reason.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::config::Config;

    /// A target whose password is in a file.
    fn target(name: &str) -> String {
        format!(
            "targets:\n- name: {name}\n  host: 127.0.0.1\n  from: a@b.test\n  to: c@d.test\n  receive: \
             {{protocol: imap, username: c, password_file: ../secret, tls_options: {{ca_file: \
             ../ca.pem}}}}\n"
        )
    }

    #[test]
    fn a_change_of_any_file_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("targets.d")).unwrap();
        let ca = testserver::Authority::new().unwrap().ca_pem().unwrap();
        fs::write(at("ca.pem"), &ca).unwrap();
        fs::write(at("secret"), "one").unwrap();
        fs::write(at("targets.d/a.yml"), target("a")).unwrap();
        fs::write(at("mailtrip.yml"), "include: ['targets.d/*.yml']\n").unwrap();
        let read = || match Config::load_again(&at("mailtrip.yml")) {
            Ok(config) => (true, config.inputs),
            Err(problems) => (false, problems.inputs().clone()),
        };
        let mut inputs = read().1;
        for (what, change, holds) in [
            ("main file", ("mailtrip.yml", "include: ['targets.d/*.yml', 'x.yml']\n"), false),
            ("main file again", ("mailtrip.yml", "include: ['targets.d/*.yml']\n\n"), true),
            ("included file", ("targets.d/a.yml", "targets: 7\n"), false),
            ("included file again", ("targets.d/a.yml", &target("b")), true),
            ("another one", ("targets.d/c.yml", &target("c")), true),
            ("secret", ("secret", "two"), true),
            ("secret of no use", ("secret", ""), false),
            ("secret again", ("secret", "two"), true),
            ("certificate", ("ca.pem", &format!("{}\n", String::from_utf8_lossy(&ca))), true),
        ] {
            assert!(!inputs.have_changed(), "before: {what}");
            fs::write(at(change.0), change.1).unwrap();
            assert!(inputs.have_changed(), "{what}");
            let again = read();
            assert_eq!(again.0, holds, "{what}");
            inputs = again.1;
            assert!(!inputs.have_changed(), "after: {what}");
        }
        fs::remove_file(at("targets.d/c.yml")).unwrap();
        assert!(inputs.have_changed());
    }

    #[test]
    fn debug_shows_the_paths_and_no_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mailtrip.yml");
        let inputs = Config::load_again(&path).unwrap_err().inputs().clone();
        assert_eq!(format!("{inputs:?}"), format!("{{{path:?}}}"));
    }

    #[test]
    fn a_configuration_that_is_not_there_has_changed_once_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mailtrip.yml");
        let inputs = Config::load_again(&path).unwrap_err().inputs().clone();
        assert!(!inputs.have_changed());
        fs::write(&path, target("a")).unwrap();
        assert!(inputs.have_changed());
    }
}
