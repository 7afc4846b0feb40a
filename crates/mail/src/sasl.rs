//! Logging in by SASL (RFC 4422), as SMTP, IMAP, POP3 and JMAP share it: which mechanism, what it says, and
//! that the server has proved what it must.
//!
//! The mechanisms are rsasl's, CRAM-MD5 apart: it has none, and the digest is OpenSSL's. The dialogue
//! is a [`SaslTransport`]'s, one for each protocol.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::config::SASLConfig;
use rsasl::mechname::Mechname;
use rsasl::prelude::{SASLClient, Session, SessionError, State};
use rsasl::property::{AuthId, AuthzId, OAuthBearerToken, Password};

pub(super) use authenticate::{
    Authenticate, LoginFailure, LoginFailureKind, Open, enter, newer, newest, open,
};

use super::trace::Trace;
use super::{Failure, Fault, Reason};
use crate::auth::{Auth, Login, Mechanism};
use crate::net::tls;
use crate::secret::Secret;
use crate::threads;

mod authenticate;

/// The longest challenge that is read, in bytes of base64; RFC 4954 section 4 allows a line of
/// 12,288.
const CHALLENGE_BYTES: usize = 12_288;
/// The most challenges of one login; no mechanism here has more than two.
const CHALLENGES: u32 = 4;
/// The most rounds of a SCRAM digest: a server that asks for more would keep a processor busy for as
/// long as it likes. Servers ask for 4,096 to 600,000.
const MOST_ITERATIONS: u32 = 2_000_000;

/// Exchanges the messages of a SASL mechanism over one protocol.
pub(super) trait SaslTransport: Send {
    /// The answer that ends the login.
    type Answer: Send;

    /// Sends the command that begins the login, with the initial response if there is one (an empty
    /// one is `=`).
    fn begin(
        &mut self,
        mechanism: Mechanism,
        initial: Option<&str>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Whether the initial response may stand in the command.
    fn takes_initial_response(&self, mechanism: Mechanism, response: &str) -> bool;

    /// Sends a line of which only `shown` may be seen.
    fn say(&mut self, line: &str, shown: &str) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What the client says next ends the login, if the server lets it in: the moment to wait for
    /// something else before.
    fn before_the_last(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What the server says next.
    fn hear(&mut self) -> impl Future<Output = Result<ServerReply<Self::Answer>, Failure>> + Send;

    /// Whether this answer lets the user in.
    fn is_success(answer: &Self::Answer) -> bool;

    /// The record of the dialogue.
    fn trace(&self) -> &Trace;
}

/// What a server says during a login.
pub(super) enum ServerReply<A> {
    /// It asks for a response; the text is base64.
    Challenge(Vec<u8>),
    /// The login is over.
    Answer(A),
}

/// The outcome of a SASL exchange that came to its end.
pub(super) struct SaslOutcome<A> {
    /// The server's answer.
    pub(super) answer: A,
    /// What the server said of a token that it refuses, made fit to be shown.
    pub(super) objection: Option<String>,
    /// Whether it is about a proof of SCRAM, for which the server had what it takes to check it.
    pub(super) is_of_a_proof: bool,
}

/// The mechanism to use of those that the server offers: the one that is named, or the strongest of
/// those for the credentials. `None` if there is none.
pub(super) fn choose(login: &Login, offers: impl Fn(&str) -> bool) -> Option<Mechanism> {
    match login.auth {
        Auth::Auto => login.mechanisms().iter().copied().find(|mechanism| offers(mechanism.name())),
        Auth::Only(mechanism) => Some(mechanism).filter(|mechanism| offers(mechanism.name())),
    }
}

/// Logs in; `secret` is the password or the access token. A refusal is an answer as well.
///
/// # Errors
/// The connection's; [`Reason::Protocol`] for a server that does not keep to the mechanism, or lets
/// the user in without having proved that it knows the password where it must.
pub(super) async fn log_in<T: SaslTransport>(
    transport: &mut T,
    mechanism: Mechanism,
    username: &str,
    secret: &Secret,
) -> Result<SaslOutcome<T::Answer>, Failure> {
    let begun = Exchange::begin(mechanism, username, secret);
    let mut exchange = begun.map_err(|fault| transport.trace().failure(fault))?;
    let mut initial = exchange.initial.take();
    let sent = initial.clone().filter(|text| transport.takes_initial_response(mechanism, text));
    if let Some(response) = &sent {
        exchange.hide(transport, response);
    }
    let written = sent.as_deref().map(|response| if response.is_empty() { "=" } else { response });
    transport.begin(mechanism, written).await?;
    // A server that passes over the initial response asks for it with an empty challenge.
    let mut is_first = true;
    loop {
        let challenge = match transport.hear().await? {
            ServerReply::Challenge(challenge) => challenge,
            ServerReply::Answer(answer) => return conclude(transport, exchange, answer),
        };
        let was_sent = sent.is_some() && !(is_first && challenge.trim_ascii().is_empty());
        is_first = false;
        let (next, response) = match initial.take().filter(|_| !was_sent) {
            Some(initial) => (exchange, Ok(initial)),
            None => answer_challenge(exchange, challenge).await,
        };
        exchange = next;
        match response {
            Ok(response) => {
                exchange.hide(transport, &response);
                if exchange.is_at_its_last() {
                    transport.before_the_last().await;
                }
                transport.say(&response, Secret::SHOWN).await?;
            }
            Err(fault) => return Err(cancel(transport, fault).await),
        }
    }
}

/// The digest of a SCRAM password takes long enough to hold up everybody else on this thread.
async fn answer_challenge(
    mut exchange: Exchange,
    challenge: Vec<u8>,
) -> (Exchange, Result<String, Fault>) {
    if !exchange.is_scram() {
        let response = exchange.respond(&challenge);
        return (exchange, response);
    }
    let spare = Exchange::over(exchange.mechanism);
    let work = threads::run(move || {
        let response = exchange.respond(&challenge);
        (exchange, response)
    });
    work.await.unwrap_or_else(|none| (spare, Err(none.fault("the digest of the password failed"))))
}

fn conclude<T: SaslTransport>(
    transport: &T,
    exchange: Exchange,
    answer: T::Answer,
) -> Result<SaslOutcome<T::Answer>, Failure> {
    if T::is_success(&answer) && exchange.is_scram() && !exchange.is_finished {
        let name = exchange.mechanism.name();
        let message = format!(
            "the server let the user in without the proof of {name} that it knows the password; \
             somebody may stand between"
        );
        return Err(transport.trace().failure(Fault::new(Reason::Protocol, message)));
    }
    let words = |objection: Vec<u8>| transport.trace().words(&objection);
    let is_of_a_proof = exchange.is_scram() && exchange.challenges > 0;
    Ok(SaslOutcome { answer, objection: exchange.objection.map(words), is_of_a_proof })
}

/// Gives the login up (RFC 4954 section 4, RFC 3501 section 6.2.2, RFC 5034 section 4), so that the
/// server is not left waiting. What comes of it does not matter.
async fn cancel<T: SaslTransport>(transport: &mut T, fault: Fault) -> Failure {
    if transport.say("*", "*").await.is_ok() {
        let _ = transport.hear().await;
    }
    transport.trace().failure(fault)
}

/// The client's side of one login.
pub(crate) struct Exchange {
    mechanism: Mechanism,
    /// `None`: CRAM-MD5, or nothing more to say.
    session: Option<Session>,
    identity: Identity,
    /// What the client says first, in base64; `None` where the server does.
    pub(crate) initial: Option<String>,
    pub(crate) is_finished: bool,
    challenges: u32,
    pub(crate) objection: Option<Vec<u8>>,
}

/// Who logs in; answers what rsasl asks.
#[derive(Clone)]
struct Identity {
    username: String,
    secret: Secret,
    /// Who to act as: said by OAUTHBEARER alone (RFC 7628 section 3.1).
    acts_as: Option<String>,
}

impl SessionCallback for Identity {
    fn callback(
        &self,
        _: &SessionData,
        _: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        let secret = self.secret.expose();
        request
            .satisfy::<AuthId>(&self.username)?
            .satisfy::<Password>(secret.as_bytes())?
            .satisfy::<OAuthBearerToken>(secret)?;
        if let Some(name) = &self.acts_as {
            request.satisfy::<AuthzId>(name)?;
        }
        Ok(())
    }
}

impl Exchange {
    pub(crate) fn begin(
        mechanism: Mechanism,
        username: &str,
        secret: &Secret,
    ) -> Result<Self, Fault> {
        let mut identity =
            Identity { username: username.to_owned(), secret: secret.clone(), acts_as: None };
        let mut is_first = true;
        match mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                identity.username = prepared(username);
                identity.secret = Secret::new(prepared(secret.expose()));
            }
            Mechanism::OAuthBearer => {
                // A saslname (RFC 5801 section 4); rsasl writes it as it is.
                identity.acts_as = Some(username.replace('=', "=3D").replace(',', "=2C"));
            }
            Mechanism::CramMd5 | Mechanism::Login => is_first = false,
            Mechanism::Plain | Mechanism::XOAuth2 => {}
        }
        let mut exchange = Self { identity, ..Self::over(mechanism) };
        exchange.session = match mechanism {
            Mechanism::CramMd5 => None,
            _ => Some(session(mechanism, exchange.identity.clone())?),
        };
        if is_first {
            exchange.initial = Some(exchange.step(None)?);
        }
        Ok(exchange)
    }

    /// One that has nothing more to say.
    fn over(mechanism: Mechanism) -> Self {
        let identity =
            Identity { username: String::new(), secret: Secret::new(String::new()), acts_as: None };
        Self {
            mechanism,
            session: None,
            identity,
            initial: None,
            is_finished: false,
            challenges: 0,
            objection: None,
        }
    }

    fn is_scram(&self) -> bool {
        matches!(self.mechanism, Mechanism::ScramSha1 | Mechanism::ScramSha256)
    }

    /// Whether the newest response is the last one, if the server lets the user in.
    fn is_at_its_last(&self) -> bool {
        self.is_finished || matches!(self.mechanism, Mechanism::XOAuth2 | Mechanism::OAuthBearer)
    }

    /// The response to a challenge, both in base64.
    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<String, Fault> {
        self.challenges += 1;
        if challenge.len() > CHALLENGE_BYTES {
            return Err(self.broken(&format!("sent a challenge of {} bytes", challenge.len())));
        }
        if self.is_finished || self.challenges > CHALLENGES {
            return Err(self.broken("asks for more than the mechanism has"));
        }
        match self.mechanism {
            // What a server asks for in these is not for programs.
            Mechanism::Plain | Mechanism::Login => self.step(Some(&[])),
            Mechanism::CramMd5 => {
                let challenge = self.decode(challenge)?;
                self.is_finished = true;
                self.cram_md5(&challenge)
            }
            Mechanism::ScramSha1 | Mechanism::ScramSha256 => {
                let challenge = self.decode(challenge)?;
                self.check_scram(&challenge)?;
                self.step(Some(&challenge))
            }
            // The token was refused, and the server says why. The answer to that is empty (XOAUTH2)
            // or one separator (RFC 7628 section 3.2.3).
            Mechanism::XOAuth2 | Mechanism::OAuthBearer => {
                self.objection = Some(self.decode(challenge)?);
                self.is_finished = true;
                let farewell: &[u8] =
                    if self.mechanism == Mechanism::XOAuth2 { b"" } else { b"\x01" };
                Ok(BASE64_STANDARD.encode(farewell))
            }
        }
    }

    fn step(&mut self, challenge: Option<&[u8]>) -> Result<String, Fault> {
        let mut response = Vec::new();
        let Some(session) = &mut self.session else {
            return Err(self.broken("asks for more than the mechanism has"));
        };
        match session.step(challenge, &mut response) {
            Ok(state) => {
                self.is_finished = matches!(state, State::Finished(_));
                Ok(BASE64_STANDARD.encode(response))
            }
            Err(error) => {
                // rsasl must not be asked again after an error.
                self.session = None;
                Err(self.explain(&error))
            }
        }
    }

    fn explain(&self, error: &SessionError) -> Fault {
        let name = self.mechanism.name();
        match error {
            SessionError::MutualAuthenticationFailed => {
                let message = format!(
                    "the server's proof of {name} is wrong: it does not know the password, or \
                     somebody stands between"
                );
                Fault::new(Reason::Protocol, message)
            }
            _ => self.broken(&format!("does not keep to it: {error}")),
        }
    }

    fn decode(&self, challenge: &[u8]) -> Result<Vec<u8>, Fault> {
        BASE64_STANDARD
            .decode(challenge.trim_ascii())
            .map_err(|_| self.broken("sent a challenge that is not base64"))
    }

    /// Attributes are a letter, `=` and a value (RFC 5802 section 5.1); rsasl takes that for granted. And `i=`
    /// in the server's first message.
    fn check_scram(&self, challenge: &[u8]) -> Result<(), Fault> {
        let attributes = challenge.split(|byte| *byte == b',');
        if attributes.clone().any(|attribute| attribute.get(1) != Some(&b'=')) {
            return Err(self.broken("sent a challenge that is not one of SCRAM"));
        }
        for count in attributes.filter_map(|attribute| attribute.strip_prefix(b"i=")) {
            let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok());
            if count.is_none_or(|count: u32| count > MOST_ITERATIONS) {
                let what = format!("asks for more than {MOST_ITERATIONS} rounds of its digest");
                return Err(self.broken(&what));
            }
        }
        Ok(())
    }

    /// User name and digest (RFC 2195 section 2).
    fn cram_md5(&self, challenge: &[u8]) -> Result<String, Fault> {
        let Identity { username, secret, .. } = &self.identity;
        let digest = keyed_md5(secret.expose().as_bytes(), challenge).map_err(|error| {
            let message = format!(
                "MD5 is not to be had on this machine ({}); name another mechanism with the key auth",
                tls::words(&error)
            );
            Fault::new(Reason::Other, message)
        })?;
        Ok(BASE64_STANDARD.encode(format!("{username} {digest}")))
    }

    /// Keeps a response from being shown, should the server echo it. That of LOGIN holds nothing but
    /// what is kept from that already.
    fn hide<T: SaslTransport>(&self, transport: &T, response: &str) {
        if self.mechanism == Mechanism::Login || response.len() < 8 {
            return;
        }
        transport.trace().hide(response);
        let decoded = BASE64_STANDARD.decode(response).unwrap_or_default();
        let text = String::from_utf8_lossy(&decoded);
        let proof = match self.mechanism {
            Mechanism::CramMd5 => text.rsplit(' ').next(),
            _ => text.split(',').find_map(|attribute| attribute.strip_prefix("p=")),
        };
        if let Some(proof) = proof {
            transport.trace().hide(proof);
        }
    }

    fn broken(&self, what: &str) -> Fault {
        let message = format!("in the login by {} the server {what}", self.mechanism.name());
        Fault::new(Reason::Protocol, message)
    }
}

fn session(mechanism: Mechanism, identity: Identity) -> Result<Session, Fault> {
    let start = || {
        let name =
            Mechname::parse(mechanism.name().as_bytes()).map_err(|error| error.to_string())?;
        let config = SASLConfig::builder().with_defaults().with_callback(identity);
        let client = SASLClient::new(config.map_err(|error| error.to_string())?);
        client.start_suggested(&[name]).map_err(|error| error.to_string())
    };
    start().map_err(|error: String| {
        let message = format!("cannot begin a login by {}: {error}", mechanism.name());
        Fault::new(Reason::Other, message)
    })
}

/// User name or password as SCRAM digests it (RFC 4013). One that must not be prepared, as for a
/// control character, is taken as it is: servers that accept such a password do the same.
fn prepared(text: &str) -> String {
    stringprep::saslprep(text).map_or_else(|_| text.to_owned(), |prepared| prepared.into_owned())
}

fn keyed_md5(key: &[u8], text: &[u8]) -> Result<String, openssl::error::ErrorStack> {
    let key = PKey::hmac(key)?;
    let mut signer = Signer::new(MessageDigest::md5(), &key)?;
    signer.update(text)?;
    Ok(signer.sign_to_vec()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
