//! The second stack's Exim: its configuration, its start, its users, its faults.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::lab::certificates::SERVER_FILE;
use crate::lab::root::{MARK, Process, Root, local_part};
use crate::lab::{Account, DOMAIN, HOST, Ports, wait};

/// Exim in a root folder.
pub(super) struct Exim {
    root: Root,
    ports: Ports,
    users: Mutex<BTreeMap<String, User>>,
    _process: Process,
}

struct User {
    address: String,
    password: String,
    treatment: Treatment,
}

/// What becomes of the mails to a user.
#[derive(Clone, Copy)]
pub(super) enum Treatment {
    /// They are delivered.
    Deliver,
    /// RCPT is refused for good.
    Reject,
    /// RCPT is refused for now.
    Greylist,
    /// They are accepted and bounced.
    Bounce,
}

impl Treatment {
    /// The word for it in Exim's configuration.
    fn word(self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Reject => "reject",
            Self::Greylist => "greylist",
            Self::Bounce => "bounce",
        }
    }
}

impl Exim {
    /// Writes the configuration and starts Exim, which knows no user yet.
    ///
    /// # Panics
    /// If a file cannot be written or Exim cannot be started.
    pub(super) fn new(root: &Root, ports: Ports) -> Self {
        for name in ["var/spool/exim4", "var/log/exim4", "run/exim4"] {
            root.folder_of_mail(name);
        }
        root.copy(SERVER_FILE, "etc/exim4/server.pem");
        root.write("etc/exim4/exim4.conf", configuration(ports), 0o644);
        // All its ports are above 1024, so that it needs no rights of root, not even to deliver.
        let process = root.start("exim", true, &["/usr/sbin/exim4", "-bdf"], &[]);
        let exim = Self { root: root.clone(), ports, users: Mutex::default(), _process: process };
        exim.write_tables(&BTreeMap::new());
        exim
    }

    /// Returns when every port greets.
    ///
    /// # Panics
    /// If one does not.
    pub(super) async fn until_started(&self) {
        let Ports { smtp, smtp_login, submission, smtps, .. } = self.ports;
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        for port in [smtp, smtp_login, submission] {
            wait::until_greeting(address, port, "220 ").await;
        }
        wait::until_open(address, smtps).await;
    }

    /// Makes or changes a user.
    ///
    /// # Panics
    /// If a table cannot be written.
    pub(super) fn set_user(&self, account: &Account) {
        let Account { address, password } = account.clone();
        let user = User { address, password, treatment: Treatment::Deliver };
        let mut users = self.users.lock().unwrap();
        users.insert(local_part(account).to_owned(), user);
        self.write_tables(&users);
    }

    /// Treats the mails to a user in this way.
    ///
    /// # Panics
    /// If there is no such user.
    pub(super) fn treat(&self, account: &Account, treatment: Treatment) {
        let mut users = self.users.lock().unwrap();
        users.get_mut(local_part(account)).expect("a user").treatment = treatment;
        self.write_tables(&users);
    }

    /// The log, oldest line first, and what Exim said before it had one.
    pub(super) fn log(&self) -> String {
        self.root.log("exim") + &self.root.log("exim4/mainlog")
    }

    /// Exim reads these with each connection and each mail. The white space at the ends of a value
    /// would be lost: a password stands there in base64.
    fn write_tables(&self, users: &BTreeMap<String, User>) {
        let table = |line: fn(&str, &User) -> String| -> String {
            users.iter().map(|(name, user)| line(name, user)).collect()
        };
        // To a value out of a table Exim trusts as part of a path, and not to what a client said.
        let names = table(|name, _| format!("{name}: {name}\n"));
        let treatments = table(|name, user| format!("{name}: {}\n", user.treatment.word()));
        let passwords = table(|_, User { address, password, .. }| {
            format!("{address}: {}\n", BASE64_STANDARD.encode(password))
        });
        self.root.write("etc/exim4/users", names, 0o644);
        self.root.write("etc/exim4/treatments", treatments, 0o644);
        self.root.write("etc/exim4/passwords", passwords, 0o644);
    }
}

fn configuration(ports: Ports) -> String {
    let Ports { smtp, smtp_login, submission, smtps, .. } = ports;
    format!(
        "\
SMTP = {smtp}
SUBMISSION = {submission}
daemon_smtp_ports = {smtp} : {smtp_login} : {submission} : {smtps}
tls_on_connect_ports = {smtps}
local_interfaces = 127.0.0.1
primary_hostname = {HOST}
domainlist local_domains = {DOMAIN}
keep_environment = {MARK}
{SETTINGS}"
    )
}

/// What does not depend on the ports.
const SETTINGS: &str = r#"
add_environment = PATH=/usr/sbin:/usr/bin
pid_file_path = /run/exim4/exim.pid
log_file_path = /var/log/exim4/%slog
deliver_drop_privilege
host_lookup =
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
dsn_advertise_hosts = *
tls_certificate = /etc/exim4/server.pem
tls_advertise_hosts = *
# No login at the first port, and none without TLS where mail is submitted.
IS_OPEN = eq{$received_port}{SMTP}
IS_BARE = and{{eq{$received_port}{SUBMISSION}}{eq{$tls_in_cipher}{}}}
auth_advertise_hosts = ${if or{{IS_OPEN}{IS_BARE}}{}{*}}
acl_smtp_rcpt = check_recipient
acl_smtp_data = accept
TREATMENT = ${lookup{$local_part}lsearch{/etc/exim4/treatments}}
PASSWORD_OF = lsearch{/etc/exim4/passwords}{$value}fail

begin acl
check_recipient:
  deny message = log in first
       condition = ${if IS_OPEN{no}{yes}}
       !authenticated = *
  defer message = greylisted, try again later
       condition = ${if eq{TREATMENT}{greylist}}
  deny message = not wanted here
       condition = ${if eq{TREATMENT}{reject}}
  accept domains = +local_domains
       verify = recipient
  deny message = no such mailbox here

begin routers
bounce:
  driver = redirect
  domains = +local_domains
  condition = ${if eq{TREATMENT}{bounce}}
  allow_fail
  data = :fail: the mailbox is closed
  verify = false
users:
  driver = accept
  domains = +local_domains
  local_parts = lsearch;/etc/exim4/users
  transport = maildir

begin transports
maildir:
  driver = appendfile
  maildir_format
  directory = /home/$local_part_data/Maildir
  create_directory = false

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{${base64:$auth3}}{${lookup{$auth2}PASSWORD_OF}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if eq{${base64:$auth2}}{${lookup{$auth1}PASSWORD_OF}}}
  server_set_id = $auth1
cram_md5:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${base64d:${lookup{$auth1}PASSWORD_OF}}
  server_set_id = $auth1
"#;
