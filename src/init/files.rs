//! The two files: the configuration, and the password apart from it. Both are new, or neither is there.
//!
//! In the folder of a package's service (one with `mailtrip.yml` and `targets.d`) they take the places that the service
//! reads them from: `targets.d/NAME.yml` and `credentials/NAME`, with a copy of the file of `--ca-file`; elsewhere they
//! are `mailtrip.yml` and `secrets/NAME.password`.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use lettre::Address;
use rustix::fs::Access;

use super::Stop;
use crate::config::show::Text;
use crate::config::{Config, Secret, TargetName};
use mail::auth::Auth;
use mail::discovery::Offer;
use mail::options::{PemFile, TlsMode};

/// The most characters of a name that are part of the name of a file.
const NAME_CHARS: usize = 80;
/// The configuration of the service that the packages install.
pub const OF_SERVICE: &str = "/etc/mailtrip_exporter/mailtrip.yml";

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
    /// Where the authorities are copied to: a service may not see the folders of persons, nor their files.
    authorities: Option<PathBuf>,
    /// Whether the folder of the secret was there before.
    has_folder: bool,
}

/// A target of one account.
pub(super) struct Account<'a> {
    pub(super) name: &'a TargetName,
    pub(super) address: &'a Address,
    pub(super) send: Side<'a>,
    pub(super) receive: Side<'a>,
    pub(super) ca_file: Option<&'a PemFile>,
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
            let authorities = included.join(format!("{word}.ca.pem"));
            let credentials = folder.join("credentials");
            return Self {
                config: included.join(format!("{word}.yml")),
                main,
                secret: credentials.join(&word),
                key: format!("${{CREDENTIALS_DIRECTORY}}/mailtrip_{word}"),
                authorities: Some(std::path::absolute(&authorities).unwrap_or(authorities)),
                has_folder: credentials.exists(),
            };
        }
        let key = format!("secrets/{word}.password");
        let secret = folder.join(&key);
        let has_folder = folder.join("secrets").exists();
        Self { config: main.clone(), main, secret, key, authorities: None, has_folder }
    }

    /// Whether another file includes what is written.
    fn is_included(&self) -> bool {
        self.config != self.main
    }

    /// The file to load.
    pub(super) fn main(&self) -> &Path {
        &self.main
    }

    /// That none is there, be it as a link to nowhere, that each can be written, and that the configuration which is to
    /// include the target is good and has none of its name.
    pub(super) fn are_new(&self, name: &TargetName) -> Result<(), Stop> {
        for path in [Some(&self.config), Some(&self.secret), self.authorities.as_ref()] {
            let Some(path) = path else { continue };
            match fs::symlink_metadata(path) {
                Ok(_) => return Err(self.is_there(path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot_write(path, &error)),
            }
        }
        for path in [&self.config, &self.secret] {
            let folder = path.parent().filter(|_| self.has_folder || *path != self.secret);
            // A folder that is missing is made beside the configuration.
            let folder = folder.or(self.main.parent()).unwrap_or(Path::new(""));
            let folder = if folder == Path::new("") { Path::new(".") } else { folder };
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
                .map_err(|error| cannot_write(folder, &error.into()))?;
        }
        if !self.is_included() {
            return Ok(());
        }
        let main = self.main.display();
        match Config::load(&self.main) {
            Ok(config) if config.targets.contains_key(name) => Err(Stop::because(format!(
                "{main} has a target {} already: choose another name by --name",
                name.as_str()
            ))),
            Ok(_) => Ok(()),
            // This is to be the first.
            Err(problems) if problems.are_for_want_of_a_target() => Ok(()),
            Err(problems) => Err(Stop::because(format!(
                "{main} is not good, before anything is added to it:\n{problems}"
            ))),
        }
    }

    /// Writes all, or leaves none.
    pub(super) fn write(&self, account: &Account<'_>, password: &Secret) -> Result<(), Stop> {
        if let Some(folder) = self.secret.parent().filter(|folder| !folder.exists()) {
            let made = DirBuilder::new().mode(0o700).create(folder);
            made.map_err(|error| cannot_write(folder, &error))?;
        }
        let secret = format!("{}\n", password.expose());
        let yaml = self.yaml(account);
        // No secret is in the others, and a service may read them as a user of its own.
        let mode = self.is_included().then_some(0o644);
        let copied = self.authorities.as_ref().zip(account.ca_file);
        let files = [
            Some((&self.secret, secret.as_bytes(), Some(0o600))),
            copied.map(|(path, file)| (path, &*file.pem, mode)),
            Some((&self.config, yaml.as_bytes(), mode)),
        ];
        let mut written = Vec::new();
        for (path, bytes, mode) in files.into_iter().flatten() {
            if let Err(stop) = self.write_new(path, bytes, mode) {
                self.take_away(&written);
                return Err(stop);
            }
            written.push(path);
        }
        Ok(())
    }

    /// Writes a file that is not there yet; it is removed if it cannot be written to its end. `mode` holds whatever the
    /// umask says; without one the file is as any other.
    fn write_new(&self, path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<(), Stop> {
        let mut options = OpenOptions::new();
        // It follows no link.
        let file = options.write(true).create_new(true).mode(mode.unwrap_or(0o644)).open(path);
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => self.is_there(path),
            _ => cannot_write(path, &error),
        })?;
        fill(&mut file, bytes, mode).map_err(|error| {
            let _ = fs::remove_file(path);
            cannot_write(path, &error)
        })
    }

    /// Takes away again what was written.
    pub(super) fn remove(&self) {
        let written = [Some(&self.config), self.authorities.as_ref(), Some(&self.secret)];
        self.take_away(&written.into_iter().flatten().collect::<Vec<_>>());
    }

    /// Removes these, and the folder of the secret if it was not there before.
    fn take_away(&self, written: &[&PathBuf]) {
        for path in written {
            let _ = fs::remove_file(path);
        }
        if let Some(folder) = self.secret.parent().filter(|_| !self.has_folder) {
            let _ = fs::remove_dir(folder);
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
        let flag = self.flag();
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
        if self.is_of(OF_SERVICE) {
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

    /// The flag that leads to the configuration, where it is not found without one.
    fn flag(&self) -> String {
        let is_here = self.is_of("mailtrip.yml");
        let is_found = self.is_of(OF_SERVICE) && !Path::new("mailtrip.yml").exists();
        match is_here || is_found {
            true => String::new(),
            false => format!(" --config.file={}", for_shell(&self.main.to_string_lossy())),
        }
    }

    /// Whether the configuration is this file.
    fn is_of(&self, path: &str) -> bool {
        let whole = |path: &Path| std::path::absolute(path).ok();
        whole(&self.main).is_some_and(|main| whole(Path::new(path)) == Some(main))
    }

    fn is_there(&self, path: &Path) -> Stop {
        let what_to_do = match *path == self.main {
            true => {
                "choose another folder by --folder; or, for a further target, make a folder targets.d beside it, write \
                 `include: [targets.d/*.yml]` into it, and begin again"
            }
            false => "choose another folder by --folder, or another --name",
        };
        let path = path.display();
        Stop::because(format!("{path} is there already, and nothing is overwritten: {what_to_do}"))
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
        let protocol = account.receive.offer.protocol.label();
        let _ = writeln!(yaml, "    receive:\n      protocol: {protocol}");
        self.side(&mut yaml, &account.receive, account.ca_file);
        yaml
    }

    fn side(&self, yaml: &mut String, side: &Side<'_>, ca_file: Option<&PemFile>) {
        let Offer { host, port, tls, .. } = side.offer;
        // Never `none`: no offer is without TLS.
        let tls = if *tls == TlsMode::Implicit { "implicit" } else { "starttls" };
        let _ = writeln!(yaml, "      host: {}\n      port: {port}\n      tls: {tls}", Text(host));
        if let Some(file) = ca_file {
            let path = self.authorities.as_ref().unwrap_or(&file.path).to_string_lossy();
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

fn fill(file: &mut File, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The word as it is typed in a shell.
fn for_shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Stop {
    Stop::because(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use mail::auth::Mechanism;
    use mail::discovery::MailProtocol;

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
        let smtp = Offer::new(MailProtocol::Smtp, "mail.example.com", 25, TlsMode::StartTls);
        [smtp, Offer::new(MailProtocol::Imap, "mail.example.com", 993, TlsMode::Implicit)]
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
        assert_eq!(target.receive.as_ref().unwrap().login.username, "rita: #1 'x'");
        assert_eq!(target.receive.as_ref().unwrap().login.auth, PLAIN);
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
        assert_eq!(target.receive.as_ref().unwrap().login.auth, PLAIN);
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
    #[test]
    fn a_flag_leads_to_what_is_not_found_without() {
        let flag = |folder: &str| Files::new(Path::new(folder), &name("one")).flag();
        assert_eq!(flag("."), "");
        assert_eq!(flag("/srv/a b's"), r" --config.file='/srv/a b'\''s/mailtrip.yml'");
        assert_eq!(flag("sub"), " --config.file=sub/mailtrip.yml");
        assert_eq!(flag("/etc/mailtrip_exporter"), "");
    }
}
