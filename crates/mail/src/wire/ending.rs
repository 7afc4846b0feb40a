//! How a connection ends before its time, as a failure: a reply that is too late, a server that leaves.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::Wire;
use crate::Fault;
use crate::net::{self, tls};
use crate::trace::Trace;
use ledger::durations::Seconds;
use ledger::{Clue, Failure, Reason, Shortage};

impl Wire {
    /// The failure of a reply that has not come by the deadline: that of one reply, or that of all of the
    /// dialogue, of which only a rest may have been left.
    pub(super) fn too_late(&self) -> Failure {
        let what = match &self.asked_for {
            Some(command) => format!("no answer to {command}"),
            None => "no greeting".to_owned(),
        };
        let down = !self.heard;
        let fault = match past_the_end(self.trace(), self.end, self.deadline) {
            Some(whole) => {
                Fault::new(Reason::Timeout, format!("{what} {whole}")).with(Some(Clue::PeriodOver))
            }
            None => {
                let waited = Seconds(self.asked.elapsed());
                Fault::new(Reason::Timeout, format!("{what} within {waited}"))
            }
        };
        self.fail(Fault { down, ..fault })
    }

    /// The failure of a server that has closed the connection.
    pub(super) fn closed(&self) -> Failure {
        let message = format!("the server closed the connection {}", self.when());
        let clue = self.is_new_to_tls.then_some(Clue::LeftAfterTls);
        let fault = Fault::new(Reason::Closed, message).with(clue);
        self.fail(Fault { down: !self.heard, ..fault })
    }

    /// The failure of a connection of which nothing can be read any more.
    pub(super) fn broken(&self, error: &io::Error) -> Failure {
        let message = format!("the connection broke {}: {}", self.when(), tls::io_words(error));
        if let Some(shortage) = Shortage::of(error) {
            return self.fail(Fault::short(shortage, Reason::Other, message));
        }
        let reason = net::io_reason(error);
        let left = self.is_new_to_tls && reason == Reason::Closed;
        let clue = tls::io_clue(error).or(left.then_some(Clue::LeftAfterTls));
        let fault = Fault::new(reason, message).with(clue);
        self.fail(Fault { down: !self.heard, ..fault })
    }

    /// The failure of a connection that took no more of `shown`.
    pub(super) fn not_sent(&self, shown: &str, error: &io::Error) -> Failure {
        let words = tls::io_words(error);
        let message = format!("the connection ended while sending {shown}: {words}");
        let fault = Fault::of_system(error, net::io_reason(error), message);
        self.fail(fault.with(tls::io_clue(error)))
    }

    /// The failure of a server that has not taken all of `shown` by the deadline.
    pub(super) fn not_taken(&self, shown: &str) -> Failure {
        let fault = match past_the_end(self.trace(), self.end, self.deadline) {
            Some(whole) => {
                let message = format!("the server has not taken {shown} {whole}");
                Fault::new(Reason::Timeout, message).with(Some(Clue::PeriodOver))
            }
            None => {
                let message = format!("the server took too long to take {shown}");
                Fault::new(Reason::Timeout, message)
            }
        };
        self.fail(fault)
    }

    fn when(&self) -> String {
        match &self.asked_for {
            Some(command) => format!("in answer to {command}"),
            None => "before its greeting was complete".to_owned(),
        }
    }
}

/// The fault of a step before the dialogue, where it is a timeout at the end of all of it; `what` is what
/// did not come.
pub(super) fn too_late(
    fault: Fault,
    what: &str,
    trace: &Trace,
    end: Instant,
    deadline: Instant,
) -> Fault {
    match past_the_end(trace, end, deadline).filter(|_| fault.reason == Reason::Timeout) {
        Some(whole) => {
            let message = format!("{what} {whole}");
            Fault { clue: Some(Clue::PeriodOver), message, ..fault }
        }
        None => fault,
    }
}

/// The words for a deadline that is the end of the whole dialogue: how long that was, and not how much of
/// it was left for the step. `None`: the deadline is an earlier one.
fn past_the_end(trace: &Trace, end: Instant, deadline: Instant) -> Option<String> {
    if deadline < end {
        return None;
    }
    let whole = end.saturating_duration_since(Instant::now()) + trace.age();
    // What passed until the dialogue began is no part of a period as it is written.
    let hundredths = (whole.as_millis() + 5) / 10;
    let whole = Duration::from_millis(u64::try_from(hundredths * 10).unwrap_or(u64::MAX));
    Some(format!("within the {} that all of it may take", Seconds(whole)))
}
