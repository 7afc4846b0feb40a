//! Lines and literals over a connection: bounded, under a deadline, on the record.

use std::sync::Arc;
use std::time::Duration;

use openssl::x509::X509;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use command::beginning;
pub use dialer::{ConnectionContext, Dialer};
use ending::too_late;
use network::Answers;

use super::trace::Trace;
use super::{Failure, Fault, Reason};
use crate::net::Stream;
use crate::secret::Secret;
use crate::text::harmless;

mod command;
mod dialer;
mod ending;
mod network;

/// How long what has come may take to be read.
const AT_HAND: Duration = Duration::from_millis(20);
/// How much is read from the connection at once.
const CHUNK: usize = 4096;

/// An open connection.
pub struct Wire {
    stream: Stream,
    /// What was read; the first `consumed` bytes of it are done with.
    input: Vec<u8>,
    consumed: usize,
    timeout: Duration,
    /// When the reply that is waited for must be complete.
    deadline: Instant,
    /// When the whole dialogue must be over.
    end: Instant,
    /// Whether the server has said anything yet.
    heard: bool,
    /// Whether TLS was begun and nothing has come under it yet.
    is_new_to_tls: bool,
    /// The command whose answer is waited for; `None` before the greeting.
    asked_for: Option<Arc<str>>,
    /// Since when.
    asked: Instant,
    answers: Answers,
    /// Why the certificate would be refused, where the options accept any.
    objection: Option<Box<Fault>>,
    trace: Trace,
}

impl Wire {
    /// The record of this dialogue.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The command whose answer is read, secrets replaced.
    pub fn asked_for(&self) -> &str {
        self.asked_for.as_deref().unwrap_or("the connection")
    }

    /// Whether the connection is under TLS.
    pub fn is_protected(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// The certificates that the server has shown, its own first; none without TLS.
    pub fn certificates(&self) -> Vec<X509> {
        let Stream::Tls(stream) = &self.stream else { return Vec::new() };
        let shown = stream.ssl().peer_cert_chain().into_iter().flatten();
        shown.map(ToOwned::to_owned).collect()
    }

    /// Why its own would be refused, where the options accept any.
    pub fn objection(&self) -> Option<&Fault> {
        self.objection.as_deref()
    }

    /// This side's address, for an address literal.
    pub fn local_address(&self) -> Option<std::net::IpAddr> {
        self.stream.socket().local_addr().ok().map(|address| address.ip())
    }

    /// How long the network takes there and back, as measured by the answers on this connection; zero before
    /// the first.
    pub fn network(&self) -> Duration {
        self.answers.typical()
    }

    /// When the newest command was sent.
    pub fn asked(&self) -> Instant {
        self.asked
    }

    /// Moves the end of the whole dialogue, for a session that is held.
    pub fn set_end(&mut self, end: Instant) {
        self.end = end;
    }

    /// Allows the next reply this long, if the dialogue lasts that long.
    pub fn expect_reply_within(&mut self, timeout: Duration) {
        self.asked = Instant::now();
        self.deadline = self.end.min(self.asked + timeout);
    }

    /// Allows the next reply and each after it this long.
    pub fn wait_up_to(&mut self, timeout: Duration) {
        self.timeout = timeout;
        self.expect_reply_within(timeout);
    }

    /// Sends one command line; `line` comes without its end and must hold no secret.
    ///
    /// # Errors
    /// The connection's, in the step under way.
    pub async fn send(&mut self, line: &str) -> Result<(), Failure> {
        self.send_secret(line, line).await
    }

    /// Sends one command line of which only `shown` may be seen.
    ///
    /// # Errors
    /// The connection's, in the step under way.
    pub async fn send_secret(&mut self, line: &str, shown: &str) -> Result<(), Failure> {
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        self.send_bytes(&bytes, shown).await
    }

    /// Sends a command with what follows it, if anything does, as a secret.
    ///
    /// # Errors
    /// The connection's, in the step under way.
    pub async fn send_with(&mut self, command: &str, secret: Option<&str>) -> Result<(), Failure> {
        match secret {
            Some(secret) => {
                let shown = format!("{command} {}", Secret::SHOWN);
                self.send_secret(&format!("{command} {secret}"), &shown).await
            }
            None => self.send(command).await,
        }
    }

    /// Sends bytes as they are; the transcript shows `shown` in their place.
    ///
    /// # Errors
    /// The connection's, in the step under way.
    pub async fn send_bytes(&mut self, bytes: &[u8], shown: &str) -> Result<(), Failure> {
        self.trace.sent(shown);
        // A secret goes on with the command before it.
        if shown != Secret::SHOWN {
            // A name of a folder in it is a word of the server.
            self.asked_for = Some(harmless(beginning(shown).as_bytes()).into());
        }
        self.answers.asked(Instant::now());
        self.send_more(bytes, shown).await
    }

    /// Sends more of what the last call has begun to send, which is `shown`, and gives it as much time again.
    ///
    /// # Errors
    /// The connection's, in the step under way.
    pub async fn send_more(&mut self, bytes: &[u8], shown: &str) -> Result<(), Failure> {
        self.expect_reply_within(self.timeout);
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout_at(self.deadline, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.not_sent(shown, &error)),
            Err(_) => Err(self.not_taken(shown)),
        }
    }

    /// The next line without its end (CRLF, or a bare LF as some servers write), noted in the
    /// transcript.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`], [`Reason::Protocol`] for a line of more than
    /// `most` bytes, its CR counted.
    pub async fn read_line(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let line = self.read_line_unseen(most).await?;
        self.trace.received(&line);
        Ok(line)
    }

    /// The same without a note, for what is no dialogue: headers, long listings. Cancelling it loses
    /// nothing.
    ///
    /// # Errors
    /// As [`Wire::read_line`].
    pub async fn read_line_unseen(&mut self, most: usize) -> Result<Vec<u8>, Failure> {
        let (line, is_whole) = self.read_line_piece(most).await?;
        if !is_whole {
            let message = format!("a line of more than {most} bytes");
            return Err(self.fail(Fault::new(Reason::Protocol, message)));
        }
        Ok(line)
    }

    /// The next line or, of a longer one, the next `most` bytes, and whether the line ends with them: for
    /// a line that need not be held as a whole. Nothing is noted, and cancelling it loses nothing.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`].
    pub async fn read_line_piece(&mut self, most: usize) -> Result<(Vec<u8>, bool), Failure> {
        let mut searched = 0;
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            let unsearched = pending.get(searched..).unwrap_or_default();
            let end = unsearched.iter().position(|byte| *byte == b'\n').map(|at| searched + at);
            // Whether more of it has come must not matter.
            if let Some(end) = end.filter(|end| *end <= most) {
                let line = pending.get(..end).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.consume(end + 1);
                return Ok((line, true));
            }
            searched = pending.len();
            // At just the most, the end of the line may be what comes next.
            if searched > most {
                let piece = pending.get(..most).unwrap_or_default().to_vec();
                self.consume(most);
                return Ok((piece, false));
            }
            self.fill().await?;
        }
    }

    /// The next line, of which at most `keep` bytes are kept and the rest is dropped: for what others
    /// may have written, as the header of a mail.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`].
    pub async fn read_line_cut(&mut self, keep: usize) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        loop {
            let pending = self.input.get(self.consumed..).unwrap_or_default();
            let end = pending.iter().position(|byte| *byte == b'\n');
            let part = pending.get(..end.unwrap_or(pending.len())).unwrap_or_default();
            let room = keep.saturating_sub(line.len());
            line.extend_from_slice(part.get(..room).unwrap_or(part));
            let consumed = part.len() + usize::from(end.is_some());
            self.consume(consumed);
            if end.is_some() {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            self.fill().await?;
        }
    }

    /// Exactly `count` bytes; the caller bounds `count`.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`].
    pub async fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        while self.pending() < count {
            self.fill().await?;
        }
        let bytes =
            self.input.get(self.consumed..self.consumed + count).unwrap_or_default().to_vec();
        self.consume(count);
        Ok(bytes)
    }

    /// Waits for more of the reply than was read of it.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`].
    pub async fn read_more(&mut self) -> Result<(), Failure> {
        self.fill().await
    }

    /// What has come and was not read.
    pub fn unread(&self) -> &[u8] {
        self.input.get(self.consumed..).unwrap_or_default()
    }

    /// Reads `count` bytes and drops them.
    ///
    /// # Errors
    /// [`Reason::Timeout`], [`Reason::Closed`].
    pub async fn skip(&mut self, mut count: usize) -> Result<(), Failure> {
        while count > 0 {
            if self.pending() == 0 {
                self.fill().await?;
            }
            let step = count.min(self.pending());
            self.consume(step);
            count -= step;
        }
        Ok(())
    }

    /// Waits until the server says something or `until` has come; `true` if it did before. Cancelling
    /// it loses nothing.
    ///
    /// # Errors
    /// [`Reason::Closed`], or what else ended the connection.
    pub async fn wait_for_input(&mut self, until: Instant) -> Result<bool, Failure> {
        self.deadline = until.min(self.end);
        if self.is_over() {
            return Ok(false);
        }
        if self.pending() > 0 {
            return Ok(true);
        }
        match timeout_at(self.deadline, self.read_chunk()).await {
            Ok(outcome) => outcome.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Turns the connection into a protected one, after the server agreed to it.
    ///
    /// # Errors
    /// [`Reason::Protocol`] if the server sent anything after its agreement: it would be read as if
    /// it had come under TLS (the STARTTLS response injection). Else the handshake's.
    pub async fn start_tls(mut self, dialer: &Dialer) -> Result<Wire, Failure> {
        if self.has_come().await? {
            let message = "the server sent more in the clear after it agreed to TLS; \
                           somebody may be tampering with the connection";
            return Err(self.fail(Fault::new(Reason::Protocol, message)));
        }
        self.protect(dialer).await
    }

    /// The failure of the step under way.
    pub fn fail(&self, fault: Fault) -> Failure {
        self.trace.failure(fault)
    }

    /// The failure of a server that answers something else than the protocol says.
    pub fn fail_protocol(&self, line: &[u8]) -> Failure {
        let words = self.trace.words(line);
        let message = match &self.asked_for {
            Some(command) => format!("unexpected answer to {command}: {words}"),
            None => format!("unexpected greeting: {words}"),
        };
        self.fail(Fault::new(Reason::Protocol, message))
    }

    async fn protect(self, dialer: &Dialer) -> Result<Wire, Failure> {
        let (Stream::Plain(socket), Some(tls)) = (self.stream, &dialer.tls) else {
            let message = "TLS was asked for twice, or is not configured";
            return Err(self.trace.failure(Fault::new(Reason::Tls, message)));
        };
        let deadline = self.end.min(Instant::now() + self.timeout);
        let handshake =
            tls.handshake(&dialer.endpoint, socket, deadline, dialer.resumption()).await;
        if let Some(facts) = handshake.facts {
            self.trace.tls(facts);
        }
        let objection = handshake.objection.map(Box::new);
        let stream = handshake.outcome.map_err(|fault| {
            self.trace.failure(too_late(fault, "no TLS", &self.trace, self.end, deadline))
        })?;
        Ok(Wire { stream: Stream::Tls(Box::new(stream)), is_new_to_tls: true, objection, ..self })
    }

    /// Whether the server has said more than was read, as far as that has come to this host.
    ///
    /// # Errors
    /// [`Reason::Closed`], or what else ended the connection.
    pub async fn has_come(&mut self) -> Result<bool, Failure> {
        if self.pending() > 0 || self.stream.is_silent() {
            return Ok(self.pending() > 0);
        }
        // Under TLS it need not be anything that the server has said.
        let deadline = self.deadline;
        let outcome = self.wait_for_input(Instant::now() + AT_HAND).await;
        self.deadline = deadline;
        outcome
    }

    fn pending(&self) -> usize {
        self.input.len().saturating_sub(self.consumed)
    }

    fn consume(&mut self, count: usize) {
        self.consumed += count;
        if self.consumed >= self.input.len() {
            // A held session keeps no buffer between two replies.
            self.input = Vec::new();
            self.consumed = 0;
        }
    }

    /// Whether the time is over. A timer beside a read is asked only where the read has to wait: a
    /// server that always has more to say would outrun it.
    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn fill(&mut self) -> Result<(), Failure> {
        if self.is_over() {
            return Err(self.too_late());
        }
        match timeout_at(self.deadline, self.read_chunk()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.too_late()),
        }
    }

    /// Room for the next read; a line that grows doubles nothing.
    fn make_room(&mut self) {
        let held = self.input.len();
        if self.input.capacity() - held < CHUNK {
            self.input.reserve_exact(CHUNK.max(held / 4));
        }
    }

    async fn read_chunk(&mut self) -> Result<(), Failure> {
        if self.consumed > 0 {
            self.input.drain(..self.consumed);
            self.consumed = 0;
        }
        self.stream.acknowledge_at_once();
        self.make_room();
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) => Err(self.closed()),
            Ok(_) => {
                if !std::mem::replace(&mut self.heard, true) {
                    self.trace.is_heard();
                }
                self.is_new_to_tls = false;
                self.answers.came(Instant::now());
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
