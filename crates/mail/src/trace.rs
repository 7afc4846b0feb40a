//! What happened in a dialogue: its steps with their times, its transcript, the facts about TLS.
//!
//! A [`Trace`] is a handle: the dialogue writes, and whoever began it reads, also after the
//! dialogue has failed and is gone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::text::Scrubber;
use super::{Failure, Fault, Reason, Step};
use crate::auth::Login;
use ledger::TlsFacts;
use ledger::durations::Seconds;

/// The most bytes of transcript that one dialogue keeps; beyond it the oldest lines go.
pub const TRANSCRIPT_BYTES: usize = 4096;

/// The most lines of one dialogue that are passed on to an observer: it may be slower than the server.
const OBSERVED_LINES: usize = 10_000;

/// A handle on the record of one dialogue.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Record>>);

/// One thing that happened, for whoever watches a dialogue as it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step began.
    Entered(Step),
    /// A step ended well, after this time.
    Left(Step, Duration),
    /// The client said this, secrets replaced.
    Sent(String),
    /// The server said this, made harmless.
    Received(String),
    /// Something worth knowing about the connection, as the address that was chosen.
    Fact(String),
}

struct Record {
    step: Option<(Step, Instant)>,
    /// The newest step, be it under way or over.
    reached: Step,
    /// Whether the server has said anything on any connection.
    is_heard: bool,
    durations: Vec<(Step, Duration)>,
    transcript: Transcript,
    scrubber: Scrubber,
    address: Option<SocketAddr>,
    handshake: Option<Duration>,
    tls: Option<TlsFacts>,
    observer: Option<UnboundedSender<Event>>,
    /// How many lines of the server came.
    lines: usize,
    began: Instant,
}

#[derive(Default)]
struct Transcript {
    lines: std::collections::VecDeque<String>,
    bytes: usize,
}

impl Transcript {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > TRANSCRIPT_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

impl Trace {
    /// A new record; the secrets of `login` will be scrubbed from everything in it.
    pub fn new(login: Option<&Login>) -> Self {
        Self::with_observer(login, None)
    }

    /// The same, with an observer, who gets each event as it happens.
    pub fn with_observer(login: Option<&Login>, observer: Option<UnboundedSender<Event>>) -> Self {
        let scrubber = login.map(Scrubber::of).unwrap_or_default();
        Self(Arc::new(Mutex::new(Record {
            step: None,
            reached: Step::Dns,
            is_heard: false,
            durations: Vec::new(),
            transcript: Transcript::default(),
            scrubber,
            address: None,
            handshake: None,
            tls: None,
            observer,
            lines: 0,
            began: Instant::now(),
        })))
    }

    /// A new record of something beside this dialogue, in which the same is scrubbed.
    pub fn beside(&self) -> Self {
        let beside = Self::new(None);
        let scrubber = self.record().scrubber.clone();
        beside.record().scrubber = scrubber;
        beside
    }

    /// Ends the step that is under way, if any, and begins `step`. A step that is entered again
    /// goes on counting.
    pub fn enter(&self, step: Step) {
        let mut record = self.record();
        if record.step.is_some_and(|(current, _)| current == step) {
            return;
        }
        record.close_step();
        record.step = Some((step, Instant::now()));
        record.reached = step;
        record.observe(Event::Entered(step));
    }

    /// Ends the step that is under way.
    pub fn finish(&self) {
        self.record().close_step();
    }

    /// Has this text replaced as well wherever the dialogue is shown from now on.
    pub fn hide(&self, secret: &str) {
        self.record().scrubber.hide(secret);
    }

    /// The same with every form in which a server may echo it.
    pub fn hide_all_forms(&self, secret: &str) {
        self.record().scrubber.hide_all_forms(secret);
    }

    /// Has the secrets of this login replaced as well.
    pub fn hide_login(&self, login: &Login) {
        let mut record = self.record();
        let scrubber = std::mem::take(&mut record.scrubber);
        record.scrubber = scrubber.and(Scrubber::of(login));
    }

    /// Notes what the client said; `line` must hold no secret.
    pub fn sent(&self, line: &str) {
        let mut record = self.record();
        let line = record.scrubber.show(line.as_bytes());
        record.transcript.push(format!("> {line}"));
        record.observe(Event::Sent(line));
    }

    /// Notes what the server said.
    pub fn received(&self, line: &[u8]) {
        let mut record = self.record();
        let line = record.scrubber.show(line);
        record.transcript.push(format!("< {line}"));
        record.lines += 1;
        if record.lines <= OBSERVED_LINES {
            record.observe(Event::Received(line));
        }
    }

    /// Notes something about the connection.
    pub fn fact(&self, fact: String) {
        let mut record = self.record();
        record.transcript.push(format!("* {fact}"));
        record.observe(Event::Fact(fact));
    }

    /// Which address answered and what its TLS showed, as this dialogue is to be reported: where there were
    /// several connections, those of one of them.
    pub fn set_connection(&self, address: Option<SocketAddr>, tls: Option<TlsFacts>) {
        let mut record = self.record();
        (record.address, record.tls) = (address, tls);
    }

    /// Notes which address of the server answered, and how long its TCP handshake took.
    pub fn connected(&self, address: SocketAddr, handshake: Duration) {
        self.fact(format!("connected to {address}"));
        let mut record = self.record();
        (record.address, record.handshake) = (Some(address), Some(handshake));
    }

    /// Notes what the TLS handshake showed.
    pub fn tls(&self, facts: TlsFacts) {
        self.fact(facts.to_string());
        self.record().tls = Some(facts);
    }

    /// Turns a fault into the failure of the step under way, whose time up to here is noted.
    pub fn failure(&self, fault: Fault) -> Failure {
        let mut record = self.record();
        let step = record.step.map_or(Step::Dns, |(step, _)| step);
        let message = record.scrubber.scrub(&fault.message);
        record.note_duration();
        // What follows in this step, if anything does, is added to what was noted.
        if let Some((_, since)) = &mut record.step {
            *since = Instant::now();
        }
        record.transcript.push(format!("* {message}"));
        let Fault { reason, down, shortage, clue, .. } = fault;
        Failure { step, reason, down, shortage, clue, message }
    }

    /// The failure of a dialogue that was ended from outside because it was not over after this time,
    /// in the step that it had reached.
    pub fn overrun(&self, after: Duration) -> Failure {
        let (step, is_heard) = self.progress();
        self.enter(step);
        let message = format!("not over within {}", Seconds(after));
        self.failure(Fault { down: !is_heard, ..Fault::new(Reason::Timeout, message) })
    }

    /// The newest step, and whether the server has said anything yet.
    pub fn progress(&self) -> (Step, bool) {
        let record = self.record();
        (record.reached, record.is_heard)
    }

    /// Notes that the server has said something.
    pub fn is_heard(&self) {
        self.record().is_heard = true;
    }

    /// The text of a server made fit to stand in a message.
    pub fn words(&self, text: &[u8]) -> String {
        self.record().scrubber.show(text)
    }

    /// The step under way.
    pub fn step(&self) -> Option<Step> {
        self.record().step.map(|(step, _)| step)
    }

    /// How long ago the dialogue began.
    pub fn age(&self) -> Duration {
        self.record().began.elapsed()
    }

    /// The steps so far with their durations, the newest last; that under way is not among them.
    pub fn durations(&self) -> Vec<(Step, Duration)> {
        self.record().durations.clone()
    }

    /// The address of the server that answered; `None` if none did.
    pub fn address(&self) -> Option<SocketAddr> {
        self.record().address
    }

    /// How long the newest TCP handshake took; `None` if no connection came about.
    pub fn handshake(&self) -> Option<Duration> {
        self.record().handshake
    }

    /// What the TLS handshake showed; `None` without one.
    pub fn tls_facts(&self) -> Option<TlsFacts> {
        self.record().tls.clone()
    }

    /// The newest lines of the dialogue: `>` the client's, `<` the server's, `*` remarks.
    pub fn transcript(&self) -> String {
        let record = self.record();
        let mut text =
            String::with_capacity(record.transcript.bytes + record.transcript.lines.len());
        for line in &record.transcript.lines {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Forgets steps and transcript, for a session that goes on after it has been reported.
    pub fn clear(&self) {
        let mut record = self.record();
        record.durations = Vec::new();
        record.transcript = Transcript::default();
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic while the lock was held leaves at worst an incomplete transcript.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

impl Record {
    fn close_step(&mut self) {
        if let Some((step, duration)) = self.note_duration() {
            self.observe(Event::Left(step, duration));
        }
        self.step = None;
    }

    fn note_duration(&mut self) -> Option<(Step, Duration)> {
        let (step, since) = self.step?;
        let elapsed = since.elapsed();
        match self.durations.iter_mut().find(|(known, _)| *known == step) {
            Some((_, duration)) => *duration += elapsed,
            None => self.durations.push((step, elapsed)),
        }
        Some((step, elapsed))
    }

    fn observe(&self, event: Event) {
        if let Some(observer) = &self.observer {
            // An observer that has gone away is no concern of the dialogue.
            let _ = observer.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Auth, Credentials};
    use crate::secret::Secret;
    use crate::secret_source::SecretSource;
    use ledger::Reason;

    fn login() -> Login {
        Login {
            username: "sam".into(),
            credentials: Credentials::Password(SecretSource::Fixed(Secret::new("hunter2".into()))),
            auth: Auth::Auto,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_belongs_to_the_step_under_way_and_its_time_is_kept() {
        let trace = Trace::new(None);
        trace.enter(Step::Dns);
        tokio::time::advance(Duration::from_secs(1)).await;
        trace.enter(Step::Connect);
        tokio::time::advance(Duration::from_secs(2)).await;
        let failure = trace.failure(Fault::down(Reason::Refused, "refused"));
        assert_eq!((failure.step, failure.down), (Step::Connect, true));
        assert_eq!(
            trace.durations(),
            [(Step::Dns, Duration::from_secs(1)), (Step::Connect, Duration::from_secs(2))]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_step_that_failed_counts_once() {
        let trace = Trace::new(None);
        trace.enter(Step::Auth);
        tokio::time::advance(Duration::from_secs(3)).await;
        trace.failure(Fault::new(Reason::Auth, "no"));
        trace.finish();
        assert_eq!(trace.durations(), [(Step::Auth, Duration::from_secs(3))]);
    }

    #[test]
    fn a_secret_that_the_server_echoes_is_in_no_record() {
        let trace = Trace::new(Some(&login()));
        trace.received(b"535 bad password hunter2\r\n");
        let failure = trace.failure(Fault::new(Reason::Auth, "server said hunter2"));
        assert_eq!(failure.message, "server said <secret>");
        assert_eq!(trace.transcript(), "< 535 bad password <secret>\n* server said <secret>\n");
    }

    #[test]
    fn an_observer_is_not_told_without_end() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let trace = Trace::with_observer(None, Some(sender));
        for _ in 0..OBSERVED_LINES * 2 {
            trace.received(b"* OK x");
        }
        trace.sent("A1 LOGOUT");
        drop(trace);
        let mut told = 0;
        while receiver.try_recv().is_ok() {
            told += 1;
        }
        assert_eq!(told, OBSERVED_LINES + 1);
    }

    #[test]
    fn the_transcript_keeps_the_newest_lines_and_is_bounded() {
        let trace = Trace::new(None);
        for number in 0..10_000 {
            trace.received(format!("line {number}").as_bytes());
        }
        let transcript = trace.transcript();
        assert!(transcript.len() < TRANSCRIPT_BYTES + 500);
        assert!(transcript.ends_with("< line 9999\n"));
    }
}
