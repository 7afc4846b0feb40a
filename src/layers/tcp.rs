//! The check of a TCP port: does it accept a connection, and how fast.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::PortCheck;
use crate::mail::visit::visit;
use crate::mail::wire::Clients;
use crate::mail::{Fault, Reason};

/// Why a port does not answer, the values of the label `reason`.
pub const REASONS: [Reason; 5] =
    [Reason::Dns, Reason::Refused, Reason::Unreachable, Reason::Timeout, Reason::Other];

/// Connects once, reads the greeting and says goodbye, where it is known or shows what is spoken there; else
/// the connection is closed without a word. Gives the time of the TCP handshake with the address that answered
/// first, name resolution not included. A server that accepts and closes at once has answered: what it does
/// next is for the layers above.
///
/// # Errors
/// Why no connection came about, with one of [`REASONS`].
pub async fn check(
    port: &PortCheck,
    clients: &Clients,
    deadline: Instant,
) -> Result<Duration, Fault> {
    let place = (port.host.as_str(), port.port, port.ip_family);
    visit(place, port.service, clients, deadline).await.map_err(folded)
}

/// The fault with one of [`REASONS`].
pub fn folded(fault: Fault) -> Fault {
    match fault.reason {
        reason if REASONS.contains(&reason) => fault,
        _ => Fault { reason: Reason::Other, ..fault },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::IpFamily;

    async fn checked(host: &str, port: u16) -> Result<Duration, Fault> {
        let name = "web".to_owned();
        let (host, ip_family) = (host.to_owned(), IpFamily::Any);
        let port = PortCheck { name, host, port, ip_family, owner: None, service: None };
        check(&port, &Clients::default(), Instant::now() + Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn a_port_that_accepts_is_there_even_if_it_closes_at_once() {
        for host in ["127.0.0.1", "::1"] {
            let listener = TcpListener::bind((host, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let closing = std::thread::spawn(move || drop(listener.accept().unwrap()));
            let duration = checked(host, port).await.unwrap();
            assert!(duration < Duration::from_secs(10));
            closing.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_a_name_without_address_is_dns() {
        // Bound, so that nobody else gets the port, and not listening.
        let closed = tokio::net::TcpSocket::new_v4().unwrap();
        closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let port = closed.local_addr().unwrap().port();
        let fault = checked("127.0.0.1", port).await.unwrap_err();
        assert_eq!((fault.reason, fault.down), (Reason::Refused, true));
        let fault = checked("no-such-host.invalid", 25).await.unwrap_err();
        assert_eq!((fault.reason, fault.down), (Reason::Dns, true));
        assert!(fault.message.contains("no-such-host.invalid"), "{}", fault.message);
    }
}
