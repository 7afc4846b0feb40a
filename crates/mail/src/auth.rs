//! How a login is made.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::options::{BracketedHost, TlsOptions};
use crate::secret::Secret;
use crate::secret_source::{Look, SecretSource};

/// An account on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub username: String,
    /// What proves that it may be used.
    pub credentials: Credentials,
    /// Which mechanism is used; it fits the credentials.
    pub auth: Auth,
}

impl Login {
    /// A user name and a password, used by the strongest mechanism that the server offers.
    pub fn with_password(username: impl Into<String>, password: impl Into<String>) -> Self {
        let password = SecretSource::Fixed(Secret::new(password.into()));
        let credentials = Credentials::Password(password);
        Self { username: username.into(), credentials, auth: Auth::Auto }
    }

    /// The mechanisms that these credentials are for, the strongest first.
    pub fn mechanisms(&self) -> &'static [Mechanism] {
        match self.credentials {
            Credentials::Password(_) => &Mechanism::WITH_PASSWORD,
            Credentials::OAuth2(_) => &Mechanism::WITH_TOKEN,
        }
    }

    /// Whether a command that needs a password may stand in for the mechanisms.
    pub fn has_password(&self) -> bool {
        matches!(self.credentials, Credentials::Password(_))
    }

    /// Whether the protocol's own command for a name and a password may be used: LOGIN, USER and PASS.
    pub fn may_use_command(&self) -> bool {
        self.has_password() && matches!(self.auth, Auth::Auto | Auth::Only(Mechanism::Login))
    }

    /// Where its access tokens come from, if it needs them.
    pub fn oauth2(&self) -> Option<&Arc<OAuth2>> {
        match &self.credentials {
            Credentials::Password(_) => None,
            Credentials::OAuth2(provider) => Some(provider),
        }
    }

    /// The same with the password that its file holds now, which stays as it is in what is returned.
    /// `look` says when the file is read, which ends at `end`.
    pub(crate) async fn with_newest(&self, look: Look, end: Instant) -> Cow<'_, Self> {
        match &self.credentials {
            Credentials::Password(source @ SecretSource::File(_)) => {
                source.look(look, end).await;
                let password = SecretSource::Fixed(source.value());
                Cow::Owned(Self { credentials: Credentials::Password(password), ..self.clone() })
            }
            Credentials::Password(SecretSource::Fixed(_)) | Credentials::OAuth2(_) => {
                Cow::Borrowed(self)
            }
        }
    }

    /// Why the file of its password is of no use, with its path.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.credentials {
            Credentials::Password(source) => source.trouble(),
            Credentials::OAuth2(_) => None,
        }
    }
}

/// `auth`: by which mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Auth {
    /// By the strongest that server and program have in common.
    #[default]
    Auto,
    /// By this one, or not at all.
    Only(Mechanism),
}

impl Auth {
    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            Auth::Auto => "auto",
            Auth::Only(mechanism) => mechanism.label(),
        }
    }
}

/// A SASL mechanism (RFC 4422).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mechanism {
    /// The password as it is (RFC 4616).
    Plain,
    /// User name and password as they are, one after the other. Where a server does not offer it,
    /// the LOGIN command of IMAP, and USER and PASS of POP3.
    Login,
    /// A keyed digest of the server's challenge (RFC 2195).
    CramMd5,
    /// Proof of the password by both sides (RFC 5802).
    ScramSha1,
    /// The same with SHA-256 (RFC 7677).
    ScramSha256,
    /// An OAuth2 access token, as Google and Microsoft took it before there was a standard.
    XOAuth2,
    /// An OAuth2 access token (RFC 7628).
    OAuthBearer,
}

impl Mechanism {
    /// Those that need a password, the strongest first: first the two by which the server proves
    /// that it knows the password as well, then that which does not show it.
    pub const WITH_PASSWORD: [Mechanism; 5] = [
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::CramMd5,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// Those that need an access token, the standard first.
    pub const WITH_TOKEN: [Mechanism; 2] = [Mechanism::OAuthBearer, Mechanism::XOAuth2];

    /// Its registered name, as servers offer it.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::XOAuth2 => "XOAUTH2",
            Mechanism::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            Mechanism::Plain => "plain",
            Mechanism::Login => "login",
            Mechanism::CramMd5 => "cram-md5",
            Mechanism::ScramSha1 => "scram-sha-1",
            Mechanism::ScramSha256 => "scram-sha-256",
            Mechanism::XOAuth2 => "xoauth2",
            Mechanism::OAuthBearer => "oauthbearer",
        }
    }
}

/// What proves that a login is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The password of the account.
    Password(SecretSource),
    /// Access tokens of an OAuth2 provider.
    OAuth2(Arc<OAuth2>),
}

impl Credentials {
    /// Whether both prove the same now, wherever it comes from.
    pub fn prove_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Password(one), Self::Password(other)) => one.value() == other.value(),
            _ => self == other,
        }
    }
}

/// `oauth2`: where access tokens come from (RFC 6749). With a refresh token it is renewed in the name
/// of the user who gave it (section 6), without one the client asks in its own (section 4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The token endpoint.
    pub token_url: TokenUrl,
    /// The name of this client at the provider.
    pub client_id: String,
    /// Its password there; a client that has a refresh token may have none.
    pub client_secret: Option<SecretSource>,
    /// What the tokens are to allow, words separated by spaces.
    pub scope: Option<String>,
    /// The refresh token as the operator has written it.
    pub refresh_token: Option<SecretSource>,
    /// `ca_file`, for a provider whose certificate the system does not trust.
    pub tls_options: TlsOptions,
}

/// The address of a token endpoint: https, without credentials or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUrl {
    /// The host as in [`crate::options::Endpoint`].
    pub host: String,
    /// The port; 443 if none is written.
    pub port: u16,
    /// Path and query, beginning with a slash.
    pub path: String,
}

impl fmt::Display for TokenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", BracketedHost(&self.host))?;
        if self.port != 443 {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}
