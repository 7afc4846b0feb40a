//! TLS sessions that are kept for the next connection to the same server, so that it needs no key
//! exchange and no certificate. Only a connection may be resumed whose certificate was seen a short
//! while ago: who measures the certificate shakes hands in full.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslConnectorBuilder, SslRef, SslSession, SslSessionCacheMode};

/// The largest session that is kept: its ticket and the certificate are as large as the server likes.
const SESSION_BYTES: usize = 16 << 10;

/// The newest session with one server, and how long its certificate holds.
#[derive(Default)]
pub struct SessionMemory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// In DER: OpenSSL spoils the session itself when its connection ends without a farewell.
    session: Option<Vec<u8>>,
    /// The earliest end in the chain that was accepted; `None`: none was.
    holds_until: Option<SystemTime>,
}

/// What a handshake has to do with the sessions before and after it.
#[derive(Clone, Copy)]
pub enum Resumption<'a> {
    /// It is made in full, and nothing is kept.
    Never,
    /// It is made in full, and what comes of it is kept: the certificate is to be seen.
    Afresh(&'a Arc<SessionMemory>),
    /// What is kept is offered to the server.
    Offered(&'a Arc<SessionMemory>),
}

impl<'a> Resumption<'a> {
    fn memory(self) -> Option<&'a Arc<SessionMemory>> {
        match self {
            Resumption::Never => None,
            Resumption::Afresh(memory) | Resumption::Offered(memory) => Some(memory),
        }
    }

    /// Makes the client's side ready: what the server gives is kept, and what is kept may be offered.
    pub(super) fn prepare(self, ssl: &mut Ssl, now: SystemTime) -> Result<(), ErrorStack> {
        let (Some(memory), Some(index)) = (self.memory(), index()) else { return Ok(()) };
        ssl.set_ex_data(index, Arc::clone(memory));
        let kept = memory.kept();
        let holds = kept.holds_until.is_some_and(|until| now < until);
        match (self, &kept.session) {
            (Resumption::Offered(_), Some(session)) if holds => {
                // One that cannot be read is none.
                SslSession::from_der(session).map_or(Ok(()), |session| offer(ssl, &session))
            }
            _ => Ok(()),
        }
    }

    /// The certificate was accepted, and holds until then.
    pub(super) fn accepted(self, holds_until: SystemTime) {
        if let Some(memory) = self.memory() {
            memory.kept().holds_until = Some(holds_until);
        }
    }

    /// The certificate was refused, or there was no handshake.
    pub(super) fn refused(self) {
        if let Some(memory) = self.memory() {
            *memory.kept() = Kept::default();
        }
    }
}

impl SessionMemory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing in between can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the sessions of every connection kept where that connection says.
pub(super) fn store_sessions(builder: &mut SslConnectorBuilder) {
    let Some(index) = index() else { return };
    // OpenSSL's own store is the server's.
    builder.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    builder.set_new_session_callback(move |ssl: &mut SslRef, session| {
        if let (Some(memory), Ok(session)) = (ssl.ex_data(index), session.to_der()) {
            memory.kept().session = Some(session).filter(|session| session.len() <= SESSION_BYTES);
        }
    });
}

/// Where a connection keeps its memory; `None` if OpenSSL has no room for that.
fn index() -> Option<Index<Ssl, Arc<SessionMemory>>> {
    static INDEX: OnceLock<Option<Index<Ssl, Arc<SessionMemory>>>> = OnceLock::new();
    *INDEX.get_or_init(|| Ssl::new_ex_index().ok())
}

#[expect(unsafe_code, reason = "the openssl crate has no safe way to offer a session")]
fn offer(ssl: &mut Ssl, session: &SslSession) -> Result<(), ErrorStack> {
    // SAFETY: a session that belongs to a context must be offered by that one. This one was made from
    // bytes (`SslSession::from_der`) and belongs to none; OpenSSL counts the reference that it takes.
    unsafe { ssl.set_session(session) }
}
