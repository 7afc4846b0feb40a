//! What a server saw: counters, and the newest sessions with every byte their clients sent.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

/// The most sessions kept in the record; beyond it the oldest are forgotten.
pub const MAX_SESSIONS: usize = 256;

/// The most bytes kept of what one client sent.
pub const MAX_RECEIVED_BYTES: usize = 64 << 10;

/// The most commands kept of one session, each shortened to 200 characters.
pub const MAX_COMMANDS: usize = 1_000;

const MAX_COMMAND_CHARS: usize = 200;
const MAX_VERBS: usize = 100;

/// Counters since the server was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections that are open now.
    pub connections_open: usize,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: u64,
    /// TLS handshakes that resumed an earlier session.
    pub tls_resumptions: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that were refused.
    pub logins_refused: u64,
    /// Sessions that are logged in now; one ends with its LOGOUT or QUIT, before the reply.
    pub sessions_open: usize,
    /// The most sessions that were logged in at one time.
    pub sessions_most: usize,
    /// Mails accepted (SMTP).
    pub mails_accepted: u64,
    /// Commands of all kinds; a line of mail, a DONE or a SASL response is none.
    pub commands: u64,
    /// Commands by name, as `RCPT` or `UID FETCH`; at most 100 names are told apart.
    pub commands_by_name: BTreeMap<String, u64>,
}

impl Stats {
    /// How often a command came; `name` in upper case.
    pub fn count(&self, name: &str) -> u64 {
        self.commands_by_name.get(name).copied().unwrap_or(0)
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// The client's address.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub opened_at: Instant,
    /// When it ended; `None` while it lasts.
    pub closed_at: Option<Instant>,
    /// The TLS it ended up with.
    pub tls: Option<TlsRecord>,
    /// The user who logged in.
    pub user: Option<String>,
    /// What the client sent, decrypted, to [`MAX_RECEIVED_BYTES`].
    pub received: Vec<u8>,
    /// How many of those bytes came before TLS began; all of them without TLS.
    pub received_in_the_clear: usize,
    /// The commands in order, to [`MAX_COMMANDS`].
    pub commands: Vec<CommandRecord>,
    id: u64,
}

/// One command that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandRecord {
    /// When its line was complete.
    pub at: Instant,
    /// The line as sent, tag included, without its end.
    pub line: String,
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRecord {
    /// The version, as `TLSv1.3`.
    pub version: &'static str,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Whether the client showed a certificate.
    pub client_certificate: bool,
}

impl SessionRecord {
    /// Whether the client sent these bytes, encrypted or not.
    pub fn received_contains(&self, bytes: &[u8]) -> bool {
        contains(&self.received, bytes)
    }

    /// What the client sent before TLS.
    pub fn in_the_clear(&self) -> &[u8] {
        self.received.get(..self.received_in_the_clear).unwrap_or(&self.received)
    }
}

/// The record of one server; shared by its sessions.
#[derive(Debug, Default)]
pub(super) struct Log {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    stats: Stats,
    sessions: VecDeque<SessionRecord>,
    last_id: u64,
}

impl Log {
    pub(super) fn stats(&self) -> Stats {
        self.lock().stats.clone()
    }

    pub(super) fn sessions(&self) -> Vec<SessionRecord> {
        self.lock().sessions.iter().cloned().collect()
    }

    /// A receiver that is notified of each change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A connection was accepted; returns the name of its record.
    pub(super) fn opened(&self, peer: SocketAddr) -> u64 {
        let mut state = self.change();
        state.stats.connections += 1;
        state.stats.connections_open += 1;
        state.last_id += 1;
        let id = state.last_id;
        if state.sessions.len() >= MAX_SESSIONS {
            state.sessions.pop_front();
        }
        state.sessions.push_back(SessionRecord {
            peer,
            opened_at: Instant::now(),
            closed_at: None,
            tls: None,
            user: None,
            received: Vec::new(),
            received_in_the_clear: 0,
            commands: Vec::new(),
            id,
        });
        id
    }

    pub(super) fn closed(&self, id: u64) {
        let mut state = self.change();
        state.stats.connections_open -= 1;
        state.with(id, |session| session.closed_at = Some(Instant::now()));
    }

    pub(super) fn received(&self, id: u64, bytes: &[u8]) {
        self.change().with(id, |session| {
            let room = MAX_RECEIVED_BYTES.saturating_sub(session.received.len());
            session.received.extend(bytes.iter().take(room));
            if session.tls.is_none() {
                session.received_in_the_clear = session.received.len();
            }
        });
    }

    pub(super) fn encrypted(&self, id: u64, tls: TlsRecord) {
        let mut state = self.change();
        state.stats.tls_handshakes += 1;
        state.stats.tls_resumptions += u64::from(tls.resumed);
        state.with(id, |session| session.tls = Some(tls));
    }

    pub(super) fn command(&self, id: u64, name: &str, line: &[u8]) {
        let mut state = self.change();
        state.stats.commands += 1;
        let by_name = &mut state.stats.commands_by_name;
        if by_name.len() < MAX_VERBS || by_name.contains_key(name) {
            *by_name.entry(name.to_owned()).or_default() += 1;
        }
        let line = String::from_utf8_lossy(line).chars().take(MAX_COMMAND_CHARS).collect();
        state.with(id, |session| {
            if session.commands.len() < MAX_COMMANDS {
                session.commands.push(CommandRecord { at: Instant::now(), line });
            }
        });
    }

    pub(super) fn login_refused(&self) {
        self.change().stats.logins_refused += 1;
    }

    pub(super) fn logged_in(&self, id: u64, user: &str) {
        let mut state = self.change();
        state.stats.logins += 1;
        state.stats.sessions_open += 1;
        state.stats.sessions_most = state.stats.sessions_most.max(state.stats.sessions_open);
        state.with(id, |session| session.user = Some(user.to_owned()));
    }

    pub(super) fn logged_out(&self) {
        self.change().stats.sessions_open -= 1;
    }

    pub(super) fn mail_accepted(&self) {
        self.change().stats.mails_accepted += 1;
    }

    /// The state, to be changed. Those who wait are woken at once and then wait for the lock.
    fn change(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.changed.send_replace(());
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn with(&mut self, id: u64, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(session) = self.sessions.iter_mut().rev().find(|session| session.id == id) {
            change(session);
        }
    }
}

/// Whether `part` stands anywhere in `whole`.
pub(super) fn contains(whole: &[u8], part: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}
