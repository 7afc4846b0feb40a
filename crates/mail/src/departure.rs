//! Whether a server that broke off in the middle of a dialogue has gone down: a standby node that is being
//! stopped closes what is open, and nobody listens any more. One more connection shows which.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::trace::Trace;
use super::wire::Dialer;
use super::{Clue, Failure};

/// How long the server may take to show that it is still there.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest line that is read of its greeting.
const LINE_BYTES: usize = 8192;

/// The words with which a greeting says that nobody is served: SMTP 421 and 554 (RFC 5321 section 3.1), IMAP
/// BYE (RFC 3501 section 7.1.5), a negative POP3 greeting.
const REFUSALS: [&[u8]; 4] = [b"421", b"554", b"* BYE", b"-ERR"];

/// The failure of a dialogue with a server that may be meant to be down. Where the connection ended, or
/// nothing came any more, the server is asked for its greeting once more, until `end` at the latest: if it
/// is not there, [`Failure::down`] holds. Of several hosts of a domain it is not known which would be asked,
/// and where the time is over nobody is. Where this host is short of something, nothing is known.
pub async fn judged(dialer: &Dialer, failure: Failure, end: Instant) -> Failure {
    let may_have_gone = failure.is_without_answer();
    let patience = Instant::now() + PATIENCE;
    // Silence for a moment, because the attempt has no more time, means nothing.
    let is_hasty = end < patience;
    let end = end.min(patience);
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
        Ok(Err(Failure { shortage: shortage @ Some(_), .. })) => {
            return Failure { shortage, ..failure };
        }
        Ok(Err(second)) => !second.down || is_hasty && second.is_silence(),
        Err(_) => is_hasty,
    };
    Failure { down: !is_there, ..failure }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::options::{Endpoint, TlsMode};
    use crate::wire::ConnectionContext;
    use crate::{Fault, Reason};
    use ledger::Step;

    /// Whether a server that closed at this port is down, by a second contact of so long.
    async fn is_down(port: u16, so_long: Duration) -> bool {
        let endpoint = Endpoint::new("127.0.0.1", port, TlsMode::None);
        let dialer = Dialer::new(&endpoint, None, &ConnectionContext::default()).unwrap();
        let trace = Trace::new(None);
        trace.enter(Step::Data);
        let failure = trace.failure(Fault::new(Reason::Closed, "closed"));
        judged(&dialer, failure, Instant::now() + so_long).await.down
    }

    #[tokio::test]
    async fn only_who_is_given_the_time_to_answer_is_down_by_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_down(port, Duration::from_millis(100)).await, "it had no time to greet");
        drop(listener);
        assert!(is_down(port, Duration::from_millis(900)).await, "nobody listens any more");
    }
}
