use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use mail::fuzz::{Target, inputs};

use super::{all, of};

#[test]
fn one_input() {
    let Ok(input) = std::env::var("MAILTRIP_FUZZ_INPUT") else { return };
    let (name, input) = input.split_once(':').expect("TARGET:BASE64");
    let target = of(name).expect("a target of this name");
    target.run(&BASE64_STANDARD.decode(input).expect("base64"));
}

#[test]
fn every_corpus_is_small_and_names_each_input_once() {
    let mut size = 0;
    for target in all() {
        let inputs = inputs(target);
        let names: BTreeSet<&String> = inputs.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), inputs.len(), "{}: a name twice", target.name);
        let longest = inputs.iter().map(|(_, input)| input.len()).max().unwrap_or_default();
        assert!(longest <= Target::LONGEST, "{}", target.name);
        size += target.corpus.len();
    }
    assert!(size <= 1 << 20, "{size} bytes");
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus")).unwrap();
    assert_eq!(files.count(), all().count(), "a corpus of no target");
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
