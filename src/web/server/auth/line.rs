//! Who waits for a password check, and who is next.
//!
//! A check costs a processor as much as a thousand pages, so there are few at a time. Who has asked
//! for many lately waits behind who has not, and nobody has more than a few waiting: who guesses
//! passwords waits for itself. Who had to go and comes again with the same password, as a scraper
//! does and a guesser does not, comes first.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::web::server::door::Peer;
use crate::web::server::recent::Recent;

/// The line before the password checks.
pub(super) struct Line {
    /// Checks at one time.
    at_a_time: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    busy: usize,
    /// In the order of their coming.
    waiting: Vec<Waiting>,
    /// Checks that were asked for.
    asked: Recent,
    /// What had no place in the line: the newer half, and the older one.
    postponed: [HashSet<Digest>; 2],
}

/// The identity of a user with a password.
pub(super) type Digest = [u8; 32];

struct Waiting {
    peer: Peer,
    /// It comes again, after it had no place.
    insists: bool,
    call: oneshot::Sender<Turn>,
}

/// The right to check one password; with its end the next one is called.
pub(super) struct Turn {
    line: Arc<Line>,
}

impl Line {
    /// The most that wait.
    const LONGEST: usize = 16;

    /// The most of one client that wait.
    const PER_PEER: usize = 4;

    /// The most that are remembered of each half of those that had no place.
    const POSTPONED: usize = 8192;

    /// An empty line before `at_a_time` checks.
    pub(super) fn new(at_a_time: usize) -> Arc<Self> {
        Arc::new(Self { at_a_time, state: Mutex::default() })
    }

    /// Waits for a turn for a check of `digest`. `None` if too many wait already.
    pub(super) async fn turn(self: &Arc<Self>, peer: Peer, digest: Digest) -> Option<Turn> {
        let called = {
            let mut state = self.state();
            state.asked.add(peer, Instant::now());
            if state.busy < self.at_a_time {
                state.busy += 1;
                return Some(Turn { line: Arc::clone(self) });
            }
            state.join(peer, digest)?
        };
        called.await.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn join(&mut self, peer: Peer, digest: Digest) -> Option<oneshot::Receiver<Turn>> {
        self.waiting.retain(|waiting| !waiting.call.is_closed());
        let insists = self.postponed.iter().any(|half| half.contains(&digest));
        if !self.has_place(peer, insists) {
            self.postpone(digest);
            return None;
        }
        let (call, called) = oneshot::channel();
        self.waiting.push(Waiting { peer, insists, call });
        Some(called)
    }

    /// Whether one more may wait; another one may have to go for it.
    fn has_place(&mut self, peer: Peer, insists: bool) -> bool {
        let own = self.waiting.iter().filter(|waiting| waiting.peer == peer);
        let own = own.filter(|waiting| waiting.insists == insists).count();
        if own >= Line::PER_PEER {
            return false;
        }
        if self.waiting.len() < Line::LONGEST {
            return true;
        }
        let worst = self.waiting.iter().enumerate().max_by_key(|(_, waiting)| self.rank(waiting));
        let Some((index, worst)) = worst else { return true };
        let goes = self.rank(worst) > (!insists, self.asked(peer));
        if goes {
            self.waiting.remove(index);
        }
        goes
    }

    /// The less, the sooner it is called.
    fn rank(&self, waiting: &Waiting) -> (bool, u32) {
        (!waiting.insists, self.asked(waiting.peer))
    }

    fn postpone(&mut self, digest: Digest) {
        let [newer, older] = &mut self.postponed;
        if newer.len() >= Line::POSTPONED {
            *older = std::mem::take(newer);
        }
        newer.insert(digest);
    }

    /// How often `peer` has asked of late.
    fn asked(&self, peer: Peer) -> u32 {
        self.asked.of(peer, Instant::now())
    }

    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.call.is_closed());
        let all = self.waiting.iter().enumerate();
        let (index, _) = all.min_by_key(|(_, waiting)| self.rank(waiting))?;
        Some(self.waiting.remove(index))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut state = self.line.state();
            let next = state.next();
            if next.is_none() {
                state.busy -= 1;
            }
            next
        };
        if let Some(next) = next {
            // One that has gone meanwhile gives its turn back, and so to the next.
            let _ = next.call.send(Turn { line: Arc::clone(&self.line) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::net::IpAddr;
    use std::pin::Pin;
    use std::time::Duration;

    use super::*;

    fn peer(last: u8) -> Peer {
        Peer::of(IpAddr::from([192, 0, 2, last]))
    }

    type Asked = Pin<Box<dyn Future<Output = Option<Turn>>>>;

    /// Joins the line; returns at once whether there is a turn.
    async fn ask(line: &Arc<Line>, peer: Peer) -> (Asked, Option<Option<Turn>>) {
        ask_for(line, peer, [0; 32]).await
    }

    async fn ask_for(
        line: &Arc<Line>,
        peer: Peer,
        digest: Digest,
    ) -> (Asked, Option<Option<Turn>>) {
        let line = Arc::clone(line);
        let mut asked: Asked = Box::pin(async move { line.turn(peer, digest).await });
        let now = std::future::poll_fn(|context| {
            std::task::Poll::Ready(match asked.as_mut().poll(context) {
                std::task::Poll::Ready(turn) => Some(turn),
                std::task::Poll::Pending => None,
            })
        })
        .await;
        (asked, now)
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_often_lately_waits_behind_who_did_not() {
        let line = Line::new(1);
        drop(line.turn(peer(2), [9; 32]).await.unwrap());
        let first = line.turn(peer(1), [9; 32]).await.unwrap();
        let (mut guesser, now) = ask(&line, peer(2)).await;
        assert!(now.is_none());
        let (scraper, now) = ask(&line, peer(3)).await;
        assert!(now.is_none());
        drop(first);
        let turn = scraper.await.unwrap();
        let early = tokio::time::timeout(Duration::from_secs(1), guesser.as_mut()).await;
        assert!(early.is_err(), "two checks at a time");
        drop(turn);
        assert!(guesser.await.is_some());

        // A minute later it is forgotten.
        tokio::time::advance(Recent::MEMORY).await;
        let first = line.turn(peer(1), [9; 32]).await.unwrap();
        let (guesser, _) = ask(&line, peer(2)).await;
        let (_scraper, _) = ask(&line, peer(3)).await;
        drop(first);
        assert!(guesser.await.is_some());
    }

    #[tokio::test]
    async fn nobody_has_more_than_a_few_waiting_and_all_together_a_few_more() {
        let line = Line::new(1);
        let _busy = line.turn(peer(0), [9; 32]).await.unwrap();
        let mut held = Vec::new();
        for last in 1..=u8::try_from(Line::LONGEST / Line::PER_PEER).unwrap() {
            for _ in 0..Line::PER_PEER {
                let (asked, now) = ask(&line, peer(last)).await;
                assert!(now.is_none());
                held.push(asked);
            }
            let fifth = ask_for(&line, peer(last), [last; 32]).await;
            assert!(matches!(fifth.1, Some(None)), "a fifth may wait");
        }
        let (_kept, now) = ask(&line, peer(200)).await;
        assert!(now.is_none(), "who has not asked before takes the place of one who did");
        assert_eq!(line.state().waiting.len(), Line::LONGEST);
        for _ in 0..=Line::PER_PEER {
            line.state().asked.add(peer(201), Instant::now());
        }
        let (_, now) = ask(&line, peer(201)).await;
        assert!(matches!(now, Some(None)), "who asked as often takes the place of none");
    }

    #[tokio::test]
    async fn who_comes_again_with_the_same_password_comes_first() {
        let line = Line::new(1);
        let first = line.turn(peer(1), [9; 32]).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..Line::PER_PEER {
            held.push(ask(&line, peer(1)).await.0);
        }
        let scraper = [7; 32];
        assert!(matches!(ask_for(&line, peer(1), scraper).await.1, Some(None)));
        assert!(matches!(ask_for(&line, peer(1), [8; 32]).await.1, Some(None)));
        let (again, now) = ask_for(&line, peer(1), scraper).await;
        assert!(now.is_none(), "it has a place of its own");
        drop(first);
        assert!(again.await.is_some(), "and is called before those who came earlier");
    }

    #[test]
    fn the_memory_of_those_without_a_place_is_bounded() {
        let mut state = State::default();
        for index in 0..20_000_u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&index.to_be_bytes());
            state.postpone(digest);
        }
        let halves = state.postponed.each_ref().map(HashSet::len);
        assert!(halves[0] <= Line::POSTPONED && halves[1] == Line::POSTPONED, "{halves:?}");
    }

    #[tokio::test]
    async fn who_left_is_passed_over() {
        let line = Line::new(1);
        let first = line.turn(peer(1), [9; 32]).await.unwrap();
        let (gone, _) = ask(&line, peer(2)).await;
        let (stays, _) = ask(&line, peer(3)).await;
        drop(gone);
        drop(first);
        drop(stays.await.unwrap());
        assert!(matches!(ask(&line, peer(4)).await.1, Some(Some(_))), "the turn came back");
    }
}
