//! Access tokens (RFC 6749) for logins without a password: asked for when they are needed, kept until
//! shortly before they expire, shared by all logins of the same client.
//!
//! `endpoint` is one question to a provider. A question goes on if whoever asked first gives up: the
//! answer may hold the only refresh token that is still good, and is kept in the store.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Fault, Reason};
use crate::auth::OAuth2;
use crate::net::tls::TlsClients;
use crate::options::TlsOptions;
use crate::secret::Secret;
use endpoint::Endpoint;

pub(crate) mod endpoint;

/// How long before its end a token is renewed, at most; a tenth of its life if that is less.
const MARGIN: Duration = Duration::from_secs(300);
/// How long a token is valid if the provider does not say.
const UNTOLD_LIFE: Duration = Duration::from_secs(300);
/// The longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// What a [`TokenStore`] does, boxed so that the trait may be an object.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where renewed refresh tokens outlive the process. `origin` names the client of a provider.
pub trait TokenStore: Send + Sync {
    /// Keeps a token in place of the one before; ready once it is durable, or cannot be.
    fn persist<'a>(&'a self, origin: &'a str, token: &'a Secret) -> Stored<'a, ()>;

    /// The newest token of `origin`, if one is kept.
    fn load<'a>(&'a self, origin: &'a str) -> Stored<'a, Option<Secret>>;
}

/// The sources of access tokens in use, one for each client of a provider.
#[derive(Default)]
pub struct Tokens {
    sources: Mutex<HashMap<Key, Arc<TokenSource>>>,
    /// Where renewed refresh tokens are kept; `None`: they end with the process.
    store: Option<Arc<dyn TokenStore>>,
}

/// A digest of everything that a provider is asked with.
type Key = [u8; 32];

/// The access tokens of one client.
pub struct TokenSource {
    endpoint: Endpoint,
    /// Under which name a renewed refresh token is kept.
    origin: String,
    store: Option<Arc<dyn TokenStore>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Kept>,
    /// The newest refresh token; `None`: that of the store, or of the file.
    refresh_token: Option<Secret>,
    /// The question under way.
    asking: Option<watch::Receiver<Option<Outcome>>>,
}

#[derive(Clone)]
struct Kept {
    secret: Secret,
    renew_at: Instant,
}

type Outcome = Result<Secret, Fault>;

/// An access token.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub secret: Secret,
    /// Whether it was given just now. One that was kept may have been revoked since.
    pub is_new: bool,
}

impl Tokens {
    /// Keeps renewed refresh tokens in this store.
    pub fn new(store: Option<Arc<dyn TokenStore>>) -> Self {
        Self { sources: Mutex::default(), store }
    }

    /// The source for this client.
    ///
    /// # Errors
    /// What OpenSSL says of `ca_file`.
    pub fn source(
        &self,
        client: &OAuth2,
        clients: &TlsClients,
    ) -> Result<Arc<TokenSource>, ErrorStack> {
        let tls = clients.client(&client.tls_options)?;
        let key = key(client);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.get(&key) {
            return Ok(Arc::clone(source));
        }
        sources.retain(|_, source| Arc::strong_count(source) > 1 || source.has_good_token());
        let source = Arc::new(TokenSource {
            endpoint: Endpoint::new(client.clone(), tls),
            origin: origin(client),
            store: self.store.clone(),
            state: Mutex::default(),
        });
        sources.insert(key, Arc::clone(&source));
        Ok(source)
    }
}

impl TokenSource {
    /// A token to log in with; not `refused`, if that was kept. The provider is given `timeout` for
    /// its answer, and nobody waits beyond `end`.
    ///
    /// # Errors
    /// Why there is none: the connection's reasons; [`Reason::Auth`] for a client or a refresh token
    /// that the provider does not know (any more), [`Reason::Deferred`] for 429 and 5xx,
    /// [`Reason::Rejected`] for other refusals, [`Reason::Protocol`] for what is no answer.
    pub async fn token(
        self: &Arc<Self>,
        refused: Option<&Secret>,
        timeout: Duration,
        end: Instant,
    ) -> Result<AccessToken, Fault> {
        let mut answer = {
            let mut state = self.state();
            if let Some(kept) = state
                .token
                .take()
                .filter(|kept| kept.renew_at > Instant::now() && refused != Some(&kept.secret))
            {
                let secret = kept.secret.clone();
                state.token = Some(kept);
                return Ok(AccessToken { secret, is_new: false });
            }
            match &state.asking {
                Some(answer) => answer.clone(),
                None => self.ask(&mut state, timeout),
            }
        };
        let deadline = end.min(Instant::now() + timeout);
        match timeout_at(deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => match outcome.as_ref() {
                Some(Ok(secret)) => Ok(AccessToken { secret: secret.clone(), is_new: true }),
                Some(Err(fault)) => Err(fault.clone()),
                None => Err(ended()),
            },
            Ok(Err(_)) => Err(ended()),
            Err(_) => {
                let message = format!("no access token from {} in time", self.endpoint.host());
                Err(Fault::new(Reason::Timeout, message))
            }
        }
    }

    fn has_good_token(&self) -> bool {
        self.state().token.as_ref().is_some_and(|kept| kept.renew_at > Instant::now())
    }

    fn ask(
        self: &Arc<Self>,
        state: &mut State,
        timeout: Duration,
    ) -> watch::Receiver<Option<Outcome>> {
        let (sender, receiver) = watch::channel(None);
        state.asking = Some(receiver.clone());
        let source = Arc::clone(self);
        tokio::spawn(async move {
            let asking = Asking(source);
            let outcome = asking.0.renew(Instant::now() + timeout).await;
            // Whoever comes from now on asks anew, or finds the token.
            drop(asking);
            sender.send_replace(Some(outcome));
        });
        receiver
    }

    async fn renew(&self, deadline: Instant) -> Outcome {
        let refresh_token = self.refresh_token().await;
        let given = self.endpoint.ask(refresh_token.as_ref(), deadline).await?;
        if let Some(renewed) = given.refresh_token.filter(|new| Some(new) != refresh_token.as_ref())
        {
            self.state().refresh_token = Some(renewed.clone());
            if let Some(store) = &self.store {
                store.persist(&self.origin, &renewed).await;
            }
        }
        let life = given.expires_in.unwrap_or(UNTOLD_LIFE).min(LONGEST_LIFE);
        let renew_at = Instant::now() + life - MARGIN.min(life / 10);
        self.state().token = Some(Kept { secret: given.access_token.clone(), renew_at });
        Ok(given.access_token)
    }

    /// The newest refresh token: given lately, kept in the store, or written by the operator.
    async fn refresh_token(&self) -> Option<Secret> {
        let written = self.endpoint.client().refresh_token.clone()?;
        if let Some(newest) = self.state().refresh_token.clone() {
            return Some(newest);
        }
        let stored = match &self.store {
            Some(store) => store.load(&self.origin).await,
            None => None,
        };
        Some(stored.unwrap_or(written))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way, which is over when this is dropped.
struct Asking(Arc<TokenSource>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state().asking = None;
    }
}

fn ended() -> Fault {
    Fault::new(Reason::Other, "the question for an access token ended without an answer")
}

/// The name of the chain that begins with the refresh token in the file: who changes the file begins
/// another one.
fn origin(client: &OAuth2) -> String {
    let url = client.token_url.to_string();
    let written = client.refresh_token.as_ref().map_or("", Secret::expose);
    let digest = digest(&[url.as_bytes(), client.client_id.as_bytes(), written.as_bytes()]);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(client: &OAuth2) -> Key {
    let TlsOptions { ca_file, .. } = &client.tls_options;
    let secret = |secret: &Option<Secret>| {
        secret.as_ref().map(|secret| secret.expose().to_owned()).unwrap_or_default()
    };
    digest(&[
        client.token_url.to_string().as_bytes(),
        client.client_id.as_bytes(),
        secret(&client.client_secret).as_bytes(),
        client.scope.as_deref().unwrap_or_default().as_bytes(),
        secret(&client.refresh_token).as_bytes(),
        ca_file.as_ref().map_or(&[][..], |file| &*file.pem),
    ])
}

/// Of the parts and of where each ends.
fn digest(parts: &[&[u8]]) -> Key {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finish()
}
