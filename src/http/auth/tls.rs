//! The TLS of the listener: from files to an acceptor, and the handshake.

use std::io;
use std::pin::Pin;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslAcceptor, SslAcceptorBuilder, SslMethod, SslVerifyMode};
use openssl::stack::Stack;
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio::io::AsyncRead;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_openssl::SslStream;

use super::file::{ClientAuth, NamedFile, TlsSettings};
use super::problems::Problems;
use super::watched::Watched;
use crate::http::write_deadline::WriteDeadline;

/// The acceptor that `settings` ask for; `None`, with problems, if their files do not allow one.
pub(super) fn acceptor(
    settings: &TlsSettings,
    watched: &mut Watched,
    problems: &mut Problems,
) -> Option<SslAcceptor> {
    let chain = certificates(&settings.cert_file, watched, problems);
    let key = private_key(&settings.key_file, watched, problems);
    let authorities = match &settings.client_ca_file {
        Some(file) => certificates(file, watched, problems)?,
        None => Vec::new(),
    };
    let (chain, key) = (chain?, key?);
    let leaf = chain.first()?;
    if !leaf.public_key().is_ok_and(|public| public.public_eq(&key)) {
        let file = &settings.key_file;
        problems.add(file.line, file.key, "is not the key of the certificate in cert_file");
        return None;
    }
    match build(settings, &chain, &key, authorities) {
        Ok(acceptor) => Some(acceptor),
        Err(error) => {
            let file = &settings.cert_file;
            problems.add(file.line, file.key, format!("cannot be used for TLS: {error}"));
            None
        }
    }
}

fn certificates(
    file: &NamedFile,
    watched: &mut Watched,
    problems: &mut Problems,
) -> Option<Vec<X509>> {
    let pem = contents(file, watched, problems)?;
    match X509::stack_from_pem(&pem) {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            let path = file.path.display();
            problems.add(file.line, file.key, format!("{path} holds no certificate in PEM"));
            None
        }
    }
}

fn private_key(
    file: &NamedFile,
    watched: &mut Watched,
    problems: &mut Problems,
) -> Option<PKey<Private>> {
    let pem = contents(file, watched, problems)?;
    // Without a callback OpenSSL would ask for the passphrase at the terminal.
    let key = PKey::private_key_from_pem_callback(&pem, |_| Ok(0));
    if key.is_err() {
        let path = file.path.display();
        let text = format!("{path} holds no private key in PEM without a passphrase");
        problems.add(file.line, file.key, text);
    }
    key.ok()
}

fn contents(file: &NamedFile, watched: &mut Watched, problems: &mut Problems) -> Option<Vec<u8>> {
    match watched.read(&file.path) {
        Ok(pem) => Some(pem),
        Err(error) => {
            let path = file.path.display();
            problems.add(file.line, file.key, format!("{path} cannot be read: {error}"));
            None
        }
    }
}

fn build(
    settings: &TlsSettings,
    chain: &[X509],
    key: &PKey<Private>,
    authorities: Vec<X509>,
) -> Result<SslAcceptor, ErrorStack> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(settings.min_version))?;
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
    ask_for_client_certificate(&mut builder, settings.client_auth, authorities)?;
    Ok(builder.build())
}

fn ask_for_client_certificate(
    builder: &mut SslAcceptorBuilder,
    client_auth: ClientAuth,
    authorities: Vec<X509>,
) -> Result<(), ErrorStack> {
    let demanded = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    match client_auth {
        ClientAuth::None => builder.set_verify(SslVerifyMode::NONE),
        ClientAuth::Request => builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true),
        ClientAuth::RequireAny => builder.set_verify_callback(demanded, |_, _| true),
        ClientAuth::VerifyIfGiven => builder.set_verify(SslVerifyMode::PEER),
        ClientAuth::RequireAndVerify => builder.set_verify(demanded),
    }
    if !client_auth.verifies() {
        return Ok(());
    }
    let mut store = X509StoreBuilder::new()?;
    let mut names = Stack::new()?;
    for authority in authorities {
        names.push(authority.subject_name().to_owned()?)?;
        store.add_cert(authority)?;
    }
    builder.set_client_ca_list(names);
    builder.set_verify_cert_store(store.build())
}

/// The TLS handshake with a client. One that speaks plain HTTP is told so.
///
/// # Errors
///
/// The handshake failed, or the connection did. There is no deadline here.
pub(in crate::http) async fn accept_tls<S>(
    acceptor: &SslAcceptor,
    stream: WriteDeadline<S>,
) -> io::Result<SslStream<WriteDeadline<S>>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ssl = Ssl::new(acceptor.context())?;
    let mut stream = SslStream::new(ssl, stream)?;
    match Pin::new(&mut stream).accept().await {
        Ok(()) => Ok(stream),
        Err(error) => {
            if speaks_plain_http(&error) {
                refuse_plain_http(stream.get_mut().get_mut()).await?;
            }
            Err(error.into_io_error().unwrap_or_else(io::Error::other))
        }
    }
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
