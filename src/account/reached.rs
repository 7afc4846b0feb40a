//! Whether the newest attempt of each side has reached the port of its server: what the checks of the ports
//! need not ask again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use ledger::{Attempt, PerSide, Reading};
use ledger::{Side, Step};
use mail::Fault;

/// The newest connection of each side.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    sides: PerSide<Option<Connection>>,
}

/// A connection to the port of a side, or why it did not come about.
#[derive(Debug, Clone)]
pub struct Connection {
    /// When its attempt ended.
    pub at: Instant,
    /// How long the TCP handshake took. Unmeasured where the exporter itself was short of something.
    pub outcome: Reading<Result<Duration, Fault>>,
}

/// The newest connections of an account, for the one loop that takes them in.
#[derive(Debug, Default)]
pub struct Watch {
    /// `None`: there was none.
    latest: Mutex<Option<Box<Reached>>>,
    changed: Notify,
}

impl Watch {
    /// The newest connection of each side.
    pub fn latest(&self) -> Reached {
        self.known().as_deref().cloned().unwrap_or_default()
    }

    /// Comes to an end once there is a new one since this last came to an end. For one loop at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// An attempt of this side has ended.
    pub(super) fn note(&self, side: Side, attempt: &Attempt) {
        self.known().get_or_insert_default().note(side, attempt);
        self.changed.notify_one();
    }

    fn known(&self) -> MutexGuard<'_, Option<Box<Reached>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// That of an attempt that has just ended.
    fn of(attempt: &Attempt) -> Self {
        let outcome = match (attempt.handshake, attempt.failures.first()) {
            (Some(handshake), _) => Reading::Is(Ok(handshake)),
            (None, Some(failure)) if failure.shortage.is_some() => Reading::Unmeasured,
            (None, Some(failure)) if matches!(failure.step, Step::Dns | Step::Connect) => {
                let fault = Fault::new(failure.reason, failure.message.clone());
                Reading::Is(Err(Fault { down: failure.down, ..fault }))
            }
            (None, _) => Reading::Unmeasured,
        };
        Self { at: Instant::now(), outcome }
    }
}

impl Reached {
    fn note(&mut self, side: Side, attempt: &Attempt) {
        self.sides[side] = Some(Connection::of(attempt));
    }

    /// The newest connection of this side; `None` before the first.
    pub fn of(&self, side: Side) -> Option<&Connection> {
        self.sides[side].as_ref()
    }
}
