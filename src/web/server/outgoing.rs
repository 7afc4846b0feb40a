//! The body of an answer on its way to the client.

use std::io;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use tokio::time::timeout;

use super::door::{Phase, Progress};
use super::message::Rest;
use mail::threads;

/// A body that is whole, or that comes piece by piece.
pub(in crate::web) type Body = Either<Full<Bytes>, Channel<Bytes, io::Error>>;

/// A body that is all there.
pub(in crate::web) fn whole(body: Bytes) -> Body {
    Either::Left(Full::new(body))
}

/// A body of unknown length for an answer that is sent without one.
pub(in crate::web) fn none() -> Body {
    Either::Right(Channel::new(1).1)
}

/// A body whose pieces are made while the client takes them, two ahead at most, and never on a
/// thread of the runtime. It breaks off if the client has not taken it within `limit`.
pub(in crate::web) fn in_pieces(
    beginning: Bytes,
    rest: Rest,
    limit: Duration,
    progress: Progress,
) -> Body {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        let outcome = timeout(limit, send(&mut sender, beginning, rest, &progress)).await;
        progress.set(Phase::Kept);
        if let Err(error) = outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            sender.abort(error);
        }
    });
    Either::Right(body)
}

/// Sends all of it; the end of the connection is an error too.
async fn send(
    sender: &mut Sender<Bytes, io::Error>,
    beginning: Bytes,
    mut rest: Rest,
    progress: &Progress,
) -> io::Result<()> {
    let mut piece = beginning;
    loop {
        if !piece.is_empty() {
            progress.set(Phase::Kept);
            sender.send_data(piece).await.map_err(io::Error::other)?;
        }
        progress.set(Phase::Answer);
        let made = threads::run_or_here(move || (rest.next(), rest)).await;
        let (next, again) = made.map_err(io::Error::other)?;
        let Some(next) = next else { return Ok(()) };
        (piece, rest) = (next?, again);
    }
}
