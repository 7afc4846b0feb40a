//! A real mail server whose mailboxes are read by JMAP: a private Cyrus on loopback.
//!
//! [`Cyrus::start`] runs it in a root folder of its own, a copy of what `scripts/unpack-packages` unpacked. What it is
//! sent by SMTP, and sends, goes through [`relay`], for it takes mail by LMTP. It ends with its owner, however that ends.

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
/// The script of users that get their mailbox while it is there; the settings name it.
const SCRIPT: &str = "etc/cyrus/sieve";

/// A running Cyrus.
pub(crate) struct Cyrus {
    claim: Claim,
    root: Root,
    process: Option<Process>,
    _relay: Background,
}

/// Which Cyrus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// That of Debian 12, which is built without what it needs for events.
    Debian12,
    /// That of Debian's next release, which looks once a second whether there is something to tell.
    Newer,
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
    pub(crate) async fn start(release: Release) -> Self {
        let claim = Claim::new();
        certificates::write_certificates(claim.folder(), HOST);
        let unpacked = match release {
            Release::Debian12 => "target/jmap-server",
            Release::Newer => "target/newer-jmap-server",
        };
        let root = Root::new(claim.folder(), "Cyrus", unpacked).await;
        let ports = CyrusPorts::from_first(claim.first_port());
        for folder in ["etc/cyrus", "usr/share/zoneinfo", "var/log"] {
            root.folder(folder);
        }
        root.copy(SERVER_FILE, "etc/cyrus/server.pem");
        let sends = format!("smtp_backend: host\nsmtp_host: 127.0.0.1:{}/noauth\n", ports.smtp);
        root.write("etc/cyrus/imapd.conf", [SETTINGS, &sends].concat(), 0o644);
        root.write("etc/cyrus/cyrus.conf", services(ports), 0o644);
        // Its library of calendars begins with the time zones, which are not unpacked.
        root.write("usr/share/zoneinfo/zone.tab", "DE\t+5230+01322\tEurope/Berlin\n", 0o644);
        for folder in ["", "/conf", "/spool", "/socket", "/sieve"] {
            root.folder_of_mail(&format!("{STATE}{folder}"));
        }
        let relay = Background::start(async move || relay(ports.smtp, ports.lmtp).await);
        wait::until_open(ADDRESS, ports.smtp).await;
        let process = Some(Self::start_in(&root, ports).await);
        Self { claim, root, process, _relay: relay }
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

    /// Stops it; does nothing if it does not run. Its ports are closed until it is started again.
    ///
    /// # Panics
    /// If it does not end.
    pub(crate) async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end_group().await;
        }
    }

    /// Starts it again after [`Cyrus::stop`].
    ///
    /// # Panics
    /// If it does not start.
    pub(crate) async fn start_again(&mut self) {
        self.process = Some(Self::start_in(&self.root, self.ports()).await);
    }

    /// Has all of it stand still: whoever connects waits.
    ///
    /// # Panics
    /// If it does not run.
    pub(crate) async fn freeze(&self) {
        self.process.as_ref().expect("a server that runs").signal_group("STOP").await;
    }

    /// Has it go on after [`Cyrus::freeze`].
    ///
    /// # Panics
    /// If it does not run.
    pub(crate) async fn thaw(&self) {
        self.process.as_ref().expect("a server that runs").signal_group("CONT").await;
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
        let user = Account { address: name.to_owned(), password: password.to_owned() };
        self.set_password(&user).await;
        self.deliver(&user, "Subject: welcome\r\n\r\nwelcome\r\n").await;
        user
    }

    /// Makes a user with this script of Sieve, which decides about the first mail as well.
    ///
    /// # Panics
    /// As [`Cyrus::user`]; if the server does not take the script.
    pub(crate) async fn user_with_script(
        &self,
        name: &str,
        password: &str,
        script: &str,
    ) -> Account {
        self.root.write(SCRIPT, script, 0o644);
        let user = self.user(name, password).await;
        fs::remove_file(self.root.path(SCRIPT)).unwrap();
        let taken = self.root.path(&format!("{STATE}/sieve"));
        assert!(contains(&taken, script), "the server has not taken the script");
        user
    }

    /// Gives a user this password.
    ///
    /// # Panics
    /// If the server's table of users cannot be written.
    pub(crate) async fn set_password(&self, user: &Account) {
        let arguments = ["-p", "-c", "-f", "/var/cyrus/sasldb", "-u", NAME, &user.address];
        self.root.run("/usr/sbin/saslpasswd2", &arguments, &user.password).await;
        self.root.give_to_mail(&format!("{STATE}/sasldb"));
    }

    /// Puts a mail of somebody else into the user's mailbox.
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

    /// Puts many mails of somebody else into the inbox of the only user, beside the one that is there: as files that
    /// the server is told to look for, which is faster than a delivery of each by far.
    ///
    /// # Panics
    /// If the server does not take them.
    pub(crate) async fn fill(&self, user: &Account, texts: impl IntoIterator<Item = String>) {
        let inbox = folder_of_mails(&self.root.path(&format!("{STATE}/spool"))).expect("an inbox");
        for (number, text) in (2..).zip(texts) {
            let file = inbox.join(format!("{number}."));
            fs::write(&file, text).unwrap();
            self.root.give_to_mail(&file.to_string_lossy());
        }
        let arguments = ["-C", "/etc/cyrus/imapd.conf", "-u", &user.address];
        self.root.run("/usr/lib/cyrus/bin/reconstruct", &arguments, "").await;
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

/// Only what is written in files, and at once what is removed. Nobody waits for a disk: no power fails here.
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
sievedir: /var/cyrus/sieve
autocreate_sieve_script: /etc/cyrus/sieve
sieve_vacation_min_response: 0s
httpmodules: jmap
jmap_pushpoll: 1s
conversations: yes
skiplist_unsafe: yes
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

/// Whether a file below this folder has this text.
fn contains(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| match entry.path() {
        path if path.is_dir() => contains(&path, text),
        path => fs::read(path).is_ok_and(|bytes| bytes == text.as_bytes()),
    })
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

/// The folder of the first mail that is found below this one.
fn folder_of_mails(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().find_map(|entry| match entry.path() {
        path if path.is_dir() => folder_of_mails(&path),
        _ => is_mail(&entry).then(|| folder.to_owned()),
    })
}

/// A mail is a file with a number and a dot for a name.
fn is_mail(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().into_owned();
    name.strip_suffix('.').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The mails below this folder.
fn collect(folder: &Path, mails: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), mails);
        } else if is_mail(&entry) {
            // It may be gone meanwhile.
            mails.extend(
                fs::read(entry.path()).map(|mail| String::from_utf8_lossy(&mail).into_owned()),
            );
        }
    }
}
