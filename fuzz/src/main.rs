//! One program for all targets: libFuzzer, which makes inputs that reach code that none has reached before.
//!
//! `MAILTRIP_FUZZ_TARGET` names the target. `make fuzz` builds and runs it; see `docs/fuzzing.md`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mailtrip_exporter::fuzz::{self, Counting, Target};

mod corpus;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("MAILTRIP_FUZZ_TARGET").unwrap_or_default();
        fuzz::of(&name).unwrap_or_else(|| panic!("no target {name:?}: set MAILTRIP_FUZZ_TARGET"))
    })
}

fuzz_target!(
    init: corpus::work_if_asked(),
    |input: &[u8]| target().run(input)
);
