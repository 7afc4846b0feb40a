//! The integration tests: one binary, one module a subject.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing)]

mod demo;
mod demo_servers;
mod durable;
mod foreign_clients;
mod http;
mod lab;
mod lab_self_test;
mod probe;
mod program;
mod real_servers;
