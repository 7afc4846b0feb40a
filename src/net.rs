//! Opening connections: resolve, TCP, TLS, each under a deadline. The only place that connects.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_openssl::SslStream;

use crate::config::{Endpoint, IpFamily};
use crate::mail::{Fault, Reason};

pub use race::{Connected, connect};

pub mod host;
pub mod mx;
mod race;
pub mod tls;

/// The addresses of an endpoint, in the order in which they are tried; never empty.
///
/// # Errors
/// [`Reason::Dns`] if there is none, [`Reason::Timeout`] after the deadline; both mean *down*.
pub async fn resolve(endpoint: &Endpoint, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
    addresses(&endpoint.host, endpoint.port, endpoint.ip_family, deadline).await
}

/// The same of a host, with this port.
///
/// # Errors
/// Those of [`resolve`].
pub async fn addresses(
    host: &str,
    port: u16,
    family: IpFamily,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Fault> {
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => match timeout_at(deadline, look_up(host.to_owned(), port)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                return Err(Fault::down(Reason::Dns, format!("cannot resolve {host}: {error}")));
            }
            Err(_) => {
                let message = format!("resolving {host} took too long");
                return Err(Fault::down(Reason::Timeout, message));
            }
        },
    };
    let addresses: Vec<SocketAddr> =
        found.into_iter().filter(|address| fits(address.ip(), family)).collect();
    if addresses.is_empty() {
        let family = match family {
            IpFamily::Any => "",
            IpFamily::V4 => " IPv4",
            IpFamily::V6 => " IPv6",
        };
        return Err(Fault::down(Reason::Dns, format!("{host} has no{family} address")));
    }
    Ok(addresses)
}

/// The system's resolver blocks a thread for each question, and one that hangs keeps it after the
/// asker has gone: so the permit stays with the question, and enough threads are left for the rest
/// of the program, the pages among it.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    static QUESTIONS: Semaphore = Semaphore::const_new(MOST_QUESTIONS);
    let permit = QUESTIONS.acquire().await.map_err(io::Error::other)?;
    let question = tokio::spawn(async move {
        let found = tokio::net::lookup_host((host, port)).await.map(Iterator::collect);
        drop(permit);
        found
    });
    question.await.map_err(io::Error::other)?
}

/// How many names are looked up at one time; tokio has 512 threads for all that blocks.
const MOST_QUESTIONS: usize = 64;

fn fits(address: IpAddr, family: IpFamily) -> bool {
    match family {
        IpFamily::Any => true,
        IpFamily::V4 => address.is_ipv4(),
        IpFamily::V6 => address.is_ipv6(),
    }
}

/// The reason of a read or write that failed.
pub fn io_reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Reason::Closed,
        io::ErrorKind::TimedOut => Reason::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Reason::Unreachable,
        // A TLS alert or a broken record arrives wrapped.
        _ if error.get_ref().is_some_and(|inner| inner.is::<openssl::ssl::Error>()) => Reason::Tls,
        _ => Reason::Other,
    }
}

/// A connection, protected or not.
pub enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<SslStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref(),
        }
    }

    /// Has the kernel acknowledge at once what the server sends next. After a TLS 1.3 handshake the
    /// server's session ticket is under way, and its first reply waits (Nagle) until the client has
    /// acknowledged it: 40 ms of delayed ACK that would be measured as the server's own.
    pub fn acknowledge_at_once(&self) {
        #[cfg(target_os = "linux")]
        let _ = self.socket().set_quickack(true);
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// A duration as people write it: `30 s`, `0.25 s`.
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds >= 10.0 || seconds.fract() == 0.0 {
            write!(f, "{seconds:.0} s")
        } else {
            write!(f, "{seconds:.2} s")
        }
    }
}
