//! What the tests of the two loops share: embedded servers, a configuration for them, and waiting
//! for what a user would see.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ledger::Token;
use ledger::{Reading, Snapshot};
use mailtrip_exporter::config::{Config, Target, TlsMode};
use mailtrip_exporter::probing::send::Origin;
use mailtrip_exporter::supervisor::Supervisor;
use mailtrip_exporter::web::elsewhere::Elsewhere;
use mailtrip_exporter::web::mount::Mount;
use mailtrip_exporter::web::routes::App;
use mailtrip_exporter::web::server::{self, WebConfig};
use tempfile::TempDir;
use testserver::record::SessionRecord;
use testserver::{Authority, Certificate, Options, Post, Protocol, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) mod browser;
pub(crate) mod http;
pub(crate) mod logins;
pub(crate) mod mails;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod relay;

/// The longest wait for anything that comes sooner or later; no test claims that it comes within it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The account of the recipient.
pub(crate) const USER: &str = "rita";
/// Its password: it has a space, and no other text of a dialogue looks like it.
pub(crate) const PASSWORD: &str = "tr0ub4dor &3";
/// The protocols of a mailbox whose dialogue goes by lines: with a greeting, STARTTLS and SASL.
pub(crate) const LINE_MAILBOXES: [Protocol; 2] = [Protocol::Imap, Protocol::Pop3];
/// The protocols of a mailbox.
pub(crate) const MAILBOXES: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Jmap];

/// A post office with an account, its SMTP server and the server of its mailbox.
pub(crate) struct World {
    pub(crate) post: Post,
    pub(crate) smtp: Server,
    pub(crate) mailbox: Server,
}

impl World {
    /// Without TLS.
    pub(crate) async fn new(mailbox: Protocol) -> Self {
        Self::with(mailbox, Options::new(), Options::new()).await
    }

    /// With the servers set up so.
    pub(crate) async fn with(mailbox: Protocol, send: Options, receive: Options) -> Self {
        let post = Post::new();
        post.add_account(USER, PASSWORD, &["to@example.test"]);
        post.add_account("sam", PASSWORD, &["from@example.test"]);
        Self {
            smtp: Server::start(Protocol::Smtp, &post, send).await.unwrap(),
            mailbox: Server::start(mailbox, &post, receive).await.unwrap(),
            post,
        }
    }

    /// A target from the one to the other.
    pub(crate) fn target(&self, name: &str) -> TargetText {
        TargetText::new(name, &self.smtp, &self.mailbox)
    }

    /// The inbox of the recipient.
    pub(crate) fn inbox_len(&self) -> usize {
        self.post.messages(USER, "INBOX").len()
    }

    /// Waits until the recipient's inbox holds so many mails.
    pub(crate) async fn inbox_holds(&self, count: usize) {
        let holds = |post: &Post| post.messages(USER, "INBOX").len() == count;
        let held = self.post.wait_until(DEADLINE, holds).await;
        assert!(held, "{} mails in the inbox, expected {count}", self.inbox_len());
    }

    /// The mails as the client handed them over, oldest first.
    pub(crate) fn mails_sent(&self) -> Vec<String> {
        let mut mails = Vec::new();
        for session in self.smtp.sessions() {
            let text = String::from_utf8_lossy(&session.received).into_owned();
            for part in text.split("DATA\r\n").skip(1) {
                if let Some((mail, _)) = part.split_once("\r\n.\r\n") {
                    mails.push(format!("{mail}\r\n"));
                }
            }
        }
        mails
    }

    /// Waits until so many mails were handed over.
    pub(crate) async fn sent(&self, count: usize) -> Vec<String> {
        let arrived = self.smtp.wait_until(DEADLINE, |_| self.mails_sent().len() >= count).await;
        assert!(arrived, "{} mails were sent, expected {count}", self.mails_sent().len());
        self.mails_sent()
    }
}

/// One target of a configuration, key by key; the values are YAML.
#[derive(Clone)]
pub(crate) struct TargetText {
    keys: BTreeMap<String, String>,
}

impl TargetText {
    /// A target between two servers without TLS, with a period so long that only its first matters
    /// and a timeout that no server on loopback needs.
    pub(crate) fn new(name: &str, send: &Server, receive: &Server) -> Self {
        let protocol = match receive.protocol() {
            Protocol::Pop3 => "pop3",
            Protocol::Jmap => "jmap",
            _ => "imap",
        };
        Self::named(name)
            .set("from", "from@example.test")
            .set("to", "to@example.test")
            .set("send.host", &quoted(&send.address().ip().to_string()))
            .set("send.port", &send.port().to_string())
            .set("send.tls", "none")
            .set("receive.protocol", protocol)
            .set("receive.host", &quoted(&receive.address().ip().to_string()))
            .set("receive.port", &receive.port().to_string())
            .set("receive.tls", "none")
            .set("receive.username", USER)
            .set("receive.password", &quoted(PASSWORD))
    }

    /// A target with no more than a name, and the period and the timeout of [`TargetText::new`].
    pub(crate) fn named(name: &str) -> Self {
        let text = Self { keys: BTreeMap::new() };
        text.set("name", name).set("interval", "5m").set("timeout", "10s")
    }

    /// Sets a key, as `interval` or `send.tls`.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Leaves a key out.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.keys.remove(key);
        self
    }

    /// Leaves all keys of a side out.
    pub(crate) fn without(mut self, side: &str) -> Self {
        self.keys.retain(|key, _| !key.starts_with(&format!("{side}.")));
        self
    }

    /// Protects a side in this way, trusting this authority alone.
    pub(crate) fn protect(self, side: &str, tls: TlsMode, trust: &Trust) -> Self {
        let text = self.set(&format!("{side}.tls"), tls.label());
        if tls == TlsMode::None {
            return text;
        }
        text.set(&format!("{side}.tls_options"), &trust.options())
    }

    /// Has the send side log in as the sender.
    pub(crate) fn sender_logs_in(self) -> Self {
        self.set("send.username", "sam").set("send.password", &quoted(PASSWORD))
    }

    fn write(&self, text: &mut String) {
        let side = |name: &str| {
            let prefix = format!("{name}.");
            let own = self.keys.iter().filter_map(|(key, value)| {
                key.strip_prefix(&prefix).map(|key| format!("{key}: {value}"))
            });
            let own = own.collect::<Vec<_>>().join(", ");
            (!own.is_empty()).then(|| format!("{name}: {{{own}}}"))
        };
        let own = self.keys.iter().filter(|(key, _)| !key.contains('.'));
        let mut lines: Vec<String> = own.map(|(key, value)| format!("{key}: {value}")).collect();
        lines.extend([side("send"), side("receive")].into_iter().flatten());
        writeln!(text, "  - {{{}}}", lines.join(", ")).unwrap();
    }
}

/// A value in single quotes.
pub(crate) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The configuration file of these targets.
pub(crate) fn yaml(targets: &[TargetText]) -> String {
    let mut text = "targets:\n".to_owned();
    for target in targets {
        target.write(&mut text);
    }
    text
}

/// The checked configuration of these targets.
pub(crate) fn config(targets: &[TargetText]) -> Config {
    let text = yaml(targets);
    Config::parse(&text, Path::new("mailtrip.yml"))
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The checked configuration of one target.
pub(crate) fn only(target: TargetText) -> Arc<Target> {
    config(&[target]).targets.into_values().next().unwrap()
}

/// The exporter at work.
pub(crate) struct Exporter {
    pub(crate) supervisor: Arc<Supervisor>,
}

/// Who sends in these tests.
pub(crate) fn origin() -> Origin {
    Origin { instance: Token::random(), host: Some("monitor.example.test".into()) }
}

impl Exporter {
    /// Puts these targets to work.
    pub(crate) async fn start(targets: &[TargetText]) -> Self {
        let supervisor = Supervisor::start(config(targets), None, origin()).await.unwrap();
        Self { supervisor }
    }

    /// The snapshot of a target, now.
    pub(crate) fn snapshot(&self, name: &str) -> Snapshot {
        self.supervisor.view(name).unwrap_or_else(|| panic!("no target {name}")).snapshot
    }

    /// Waits until `wanted` holds for a target; `what` says what is waited for.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Snapshot {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let snapshot = self.snapshot(name);
            assert_balanced(&snapshot);
            if wanted(&snapshot) {
                return snapshot;
            }
            assert!(Instant::now() < deadline, "{name}: not {what}: {snapshot:#?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a target has had a check and a send.
    pub(crate) async fn measured(&self, name: &str) -> Snapshot {
        self.until(name, "measured", |snapshot| {
            snapshot.sides.send.last_attempt.is_some()
                && snapshot.sides.receive.last_attempt.is_some()
        })
        .await
    }

    /// Waits until a target has received so many mails.
    pub(crate) async fn received(&self, name: &str, count: u64) -> Snapshot {
        let what = format!("{count} received");
        self.until(name, &what, |snapshot| snapshot.totals.received >= count).await
    }

    /// Waits until a target has received so many mails more than now.
    pub(crate) async fn receives(&self, name: &str, count: u64) -> Snapshot {
        self.received(name, self.snapshot(name).totals.received + count).await
    }
}

/// Serves the pages of the exporter on a port of its own until the guard is dropped; `/-/reload`
/// with `enable_lifecycle`.
pub(crate) async fn serve(
    supervisor: &Arc<Supervisor>,
    enable_lifecycle: bool,
) -> (SocketAddr, DropGuard) {
    let app = App {
        supervisor: Arc::clone(supervisor),
        mount: Mount::default(),
        elsewhere: Elsewhere::default(),
        telemetry_path: "/metrics".to_owned(),
        enable_lifecycle,
        enable_details: false,
    };
    serve_app(app).await
}

/// Serves these pages on a port of its own until the guard is dropped.
pub(crate) async fn serve_app(app: App) -> (SocketAddr, DropGuard) {
    let app = Arc::new(app);
    let listeners = server::bind("127.0.0.1:0").await.unwrap();
    let address = listeners[0].local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let answer = move |request| {
        let app = Arc::clone(&app);
        async move { app.answer(request).await }
    };
    tokio::spawn(server::serve(listeners, WebConfig::none(), answer, shutdown.clone()));
    (address, shutdown.drop_guard())
}

/// Accepted mails are in exactly one place.
pub(crate) fn assert_balanced(snapshot: &Snapshot) {
    let Reading::Is(outstanding) = snapshot.outstanding else { return };
    let totals = *snapshot.totals;
    let placed = outstanding as u64 + totals.received + totals.bounced + totals.lost + totals.left;
    assert_eq!(totals.accepted, placed, "{snapshot:#?}");
}

/// How many cases run at one time: more of them would wait for the processor, and time out.
const SIDE_BY_SIDE: usize = 12;

/// Runs cases side by side; a case that fails is named.
pub(crate) fn all<F>(cases: impl IntoIterator<Item = (String, F)>) -> impl Future<Output = ()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let cases: Vec<_> = cases.into_iter().map(|(name, case)| (name, Box::pin(case))).collect();
    async move {
        let places = Arc::new(Semaphore::new(SIDE_BY_SIDE));
        let mut running = JoinSet::new();
        let mut names = BTreeMap::new();
        for (name, case) in cases {
            let places = Arc::clone(&places);
            let case = async move {
                let _place = places.acquire().await;
                case.await;
            };
            names.insert(running.spawn(case).id(), name);
        }
        let mut failed = Vec::new();
        while let Some(ended) = running.join_next_with_id().await {
            let Err(error) = ended else { continue };
            let name = names.remove(&error.id()).unwrap_or_default();
            let panic = error.into_panic();
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or(panic.downcast_ref::<&str>().copied());
            failed.push(format!("{name}: {}", words.unwrap_or_default()));
        }
        assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    }
}

/// The sessions in which the client said something: a check of the port says nothing.
pub(crate) fn dialogues(server: &Server) -> Vec<SessionRecord> {
    let mut sessions = server.sessions();
    sessions.retain(|session| !session.received.is_empty());
    sessions
}

/// The options of a server that is protected in this way.
pub(crate) fn protected(tls: TlsMode, trust: &Trust, certificate: Certificate) -> Options {
    let server = trust.authority.server(certificate).unwrap();
    match tls {
        TlsMode::None => Options::new(),
        TlsMode::StartTls => Options::new().starttls(&server),
        TlsMode::Implicit => Options::new().implicit_tls(&server),
    }
}

/// An authority and the file with its certificate.
pub(crate) struct Trust {
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Trust {
    /// A new one.
    pub(crate) fn new() -> Self {
        let trust =
            Self { authority: Authority::new().unwrap(), folder: tempfile::tempdir().unwrap() };
        std::fs::write(trust.folder.path().join("ca.pem"), trust.authority.ca_pem().unwrap())
            .unwrap();
        trust
    }

    /// The file with its certificate.
    pub(crate) fn ca_file(&self) -> String {
        self.folder.path().join("ca.pem").display().to_string()
    }

    /// `tls_options` that trust this authority alone.
    pub(crate) fn options(&self) -> String {
        format!("{{ca_file: {}}}", quoted(&self.folder.path().join("ca.pem").to_string_lossy()))
    }
}

/// Says these lines to a server and returns everything it answers until it closes.
pub(crate) async fn say(server: &Server, lines: &[&str]) -> String {
    let talk = async {
        let mut tcp = TcpStream::connect(server.address()).await.unwrap();
        for line in lines {
            tcp.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        }
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(DEADLINE, talk).await.expect("the server answers")
}
