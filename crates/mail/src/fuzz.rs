//! Targets for fuzzing: one for every parser of this crate that a stranger feeds, each with what must hold of
//! it whatever it is given; and what the targets of other crates are made of.
//!
//! Compiled into tests and, with the feature `fuzzing`, into the package `fuzz`; never into the program. A
//! target takes bytes and panics where something does not hold: not only that nothing panics by itself, but
//! that what is built is bounded, that the time is linear, that it does not matter in which pieces the input
//! comes, that nothing harmful and no secret is shown. `docs/fuzzing.md` is the guide.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what does not hold ends the test"
)]

pub use measure::{Budget, Counting};
pub use search::{inputs, search};

pub mod corpus;
pub mod measure;
pub mod mutate;
pub mod script;
mod search;
pub mod shown;
pub mod targets;
#[cfg(test)]
mod tests;

#[cfg(test)]
#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A parser, and what must hold of it.
pub struct Target {
    /// Its name: that of its corpus, and for `make fuzz TARGET=`.
    pub name: &'static str,
    /// The inputs that began the search, and those that found something.
    pub corpus: &'static str,
    /// How many inputs `make test` makes of the corpus; an expensive target has fewer.
    pub tries: u32,
    /// What it may take.
    pub budget: Budget,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
}

impl Target {
    /// The longest input; of a longer one the beginning is taken.
    pub const LONGEST: usize = 64 << 10;

    /// Feeds it.
    ///
    /// # Panics
    /// Where something does not hold, or the target took more memory or time than it may.
    pub fn run(&self, input: &[u8]) {
        let input = input.get(..Self::LONGEST).unwrap_or(input);
        self.budget.hold(self.name, input.len(), || (self.check)(input));
    }
}

/// Declares targets: name, inputs in a test, and the most memory: so much, and so much for each byte of the
/// input. Each has a module of its name beside this one, and a corpus in the folder.
#[macro_export]
macro_rules! fuzz_targets {
    ($corpora:literal: $($name:ident($tries:literal, $bytes:literal KiB + $per_byte:literal),)*) => {
        /// All targets, in the order in which they are run.
        pub static TARGETS: &[$crate::fuzz::Target] = &[$($crate::fuzz::Target {
            name: stringify!($name),
            corpus: include_str!(concat!($corpora, stringify!($name), ".txt")),
            tries: $tries,
            budget: $crate::fuzz::Budget { bytes: $bytes << 10, per_byte: $per_byte },
            check: targets::$name::check,
        },)*];

        /// Replays and changes the corpus of each target, each in a test of its own.
        #[cfg(test)]
        mod each {
            $(#[test]
            fn $name() {
                let is_it = |target: &&$crate::fuzz::Target| target.name == stringify!($name);
                $crate::fuzz::search(super::TARGETS.iter().find(is_it).unwrap());
            })*
        }
    };
}

crate::fuzz_targets! {
    "../../../fuzz/corpus/":
    wire(800, 320 KiB + 12),
    smtp(400, 1024 KiB + 40),
    imap(400, 1024 KiB + 40),
    pop3(400, 1024 KiB + 40),
    jmap(400, 2048 KiB + 120),
    sasl(400, 256 KiB + 16),
    header(500, 512 KiB + 60),
    bounce(500, 512 KiB + 60),
    text(500, 256 KiB + 80),
    token(800, 256 KiB + 16),
    dns(1000, 256 KiB + 400),
    records(800, 256 KiB + 60),
    resolver(600, 256 KiB + 60),
    posture(600, 256 KiB + 200),
    autoconfig(500, 1024 KiB + 200),
}
