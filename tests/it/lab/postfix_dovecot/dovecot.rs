//! The lab's Dovecot: its configuration, its start and stop, its users.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::certificates::SERVER_FILE;
use super::claim::{make_folder, set_modified, write_file};
use super::{Account, HOST, Ports, process, tool, wait};

/// Where Dovecot 2.3 reads how to ask about an access token.
const TOKENS_FILE: &str = "tokens.conf";

/// Dovecot in a folder of its own.
pub(crate) struct Dovecot {
    folder: PathBuf,
    ports: Ports,
    addresses: Vec<IpAddr>,
    dialect: Dialect,
}

/// The language of the configuration, which changed with version 2.4.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Debian 12.
    Version2_3,
    /// Debian 13.
    Version2_4,
}

/// What Dovecot offers over IMAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Imap {
    /// Everything that it can do.
    Whole,
    /// The same without IDLE (RFC 2177), as some servers are.
    WithoutIdle,
    /// It says that it is Gmail's kind, whose folders are labels (X-GM-EXT-1). They are not, but what a
    /// client does for that sake it does on a real server.
    WithLabels,
}

/// How Dovecot lets users in, over IMAP and POP3, and over SMTP, for Postfix asks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logins {
    /// By every mechanism for passwords, and by access tokens.
    Every,
    /// By access tokens; by a password with APOP (RFC 1939 section 7) alone, which is POP3's.
    TokensAndApop,
}

impl Logins {
    fn mechanisms(self) -> &'static str {
        match self {
            Self::Every => "plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer",
            Self::TokensAndApop => "apop xoauth2 oauthbearer",
        }
    }
}

/// A part of Dovecot that can be stopped alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// IMAP on both of its ports.
    Imap,
    /// POP3 on both of its ports.
    Pop3,
    /// Delivery: mails wait in Postfix's queue.
    Lmtp,
}

impl Dovecot {
    /// Writes the configuration of a Dovecot that is not started.
    ///
    /// `lab` is the lab's folder: the sockets `auth` and `lmtp` are made there.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub(crate) async fn new(
        lab: &Path,
        ports: Ports,
        addresses: Vec<IpAddr>,
        imap: Imap,
        logins: Logins,
    ) -> Self {
        let version = tool::run("dovecot", &["--version"]).await;
        let dialect = match version.as_str() {
            version if version.starts_with("2.3.") => Dialect::Version2_3,
            version if version.starts_with("2.4.") => Dialect::Version2_4,
            _ => panic!("the lab can configure Dovecot 2.3 and 2.4, and this is {version}"),
        };
        let dovecot = Self { folder: lab.join("dovecot"), ports, addresses, dialect };
        for name in ["run", "state", "users"] {
            make_folder(&dovecot.folder.join(name));
        }
        let configuration = dovecot.configuration(lab)
            + dovecot.capability(imap)
            + &format!("auth_mechanisms = {}\n", logins.mechanisms());
        write_file(&dovecot.folder.join("dovecot.conf"), configuration, 0o644);
        if dialect == Dialect::Version2_3 {
            let tokens = dovecot.folder.join(TOKENS_FILE);
            write_file(&tokens, dovecot.introspection(), 0o644);
        }
        dovecot
    }

    /// Starts Dovecot and returns when every port greets.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) async fn start(&self) {
        let log = self.folder.join("dovecot.log");
        tool::start("dovecot", &["-c", &self.configuration_file()], &log).await;
        let Ports { imap, imaps, pop3, pop3s, .. } = self.ports;
        for &address in &self.addresses {
            wait::until_greeting(address, imap, "* OK").await;
            wait::until_greeting(address, pop3, "+OK").await;
            wait::until_open(address, imaps).await;
            wait::until_open(address, pop3s).await;
        }
    }

    /// Ends Dovecot and returns when it is gone; its ports then refuse connections.
    ///
    /// # Panics
    /// If it does not end.
    pub(crate) async fn stop(&self) {
        process::end(&self.folder.join("run/master.pid"), &self.folder).await;
        self.until_refused(Service::Imap).await;
        self.until_refused(Service::Pop3).await;
    }

    /// Stops one service until the next start.
    ///
    /// # Panics
    /// If it does not stop.
    pub(crate) async fn stop_service(&self, service: Service) {
        let processes: &[&str] = match service {
            Service::Imap => &["imap-login", "imap"],
            Service::Pop3 => &["pop3-login", "pop3"],
            Service::Lmtp => &["lmtp"],
        };
        let configuration = self.configuration_file();
        let arguments = ["-c", &configuration, "service", "stop"];
        tool::run("doveadm", &[&arguments, processes].concat()).await;
        self.until_refused(service).await;
    }

    async fn until_refused(&self, service: Service) {
        let ports = match service {
            Service::Imap => [self.ports.imap, self.ports.imaps],
            Service::Pop3 => [self.ports.pop3, self.ports.pop3s],
            Service::Lmtp => return,
        };
        for &address in &self.addresses {
            for port in ports {
                wait::until_refused(address, port).await;
            }
        }
    }

    /// Makes or changes a user, whose mailbox may hold `quota_bytes`; returns when Dovecot knows.
    ///
    /// # Panics
    /// If the file cannot be written, or Dovecot does not read it.
    pub(crate) async fn set_user(&self, account: &Account, home: &Path, quota_bytes: Option<u64>) {
        let Account { address, password } = account;
        let home = home.display();
        let bytes = quota_bytes.unwrap_or(0);
        let (field, quota) = match self.dialect {
            Dialect::Version2_3 => ("quota_rule", format!("*:bytes={bytes}")),
            Dialect::Version2_4 => ("quota_storage_size", format!("{bytes}B")),
        };
        // A passwd-file's colon separates fields: the password is given in hexadecimal.
        let password: String = password.bytes().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{address}:{{PLAIN.HEX}}{password}::::{home}::userdb_{field}={quota}\n");
        let path = self.folder.join("users").join(address);
        write_file(&path, line, 0o644);
        // Dovecot tells by size and by full seconds whether a file has changed.
        static CHANGES: AtomicU64 = AtomicU64::new(0);
        let change = Duration::from_secs(CHANGES.fetch_add(1, Ordering::Relaxed));
        set_modified(&path, UNIX_EPOCH + change);
        let configuration = self.configuration_file();
        let arguments = ["-c", &configuration, "user", "-f", field, address.as_str()];
        wait::until(&format!("Dovecot knows {address}"), async || {
            tool::run("doveadm", &arguments).await.trim() == quota
        })
        .await;
    }

    /// The log, oldest line first.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("dovecot.log")).unwrap_or_default()
    }

    fn configuration_file(&self) -> String {
        self.folder.join("dovecot.conf").display().to_string()
    }

    /// The listeners.
    fn services(&self, lab: &Path) -> String {
        let lab = lab.display();
        let Ports { imap, imaps, pop3, pop3s, .. } = self.ports;
        format!(
            "\
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  unix_listener {lab}/lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {lab}/auth {{
    mode = 0666
  }}
}}
"
        )
    }

    fn configuration(&self, lab: &Path) -> String {
        let dialect = match self.dialect {
            Dialect::Version2_3 => self.settings_of_2_3(lab),
            Dialect::Version2_4 => self.settings_of_2_4(lab),
        };
        let folder = self.folder.display();
        let services = self.services(lab);
        let lab = lab.display();
        let listen: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        let listen = listen.join(", ");
        format!(
            "\
{dialect}
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
instance_name = {lab}
protocols = imap pop3 lmtp
listen = {listen}
hostname = {HOST}
shutdown_clients = yes
default_client_limit = 2000
default_process_limit = 500

auth_failure_delay = 0
ssl = yes

first_valid_uid = 1
mail_uid = mail
mail_gid = mail
mail_max_userip_connections = 1000
mail_plugins = quota
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
}}

{services}service anvil {{
  # Else a wrong password slows down the logins of every client on loopback.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"
        )
    }

    /// Has each mail that comes in go through the script `.dovecot.sieve` in the home of its user (RFC 5228), the
    /// next time that it starts. What a script sends goes out by SMTP over this port.
    pub(crate) fn sort_by_sieve(&self, smtp: u16) {
        let extensions = "+vacation-seconds";
        let settings = match self.dialect {
            Dialect::Version2_3 => format!(
                "protocol lmtp {{\n  mail_plugins = quota sieve\n}}\nplugin {{\n  sieve = file:~/.dovecot.sieve\n  \
                 sieve_extensions = {extensions}\n  sieve_vacation_min_period = 0\n}}\n"
            ),
            Dialect::Version2_4 => {
                "protocol lmtp {\n  mail_plugins {\n    quota = yes\n    sieve = yes\n  }\n}\n\
                 sieve_script personal {\n  path = ~/.dovecot.sieve\n}\nsieve_extensions {\n  \
                 vacation-seconds = yes\n}\nsieve_vacation_min_period = 0\n"
                    .to_owned()
            }
        };
        let path = self.folder.join("dovecot.conf");
        let text = fs::read_to_string(&path).unwrap_or_default();
        write_file(&path, format!("{text}{settings}submission_host = 127.0.0.1:{smtp}\n"), 0o644);
    }

    fn capability(&self, imap: Imap) -> &'static str {
        match (imap, self.dialect) {
            (Imap::Whole, _) => "",
            (Imap::WithoutIdle, Dialect::Version2_3) => {
                "imap_capability = IMAP4rev1 SASL-IR LITERAL+ ENABLE NAMESPACE UNSELECT UIDPLUS \
                 LIST-EXTENDED SPECIAL-USE\n"
            }
            (Imap::WithoutIdle, Dialect::Version2_4) => "imap_capability {\n  IDLE = no\n}\n",
            (Imap::WithLabels, Dialect::Version2_3) => "imap_capability = +X-GM-EXT-1\n",
            (Imap::WithLabels, Dialect::Version2_4) => "imap_capability {\n  X-GM-EXT-1 = yes\n}\n",
        }
    }

    /// How to ask whether an access token is good (RFC 7662), the same in both dialects.
    fn introspection(&self) -> String {
        format!(
            "\
introspection_mode = post
introspection_url = http://127.0.0.1:{}/introspect
username_attribute = username
active_attribute = active
active_value = true
",
            self.ports.introspection
        )
    }

    fn settings_of_2_3(&self, lab: &Path) -> String {
        let (folder, server) = (self.folder.display(), lab.join(SERVER_FILE));
        let server = server.display();
        format!(
            "\
auth_username_format = %Lu
disable_plaintext_auth = no
ssl_cert = <{server}
ssl_key = <{server}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/{TOKENS_FILE}
}}
passdb {{
  # Else a password would pass for an access token.
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 apop
  args = {folder}/users/%u
}}
userdb {{
  driver = passwd-file
  args = {folder}/users/%u
}}
mail_location = maildir:~/Maildir
plugin {{
  quota = count:User quota
  quota_vsizes = yes
  quota_grace = 0
}}
"
        )
    }

    fn settings_of_2_4(&self, lab: &Path) -> String {
        let (folder, server) = (self.folder.display(), lab.join(SERVER_FILE));
        let (server, introspection) = (server.display(), self.introspection());
        format!(
            "\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
auth_username_format = %{{user | lower}}
auth_allow_cleartext = yes
ssl_server_cert_file = {server}
ssl_server_key_file = {server}
oauth2 {{
{introspection}}}
passdb passwd-file {{
  passwd_file_path = {folder}/users/%{{user}}
}}
userdb passwd-file {{
  passwd_file_path = {folder}/users/%{{user}}
}}
mail_driver = maildir
mail_path = ~/Maildir
quota \"User quota\" {{
}}
quota_storage_grace = 0
"
        )
    }
}
