//! The authorities that the system trusts: where they are, and where this process could not read them. OpenSSL
//! opens the file of an authority only once a server has shown a certificate by it. Where no descriptor is free
//! then, it calls the certificate untrusted and does not say why: our shortage would be the fault of the server.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::ssl::SslContextBuilder;
use openssl::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};

use super::shortage_of;
use ledger::Shortage;

/// The most that is read of the file of an authority.
const FILE_BYTES: u64 = 256 << 10;
/// What to do on a machine without authorities.
const NONE_FOUND: &str = "; no authorities were found on this machine: install its package ca-certificates \
                          and restart, or name a file of them by ca_file in tls_options or by SSL_CERT_FILE";
/// `X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT`: no authority would help.
const SELF_SIGNED: i32 = 18;
/// How many authorities whose names have the same hash are looked at.
const SAME_HASH: usize = 16;

/// Whether this says that the authority was not found.
fn lacks_authority(problem: X509VerifyResult) -> bool {
    // X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, .._DEPTH_ZERO_SELF_SIGNED_CERT, .._SELF_SIGNED_CERT_IN_CHAIN,
    // .._UNABLE_TO_GET_ISSUER_CERT_LOCALLY, .._UNABLE_TO_VERIFY_LEAF_SIGNATURE
    matches!(problem.as_raw(), 2 | 18..=21)
}

/// Where the authorities of this system are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    file: Option<PathBuf>,
    folders: Vec<PathBuf>,
    /// None of them holds an authority.
    is_empty: bool,
}

/// What the environment says, in the variables of OpenSSL.
struct Environment {
    file: Option<OsString>,
    folders: Option<OsString>,
}

/// Has a client or a server trust the authorities of the system: those where its OpenSSL looks by itself, which
/// `SSL_CERT_FILE` and `SSL_CERT_DIR` move, else those where the distributions keep them.
///
/// # Errors
/// What OpenSSL says, for want of a descriptor. A place that is not there is no failure.
pub(super) fn trust_system(builder: &mut SslContextBuilder) -> Result<Places, ErrorStack> {
    builder.set_default_verify_paths()?;
    let places = Places::of_system();
    // What OpenSSL could not open by itself it has passed over without a word.
    places.load(builder)?;
    Ok(places)
}

impl Places {
    fn of_system() -> Self {
        // As in `OPENSSLDIR: "/usr/lib/ssl"`.
        let default = Path::new(openssl::version::dir().split('"').nth(1).unwrap_or_default());
        let [file, folders] = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(std::env::var_os);
        Self::find(Environment { file, folders }, default, openssl_probe::probe)
    }

    /// A program with an OpenSSL of its own looks where no distribution keeps anything: then `probe` says where
    /// this one does. To OpenSSL a named file takes the place of its file, and named folders that of its folder.
    fn find(
        environment: Environment,
        default: &Path,
        probe: impl FnOnce() -> openssl_probe::ProbeResult,
    ) -> Self {
        let file = environment.file.map(PathBuf::from);
        let is_named = file.is_some();
        let file = file.unwrap_or_else(|| default.join("cert.pem"));
        if let Some(folders) = environment.folders {
            return Self::looked_at(Some(file), std::env::split_paths(&folders).collect());
        }
        let folder = default.join("certs");
        let own_is_there = holds_hashes(&folder) || (!is_named && file.exists());
        match (own_is_there, is_named) {
            (true, _) => Self::looked_at(Some(file), vec![folder]),
            (false, true) => Self::looked_at(Some(file), probe().cert_dir),
            (false, false) => {
                let found = probe();
                Self::looked_at(found.cert_file, found.cert_dir)
            }
        }
    }

    fn looked_at(file: Option<PathBuf>, folders: Vec<PathBuf>) -> Self {
        let is_empty =
            !file.iter().any(|it| it.exists()) && !folders.iter().any(|it| holds_hashes(it));
        Self { file, folders, is_empty }
    }

    fn load(&self, builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        // The openssl crate takes only paths that are UTF-8.
        let paths = self.file.iter().map(|file| (Some(file.as_path()), None));
        let paths = paths.chain(self.folders.iter().map(|folder| (None, Some(folder.as_path()))));
        let is_usable = |path: &Option<&Path>| path.is_none_or(|path| path.to_str().is_some());
        for (file, folder) in paths.filter(|(file, folder)| is_usable(file) && is_usable(folder)) {
            match builder.load_verify_locations(file, folder) {
                Err(errors) if shortage_of(&errors).is_some() => return Err(errors),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether there is none at all.
    pub(super) fn are_empty(&self) -> bool {
        self.is_empty
    }

    /// What a refusal for lack of an authority says beside, where there is none at all.
    pub(super) fn advice(&self, problem: X509VerifyResult) -> Option<&'static str> {
        let would_help = lacks_authority(problem) && problem.as_raw() != SELF_SIGNED;
        (self.is_empty && would_help).then_some(NONE_FOUND)
    }

    /// What this process was short of, if the authority that a certificate was refused for lack of is there.
    pub(super) fn unread_by(&self, context: &X509StoreContextRef) -> Option<Shortage> {
        if !lacks_authority(context.error()) {
            return None;
        }
        // The issuers of those before it were found.
        self.unread(context.chain()?.iter().last()?)
    }

    /// What is short, if a folder holds the issuer of this certificate.
    fn unread(&self, certificate: &X509Ref) -> Option<Shortage> {
        let hash = certificate.issuer_name_hash();
        self.folders.iter().find_map(|folder| unread_in(folder, hash, certificate))
    }
}

/// Whether the folder has a file that is named as OpenSSL looks for an authority, `4042bcee.0`. One that cannot be
/// listed may have.
fn holds_hashes(folder: &Path) -> bool {
    let is_hash = |name: OsString| {
        let name = name.to_string_lossy();
        name.split_once('.').is_some_and(|(hash, number)| {
            hash.len() == 8
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && number.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| is_hash(entry.file_name())),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// The same of one folder, where an authority has the hash of its name for the name of its file.
fn unread_in(folder: &Path, hash: u32, certificate: &X509Ref) -> Option<Shortage> {
    let files = (0..SAME_HASH).map(|number| folder.join(format!("{hash:08x}.{number}")));
    // To see that a file is there takes no descriptor.
    let mut files = files.take_while(|file| file.exists());
    files.find_map(|file| match certificates_in(&file) {
        Err(shortage) => Some(shortage),
        // It can be read again, so that a moment ago no descriptor was free.
        Ok(found) => {
            found.iter().any(|it| has_signed(it, certificate)).then_some(Shortage::Descriptors)
        }
    })
}

/// Whether one certificate is by the other. The signature counts: anybody can write the name of an authority into
/// a certificate of his own, and must not look like a shortage.
fn has_signed(issuer: &X509, certificate: &X509Ref) -> bool {
    let is_signed = || certificate.verify(&*issuer.public_key()?);
    issuer.issued(certificate) == X509VerifyResult::OK && is_signed().unwrap_or(false)
}

/// A file that cannot be read or holds no certificate has none.
fn certificates_in(path: &Path) -> Result<Vec<X509>, Shortage> {
    let read = File::open(path).and_then(|file| {
        let mut pem = Vec::new();
        file.take(FILE_BYTES).read_to_end(&mut pem).map(|_| pem)
    });
    let pem = unless_short(read)?.unwrap_or_default();
    Ok(X509::stack_from_pem(&pem).unwrap_or_default())
}

/// The value, if there is one; only a shortage is an error.
fn unless_short<T>(result: io::Result<T>) -> Result<Option<T>, Shortage> {
    result.map(Some).or_else(|error| Shortage::of(&error).map_or(Ok(None), Err))
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{PKey, Private};
    use openssl::stack::Stack;
    use openssl::x509::store::X509StoreBuilder;
    use openssl::x509::{X509Builder, X509NameBuilder, X509StoreContext};

    use super::*;

    /// A certificate in this name by that one, signed with this key and for it.
    fn certificate(subject: &str, issuer: &str, key: &PKey<Private>) -> X509 {
        let name = |text: &str| {
            let mut name = X509NameBuilder::new().unwrap();
            name.append_entry_by_text("CN", text).unwrap();
            name.build()
        };
        let mut builder = X509Builder::new().unwrap();
        builder.set_subject_name(&name(subject)).unwrap();
        builder.set_issuer_name(&name(issuer)).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    fn environment(file: Option<&Path>, folders: Option<&Path>) -> Environment {
        Environment { file: file.map(Into::into), folders: folders.map(Into::into) }
    }

    #[test]
    fn authorities_are_looked_for_where_openssl_does_not_look_only_if_it_finds_none() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let write = |path: &str| {
            std::fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            std::fs::write(at(path), "").unwrap();
        };
        let elsewhere = || openssl_probe::ProbeResult {
            cert_file: Some(at("pki/tls-ca-bundle.pem")),
            cert_dir: vec![at("pki/certs")],
        };
        let find = |file: Option<&Path>, folders: Option<&Path>| {
            Places::find(environment(file, folders), &at("local/ssl"), elsewhere)
        };
        // As OpenSSL's own folder is on many machines: there, and without an authority.
        write("local/ssl/certs/README");
        assert!(find(None, None).is_empty);
        write("pki/tls-ca-bundle.pem");
        let Places { file, folders, is_empty } = find(None, None);
        assert_eq!((file, folders), (Some(at("pki/tls-ca-bundle.pem")), vec![at("pki/certs")]));
        assert!(!is_empty);
        // What the environment names counts, whether it is there or not, and the other kind stays that of the system.
        let named = find(Some(&at("mine.pem")), None);
        assert_eq!((named.file, named.is_empty), (Some(at("mine.pem")), true));
        write("pki/certs/4042bcee.0");
        let named = find(Some(&at("mine.pem")), None);
        assert_eq!((named.file, named.folders), (Some(at("mine.pem")), vec![at("pki/certs")]));
        let named = find(None, Some(&at("pki")));
        assert_eq!((named.folders, named.is_empty), (vec![at("pki")], true));
        assert_eq!(named.file, Some(at("local/ssl/cert.pem")));
        write("local/ssl/certs/4042bcee.0");
        let named = find(Some(&at("mine.pem")), None);
        assert_eq!(
            (named.file, named.folders),
            (Some(at("mine.pem")), vec![at("local/ssl/certs")])
        );
        assert_eq!(find(None, None).folders, [at("local/ssl/certs")]);
        std::fs::remove_dir_all(at("local/ssl/certs")).unwrap();
        write("local/ssl/cert.pem");
        assert_eq!(find(None, None).file, Some(at("local/ssl/cert.pem")));
    }

    #[test]
    fn a_machine_without_authorities_is_told_of_where_they_would_help() {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let (root, server) = (certificate("root", "root", &key), certificate("host", "root", &key));
        let places = Places { is_empty: true, ..Places::default() };
        let advice = |certificate: &X509| {
            let mut context = X509StoreContext::new().unwrap();
            let judge = |context: &mut X509StoreContextRef| {
                context.verify_cert()?;
                Ok(places.advice(context.error()))
            };
            let store = X509StoreBuilder::new().unwrap().build();
            context.init(&store, certificate, &Stack::new().unwrap(), judge).unwrap()
        };
        assert!(advice(&server).unwrap().contains("and restart"));
        assert_eq!(advice(&root), None, "it is its own authority");
    }

    #[test]
    fn what_is_found_is_trusted() {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let (root, server) = (certificate("root", "root", &key), certificate("host", "root", &key));
        let folder = tempfile::tempdir().unwrap();
        let hash = root.subject_name_hash();
        let path = folder.path().join(format!("{hash:08x}.0"));
        std::fs::write(&path, root.to_pem().unwrap()).unwrap();
        let is_trusted_by = |places: Places| {
            let mut builder =
                SslContextBuilder::new(openssl::ssl::SslMethod::tls_client()).unwrap();
            places.load(&mut builder).unwrap();
            let mut context = X509StoreContext::new().unwrap();
            let none = Stack::new().unwrap();
            let built = builder.build();
            context
                .init(built.cert_store(), &server, &none, X509StoreContextRef::verify_cert)
                .unwrap()
        };
        assert!(is_trusted_by(Places { file: Some(path), ..Places::default() }));
        let folders = vec![folder.path().to_owned()];
        assert!(is_trusted_by(Places { folders, ..Places::default() }));
        assert!(!is_trusted_by(Places::default()));
    }

    #[test]
    fn an_authority_alone_without_the_one_above_it_is_no_shortage() {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let middle = certificate("middle", "root", &key);
        let server = certificate("host", "middle", &key);
        let folder = tempfile::tempdir().unwrap();
        let hash = middle.subject_name_hash();
        let file = folder.path().join(format!("{hash:08x}.0"));
        std::fs::write(file, middle.to_pem().unwrap()).unwrap();
        let places = Places { folders: vec![folder.path().to_owned()], ..Places::default() };
        // As OpenSSL judges it, with and without what is in the folder.
        let judged = |known: &[&X509]| {
            let mut store = X509StoreBuilder::new().unwrap();
            known.iter().for_each(|it| store.add_cert((*it).clone()).unwrap());
            let mut context = X509StoreContext::new().unwrap();
            let judge = |context: &mut X509StoreContextRef| {
                let holds = context.verify_cert()?;
                Ok((holds, context.error().as_raw(), places.unread_by(context)))
            };
            context.init(&store.build(), &server, &Stack::new().unwrap(), judge).unwrap()
        };
        assert_eq!(judged(&[&middle]), (false, 2, None));
        assert_eq!(judged(&[]), (false, 20, Some(Shortage::Descriptors)));
    }

    #[test]
    fn an_authority_in_the_folder_was_not_read_and_another_one_is_unknown() {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |authority: &X509, number: u32| {
            let hash = authority.subject_name_hash();
            let file = folder.path().join(format!("{hash:08x}.{number}"));
            std::fs::write(file, authority.to_pem().unwrap()).unwrap();
        };
        let (root, server) = (certificate("root", "root", &key), certificate("host", "root", &key));
        let places = Places {
            folders: vec![PathBuf::from("/nonexistent"), folder.path().to_owned()],
            ..Places::default()
        };
        let unread = |certificate: &X509| places.unread(certificate);
        assert_eq!(unread(&server), None);
        // A file of the name that the issuer's would have, with another certificate.
        let hash = root.subject_name_hash();
        let other = certificate("other", "other", &key).to_pem().unwrap();
        std::fs::write(folder.path().join(format!("{hash:08x}.0")), other).unwrap();
        assert_eq!(unread(&server), None);
        write(&root, 1);
        assert_eq!(unread(&server), Some(Shortage::Descriptors));
        assert_eq!(unread(&root), Some(Shortage::Descriptors), "sent by the server itself");
        assert_eq!(unread(&certificate("host", "stranger", &key)), None);
        let own_key = PKey::ec_gen("prime256v1").unwrap();
        assert_eq!(unread(&certificate("root", "root", &own_key)), None, "an impostor");
        assert_eq!(unread(&certificate("host", "root", &own_key)), None, "by an impostor");
    }
}
