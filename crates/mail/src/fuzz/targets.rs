//! What the targets share: a runtime whose clock stands still, and a configuration of test servers.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::shown::{self, PASSWORD, USER};
use crate::auth::{Auth, Credentials, Login};
use crate::fuzz::script::Script;
use crate::options::{Endpoint, TlsMode};
use crate::secret::Secret;
use crate::secret_source::SecretSource;
use crate::trace::Trace;
use crate::wire::{ConnectionContext, Dialer};
use ledger::Failure;

pub(super) mod autoconfig;
pub(super) mod bounce;
pub(super) mod dns;
pub(super) mod header;
pub(super) mod imap;
pub(super) mod jmap;
pub(super) mod pop3;
pub(super) mod posture;
pub(super) mod records;
pub(super) mod resolver;
pub(super) mod sasl;
pub(super) mod smtp;
pub(super) mod text;
pub(super) mod token;
pub(super) mod wire;

thread_local! {
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
}

/// Runs what waits for nothing that takes time.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// Client sides of TLS are expensive.
static CLIENTS: LazyLock<ConnectionContext> = LazyLock::new(ConnectionContext::default);

/// The server that the clients are made for.
fn endpoint(tls: TlsMode) -> Endpoint {
    Endpoint::new("127.0.0.1", 143, tls)
}

/// The account that they log in to.
fn login() -> Login {
    let credentials = Credentials::Password(SecretSource::Fixed(Secret::new(PASSWORD.to_owned())));
    Login { username: USER.to_owned(), credentials, auth: Auth::Auto }
}

/// What a client made of a server, in words: the same for the same words of the server.
#[derive(Default, PartialEq)]
pub(super) struct Outcome(String);

impl Outcome {
    fn note(&mut self, what: impl std::fmt::Debug) {
        let _ = writeln!(self.0, "{what:?}");
    }

    /// Notes that these bytes came, without keeping them.
    fn note_bytes(&mut self, bytes: &[u8]) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        self.note((bytes.len(), hasher.finish()));
    }

    /// A failure is shown to people.
    fn fail(&mut self, failure: &Failure) {
        shown::check(&failure.message);
        assert!(!failure.message.contains("the digest of the password failed"), "{failure}");
        self.note(failure);
    }
}

/// A session with a server that is played from memory.
pub(super) struct Session {
    dialer: Dialer,
    login: Login,
    trace: Trace,
    end: Instant,
}

/// Plays the input to a client, whole and in pieces, and holds what came of it against each other. An input
/// that begins with `T` has the client want STARTTLS.
fn play<F: Future<Output = Outcome>>(input: &[u8], client: impl Fn(Session) -> F) {
    let whole = played(input, usize::MAX, &client);
    let piece = piece(input);
    let in_pieces = played(input, piece, &client);
    assert!(whole == in_pieces, "in pieces of {piece}:\n{}\nwhole:\n{}", in_pieces.0, whole.0);
}

/// What comes of it if at most `piece` bytes come at once.
fn played<F: Future<Output = Outcome>>(
    input: &[u8],
    piece: usize,
    client: impl Fn(Session) -> F,
) -> Outcome {
    let wants_tls = input.first() == Some(&b'T');
    let input = input.get(usize::from(wants_tls)..).unwrap_or_default();
    block_on(async {
        let login = login();
        let endpoint = endpoint(if wants_tls { TlsMode::StartTls } else { TlsMode::None });
        let script = Script::new(input, piece);
        let trace = Trace::new(Some(&login));
        let clients = &*CLIENTS;
        let dialer = Dialer::new(&endpoint, Some(&login), clients).unwrap();
        let end = Instant::now() + Duration::from_secs(600);
        let dialer = dialer.playing(script.clone());
        let mut outcome = client(Session { dialer, login, trace: trace.clone(), end }).await;
        shown::check(&trace.transcript());
        outcome.note(trace.transcript());
        outcome.note_bytes(&script.rest());
        outcome
    })
}

/// In which pieces this input comes, beside whole.
pub fn piece(input: &[u8]) -> usize {
    let sum = input.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31) ^ usize::from(*byte));
    // Byte by byte a long input takes long.
    let pieces = if input.len() > 4096 { [61, 997, 1460, 4095] } else { [1, 1, 2, 7] };
    pieces[sum % pieces.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{TARGETS, inputs};

    /// What comes of an input of the corpus.
    fn of_corpus<F: Future<Output = Outcome>>(
        target: &str,
        name: &str,
        client: impl Fn(Session) -> F,
    ) -> String {
        let inputs = inputs(TARGETS.iter().find(|known| known.name == target).unwrap());
        let (_, input) = inputs.into_iter().find(|(known, _)| known == name).unwrap();
        played(&input, usize::MAX, client).0
    }

    #[test]
    fn the_search_begins_with_sessions_that_go_all_the_way() {
        let smtp = |session| smtp::client(session, false);
        for (outcome, last) in [
            (of_corpus("imap", "a-whole-session-of-ok", imap::client), "UID EXPUNGE 7"),
            (of_corpus("imap", "no-uidplus", imap::client), "UID SEARCH DELETED"),
            (of_corpus("pop3", "a-whole-session", pop3::client), "> DELE 3"),
            // Its events are on no record of the session.
            (of_corpus("jmap", "a-whole-session", jmap::client), "in answer to GET events"),
            (of_corpus("smtp", "two-mails", smtp), "> QUIT"),
        ] {
            assert!(outcome.contains(last), "{outcome}");
        }
        let refused = of_corpus("smtp", "refused-then-taken", smtp);
        assert!(refused.contains("Rejected") && refused.contains("> DATA"), "{refused}");
    }
}
