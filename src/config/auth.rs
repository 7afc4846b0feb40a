//! How a login is made.

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
