//! The TLS of the listener: from files to an acceptor, and the handshake.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslAcceptor, SslAcceptorBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Ref, X509VerifyResult};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_openssl::SslStream;

use super::file::{ClientAuth, Pem, PemSource, TlsSettings};
use super::problems::Problems;
use super::watched::Watched;
use crate::web::server::write_deadline::WriteDeadline;
use mail::net::tls::{trust_system, words};

/// The TLS of the listener.
pub(in crate::web) struct Tls {
    acceptor: SslAcceptor,
    /// Clients that show no certificate are sent away, after the handshake at the latest.
    demands_certificate: bool,
}

impl Tls {
    /// What `settings` ask for; `None`, with problems, if that or their files do not allow it.
    pub(super) fn new(
        settings: &TlsSettings,
        watched: &mut Watched,
        problems: &mut Problems,
    ) -> Option<Self> {
        let chain = certificates(&settings.certificate, watched, problems);
        let key = private_key(&settings.key, watched, problems);
        let authorities = match &settings.client_ca {
            Some(pem) => Some(certificates(pem, watched, problems)?),
            None => None,
        };
        let (chain, key) = (chain?, key?);
        let leaf = chain.first()?;
        if !leaf.public_key().is_ok_and(|public| public.public_eq(&key)) {
            let pem = &settings.key;
            let text = format!("is not the key of the certificate in {}", settings.certificate.key);
            problems.add(pem.line, &pem.key, text);
            return None;
        }
        match build(settings, &chain, &key, authorities) {
            Ok(acceptor) => {
                let demands_certificate = settings.demands_certificate();
                Some(Self { acceptor, demands_certificate })
            }
            Err(error) => {
                let pem = &settings.certificate;
                problems.add(
                    pem.line,
                    &pem.key,
                    format!("cannot be used for TLS: {}", words(&error)),
                );
                None
            }
        }
    }

    pub(super) fn demands_certificate(&self) -> bool {
        self.demands_certificate
    }

    /// The TLS handshake with a client. One that speaks plain HTTP gets an answer that says so.
    ///
    /// # Errors
    ///
    /// The handshake failed, or the connection did. There is no deadline here.
    pub(in crate::web) async fn accept<S>(
        &self,
        stream: WriteDeadline<S>,
    ) -> io::Result<SslStream<WriteDeadline<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ssl = Ssl::new(self.acceptor.context())?;
        let mut stream = SslStream::new(ssl, stream)?;
        match Pin::new(&mut stream).accept().await {
            Ok(()) if self.demands_certificate && stream.ssl().peer_certificate().is_none() => {
                Err(io::Error::other("the client shows no certificate"))
            }
            Ok(()) => Ok(stream),
            Err(error) => {
                if speaks_plain_http(&error) {
                    refuse_plain_http(stream.get_mut().get_mut()).await?;
                }
                Err(error.into_io_error().unwrap_or_else(io::Error::other))
            }
        }
    }
}

fn certificates(pem: &Pem, watched: &mut Watched, problems: &mut Problems) -> Option<Vec<X509>> {
    let contents = contents(pem, watched, problems)?;
    match X509::stack_from_pem(&contents) {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let text = format!("{}holds no certificate in PEM", shown(&pem.source));
            problems.add(pem.line, &pem.key, text);
            None
        }
    }
}

fn private_key(pem: &Pem, watched: &mut Watched, problems: &mut Problems) -> Option<PKey<Private>> {
    let contents = contents(pem, watched, problems)?;
    // Without a callback OpenSSL would ask for the passphrase at the terminal.
    let key = PKey::private_key_from_pem_callback(&contents, |_| Ok(0));
    if key.is_err() {
        let shown = shown(&pem.source);
        let text = format!("{shown}holds no private key in PEM without a passphrase");
        problems.add(pem.line, &pem.key, text);
    }
    key.ok()
}

fn contents(pem: &Pem, watched: &mut Watched, problems: &mut Problems) -> Option<Vec<u8>> {
    match &pem.source {
        PemSource::Inline(text) => Some(text.expose_secret().as_bytes().to_vec()),
        PemSource::File(path) => match watched.read(path) {
            Ok(contents) => Some(contents),
            Err(error) => {
                let text = format!("{} cannot be read: {error}", path.display());
                problems.add(pem.line, &pem.key, text);
                None
            }
        },
    }
}

/// The name of the file, before what is said of it.
fn shown(source: &PemSource) -> String {
    match source {
        PemSource::File(path) => format!("{} ", path.display()),
        PemSource::Inline(_) => String::new(),
    }
}

fn build(
    settings: &TlsSettings,
    chain: &[X509],
    key: &PKey<Private>,
    authorities: Option<Vec<X509>>,
) -> Result<SslAcceptor, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    negotiate(&mut builder, settings)?;
    for (index, certificate) in chain.iter().enumerate() {
        match index {
            0 => builder.set_certificate(certificate)?,
            _ => builder.add_extra_chain_cert(certificate.clone())?,
        }
    }
    builder.set_private_key(key)?;
    builder.check_private_key()?;
    // A session with a client certificate can be resumed only within a named context.
    builder.set_session_id_context(b"mailtrip_exporter")?;
    ask_for_client_certificate(&mut builder, settings);
    if settings.client_auth.verifies() {
        trust(&mut builder, authorities)?;
    }
    Ok(builder.build())
}

/// What is offered besides the suites for TLS 1.2 where older versions are.
const OLD_SUITES: [&str; 4] = [
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
];

/// Versions, suites and curves.
fn negotiate(builder: &mut SslAcceptorBuilder, settings: &TlsSettings) -> Result<(), ErrorStack> {
    let (oldest, newest) = settings.versions;
    builder.set_min_proto_version(Some(oldest))?;
    builder.set_max_proto_version(Some(newest))?;
    let is_old = matches!(oldest, SslVersion::TLS1 | SslVersion::TLS1_1);
    let mut suites = settings.suites.clone();
    if is_old {
        builder.clear_options(SslOptions::NO_TLSV1 | SslOptions::NO_TLSV1_1);
        let usual = || TLS12_SUITES.into_iter().chain(OLD_SUITES).collect();
        let suites = suites.get_or_insert_with(usual);
        // OpenSSL 3 speaks the old versions at security level 0 only.
        suites.push("@SECLEVEL=0");
    }
    if let Some(suites) = suites {
        builder.set_cipher_list(&suites.join(":"))?;
    }
    if settings.prefers_own_suites {
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    }
    if let Some(curves) = &settings.curves {
        builder.set_groups_list(&curves.join(":"))?;
    }
    Ok(())
}

/// The suites of TLS 1.2 that are offered unless others are listed.
const TLS12_SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

fn ask_for_client_certificate(builder: &mut SslAcceptorBuilder, settings: &TlsSettings) {
    let verifies = settings.client_auth.verifies();
    let names = settings.client_names.clone();
    let mode = match settings.client_auth {
        ClientAuth::None => SslVerifyMode::NONE,
        ClientAuth::Request | ClientAuth::VerifyIfGiven => SslVerifyMode::PEER,
        ClientAuth::RequireAny | ClientAuth::RequireAndVerify => {
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT
        }
    };
    builder.set_verify_callback(mode, move |holds, context| {
        let has_name = match &names {
            Some(names) if context.error_depth() == 0 => {
                context.current_cert().is_some_and(|leaf| has_one_of(leaf, names))
            }
            _ => true,
        };
        if holds && !has_name {
            context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
        }
        (holds || !verifies) && has_name
    });
}

/// Whether a certificate is for one of `names`: a host, an address, a mailbox or a URI.
fn has_one_of(certificate: &X509Ref, names: &[String]) -> bool {
    let Some(alternatives) = certificate.subject_alt_names() else { return false };
    alternatives.iter().any(|alternative| {
        let address = alternative.ipaddress().and_then(address);
        let text = alternative.dnsname().or(alternative.email()).or(alternative.uri());
        names.iter().any(|name| text == Some(name) || address.as_ref() == Some(name))
    })
}

/// The four or sixteen bytes of an address as text.
fn address(bytes: &[u8]) -> Option<String> {
    let address = match <[u8; 4]>::try_from(bytes) {
        Ok(bytes) => IpAddr::from(bytes),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Some(address.to_canonical().to_string())
}

/// Trusts `authorities`, or those of the system.
fn trust(
    builder: &mut SslAcceptorBuilder,
    authorities: Option<Vec<X509>>,
) -> Result<(), ErrorStack> {
    let Some(authorities) = authorities else { return trust_system(builder) };
    let mut store = X509StoreBuilder::new()?;
    let mut names = Stack::new()?;
    for authority in authorities {
        names.push(authority.subject_name().to_owned()?)?;
        store.add_cert(authority)?;
    }
    builder.set_client_ca_list(names);
    builder.set_verify_cert_store(store.build())
}

fn speaks_plain_http(error: &openssl::ssl::Error) -> bool {
    let errors = error.ssl_error().map(ErrorStack::errors).unwrap_or_default();
    errors.iter().any(|error| error.reason() == Some("http request"))
}

async fn refuse_plain_http<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    // What is left unread would make the close a reset, which can overtake the answer.
    let _ = stream.read(&mut [0; 4096]).await?;
    stream
        .write_all(
            b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
              Connection: close\r\n\r\nthis port speaks TLS: use https\n",
        )
        .await?;
    stream.shutdown().await
}
