//! The socket below TLS, read by all that has come. OpenSSL asks for the header of each record by itself, and
//! the runtime, given just what it asked for, would ask the kernel once more for what is not there: three calls
//! of the system for each answer of a server in place of one.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;

/// How much is asked of the kernel at once.
const AT_ONCE: usize = 8192;

/// A socket, and what was read from it and is not yet asked for: at most 8 kB, and no room is kept for it while
/// there is nothing.
#[derive(Debug)]
pub struct ReadAhead {
    socket: Socket,
    held: Vec<u8>,
    /// So much of what is held was given.
    given: usize,
}

impl ReadAhead {
    /// Nothing was read yet.
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, held: Vec::new(), given: 0 }
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether something was read that nobody has asked for yet.
    pub fn holds_something(&self) -> bool {
        self.given < self.held.len()
    }

    /// Whether a whole record is among it (RFC 8446, section 5.1), so that nothing has to come before it can be read.
    pub fn holds_a_record(&self) -> bool {
        let held = self.held.get(self.given..).unwrap_or_default();
        let Some(([_, _, _, high, low], rest)) = held.split_first_chunk() else { return false };
        rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
    }

    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = self.held.get(self.given..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.given += now.len();
        if later.is_empty() {
            self.held = Vec::new();
            self.given = 0;
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.holds_something() {
            this.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let mut room = [const { MaybeUninit::uninit() }; AT_ONCE];
        let mut come = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut this.socket).poll_read(context, &mut come))?;
        let come = come.filled();
        let (now, later) = come.split_at(come.len().min(buffer.remaining()));
        buffer.put_slice(now);
        // Most often there is nothing more, and no room is taken.
        this.held = later.to_vec();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn the_beginning_of_a_record_is_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut ahead = ReadAhead::new(Socket::Tcp(socket));
        let record = [23, 3, 3, 1, 2].into_iter().chain([0; 258]).collect::<Vec<u8>>();
        // What stands before it was given.
        for (held, is_whole) in [(0, false), (4, false), (5, false), (262, false), (263, true)] {
            ahead.held = [&[7; 9], record.get(..held).unwrap()].concat();
            ahead.given = 9;
            assert_eq!(ahead.holds_a_record(), is_whole, "{held}");
        }
        ahead.held.extend([23, 3]);
        assert!(ahead.holds_a_record(), "of the next there is only the beginning");
    }

    #[tokio::test]
    async fn all_that_has_come_is_read_at_once_and_given_as_it_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (socket, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (mut ahead, mut server) =
            (ReadAhead::new(Socket::Tcp(socket.unwrap())), accepted.unwrap().0);
        // More than is asked of the kernel at once.
        let sent: Vec<u8> = (0..=250).cycle().take(AT_ONCE * 2 + 7).collect();
        server.write_all(&sent).await.unwrap();
        drop(server);
        let mut read = vec![0; 5];
        ahead.read_exact(&mut read).await.unwrap();
        assert!(ahead.holds_something());
        let held = ahead.held.len() - ahead.given;
        let mut rest = vec![0; held];
        ahead.read_exact(&mut rest).await.unwrap();
        assert!(!ahead.holds_something());
        assert_eq!(ahead.held.capacity(), 0, "no room is kept");
        read.extend(rest);
        ahead.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, sent, "nothing is lost, doubled or out of order, up to the end");
    }
}
