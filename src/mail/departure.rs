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

/// The words with which a greeting says that nobody is served: SMTP 421 and 554 (RFC 5321 section 3.1), IMAP
/// BYE (RFC 3501 section 7.1.5), a negative POP3 greeting.
const REFUSALS: [&[u8]; 4] = [b"421", b"554", b"* BYE", b"-ERR"];

/// The failure of a dialogue with a server that may be meant to be down. Where the connection ended, or
/// nothing came any more, the server is asked for its greeting once more, until `end` at the latest: if it
/// is not there, [`Failure::down`] holds. Of several hosts of a domain nobody can tell which would be asked,
/// and where the time is over nobody is.
pub async fn judged(dialer: &Dialer, failure: Failure, end: Instant) -> Failure {
    let may_have_gone = matches!(failure.reason, Reason::Closed | Reason::Timeout);
    let end = end.min(Instant::now() + PATIENCE);
    let is_over = failure.clue == Some(Clue::PeriodOver) || end <= Instant::now();
    let is_known = failure.down || failure.shortage.is_some();
    if is_known || !may_have_gone || is_over || dialer.asks_for_exchangers() {
        return failure;
    }
    let greeting = async {
        let mut wire = dialer.dial(Trace::new(None), end).await?;
        wire.read_line(LINE_BYTES).await
    };
    let is_there = match timeout_at(end, greeting).await {
        Ok(Ok(greeting)) => {
            let greeting = greeting.to_ascii_uppercase();
            !REFUSALS.iter().any(|refusal| greeting.starts_with(refusal))
        }
        Ok(Err(second)) => !second.down,
        Err(_) => false,
    };
    Failure { down: !is_there, ..failure }
}
