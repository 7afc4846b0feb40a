//! Delivering as the outside world does: the hosts that take a domain's mail, one after the other
//! (RFC 5321 section 5.1).

use tokio::time::Instant;

use super::Smtp;
use crate::config::Login;
use crate::mail::Failure;
use crate::mail::trace::Trace;
use crate::mail::wire::Dialer;
use crate::net::mx::Exchanger;

/// A connection to the first host that greets, and protects the connection where that is asked for.
/// What came of the others stands in the record. Once a host is ready to take the mail its word
/// counts: another one is not asked.
///
/// # Errors
/// That of the last host, with what the others came to; *down* only if all of them are.
pub(super) async fn open_first(
    dialer: &Dialer,
    hosts: &[Exchanger],
    login: Option<&Login>,
    name: Option<&str>,
    trace: Trace,
    end: Instant,
) -> Result<Smtp, Failure> {
    let mut failures: Vec<(&Exchanger, Failure)> = Vec::new();
    for host in hosts {
        if !failures.is_empty() && Instant::now() >= end {
            break;
        }
        trace.fact(format!("trying {host}"));
        let dialer = dialer.to_host(&host.host);
        match Smtp::open_at(&dialer, login, name, trace.clone(), end).await {
            Ok(smtp) => return Ok(smtp),
            Err(failure) => failures.push((host, failure)),
        }
    }
    Err(summary(failures).unwrap_or_else(|| {
        let fault = crate::mail::Fault::down(crate::mail::Reason::Dns, "no host to try");
        trace.failure(fault)
    }))
}

fn summary(failures: Vec<(&Exchanger, Failure)>) -> Option<Failure> {
    let down = failures.iter().all(|(_, failure)| failure.down);
    let told = failures.iter().map(|(host, failure)| format!("{host}: {}", failure.message));
    let message = told.collect::<Vec<_>>().join("; ");
    let (_, last) = failures.into_iter().next_back()?;
    Some(Failure { down, message, ..last })
}
