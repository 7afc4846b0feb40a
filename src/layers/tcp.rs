//! The check of a TCP port: does it accept a connection, and how fast.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::PortCheck;
use ledger::Reason;
use mail::Fault;
use mail::trace::Trace;
use mail::visit::visit;
use mail::wire::ConnectionContext;

pub use crate::store::PORT_REASONS as REASONS;

/// Connects once, reads the greeting and says goodbye, where it is known or shows what is spoken there; else
/// the connection is closed without a word. Gives the time of the TCP handshake with the address that answered
/// first, name resolution not included; `trace` knows it as soon as it is over. A server that accepts and closes at once has answered: what it does
/// next is for the layers above.
///
/// # Errors
/// Why no connection came about, with one of [`REASONS`].
pub async fn check(
    port: &PortCheck,
    clients: &ConnectionContext,
    trace: Trace,
    deadline: Instant,
) -> Result<Duration, Fault> {
    let place = (port.host.as_str(), port.port, port.ip_family);
    visit(place, port.service, clients, trace, deadline).await.map_err(folded)
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
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::config::{IpFamily, Service, Spoken};

    async fn checked(host: &str, port: u16) -> Result<Duration, Fault> {
        let name = "web".to_owned();
        let (host, ip_family) = (host.to_owned(), IpFamily::Any);
        let port = PortCheck { name, host, port, ip_family, owner: None, service: None };
        check(
            &port,
            &ConnectionContext::default(),
            Trace::new(None),
            Instant::now() + Duration::from_secs(10),
        )
        .await
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

    /// The farewell that a server hears which greets so.
    async fn farewell(greeting: &'static str, service: Option<Service>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.write_all(greeting.as_bytes()).unwrap();
            let mut heard = String::new();
            let mut reader = BufReader::new(&mut socket);
            let _ = reader.read_line(&mut heard);
            let _ = socket.write_all(b"221 bye\r\n");
            heard
        });
        let (name, host, ip_family) = ("a".to_owned(), "127.0.0.1".to_owned(), IpFamily::Any);
        let check_of = PortCheck { name, host, port, ip_family, owner: None, service };
        let deadline = Instant::now() + Duration::from_secs(10);
        check(&check_of, &ConnectionContext::default(), Trace::new(None), deadline).await.unwrap();
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_check_takes_its_leave_in_the_protocol_that_is_known_or_shows() {
        let known = |protocol| Some(Service { protocol, begins_with_tls: false });
        let smtp = "220-mail.example.com ESMTP\r\n220 ready\r\n";
        for (greeting, service, words) in [
            (smtp, known(Spoken::Smtp), "QUIT\r\n"),
            (smtp, None, "QUIT\r\n"),
            ("* OK ready\r\n", None, "M1 LOGOUT\r\n"),
            ("+OK ready\r\n", None, "QUIT\r\n"),
            ("SSH-2.0-OpenSSH_9.2\r\n", None, ""),
        ] {
            assert_eq!(farewell(greeting, service).await, words, "{greeting}");
        }
    }
}
