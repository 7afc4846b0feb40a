//! What all send loops share, so that the load of the exporter itself stays out of what it measures: how many sends
//! may begin at one time, and how late they did.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::AcquireError;
use tokio::time::{Instant, timeout};

use super::bound::{Bound, Permit};
use super::lag::{Lag, Part};

/// So long a send counts among those under way. Most are over by then; one whose server does not answer costs
/// nothing from then on, so that servers that hang delay no others.
pub const LEASE: Duration = Duration::from_secs(1);

/// The pace of all send loops.
#[derive(Debug)]
pub struct Pace {
    sends: Bound,
    /// How late the exporter is.
    pub lag: Lag,
}

impl Pace {
    /// At most so many sends are under way at one time, of those that began within [`LEASE`].
    pub fn new(most: NonZeroU32) -> Self {
        Self { sends: Bound::new(count(most)), lag: Lag::default() }
    }

    /// From now on at most so many are.
    pub fn set_limit(&self, most: NonZeroU32) {
        self.sends.set_limit(count(most));
    }

    /// Waits until one more may begin, however long; who came first is first. It is `late` already; the wait is the
    /// exporter's own, too.
    ///
    /// # Errors
    /// None that happens: the bound is never closed.
    pub async fn begin(&self, late: Duration) -> Result<Permit<'_>, AcquireError> {
        let waits = Instant::now();
        let permit = self.sends.acquire().await?;
        self.lag.observe(Part::Start, late + waits.elapsed());
        Ok(permit)
    }
}

/// Does what was begun with leave, which is given back when that is over or after [`LEASE`].
pub async fn leased<T>(permit: Permit<'_>, mut work: impl Future<Output = T> + Unpin) -> T {
    match timeout(LEASE, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            drop(permit);
            work.await
        }
    }
}

fn count(most: NonZeroU32) -> usize {
    usize::try_from(most.get()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;

    use super::super::lag::Lateness;
    use super::*;

    fn pace(most: u32) -> Pace {
        Pace::new(NonZeroU32::new(most).unwrap())
    }

    async fn begin(pace: &Pace) -> Result<Permit<'_>, AcquireError> {
        pace.begin(Duration::ZERO).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_holds_its_place_for_no_longer_than_the_lease() {
        let (pace, began) = (pace(1), Instant::now());
        let first = begin(&pace).await.unwrap();
        let hangs = pin!(pending::<()>());
        let second = async {
            let second = begin(&pace).await.unwrap();
            leased(second, pin!(ready(()))).await;
        };
        tokio::select! {
            () = leased(first, hangs) => unreachable!(),
            () = second => {}
        }
        assert!(began.elapsed() >= LEASE && began.elapsed() <= LEASE * 2);
        begin(&pace).await.unwrap();
        assert!(began.elapsed() <= LEASE * 2, "one that is over gives it back at once");
        let Lateness { counts, .. } = pace.lag.of(Part::Start);
        assert_eq!(counts.iter().skip(4).sum::<u64>(), 1, "the wait is lateness: {counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_limit_lets_those_in_who_wait() {
        let pace = pace(1);
        let _held = begin(&pace).await.unwrap();
        let raise = async { pace.set_limit(NonZeroU32::new(2).unwrap()) };
        let (second, ()) = tokio::join!(begin(&pace), raise);
        assert!(second.is_ok());
    }
}
