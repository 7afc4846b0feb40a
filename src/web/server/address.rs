//! `--web.listen-address`: what it may say, and the sockets that come of it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// Where to listen, as the command line says it: `:9925`, `127.0.0.1:9925`, `[::1]:9925` or
/// `localhost:9925`. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// Every address of the machine, IPv6 and IPv4.
    All(u16),
    /// One address.
    Socket(SocketAddr),
    /// The addresses of a name.
    Name(String, u16),
}

/// What was given is no listen address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no listen address: write :9925 for all addresses, 127.0.0.1:9925, [::1]:9925 or \
     localhost:9925"
)]
pub struct ListenAddressError(String);

/// Reads a listen address; the name in it, if it is one, is not resolved yet.
///
/// # Errors
///
/// The text is not of one of the forms that [`ListenAddress`] shows.
pub fn parse_listen_address(text: &str) -> Result<ListenAddress, ListenAddressError> {
    let wrong = || ListenAddressError(text.to_owned());
    if let Ok(address) = text.parse() {
        return Ok(ListenAddress::Socket(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() {
        return Ok(ListenAddress::All(port));
    }
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name {
        return Err(wrong());
    }
    Ok(ListenAddress::Name(host.to_owned(), port))
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_listen_address(text)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::All(port) => write!(f, ":{port}"),
            ListenAddress::Socket(address) => write!(f, "{address}"),
            ListenAddress::Name(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// Where this machine itself reaches a listener, as a browser on it does.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Binds every socket that `address` stands for: one, or several for a name with several
/// addresses. All addresses of the machine are one dual-stack socket, or one of IPv4 where the
/// machine has no IPv6.
///
/// # Errors
///
/// The address is malformed, its name is unknown, or none of its sockets can be bound. The message
/// names the address and what to do.
pub async fn bind(address: &str) -> io::Result<Vec<TcpListener>> {
    let address = parse_listen_address(address)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    match address {
        ListenAddress::All(port) => Ok(vec![bind_all(port)?]),
        ListenAddress::Socket(address) => Ok(vec![bind_one(address)?]),
        ListenAddress::Name(host, port) => bind_name(&host, port).await,
    }
}

fn bind_all(port: u16) -> io::Result<TcpListener> {
    let every_ipv6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    let every_ipv4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    match bind_one(every_ipv6) {
        // A machine without IPv6 has no such socket or no such address.
        Err(error) if is_absent(&error) => bind_one(every_ipv4),
        outcome => outcome,
    }
}

async fn bind_name(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| {
        let message = format!(
            "cannot listen on {host}:{port}: the name is not known ({error}): give an address of \
             this machine with --web.listen-address"
        );
        io::Error::new(error.kind(), message)
    })?;
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut absent = None;
    for mut address in addresses {
        // With port 0 all sockets of the name share the port that the first one was given.
        if let Some(Ok(first)) = listeners.first().map(TcpListener::local_addr) {
            address.set_port(first.port());
        }
        match bind_one(address) {
            Ok(listener) => listeners.push(listener),
            // `localhost` has an IPv6 address even on machines without IPv6.
            Err(error) if is_absent(&error) => absent = Some(error),
            Err(error) => return Err(error),
        }
    }
    match (listeners.is_empty(), absent) {
        (true, Some(error)) => Err(error),
        (true, None) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("cannot listen on {host}:{port}: the name has no address"),
        )),
        (false, _) => Ok(listeners),
    }
}

/// Whether the machine does not have the address at all.
fn is_absent(error: &io::Error) -> bool {
    !matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    listen(address).map_err(|error| {
        let (what, advice) = match error.kind() {
            io::ErrorKind::AddrInUse => (
                "address in use".to_owned(),
                "another exporter runs, or choose another port with --web.listen-address",
            ),
            io::ErrorKind::PermissionDenied => (
                "permission denied".to_owned(),
                "choose a port above 1023 with --web.listen-address",
            ),
            io::ErrorKind::AddrNotAvailable => (
                "this machine does not have the address".to_owned(),
                "choose another with --web.listen-address",
            ),
            _ => (error.to_string(), "choose another address with --web.listen-address"),
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {what}: {advice}"))
    })
}

/// Connections that the kernel keeps until they are accepted: more than a burst, so that nobody has to
/// try again a second later. The kernel cuts it to its own most.
const BACKLOG: i32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before it.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whether [::] includes IPv4 is otherwise a setting of the machine.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn the_four_forms_are_read() {
        let socket = |text: &str| ListenAddress::Socket(text.parse().unwrap());
        for (text, expected) in [
            (":9925", ListenAddress::All(9925)),
            ("127.0.0.1:0", socket("127.0.0.1:0")),
            ("[::1]:9925", socket("[::1]:9925")),
            ("localhost:9925", ListenAddress::Name("localhost".into(), 9925)),
        ] {
            assert_eq!(parse_listen_address(text).as_ref(), Ok(&expected));
            assert_eq!(expected.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in ["", "9925", ":", ":http", ":65536", "::1:9925", "[::1]", "a b:1", "http://x:1"]
        {
            let error = parse_listen_address(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is no listen address: write :9925")));
        }
    }

    #[tokio::test]
    async fn every_address_means_ipv4_too() {
        let listeners = bind(":0").await.unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = listeners[0].accept().await.unwrap();
        assert!(peer.ip().to_canonical().is_loopback());
    }

    #[tokio::test]
    async fn a_name_is_bound_at_each_of_its_addresses() {
        let listeners = bind("localhost:0").await.unwrap();
        for listener in &listeners {
            let address = listener.local_addr().unwrap();
            assert!(address.ip().is_loopback());
            assert_eq!(address.port(), listeners[0].local_addr().unwrap().port());
        }
    }

    #[tokio::test]
    async fn a_taken_port_says_so_and_what_to_do() {
        let listeners = bind("127.0.0.1:0").await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        let error = bind(&address.to_string()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {address}: address in use: another exporter runs, or choose \
                 another port with --web.listen-address"
            )
        );
    }

    #[tokio::test]
    async fn a_port_taken_for_ipv4_is_not_silently_half_bound() {
        let listeners = bind("0.0.0.0:0").await.unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        let error = bind(&format!(":{port}")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_refused() {
        let error = bind("192.0.2.1:0").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen on 192.0.2.1:0: this machine does not have the address: choose \
             another with --web.listen-address"
        );
    }
}
