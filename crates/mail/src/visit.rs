//! A visit to a mail server that wants nothing: hear the greeting, take leave. A connection that ends
//! without a farewell stands in the server's log as one that was lost, and what reads the log for attacks
//! counts it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::trace::Trace;
use super::wire::{ConnectionContext, Dialer, Wire};
use super::{Failure, Fault, Reason};
use crate::options::{Endpoint, IpFamily, Service, Spoken, TlsMode, TlsOptions, TlsVersion};

/// The longest line that is read.
const LINE_BYTES: usize = 8192;
/// The most lines of a greeting, and of a farewell.
const LINES: usize = 100;

/// How long a service that is not known may take for its first words; most that wait for the client's have
/// none.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// Connects to a port, reads the greeting and says QUIT or LOGOUT, as `service` has it or, where that is not
/// known, the greeting shows it; all of it by `end` at the latest. Gives how long the TCP handshake took: what
/// comes of the rest does not matter, and no certificate is judged.
///
/// # Errors
/// Why no connection came about.
pub async fn visit(
    (host, port, ip_family): (&str, u16, IpFamily),
    service: Option<Service>,
    clients: &ConnectionContext,
    trace: Trace,
    end: Instant,
) -> Result<Duration, Fault> {
    let begins_with_tls = service.is_some_and(|service| service.begins_with_tls);
    let tls = if begins_with_tls { TlsMode::Implicit } else { TlsMode::None };
    let patience = end.saturating_duration_since(Instant::now());
    let endpoint = endpoint(host, port, ip_family, tls, patience);
    let dialer = Dialer::new(&endpoint, None, clients).map_err(|error| {
        let words = crate::net::tls::words(&error);
        Fault::new(Reason::Other, format!("cannot begin TLS: {words}"))
    })?;
    // The patience ends it, not a period.
    let dialled = dialer.dial(trace.clone(), end + Duration::from_secs(1)).await;
    match (dialled, trace.handshake()) {
        (Ok(mut wire), handshake) => {
            let protocol = service.map(|service| service.protocol);
            let _ = timeout_at(end, leave(&mut wire, protocol)).await;
            Ok(handshake.unwrap_or_default())
        }
        (Err(_), Some(handshake)) => Ok(handshake),
        (Err(Failure { reason, down, shortage, clue, message, .. }), None) => {
            Err(Fault { reason, down, shortage, clue, message })
        }
    }
}

fn endpoint(
    host: &str,
    port: u16,
    ip_family: IpFamily,
    tls: TlsMode,
    timeout: Duration,
) -> Endpoint {
    let tls_options = TlsOptions {
        insecure_skip_verify: true,
        min_version: TlsVersion::Tls10,
        ..TlsOptions::default()
    };
    let tls_options = tls_options.into();
    Endpoint { tls_options, ip_family, ..Endpoint::new(host, port, tls).with_timeout(timeout) }
}

async fn leave(wire: &mut Wire, protocol: Option<Spoken>) -> Result<(), Failure> {
    if protocol.is_none() {
        wire.expect_reply_within(FIRST_WORDS);
    }
    let mut greeting = wire.read_line(LINE_BYTES).await?;
    let Some(protocol) = protocol.or_else(|| spoken(&greeting)) else { return Ok(()) };
    for _ in 0..LINES {
        if protocol != Spoken::Smtp || greeting.get(3) != Some(&b'-') {
            break;
        }
        greeting = wire.read_line(LINE_BYTES).await?;
    }
    let farewell = if protocol == Spoken::Imap { "M1 LOGOUT" } else { "QUIT" };
    wire.send(farewell).await?;
    for _ in 0..LINES {
        let line = wire.read_line(LINE_BYTES).await?;
        let goes_on = match protocol {
            Spoken::Smtp => line.get(3) == Some(&b'-'),
            Spoken::Imap => !line.starts_with(b"M1 "),
            Spoken::Pop3 => false,
        };
        if !goes_on {
            break;
        }
    }
    Ok(())
}

/// The protocol of a service that greets so. One that greets as SMTP does and is another, as FTP, knows QUIT
/// as well.
pub(crate) fn spoken(greeting: &[u8]) -> Option<Spoken> {
    match greeting {
        [b'2' | b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] => Some(Spoken::Smtp),
        [b'*', b' ', ..] => Some(Spoken::Imap),
        [b'+', b'O', b'K', ..] => Some(Spoken::Pop3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_greeting() {
        for (greeting, protocol) in [
            ("220 mail.example.com ESMTP", Some(Spoken::Smtp)),
            ("220-mail.example.com ESMTP", Some(Spoken::Smtp)),
            ("* OK [CAPABILITY IMAP4rev1] ready", Some(Spoken::Imap)),
            ("+OK ready", Some(Spoken::Pop3)),
            ("SSH-2.0-OpenSSH_9.2", None),
            ("2200 odd", None),
            ("", None),
        ] {
            assert_eq!(spoken(greeting.as_bytes()), protocol, "{greeting}");
        }
    }
}
