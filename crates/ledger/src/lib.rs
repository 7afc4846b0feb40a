//! The account of the test mails of one mail server, and the words in which everything else speaks of them.
//!
//! Pure: events and times go in, a [`Snapshot`] and the next look come out. Nothing here reads a clock,
//! opens a file or a socket, or knows a runtime; the manifest has no crate that could, and clippy refuses
//! a clock.
//!
//! - the vocabulary: [`Side`], [`Step`], [`Reason`], [`Failure`], [`Clue`], [`Shortage`], [`Token`],
//!   [`Action`], [`TlsFacts`], [`LoginDelay`];
//! - [`durations`]: how a duration is written for people;
//! - [`Ledger`], the account: in which state each mail is, when it is late or lost, when to look for it, and
//!   how long a measurement stands.

pub use action::Action;
pub use clue::Clue;
pub use failure::{Failure, Reason};
pub use ledger::*;
pub use login_delay::LoginDelay;
pub use shortage::Shortage;
pub use step::{Side, Step};
pub use tls_facts::TlsFacts;
pub use token::{Instance, NotAToken, Token};

mod action;
mod clue;
pub mod durations;
mod failure;
mod ledger;
mod login_delay;
mod shortage;
mod step;
mod tls_facts;
mod token;

/// Where a test's time begins: only the system can make an [`std::time::Instant`].
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
fn some_instant() -> std::time::Instant {
    std::time::Instant::now()
}
