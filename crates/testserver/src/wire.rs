//! One connection as a session sees it: lines come in, replies go out, and the faults of the
//! script happen in between. Every buffer is bounded and every wait ends.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_openssl::SslStream;

use super::faults::{self, Fault};
use super::record::TlsRecord;
use super::tls::ServerTls;
use super::{Command, Connection, Shared, Tls};

mod flood;
mod http;
mod login;

/// The longest wait for a client's next bytes (the autologout of RFC 3501, section 5.4).
const READ_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The longest wait for a client to take an answer, or to finish a handshake.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long a closed connection is read further, so that it ends by FIN and not by RST.
const LINGER: Duration = Duration::from_millis(500);
const CHUNK_BYTES: usize = 8 << 10;

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is closed: the dialogue is over, the client left, or the script says so.
    Close,
    /// The connection is reset.
    Reset,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End::Close
    }
}

/// What became of a point of the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The session goes on as it should.
    Proceed,
    /// The script has answered; the command is not executed.
    Answered,
}

/// The connection.
pub(super) struct Wire {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    stream: Stream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// How the next answer is to be spoilt.
    shape: Fault,
    words: Words,
    commands: broadcast::Receiver<Command>,
    record: u64,
    logged_in: bool,
}

/// What the placeholders of a scripted answer stand for.
#[derive(Default)]
struct Words {
    tag: String,
    line: String,
    user: String,
    password: String,
}

enum Stream {
    Plain(Box<dyn Connection>),
    Tls(Box<SslStream<Box<dyn Connection>>>),
    Gone,
}

impl Wire {
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Box<dyn Connection>,
        peer: SocketAddr,
    ) -> Self {
        let record = shared.log.opened(peer);
        let commands = shared.commands.subscribe();
        Self {
            shared,
            peer,
            stream: Stream::Plain(connection),
            input: Vec::new(),
            output: Vec::new(),
            shape: Fault::None,
            words: Words::default(),
            commands,
            record,
            logged_in: false,
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The TLS that a command would start, if the script leaves it in.
    pub(super) fn tls_by_command(&self) -> Option<ServerTls> {
        match &self.shared.options.tls {
            Tls::ByCommand(tls) if !self.is_encrypted() => Some(tls.clone()),
            _ => None,
        }
    }

    /// Appends to the answer.
    pub(super) fn put(&mut self, bytes: impl AsRef<[u8]>) {
        self.output.extend_from_slice(bytes.as_ref());
    }

    /// Sends a line as the whole answer.
    pub(super) async fn reply(&mut self, line: &str) -> Result<(), End> {
        self.put(line);
        self.put("\r\n");
        self.flush().await
    }

    /// Sends the answer, spoilt if the script says so.
    pub(super) async fn flush(&mut self) -> Result<(), End> {
        let mut answer = std::mem::take(&mut self.output);
        match std::mem::replace(&mut self.shape, Fault::None) {
            Fault::Cut(bytes) => {
                answer.truncate(bytes);
                self.send(&answer).await?;
                return Err(End::Close);
            }
            Fault::Drip(pause) => {
                for byte in answer {
                    self.send(&[byte]).await?;
                    self.wait_for(sleep(pause)).await?;
                }
                return Ok(());
            }
            Fault::Before(text) => {
                answer = [self.fill_in(&text).into_bytes(), answer].concat();
            }
            Fault::Append(text) => answer.extend(self.fill_in(&text).into_bytes()),
            Fault::Alter(alteration) => answer = alteration.apply(answer),
            _ => {}
        }
        self.send(&answer).await
    }

    /// Lets the script have its way at a point of the dialogue.
    pub(super) async fn meet(&mut self, point: &str) -> Result<Met, End> {
        let mut fault = self.shared.faults.take(point);
        while let Fault::After(delay, then) = fault {
            self.wait_for(sleep(delay)).await?;
            fault = *then;
        }
        match fault {
            Fault::None | Fault::After(..) => return Ok(Met::Proceed),
            Fault::Held(gate) => {
                return self.wait_for(gate.opened()).await.map(|()| Met::Proceed);
            }
            Fault::Reply(text) => self.send(self.fill_in(&text).as_bytes()).await?,
            Fault::Raw(bytes) => self.send(&bytes).await?,
            Fault::Http(answer) => {
                let written = answer.written(|body| self.filled(body));
                self.send(&written).await?;
            }
            Fault::LastWords(text) => {
                self.send(self.fill_in(&text).as_bytes()).await?;
                return Err(End::Close);
            }
            Fault::Hang => return self.hang().await,
            Fault::Close => return Err(End::Close),
            Fault::Reset => return Err(End::Reset),
            Fault::Garbage => return self.junk(b"\x01\xffjunk of no protocol\0\r\n").await,
            Fault::EndlessLine => return self.junk(b"and so on ").await,
            Fault::RawThenHang(bytes) => {
                self.send(&bytes).await?;
                return self.hang().await;
            }
            Fault::Trickle(bytes, pause) => return self.trickle(&bytes, pause).await,
            Fault::Flood(first, pattern) => return self.flood(&first, &pattern).await,
            Fault::Series(series) => return self.series(&series).await,
            Fault::Cut(_)
            | Fault::Drip(_)
            | Fault::Before(_)
            | Fault::Append(_)
            | Fault::CallError(..)
            | Fault::Alter(_) => {
                self.shape = fault;
                return Ok(Met::Proceed);
            }
        }
        Ok(Met::Answered)
    }

    /// Takes note of a command, for the record and for the script, and lets the script answer it.
    pub(super) async fn meet_command(
        &mut self,
        tag: &str,
        name: &str,
        line: &[u8],
    ) -> Result<Met, End> {
        self.words.tag = tag.to_owned();
        self.words.line = String::from_utf8_lossy(line).into_owned();
        self.shared.log.command(self.record, name, line);
        self.meet(name).await
    }

    /// Greets with a line, unless the script does it.
    pub(super) async fn greet(&mut self, line: &str) -> Result<(), End> {
        match self.meet(faults::GREETING).await? {
            Met::Proceed => self.reply(line).await,
            Met::Answered => Ok(()),
        }
    }

    /// Reads a command of at most `limit` bytes that the script leaves to the server: its name, and the rest
    /// of the line.
    pub(super) async fn command(&mut self, limit: usize) -> Result<(String, String), End> {
        loop {
            let line = self.read_line(limit).await?;
            let text = String::from_utf8_lossy(&line);
            let (name, rest) = text.split_once(' ').unwrap_or((&text, ""));
            let name = name.to_ascii_uppercase();
            if self.meet_command("", &name, &line).await? == Met::Proceed {
                return Ok((name, rest.to_owned()));
            }
        }
    }

    /// Reads a line of at most `limit` bytes and returns it without its end (CRLF or a bare LF).
    /// A longer line ends the session. Dropping the future loses nothing.
    pub(super) async fn read_line(&mut self, limit: usize) -> Result<Vec<u8>, End> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return if line.len() <= limit { Ok(line) } else { Err(End::Close) };
            }
            if self.input.len() > limit {
                return Err(End::Close);
            }
            self.receive().await?;
        }
    }

    /// Reads exactly so many bytes: an IMAP literal, which the caller has found small enough.
    pub(super) async fn read_bytes(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.input.len() < count {
            self.receive().await?;
        }
        Ok(self.input.drain(..count).collect())
    }

    /// The server's side of a TLS handshake. What the client sent in the clear ahead of it is
    /// thrown away (RFC 3207, section 4.2; RFC 2595).
    pub(super) async fn start_tls(&mut self, tls: &ServerTls) -> Result<(), End> {
        self.input.clear();
        if self.meet(faults::TLS_HANDSHAKE).await? == Met::Answered {
            self.hang().await?;
        }
        let Stream::Plain(plain) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(End::Close);
        };
        let session = tls.session().map_err(|_| End::Close)?;
        let mut stream = SslStream::new(session, plain).map_err(|_| End::Close)?;
        let handshake = timeout(WRITE_LIMIT, Pin::new(&mut stream).accept()).await;
        if !matches!(handshake, Ok(Ok(()))) {
            return Err(End::Close);
        }
        let ssl = stream.ssl();
        let record = TlsRecord {
            version: ssl.version_str(),
            server_name: ssl.servername(openssl::ssl::NameType::HOST_NAME).map(str::to_owned),
            resumed: ssl.session_reused(),
            client_certificate: ssl.peer_certificate().is_some(),
        };
        self.shared.log.encrypted(self.record, record);
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// Ends the connection as `end` says.
    pub(super) async fn finish(mut self, end: End) {
        self.log_out();
        match (end, &mut self.stream) {
            (End::Reset, Stream::Plain(plain)) => plain.reset_when_dropped(),
            (End::Reset, Stream::Tls(tls)) => tls.get_mut().reset_when_dropped(),
            (End::Close, stream) => {
                let farewell = async {
                    stream.shutdown().await;
                    let mut rest = vec![0; CHUNK_BYTES];
                    while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {}
                };
                drop(timeout(LINGER, farewell).await);
            }
            (End::Reset, Stream::Gone) => {}
        }
    }

    /// Waits for something, but not longer than the client does.
    pub(super) async fn wait_for(&mut self, event: impl Future<Output = ()>) -> Result<(), End> {
        let client_leaves = async {
            while self.input.len() < CHUNK_BYTES {
                if let Err(end) = self.receive().await {
                    return end;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            end = client_leaves => Err(end),
            () = event => Ok(()),
        }
    }

    /// Reads what has come into the input buffer. Meanwhile sends what the owner of the server wants it to say.
    async fn receive(&mut self) -> Result<(), End> {
        let mut chunk = [0; CHUNK_BYTES];
        let count = loop {
            tokio::select! {
                count = timeout(READ_LIMIT, self.stream.read(&mut chunk)) => break count,
                command = self.commands.recv() => {
                    if let Ok(Command::Say(text)) = command {
                        self.stream.send(text.as_bytes()).await?;
                    }
                }
            }
        };
        let count = count.map_err(|_| End::Close)??;
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Err(End::Close);
        }
        self.shared.log.received(self.record, bytes);
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.stream.send(bytes).await
    }

    fn fill_in(&self, text: &str) -> String {
        let mut filled = self.filled(text);
        if !filled.ends_with("\r\n") {
            filled.push_str("\r\n");
        }
        filled
    }

    fn filled(&self, text: &str) -> String {
        let Words { tag, line, user, password } = &self.words;
        let base64 = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let filled = text.replace("{tag}", tag).replace("{line}", line).replace("{user}", user);
        filled.replace("{password}", password).replace("{base64}", &base64)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.log_out();
        self.shared.log.closed(self.record);
    }
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(plain) => plain.read(buffer).await,
            Stream::Tls(tls) => tls.read(buffer).await,
            Stream::Gone => Ok(0),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), End> {
        let sending: Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> = match self {
            Stream::Plain(plain) => Box::pin(plain.write_all(bytes)),
            Stream::Tls(tls) => Box::pin(async move {
                tls.write_all(bytes).await?;
                tls.flush().await
            }),
            Stream::Gone => return Err(End::Close),
        };
        timeout(WRITE_LIMIT, sending).await.map_err(|_| End::Close)?.map_err(End::from)
    }

    async fn shutdown(&mut self) {
        match self {
            Stream::Plain(plain) => drop(plain.shutdown().await),
            Stream::Tls(tls) => {
                drop(tls.shutdown().await);
                drop(tls.get_mut().shutdown().await);
            }
            Stream::Gone => {}
        }
    }
}
