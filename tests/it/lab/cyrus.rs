//! A real mail server whose mailboxes are read by JMAP: a private Cyrus on loopback.
//!
//! [`Cyrus::start`] runs it in a root folder of its own, a copy of what `scripts/unpack-packages` unpacked. What it is
//! sent by SMTP goes through [`relay`], for it takes mail by LMTP. It ends with its owner, however that ends.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::background::Background;
use super::certificates::{self, CA_FILE, SERVER_FILE};
use super::claim::Claim;
use super::root::{Process, Root};
use super::{Account, HOST, wait};

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The name of the server, and the realm of its users.
const NAME: &str = "lab.example";
/// Where the server has what it writes.
const STATE: &str = "var/cyrus";

/// A running Cyrus.
pub(crate) struct Cyrus {
    claim: Claim,
    root: Root,
    _process: Process,
    _relay: Background,
}

/// Its ports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CyrusPorts {
    /// SMTP, open to everybody.
    pub(crate) smtp: u16,
    /// JMAP without TLS.
    pub(crate) http: u16,
    /// JMAP with TLS.
    pub(crate) https: u16,
    /// LMTP.
    lmtp: u16,
}

impl Cyrus {
    /// Starts one for one test.
    ///
    /// # Panics
    /// If the user is not root, or the server is not unpacked or does not start; the message says what to do.
    pub(crate) async fn start() -> Self {
        let claim = Claim::new();
        certificates::write_certificates(claim.folder(), HOST);
        let root = Root::new(claim.folder(), "Cyrus", "target/jmap-server").await;
        let ports = CyrusPorts::from_first(claim.first_port());
        for folder in ["etc/cyrus", "usr/share/zoneinfo", "var/log"] {
            root.folder(folder);
        }
        root.copy(SERVER_FILE, "etc/cyrus/server.pem");
        root.write("etc/cyrus/imapd.conf", SETTINGS, 0o644);
        root.write("etc/cyrus/cyrus.conf", services(ports), 0o644);
        // Its library of calendars begins with the time zones, which are not unpacked.
        root.write("usr/share/zoneinfo/zone.tab", "DE\t+5230+01322\tEurope/Berlin\n", 0o644);
        for folder in ["", "/conf", "/spool", "/socket"] {
            root.folder_of_mail(&format!("{STATE}{folder}"));
        }
        let relay = Background::start(async move || relay(ports.smtp, ports.lmtp).await);
        wait::until_open(ADDRESS, ports.smtp).await;
        let process = Self::start_in(&root, ports).await;
        Self { claim, root, _process: process, _relay: relay }
    }

    async fn start_in(root: &Root, ports: CyrusPorts) -> Process {
        let command = [
            "/usr/lib/cyrus/bin/master",
            "-C",
            "/etc/cyrus/imapd.conf",
            "-M",
            "/etc/cyrus/cyrus.conf",
            "-p",
            "/var/cyrus/pid",
            "-D",
        ];
        let process = root.start("cyrus", true, &command, &[]);
        let CyrusPorts { http, https, lmtp, .. } = ports;
        for port in [http, https, lmtp] {
            wait::until_open(ADDRESS, port).await;
        }
        process
    }

    /// Its ports.
    pub(crate) fn ports(&self) -> CyrusPorts {
        CyrusPorts::from_first(self.claim.first_port())
    }

    /// The certificate, as PEM, of the authority that signed the server's.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.claim.folder().join(CA_FILE)
    }

    /// Makes a user, whose login is the name, with one mail in the inbox: the first mail makes the mailbox.
    ///
    /// # Panics
    /// If the server's table of users cannot be written.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Account {
        let arguments = ["-p", "-c", "-f", "/var/cyrus/sasldb", "-u", NAME, name];
        self.root.run("/usr/sbin/saslpasswd2", &arguments, password).await;
        self.root.give_to_mail(&format!("{STATE}/sasldb"));
        let user = Account { address: name.to_owned(), password: password.to_owned() };
        self.deliver(&user, "Subject: welcome\r\n\r\nwelcome\r\n").await;
        user
    }

    /// Puts a mail of somebody else into the user's inbox.
    ///
    /// # Panics
    /// If the server does not take it.
    pub(crate) async fn deliver(&self, user: &Account, text: &str) {
        let stream = TcpStream::connect((ADDRESS, self.ports().lmtp)).await.unwrap();
        let mut stream = BufReader::new(stream);
        let envelope = format!("RCPT TO:<{}@{NAME}>\r\n", user.address);
        let text = format!("{text}.\r\n");
        let commands =
            ["", "LHLO lab\r\n", "MAIL FROM:<a@lab.example>\r\n", &envelope, "DATA\r\n", &text];
        for command in commands {
            stream.write_all(command.as_bytes()).await.unwrap();
            let mut reply = String::new();
            while reply.lines().last().is_none_or(|line| line.as_bytes().get(3) == Some(&b'-')) {
                assert!(stream.read_line(&mut reply).await.unwrap() > 0, "{reply}");
            }
            assert!(reply.starts_with(['2', '3']), "{command}: {reply}");
        }
    }

    /// The texts of all mails that it keeps.
    pub(crate) fn mails(&self) -> Vec<String> {
        let mut mails = Vec::new();
        collect(&self.root.path(&format!("{STATE}/spool")), &mut mails);
        mails.sort();
        mails
    }
}

impl CyrusPorts {
    fn from_first(first: u16) -> Self {
        Self { smtp: first, http: first + 1, https: first + 2, lmtp: first + 3 }
    }
}

/// Only what is written in files, and at once what is removed.
const SETTINGS: &str = "\
configdirectory: /var/cyrus/conf
defaultpartition: default
partition-default: /var/cyrus/spool
servername: lab.example
unixhierarchysep: yes
altnamespace: yes
virtdomains: off
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: /var/cyrus/sasldb
sasl_mech_list: PLAIN LOGIN
allowplaintext: yes
autocreate_quota: 0
autocreate_post: yes
autocreate_inbox_folders: Junk | Trash
xlist-junk: Junk
xlist-trash: Trash
expunge_mode: immediate
delete_mode: immediate
httpmodules: jmap
conversations: yes
conversations_db: twoskip
lmtpsocket: /var/cyrus/socket/lmtp
idlesocket: /var/cyrus/socket/idle
tls_server_cert: /etc/cyrus/server.pem
tls_server_key: /etc/cyrus/server.pem
";

fn services(ports: CyrusPorts) -> String {
    let service = |name: &str, program: &str, port: u16| {
        format!(
            "  {name} cmd=\"/usr/lib/cyrus/bin/{program} -C /etc/cyrus/imapd.conf\" listen=\"127.0.0.1:{port}\" prefork=0\n"
        )
    };
    [
        "START {\n  recover cmd=\"/usr/lib/cyrus/bin/ctl_cyrusdb -C /etc/cyrus/imapd.conf -r\"\n}\nSERVICES {\n",
        &service("http", "httpd", ports.http),
        &service("https", "httpd -s", ports.https),
        &service("lmtp", "lmtpd -a", ports.lmtp),
        "}\n",
    ]
    .concat()
}

/// LMTP (RFC 2033) is SMTP with another greeting of the client, as long as a mail has one recipient.
async fn relay(smtp: u16, lmtp: u16) {
    let listener = TcpListener::bind((ADDRESS, smtp)).await;
    let listener = listener.unwrap_or_else(|error| panic!("no port for SMTP: {error}"));
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(async move {
            let server = TcpStream::connect((ADDRESS, lmtp)).await?;
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let mut from_client = BufReader::new(from_client);
            let replies = tokio::spawn(async move {
                let copied = tokio::io::copy(&mut from_server, &mut to_client).await;
                let _ = to_client.shutdown().await;
                copied
            });
            let mut greeting = String::new();
            from_client.read_line(&mut greeting).await?;
            to_server.write_all(greeting.replacen("EHLO", "LHLO", 1).as_bytes()).await?;
            tokio::io::copy(&mut from_client, &mut to_server).await?;
            to_server.shutdown().await?;
            let _ = replies.await;
            std::io::Result::Ok(())
        });
    }
}

/// The mails below this folder: each is a file with a number and a dot for a name.
fn collect(folder: &Path, mails: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            collect(&entry.path(), mails);
        } else if name.strip_suffix('.').is_some_and(|number| number.parse::<u32>().is_ok()) {
            // It may be gone meanwhile.
            mails.extend(
                fs::read(entry.path()).map(|mail| String::from_utf8_lossy(&mail).into_owned()),
            );
        }
    }
}
