//! Events that a server sends by itself (RFC 8620 section 7.3): the state that the mails of the account have come to.

use serde::Deserialize;
use tokio::time::Instant;

use super::few::Members;
use super::framing::{Framing, NotChunked};
use crate::Fault;
use crate::wire::Wire;
use ledger::{Failure, Reason};

/// The longest event.
const EVENT_BYTES: usize = 64 << 10;
/// How many accounts, and types, are read of one event.
const LISTED: usize = 100;

/// An open stream of events.
pub struct Events {
    wire: Wire,
    framing: Framing,
    reader: EventReader,
    account: String,
}

impl Events {
    pub(super) fn new(wire: Wire, framing: Framing, account: String) -> Self {
        Self { wire, framing, reader: EventReader::default(), account }
    }

    /// Waits until an event tells a new state of the mails, and gives it, or until `until`. Cancelling it loses
    /// nothing.
    ///
    /// # Errors
    /// The connection's; [`Reason::Protocol`] for what is no stream of events.
    pub async fn next(&mut self, until: Instant) -> Result<Option<String>, Failure> {
        loop {
            while let Some(event) = self.reader.next_event() {
                if let Some(state) = state_of(&event, &self.account) {
                    return Ok(Some(state));
                }
            }
            if self.framing.is_over() {
                let message = "the server has ended its events";
                return Err(self.wire.fail(Fault::new(Reason::Closed, message)));
            }
            if !self.wire.wait_for_input(until).await? {
                return Ok(None);
            }
            let taken = self.reader.take(&mut self.framing, self.wire.unread());
            let taken = taken.map_err(|what| self.wire.fail(Fault::new(Reason::Protocol, what)))?;
            // It is there: this does not wait.
            self.wire.skip(taken).await?;
        }
    }
}

/// What is read of a stream of events.
#[derive(Default)]
struct EventReader {
    /// What no line has ended yet, and the lines behind.
    pending: Vec<u8>,
    is_state: bool,
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

    /// The data of the next event of a state, out of what was taken.
    fn next_event(&mut self) -> Option<Vec<u8>> {
        let mut done = 0;
        let mut event = None;
        while let Some(rest) = self.pending.get(done..)
            && let Some(end) = rest.iter().position(|byte| *byte == b'\n')
        {
            let line = rest.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            done += end + 1;
            event = self.read(&line);
            if event.is_some() {
                break;
            }
        }
        self.pending.drain(..done);
        event
    }

    /// One line; gives the data of an event of a state that ends with it.
    fn read(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.is_state).then_some(data);
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let value = colon.and_then(|colon| line.get(colon + 1..)).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.is_state = value == b"state",
            b"data" => self.data.extend_from_slice(value),
            _ => {}
        }
        None
    }
}

#[derive(Deserialize)]
struct StateChange {
    #[serde(default)]
    changed: Members<Members<String, LISTED>, LISTED>,
}

/// The state of the mails of this account, if the event tells it.
fn state_of(event: &[u8], account: &str) -> Option<String> {
    let change: StateChange = serde_json::from_slice(event).ok()?;
    let (_, types) = change.changed.0.into_iter().find(|(id, _)| id == account)?;
    types.0.into_iter().find(|(name, _)| name == "Email").map(|(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Cyrus writes it, with a ping between.
    const STREAM: &[u8] = b": hello\r\n\r\nevent: ping\ndata: {\"interval\":30}\n\nid: 12\nevent: state\n\
        data: {\"@type\":\"StateChange\",\ndata: \"changed\":{\"anna\":{\"Mailbox\":\"11\",\"Email\":\"12\"}}}\n\n\
        event: state\ndata: {\"changed\":{\"other\":{\"Email\":\"13\"}}}\n\n";

    fn states(step: usize) -> Vec<Option<String>> {
        let (mut reader, mut framing) = (EventReader::default(), Framing::UntilClosed);
        let mut states = Vec::new();
        for piece in STREAM.chunks(step) {
            assert_eq!(reader.take(&mut framing, piece), Ok(piece.len()));
            while let Some(event) = reader.next_event() {
                states.push(state_of(&event, "anna"));
            }
        }
        states
    }

    #[test]
    fn events_are_read_from_whatever_pieces_they_come_in() {
        for step in 1..STREAM.len() {
            assert_eq!(states(step), [Some("12".to_owned()), None], "{step}");
        }
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
