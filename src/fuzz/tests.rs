//! The part of the search that belongs to `make test`: every input of the corpus, and inputs made of them,
//! so many and not so long, that a slow machine finds what a fast one does.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::mutate::{Dice, change, stretch};
use super::{TARGETS, Target, corpus};

/// The seed, where `MAILTRIP_FUZZ_SEED` says no other.
const SEED: u64 = 20_261_129;
/// So many of the tries are made long.
const LONG: u32 = 12;
/// How many tries to make a finding shorter.
const SHORTER: usize = 300;

/// Replays the corpus of a target, then feeds it what is made of it with a seed: the same in each run, so
/// that a test which passed passes again. New seeds are for `make fuzz`.
pub(super) fn search(target: &'static Target) {
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

fn inputs(target: &Target) -> Vec<(String, Vec<u8>)> {
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

#[test]
fn one_input() {
    let Ok(input) = std::env::var("MAILTRIP_FUZZ_INPUT") else { return };
    let (name, input) = input.split_once(':').expect("TARGET:BASE64");
    let target = Target::of(name).expect("a target of this name");
    target.run(&BASE64_STANDARD.decode(input).expect("base64"));
}

#[test]
fn a_corpus_is_read_as_it_was_written() {
    let all: Vec<u8> = (0..=255).chain(*b"= a\n# b\n== c \n \\").collect();
    let long = [b"a b ".repeat(200), all.clone()].concat();
    for input in [&all[..], &long, b"", b" ", b"\n\n", b"=", b"#"] {
        let text = corpus::print("one", input) + &corpus::print("two", b"x");
        let read = corpus::parse(&text).unwrap();
        let expected = [("one".to_owned(), input.to_vec()), ("two".to_owned(), b"x".to_vec())];
        assert_eq!(read, expected, "{text}");
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 120), "{text}");
    }
    assert!(corpus::parse("bytes of no input").is_err());
    assert!(corpus::parse("== a\n\\q").is_err());
}

#[test]
fn every_corpus_is_small_and_names_each_input_once() {
    let mut size = 0;
    for target in TARGETS {
        let inputs = inputs(target);
        let names: BTreeSet<&String> = inputs.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), inputs.len(), "{}: a name twice", target.name);
        let longest = inputs.iter().map(|(_, input)| input.len()).max().unwrap_or_default();
        assert!(longest <= Target::LONGEST, "{}", target.name);
        size += target.corpus.len();
    }
    assert!(size <= 1 << 20, "{size} bytes");
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus")).unwrap();
    assert_eq!(files.count(), TARGETS.len(), "a corpus of no target");
}

#[test]
fn a_target_that_takes_too_much_is_told_of() {
    let budget = super::measure::Budget { bytes: 1000, per_byte: 2 };
    budget.hold("small", 100, || drop(vec![0_u8; 1100]));
    let large = || budget.hold("large", 100, || drop(std::hint::black_box(vec![0_u8; 1300])));
    let told = catch_unwind(large).unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.starts_with("large held 1300 bytes for 100 of input; 1200"), "{told}");
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let others = [b"abc".to_vec(), b"0123456789".to_vec()];
    let made = |seed| {
        let mut dice = Dice::new(seed);
        (0..50).map(|_| change(&others[1], &others, &mut dice)).collect::<Vec<_>>()
    };
    assert_eq!(made(7), made(7));
    assert_ne!(made(7), made(8));
    assert_eq!(stretch(b"ab", &mut Dice::new(1)).len(), Target::LONGEST);
}

#[test]
fn the_search_is_built_of_what_the_exporter_is_built_of() {
    let packages = |lock: &str| -> BTreeSet<(String, String)> {
        let field = |block: &str, name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.unwrap_or_default().to_owned()
        };
        let blocks = lock.split("[[package]]").skip(1);
        blocks.map(|block| (field(block, "name"), field(block, "version"))).collect()
    };
    let own = packages(include_str!("../../Cargo.lock"));
    let fuzz = packages(include_str!("../../fuzz/Cargo.lock"));
    let more =
        ["arbitrary", "jobserver", "libfuzzer-sys", "mailtrip-fuzz"].map(|it| format!("{it:?}"));
    let others: Vec<_> = fuzz.difference(&own).filter(|(name, _)| !more.contains(name)).collect();
    assert!(
        others.is_empty(),
        "run `cp Cargo.lock fuzz/ && cargo metadata --manifest-path fuzz/Cargo.toml >/dev/null`: {others:?}"
    );
}
