//! The way to a server: opening a connection as the configuration says, and what a login is made with.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Wire;
use super::ending::too_late;
use super::network::Answers;
use crate::Fault;
use crate::auth::{Credentials, Login};
use crate::net::mx::{self, Exchanger};
use crate::net::tls::{Resumption, SessionMemory, TlsClient, TlsClients};
use crate::net::{self, Stream};
use crate::oauth::{AccessToken, TokenSource, Tokens};
use crate::options::{Endpoint, TlsMode};
use crate::secret::Secret;
use crate::trace::Trace;
use ledger::{Failure, Reason, Step};

/// A way to a server: where it is, how TLS is done with it, and where the access tokens for a login
/// come from. Made once for each side of a target.
#[derive(Clone)]
pub struct Dialer {
    pub(super) endpoint: Endpoint,
    pub(super) tls: Option<TlsClient>,
    tokens: Option<Arc<TokenSource>>,
    learned: Arc<Learned>,
    /// `None`: no TLS session is kept.
    sessions: Option<Arc<SessionMemory>>,
    resumes: bool,
    /// The server that is played from memory in place of the one that is configured.
    #[cfg(any(test, feature = "fuzzing"))]
    script: Option<crate::fuzz::script::Script>,
}

/// What the connections to one server have learned of it, so that the next ones make no attempt that is
/// known to fail. Each login in vain may bring the account nearer to being locked.
#[derive(Default)]
pub(crate) struct Learned {
    knows_no_digest: AtomicBool,
    checks_digests: AtomicBool,
    refusals: Mutex<Refusals>,
}

/// Logins that were refused since the first of them was a digest of the password.
#[derive(Default)]
struct Refusals {
    /// The password of all of them: they tell nothing of another one.
    password: Option<Secret>,
    count: u32,
}

impl Learned {
    /// Whether the server has refused a digest of the password and then taken the password itself.
    pub(crate) fn knows_no_digest(&self) -> bool {
        self.knows_no_digest.load(Ordering::Relaxed)
    }

    /// The server has done that.
    pub(crate) fn note_no_digest(&self) {
        self.knows_no_digest.store(true, Ordering::Relaxed);
    }

    /// The server has taken a digest of the password.
    pub(crate) fn note_digest(&self) {
        self.checks_digests.store(true, Ordering::Relaxed);
    }

    /// Whether the next login is to be made by the password itself, in place of the digest that was
    /// refused: the second, fourth, eighth after the first refusal and so on. So a right one is found
    /// out, and a wrong one costs no login more.
    pub(crate) fn is_turn_of_password(&self, password: &Secret) -> bool {
        let refusals = self.refusals();
        refusals.password.as_ref() == Some(password)
            && refusals.count.wrapping_add(1).is_power_of_two()
            && !self.has_checked_digest()
    }

    /// Counts a refusal, and says whether it is the first one, of any password, and by a server that has
    /// taken no digest.
    pub(crate) fn note_refusal(&self, password: &Secret) -> bool {
        let mut refusals = self.refusals();
        let is_first = refusals.password.is_none();
        if refusals.password.as_ref() == Some(password) {
            refusals.count = refusals.count.wrapping_add(1);
        } else {
            *refusals = Refusals { password: Some(password.clone()), count: 1 };
        }
        is_first && !self.has_checked_digest()
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_checked_digest(&self) -> bool {
        self.checks_digests.load(Ordering::Relaxed)
    }
}

/// What all connections share: TLS clients and sources of access tokens.
#[derive(Default)]
pub struct ConnectionContext {
    /// The client sides of TLS.
    pub tls: TlsClients,
    /// The sources of access tokens.
    pub tokens: Tokens,
}

impl Dialer {
    /// The way to `endpoint` for this login.
    ///
    /// # Errors
    /// What OpenSSL says of the files in the TLS options.
    pub fn new(
        endpoint: &Endpoint,
        login: Option<&Login>,
        clients: &ConnectionContext,
    ) -> Result<Self, openssl::error::ErrorStack> {
        let tls = match endpoint.tls {
            TlsMode::None => None,
            TlsMode::StartTls | TlsMode::Implicit => {
                Some(clients.tls.client(&endpoint.tls_options)?)
            }
        };
        let provider = login.and_then(Login::oauth2);
        let source = |provider| clients.tokens.source(provider, &clients.tls);
        let tokens = provider.map(|provider| source(provider)).transpose()?;
        Ok(Self {
            endpoint: endpoint.clone(),
            tls,
            tokens,
            learned: Arc::default(),
            sessions: None,
            resumes: false,
            #[cfg(any(test, feature = "fuzzing"))]
            script: None,
        })
    }

    /// Whether it leads to the same server, protected in the same way.
    pub fn is_like(&self, other: &Dialer) -> bool {
        self.endpoint == other.endpoint
    }

    /// The same way; what another one to the same server and for the same login has learned holds for it.
    #[must_use]
    pub fn learning_from(self, other: &Dialer) -> Self {
        Self { learned: Arc::clone(&other.learned), ..self }
    }

    /// A way to a server that is played from memory; nothing is resolved and nothing connected to.
    #[cfg(any(test, feature = "fuzzing"))]
    #[must_use]
    pub fn playing(self, script: crate::fuzz::script::Script) -> Self {
        Self { script: Some(script), ..self }
    }

    /// The same way; TLS sessions are kept for [`Dialer::resuming`].
    #[must_use]
    pub fn keeping_sessions(self) -> Self {
        Self { sessions: Some(Arc::default()), ..self }
    }

    /// The same way for a connection that need not see the certificate, because another one has within
    /// this period: it resumes the newest TLS session, if one was kept.
    #[must_use]
    pub fn resuming(&self) -> Self {
        Self { resumes: true, ..self.clone() }
    }

    pub(super) fn resumption(&self) -> Resumption<'_> {
        match (&self.sessions, self.resumes) {
            (None, _) => Resumption::Never,
            (Some(memory), false) => Resumption::Afresh(memory),
            (Some(memory), true) => Resumption::Offered(memory),
        }
    }

    /// The hosts to try one after the other, if they are to be found by the MX records of the domain
    /// that stands in place of the host; `None` for a way to one host. This is part of the step
    /// [`Step::Dns`].
    ///
    /// # Errors
    /// Those of [`mx::exchangers`].
    pub(crate) async fn hosts(
        &self,
        trace: &Trace,
        end: Instant,
    ) -> Result<Option<Vec<Exchanger>>, Failure> {
        if !self.endpoint.mx {
            return Ok(None);
        }
        trace.enter(Step::Dns);
        let deadline = end.min(Instant::now() + self.endpoint.timeout);
        let found = mx::exchangers(&self.endpoint.host, deadline).await;
        found.map(Some).map_err(|fault| trace.failure(fault))
    }

    /// The same way to another host.
    pub(crate) fn to_host(&self, host: &str) -> Self {
        let endpoint = Endpoint { host: host.to_owned(), mx: false, ..self.endpoint.clone() };
        Self { endpoint, ..self.clone() }
    }

    /// What the login is made with: the password, or an access token other than `refused`, which
    /// takes the step [`Step::Token`].
    ///
    /// # Errors
    /// Those of [`TokenSource::token`].
    pub(crate) async fn key(
        &self,
        login: &Login,
        refused: Option<&Secret>,
        trace: &Trace,
        end: Instant,
    ) -> Result<AccessToken, Failure> {
        let source = match (&login.credentials, &self.tokens) {
            (Credentials::Password(password), _) => {
                return Ok(AccessToken { secret: password.value(), is_new: true });
            }
            (Credentials::OAuth2(_), Some(source)) => source,
            (Credentials::OAuth2(_), None) => {
                let message = "this way to the server was made for another login";
                return Err(trace.failure(Fault::new(Reason::Other, message)));
            }
        };
        trace.enter(Step::Token);
        let token = source.token(refused, self.endpoint.timeout, end).await;
        let token = token.map_err(|fault| trace.failure(fault))?;
        trace.hide_all_forms(token.secret.expose());
        Ok(token)
    }

    /// Whether a server that lets us come as far as the login has proved who it is.
    pub(crate) fn proves_the_server(&self) -> bool {
        self.endpoint.tls != TlsMode::None && !self.endpoint.tls_options.insecure_skip_verify
    }

    /// What was learned of the server.
    pub(crate) fn learned(&self) -> &Learned {
        &self.learned
    }

    /// Whether the hosts are those that take the mail of a domain.
    pub fn asks_for_exchangers(&self) -> bool {
        self.endpoint.mx
    }

    /// Where it leads to.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How the connection is protected.
    pub fn tls_mode(&self) -> TlsMode {
        self.endpoint.tls
    }

    /// Resolves, connects, and with implicit TLS shakes hands; nothing is read yet. The whole
    /// dialogue that follows ends at `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails, in its step.
    pub async fn dial(&self, trace: Trace, end: Instant) -> Result<Wire, Failure> {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Some(script) = &self.script {
            let wire = self.begin(Stream::Played(Box::new(script.connect())), trace, end);
            return Ok(self.greet(wire));
        }
        let deadline = || end.min(Instant::now() + self.endpoint.timeout);
        let host = &self.endpoint.host;
        trace.enter(Step::Dns);
        let until = deadline();
        let addresses = net::resolve(&self.endpoint, until).await.map_err(|fault| {
            let what = format!("no address of {host} was found");
            trace.failure(too_late(fault, &what, &trace, end, until))
        })?;
        trace.enter(Step::Connect);
        let until = deadline();
        let connected = net::connect(&addresses, until).await.map_err(|fault| {
            let what = format!("no connection to {host}");
            trace.failure(too_late(fault, &what, &trace, end, until))
        })?;
        trace.connected(connected.address, connected.handshake);
        let mut wire = self.begin(Stream::Plain(connected.socket), trace, end);
        if self.endpoint.tls == TlsMode::Implicit {
            wire.trace.enter(Step::Tls);
            wire = wire.protect(self).await.map_err(|mut failure| {
                // Closed or silent before the handshake ended: nobody is there.
                failure.down = failure.is_without_answer();
                failure
            })?;
            wire.heard = true;
        }
        Ok(self.greet(wire))
    }

    /// The same in the middle of a dialogue whose record goes on: the steps of the connection are not counted there
    /// once more, nor is what was noted of the first one replaced.
    ///
    /// # Errors
    /// The first step that fails, in its step.
    pub(crate) async fn dial_again(&self, trace: &Trace, end: Instant) -> Result<Wire, Failure> {
        let wire = self.dial(trace.beside(), end).await?;
        Ok(Wire { trace: trace.clone(), ..wire })
    }

    /// An open connection; nothing was said yet.
    fn begin(&self, stream: Stream, trace: Trace, end: Instant) -> Wire {
        Wire {
            stream,
            input: Vec::new(),
            consumed: 0,
            timeout: self.endpoint.timeout,
            deadline: end,
            end,
            heard: false,
            is_new_to_tls: false,
            asked_for: None,
            asked: Instant::now(),
            answers: Answers::default(),
            objection: None,
            trace,
        }
    }

    /// The greeting is waited for from now on.
    fn greet(&self, mut wire: Wire) -> Wire {
        wire.trace.enter(Step::Greeting);
        wire.expect_reply_within(self.endpoint.timeout);
        wire
    }
}
