//! The integration tests: one binary, one module a subject.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod demo_servers;
mod faults;
mod foreign_clients;
mod lab;
mod lab_self_test;
mod mailbox;
mod passive;
mod reload;
mod round_trip;
mod support;
mod tls;
