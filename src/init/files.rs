//! The two files: the configuration, and the password apart from it. Both are new, or neither is there.
//!
//! In the folder of a package's service (one with `mailtrip.yml` and `targets.d`) they take the places that the service
//! reads them from: `targets.d/NAME.yml` and `credentials/NAME`; elsewhere they are `mailtrip.yml` and
//! `secrets/NAME.password`.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lettre::Address;

use super::Stop;
use crate::config::show::Text;
use crate::config::{Secret, TargetName};
use mail::auth::Auth;
use mail::discovery::Offer;
use mail::options::{Spoken, TlsMode};

/// The most characters of a name that are part of the name of a file.
const NAME_CHARS: usize = 80;

/// Where the files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// The file that is to be written.
    config: PathBuf,
    /// The one that is loaded: that, or the one that includes it.
    main: PathBuf,
    secret: PathBuf,
    /// What `password_file` says.
    key: String,
    is_of_service: bool,
}

/// A target of one account.
pub(super) struct Account<'a> {
    pub(super) name: &'a TargetName,
    pub(super) address: &'a Address,
    pub(super) send: Side<'a>,
    pub(super) receive: Side<'a>,
    pub(super) ca_file: Option<&'a Path>,
}

/// A server, and who logs in and how; `None`: nobody.
pub(super) struct Side<'a> {
    pub(super) offer: &'a Offer,
    pub(super) login: Option<(&'a str, Auth)>,
}

impl Files {
    /// Those of a target in this folder.
    pub(super) fn new(folder: &Path, name: &TargetName) -> Self {
        let main = folder.join("mailtrip.yml");
        let word = file_name(name);
        let included = folder.join("targets.d");
        if main.is_file() && included.is_dir() {
            return Self {
                config: included.join(format!("{word}.yml")),
                main,
                secret: folder.join("credentials").join(&word),
                key: format!("${{CREDENTIALS_DIRECTORY}}/mailtrip_{word}"),
                is_of_service: true,
            };
        }
        let key = format!("secrets/{word}.password");
        let secret = folder.join(&key);
        Self { config: main.clone(), main, secret, key, is_of_service: false }
    }

    /// The file to load.
    pub(super) fn main(&self) -> &Path {
        &self.main
    }

    /// That neither is there, be it as a link to nowhere.
    pub(super) fn are_new(&self) -> Result<(), Stop> {
        for path in [&self.config, &self.secret] {
            if fs::symlink_metadata(path).is_ok() {
                return Err(is_there(path));
            }
        }
        Ok(())
    }

    /// Writes both, or leaves none.
    pub(super) fn write(&self, account: &Account<'_>, password: &Secret) -> Result<(), Stop> {
        let folder = self.secret.parent().filter(|folder| !folder.exists());
        if let Some(folder) = folder {
            let made = DirBuilder::new().mode(0o700).create(folder);
            made.map_err(|error| cannot_write(folder, &error))?;
        }
        let text = format!("{}\n", password.expose());
        let written = write_new(&self.secret, &text, Some(0o600)).and_then(|()| {
            // No secret is in it, and a service may read it as a user of its own.
            let mode = self.is_of_service.then_some(0o644);
            let config = write_new(&self.config, &self.yaml(account), mode);
            config.inspect_err(|_| drop(fs::remove_file(&self.secret)))
        });
        written.inspect_err(|_| {
            if let Some(folder) = folder {
                let _ = fs::remove_dir(folder);
            }
        })
    }

    /// Takes both away again.
    pub(super) fn remove(&self) {
        for path in [&self.config, &self.secret] {
            let _ = fs::remove_file(path);
        }
    }

    /// What was written, as a sentence.
    pub(super) fn written(&self) -> String {
        let (config, secret) = (self.config.display(), self.secret.display());
        format!("Written: {config}, and the password to {secret}, which nobody else can read.")
    }

    /// Why the target is not part of the configuration.
    pub(super) fn is_not_included(&self) -> String {
        let (main, config) = (self.main.display(), self.config.display());
        format!("{main} does not include {config}: write `include: [targets.d/*.yml]` into it")
    }

    /// What there is to do after a probe that was successful, or was not, in lines.
    pub(super) fn what_next(&self, is_good: bool) -> Vec<String> {
        let flag = match self.main == Path::new("mailtrip.yml") || self.is_of_service {
            true => String::new(),
            false => format!(" --config.file={}", self.main.display()),
        };
        let mut lines = vec![String::new(), "What next:".to_owned()];
        let mut line = |command: &str, what: &str| lines.push(format!("  {command}\n      {what}"));
        if !is_good {
            let change =
                format!("do what the verdict says; the target is in {}", self.config.display());
            line(
                &format!("mailtrip_exporter check{flag}"),
                &format!("after a change of it: {change}"),
            );
        }
        if self.is_of_service {
            line("systemctl restart mailtrip_exporter", "passes the new password to the service");
            line("http://localhost:9925/", "its page shows the first round trip within seconds");
        } else {
            line(&format!("mailtrip_exporter check{flag}"), "lists what is tested");
            let page =
                "runs the exporter, with its pages and the documentation at http://localhost:9925/";
            line(&format!("mailtrip_exporter{flag}"), page);
            line("http://localhost:9925/docs/install", "how it runs as a service");
        }
        line("http://localhost:9925/docs/getting-started", "Prometheus, alerts and dashboards");
        lines
    }

    fn yaml(&self, account: &Account<'_>) -> String {
        let mut yaml =
            "# By `mailtrip_exporter init`. Every key: docs/configuration.md, man mailtrip.yml\n\
                        targets:\n"
                .to_owned();
        let address = account.address.to_string();
        let _ = writeln!(yaml, "  - name: {}", Text(account.name.as_str()));
        let _ = writeln!(yaml, "    from: {}\n    to: {}", Text(&address), Text(&address));
        yaml.push_str("    send:\n");
        self.side(&mut yaml, &account.send, account.ca_file);
        let protocol = if account.receive.offer.protocol == Spoken::Pop3 { "pop3" } else { "imap" };
        let _ = writeln!(yaml, "    receive:\n      protocol: {protocol}");
        self.side(&mut yaml, &account.receive, account.ca_file);
        yaml
    }

    fn side(&self, yaml: &mut String, side: &Side<'_>, ca_file: Option<&Path>) {
        let Offer { host, port, tls, .. } = side.offer;
        // Never `none`: no offer is without TLS.
        let tls = if *tls == TlsMode::Implicit { "implicit" } else { "starttls" };
        let _ = writeln!(yaml, "      host: {}\n      port: {port}\n      tls: {tls}", Text(host));
        if let Some(path) = ca_file {
            let path = path.to_string_lossy();
            let _ = writeln!(yaml, "      tls_options:\n        ca_file: {}", Text(&path));
        }
        // What was tried, and nothing that `defaults` say in its place.
        let Some((username, auth)) = side.login else {
            return yaml.push_str("      username: none\n");
        };
        let _ = writeln!(yaml, "      username: {}", Text(username));
        let _ = writeln!(yaml, "      password_file: {}", Text(&self.key));
        let _ = writeln!(yaml, "      auth: {}", auth.label());
    }
}

/// What of a name can stand in the name of a file and of a credential.
fn file_name(name: &TargetName) -> String {
    let fit = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') => c,
        _ => '_',
    };
    let word: String = name.as_str().chars().map(fit).take(NAME_CHARS).collect();
    match word.strip_prefix('.') {
        Some(rest) => format!("_{rest}"),
        None => word,
    }
}

/// Writes a file that is not there yet; it is removed if it cannot be written to its end. `mode` holds whatever the
/// umask says; without one the file is as any other.
fn write_new(path: &Path, text: &str, mode: Option<u32>) -> Result<(), Stop> {
    let mut options = OpenOptions::new();
    // It follows no link.
    let file = options.write(true).create_new(true).mode(mode.unwrap_or(0o644)).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(path),
        _ => cannot_write(path, &error),
    })?;
    fill(&mut file, text, mode).map_err(|error| {
        let _ = fs::remove_file(path);
        cannot_write(path, &error)
    })
}

fn fill(file: &mut File, text: &str, mode: Option<u32>) -> io::Result<()> {
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn is_there(path: &Path) -> Stop {
    Stop::because(format!(
        "{} is there already, and nothing is overwritten: choose another folder by --folder, or another --name",
        path.display()
    ))
}

fn cannot_write(path: &Path, error: &io::Error) -> Stop {
    Stop::because(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::Config;
    use mail::auth::Mechanism;

    fn name(text: &str) -> TargetName {
        TargetName::new(text).unwrap()
    }

    fn account<'a>(
        name: &'a TargetName,
        address: &'a Address,
        offers: &'a [Offer; 2],
    ) -> Account<'a> {
        let [smtp, imap] = offers;
        Account {
            name,
            address,
            send: Side { offer: smtp, login: None },
            receive: Side { offer: imap, login: Some(("rita: #1 'x'", PLAIN)) },
            ca_file: None,
        }
    }

    const PLAIN: Auth = Auth::Only(Mechanism::Plain);

    fn offers() -> [Offer; 2] {
        let smtp = Offer::new(Spoken::Smtp, "mail.example.com", 25, TlsMode::StartTls);
        [smtp, Offer::new(Spoken::Imap, "mail.example.com", 993, TlsMode::Implicit)]
    }

    #[test]
    fn what_is_written_loads_whatever_the_names_are() {
        let folder = tempfile::tempdir().unwrap();
        let (name, address) = (name("a/b: 'c' #d"), "o'brien@example.com".parse().unwrap());
        let files = Files::new(folder.path(), &name);
        let offers = offers();
        let password = Secret::new("pass \\ word".to_owned());
        files.write(&account(&name, &address, &offers), &password).unwrap();
        let config = Config::load(files.main()).unwrap();
        let target = config.targets.get(&name).unwrap();
        assert_eq!((target.from.to_string(), &target.send.login), (address.to_string(), &None));
        assert_eq!(target.receive.login.username, "rita: #1 'x'");
        assert_eq!(target.receive.login.auth, PLAIN);
        let in_folder = |file: io::Result<fs::DirEntry>| file.unwrap().file_name();
        let secrets: Vec<_> =
            fs::read_dir(folder.path().join("secrets")).unwrap().map(in_folder).collect();
        assert_eq!(secrets, ["a_b___c___d.password"]);
    }

    #[test]
    fn no_default_of_others_takes_the_place_of_what_was_tried() {
        let folder = tempfile::tempdir().unwrap();
        let (name, address) = (name("one"), "rita@example.com".parse().unwrap());
        fs::create_dir(folder.path().join("targets.d")).unwrap();
        fs::write(folder.path().join("other"), "other").unwrap();
        let defaults = "include: [targets.d/*.yml]\ndefaults:\n  send: {username: sam, password_file: other}\n  \
                        receive: {auth: cram-md5}\n";
        fs::write(folder.path().join("mailtrip.yml"), defaults).unwrap();
        let files = Files::new(folder.path(), &name);
        let offers = offers();
        let password = Secret::new("password".to_owned());
        files.write(&account(&name, &address, &offers), &password).unwrap();
        let config = Config::load(files.main()).unwrap();
        let target = config.targets.get(&name).unwrap();
        assert_eq!(target.send.login, None);
        assert_eq!(target.receive.login.auth, PLAIN);
    }

    #[test]
    fn both_files_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (name, address) = (name("one"), "rita@example.com".parse().unwrap());
        let files = Files::new(folder.path(), &name);
        // It comes after the look at what is there, and leads elsewhere.
        symlink(folder.path().join("elsewhere"), folder.path().join("mailtrip.yml")).unwrap();
        let offers = offers();
        let password = Secret::new("password".to_owned());
        let stop = files.write(&account(&name, &address, &offers), &password).unwrap_err();
        assert!(stop.to_string().contains("is there already"), "{stop}");
        assert!(!folder.path().join("secrets").exists());
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for (text, word) in [("../../a", "_._.._a"), ("..", "_."), (".hidden", "_hidden")] {
            assert_eq!(file_name(&name(text)), word, "{text}");
        }
        assert_eq!(file_name(&name(&"a".repeat(100))).len(), NAME_CHARS);
    }
}
