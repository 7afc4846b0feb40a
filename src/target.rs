//! One monitored target: its account, and the loop that sends its test mails.
//!
//! [`ledger`] is the pure account of the mails, [`account`] guards it and gives its events to the
//! loops, [`message`] makes a test mail and knows it again, [`send`] is the send loop. [`history`]
//! is the evidence of what happened lately, `side_log` says what of it the log tells, [`advice`]
//! what to look at when something failed, [`inspection`] reads what the header of an arrived mail
//! tells, [`reached`] whether a side's server was reached, [`clock`] reads the clocks.

pub mod account;
pub mod advice;
pub mod clock;
pub mod connections;
pub mod history;
pub mod inspection;
pub mod ledger;
pub mod message;
pub mod reached;
pub mod send;
mod side_log;
