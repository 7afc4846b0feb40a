//! Delivering as the outside world does: the hosts that take a domain's mail, one after the other
//! (RFC 5321 section 5.1).

use tokio::time::Instant;

use super::Smtp;
use crate::config::Login;
use crate::mail::Failure;
use crate::mail::trace::Trace;
use crate::mail::wire::Dialer;
use crate::net::mx::Exchanger;

/// A connection to the first host that greets, knows EHLO or HELO, and protects the connection where
/// that is asked for. What came of the others stands in the record. Once a host is ready to take the
/// mail its word counts: another one is not asked. Each host has its share of the time that is left.
///
/// # Errors
/// That of the host that let us come furthest, with what each of them came to; *down* only if all are.
pub(super) async fn open_first(
    dialer: &Dialer,
    hosts: &[Exchanger],
    login: Option<&Login>,
    name: Option<&str>,
    trace: Trace,
    end: Instant,
) -> Result<Smtp, Failure> {
    let mut failures: Vec<(&Exchanger, Failure)> = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let others = u32::try_from(hosts.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = end.saturating_duration_since(now) / others;
        if !failures.is_empty() && share.is_zero() {
            break;
        }
        trace.begin_connection();
        trace.fact(format!("trying {host}"));
        let dialer = dialer.to_host(&host.host);
        match Smtp::open_at(&dialer, login, name, trace.clone(), now + share).await {
            Ok(mut smtp) => {
                smtp.wire.set_end(end);
                return Ok(smtp);
            }
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
    // Of those alike the first is the preferred one.
    let (_, furthest) = failures.into_iter().rev().max_by_key(|(_, failure)| failure.stage)?;
    Some(Failure { down, message, ..furthest })
}
