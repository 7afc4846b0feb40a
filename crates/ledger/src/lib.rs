//! The account of the test mails of one mail server, and the words in which everything else speaks of them.
//!
//! Pure: events and times go in, a [`Snapshot`] and the next look come out. Nothing here reads a clock,
//! opens a file or a socket, or knows a runtime; the manifest has no crate that could, and clippy refuses
//! a clock.
//!
//! - the vocabulary: [`Side`], [`Step`], [`Reason`], [`Failure`], [`Clue`], [`Shortage`], [`Token`],
//!   [`Action`], [`TlsFacts`], [`LoginDelay`];
//! - [`Ledger`], the account: in which state each mail is, when it is late or lost, when to look for it, and
//!   how long a measurement stands.

pub use action::Action;
pub use clue::Clue;
pub use condition::Condition;
pub use failure::{Failure, Reason};
pub use layers::{Column, Layer, NetworkEvidence};
pub use ledger::*;
pub use login_delay::LoginDelay;
pub use per_side::PerSide;
pub use shortage::Shortage;
pub use step::{Side, Step};
pub use time_line::LineInstant;
pub use tls_facts::TlsFacts;
pub use token::{Instance, NotAToken, Token};

mod action;
mod clue;
mod condition;
mod failure;
mod layers;
mod ledger;
mod login_delay;
mod per_side;
mod shortage;
mod step;
mod time_line;
mod tls_facts;
mod token;

/// Where a test's time begins.
#[cfg(test)]
fn some_instant() -> LineInstant {
    LineInstant::new(some_clock(), std::time::Duration::ZERO)
}

/// What the monotonic clock shows in a test: only the system can make an [`std::time::Instant`].
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn some_clock() -> std::time::Instant {
    std::time::Instant::now()
}
