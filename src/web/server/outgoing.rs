//! The body of an answer on its way to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::door::{Phase, Progress};
use super::message::Rest;
use mail::threads::{self, Place};

/// A body that is whole, or that comes piece by piece.
pub(in crate::web) type Body = Either<Full<Bytes>, Pieces>;

/// What comes piece by piece. It is whole only if its maker said so: one that broke off must not
/// look like a shorter page.
pub(in crate::web) struct Pieces {
    pieces: mpsc::Receiver<Item>,
    failure: oneshot::Receiver<io::Error>,
    is_whole: bool,
}

enum Item {
    Piece(Bytes),
    End,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_whole {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.pieces.poll_recv(context)) {
            Some(Item::Piece(piece)) => Some(Ok(Frame::data(piece))),
            Some(Item::End) => {
                self.is_whole = true;
                None
            }
            // The failure is sent before the pieces end.
            None => Some(Err(self.failure.try_recv().unwrap_or_else(|_| ended_early()))),
        })
    }
}

fn ended_early() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer broke off")
}

/// A body that is all there.
pub(in crate::web) fn whole(body: Bytes) -> Body {
    Either::Left(Full::new(body))
}

/// A body of unknown length for an answer that is sent without one.
pub(in crate::web) fn none() -> Body {
    Either::Right(Pieces {
        pieces: mpsc::channel(1).1,
        failure: oneshot::channel().1,
        is_whole: true,
    })
}

/// So many pieces are made in one go, at most.
const IN_ONE_GO: usize = 32;
/// So many where there is no thread for it, and everybody waits meanwhile.
const IN_ONE_GO_HERE: usize = 1;

/// How many pieces wait for the client.
const AHEAD: usize = 2;

/// A body whose pieces are made while the client takes them, three ahead at most, and never on a
/// thread of the runtime. It breaks off if the client has not taken it within `limit`.
pub(in crate::web) fn in_pieces(
    beginning: Bytes,
    rest: Rest,
    limit: Duration,
    progress: Progress,
) -> Body {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let (failed, failure) = oneshot::channel();
    tokio::spawn(async move {
        let outcome = timeout(limit, send(&sender, beginning, rest, &progress)).await;
        progress.set(Phase::Kept);
        if let Err(error) = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            // Nobody is there to take it if the client is gone.
            let _ = failed.send(error);
        }
        drop(sender);
    });
    Either::Right(Pieces { pieces, failure, is_whole: false })
}

/// Sends all of it; the end of the connection is an error too.
async fn send(
    sender: &mpsc::Sender<Item>,
    beginning: Bytes,
    mut rest: Rest,
    progress: &Progress,
) -> io::Result<()> {
    let mut piece = beginning;
    loop {
        if !piece.is_empty() {
            progress.set(Phase::Kept);
            sender.send(Item::Piece(piece)).await.map_err(io::Error::other)?;
            // A thread for each piece would cost as much as the piece: it makes all that fit.
            drop(sender.reserve_many(AHEAD).await.map_err(io::Error::other)?);
        }
        progress.set(Phase::Answer);
        // Should the next be made here, those go first who waited for this one.
        yield_now().await;
        let to_client = sender.clone();
        let made = threads::run_or_here(move |place| {
            make(&to_client, &mut rest, in_one_go(place)).map(|it| (it, rest))
        });
        let (next, again) = made.await.map_err(io::Error::other)??;
        let Some(next) = next else { break };
        (piece, rest) = (next, again);
    }
    progress.set(Phase::Kept);
    sender.send(Item::End).await.map_err(io::Error::other)
}

fn in_one_go(place: Place) -> usize {
    match place {
        Place::Aside => IN_ONE_GO,
        Place::Here => IN_ONE_GO_HERE,
    }
}

/// Makes so many pieces at most, as long as the client takes them, and gives one that has to wait; `None` after the
/// last.
fn make(sender: &mpsc::Sender<Item>, rest: &mut Rest, most: usize) -> io::Result<Option<Bytes>> {
    for _ in 0..most {
        let Some(piece) = rest.next().transpose()? else { return Ok(None) };
        if piece.is_empty() {
            continue;
        }
        match sender.try_send(Item::Piece(piece)) {
            Ok(()) => {}
            Err(TrySendError::Full(Item::Piece(piece))) => return Ok(Some(piece)),
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
    }
    Ok(Some(Bytes::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_thread_one_piece_is_made_at_a_time() {
        for (place, made) in [(Place::Here, 1), (Place::Aside, 4)] {
            let (sender, mut pieces) = mpsc::channel(9);
            let mut rest = Rest::new((0..4).map(|_| Ok(Bytes::from_static(b"piece"))));
            let outcome = make(&sender, &mut rest, in_one_go(place)).unwrap();
            assert_eq!(outcome.is_none(), place == Place::Aside, "{place:?}");
            let count = std::iter::from_fn(|| pieces.try_recv().ok()).count();
            assert_eq!((count, rest.count()), (made, 4 - made), "{place:?}");
        }
    }
}
