//! A server that is played from memory: what it says, when, and in which pieces it comes.
//!
//! The byte [`TURN`] ends what is said at once: what follows is said after the client has said something,
//! or when it waits for more. [`HANG_UP`] ends a connection; what follows is said on the next. Both are
//! control characters that no protocol here has. What the client makes of a script does not depend on the
//! size of the pieces, or that is a finding.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::net::Socket;

/// Ends what is said at once.
pub const TURN: u8 = 0x1c;
/// Ends a connection.
pub const HANG_UP: u8 = 0x1d;
/// How much of what the client says is kept.
const HEARD_BYTES: usize = 64 << 10;

/// What a server says on one connection after the other. Clones are the same server.
#[derive(Clone)]
pub struct Script(Arc<Mutex<Play>>);

struct Play {
    words: Vec<u8>,
    /// How much of them was said.
    said: usize,
    piece: usize,
    heard: Vec<u8>,
}

impl Play {
    /// What is said next at once; `None` if the server hangs up.
    fn next(&mut self) -> Option<Vec<u8>> {
        let rest = &self.words[self.said..];
        if matches!(rest.first(), None | Some(&HANG_UP)) {
            self.said += rest.len().min(1);
            return None;
        }
        let end = rest.iter().position(|byte| matches!(*byte, TURN | HANG_UP));
        let words = rest[..end.unwrap_or(rest.len())].to_vec();
        let is_turn = rest.get(words.len()) == Some(&TURN);
        self.said += words.len() + usize::from(is_turn);
        Some(words)
    }
}

impl Script {
    /// The script in these bytes; at most `piece` of them come at once.
    pub fn new(bytes: &[u8], piece: usize) -> Self {
        let play = Play { words: bytes.to_vec(), said: 0, piece: piece.max(1), heard: Vec::new() };
        Self(Arc::new(Mutex::new(play)))
    }

    /// The next connection to this server. Needs a runtime.
    pub fn connect(&self) -> Played {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = std::net::TcpStream::from(OwnedFd::from(ours));
        let mut played = Played {
            play: Arc::clone(&self.0),
            socket: Socket::Tcp(TcpStream::from_std(socket).unwrap()),
            _peer: theirs,
            ready: Vec::new(),
            read: 0,
            is_over: false,
        };
        played.go_on();
        played
    }

    /// What the client has said, the beginning of it.
    pub fn heard(&self) -> Vec<u8> {
        play(&self.0).heard.clone()
    }

    /// What the server would still have said.
    pub fn rest(&self) -> Vec<u8> {
        let play = play(&self.0);
        play.words[play.said..].to_vec()
    }
}

fn play(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection to it.
pub struct Played {
    play: Arc<Mutex<Play>>,
    /// For who asks the socket below: it has no address, and nothing ever comes.
    socket: Socket,
    _peer: UnixStream,
    /// What has come, the first `read` bytes of which were read.
    ready: Vec<u8>,
    read: usize,
    is_over: bool,
}

impl Played {
    /// A socket that stands for that of a connection.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether there is nothing to read at the moment; the end of the connection is something.
    pub fn is_silent(&self) -> bool {
        !self.has_more() && !self.is_over
    }

    /// What has come and was not read.
    pub fn unread(&self) -> &[u8] {
        self.ready.get(self.read..).unwrap_or_default()
    }

    fn has_more(&self) -> bool {
        self.read < self.ready.len()
    }

    /// The server says what is next.
    fn go_on(&mut self) {
        if self.is_over {
            return;
        }
        match play(&self.play).next() {
            Some(words) => {
                self.ready.drain(..self.read);
                self.read = 0;
                self.ready.extend(words);
            }
            None => self.is_over = true,
        }
    }
}

impl AsyncRead for Played {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.has_more() && !this.is_over {
            this.go_on();
        }
        let piece = play(&this.play).piece.min(buffer.remaining());
        let unread = this.unread();
        let piece = unread.get(..piece).unwrap_or(unread);
        buffer.put_slice(piece);
        this.read += piece.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Played {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let heard = &mut play(&this.play).heard;
        let room = HEARD_BYTES.saturating_sub(heard.len());
        heard.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A server that has hung up while the client was about to say something is seen to have done so.
        this.go_on();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
