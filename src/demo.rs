//! Mail servers that run inside the process: for the `demo` command, and for every test that needs
//! a server which can be told to misbehave.

pub mod server;
