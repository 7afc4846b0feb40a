//! A client that asks and never reads must not hold its connection: a stream whose writes have a
//! deadline.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// A stream that fails with [`io::ErrorKind::TimedOut`] when what was written has not been taken
/// off within a limit. The time runs from the first write that the other end does not take until a
/// flush succeeds, so that reading a byte now and then does not help.
pub(in crate::web) struct WriteDeadline<S> {
    stream: S,
    limit: Duration,
    /// The end of the wait that is under way.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    /// Gives each answer `limit` to be taken.
    pub(in crate::web) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, deadline: None }
    }

    /// The stream itself.
    pub(in crate::web) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Turns a write that did not finish into an error once the deadline has passed.
    fn bound<T>(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            return outcome;
        }
        let limit = self.limit;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read the answer",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        if outcome.is_ready() {
            self.deadline = None;
        }
        self.bound(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bound(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_byte_now_and_then_is_cut() {
        let (client, server) = tokio::io::duplex(16);
        let mut server = WriteDeadline::new(server, LIMIT);
        let reader = tokio::spawn(async move {
            let mut client = client;
            while let Ok(Ok(_)) = tokio::time::timeout(LIMIT * 2, client.read_u8()).await {
                tokio::time::sleep(LIMIT / 10).await;
            }
        });
        let started = Instant::now();
        let error = server.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((LIMIT..LIMIT * 2).contains(&started.elapsed()), "{:?}", started.elapsed());
        drop(server);
        reader.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_the_whole_limit() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut server = WriteDeadline::new(server, LIMIT);
        let reader = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(LIMIT * 3 / 4).await;
                client.read_exact(&mut [0; 24]).await.unwrap();
            }
        });
        for _ in 0..4 {
            server.write_all(&[0; 24]).await.unwrap();
            server.flush().await.unwrap();
        }
        reader.await.unwrap();
    }
}
