//! Opening a session: up to the last command of its login beforehand, so that a look is that command
//! and nothing else, and again where the maildrop is in use.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Login;
use ledger::Failure;
use mail::pop3::{Pop3, Waiting};
use mail::trace::Trace;
use mail::wire::Dialer;

/// The first wait before a busy maildrop is tried again; it doubles.
const BUSY_FIRST: Duration = Duration::from_millis(500);
/// A server may hang up on somebody who does not log in for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session that waits with the last command of its login.
pub struct Prepared {
    waiting: Waiting,
    trace: Trace,
    since: Instant,
}

impl Prepared {
    /// Opens it, until `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn new(
        dialer: Dialer,
        login: Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let waiting = Waiting::open(dialer, login, trace.clone(), end).await?;
        trace.finish();
        Ok(Self { waiting, trace, since: Instant::now() })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether the server may have hung up by now.
    pub fn is_stale(&self) -> bool {
        self.since.elapsed() > PATIENCE
    }
}

/// Logs in, on the connection that was prepared if that is still good; all of the session ends at `end`
/// at the latest. A maildrop in use is tried again until `busy_until`.
///
/// # Errors
/// The first step that fails.
pub async fn log_in(
    dialer: &Dialer,
    login: &Login,
    prepared: Option<Prepared>,
    trace: &Trace,
    end: Instant,
    busy_until: Instant,
) -> Result<Pop3, Failure> {
    if let Some(prepared) = prepared {
        match prepared.waiting.enter(end).await {
            // The wait was too long for the server.
            Err(failure) if failure.is_closed() => {}
            Err(failure)
                if failure.is_passing() && Instant::now() + BUSY_FIRST < busy_until.min(end) =>
            {
                sleep(BUSY_FIRST).await;
            }
            outcome => return outcome,
        }
    }
    let mut wait = BUSY_FIRST;
    loop {
        match Pop3::open(dialer, login, trace.clone(), end).await {
            Err(failure) if failure.is_passing() && Instant::now() + wait < busy_until.min(end) => {
                sleep(wait).await;
                wait *= 2;
            }
            outcome => return outcome,
        }
    }
}
