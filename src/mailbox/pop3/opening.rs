//! Opening a session: up to the login beforehand, so that a look is the login and nothing else, and
//! again where the maildrop is in use.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Login;
use crate::mail::pop3::Pop3;
use crate::mail::trace::Trace;
use crate::mail::wire::Dialer;
use crate::mail::{Failure, Reason};

/// The first wait before a busy maildrop is tried again; it doubles.
const BUSY_FIRST: Duration = Duration::from_millis(500);
/// A server may hang up on somebody who does not log in for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection on which only the login is left to be made.
pub struct Prepared {
    pop3: Pop3,
    since: Instant,
}

impl Prepared {
    /// Connects and protects the connection; all of the session ends at `end` at the latest.
    ///
    /// # Errors
    /// The first step that fails.
    pub async fn new(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let pop3 = Pop3::prepare(dialer, login, trace, end).await?;
        pop3.trace().finish();
        Ok(Self { pop3, since: Instant::now() })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.pop3.trace()
    }

    /// Whether the server may have hung up by now.
    pub fn is_stale(&self) -> bool {
        self.since.elapsed() > PATIENCE
    }

    /// Says goodbye: nobody wants to look any more.
    pub async fn discard(self) {
        let _ = self.pop3.quit(false).await;
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
        match prepared.pop3.enter(dialer, login, end).await {
            // The wait was too long for the server, or it lets nobody in for now.
            Err(failure) if matches!(failure.reason, Reason::Closed | Reason::Busy) => {}
            outcome => return outcome,
        }
    }
    let mut wait = BUSY_FIRST;
    loop {
        match Pop3::open(dialer, login, trace.clone(), end).await {
            Err(failure)
                if failure.reason == Reason::Busy
                    && Instant::now() + wait < busy_until.min(end) =>
            {
                sleep(wait).await;
                wait *= 2;
            }
            outcome => return outcome,
        }
    }
}
