//! What people and Prometheus see of the exporter.
//!
//! [`server`] is the listener, which knows no route; `pages` are for people, `api` for programs;
//! [`routes`] says which path is which.

mod api;
mod pages;
pub mod routes;
pub mod server;
