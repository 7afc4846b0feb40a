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
use crate::secret_source::{Look, SecretSource};
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
    /// By a digest of everything that a provider is asked with; secrets by where they come from.
    sources: Mutex<HashMap<Key, Arc<TokenSource>>>,
    /// Where renewed refresh tokens are kept; `None`: they end with the process.
    store: Option<Arc<dyn TokenStore>>,
}

/// A digest.
type Key = [u8; 32];

/// The access tokens of one client.
pub struct TokenSource {
    endpoint: Endpoint,
    store: Option<Arc<dyn TokenStore>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Kept>,
    /// The newest refresh token; `None`: that of the store, or of the file.
    refresh_token: Option<Renewed>,
    /// The question under way.
    asking: Option<watch::Receiver<Option<Outcome>>>,
}

#[derive(Clone)]
struct Kept {
    secret: Secret,
    renew_at: Instant,
    /// With what the client has asked for it.
    asked_with: Key,
}

/// A refresh token that the provider has given in place of the written one.
struct Renewed {
    written: Secret,
    newest: Secret,
}

/// The secrets of a client, as they are in its files at one time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ClientSecrets {
    pub(crate) client_secret: Option<Secret>,
    /// As the operator has written it.
    pub(crate) refresh_token: Option<Secret>,
}

impl ClientSecrets {
    fn of(client: &OAuth2) -> Self {
        let value = |source: &Option<SecretSource>| source.as_ref().map(SecretSource::value);
        let (client_secret, refresh_token) = (&client.client_secret, &client.refresh_token);
        Self { client_secret: value(client_secret), refresh_token: value(refresh_token) }
    }

    /// After a look at the files, which ends at `end`.
    async fn read(client: &OAuth2, look: Look, end: Instant) -> Self {
        for source in client.client_secret.iter().chain(&client.refresh_token) {
            source.look(look, end).await;
        }
        Self::of(client)
    }

    fn digest(&self) -> Key {
        let bytes = |secret: &Option<Secret>| {
            secret.as_ref().map(|secret| secret.expose().as_bytes().to_owned()).unwrap_or_default()
        };
        digest(&[&bytes(&self.client_secret), &bytes(&self.refresh_token)])
    }
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
        let secrets = ClientSecrets::read(self.endpoint.client(), Look::IfChanged, end).await;
        let asked_with = secrets.digest();
        let is_good = |kept: &Kept| {
            kept.renew_at > Instant::now()
                && refused != Some(&kept.secret)
                && kept.asked_with == asked_with
        };
        let mut answer = {
            let mut state = self.state();
            if let Some(kept) = state.token.take().filter(is_good) {
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

    /// Asks with what the files hold. After a refusal they are read in any case, and it is asked once more
    /// if they hold something else.
    async fn renew(&self, deadline: Instant) -> Outcome {
        let client = self.endpoint.client();
        let secrets = ClientSecrets::of(client);
        let refusal = match self.renew_with(&secrets, deadline).await {
            Err(fault) if fault.reason == Reason::Auth => fault,
            outcome => return outcome,
        };
        let newer = ClientSecrets::read(client, Look::Always, deadline).await;
        if newer == secrets {
            return Err(self.endpoint.troubled(refusal));
        }
        self.renew_with(&newer, deadline).await
    }

    async fn renew_with(&self, secrets: &ClientSecrets, deadline: Instant) -> Outcome {
        let refresh_token = self.refresh_token(secrets).await;
        let client_secret = secrets.client_secret.as_ref();
        let given = self.endpoint.ask(client_secret, refresh_token.as_ref(), deadline).await?;
        if let (Some(written), Some(newest)) = (&secrets.refresh_token, given.refresh_token)
            && Some(&newest) != refresh_token.as_ref()
        {
            let renewed = Renewed { written: written.clone(), newest: newest.clone() };
            self.state().refresh_token = Some(renewed);
            if let Some(store) = &self.store {
                store.persist(&self.origin(written), &newest).await;
            }
        }
        let life = given.expires_in.unwrap_or(UNTOLD_LIFE).min(LONGEST_LIFE);
        let renew_at = Instant::now() + life - MARGIN.min(life / 10);
        let (secret, asked_with) = (given.access_token.clone(), secrets.digest());
        self.state().token = Some(Kept { secret, renew_at, asked_with });
        Ok(given.access_token)
    }

    /// The newest refresh token: given lately, kept in the store, or written by the operator.
    async fn refresh_token(&self, secrets: &ClientSecrets) -> Option<Secret> {
        let written = secrets.refresh_token.as_ref()?;
        if let Some(renewed) = &self.state().refresh_token
            && renewed.written == *written
        {
            return Some(renewed.newest.clone());
        }
        let stored = match &self.store {
            Some(store) => store.load(&self.origin(written)).await,
            None => None,
        };
        Some(stored.unwrap_or_else(|| written.clone()))
    }

    /// The name of the chain that begins with the refresh token in the file: who changes the file begins
    /// another one.
    fn origin(&self, written: &Secret) -> String {
        let client = self.endpoint.client();
        let url = client.token_url.to_string();
        let parts = [url.as_bytes(), client.client_id.as_bytes(), written.expose().as_bytes()];
        digest(&parts).iter().map(|byte| format!("{byte:02x}")).collect()
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

fn key(client: &OAuth2) -> Key {
    let TlsOptions { ca_file, .. } = &client.tls_options;
    let source = |source: &Option<SecretSource>| {
        source.as_ref().map(SecretSource::identifier).unwrap_or_default()
    };
    digest(&[
        client.token_url.to_string().as_bytes(),
        client.client_id.as_bytes(),
        &source(&client.client_secret),
        client.scope.as_deref().unwrap_or_default().as_bytes(),
        &source(&client.refresh_token),
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
