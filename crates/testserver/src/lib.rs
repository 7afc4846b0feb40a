//! SMTP, IMAP, POP3 and JMAP servers on loopback that follow a script, right or wrong.
//!
//! The servers share one [`Post`]: what SMTP accepts, IMAP, POP3 and JMAP show. Each listens on
//! `127.0.0.1:0` unless set otherwise, with no TLS, TLS by command or TLS from the first byte,
//! and ends when its [`Server`] is dropped. This crate speaks to clients only; it knows nothing
//! of targets, probes or metrics.
//!
//! ```
//! use testserver::faults::{self, Fault};
//! use testserver::{
//!     Authority, Certificate, Delivery, Options, Post, Protocol, Server,
//! };
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // One account. `post` is also the test's own view of the mailbox.
//! let post = Post::new();
//! post.add_account("rita", "pass word", &["receivetest@example.test"]);
//! post.insert("rita", "INBOX", b"Subject: not ours\r\n\r\nhands off\r\n");
//!
//! // SMTP without TLS, IMAP with STARTTLS, POP3 with TLS from the first byte.
//! let authority = Authority::new()?; // authority.ca_pem() is what `ca_file` must hold
//! let good = authority.server(Certificate::Good)?;
//! let smtp = Server::start(Protocol::Smtp, &post, Options::new()).await?;
//! let imap = Server::start(Protocol::Imap, &post, Options::new().starttls(&good)).await?;
//! let mut pop3 = Server::start(Protocol::Pop3, &post, Options::new().implicit_tls(&good)).await?;
//! assert_ne!(smtp.port(), imap.port());
//!
//! // The script: greylisted twice; a mail that takes two seconds; a server that dies in FETCH.
//! smtp.faults().times(2, "RCPT", Fault::reply("450 4.2.0 greylisted"));
//! post.deliver_next("rita", Delivery::at_once().after(Duration::from_secs(2)));
//! imap.faults().once("UID FETCH", Fault::Cut(10));
//! imap.faults().on(faults::CREDENTIALS, Fault::reply("{tag} NO not {password}, dear {user}"));
//! imap.faults().leave_out("UIDPLUS");
//! imap.say("* BYE going down\r\n"); // to every open session, at any moment
//! imap.close_sessions();
//! pop3.stop().await; // the port is closed: connection refused
//! pop3.start_again().await?; // the same port
//!
//! // ... run the client, then look at what it did.
//! assert!(post.wait_until(Duration::from_secs(5), |post| {
//!     post.messages("rita", "INBOX").iter().all(|mail| !mail.has_flag("\\Seen"))
//! }).await);
//! assert_eq!(imap.stats().sessions_most, 0);
//! assert!(imap.sessions().iter().all(|session| !session.received_contains(b"pass word")));
//! # Ok(())
//! # }
//! ```
//!
//! Times are tokio's, so they can be paused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use faults::Faults;
use record::{Log, SessionRecord, Stats};
use wire::{End, Met, Wire};

pub use mailbox::{Delivery, Happening, Message, Post};
pub use tls::{Authority, Certificate, ClientPem, ServerTls};

pub mod faults;
pub mod mailbox;
pub mod record;
pub mod tls;

mod imap;
mod jmap;
mod message;
mod pop3;
mod sasl;
mod smtp;
mod wire;

/// The most connections that one server holds open; more are closed as they come.
pub const MAX_CONNECTIONS: usize = 4_096;

/// The pause after an accept that failed (for want of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321 with SIZE, 8BITMIME, PIPELINING, ENHANCEDSTATUSCODES, STARTTLS, AUTH PLAIN LOGIN.
    Smtp,
    /// RFC 3501 with IDLE, UIDPLUS, MOVE, SPECIAL-USE, LITERAL+, SASL-IR, UNSELECT.
    Imap,
    /// RFC 1939 with CAPA, STLS, UIDL, TOP, AUTH PLAIN.
    Pop3,
    /// RFC 8620 and RFC 8621 over HTTP/1.1: reading, taking out, events; Basic and Bearer.
    Jmap,
}

/// The server's end of a connection.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {
    /// Has it end by a reset, and not by a farewell, once it is dropped.
    fn reset_when_dropped(&mut self);
}

impl Connection for TcpStream {
    fn reset_when_dropped(&mut self) {
        drop(self.set_zero_linger());
    }
}

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    listen: SocketAddr,
    tls: Tls,
    clear_text_login: bool,
    login_required: bool,
    exclusive: bool,
    mechanisms: Option<&'static [&'static str]>,
}

#[derive(Debug, Clone)]
enum Tls {
    None,
    ByCommand(ServerTls),
    Implicit(ServerTls),
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// On a free port of 127.0.0.1, without TLS.
    pub fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tls: Tls::None,
            clear_text_login: false,
            login_required: false,
            exclusive: false,
            mechanisms: None,
        }
    }

    /// On this address, as `[::1]:0`; port 0 is any free one.
    pub fn listen(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// With TLS by command (STARTTLS, STLS). Before it no login is offered or accepted.
    pub fn starttls(self, tls: &ServerTls) -> Self {
        Self { tls: Tls::ByCommand(tls.clone()), ..self }
    }

    /// With TLS from the first byte.
    pub fn implicit_tls(self, tls: &ServerTls) -> Self {
        Self { tls: Tls::Implicit(tls.clone()), ..self }
    }

    /// Offers and accepts logins before STARTTLS, too.
    pub fn clear_text_login(self) -> Self {
        Self { clear_text_login: true, ..self }
    }

    /// SMTP: refuses mail from those who did not log in.
    pub fn login_required(self) -> Self {
        Self { login_required: true, ..self }
    }

    /// Offers these SASL mechanisms in place of PLAIN (and LOGIN for SMTP): of PLAIN, LOGIN,
    /// CRAM-MD5, SCRAM-SHA-1, SCRAM-SHA-256, XOAUTH2 and OAUTHBEARER. For the last two the token of
    /// an account is its password.
    pub fn mechanisms(self, mechanisms: &'static [&'static str]) -> Self {
        Self { mechanisms: Some(mechanisms), ..self }
    }

    /// POP3: one session a maildrop; a second one gets `-ERR [IN-USE]`.
    pub fn exclusive(self) -> Self {
        Self { exclusive: true, ..self }
    }
}

/// A server. It runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// `None`: it has no port.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What the sessions of one server share.
#[derive(Debug)]
struct Shared {
    protocol: Protocol,
    options: Options,
    post: Post,
    faults: Faults,
    log: Log,
    commands: broadcast::Sender<Command>,
}

/// What the owner of a server has its open sessions do.
#[derive(Debug, Clone)]
enum Command {
    Say(Arc<str>),
    End(End),
}

impl Server {
    /// The name by which every server greets and stamps mail.
    pub const NAME: &'static str = "demo.mailtrip.test";

    /// Binds the port and starts to serve; `post` is the post office behind it. Fails if the
    /// address cannot be bound.
    pub async fn start(protocol: Protocol, post: &Post, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let shared = Shared::new(protocol, post, options);
        let running = Some(Running::start(listener, shared.clone()));
        Ok(Self { shared, address, running })
    }

    /// A server without a port, to be given its connections by [`Server::serve`].
    pub fn without_port(protocol: Protocol, post: &Post, options: Options) -> Self {
        let address = options.listen;
        Self { shared: Shared::new(protocol, post, options), address, running: None }
    }

    /// Serves one connection of a client at `peer`, from its first byte to its end.
    pub fn serve(
        &self,
        connection: Box<dyn Connection>,
        peer: SocketAddr,
    ) -> impl Future<Output = ()> + Send + use<> {
        serve(Arc::clone(&self.shared), connection, peer)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port of that.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it speaks.
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// Its script.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Its counters.
    pub fn stats(&self) -> Stats {
        self.shared.log.stats()
    }

    /// The newest connections, oldest first, at most [`record::MAX_SESSIONS`].
    pub fn sessions(&self) -> Vec<SessionRecord> {
        self.shared.log.sessions()
    }

    /// Sends `text` as it is to every session that waits for its client.
    pub fn say(&self, text: &str) {
        self.command(Command::Say(text.into()));
    }

    /// Closes every connection (FIN), whatever it is doing; the port stays open.
    pub fn close_sessions(&self) {
        self.command(Command::End(End::Close));
    }

    /// Resets every connection (RST), whatever it is doing; the port stays open.
    pub fn reset_sessions(&self) {
        self.command(Command::End(End::Reset));
    }

    /// Closes the port and every connection; when it returns, connections are refused. Counters,
    /// record and script stay.
    pub async fn stop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.cancel();
            running.tasks.wait().await;
        }
    }

    /// Opens the same port again after [`Server::stop`]. Fails if it was taken meanwhile.
    pub async fn start_again(&mut self) -> io::Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await?;
        self.running = Some(Running::start(listener, self.shared.clone()));
        Ok(())
    }

    /// Waits until `wanted` holds for the counters; false if `limit` passes first.
    pub async fn wait_until(&self, limit: Duration, wanted: impl Fn(&Stats) -> bool) -> bool {
        let mut changes = self.shared.log.changes();
        let seen = async { while !wanted(&self.stats()) && changes.changed().await.is_ok() {} };
        tokio::time::timeout(limit, seen).await.is_ok()
    }

    fn command(&self, command: Command) {
        // Without an open session there is nobody to do it.
        drop(self.shared.commands.send(command));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.cancel();
        }
    }
}

impl Running {
    fn start(listener: TcpListener, shared: Arc<Shared>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, shared, stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        tasks.close();
        Self { stop, tasks }
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let Ok((tcp, peer)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if shared.log.stats().connections_open >= MAX_CONNECTIONS {
            continue;
        }
        drop(tcp.set_nodelay(true));
        let connection = serve(shared.clone(), Box::new(tcp), peer);
        tasks.spawn(stop.clone().run_until_cancelled_owned(connection));
    }
}

/// One connection from its first byte to its end.
async fn serve(shared: Arc<Shared>, connection: Box<dyn Connection>, peer: SocketAddr) {
    let mut commands = shared.commands.subscribe();
    let mut wire = Wire::new(shared, connection, peer);
    let end = tokio::select! {
        end = told_to_end(&mut commands) => end,
        end = Box::pin(converse(&mut wire)) => end,
    };
    wire.finish(end).await;
}

async fn told_to_end(commands: &mut broadcast::Receiver<Command>) -> End {
    loop {
        match commands.recv().await {
            Ok(Command::End(end)) => return end,
            Err(broadcast::error::RecvError::Closed) => return End::Close,
            Ok(Command::Say(_)) | Err(broadcast::error::RecvError::Lagged(_)) => {}
        }
    }
}

async fn converse(wire: &mut Wire) -> End {
    let ended = async {
        if wire.meet(faults::CONNECT).await? == Met::Answered {
            return Err(End::Close);
        }
        if let Tls::Implicit(tls) = wire.shared.options.tls.clone() {
            wire.start_tls(&tls).await?;
        }
        match wire.shared.protocol {
            Protocol::Smtp => smtp::Session::new(wire).run().await,
            Protocol::Imap => imap::Session::new(wire).run().await,
            Protocol::Pop3 => pop3::Session::new(wire).run().await,
            Protocol::Jmap => jmap::Session::new(wire).run().await,
        }
    };
    ended.await.err().unwrap_or(End::Close)
}

impl Shared {
    fn new(protocol: Protocol, post: &Post, options: Options) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            options,
            post: post.clone(),
            faults: Faults::default(),
            log: Log::default(),
            commands: broadcast::Sender::new(16),
        })
    }

    /// Whether a client may log in on a connection that is encrypted, or is not.
    fn accepts_login(&self, encrypted: bool) -> bool {
        encrypted || self.options.clear_text_login || matches!(self.options.tls, Tls::None)
    }

    /// The SASL mechanisms on offer; `usual` are those of a server without options.
    fn mechanisms(&self, usual: &'static [&'static str]) -> &'static [&'static str] {
        self.options.mechanisms.unwrap_or(usual)
    }
}
