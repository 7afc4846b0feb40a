//! The end of a dialogue that is enforced from outside, whatever goes on in it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How much later than the deadlines inside a dialogue its end is enforced: what they say is more exact.
pub const MARGIN: Duration = Duration::from_millis(250);

/// What `dialogue` comes to, or `None` if it is not over by `deadline`; then it is dropped, and with it
/// the connection that it holds.
///
/// The clock is read before the dialogue is asked and after it has answered. So neither a server that
/// always has more to say can outrun a timer, nor does a dialogue count that was busy beyond its time.
///
/// The dialogue is boxed: it takes memory only as long as it lasts.
pub fn enforced<T>(
    deadline: Instant,
    dialogue: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    let mut dialogue = Box::pin(dialogue);
    async move {
        let mut timer = pin!(sleep_until(deadline));
        poll_fn(|context| {
            if Instant::now() >= deadline || timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            dialogue.as_mut().poll(context).map(|it| (Instant::now() < deadline).then_some(it))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dialogue_that_waits_for_ever_is_ended_and_dropped() {
        let held = Arc::new(());
        let its_own = Arc::clone(&held);
        let began = Instant::now();
        let dialogue = async move {
            pending::<()>().await;
            drop(its_own);
        };
        assert_eq!(enforced(began + Duration::from_secs(3), dialogue).await, None);
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        assert_eq!(Arc::strong_count(&held), 1, "it holds nothing any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_in_time_counts() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let dialogue = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            7
        };
        assert_eq!(enforced(deadline, dialogue).await, Some(7));
    }

    #[tokio::test]
    async fn a_dialogue_that_always_has_something_to_do_is_ended() {
        let (channel, mut ready) = tokio::sync::mpsc::unbounded_channel();
        let dialogue = async {
            loop {
                // Ready each time, until the budget of the turn is spent: no timer beside it is asked.
                let _ = channel.send(());
                ready.recv().await;
            }
        };
        let deadline = Instant::now() + Duration::from_millis(50);
        assert_eq!(enforced::<()>(deadline, dialogue).await, None);
    }

    #[tokio::test]
    async fn a_dialogue_that_is_busy_beyond_its_time_does_not_count() {
        let deadline = Instant::now() + Duration::from_millis(20);
        let dialogue = async {
            while Instant::now() < deadline {
                thread::yield_now();
            }
            "all is well"
        };
        assert_eq!(enforced(deadline, dialogue).await, None);
    }
}
