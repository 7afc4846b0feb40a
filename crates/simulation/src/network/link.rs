//! One connection: two lanes of bytes that are under way for a while.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use mail::net::simulated::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Network;

/// So many bytes are under way in one direction at most.
const MOST_BYTES: usize = 64 << 10;

/// How a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// By a FIN, after all bytes.
    Fin,
    /// By a RST, which takes away what was not read.
    Reset,
}

/// The bytes in one direction.
#[derive(Default)]
struct Lane {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    end: Option<(Instant, Farewell)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What the two ends share.
pub(super) struct Link {
    /// That of the client, and that of the server.
    lanes: [Lane; 2],
    latency: Duration,
    /// After so many more bytes the connection is reset on both sides.
    cut_after: Option<usize>,
    is_held: bool,
}

/// One end.
pub(super) struct End {
    pub(super) link: Arc<Mutex<Link>>,
    /// The number of the lane that this end writes to.
    own: usize,
    address: SocketAddr,
    server: SocketAddr,
    network: Network,
    timer: Option<Pin<Box<Sleep>>>,
    resets: bool,
}

/// The two ends of a new connection of the client at this address: its own, and the server's.
pub(super) fn connected(
    (address, server): (SocketAddr, SocketAddr),
    (latency, cut_after): (Duration, Option<usize>),
    network: Network,
) -> (End, End) {
    let link = Link { lanes: Default::default(), latency, cut_after, is_held: false };
    let link = Arc::new(Mutex::new(link));
    let end = |own| End {
        link: Arc::clone(&link),
        own,
        address,
        server,
        network: network.clone(),
        timer: None,
        resets: false,
    };
    (end(0), end(1))
}

impl Lane {
    fn end(&mut self, at: Instant, farewell: Farewell) {
        if farewell == Farewell::Reset || self.end.is_none() {
            self.end = Some((at, farewell));
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn is_reset(&self, now: Instant) -> bool {
        matches!(self.end, Some((at, Farewell::Reset)) if at <= now)
    }
}

impl Link {
    pub(super) fn hold(link: &Arc<Mutex<Self>>, is_held: bool) {
        let mut link = lock(link);
        link.is_held = is_held;
        if !is_held {
            link.lanes.iter_mut().for_each(Lane::wake);
        }
    }

    /// Resets the connection on both sides. What was written last by the end with this lane may still arrive.
    fn cut(&mut self, now: Instant, own: usize, arrives: bool) {
        let at = now + self.latency;
        let later = if arrives { Duration::from_millis(1) } else { Duration::ZERO };
        self.lane(own).end(at + later, Farewell::Reset);
        self.lane(1 - own).end(at, Farewell::Reset);
    }

    fn lane(&mut self, number: usize) -> &mut Lane {
        let [clients, servers] = &mut self.lanes;
        if number == 0 { clients } else { servers }
    }
}

impl End {
    fn is_clients(&self) -> bool {
        self.own == 0
    }

    /// Whether nothing of it can go on any more: the process that held it is dead.
    fn is_dead(&self) -> bool {
        self.is_clients() && !self.network.is_used()
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        lock(&self.link)
    }

    /// Has the task woken at `at`; ready if that is over.
    fn wait_until(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
                timer
            }
            none => none.insert(Box::pin(sleep_until(at))),
        };
        timer.as_mut().poll(context)
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_dead() {
            return Poll::Pending;
        }
        loop {
            let now = Instant::now();
            let mut link = self.link();
            let is_held = link.is_held;
            let lane = link.lane(1 - self.own);
            lane.reader = Some(context.waker().clone());
            if is_held {
                return Poll::Pending;
            }
            if lane.is_reset(now) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let next = match (lane.under_way.front_mut(), lane.end) {
                (Some((at, bytes)), _) if *at <= now => {
                    let count = bytes.len().min(buffer.remaining());
                    buffer.put_slice(bytes.get(..count).unwrap_or_default());
                    bytes.drain(..count);
                    if bytes.is_empty() {
                        lane.under_way.pop_front();
                    }
                    lane.bytes -= count;
                    lane.writer.take().into_iter().for_each(Waker::wake);
                    return Poll::Ready(Ok(()));
                }
                (Some((at, _)), Some((end, Farewell::Reset))) => Some(end.min(*at)),
                (Some((at, _)), _) => Some(*at),
                (None, Some((at, _))) if at <= now => return Poll::Ready(Ok(())),
                (None, Some((at, _))) => Some(at),
                (None, None) => None,
            };
            drop(link);
            match next {
                None => return Poll::Pending,
                Some(at) => ready!(self.wait_until(at, context)),
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_dead() {
            return Poll::Pending;
        }
        let now = Instant::now();
        let mut link = self.link();
        let (at, own) = (now + link.latency, self.own);
        if link.lane(1 - own).is_reset(now) || link.lane(own).end.is_some() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = MOST_BYTES.saturating_sub(link.lane(own).bytes);
        let mut count = bytes.len().min(room);
        if count == 0 && !bytes.is_empty() {
            link.lane(own).writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(left) = &mut link.cut_after {
            count = count.min(*left);
            *left -= count;
            if *left == 0 {
                // Nothing tells the writer whether it arrives.
                link.cut_after = None;
                link.cut(now, own, count % 2 == 1);
            }
        }
        let lane = link.lane(own);
        let written = bytes.get(..count).unwrap_or_default();
        if !written.is_empty() {
            self.network.is_said(self.server, own == 0, written);
            lane.under_way.push_back((at, written.to_vec()));
            lane.bytes += count;
            lane.reader.take().into_iter().for_each(Waker::wake);
        }
        match count {
            0 if !bytes.is_empty() => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.own;
        let mut link = self.link();
        let at = Instant::now() + link.latency;
        link.lane(own).end(at, Farewell::Fin);
        Poll::Ready(Ok(()))
    }
}

impl Connection for End {
    fn local_address(&self) -> SocketAddr {
        self.address
    }

    fn is_silent(&self) -> bool {
        let now = Instant::now();
        let mut link = self.link();
        let is_held = link.is_held;
        let lane = link.lane(1 - self.own);
        let has_come = lane.under_way.front().is_some_and(|(at, _)| *at <= now);
        let has_ended = lane.end.is_some_and(|(at, farewell)| {
            at <= now && (farewell == Farewell::Reset || lane.under_way.is_empty())
        });
        is_held || !(has_come || has_ended)
    }
}

impl testserver::Connection for End {
    fn reset_when_dropped(&mut self) {
        self.resets = true;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (own, farewell) = (self.own, if self.resets { Farewell::Reset } else { Farewell::Fin });
        let mut link = self.link();
        let at = Instant::now() + link.latency;
        link.lane(own).end(at, farewell);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("End").field("address", &self.address).finish_non_exhaustive()
    }
}

fn lock(link: &Arc<Mutex<Link>>) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const LATENCY: Duration = Duration::from_millis(40);

    fn ends(cut_after: Option<usize>) -> (End, End) {
        let address = SocketAddr::from(([10, 0, 0, 1], 1));
        connected((address, address), (LATENCY, cut_after), Network::new(1))
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_under_way_and_the_end_comes_after_them() {
        let (mut client, mut server) = ends(None);
        let began = Instant::now();
        client.write_all(b"hello").await.unwrap();
        assert!(Connection::is_silent(&server));
        drop(client);
        let mut all = Vec::new();
        server.read_to_end(&mut all).await.unwrap();
        assert_eq!((all.as_slice(), began.elapsed()), (&b"hello"[..], LATENCY));
        assert!(!Connection::is_silent(&server), "the end is something");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_cut_at_its_byte_for_both_and_what_was_written_may_arrive() {
        for (cut_after, arrives) in [(4, false), (3, true)] {
            let (mut client, mut server) = ends(Some(cut_after));
            assert_eq!(client.write(b"hello").await.unwrap(), cut_after);
            tokio::time::sleep(LATENCY).await;
            let mut read = [0; 8];
            if arrives {
                assert_eq!(server.read(&mut read).await.unwrap(), cut_after);
            }
            let (own, others) = (client.read_u8().await, server.read_u8().await);
            let kinds = [own, others].map(|outcome| outcome.unwrap_err().kind());
            assert_eq!(kinds, [io::ErrorKind::ConnectionReset; 2]);
            assert!(client.write(b"more").await.is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_arrives_once_it_is_let_go() {
        let (mut client, mut server) = ends(None);
        Link::hold(&client.link, true);
        client.write_all(b"x").await.unwrap();
        let link = Arc::clone(&client.link);
        let lift = async {
            tokio::time::sleep(LATENCY * 100).await;
            Link::hold(&link, false);
        };
        let began = Instant::now();
        let (read, ()) = tokio::join!(server.read_u8(), lift);
        assert_eq!((read.unwrap(), began.elapsed()), (b'x', LATENCY * 100));
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_more_than_is_taken_waits() {
        let (mut client, mut server) = ends(None);
        let much = vec![0; MOST_BYTES * 2];
        let mut read = vec![0; much.len()];
        let (written, taken) = tokio::join!(client.write_all(&much), server.read_exact(&mut read));
        assert!(written.is_ok() && taken.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_comes_from_a_process_that_is_dead() {
        let (mut client, mut server) = ends(None);
        client.network.cut_off();
        let patience = Duration::from_secs(60);
        assert!(tokio::time::timeout(patience, client.write_all(b"x")).await.is_err());
        assert!(tokio::time::timeout(patience, server.read_u8()).await.is_err());
    }
}
