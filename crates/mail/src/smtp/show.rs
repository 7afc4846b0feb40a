//! What a server that takes mail for a domain shows to whoever comes by: its greeting and, under TLS, its
//! certificates. Nothing is handed over, and leave is taken as it should be.

use std::time::Duration;

use openssl::x509::X509;
use tokio::time::Instant;

use super::Smtp;
use crate::net::host::full_name;
use crate::options::{Endpoint, TlsMode, TlsOptions};
use crate::trace::Trace;
use crate::wire::{ConnectionContext, Dialer};
use crate::{Failure, Fault, Reason, Step};

/// What a server has shown.
#[derive(Debug, Default)]
pub struct Shown {
    /// In which words it wants nothing of us: another greeting than 220, or no EHLO.
    pub refusal: Option<String>,
    /// Whether it offers STARTTLS.
    pub offers_tls: bool,
    /// Why TLS did not come about, where it is offered.
    pub tls_fault: Option<String>,
    /// Its certificates, its own first.
    pub certificates: Vec<X509>,
    /// Why its certificate would be refused for its name by the authorities of this system.
    pub objection: Option<Fault>,
}

/// Comes by at the port for mail between servers, each step within `patience`, and all of it by `end`.
///
/// # Errors
/// Why nobody was met: nothing follows about the server.
pub async fn come_by(
    host: &str,
    port: u16,
    patience: Duration,
    clients: &ConnectionContext,
    end: Instant,
) -> Result<Shown, Failure> {
    let trace = Trace::new(None);
    let options = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let endpoint = Endpoint {
        tls_options: options.into(),
        ..Endpoint::new(host, port, TlsMode::StartTls).with_timeout(patience)
    };
    let dialer = Dialer::new(&endpoint, None, clients).map_err(|error| {
        let words = crate::net::tls::words(&error);
        trace.failure(Fault::new(Reason::Other, format!("cannot begin TLS: {words}")))
    })?;
    let smtp = Smtp::over(dialer.dial(trace, end).await?);
    smtp.look_around(&dialer).await
}

impl Smtp {
    /// Goes as far as the server lets, and takes leave.
    async fn look_around(mut self, dialer: &Dialer) -> Result<Shown, Failure> {
        let mut shown = Shown::default();
        let greeting = self.read_reply().await?;
        if greeting.code != 220 {
            shown.refusal = Some(format!("greets with {}", self.words(&greeting)));
            self.quit().await;
            return Ok(shown);
        }
        let name = self.client_name(full_name().await.as_deref());
        match self.greet(&name).await {
            Ok(features) => self.features = features,
            Err(failure) if failure.is_without_answer() => return Err(failure),
            Err(failure) => {
                shown.refusal = Some(failure.message);
                self.quit().await;
                return Ok(shown);
            }
        }
        shown.offers_tls = self.features.has("STARTTLS");
        if !shown.offers_tls {
            self.quit().await;
            return Ok(shown);
        }
        match self.start_tls(dialer, &name).await {
            Ok(smtp) => {
                shown.certificates = smtp.wire.certificates();
                shown.objection = smtp.wire.objection().cloned();
                smtp.quit().await;
            }
            // That the connection broke says nothing of the server; that its TLS does not work, does.
            Err(failure) if failure.step == Step::Tls && !failure.is_without_answer() => {
                shown.tls_fault = Some(failure.message);
            }
            Err(failure) => return Err(failure),
        }
        Ok(shown)
    }
}
