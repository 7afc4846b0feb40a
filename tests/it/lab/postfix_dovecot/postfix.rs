//! The lab's Postfix: its configuration, its start and stop, its queue.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::certificates::SERVER_FILE;
use super::claim::{make_folder, set_modified, write_file};
use super::{DOMAIN, HOST, Ports, process, tool, wait};

/// Postfix in a folder of its own.
pub(crate) struct Postfix {
    folder: PathBuf,
    ports: Ports,
    addresses: Vec<IpAddr>,
}

/// The queue of a Postfix.
#[derive(Clone)]
pub(crate) struct Queue {
    configuration: String,
    folder: PathBuf,
}

impl Postfix {
    /// Writes the configuration of a Postfix that is not started.
    ///
    /// `lab` is the lab's folder. Its `policy`, `auth` and `lmtp` are the sockets that Postfix asks
    /// and delivers to.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub(crate) async fn new(lab: &Path, ports: Ports, addresses: Vec<IpAddr>) -> Self {
        let postfix = Self { folder: lab.join("postfix"), ports, addresses };
        for name in ["etc", "queue", "data"] {
            make_folder(&postfix.folder.join(name));
        }
        let data = postfix.folder.join("data").display().to_string();
        tool::run("chown", &["postfix", &data]).await;
        let etc = postfix.folder.join("etc");
        for (name, text) in [("main.cf", postfix.main_cf(lab)), ("master.cf", postfix.master_cf())]
        {
            let path = etc.join(name);
            write_file(&path, text, 0o644);
            // Postfix waits until a file that is about to change has rested for a second.
            set_modified(&path, SystemTime::now() - Duration::from_secs(3600));
        }
        postfix
    }

    /// The queue.
    pub(crate) fn queue(&self) -> Queue {
        Queue { configuration: self.configuration(), folder: self.folder.join("queue") }
    }

    /// Starts Postfix and returns when every port greets.
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) async fn start(&self) {
        let log = self.folder.join("mail.log");
        tool::start("postfix", &["-c", &self.configuration(), "start"], &log).await;
        for (address, port) in self.listeners() {
            if port == self.ports.smtps {
                wait::until_open(address, port).await;
            } else {
                wait::until_greeting(address, port, "220 ").await;
            }
        }
    }

    /// Ends Postfix and returns when it is gone; its ports then refuse connections.
    ///
    /// # Panics
    /// If it does not end.
    pub(crate) async fn stop(&self) {
        process::end(&self.folder.join("queue/pid/master.pid"), &self.folder).await;
        for (address, port) in self.listeners() {
            wait::until_refused(address, port).await;
        }
    }

    /// Sets a parameter, `name = value`, of the running Postfix.
    ///
    /// # Panics
    /// If it does not take it.
    pub(crate) async fn configure(&self, line: &str) {
        self.write(line);
        tool::run("postfix", &["-c", &self.configuration(), "reload"]).await;
    }

    /// Sets parameters, one `name = value` a line, for the next time that it starts.
    pub(crate) fn write(&self, lines: &str) {
        let path = self.folder.join("etc/main.cf");
        let mut text = fs::read_to_string(&path).unwrap_or_default();
        for line in lines.lines() {
            // A name that stands there twice is warned of by every process that starts. Should these
            // warnings fill the socket of the log, postlogd waits to put its own into it, for ever.
            let set = name_of(line);
            let kept = text.lines().filter(|line| name_of(line) != set);
            text = kept.chain([line]).map(|line| format!("{line}\n")).collect();
        }
        write_file(&path, text, 0o644);
        set_modified(&path, SystemTime::now() - Duration::from_secs(3600));
    }

    /// Adds a service, a line of master.cf, for the next time that it starts.
    pub(crate) fn add_service(&self, line: &str) {
        let path = self.folder.join("etc/master.cf");
        let text = fs::read_to_string(&path).unwrap_or_default();
        write_file(&path, format!("{text}{line}\n"), 0o644);
        set_modified(&path, SystemTime::now() - Duration::from_secs(3600));
    }

    /// The log, oldest line first.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("mail.log")).unwrap_or_default()
    }

    fn configuration(&self) -> String {
        self.folder.join("etc").display().to_string()
    }

    fn listeners(&self) -> Vec<(IpAddr, u16)> {
        let Ports { smtp, smtp_login, submission, smtps, .. } = self.ports;
        let ports = [smtp, smtp_login, submission, smtps];
        self.addresses.iter().flat_map(|&address| ports.map(|port| (address, port))).collect()
    }

    fn main_cf(&self, lab: &Path) -> String {
        let server_certificate = lab.join(SERVER_FILE);
        let (lab, folder) = (lab.display(), self.folder.display());
        let server_certificate = server_certificate.display();
        format!(
            "\
compatibility_level = 3.6
config_directory = {folder}/etc
queue_directory = {folder}/queue
data_directory = {folder}/data
meta_directory = /etc/postfix
maillog_file = {folder}/mail.log
maillog_file_prefixes = {lab}
syslog_name = postfix

myhostname = {HOST}
myorigin = {DOMAIN}
mydestination =
mynetworks = 127.0.0.0/8 [::1]/128
inet_protocols = all
inet_interfaces = loopback-only
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
local_transport = error:5.1.1 there are no local users
default_transport = error:5.4.4 mail leaves this server for nowhere
relay_transport = $default_transport
alias_maps =
alias_database =
local_recipient_maps =
notify_classes =

virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = static:known
virtual_transport = lmtp:unix:{lab}/lmtp
recipient_delimiter = +
lmtp_destination_recipient_limit = 1
in_flow_delay = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
transport_retry_time = 1s

smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service unix:{lab}/policy
smtpd_end_of_data_restrictions = check_policy_service unix:{lab}/policy
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0

smtpd_tls_chain_files = {server_certificate}
smtpd_tls_security_level = may
smtp_tls_security_level = none
smtpd_sasl_type = dovecot
smtpd_sasl_path = {lab}/auth
smtpd_sasl_security_options = noanonymous
"
        )
    }

    /// The services; the columns are those of Postfix's own master.cf.
    fn master_cf(&self) -> String {
        let with_login = "-o smtpd_sasl_auth_enable=yes \
            -o smtpd_client_restrictions=permit_sasl_authenticated,reject";
        let mut text = String::new();
        for (address, port) in self.listeners() {
            let options = match port {
                port if port == self.ports.smtp => String::new(),
                port if port == self.ports.smtp_login => {
                    format!("-o smtpd_tls_security_level=none {with_login}")
                }
                port if port == self.ports.submission => {
                    format!("-o smtpd_tls_security_level=encrypt {with_login}")
                }
                _ => format!("-o smtpd_tls_wrappermode=yes {with_login}"),
            };
            let address = std::net::SocketAddr::new(address, port);
            text += &format!("{address} inet n - n - - smtpd {options}\n");
        }
        text + SERVICES
    }
}

/// The parameter that a line of main.cf sets.
fn name_of(line: &str) -> &str {
    line.split_once('=').map_or(line, |(name, _)| name).trim()
}

/// What Postfix consists of behind its ports, none of it chrooted.
const SERVICES: &str = "\
pickup     unix       n - n 60    1 pickup
cleanup    unix       n - n -     0 cleanup
qmgr       unix       n - n 300   1 qmgr
tlsmgr     unix       - - n 1000? 1 tlsmgr
rewrite    unix       - - n -     - trivial-rewrite
bounce     unix       - - n -     0 bounce
defer      unix       - - n -     0 bounce
trace      unix       - - n -     0 bounce
flush      unix       n - n 1000? 0 flush
proxymap   unix       - - n -     - proxymap
showq      unix       n - n -     - showq
error      unix       - - n -     - error
retry      unix       - - n -     - error
discard    unix       - - n -     - discard
lmtp       unix       - - n -     - lmtp
smtp       unix       - - n -     - smtp
anvil      unix       - - n -     1 anvil
postlog    unix-dgram n - n -     1 postlogd
";

impl Queue {
    /// Takes a mail off hold and has it delivered at once.
    ///
    /// # Panics
    /// If Postfix does not hold it, or does not within the deadline.
    pub(crate) async fn release(&self, id: &str) {
        // The mail is being put on hold when Postfix asks, and may not be there yet.
        let file = self.folder.join("hold").join(id);
        wait::until(&format!("mail {id} is on hold"), async || file.exists()).await;
        tool::run("postsuper", &["-c", &self.configuration, "-H", id]).await;
        tool::run("postqueue", &["-c", &self.configuration, "-i", id]).await;
    }

    /// Has everything in the queue tried at once, held mails apart.
    pub(crate) async fn flush(&self) {
        tool::run("postqueue", &["-c", &self.configuration, "-f"]).await;
    }

    /// The mails in the queue, held ones included.
    pub(crate) async fn length(&self) -> usize {
        // One JSON object a line.
        tool::run("postqueue", &["-c", &self.configuration, "-j"]).await.lines().count()
    }
}
