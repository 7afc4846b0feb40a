//! mailtrip_exporter proves that mail handed to a server arrives, and tells Prometheus.

pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod log;
pub mod mail;
pub mod mailbox;
pub mod metrics;
pub mod net;
pub mod probe;
pub mod store;
pub mod supervisor;
pub mod target;
mod yaml;
