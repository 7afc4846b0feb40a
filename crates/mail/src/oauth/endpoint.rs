//! One question to a token endpoint: a form by POST over verified TLS, and its answer in JSON
//! (RFC 6749 sections 4.4, 5 and 6). No redirect is followed: the form holds secrets.

use std::time::Duration;

use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::Fault;
use crate::auth::OAuth2;
use crate::http;
use crate::net::tls::TlsClient;
use crate::options::TlsMode;
use crate::secret::Secret;
use crate::secret_source::SecretSource;
use crate::text::Scrubber;
use ledger::Reason;

/// The longest answer that is read.
const BODY_BYTES: usize = 64 << 10;

/// A token endpoint and who asks it.
pub(crate) struct Endpoint {
    client: OAuth2,
    tls: TlsClient,
}

/// What it gave.
pub(crate) struct Given {
    pub(crate) access_token: Secret,
    /// How long the token is good.
    pub(crate) expires_in: Option<Duration>,
    /// A refresh token that takes the place of the one that was sent.
    pub(crate) refresh_token: Option<Secret>,
}

/// The members of either answer (RFC 6749 sections 5.1 and 5.2).
#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Some providers write numbers as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Endpoint {
    pub(crate) fn new(client: OAuth2, tls: TlsClient) -> Self {
        Self { client, tls }
    }

    pub(super) fn client(&self) -> &OAuth2 {
        &self.client
    }

    pub(super) fn host(&self) -> &str {
        &self.client.token_url.host
    }

    /// Asks for an access token, with this refresh token or in the client's own name.
    pub(super) async fn ask(
        &self,
        client_secret: Option<&Secret>,
        refresh_token: Option<&Secret>,
        deadline: Instant,
    ) -> Result<Given, Fault> {
        let scrubber = self.scrubber(refresh_token);
        let form = self.form(client_secret, refresh_token);
        let outcome = self.exchange(form, deadline).await;
        let (status, body) = outcome.map_err(|fault| self.named(fault))?;
        self.read(status, &body, &scrubber).map_err(|fault| self.named(fault))
    }

    fn form(&self, client_secret: Option<&Secret>, refresh_token: Option<&Secret>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match refresh_token {
            Some(token) => form
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token.expose()),
            None => form.append_pair("grant_type", "client_credentials"),
        };
        form.append_pair("client_id", &self.client.client_id);
        if let Some(secret) = client_secret {
            form.append_pair("client_secret", secret.expose());
        }
        if let Some(scope) = &self.client.scope {
            form.append_pair("scope", scope);
        }
        form.finish()
    }

    async fn exchange(&self, form: String, deadline: Instant) -> Result<http::Answer, Fault> {
        let url = &self.client.token_url;
        let endpoint = crate::options::Endpoint {
            tls_options: self.client.tls_options.clone().into(),
            timeout: deadline.saturating_duration_since(Instant::now()),
            ..crate::options::Endpoint::new(&url.host, url.port, TlsMode::Implicit)
        };
        let form_type = "application/x-www-form-urlencoded";
        let post = Request::post(&url.path).header(CONTENT_TYPE, form_type);
        let request = http::question(&endpoint, 443, post, form)?;
        http::ask(&endpoint, Some(&self.tls), request, BODY_BYTES, deadline).await
    }

    pub(crate) fn read(
        &self,
        status: StatusCode,
        body: &[u8],
        scrubber: &Scrubber,
    ) -> Result<Given, Fault> {
        let answer: Option<Answer> = serde_json::from_slice(body).ok();
        let error = answer.as_ref().and_then(|answer| answer.error.as_deref());
        if error.is_some() || !status.is_success() {
            let described = answer.as_ref().and_then(|answer| answer.error_description.as_deref());
            let said: Vec<&str> = error.into_iter().chain(described).collect();
            let said = scrubber.show(said.join(": ").as_bytes());
            let separator = if said.is_empty() { "" } else { ", " };
            let redirect =
                if status.is_redirection() { " (redirects are not followed)" } else { "" };
            let status_code = status.as_u16();
            let message =
                format!("refused with HTTP status {status_code}{redirect}{separator}{said}");
            return Err(Fault::new(refusal(status, error), message));
        }
        let no_answer =
            |what: &str| Fault::new(Reason::Protocol, format!("{what} (HTTP status {status})"));
        let answer = answer.ok_or_else(|| no_answer("the answer is not the JSON of a token"))?;
        let token = answer.access_token.filter(|token| is_token(token));
        let token = token.ok_or_else(|| no_answer("the answer holds no access token"))?;
        if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(no_answer("the answer holds a token that is not a bearer token"));
        }
        let seconds = answer.expires_in.and_then(|seconds| match seconds {
            Seconds::Number(seconds) => Some(seconds),
            Seconds::Text(text) => text.parse().ok(),
        });
        Ok(Given {
            access_token: Secret::new(token),
            expires_in: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            refresh_token: answer.refresh_token.filter(|token| is_token(token)).map(Secret::new),
        })
    }

    /// Says whose fault it is. A provider that is not there does not mean that the mail server is
    /// down.
    fn named(&self, fault: Fault) -> Fault {
        let message = format!("the token endpoint {}: {}", self.host(), fault.message);
        Fault { message, down: false, ..fault }
    }

    /// A refusal, with what is wrong with the files of the secrets.
    pub(super) fn troubled(&self, refusal: Fault) -> Fault {
        let sources = self.client.client_secret.iter().chain(&self.client.refresh_token);
        let troubles = sources.filter_map(SecretSource::trouble);
        troubles.fold(refusal, |fault, trouble| {
            let message = format!("{}; the secret is an old one: {trouble}", fault.message);
            Fault { message, ..fault }
        })
    }

    /// For an endpoint that repeats what it was asked with, now or before.
    pub(crate) fn scrubber(&self, refresh_token: Option<&Secret>) -> Scrubber {
        let mut scrubber = Scrubber::default();
        let sources = self.client.client_secret.iter().chain(&self.client.refresh_token);
        for secret in sources.flat_map(SecretSource::known).chain(refresh_token.cloned()) {
            scrubber.hide_all_forms(secret.expose());
        }
        scrubber
    }
}

/// The codes are those of RFC 6749 section 5.2 and 4.1.2.1.
fn refusal(status: StatusCode, error: Option<&str>) -> Reason {
    match (error, status.as_u16()) {
        (Some("invalid_client" | "invalid_grant" | "unauthorized_client"), _) => Reason::Auth,
        (Some("temporarily_unavailable" | "server_error"), _) | (_, 429 | 500..=599) => {
            Reason::Deferred
        }
        (None, 401) => Reason::Auth,
        (Some(_), _) | (None, 400..=499) => Reason::Rejected,
        // Above all a redirect.
        _ => Reason::Protocol,
    }
}

/// Whether it can stand in a login (RFC 6750 section 2.1), and is of a length that servers take.
fn is_token(token: &str) -> bool {
    !token.is_empty() && token.len() <= 16_384 && token.bytes().all(|byte| byte.is_ascii_graphic())
}
