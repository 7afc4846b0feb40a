//! The second stack's Courier: its configuration, its start and stop, its users.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use tokio::sync::Mutex;

use crate::lab::certificates::SERVER_FILE;
use crate::lab::root::{Process, Root, local_part};
use crate::lab::{Account, Ports, wait};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// By which mechanisms Courier can be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanisms {
    /// All that it knows.
    All,
    /// Those of its packages: over IMAP, PLAIN once there is TLS, and over POP3 none.
    AsInstalled,
}

/// What IMAP offers beside the mechanisms: the setting of Debian's package.
const IMAP: &str = "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES \
                    SORT QUOTA IDLE";
const IMAP_DIGESTS: &str = " AUTH=CRAM-MD5 AUTH=CRAM-SHA1 AUTH=CRAM-SHA256";
const IMAP_PLAIN: &str = " AUTH=PLAIN";
const POP3_MECHANISMS: &str = "PLAIN LOGIN CRAM-MD5 CRAM-SHA1 CRAM-SHA256";

impl Mechanisms {
    /// The settings that tell them.
    fn variables(self) -> [(&'static str, String); 4] {
        let (digests, pop3) = match self {
            Self::All => (IMAP_DIGESTS, POP3_MECHANISMS),
            Self::AsInstalled => ("", ""),
        };
        [
            ("IMAP_CAPABILITY", [IMAP, digests].concat()),
            ("IMAP_CAPABILITY_TLS", [IMAP, digests, IMAP_PLAIN].concat()),
            ("POP3AUTH", pop3.to_owned()),
            ("POP3AUTH_TLS", pop3.to_owned()),
        ]
    }
}

/// The settings of all servers beside the mechanisms. These are read from the environment, where
/// Debian's scripts for the start put the files in `etc/courier`.
const VARIABLES: &[(&str, &str)] = &[
    ("IMAP_STARTTLS", "YES"),
    ("IMAP_KEYWORDS", "1"),
    ("IMAP_IDLE_TIMEOUT", "60"),
    ("IMAP_USELOCKS", "1"),
    ("IMAP_TRASHFOLDERNAME", "Trash"),
    ("IMAP_EMPTYTRASH", "Trash:7"),
    ("POP3_STARTTLS", "YES"),
    ("COURIERTLS", "/usr/bin/couriertls"),
    ("TLS_CERTFILE", "/etc/courier/server.pem"),
    ("TLS_VERIFYPEER", "NONE"),
];

const IMAP_SESSION: &[&str] = &["/usr/lib/courier/courier/imaplogin", "/usr/bin/imapd", "Maildir"];
const POP3_SESSION: &[&str] = &[
    "/usr/lib/courier/courier/courierpop3login",
    "/usr/lib/courier/courier/courierpop3d",
    "Maildir",
];
/// What stands before a session over implicit TLS.
const TLS: &[&str] = &["/usr/bin/couriertls", "-server", "-tcpd", "-user=courier"];

/// The logs of the four servers.
const LOGS: [&str; 4] = ["imap", "imaps", "pop3", "pop3s"];

/// The socket at which the servers ask about a login.
const LOGIN_SOCKET: &str = "run/courier/authdaemon/socket";

/// Courier in a root folder.
pub(super) struct Courier {
    root: Root,
    ports: Ports,
    mechanisms: Mechanisms,
    /// The two lines of each user, the first without and the second with secrets.
    users: Mutex<BTreeMap<String, [String; 2]>>,
    processes: Mutex<Vec<Process>>,
}

impl Courier {
    /// Writes the configuration of a Courier that is not started and knows no user.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub(super) fn new(root: &Root, ports: Ports, mechanisms: Mechanisms) -> Self {
        root.copy(SERVER_FILE, "etc/courier/server.pem");
        root.folder_of_mail("run/courier/authdaemon");
        let settings = "authmodulelist=\"authuserdb\"\ndaemons=5\n\
                        authdaemonvar=/run/courier/authdaemon\n";
        root.write("etc/courier/authdaemonrc", settings, 0o644);
        let (users, processes) = (Mutex::default(), Mutex::default());
        Self { root: root.clone(), ports, mechanisms, users, processes }
    }

    /// Starts Courier and returns when every port greets.
    ///
    /// # Panics
    /// If it does not start.
    pub(super) async fn start(&self) {
        let socket = self.root.path(LOGIN_SOCKET);
        // That of an earlier start would tell nothing.
        let _ = fs::remove_file(&socket);
        let program = "/usr/lib/courier/courier-authlib/authdaemond";
        let mut processes = self.processes.lock().await;
        processes.push(self.root.start("authdaemond", false, &[program], &[]));
        let Ports { imap, imaps, pop3, pop3s, .. } = self.ports;
        let [imap_log, imaps_log, pop3_log, pop3s_log] = LOGS;
        processes.push(self.listen(imap_log, imap, IMAP_SESSION, &[]));
        processes.push(self.listen(pop3_log, pop3, POP3_SESSION, &[]));
        let over_tls = [TLS, IMAP_SESSION].concat();
        processes.push(self.listen(imaps_log, imaps, &over_tls, &[("IMAP_TLS", "1")]));
        let over_tls = [TLS, POP3_SESSION].concat();
        processes.push(self.listen(pop3s_log, pop3s, &over_tls, &[("POP3_TLS", "1")]));

        wait::until("Courier's authdaemond listens", async || socket.exists()).await;
        wait::until_greeting(ADDRESS, imap, "* OK").await;
        wait::until_greeting(ADDRESS, pop3, "+OK").await;
        wait::until_open(ADDRESS, imaps).await;
        wait::until_open(ADDRESS, pop3s).await;
    }

    fn listen(
        &self,
        log: &'static str,
        port: u16,
        session: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let port = port.to_string();
        let address = format!("-address={ADDRESS}");
        // The options by which nobody is asked who the client is differ from version to version.
        let options = self.root.setting("etc/courier/imapd", "TCPDOPTS");
        let mut command = vec!["/usr/sbin/couriertcpd", &address];
        command.extend(["-maxprocs=400", "-maxperip=400"]);
        command.extend(options.split_whitespace());
        command.push(&port);
        command.extend(session);
        let offered = self.mechanisms.variables();
        let offered = offered.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.root.start(log, false, &command, &[VARIABLES, &offered, variables].concat())
    }

    /// Ends Courier and returns when it is gone; its ports then refuse connections.
    ///
    /// # Panics
    /// If it does not end.
    pub(super) async fn stop(&self) {
        for process in self.processes.lock().await.drain(..) {
            process.end().await;
        }
        let Ports { imap, imaps, pop3, pop3s, .. } = self.ports;
        for port in [imap, imaps, pop3, pop3s] {
            wait::until_refused(ADDRESS, port).await;
        }
    }

    /// Makes or changes a user.
    ///
    /// # Panics
    /// If a table cannot be written.
    pub(super) async fn set_user(&self, account: &Account) {
        let Account { address, password } = account;
        let password = format!("{password}\n");
        let digest = async |kind| {
            let digest = self.root.run("/usr/sbin/userdbpw", &[kind], &password).await;
            digest.trim_end().to_owned()
        };
        let name = local_part(account);
        let open = format!("{address}\thome=/home/{name}|mail=/home/{name}/Maildir|uid=8|gid=8\n");
        let secret = format!(
            "{address}\tsystempw={}|hmac-md5pw={}\n",
            digest("-md5").await,
            digest("-hmac-md5").await
        );
        let mut users = self.users.lock().await;
        users.insert(address.clone(), [open, secret]);
        for (index, name) in ["userdb", "userdbshadow"].into_iter().enumerate() {
            let lines: String = users.values().map(|lines| lines[index].as_str()).collect();
            self.write_table(name, &lines).await;
        }
    }

    /// Does what Courier's own `makeuserdb` does, which needs Perl.
    async fn write_table(&self, name: &str, lines: &str) {
        let program = "/usr/lib/courier/courier-authlib/makedatprog";
        let [new, table] = ["new", "dat"].map(|ending| format!("/etc/courier/{name}.{ending}"));
        self.root.run(program, &["-", &new, &table], &format!("{lines}.\n")).await;
    }

    /// The logs of IMAP and POP3, oldest line first in each.
    pub(super) fn log(&self) -> String {
        LOGS.map(|name| self.root.log(name)).concat()
    }
}
