//! mailtrip_exporter proves that mail handed to a server arrives, and tells Prometheus.

pub mod config;
pub mod demo;
pub mod mail;
pub mod mailbox;
pub mod net;
pub mod store;
pub mod supervisor;
pub mod target;
