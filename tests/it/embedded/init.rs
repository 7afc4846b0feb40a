//! `mailtrip_exporter init`, with a name server that says where the embedded servers are: what is found, what is written,
//! and what never happens to a password or a file.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use domain::base::iana::{Class, Rcode};
use domain::base::name::Name;
use domain::base::{Message, MessageBuilder, Rtype, ToName, Ttl};
use domain::rdata::Srv;
use mail::discovery::MailProtocol;
use mail::net::records::Resolver;
use mailtrip_exporter::config::{Config, TlsMode};
use mailtrip_exporter::init::{self, Stop, Wish};
use mailtrip_exporter::roundtrip::Terminal;
use tempfile::TempDir;
use testserver::{Authority, Certificate, Options, Post, Protocol, Server};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

mod jmap;
mod search;

const PASSWORD: &str = "tr0ub4dor: #3 'x'";

/// A service as the name server knows it.
type Announced = (&'static str, u16);

/// Servers behind TLS, a name server that announces them, and a folder for the files.
struct Bench {
    post: Post,
    folder: TempDir,
    authority: Authority,
    ca: tempfile::NamedTempFile,
    servers: Vec<(&'static str, Server)>,
    names: Option<JoinHandle<()>>,
    /// By which protocol the mailbox is to be read.
    protocol: Option<MailProtocol>,
}

impl Bench {
    /// With the account of this user, and an empty folder.
    fn new(user: &str) -> Self {
        let post = Post::new();
        post.add_account(user, PASSWORD, &["rita@example.test"]);
        let authority = Authority::new().unwrap();
        let ca = tempfile::NamedTempFile::new().unwrap();
        fs::write(ca.path(), authority.ca_pem().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { post, folder, authority, ca, servers: Vec::new(), names: None, protocol: None }
    }

    /// The three servers of a good domain.
    async fn usual(user: &str) -> Self {
        let mut bench = Self::new(user);
        bench.add("_imap", Protocol::Imap, Certificate::Good).await;
        bench.add("_imaps", Protocol::Imap, Certificate::Good).await;
        bench.add("_submissions", Protocol::Smtp, Certificate::Good).await;
        bench
    }

    async fn add(&mut self, service: &'static str, protocol: Protocol, kind: Certificate) {
        let tls = self.authority.server(kind).unwrap();
        let options = match service.ends_with('s') {
            true => Options::new().implicit_tls(&tls),
            false => Options::new().starttls(&tls),
        };
        self.add_with(service, protocol, options).await;
    }

    async fn add_with(&mut self, service: &'static str, protocol: Protocol, options: Options) {
        let server = Server::start(protocol, &self.post, options).await.unwrap();
        self.servers.push((service, server));
    }

    fn server(&self, service: &str) -> &Server {
        &self.servers.iter().find(|(known, _)| *known == service).unwrap().1
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn wish(&self, password: &Path) -> Wish {
        Wish {
            address: "rita@example.test".parse().unwrap(),
            password_file: Some(password.to_owned()),
            folder: self.path().to_owned(),
            name: None,
            ca_file: Some(self.ca.path().to_owned()),
            protocol: self.protocol,
            yes: true,
        }
    }

    /// What came of it, and what was shown.
    async fn run_with(
        &mut self,
        password: &str,
        more: &[Announced],
    ) -> (Result<bool, Stop>, String) {
        let mut announced: Vec<Announced> =
            self.servers.iter().map(|(service, server)| (*service, server.port())).collect();
        announced.extend(more);
        let (address, task) = serve_names(announced).await;
        self.names = Some(task);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{password}\n")).unwrap();
        let mut out = Vec::new();
        let resolver = Resolver::of_server(address);
        let wish = self.wish(file.path());
        let outcome = init::run_with(&wish, &resolver, &mut Terminal::plain(&mut out)).await;
        (outcome, String::from_utf8(out).unwrap())
    }

    async fn run(&mut self) -> (Result<bool, Stop>, String) {
        self.run_with(PASSWORD, &[]).await
    }

    /// The problem for which nothing came of it, without a file.
    async fn problem(&mut self, password: &str) -> String {
        let (outcome, shown) = self.run_with(password, &[]).await;
        let Err(Stop::Problem(problem)) = outcome else { panic!("{outcome:?}: {shown}") };
        problem
    }

    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(path.strip_prefix(self.path()).unwrap().to_owned()),
                }
            }
        }
        found.sort();
        found.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path().join(name)).unwrap().permissions().mode() & 0o777
    }

    /// How many logins the server has heard, taken or not.
    fn logins(&self, service: &str) -> usize {
        let is_login = |line: &str| {
            let line = line.to_ascii_uppercase();
            line.starts_with("AUTH ")
                || line.contains(" AUTHENTICATE ")
                || line.starts_with("PASS ")
        };
        let heard = |session: &testserver::record::SessionRecord| {
            let text = String::from_utf8_lossy(&session.received).into_owned();
            text.lines().filter(|line| is_login(line)).count()
        };
        self.server(service).sessions().iter().map(heard).sum()
    }
}

async fn serve_names(services: Vec<Announced>) -> (SocketAddr, JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut question = [0; 1500];
        while let Ok((length, asker)) = socket.recv_from(&mut question).await {
            let answer = answer(&question[..length], &services);
            socket.send_to(&answer, asker).await.unwrap();
        }
    });
    (address, task)
}

fn answer(question: &[u8], services: &[Announced]) -> Vec<u8> {
    let question = Message::from_octets(question.to_vec()).unwrap();
    let asked = question.sole_question().unwrap();
    let mut answer = MessageBuilder::new_vec().start_answer(&question, Rcode::NOERROR).unwrap();
    for (service, port) in services {
        let owner: Name<Vec<u8>> = format!("{service}._tcp.example.test").parse().unwrap();
        if asked.qtype() == Rtype::SRV && asked.qname().name_eq(&owner) {
            let host = if *port == 0 { "." } else { "localhost." };
            let data = Srv::new(0, 1, *port, host.parse::<Name<Vec<u8>>>().unwrap());
            answer.push((owner.to_name::<Vec<u8>>(), Class::IN, Ttl::from_secs(60), data)).unwrap();
        }
    }
    answer.finish()
}

#[tokio::test]
async fn an_address_and_a_password_become_a_tested_configuration() {
    let mut bench = Bench::usual("rita@example.test").await;
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    assert_eq!(bench.files(), ["mailtrip.yml", "secrets/example.test.password"]);
    assert_eq!(bench.mode("secrets"), 0o700);
    assert_eq!(bench.mode("secrets/example.test.password"), 0o600);
    let secret = fs::read_to_string(bench.path().join("secrets/example.test.password")).unwrap();
    assert_eq!(secret, format!("{PASSWORD}\n"));
    let text = fs::read_to_string(bench.path().join("mailtrip.yml")).unwrap();
    assert!(!text.contains(PASSWORD) && !shown.contains(PASSWORD), "{text}{shown}");

    let config = Config::load(&bench.path().join("mailtrip.yml")).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    let target = config.targets.values().next().unwrap();
    assert_eq!(target.name.as_str(), "example.test");
    let (send, receive) = (&target.send.endpoint, &target.receive.as_ref().unwrap().endpoint);
    assert_eq!((send.port, send.tls), (bench.server("_submissions").port(), TlsMode::Implicit));
    // TLS from the first byte before TLS by command.
    assert_eq!((receive.port, receive.tls), (bench.server("_imaps").port(), TlsMode::Implicit));
    assert_eq!(target.receive.as_ref().unwrap().login.username, "rita@example.test");
    assert_eq!(bench.logins("_imap"), 0);
    for part in [
        "the DNS (SRV): names 3 servers",
        "--yes: localhost",
        "Verdict: example.test works",
        "What next:",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(bench.post.messages("rita@example.test", "INBOX"), [], "the test mail is gone");
}

#[tokio::test]
async fn the_local_part_is_the_other_name_that_is_tried() {
    let mut bench = Bench::usual("rita").await;
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    let config = Config::load(&bench.path().join("mailtrip.yml")).unwrap();
    let target = config.targets.values().next().unwrap();
    assert_eq!(target.receive.as_ref().unwrap().login.username, "rita");
    assert_eq!(target.send.login.as_ref().unwrap().username, "rita");
    // SMTP is asked as who the mailbox has taken at once: then and in the probe.
    assert_eq!(bench.logins("_submissions"), 2);
}

#[tokio::test]
async fn a_wrong_password_is_tried_twice_and_leaves_nothing() {
    let mut bench = Bench::usual("rita@example.test").await;
    let problem = bench.problem("not this one").await;
    assert!(
        problem.contains("does not take this password for rita@example.test and as rita"),
        "{problem}"
    );
    assert!(!problem.contains("not this one"), "{problem}");
    assert_eq!((bench.logins("_imaps"), bench.logins("_submissions")), (2, 0));
    assert_eq!(bench.files(), [""; 0]);
    assert!(!bench.path().join("secrets").exists());
}

#[tokio::test]
async fn what_is_there_is_not_overwritten_and_no_server_is_asked() {
    for name in ["mailtrip.yml", "secrets/example.test.password"] {
        for is_link in [false, true] {
            let mut bench = Bench::usual("rita@example.test").await;
            let path = bench.path().join(name);
            fs::create_dir(bench.path().join("secrets")).unwrap();
            match is_link {
                true => symlink(bench.path().join("nowhere"), &path).unwrap(),
                false => fs::write(&path, "mine").unwrap(),
            }
            let problem = bench.problem(PASSWORD).await;
            assert!(problem.contains("is there already, and nothing is overwritten"), "{problem}");
            assert!(problem.contains(name), "{problem}");
            assert_eq!(problem.contains("another --name"), name != "mailtrip.yml", "{problem}");
            assert_eq!(bench.files(), [name]);
            assert!(is_link || fs::read_to_string(&path).unwrap() == "mine");
            assert!(bench.servers.iter().all(|(_, server)| server.sessions().is_empty()));
        }
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_told_before_anything_is_asked() {
    let mut bench = Bench::usual("rita@example.test").await;
    fs::remove_dir(bench.path()).unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("cannot be written: No such file"), "{problem}");
    fs::write(bench.path(), "a file").unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("cannot be written: Not a directory"), "{problem}");
    assert!(bench.servers.iter().all(|(_, server)| server.sessions().is_empty()));
    fs::remove_file(bench.path()).unwrap();
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_good_gets_no_password() {
    let mut bench = Bench::new("rita@example.test");
    bench.add("_imaps", Protocol::Imap, Certificate::SelfSigned).await;
    bench.add("_imap", Protocol::Imap, Certificate::Good).await;
    bench.add("_submission", Protocol::Smtp, Certificate::Good).await;
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    assert_eq!(bench.logins("_imaps"), 0);
    let config = Config::load(&bench.path().join("mailtrip.yml")).unwrap();
    let receive = config.targets.values().next().unwrap().receive.as_ref().unwrap();
    assert_eq!(receive.endpoint.tls, TlsMode::StartTls);
}

#[tokio::test]
async fn a_mailbox_is_read_by_pop3_where_there_is_nothing_else() {
    let mut bench = Bench::new("rita@example.test");
    bench.add("_pop3s", Protocol::Pop3, Certificate::Good).await;
    bench.add("_submission", Protocol::Smtp, Certificate::Good).await;
    let (outcome, shown) = bench.run_with(PASSWORD, &[("_imaps", 0)]).await;
    assert_eq!(outcome, Ok(true), "{shown}");
    let text = fs::read_to_string(bench.path().join("mailtrip.yml")).unwrap();
    assert!(text.contains("protocol: pop3"), "{text}");
}

#[tokio::test]
async fn a_server_for_access_tokens_alone_is_named_and_nothing_written() {
    let mut bench = Bench::new("rita@example.test");
    bench.add("_imaps", Protocol::Imap, Certificate::Good).await;
    let tls = bench.authority.server(Certificate::Good).unwrap();
    let options = Options::new().implicit_tls(&tls).mechanisms(&["XOAUTH2", "OAUTHBEARER"]);
    bench.add_with("_submissions", Protocol::Smtp, options).await;
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("localhost takes access tokens alone (OAuth2)"), "{problem}");
    assert_eq!((bench.logins("_imaps"), bench.logins("_submissions")), (0, 0));
    assert_eq!(bench.files(), [""; 0]);
}

#[tokio::test]
async fn a_probe_that_fails_leaves_the_files_and_says_so() {
    let mut bench = Bench::usual("rita@example.test").await;
    let faults = bench.server("_submissions").faults();
    faults.on("RCPT", testserver::faults::Fault::reply("550 5.7.1 not wanted"));
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(false), "{shown}");
    assert_eq!(bench.files().len(), 2);
    assert!(shown.contains("do what the verdict says"), "{shown}");
}

#[tokio::test]
async fn the_folder_of_the_service_gets_the_files_where_it_reads_them() {
    let mut bench = Bench::usual("rita@example.test").await;
    for folder in ["targets.d", "credentials"] {
        fs::create_dir(bench.path().join(folder)).unwrap();
    }
    let main = bench.path().join("mailtrip.yml");
    // A mistake of somebody else: nothing is left of ours.
    fs::write(&main, "include: [targets.d/*.yml]\nintervall: 5m\n").unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("intervall"), "{problem}");
    assert!(bench.servers.iter().all(|(_, server)| server.sessions().is_empty()));
    assert_eq!(bench.files(), ["mailtrip.yml"]);

    fs::write(&main, "targets: []\n").unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("does not include"), "{problem}");
    assert_eq!(bench.files(), ["mailtrip.yml"]);
    fs::remove_dir(bench.path().join("credentials")).unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("does not include"), "{problem}");
    assert!(!bench.path().join("credentials").exists(), "nothing was written");

    fs::write(&main, "include: [targets.d/*.yml]\ndefaults: {interval: 1m}\n").unwrap();
    let (outcome, shown) = bench.run().await;
    assert_eq!(outcome, Ok(true), "{shown}");
    let written = [
        "credentials/example.test",
        "mailtrip.yml",
        "targets.d/example.test.yml",
        "targets.d/example.test.ca.pem",
    ];
    let mut files = bench.files();
    files.sort_by_key(|name| written.iter().position(|it| it == name));
    assert_eq!(files, written);
    // The service reads it, but not the folders of persons.
    assert_eq!(bench.mode(written[3]), 0o644);
    assert_eq!(
        fs::read(bench.path().join(written[3])).unwrap(),
        fs::read(bench.ca.path()).unwrap()
    );
    assert_eq!(bench.mode("credentials/example.test"), 0o600);
    assert_eq!(bench.mode("targets.d/example.test.yml"), 0o644, "the service reads it");
    let text = fs::read_to_string(bench.path().join(written[2])).unwrap();
    assert!(text.contains("${CREDENTIALS_DIRECTORY}/mailtrip_example.test"), "{text}");
    // This is not where the package's service looks.
    assert!(shown.contains(&format!("check --config.file={}", main.display())), "{shown}");

    // A further one: nothing is asked of a server before the name is known to be free.
    let asked = bench.server("_imaps").sessions().len();
    fs::rename(bench.path().join(written[2]), bench.path().join("targets.d/moved.yml")).unwrap();
    fs::rename(bench.path().join(written[3]), bench.path().join("targets.d/moved.pem")).unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("credentials/example.test is there already"), "{problem}");
    let secret = bench.path().join(written[0]);
    fs::write(bench.path().join("credentials/example"), fs::read(&secret).unwrap()).unwrap();
    fs::remove_file(secret).unwrap();
    let moved = bench.path().join("targets.d/moved.yml");
    let text = text.replace("_example.test", "_example").replace("example.test.ca", "moved");
    let text = text.replace("moved.pem.pem", "moved.pem");
    fs::write(moved, text).unwrap();
    let problem = bench.problem(PASSWORD).await;
    assert!(problem.contains("has a target example.test already"), "{problem}");
    assert_eq!(bench.server("_imaps").sessions().len(), asked);
}
