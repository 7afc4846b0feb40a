//! Events that a server sends by itself (RFC 8620 section 7.3): the state that the mails of the account have come to.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::Jmap;
use super::channel::Question;
use super::few::Members;
use super::framing::{Framing, NotChunked};
use super::resource::expand;
use crate::wire::Wire;
use crate::{Fault, Interrupted, Refusal, RefusalScope};
use ledger::{Failure, Reason};

/// The longest event.
const EVENT_BYTES: usize = 64 << 10;
/// How many accounts are read of one event: more than it has room for.
const ACCOUNTS: usize = 8192;
/// How many types are read of one account.
const TYPES: usize = 100;
/// How long lies between two signs of life, if the server does not tell otherwise; that is what it is asked for.
const PING: Duration = Duration::from_secs(60);
/// What it may tell, in seconds (RFC 8620 section 7.3 has servers keep to 30 to 300).
const INTERVALS: RangeInclusive<u64> = 1..=300;
/// After so many signs of life that have not come nobody is there any more.
const MISSED: u32 = 3;
/// How often what has come is taken in search of what tells something, where nobody waits for it.
const TAKES: usize = 100;

impl Jmap {
    /// Opens the stream of its events over a connection of its own, which ends at `end`, beside whatever else is asked.
    ///
    /// # Errors
    /// The connection's; a refusal where the server has none after all.
    pub fn events(
        &self,
        end: Instant,
    ) -> impl Future<Output = Result<Events, Interrupted>> + Send + use<> {
        let resource = self.resource.as_ref();
        let account = resource.map(|resource| resource.account.clone()).unwrap_or_default();
        let template = resource.and_then(|it| it.events.as_deref()).unwrap_or_default();
        let ping = PING.as_secs().to_string();
        let values = [("types", "Email,EmailDelivery"), ("closeafter", "no"), ("ping", &ping)];
        let (path, accept) = (expand(template, &values), "text/event-stream");
        let question =
            Question { path: &path, body: None, name: "GET events", accept, range: None };
        // What follows is said elsewhere.
        self.trace().sent(question.name);
        let stream = self.channel.stream(&question, end);
        let until = end.min(Instant::now() + self.channel.endpoint().timeout);
        let trace = self.trace().beside();
        let fail = move |reason, message: String| trace.failure(Fault::new(reason, message));
        async move {
            match tokio::time::timeout_at(until, stream).await {
                Ok(Ok(Ok((wire, framing)))) => Ok(Events::new(wire, framing, account)),
                Ok(Ok(Err(status))) => {
                    let message = format!("no events of the server: HTTP {status}");
                    Err(match status {
                        // The login has come to its end, or it is too much at the moment.
                        401 | 408 | 429 | 500 | 502..=599 => {
                            Interrupted::Broken(fail(Reason::Deferred, message))
                        }
                        _ => Interrupted::Refused(Refusal {
                            failure: fail(Reason::Other, message),
                            scope: RefusalScope::Server,
                        }),
                    })
                }
                Ok(Err(failure)) => Err(failure.into()),
                Err(_) => {
                    let message = "no events of the server in time".to_owned();
                    Err(Interrupted::Broken(fail(Reason::Timeout, message)))
                }
            }
        }
    }
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The state that the mails of the account have come to, if it tells that.
    pub state: Option<String>,
    /// Whether a mail has come in (RFC 8621 section 1.5), which is not said of flags, moves and removals.
    pub is_delivery: bool,
}

/// An open stream of events.
pub struct Events {
    wire: Wire,
    framing: Framing,
    reader: EventReader,
    account: String,
    /// When anything has come last.
    heard: Instant,
    interval: Duration,
}

impl Events {
    pub(super) fn new(wire: Wire, framing: Framing, account: String) -> Self {
        let (reader, heard) = (EventReader::default(), Instant::now());
        Self { wire, framing, reader, account, heard, interval: PING }
    }

    /// Waits until an event tells something of the mails, or until `until`. Cancelling it loses nothing.
    ///
    /// # Errors
    /// The connection's; [`Reason::Timeout`] for a server that gives no sign of life any more, [`Reason::Protocol`] for
    /// what is no stream of events.
    pub async fn next(&mut self, until: Instant) -> Result<Option<Told>, Failure> {
        loop {
            if let Some(told) = self.next_read() {
                return Ok(Some(told));
            }
            if self.framing.is_over() {
                let message = "the server has ended its events";
                return Err(self.wire.fail(Fault::new(Reason::Closed, message)));
            }
            let silent_at = self.heard + self.interval * MISSED;
            if Instant::now() >= silent_at {
                // What has come while nobody listened is a sign of life.
                if !self.wire.has_come().await? {
                    let message = "the events of the server have no sign of life any more";
                    return Err(self.wire.fail(Fault::new(Reason::Timeout, message)));
                }
            } else if !self.wire.wait_for_input(until.min(silent_at)).await? {
                if Instant::now() >= silent_at && silent_at < until {
                    continue;
                }
                return Ok(None);
            }
            self.take().await?;
        }
    }

    /// What an event tells that has come already, if there is one; what is wrong with the stream the next call of
    /// [`Events::next`] says. Where much that tells nothing lies before it, that call gives it. Cancelling it loses
    /// nothing.
    pub async fn at_hand(&mut self) -> Option<Told> {
        for _ in 0..TAKES {
            if let Some(told) = self.next_read() {
                return Some(told);
            }
            if self.framing.is_over() || !matches!(self.wire.has_come().await, Ok(true)) {
                return None;
            }
            self.take().await.ok()?;
        }
        None
    }

    /// Takes what has come.
    async fn take(&mut self) -> Result<(), Failure> {
        self.heard = Instant::now();
        let taken = self.reader.take(&mut self.framing, self.wire.unread());
        let taken = taken.map_err(|what| self.wire.fail(Fault::new(Reason::Protocol, what)))?;
        // It is there: this does not wait.
        self.wire.skip(taken).await
    }

    /// What the next event tells that was taken.
    fn next_read(&mut self) -> Option<Told> {
        while let Some((kind, data)) = self.reader.next_event() {
            match kind {
                Kind::State => {
                    if let Some(told) = told_by(&data, &self.account) {
                        return Some(told);
                    }
                }
                Kind::Ping => self.interval = interval_of(&data).unwrap_or(self.interval),
            }
        }
        None
    }
}

/// What kind of event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    State,
    Ping,
}

/// What is read of a stream of events.
#[derive(Default)]
struct EventReader {
    /// What no line has ended yet, and the lines behind.
    pending: Vec<u8>,
    /// How much of it is known to end no line.
    searched: usize,
    kind: Option<Kind>,
    data: Vec<u8>,
}

impl EventReader {
    fn take(&mut self, framing: &mut Framing, input: &[u8]) -> Result<usize, &'static str> {
        if self.pending.len() >= EVENT_BYTES || self.data.len() >= EVENT_BYTES {
            return Err("an event without end");
        }
        let taken = framing.take(input, &mut self.pending, EVENT_BYTES);
        taken.map_err(|NotChunked| "events in no chunks")
    }

    /// The next event of these kinds, out of what was taken, with its data.
    fn next_event(&mut self) -> Option<(Kind, Vec<u8>)> {
        let mut done = 0;
        let mut event = None;
        while event.is_none() {
            let from = self.searched.max(done);
            let rest = self.pending.get(from..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.pending.len();
                break;
            };
            let line = self.pending.get(done..from + end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            done = from + end + 1;
            self.searched = done;
            event = self.read(&line);
        }
        self.pending.drain(..done);
        self.searched -= done;
        event
    }

    /// One line; gives the event that ends with it.
    fn read(&mut self, line: &[u8]) -> Option<(Kind, Vec<u8>)> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return self.kind.take().map(|kind| (kind, data));
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let value = colon.and_then(|colon| line.get(colon + 1..)).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => {
                self.kind = match value {
                    b"state" => Some(Kind::State),
                    b"ping" => Some(Kind::Ping),
                    _ => None,
                }
            }
            b"data" => self.data.extend_from_slice(value),
            _ => {}
        }
        None
    }
}

#[derive(Deserialize)]
struct StateChange {
    #[serde(default)]
    changed: Members<Members<String, TYPES>, ACCOUNTS>,
}

#[derive(Deserialize)]
struct Ping {
    interval: u64,
}

/// What an event tells of the mails of this account.
fn told_by(event: &[u8], account: &str) -> Option<Told> {
    let change: StateChange = serde_json::from_slice(event).ok()?;
    let (_, types) = change.changed.0.into_iter().find(|(id, _)| id == account)?;
    let mut told = Told { state: None, is_delivery: false };
    for (name, state) in types.0 {
        match name.as_str() {
            "Email" => told.state = Some(state),
            "EmailDelivery" => told.is_delivery = true,
            _ => {}
        }
    }
    (told.is_delivery || told.state.is_some()).then_some(told)
}

/// How long lies between two signs of life, as the server tells with each.
fn interval_of(ping: &[u8]) -> Option<Duration> {
    let Ping { interval } = serde_json::from_slice(ping).ok()?;
    INTERVALS.contains(&interval).then(|| Duration::from_secs(interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Cyrus writes it, with a ping between.
    const STREAM: &[u8] = b": hello\r\n\r\nevent: ping\ndata: {\"interval\":30}\n\nid: 12\nevent: state\n\
        data: {\"@type\":\"StateChange\",\ndata: \"changed\":{\"anna\":{\"Mailbox\":\"11\",\"Email\":\"12\"}}}\n\n\
        event: state\ndata: {\"changed\":{\"other\":{\"Email\":\"13\"}}}\n\n";

    fn told(step: usize) -> Vec<Option<Told>> {
        let (mut reader, mut framing) = (EventReader::default(), Framing::UntilClosed);
        let mut told = Vec::new();
        for piece in STREAM.chunks(step) {
            assert_eq!(reader.take(&mut framing, piece), Ok(piece.len()));
            while let Some((kind, data)) = reader.next_event() {
                match kind {
                    Kind::State => told.push(told_by(&data, "anna")),
                    Kind::Ping => assert_eq!(interval_of(&data), Some(Duration::from_secs(30))),
                }
            }
        }
        told
    }

    #[test]
    fn events_are_read_from_whatever_pieces_they_come_in() {
        let state = Told { state: Some("12".to_owned()), is_delivery: false };
        for step in 1..STREAM.len() {
            assert_eq!(told(step), [Some(state.clone()), None], "{step}");
        }
    }

    #[test]
    fn a_mail_that_comes_in_is_told_from_what_becomes_of_the_others() {
        let told = |types: &str| {
            told_by(format!(r#"{{"changed":{{"anna":{{{types}}}}}}}"#).as_bytes(), "anna")
        };
        let (state, both) = (Some("5".to_owned()), r#""Email":"5","EmailDelivery":"3""#);
        assert_eq!(told(both), Some(Told { state: state.clone(), is_delivery: true }));
        assert_eq!(told(r#""Email":"5""#), Some(Told { state, is_delivery: false }));
        let delivery = Told { state: None, is_delivery: true };
        assert_eq!(told(r#""EmailDelivery":"3""#), Some(delivery));
        assert_eq!(told(r#""Mailbox":"3""#), None);
        let others: Vec<String> =
            (0..500).map(|it| format!(r#""u{it}":{{"Email":"1"}}"#)).collect();
        let event = format!(r#"{{"changed":{{{},"anna":{{"Email":"5"}}}}}}"#, others.join(","));
        assert!(told_by(event.as_bytes(), "anna").is_some(), "behind whatever others");
    }

    /// A line is not searched from its beginning for each byte that comes.
    #[test]
    fn a_line_that_grows_is_searched_once() {
        let (mut reader, mut framing) = (EventReader::default(), Framing::UntilClosed);
        for count in 1..100 {
            reader.take(&mut framing, b"a").unwrap();
            assert!(reader.next_event().is_none());
            assert_eq!(reader.searched, count);
        }
        reader.take(&mut framing, b"\nevent: ping\n\n").unwrap();
        assert_eq!(reader.next_event(), Some((Kind::Ping, Vec::new())));
        assert_eq!((reader.pending.len(), reader.searched), (0, 0));
    }

    #[test]
    fn an_event_without_end_ends_the_stream() {
        for line in
            [vec![b'a'; 9000], b"data: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(200)]
        {
            let (mut reader, mut framing) = (EventReader::default(), Framing::UntilClosed);
            let outcome = (0..40).find_map(|_| {
                let outcome = reader.take(&mut framing, &line).err();
                assert!(reader.next_event().is_none());
                outcome
            });
            assert_eq!(outcome, Some("an event without end"));
            assert!(reader.pending.len() + reader.data.len() <= 3 * EVENT_BYTES);
        }
    }
}
