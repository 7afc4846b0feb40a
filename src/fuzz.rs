//! The targets for fuzzing of the exporter's own parsers; those of the mail protocols are in [`mail::fuzz`],
//! with what a target is.
//!
//! Compiled into tests and, with the feature `fuzzing`, into the package `fuzz`; never into the program that is
//! released.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what does not hold ends the test"
)]

pub use mail::fuzz::{Counting, Target, corpus};

mod targets;
#[cfg(test)]
mod tests;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: Counting = Counting;

mail::fuzz_targets! {
    "../fuzz/corpus/":
    yaml(600, 256 KiB + 800),
    config(300, 1024 KiB + 800),
    web_config(300, 1024 KiB + 800),
    http(150, 1024 KiB + 40),
    ping(1000, 64 KiB + 4),
    store(100, 1024 KiB + 40),
}

/// All targets, those of the mail protocols first.
pub fn all() -> impl Iterator<Item = &'static Target> {
    mail::fuzz::TARGETS.iter().chain(TARGETS)
}

/// The target of this name.
pub fn of(name: &str) -> Option<&'static Target> {
    all().find(|target| target.name == name)
}
