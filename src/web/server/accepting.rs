//! Accepting connections, also when descriptors have run out.
//!
//! One descriptor is held in reserve. It is given back to let a client in who finds none; then the
//! client that has waited longest for nothing leaves for the next. So whoever scrapes gets an answer
//! while all the rest is taken.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::door::{Door, Seat};
use crate::descriptors;
use ledger::Shortage;

/// How long the loop waits after an error that only time can mend.
const PAUSE: Duration = Duration::from_millis(100);

/// How often such an error is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Accepts for ever. All clients wait in one queue, so it must go on whoever they are.
pub(in crate::web) async fn accept_loop(
    mut poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>,
    door: &Arc<Door>,
    each: impl Fn(TcpStream, SocketAddr, Seat),
) {
    let mut logged: Option<Instant> = None;
    let mut spare = spare();
    loop {
        match std::future::poll_fn(&mut poll_accept).await {
            Ok((stream, peer)) => {
                if !leaves_enough(&stream, door).await {
                    continue;
                }
                if let Some(seat) = door.enter(peer.ip()).await {
                    each(stream, peer, seat);
                }
                spare = spare.or_else(self::spare);
            }
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
                    logged = Some(Instant::now());
                    tracing::warn!(%error, "cannot accept HTTP connections; retrying");
                }
                if !makes_room(&error, door, &mut spare).await {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Polls for the next connection of any listener. The one after the last that had one is asked
/// first, so that none starves beside a busy one.
pub(in crate::web) fn accept_any(
    mut listeners: Vec<TcpListener>,
) -> impl FnMut(&mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
    move |context| {
        let ready = listeners.iter().enumerate().find_map(|(index, listener)| {
            match listener.poll_accept(context) {
                Poll::Ready(outcome) => Some((index, outcome)),
                Poll::Pending => None,
            }
        });
        let Some((index, outcome)) = ready else { return Poll::Pending };
        listeners.rotate_left(index + 1);
        Poll::Ready(outcome)
    }
}

/// Whether it is worth trying again at once after this error.
async fn makes_room(error: &io::Error, door: &Door, spare: &mut Option<File>) -> bool {
    let Some(shortage) = Shortage::of(error) else { return false };
    let is_mended = shortage == Shortage::Descriptors
        && (spare.take().is_some() || door.make_room(PAUSE).await);
    if !is_mended {
        mail::shortage::count(shortage);
    }
    is_mended
}

/// Whether the store keeps its descriptors beside this connection. If not, another one leaves for it;
/// where none can, there is no place for it.
async fn leaves_enough(stream: &TcpStream, door: &Door) -> bool {
    if !descriptors::is_for_files(stream) {
        return true;
    }
    door.make_room(PAUSE).await
}

/// Any descriptor does.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::io::Errno;
    use tokio::time::timeout;

    use super::super::door::Phase;
    use super::super::limits::Limits;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn without_descriptors_the_spare_one_and_then_the_idlest_client_make_room_at_once() {
        let door = Door::new(Limits::default());
        let idle = door.enter("192.0.2.1".parse().unwrap()).await.unwrap();
        idle.set(Phase::Kept);
        let busy = door.enter("192.0.2.2".parse().unwrap()).await.unwrap();
        busy.set(Phase::Answer);
        tokio::time::advance(Duration::from_secs(1)).await;
        let idle = tokio::spawn(async move {
            idle.over().await;
            drop(idle);
        });
        let tries = AtomicUsize::new(0);
        let accept = |_: &mut Context<'_>| {
            tries.fetch_add(1, Ordering::SeqCst);
            Poll::Ready(Err(Errno::MFILE.into()))
        };
        let run = accept_loop(accept, &door, |_, _, _| {});
        assert!(timeout(PAUSE / 2, run).await.is_err());
        // The first has no descriptor, the second none after the spare one, the third none after the
        // idle client; then there is nothing left but to wait.
        assert_eq!(tries.load(Ordering::SeqCst), 3);
        assert!(idle.is_finished());
        assert!(timeout(Duration::ZERO, busy.over()).await.is_err(), "its answer is under way");
    }
}
