//! Whether a server that broke off in the middle of a dialogue has gone down: a standby node that is being
//! stopped closes what is open, and nobody listens any more. One more connection tells.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::trace::Trace;
use super::wire::Dialer;
use super::{Clue, Failure, Reason};

/// How long the server may take to show that it is still there.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line that is read of its greeting.
const LINE_BYTES: usize = 8192;

/// The failure of a dialogue with a server that may be meant to be down. Where the connection ended, or
/// nothing came any more, the server is asked for its greeting once more: if it is not there,
/// [`Failure::down`] holds.
pub async fn judged(dialer: &Dialer, failure: Failure) -> Failure {
    let may_have_gone = matches!(failure.reason, Reason::Closed | Reason::Timeout);
    // At the end of its period there is no time left to ask.
    let is_over = failure.clue == Some(Clue::PeriodOver);
    if failure.down || failure.shortage.is_some() || !may_have_gone || is_over {
        return failure;
    }
    let end = Instant::now() + PATIENCE;
    let greeting = async {
        let mut wire = dialer.dial(Trace::new(None), end).await?;
        wire.read_line(LINE_BYTES).await
    };
    let is_there = match timeout_at(end, greeting).await {
        Ok(Ok(_)) => true,
        Ok(Err(second)) => !second.down,
        Err(_) => false,
    };
    Failure { down: !is_there, ..failure }
}
