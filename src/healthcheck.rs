//! The subcommand `healthcheck`: whether the exporter that runs beside it answers. It is for containers, whose image
//! has no other program that could ask.

use std::net::Ipv4Addr;
use std::time::Duration;

use hyper::{Request, StatusCode};
use tokio::time::Instant;

use crate::config::{Endpoint, TlsMode, TlsOptions, TlsVersion};
use crate::web::mount::Mount;
use crate::web::server::{ListenAddress, WebConfig, reachable};
use ledger::Clue;
use mail::Fault;
use mail::http;
use mail::net::tls::{TlsClient, words};

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MOST_BYTES: usize = 64 << 10;

/// Asks the exporter that listens at `address` for `/-/healthy`.
///
/// # Errors
/// Why it counts as ill, in one sentence.
pub async fn ask(address: &ListenAddress, mount: &Mount, web: &WebConfig) -> Result<(), String> {
    let endpoint = endpoint(address, web);
    let named = |why: String| format!("the exporter at {endpoint} is not healthy: {why}");
    let tls = (endpoint.tls != TlsMode::None).then(|| TlsClient::new(&endpoint.tls_options));
    let tls =
        tls.transpose().map_err(|error| named(format!("cannot use TLS: {}", words(&error))))?;
    let get = Request::get(format!("{}/-/healthy", mount.routes()));
    let request = http::question(&endpoint, 0, get, String::new());
    let request = request.map_err(|fault| named(fault.message))?;
    let deadline = Instant::now() + TIMEOUT;
    match http::ask(&endpoint, tls.as_ref(), request, MOST_BYTES, deadline).await {
        // A refusal is an answer too: it has no login.
        Ok((StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS, _)) => {
            Ok(())
        }
        Ok((status, _)) => Err(named(format!(
            "it answers with HTTP status {}; give `healthcheck` the flags --web.* of the exporter",
            status.as_u16()
        ))),
        // So is one under TLS, where it needs a certificate.
        Err(fault) if web.demands_certificate() && misses_certificate(&fault) => Ok(()),
        Err(fault) => Err(named(fault.message)),
    }
}

/// Whether the server has spoken TLS and then sent this client away, as it does with one without a certificate: under
/// TLS 1.2 by the alert `handshake_failure`.
fn misses_certificate(fault: &Fault) -> bool {
    matches!(
        fault.clue,
        Some(Clue::ClientCertificate | Clue::HandshakeFailure | Clue::LeftAfterTls)
    )
}

/// Where a listener is reached from the same machine. Its certificate is for the names that others use, and its
/// versions of TLS are its own affair.
fn endpoint(address: &ListenAddress, web: &WebConfig) -> Endpoint {
    let (host, port) = match address {
        ListenAddress::All(port) => (Ipv4Addr::LOCALHOST.to_string(), *port),
        ListenAddress::Socket(socket) => {
            let socket = reachable(*socket);
            (socket.ip().to_string(), socket.port())
        }
        ListenAddress::Name(name, port) => (name.clone(), *port),
    };
    let mode = if web.has_tls() { TlsMode::Implicit } else { TlsMode::None };
    let tls_options = TlsOptions {
        insecure_skip_verify: true,
        min_version: TlsVersion::Tls10,
        ..TlsOptions::default()
    };
    Endpoint { tls_options: tls_options.into(), ..Endpoint::new(host, port, mode) }
}
