//! What a server that takes mail for a domain shows to whoever comes by: its greeting and, under TLS, its
//! certificates. Nothing is handed over, and leave is taken as it should be.

use std::time::Duration;

use openssl::x509::X509;
use tokio::time::Instant;

use lettre::transport::smtp::extension::ClientId;

use super::Smtp;
use crate::net::host::full_name;
use crate::options::{Endpoint, TlsMode, TlsOptions};
use crate::trace::Trace;
use crate::wire::{ConnectionContext, Dialer};
use crate::{Failure, Fault, Reason};

/// How long the look-up of its name and the connection may take, each.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a reply may take: servers make strangers wait, as the postscreen of Postfix does for six seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long all of it may take.
pub(crate) const VISIT: Duration = Duration::from_secs(30);

/// What a server has shown, once it was met.
#[derive(Debug, Default)]
pub struct Shown {
    /// That it wants nothing of us: another greeting than 220, or no EHLO.
    pub refusal: Option<Refusal>,
    /// Whether it offers STARTTLS, where that is known.
    pub offers_tls: bool,
    /// Why TLS did not come about, where it is offered.
    pub tls_fault: Option<String>,
    /// Why it is not known what its TLS is like.
    pub tls_unknown: Option<String>,
    /// Its certificates, its own first.
    pub certificates: Vec<X509>,
    /// Why its certificate would be refused for its name by the authorities of this system.
    pub objection: Option<Fault>,
}

/// A server that wants nothing of us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its words.
    pub words: String,
    /// What they say of it.
    pub kind: RefusalKind,
}

/// What a refusal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// 4xx: it is for now.
    ForNow,
    /// 5xx, perhaps to our address or name alone.
    ForGood,
    /// It is no server for mail.
    NoSmtp,
}

/// Comes by at the port for mail between servers, within half a minute and by `end`.
///
/// # Errors
/// Why nobody was met: nothing follows about the server.
pub async fn come_by(
    host: &str,
    port: u16,
    clients: &ConnectionContext,
    end: Instant,
) -> Result<Shown, Failure> {
    let trace = Trace::new(None);
    let options = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
    let endpoint = Endpoint {
        tls_options: options.into(),
        ..Endpoint::new(host, port, TlsMode::StartTls).with_timeout(CONNECT)
    };
    let dialer = Dialer::new(&endpoint, None, clients).map_err(|error| {
        let words = crate::net::tls::words(&error);
        trace.failure(Fault::new(Reason::Other, format!("cannot begin TLS: {words}")))
    })?;
    let mut wire = dialer.dial(trace, end.min(Instant::now() + VISIT)).await?;
    wire.wait_up_to(PATIENCE);
    Smtp::over(wire).look_around(&dialer).await
}

impl Smtp {
    /// Goes as far as the server lets, and takes leave. From its greeting on it was met.
    async fn look_around(mut self, dialer: &Dialer) -> Result<Shown, Failure> {
        let greeting = match self.read_reply().await {
            Ok(greeting) => greeting,
            Err(failure) if failure.is_breach_of_protocol() => {
                return Ok(Shown::refusing(failure.message, RefusalKind::NoSmtp));
            }
            Err(failure) => return Err(failure),
        };
        if greeting.code != 220 {
            let kind = if greeting.code < 500 { RefusalKind::ForNow } else { RefusalKind::ForGood };
            let words = format!("greets with {}", self.words(&greeting));
            self.quit().await;
            return Ok(Shown::refusing(words, kind));
        }
        let name = self.client_name(full_name().await.as_deref());
        match self.greet(&name).await {
            Ok(features) => self.features = features,
            Err(failure) => {
                let shown = Shown::without_ehlo(failure);
                if shown.refusal.is_some() {
                    self.quit().await;
                }
                return Ok(shown);
            }
        }
        if !self.features.has("STARTTLS") {
            self.quit().await;
            return Ok(Shown::default());
        }
        Ok(self.look_at_tls(dialer, &name).await)
    }

    async fn look_at_tls(self, dialer: &Dialer, name: &ClientId) -> Shown {
        let mut shown = Shown { offers_tls: true, ..Shown::default() };
        match self.shake_hands(dialer).await {
            Ok(mut smtp) => {
                shown.certificates = smtp.wire.certificates();
                shown.objection = smtp.wire.objection().cloned();
                // What it says now is of no matter; a guest says who it is (RFC 3207 section 4.2).
                if smtp.greet(name).await.is_ok() {
                    smtp.quit().await;
                }
            }
            Err(failure) if failure.shortage.is_some() || failure.is_silence() => {
                shown.tls_unknown = Some(failure.message);
            }
            Err(failure) => shown.tls_fault = Some(failure.message),
        }
        shown
    }
}

impl Shown {
    fn refusing(words: String, kind: RefusalKind) -> Self {
        Self { refusal: Some(Refusal { words, kind }), ..Self::default() }
    }

    /// What it is to have greeted, and no more.
    fn without_ehlo(failure: Failure) -> Self {
        let kind = match failure.reason {
            Reason::Protocol => RefusalKind::NoSmtp,
            Reason::Deferred => RefusalKind::ForNow,
            Reason::Rejected => RefusalKind::ForGood,
            _ => return Self { tls_unknown: Some(failure.message), ..Self::default() },
        };
        Self::refusing(failure.message, kind)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::time::sleep;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// Comes by at a server that says these words, each after the next line of its guest; it waits so long within its
    /// greeting, and leaves.
    async fn meet(words: &'static [&'static str], wait: Duration) -> Result<Shown, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _server = AbortOnDropHandle::new(tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            if words.is_empty() {
                return;
            }
            let (read, mut write) = socket.into_split();
            let mut lines = BufReader::new(read).lines();
            for (at, words) in words.iter().enumerate() {
                match at {
                    0 => {}
                    1 if !wait.is_zero() => sleep(wait).await,
                    _ => drop(lines.next_line().await),
                }
                let _ = write.write_all(words.as_bytes()).await;
            }
            let _ = lines.next_line().await;
        }));
        let end = Instant::now() + Duration::from_secs(60);
        come_by("127.0.0.1", port, &ConnectionContext::default(), end).await
    }

    #[tokio::test]
    async fn whoever_has_greeted_was_met_whatever_comes_after() {
        let of = async |words| meet(words, Duration::ZERO).await;
        let closed = of(&["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n"]).await.unwrap();
        assert!(closed.offers_tls && closed.tls_fault.is_some(), "{closed:?}");
        let refused =
            of(&["220 mx\r\n", "250-mx\r\n250 STARTTLS\r\n", "454 no key\r\n"]).await.unwrap();
        assert!(refused.tls_fault.is_some_and(|why| why.contains("no key")));
        let broken = of(&["220 mx\r\n"]).await.unwrap();
        assert!(broken.tls_unknown.is_some() && broken.refusal.is_none(), "{broken:?}");
        for (words, kind) in [
            (&["421 busy\r\n"][..], RefusalKind::ForNow),
            (&["554 not you\r\n"], RefusalKind::ForGood),
            (&["220 mx\r\n", "550 not you\r\n", "550 not you\r\n"], RefusalKind::ForGood),
            (&["HTTP/1.1 400 Bad Request\r\n"], RefusalKind::NoSmtp),
        ] {
            let refusal = of(words).await.unwrap().refusal;
            assert_eq!(refusal.as_ref().map(|it| it.kind), Some(kind), "{refusal:?}");
        }
        assert!(of(&[]).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_makes_strangers_wait_is_waited_for() {
        let words = &["220-mx\r\n", "220 mx\r\n", "250 mx\r\n", "221 bye\r\n"];
        let shown = meet(words, Duration::from_secs(6)).await.unwrap();
        assert!(shown.refusal.is_none() && shown.tls_unknown.is_none(), "{shown:?}");
    }
}
