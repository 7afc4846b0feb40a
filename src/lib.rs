//! mailtrip_exporter proves that mail handed to a server arrives, and tells Prometheus.

pub mod config;
pub mod http;
pub mod mail;
