//! Opening connections: resolve, TCP, TLS, each under a deadline. The only place that connects.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_openssl::SslStream;

use crate::options::{Endpoint, IpFamily};
use crate::{Fault, Reason};

pub use happy_eyeballs::{Connected, connect};
use names::Names;
pub use read_ahead::ReadAhead;
pub use socket::Socket;

mod happy_eyeballs;
pub mod host;
pub mod mx;
pub(crate) mod names;
mod read_ahead;
pub mod records;
#[cfg(feature = "simulation")]
pub mod simulated;
mod socket;
pub mod tls;

/// The addresses of an endpoint, in the order in which they are tried; never empty.
///
/// # Errors
/// [`Reason::Dns`] if there is none or nobody answered, [`Reason::Timeout`] after the deadline; both
/// mean *down*. With a [`crate::Shortage`] if its turn did not come.
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
    let found = Names::of_this_system().addresses(host, family, deadline).await?;
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

/// Whether a name is that of the domain, or below it.
pub(crate) fn is_within(name: &str, domain: &str) -> bool {
    let parts = name.len().checked_sub(domain.len()).and_then(|at| name.split_at_checked(at));
    parts.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
    })
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
    Plain(Socket),
    /// Under TLS.
    Tls(Box<SslStream<ReadAhead>>),
    /// A server that is played from memory.
    #[cfg(any(test, feature = "fuzzing"))]
    Played(Box<crate::fuzz::script::Played>),
}

impl Stream {
    /// The socket below.
    pub fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.get_ref().socket(),
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Played(stream) => stream.socket(),
        }
    }

    /// Whether nothing has come to this host that was not read yet.
    pub fn is_silent(&self) -> bool {
        #[cfg(any(test, feature = "fuzzing"))]
        if let Stream::Played(stream) = self {
            return stream.is_silent();
        }
        if self.holds_something() {
            return false;
        }
        self.socket().is_silent()
    }

    /// Whether something was read from the socket that nobody has asked for yet, be it through TLS or not.
    fn holds_something(&self) -> bool {
        matches!(self, Stream::Tls(stream)
            if stream.get_ref().holds_something() || stream.ssl().pending() > 0)
    }

    /// Has the kernel acknowledge at once what the server sends next. After a TLS 1.3 handshake the
    /// server's session ticket is under way, and its first reply waits (Nagle) until the client has
    /// acknowledged it: 40 ms of delayed ACK that would be measured as the server's own.
    pub fn acknowledge_at_once(&self) {
        // What is read ahead needs no kernel. The rest of a record is still to come.
        let is_here = matches!(self, Stream::Tls(stream) if stream.get_ref().holds_a_record());
        if !is_here {
            self.socket().acknowledge_at_once();
        }
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
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Played(stream) => Pin::new(stream).poll_read(context, buffer),
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
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Played(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Played(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            #[cfg(any(test, feature = "fuzzing"))]
            Stream::Played(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
