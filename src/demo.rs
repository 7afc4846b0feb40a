//! The `demo` command: the real exporter against mail servers that run inside the process.
//!
//! [`Demo`] is a small world of servers, good and bad, with a configuration that tests them;
//! the crate `testserver` has the servers themselves, which also serve every test that needs one which can be
//! set to misbehave. Nothing here knows how mail is tested, and nothing leaves this machine.

pub use world::{Demo, bind};

mod scene;
mod world;
