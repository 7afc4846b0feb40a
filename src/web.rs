//! What people and Prometheus see of the exporter.
//!
//! Each module uses only those above it in this list:
//!
//! 1. [`server`]: the listener, which knows no route;
//! 2. [`mount`], `paths`, [`elsewhere`], `absence`, `condition`, `lateness`, `ranges`: what the pages and the JSON both need;
//! 3. `api`, the targets as JSON, and `pages`, the same for people; neither uses the other;
//! 4. `badge`, the picture of a target that other pages show;
//! 5. [`routes`]: which request gets which answer.

mod absence;
mod api;
mod badge;
mod condition;
pub mod elsewhere;
mod lateness;
pub mod mount;
mod pages;
mod paths;
mod ranges;
pub mod routes;
pub mod server;
