//! Questions by HTTP/1.1 (RFC 9112) over one connection that is kept, and opened again where the server has
//! closed it between two of them.
//!
//! Not hyper, as for single questions: what is read here is on the record of the mailbox, under the deadlines of
//! its dialogue, timed to the moment at which an answer begins, and played from memory by the search for hostile
//! input. It takes no more of HTTP than a question and its answer.

use std::time::Duration;

use tokio::time::Instant;

use super::framing::{Chunked, Framing};
use super::ways::Ways;
use crate::Fault;
use crate::options::{BracketedHost, Endpoint, TlsMode};
use crate::secret::Secret;
use crate::trace::Trace;
use crate::visit::spoken;
use crate::wire::{Dialer, Wire};
use ledger::{Clue, Failure, Reason, Step};

/// The longest line of a head.
const LINE_BYTES: usize = 16 << 10;
/// The most lines of a head.
const HEAD_LINES: usize = 200;
/// How many interim answers (RFC 9110 section 15.2) come before the one.
const INTERIM: usize = 20;
const AGENT: &str = concat!("mailtrip_exporter/", env!("CARGO_PKG_VERSION"));

/// One connection to a server, or the way to the next one.
pub(super) struct Channel {
    dialer: Dialer,
    trace: Trace,
    end: Instant,
    wire: Option<Wire>,
    /// Whether that has answered before, so that the server may have closed it since.
    is_kept: bool,
    /// The value of the field Authorization, once there is one.
    authorization: Option<Secret>,
    network: Duration,
    asked: Instant,
}

/// What is asked.
pub(super) struct Question<'a> {
    /// The path with its query, beginning with a slash.
    pub(super) path: &'a str,
    /// What is posted, as JSON; `None`: it is a GET.
    pub(super) body: Option<&'a str>,
    /// How it is called in the record.
    pub(super) name: &'a str,
    /// Which media type is wanted.
    pub(super) accept: &'static str,
    /// How many bytes of it are enough.
    pub(super) range: Option<usize>,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The words behind it.
    pub(super) phrase: String,
    /// Where the server sends its client, if it does.
    pub(super) location: Option<String>,
    /// How the server lets its clients in, if it says so.
    pub(super) ways: Ways,
    pub(super) body: Vec<u8>,
    /// Whether the body is longer than was asked for, and the rest of it was not read.
    pub(super) is_cut: bool,
}

/// The head of an answer.
struct Head {
    status: u16,
    phrase: String,
    location: Option<String>,
    ways: Ways,
    framing: Framing,
    /// Whether the server closes the connection after it.
    closes: bool,
}

impl Channel {
    /// Connected already: the first question shows nothing that the connection has not.
    pub(super) async fn open(dialer: &Dialer, trace: Trace, end: Instant) -> Result<Self, Failure> {
        let wire = dialer.dial(trace.clone(), end).await?;
        let dialer = dialer.clone();
        let (network, asked) = (Duration::ZERO, Instant::now());
        let (wire, is_kept, authorization) = (Some(wire), false, None);
        Ok(Self { dialer, trace, end, wire, is_kept, authorization, network, asked })
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// How long the network takes there and back.
    pub(super) fn network(&self) -> Duration {
        self.network
    }

    /// When the newest question was sent.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// How the server is reached, and when that ends.
    pub(super) fn way(&self) -> (Dialer, Instant) {
        (self.dialer.clone(), self.end)
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
    }

    pub(super) fn authorize(&mut self, value: Secret) {
        // Without its scheme.
        self.trace.hide_all_forms(value.expose().rsplit(' ').next().unwrap_or_default());
        self.authorization = Some(value);
    }

    /// The failure of the step under way.
    pub(super) fn fail(&self, fault: Fault) -> Failure {
        self.trace.failure(fault)
    }

    /// Asks, and reads a body of `most` bytes at most. A connection that the server has closed since the last
    /// answer, as it may (RFC 9112 section 9.3.1), is replaced by another one, once.
    ///
    /// # Errors
    /// The connection's; [`Reason::Protocol`] for what is no answer.
    pub(super) async fn ask(
        &mut self,
        step: Step,
        question: &Question<'_>,
        most: usize,
    ) -> Result<Answer, Failure> {
        if let Some(mut wire) = self.wire.take()
            && (!self.is_kept || matches!(wire.has_come().await, Ok(false)))
        {
            self.trace.enter(step);
            match self.exchange(wire, question, most).await {
                Err(failure) if self.is_kept && failure.is_closed() && !failure.down => {
                    self.trace.fact("the connection was closed: connecting again".to_owned());
                }
                outcome => return outcome,
            }
        }
        // Its time is that of the question: the steps of a connection are those of the first one.
        self.trace.enter(step);
        let wire = self.dialer.dial_again(&self.trace, self.end).await?;
        self.exchange(wire, question, most).await
    }

    async fn exchange(
        &mut self,
        mut wire: Wire,
        question: &Question<'_>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let written = self.written(question);
        self.asked = Instant::now();
        wire.send_bytes(written.as_bytes(), question.name).await?;
        let head = read_head(&mut wire).await?;
        let Head { status, phrase, location, ways, mut framing, closes } = head;
        let mut body = Vec::new();
        while !framing.is_over() && body.len() < most {
            if wire.unread().is_empty() {
                match wire.read_more().await {
                    // So it ends where nothing else ends it.
                    Err(failure)
                        if matches!(framing, Framing::UntilClosed) && failure.is_closed() =>
                    {
                        break;
                    }
                    outcome => outcome?,
                }
            }
            let taken = framing.take(wire.unread(), &mut body, most);
            let taken = taken.map_err(|_| wire.fail_protocol(b"a body that is not chunked"))?;
            wire.skip(taken).await?;
        }
        let is_cut = !framing.is_over() && body.len() >= most;
        self.network = wire.network();
        if framing.is_over() && !closes {
            self.wire = Some(wire);
            self.is_kept = true;
        }
        Ok(Answer { status, phrase, location, ways, body, is_cut })
    }

    /// Asks over a connection of its own for a body that goes on, and gives the connection with what is known of
    /// its end; the status if there is none.
    pub(super) fn stream(
        &self,
        question: &Question<'_>,
        end: Instant,
    ) -> impl Future<Output = Result<Result<(Wire, Framing), u16>, Failure>> + Send + use<> {
        // Neither its steps nor its failures are those of the mailbox.
        let (dialer, trace) = (self.dialer.clone(), self.trace.beside());
        let (written, name) = (self.written(question), question.name.to_owned());
        async move {
            let mut wire = dialer.dial(trace, end).await?;
            wire.send_bytes(written.as_bytes(), &name).await?;
            let head = read_head(&mut wire).await?;
            Ok(if head.status == 200 { Ok((wire, head.framing)) } else { Err(head.status) })
        }
    }

    fn written(&self, question: &Question<'_>) -> String {
        let endpoint = self.endpoint();
        let method = if question.body.is_some() { "POST" } else { "GET" };
        let (path, accept, host) = (question.path, question.accept, authority(endpoint));
        let mut written = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {AGENT}\r\nAccept: {accept}\r\n\
             Accept-Encoding: identity\r\n"
        );
        if let Some(last) = question.range.and_then(|count| count.checked_sub(1)) {
            written += &format!("Range: bytes=0-{last}\r\n");
        }
        if let Some(authorization) = &self.authorization {
            written += &format!("Authorization: {}\r\n", authorization.expose());
        }
        match question.body {
            Some(body) => {
                written += &format!(
                    "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
            None => written += "\r\n",
        }
        written
    }
}

/// The host as a question and a URL have it; the port that its scheme implies is left out.
pub(super) fn authority(endpoint: &Endpoint) -> String {
    let host = BracketedHost(endpoint.name());
    let implied = if endpoint.tls == TlsMode::None { 80 } else { 443 };
    match endpoint.port {
        port if port == implied => host.to_string(),
        port => format!("{host}:{port}"),
    }
}

/// The head of the answer that is no interim one.
async fn read_head(wire: &mut Wire) -> Result<Head, Failure> {
    for _ in 0..INTERIM {
        let line = wire.read_line(LINE_BYTES).await?;
        let Some((is_newest, status, phrase)) = status(&line) else {
            let clue = spoken(&line).map(|other| Clue::OtherProtocol(other.label()));
            return Err(Failure { clue, ..wire.fail_protocol(&line) });
        };
        let mut fields = Fields::default();
        let mut lines = 0;
        loop {
            // Unseen: a cookie is a secret.
            let line = wire.read_line_unseen(LINE_BYTES).await?;
            if line.is_empty() {
                break;
            }
            lines += 1;
            if lines > HEAD_LINES {
                // What follows is not the body.
                let message = format!("an answer with more than {HEAD_LINES} lines of head");
                return Err(wire.fail(Fault::new(Reason::Protocol, message)));
            }
            fields.read(&line);
        }
        if !(100..200).contains(&status) {
            let framing = fields.framing(status).map_err(|what| {
                wire.fail(Fault::new(Reason::Protocol, format!("an answer with {what}")))
            })?;
            let closes = fields.closes || !is_newest || matches!(framing, Framing::UntilClosed);
            let Fields { location, ways, .. } = fields;
            return Ok(Head { status, phrase, location, ways, framing, closes });
        }
    }
    Err(wire.fail(Fault::new(Reason::Protocol, "interim answers without end")))
}

/// Whether it is HTTP/1.1, the status, and the words behind it.
fn status(line: &[u8]) -> Option<(bool, u16, String)> {
    let (is_newest, rest) = match line.strip_prefix(b"HTTP/1.1 ") {
        Some(rest) => (true, rest),
        None => (false, line.strip_prefix(b"HTTP/1.0 ")?),
    };
    let digits = rest.get(..3).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let status = std::str::from_utf8(digits).ok()?.parse().ok().filter(|it| *it >= 100)?;
    let phrase = rest.get(3..).unwrap_or_default().trim_ascii();
    Some((is_newest, status, String::from_utf8_lossy(phrase).into_owned()))
}

/// The fields of a head that matter.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    location: Option<String>,
    ways: Ways,
    /// What makes the answer unreadable.
    flaw: Option<&'static str>,
}

impl Fields {
    fn read(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let Some((name, value)) = text.split_once(':') else { return };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let is_number =
                    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let length = value.parse().ok().filter(|_| is_number);
                if length.is_none() || self.length.is_some_and(|known| Some(known) != length) {
                    self.flaw = Some("no good Content-Length");
                }
                self.length = length;
            }
            "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => self.is_chunked = true,
            "transfer-encoding" => self.flaw = Some("a Transfer-Encoding that was not asked for"),
            "content-encoding" if !value.eq_ignore_ascii_case("identity") => {
                self.flaw = Some("a Content-Encoding that was not asked for");
            }
            "connection" => {
                let mut words = value.split(',');
                self.closes |= words.any(|word| word.trim().eq_ignore_ascii_case("close"));
            }
            "www-authenticate" => self.ways.read(value),
            "location" => self.location = Some(value.to_owned()),
            _ => {}
        }
    }

    fn framing(&self, status: u16) -> Result<Framing, &'static str> {
        match (self.flaw, self.length) {
            _ if status == 204 || status == 304 => Ok(Framing::Length(0)),
            (Some(flaw), _) => Err(flaw),
            (None, Some(_)) if self.is_chunked => Err("a Content-Length beside its chunks"),
            (None, _) if self.is_chunked => Ok(Framing::Chunked(Chunked::default())),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::UntilClosed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing_of(fields: &[&str]) -> Result<Framing, &'static str> {
        let mut read = Fields::default();
        fields.iter().for_each(|field| read.read(field.as_bytes()));
        read.framing(200)
    }

    #[test]
    fn an_answer_whose_end_is_told_in_two_ways_is_none() {
        assert!(matches!(framing_of(&["Content-Length: 7"]), Ok(Framing::Length(7))));
        assert!(matches!(framing_of(&["transfer-encoding: Chunked"]), Ok(Framing::Chunked(_))));
        assert!(matches!(framing_of(&["X: y", "no field"]), Ok(Framing::UntilClosed)));
        for bad in [
            &["Content-Length: 7", "Content-Length: 8"][..],
            &["Content-Length: 7", "Transfer-Encoding: chunked"],
            &["Content-Length: +7"],
            &["Content-Length: "],
            &["Transfer-Encoding: gzip, chunked"],
            &["Content-Encoding: gzip"],
        ] {
            assert!(framing_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_status_line_is_that_of_http_1() {
        assert_eq!(status(b"HTTP/1.1 200 OK"), Some((true, 200, "OK".to_owned())));
        assert_eq!(status(b"HTTP/1.0 401"), Some((false, 401, String::new())));
        for bad in
            ["* OK ready", "HTTP/1.1 20", "HTTP/1.1 +20 OK", "HTTP/2 200", "HTTP/1.1 099", ""]
        {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }
}
