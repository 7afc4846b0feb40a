//! The one TLS policy: what is trusted, what is refused, and what is reported about it.
//!
//! A handshake is always completed if the peers can agree at all, so that the certificate that made
//! it fail can be read; a certificate that does not hold is then refused here, before a single
//! byte of the dialogue, and so before any credential, is sent.

use ledger::TlsFacts;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    SslConnector, SslContextBuilder, SslMethod, SslOptions, SslRef, SslVerifyMode, SslVersion,
};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509VerifyResult};
use tokio::time::{Instant, timeout_at};
use tokio_openssl::SslStream;

use authorities::Places;
use format::{WAY_OUT, handshake_fault};
pub use format::{io_clue, io_words, words};
pub use session::{Resumption, SessionMemory};

use super::{ReadAhead, Socket};
use crate::Fault;
use crate::options::{Endpoint, TlsOptions, TlsVersion};
use crate::text;
use ledger::{Reason, Shortage};

mod authorities;
mod format;
mod session;

/// A client side of TLS, ready to shake hands; a clone shares the trusted authorities.
#[derive(Clone)]
pub struct TlsClient {
    connector: SslConnector,
    server_name: Option<String>,
    verify: bool,
    /// Where the authorities are if they are the system's.
    system: Option<Arc<Places>>,
}

/// How a handshake ended.
pub struct Handshake {
    /// What the server has shown, also with a certificate that is refused; `None` if it came to nothing.
    pub facts: Option<TlsFacts>,
    /// Why the certificate would be refused, where the options accept any.
    pub objection: Option<Fault>,
    /// The protected connection.
    pub outcome: Result<SslStream<ReadAhead>, Fault>,
}

/// The clients in use, one for each set of options: the system's authorities are read once, not at
/// each connection.
#[derive(Default)]
pub struct TlsClients(Mutex<HashMap<TlsOptions, TlsClient>>);

impl TlsClients {
    /// The client for these options.
    ///
    /// # Errors
    /// What OpenSSL says of the options' files.
    pub fn client(&self, options: &TlsOptions) -> Result<TlsClient, ErrorStack> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(options) {
            return Ok(client.clone());
        }
        let client = TlsClient::new(options)?;
        clients.insert(options.clone(), client.clone());
        Ok(client)
    }

    /// Drops the clients whose options are not among `used`.
    pub fn keep_only<'a>(&self, used: impl Iterator<Item = &'a TlsOptions>) {
        let used: std::collections::HashSet<&TlsOptions> = used.collect();
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|options, _| used.contains(options));
    }
}

/// `SSL_OP_LEGACY_SERVER_CONNECT` of OpenSSL, which the openssl crate does not name.
const LEGACY_SERVER_CONNECT: u64 = 0x4;

impl TlsClient {
    /// Whether this machine has no authorities of its own, by which any certificate would be refused.
    pub(crate) fn lacks_authorities(&self) -> bool {
        self.system.as_ref().is_some_and(|places| places.are_empty())
    }

    /// Builds the client: versions, authorities, own certificate.
    ///
    /// # Errors
    /// What OpenSSL says of the options' files.
    pub fn new(options: &TlsOptions) -> Result<Self, ErrorStack> {
        let mut builder = SslConnector::builder(SslMethod::tls_client())?;
        builder.set_min_proto_version(Some(match options.min_version {
            TlsVersion::Tls10 => SslVersion::TLS1,
            TlsVersion::Tls11 => SslVersion::TLS1_1,
            TlsVersion::Tls12 => SslVersion::TLS1_2,
            TlsVersion::Tls13 => SslVersion::TLS1_3,
        }))?;
        // Keys of 112 bits, which is RSA from 2048 on, and no SHA-1; whatever the system's own level is.
        builder.set_security_level(2);
        if options.min_version < TlsVersion::Tls12 {
            // OpenSSL 3 speaks the old versions at security level 0 only.
            builder.set_cipher_list("DEFAULT:@SECLEVEL=0")?;
            // Servers of that time do not know secure renegotiation (RFC 5746).
            builder.set_options(SslOptions::from_bits_retain(LEGACY_SERVER_CONNECT));
        }
        session::store_sessions(&mut builder);
        // Many mail servers end the connection without a TLS close; that is an end of file.
        builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
        let mut system = None;
        match &options.ca_file {
            None => system = Some(Arc::new(authorities::trust_system(&mut builder)?)),
            Some(ca_file) => {
                let mut store = X509StoreBuilder::new()?;
                for certificate in X509::stack_from_pem(&ca_file.pem)? {
                    store.add_cert(certificate)?;
                }
                builder.set_cert_store(store.build());
            }
        }
        if let Some(identity) = &options.identity {
            let mut chain = X509::stack_from_pem(&identity.cert_file.pem)?.into_iter();
            if let Some(leaf) = chain.next() {
                builder.set_certificate(&leaf)?;
            }
            for issuer in chain {
                builder.add_extra_chain_cert(issuer)?;
            }
            builder.set_private_key(&*PKey::private_key_from_pem(&identity.key_file.pem)?)?;
        }
        Ok(Self {
            connector: builder.build(),
            server_name: options.server_name.clone(),
            verify: !options.insecure_skip_verify,
            system,
        })
    }

    /// Shakes hands over `socket` with the server of `endpoint`. The outcome is
    /// [`Reason::Timeout`] and [`Reason::Closed`] where the server is silent or leaves; one of the
    /// three `Certificate…` reasons where its certificate does not hold; [`Reason::Tls`] for
    /// everything else. `down` is the caller's to decide.
    pub async fn handshake(
        &self,
        endpoint: &Endpoint,
        socket: impl Into<Socket>,
        deadline: Instant,
        resumption: Resumption<'_>,
    ) -> Handshake {
        let (mut facts, mut objection, socket) = (None, None, socket.into());
        let shown = (&mut facts, &mut objection);
        let outcome = self.shake_hands(endpoint, socket, deadline, resumption, shown).await;
        if outcome.is_err() {
            resumption.refused();
        }
        Handshake { facts, objection, outcome }
    }

    async fn shake_hands(
        &self,
        endpoint: &Endpoint,
        socket: Socket,
        deadline: Instant,
        resumption: Resumption<'_>,
        (shown, objection): (&mut Option<TlsFacts>, &mut Option<Fault>),
    ) -> Result<SslStream<ReadAhead>, Fault> {
        let name = self.server_name.as_deref().unwrap_or(endpoint.name());
        let problems: Arc<Mutex<Problems>> = Arc::default();
        let mut stream =
            self.prepare(name, socket, resumption, Arc::clone(&problems)).map_err(|error| {
                Fault::new(Reason::Tls, format!("cannot begin TLS: {}", words(&error)))
            })?;
        match timeout_at(deadline, std::pin::Pin::new(&mut stream).connect()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(handshake_fault(&error, name)),
            Err(_) => return Err(Fault::new(Reason::Timeout, "the TLS handshake took too long")),
        }
        let problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
        let facts = facts(stream.ssl(), problems.found.is_empty());
        // A resumed session says nothing new about the certificate.
        let seen = facts.as_ref().filter(|facts| !facts.is_resumed);
        let holds_until = seen.map(|facts| facts.chain_not_after.min(facts.leaf_not_after));
        *shown = facts;
        match problems.refusal(stream.ssl(), name) {
            Some(refusal) if self.verify => return Err(refusal),
            refusal => *objection = refusal,
        }
        if let Some(until) = holds_until {
            resumption.accepted(until);
        }
        drop(problems);
        Ok(stream)
    }

    fn prepare(
        &self,
        name: &str,
        socket: Socket,
        resumption: Resumption<'_>,
        problems: Arc<Mutex<Problems>>,
    ) -> Result<SslStream<ReadAhead>, ErrorStack> {
        let mut ssl = self.connector.configure()?.into_ssl(name)?;
        resumption.prepare(&mut ssl, SystemTime::now())?;
        let system = self.system.clone();
        ssl.set_verify_callback(SslVerifyMode::PEER, move |holds, context| {
            if !holds {
                let shortage = system.as_ref().and_then(|places| places.unread_by(context));
                let advice = system.as_ref().and_then(|places| places.advice(context.error()));
                let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
                problems.found.push(context.error());
                problems.advice = problems.advice.or(advice);
                problems.shortage = problems.shortage.or(shortage);
            }
            true
        });
        SslStream::new(ssl, ReadAhead::new(socket))
    }
}

/// What the verification of a certificate came upon.
#[derive(Default)]
struct Problems {
    found: Vec<X509VerifyResult>,
    /// What this process was short of when OpenSSL looked for the authorities.
    shortage: Option<Shortage>,
    /// What to do where there are no authorities to judge by.
    advice: Option<&'static str>,
}

impl Problems {
    /// Why the certificate of `name` does not hold, if it does not.
    fn refusal(&self, ssl: &SslRef, name: &str) -> Option<Fault> {
        let (reason, words) = worst(&self.found)?;
        if let Some(shortage) = self.shortage
            && reason == Reason::CertificateUntrusted
        {
            let message = format!("the authorities cannot be read to judge {name}: {words}");
            return Some(Fault::short(shortage, Reason::Other, message));
        }
        let of = if reason == Reason::CertificateName { names(ssl) } else { None };
        let of = of.map(|names| format!("; it is that of {names}")).unwrap_or_default();
        let advice = self.advice.unwrap_or_default();
        let message = format!("the certificate of {name} is refused: {words}{of}{advice}");
        Some(Fault::new(reason, message))
    }
}

/// Has a server trust the authorities of the system for the certificates of its clients.
///
/// # Errors
/// What OpenSSL says, for want of a descriptor.
pub fn trust_system(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    authorities::trust_system(builder).map(drop)
}

/// What a call of the system said to be short inside OpenSSL.
pub fn shortage_of(errors: &ErrorStack) -> Option<Shortage> {
    /// `ERR_SYSTEM_FLAG` of OpenSSL 3: the rest of the code is the number of the system's error.
    const OF_SYSTEM: std::ffi::c_ulong = 0x8000_0000;
    let codes = errors.errors().iter().map(openssl::error::Error::code);
    let codes = codes.filter(|code| code & OF_SYSTEM != 0).map(|code| code & !OF_SYSTEM);
    codes
        .filter_map(|code| i32::try_from(code).ok())
        .map(std::io::Error::from_raw_os_error)
        .find_map(|error| Shortage::of(&error))
}

/// The problem that counts if there are several: what an untrusted certificate says of its time and
/// its name means nothing.
fn worst(problems: &[X509VerifyResult]) -> Option<(Reason, String)> {
    let reason = |problem: &X509VerifyResult| match problem.as_raw() {
        // X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        9 | 10 => Reason::CertificateExpired,
        // X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        62 | 64 => Reason::CertificateName,
        _ => Reason::CertificateUntrusted,
    };
    let rank = |problem: &X509VerifyResult| match reason(problem) {
        Reason::CertificateUntrusted => 0,
        Reason::CertificateExpired => 1,
        _ => 2,
    };
    let problem = problems.iter().min_by_key(|problem| rank(problem))?;
    // X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL, X509_V_ERR_CA_MD_TOO_WEAK
    let is_weak = matches!(problem.as_raw(), 66..=68);
    let way_out = if is_weak { WAY_OUT } else { "" };
    Some((reason(problem), format!("{}{way_out}", problem.error_string())))
}

/// A server may send more than its certificate needs, as a root that has ended, around which there is a way
/// to another one. Only where no way was found do the certificates sent say how it ends.
fn facts(ssl: &SslRef, is_verified: bool) -> Option<TlsFacts> {
    let leaf_not_after = date(ssl.peer_certificate()?.not_after())?;
    let verified = ssl.verified_chain().filter(|_| is_verified);
    let chain_not_after = verified
        .or(ssl.peer_cert_chain())
        .into_iter()
        .flatten()
        .filter_map(|certificate| date(certificate.not_after()))
        .min()
        .unwrap_or(leaf_not_after);
    Some(TlsFacts {
        version: ssl.version_str(),
        cipher: ssl.current_cipher().map_or_else(String::new, |cipher| cipher.name().to_owned()),
        leaf_not_after,
        chain_not_after,
        is_resumed: ssl.session_reused(),
    })
}

/// The names in the server's certificate, the first ones if they are many; `None` if it has none. It is the
/// server that says them.
fn names(ssl: &SslRef) -> Option<String> {
    const MOST: usize = 3;
    const NAME_CHARS: usize = 80;
    let names = ssl.peer_certificate()?.subject_alt_names()?;
    let mut names = names.iter().filter_map(|name| name.dnsname());
    let shown = |name: &str| text::cut_to(&text::shown(name.as_bytes()), NAME_CHARS);
    let first: Vec<String> = names.by_ref().take(MOST).map(shown).collect();
    let more = match names.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!first.is_empty()).then(|| format!("{}{more}", first.join(", ")))
}

/// OpenSSL gives a time only as its distance to another one.
fn date(time: &Asn1TimeRef) -> Option<SystemTime> {
    const DAY: Duration = Duration::from_secs(86_400);
    let epoch = Asn1Time::from_unix(0).ok()?;
    let distance = epoch.diff(time).ok()?;
    // Both have the same sign.
    let days = DAY.checked_mul(distance.days.unsigned_abs())?;
    let since = days + Duration::from_secs(distance.secs.unsigned_abs().into());
    let is_before = distance.days < 0 || distance.secs < 0;
    if is_before { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) }
}
