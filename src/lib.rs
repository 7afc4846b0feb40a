//! mailtrip_exporter measures that mail handed to a server arrives, and exports it to Prometheus.
//!
//! The modules, the highest first. A module uses only modules further down; those that share a level do
//! not use each other: `cli`, `check`, `demo`, `healthcheck` and `init`; `metrics` and `roundtrip`; `probing`,
//! `layers` and `standing`; `log`, `clock` and `build`. A test reads the paths in the source and holds this order.
//!
//! - `fuzz`: a target for every parser of foreign input; only in tests and with the feature `fuzzing`.
//! - [`app`]: from the command line to a running program and its exit code.
//! - [`generate`]: the subcommand `generate`: man pages, completions, the schema of the configuration.
//! - [`cli`]: the command line.
//! - [`check`]: what the subcommand `check` prints.
//! - [`demo`]: the subcommand `demo`: mail servers in this process, and a configuration that tests them.
//! - [`healthcheck`]: the subcommand `healthcheck`: whether a running exporter answers.
//! - [`init`]: the subcommand `init`: from an address and a password to a tested configuration.
//! - [`web`]: the HTTP server with authentication and TLS, the pages, and the JSON API.
//! - [`metrics`]: names, units and values of all metrics, and which of them are NaN.
//! - [`roundtrip`]: the subcommand `probe`: one round trip, with its output.
//! - [`supervisor`]: the set of running targets: start, reload, end.
//! - [`probing`]: the loop that sends test mails, and the loop that reads a mailbox for all targets that
//!   receive there.
//! - [`layers`]: checks of the layers below mail, ping and TCP ports, in rounds.
//! - [`standing`]: what others say of the addresses that a target sends from, and what its domains publish, in rounds.
//! - [`account`]: the ledger of a target under one lock, with its store, recent history, log and advice.
//! - [`store`]: what outlives the process, in SQLite.
//! - [`descriptors`]: the limit of open files, and how many a configuration needs.
//! - [`config`]: a configuration that was checked as a whole.
//! - [`log`]: the log on standard error.
//! - [`clock`]: the clocks, with the time that the machine was suspended.
//! - [`build`]: what the program was built from.
//!
//! Below them are the crates `mail` (what is said to mail servers, and what they say), `ledger` (what is
//! known of the mails of a target; pure, without I/O and clock) and `testserver` (mail servers for the
//! demo and the tests). None of them uses this crate.

pub mod account;
pub mod app;
pub mod build;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod descriptors;
pub mod generate;
pub mod healthcheck;
pub mod init;
pub mod layers;
pub mod log;
pub mod metrics;
pub mod probing;
pub mod roundtrip;
pub mod standing;
pub mod store;
pub mod supervisor;
pub mod web;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
