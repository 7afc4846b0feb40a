//! The part of the search that belongs to `make test`: every input of the corpus, and inputs made of them,
//! so many and not so long, that a slow machine finds what a fast one does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::mutate::{Dice, change, stretch};
use super::{Target, corpus};

/// The seed, where `MAILTRIP_FUZZ_SEED` says no other.
const SEED: u64 = 20_261_129;
/// So many of the tries are made long.
const LONG: u32 = 12;
/// How many tries to make a finding shorter.
const SHORTER: usize = 300;

/// Replays the corpus of a target, then feeds it what is made of it with a seed: the same in each run, so
/// that a test which passed passes again. New seeds are for `make fuzz`.
///
/// # Panics
/// Something does not hold; the message has the input, and the command that replays it.
pub fn search(target: &'static Target) {
    let inputs = inputs(target);
    for (name, input) in &inputs {
        try_one(target, input, &format!("`{name}` of the corpus"));
    }
    let inputs: Vec<Vec<u8>> = inputs.into_iter().map(|(_, input)| input).collect();
    let seed = seed();
    let mut dice = Dice::new(seed);
    let what = format!("an input of the seed {seed}");
    for _ in 0..target.tries {
        let input = &inputs[dice.below(inputs.len())];
        try_one(target, &change(input, &inputs, &mut dice), &what);
    }
    for _ in 0..(2 * LONG).min(target.tries / 25) {
        let input = &inputs[dice.below(inputs.len())];
        try_one(target, &stretch(input, &mut dice), &what);
    }
}

/// The corpus of a target, by name.
///
/// # Panics
/// It cannot be read, or is empty.
pub fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
    let inputs = corpus::parse(target.corpus).unwrap();
    assert!(!inputs.is_empty(), "{} has no corpus", target.name);
    inputs
}

fn seed() -> u64 {
    std::env::var("MAILTRIP_FUZZ_SEED").map_or(SEED, |seed| seed.parse().unwrap())
}

fn fails(target: &Target, input: &[u8]) -> bool {
    catch_unwind(AssertUnwindSafe(|| target.run(input))).is_err()
}

fn try_one(target: &Target, input: &[u8], what: &str) {
    if !fails(target, input) {
        return;
    }
    let short = shortened(target, input);
    panic!(
        "{} does not bear {what}. To add it to fuzz/corpus/{}.txt:\n{}To replay it:\n\
         MAILTRIP_FUZZ_INPUT={}:{} cargo test --lib fuzz::tests::one_input",
        target.name,
        target.name,
        corpus::print("what-it-was", &short),
        target.name,
        BASE64_STANDARD.encode(&short),
    );
}

/// The input without what is not needed for it to fail.
fn shortened(target: &Target, input: &[u8]) -> Vec<u8> {
    let mut short = input.to_vec();
    let (mut part, mut at) = (short.len().div_ceil(2), 0);
    for _ in 0..SHORTER {
        let shorter = [&short[..at], short.get(at + part..).unwrap_or_default()].concat();
        if shorter.len() < short.len() && fails(target, &shorter) {
            short = shorter;
        } else {
            at += part;
        }
        if at >= short.len() {
            (part, at) = (part / 2, 0);
        }
        if part == 0 {
            break;
        }
    }
    short
}
