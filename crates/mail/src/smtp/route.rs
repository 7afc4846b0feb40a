//! Delivering as the outside world does: the hosts that take a domain's mail, one after the other
//! (RFC 5321 section 5.1).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Smtp;
use crate::auth::Login;
use crate::net::mx::Exchanger;
use crate::trace::Trace;
use crate::wire::Dialer;
use ledger::Failure;
use ledger::TlsFacts;

/// The least time for one host, if there is that much.
const LEAST_SHARE: Duration = Duration::from_secs(10);

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
    let mut attempts: Vec<Attempt<'_>> = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let others = u32::try_from(hosts.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let rest = end.saturating_duration_since(now);
        if !attempts.is_empty() && rest.is_zero() {
            break;
        }
        let share = (rest / others).max(LEAST_SHARE).min(rest);
        trace.set_connection(None, None);
        trace.fact(format!("trying {host}"));
        let dialer = dialer.to_host(&host.host);
        match Smtp::open_at(&dialer, login, name, trace.clone(), now + share).await {
            Ok(mut smtp) => {
                smtp.wire.set_end(end);
                return Ok(smtp);
            }
            Err(failure) => {
                let (address, tls) = (trace.address(), trace.tls_facts());
                attempts.push(Attempt { host, failure, address, tls });
            }
        }
    }
    Err(summary(attempts, &trace).unwrap_or_else(|| {
        let fault = crate::Fault::down(ledger::Reason::Dns, "no host to try");
        trace.failure(fault)
    }))
}

/// What one host came to.
struct Attempt<'a> {
    host: &'a Exchanger,
    failure: Failure,
    address: Option<SocketAddr>,
    tls: Option<TlsFacts>,
}

/// The failure of all of them; what the record says of the connection is that of the host it is of.
fn summary(attempts: Vec<Attempt<'_>>, trace: &Trace) -> Option<Failure> {
    let down = attempts.iter().all(|attempt| attempt.failure.down);
    // The one that lacked something of ours might have taken the mail.
    let shortage = attempts.iter().find_map(|attempt| attempt.failure.shortage);
    let words =
        attempts.iter().map(|attempt| format!("{}: {}", attempt.host, attempt.failure.message));
    let message = words.collect::<Vec<_>>().join("; ");
    // Of those alike the first is the preferred one.
    let furthest = attempts.into_iter().rev().max_by_key(|attempt| attempt.failure.step)?;
    trace.set_connection(furthest.address, furthest.tls);
    Some(Failure { down, shortage, message, ..furthest.failure })
}
