//! mailtrip_exporter proves that mail handed to a server arrives, and tells Prometheus.
//!
//! This page is the map of the house, in the order in which to read it.
//!
//! **The way in.** [`cli`] is the flags, [`app`] turns them into a running program, [`check`] words what
//! its subcommand prints, [`log`] sets up the log. [`descriptors`] and [`threads`] are what the system may
//! run out of. [`config`] is what the program may rely on: a configuration that was checked whole.
//!
//! **The measuring.** [`target`] is one monitored server: its account of the mails (the pure
//! [`target::ledger`], guarded by [`target::account`]), the evidence of what happened lately
//! ([`target::history`]), the test mail ([`target::message`]), the loop that sends it
//! ([`target::send`]) and what its header tells when it has arrived ([`target::inspection`]).
//! [`mailbox`] is the watch over one account, shared by the targets that receive there: a check
//! each period, looks while a mail is under way.
//! [`layers`] checks what lies below the mail service, the network and TCP ports, and says which
//! layer is to blame. [`supervisor`] owns the running set: start, reload, end. [`probe`] is one round trip by hand.
//!
//! **The wire.** [`mail`] speaks SMTP, IMAP and POP3 over bounded, timed and recorded lines; a
//! dialogue ends well or in a [`mail::Failure`] with step and reason. [`net`] opens connections,
//! [`net::tls`] alone decides about certificates.
//!
//! **The telling.** [`metrics`] knows every metric name, unit and the NaN rule; [`http`] is the
//! listener and the pages. [`store`] is what outlives the process.
//!
//! **The tests.** `fuzz` holds a target for every parser that a stranger feeds; it is there in tests and with
//! the feature `fuzzing` only.
//!
//! **The demo.** [`demo`] has mail servers of its own, which misbehave on demand; the tests use
//! them too.

pub mod account;
pub mod app;
pub mod check;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod log;
pub mod metrics;
pub mod probing;
pub mod roundtrip;
pub mod store;
pub mod supervisor;
pub mod web;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
