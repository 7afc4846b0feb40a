//! Where a server is, and how the connection to it is made and protected.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A host as it stands before a port: an IPv6 address in brackets.
pub struct BracketedHost<'a>(pub &'a str);

impl fmt::Display for BracketedHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// Where a server listens, and how the connection to it is protected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// A host name in ASCII and lower case, or an address without brackets; by `mx` a domain. A name
    /// that ends with a dot is looked up in no search domain.
    pub host: String,
    /// Whether the hosts are found by the MX records of the domain in `host`.
    pub mx: bool,
    /// The TCP port, never 0.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// The details of that; unused with [`TlsMode::None`]. Shared by all that stand for this server.
    pub tls_options: Arc<TlsOptions>,
    /// Which addresses of the host are tried.
    pub ip_family: IpFamily,
    /// The longest wait for one reply.
    pub timeout: Duration,
}

/// For people: host and port, an IPv6 address in brackets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_domain = if self.mx { "the MX of " } else { "" };
        write!(f, "{of_domain}{}:{}", BracketedHost(&self.host), self.port)
    }
}

impl Endpoint {
    /// How long one reply is waited for where nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// A host with a port: addresses of both families, the system's authorities, and
    /// [`Endpoint::TIMEOUT`] for each reply.
    pub fn new(host: impl Into<String>, port: u16, tls: TlsMode) -> Self {
        Self {
            host: host.into(),
            mx: false,
            port,
            tls,
            tls_options: Arc::default(),
            ip_family: IpFamily::Any,
            timeout: Self::TIMEOUT,
        }
    }

    /// The same with another limit for one reply.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The host without the dot that may end it: what a certificate and SNI have, and by which it is
    /// the same host.
    pub fn name(&self) -> &str {
        without_final_dot(&self.host)
    }
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// TLS by command on a connection that begins in the clear; required, not opportunistic.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// No TLS: passwords travel in the clear.
    None,
}

impl TlsMode {
    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            TlsMode::StartTls => "starttls",
            TlsMode::Implicit => "implicit",
            TlsMode::None => "none",
        }
    }
}

/// `tls_options`. The files are read when the configuration is, so that a changed file is a
/// changed configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TlsOptions {
    /// The authorities to trust instead of the system's, PEM.
    pub ca_file: Option<PemFile>,
    /// The name that the certificate must carry, also sent as SNI; `None`: the host.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// The oldest version accepted.
    pub min_version: TlsVersion,
    /// The client's own certificate and key.
    pub identity: Option<ClientIdentity>,
}

/// A PEM file and what was in it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PemFile {
    /// Where it was read.
    pub path: PathBuf,
    /// Its bytes.
    pub pem: Arc<[u8]>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PemFile({})", self.path.display())
    }
}

/// A client certificate with its private key; both were parsed and fit together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// The certificate and the chain below it.
    pub cert_file: PemFile,
    /// The private key.
    pub key_file: PemFile,
}

/// A TLS protocol version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TlsVersion {
    /// TLS 1.0, only where the configuration asks for it.
    Tls10,
    /// TLS 1.1, only where the configuration asks for it.
    Tls11,
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            TlsVersion::Tls10 => "1.0",
            TlsVersion::Tls11 => "1.1",
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        }
    }
}

/// Which addresses of a host are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum IpFamily {
    /// Both: the address that answers first is used.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl IpFamily {
    /// The word of the configuration.
    pub fn label(self) -> &'static str {
        match self {
            IpFamily::Any => "any",
            IpFamily::V4 => "4",
            IpFamily::V6 => "6",
        }
    }
}

/// What is spoken at a port, so that a check can take its leave as a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// In which protocol.
    pub protocol: Spoken,
    /// Whether it begins with TLS.
    pub begins_with_tls: bool,
}

/// A protocol with a greeting and a farewell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// QUIT (RFC 5321 section 4.1.1.10).
    Smtp,
    /// LOGOUT (RFC 3501 section 6.1.3).
    Imap,
    /// QUIT (RFC 1939 section 4).
    Pop3,
}

impl Spoken {
    /// Its name, as people write it.
    pub fn label(self) -> &'static str {
        match self {
            Spoken::Smtp => "SMTP",
            Spoken::Imap => "IMAP",
            Spoken::Pop3 => "POP3",
        }
    }
}

impl Service {
    /// What is spoken at a port that IANA has given to a mail service.
    pub fn at(port: u16) -> Option<Self> {
        let (protocol, begins_with_tls) = match port {
            25 | 587 => (Spoken::Smtp, false),
            465 => (Spoken::Smtp, true),
            143 => (Spoken::Imap, false),
            993 => (Spoken::Imap, true),
            110 => (Spoken::Pop3, false),
            995 => (Spoken::Pop3, true),
            _ => return None,
        };
        Some(Self { protocol, begins_with_tls })
    }
}

/// A name without the dot that ends it in the DNS: certificates, SNI (RFC 6066 section 3) and HTTP
/// have it without.
pub fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
