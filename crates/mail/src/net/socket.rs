//! A TCP connection, or one of a simulated network.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection, not protected yet.
#[derive(Debug)]
pub enum Socket {
    /// Of the kernel.
    Tcp(TcpStream),
    /// Of a network that exists in memory only.
    #[cfg(feature = "simulation")]
    Simulated(Box<dyn super::simulated::Connection>),
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Socket::Tcp(socket)
    }
}

impl Socket {
    /// This side's address.
    ///
    /// # Errors
    /// The kernel does not tell it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Tcp(socket) => socket.local_addr(),
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => Ok(connection.local_address()),
        }
    }

    /// Whether nothing has come to this host that was not read yet.
    pub(super) fn is_silent(&self) -> bool {
        match self {
            // The kernel is asked itself: what tokio knows of the socket may be older.
            Socket::Tcp(socket) => {
                let mut first = [MaybeUninit::uninit()];
                matches!(SockRef::from(socket).peek(&mut first), Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock)
            }
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => connection.is_silent(),
        }
    }

    /// Has the kernel acknowledge at once what the server sends next.
    pub(super) fn acknowledge_at_once(&self) {
        match self {
            #[cfg(target_os = "linux")]
            Socket::Tcp(socket) => drop(socket.set_quickack(true)),
            #[cfg(not(target_os = "linux"))]
            Socket::Tcp(_) => {}
            #[cfg(feature = "simulation")]
            Socket::Simulated(_) => {}
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(context, buffer),
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => Pin::new(connection).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(context, bytes),
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => Pin::new(connection).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_flush(context),
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => Pin::new(connection).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(context),
            #[cfg(feature = "simulation")]
            Socket::Simulated(connection) => Pin::new(connection).poll_shutdown(context),
        }
    }
}
