//! Waiting until the server tells by itself that there is mail, over a stream of events beside the session.
//!
//! The stream is opened by a task of its own: no wait is too short for it. It is worth nothing but the wait: where it
//! fails, looks alone bring up mail until it is tried again.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::Session;
use super::memory::Memory;
use ledger::Reason;
use mail::jmap::{Events, Told};
use mail::{Fault, Interrupted};

/// After a stream that failed none is opened for so long; it doubles up to the second of them.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A stream that stood so long was a good one: proxies end what is silent for a minute.
const GOOD_AFTER: Duration = Duration::from_secs(20);
/// How many events are taken for one piece of news at most.
const EVENTS: usize = 1000;

/// What is known of the stream of events from one session to the next.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// Whether the server has said that it has none.
    is_refused: bool,
    /// None is opened before.
    not_before: Option<Instant>,
    /// How long that was from the newest failure on.
    pause: Duration,
    /// Whether the server tells mail that comes in from what becomes of the others.
    tells_deliveries: bool,
}

impl Hearing {
    /// A server that had no events may have them by now.
    pub(super) fn is_tried_again(&mut self) {
        self.is_refused = false;
    }

    fn failed(&mut self, stood: Duration) {
        self.pause = match stood >= GOOD_AFTER {
            true => PAUSE,
            false => (self.pause * 2).clamp(PAUSE, LONGEST_PAUSE),
        };
        self.not_before = Some(Instant::now() + self.pause);
    }
}

type Opening = AbortOnDropHandle<Result<Events, Interrupted>>;

#[derive(Default)]
enum Stream {
    #[default]
    None,
    Opening(Opening),
    Open(Box<Events>, Instant),
}

/// The stream of events of a session.
#[derive(Default)]
pub(super) struct Listening {
    stream: Stream,
    /// What events have told that is not passed on yet, and when the last of them came.
    heard: Option<(Told, Instant)>,
    /// The state of which the newest news told, and when.
    told: Option<(String, Instant)>,
}

impl Listening {
    /// The state of which was told when this was announced.
    pub(super) fn take_told(&mut self, announced: Option<Instant>) -> Option<(String, Instant)> {
        self.told.take().filter(|(_, at)| announced == Some(*at))
    }

    /// Waits for the next event, and gives what it and those behind it tell together: what was told long ago is no news
    /// beside it. Cancelling it loses nothing.
    async fn hear(&mut self, until: Instant) -> Result<Option<(Told, Instant)>, Interrupted> {
        let Stream::Open(events, _) = &mut self.stream else { return Ok(None) };
        if self.heard.is_none() {
            let Some(told) = events.next(until).await? else { return Ok(None) };
            self.heard = Some((told, Instant::now()));
        }
        for _ in 0..EVENTS {
            // A server may tell of no news without end.
            if Instant::now() >= until {
                break;
            }
            let Some(next) = events.at_hand().await else { break };
            if let Some((told, at)) = &mut self.heard {
                told.is_delivery |= next.is_delivery;
                told.state = next.state.or(told.state.take());
                // What it tells need not have been there before.
                *at = Instant::now();
            }
        }
        Ok(self.heard.take())
    }
}

impl Session {
    /// Whether waiting for events is worth a try.
    pub fn can_wait(&self, memory: &Memory) -> bool {
        let Hearing { is_refused, not_before, .. } = memory.hearing;
        let is_open = !matches!(self.listening.stream, Stream::None);
        let may_open = !is_refused && not_before.is_none_or(|at| at <= Instant::now());
        self.jmap.has_events() && (is_open || may_open)
    }

    /// Waits until an event tells of new mail, and gives when it came; once as well as soon as the stream of events
    /// is open, for what came before. Where the stream fails, looks alone bring up mail.
    pub async fn wait(
        &mut self,
        memory: &mut Memory,
        until: Instant,
        interrupt: &Notify,
    ) -> Option<Instant> {
        let told = tokio::select! {
            told = self.listen(memory, until) => told,
            () = interrupt.notified() => return None,
        };
        told.unwrap_or_else(|interrupted| {
            self.give_up(memory, interrupted);
            None
        })
    }

    /// Cancelling it loses neither an event nor what was done to open the stream.
    async fn listen(
        &mut self,
        memory: &mut Memory,
        until: Instant,
    ) -> Result<Option<Instant>, Interrupted> {
        if matches!(self.listening.stream, Stream::None) {
            let opening = tokio::spawn(self.jmap.events(self.end));
            self.listening.stream = Stream::Opening(AbortOnDropHandle::new(opening));
        }
        if let Stream::Opening(opening) = &mut self.listening.stream {
            let Ok(opened) = timeout_at(until, opening).await else { return Ok(None) };
            let ended = |_| {
                let fault = Fault::new(Reason::Other, "the events were given up");
                Interrupted::Broken(self.jmap.trace().beside().failure(fault))
            };
            let events = Box::new(opened.map_err(ended)??);
            let now = Instant::now();
            self.listening.stream = Stream::Open(events, now);
            return Ok(Some(now));
        }
        loop {
            let Some((told, at)) = self.listening.hear(until).await? else { return Ok(None) };
            memory.hearing.tells_deliveries |= told.is_delivery;
            // What we have changed ourselves is no news, and where the server tells of mail that comes in, nothing else
            // is: not that somebody reads theirs.
            let is_known = told.state.is_some() && told.state == memory.state;
            if is_known || (memory.hearing.tells_deliveries && !told.is_delivery) {
                continue;
            }
            self.listening.told = told.state.map(|state| (state, at));
            return Ok(Some(at));
        }
    }

    fn give_up(&mut self, memory: &mut Memory, interrupted: Interrupted) {
        let stood = match std::mem::take(&mut self.listening).stream {
            Stream::Open(_, since) => since.elapsed(),
            Stream::None | Stream::Opening(_) => Duration::ZERO,
        };
        match &interrupted {
            Interrupted::Refused(_) => memory.hearing.is_refused = true,
            Interrupted::Broken(_) => memory.hearing.failed(stood),
        }
        let failure = ledger::Failure::from(interrupted);
        self.trace().fact(format!("looking without events: {failure}"));
    }
}

#[cfg(test)]
mod tests;
