//! No code stands twice: where two places share a long run of tokens, one of them uses the other.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::code::{self, Token, root, sources};

/// As many equal tokens in a row are a duplicate.
const MOST_TOKENS: usize = 60;

/// Runs that may stand twice: where the first stands, how it begins, and why it may.
const ALLOWED: &[(&str, &str, &str)] = &[
    (
        "crates/ledger/src/failure.rs",
        "] = [ Reason :",
        "each side has its own list of label values, which is read as a whole",
    ),
    ("src/web/server/door/observed.rs", "< S > { fn poll_write", SIGNATURES),
    ("src/web/server/door/observed.rs", "outcome ) } fn poll_write_vectored", SIGNATURES),
];

const SIGNATURES: &str = "the signatures of AsyncWrite, which two wrappers of a stream implement";

/// A file as it is written in a message, and its tokens without imports.
struct File<'a> {
    name: String,
    tokens: Vec<Token<'a>>,
}

/// A run of tokens that stands in two places, each with its file and its first token.
struct Duplicate {
    first: (usize, usize),
    second: (usize, usize),
    length: usize,
}

fn without_imports(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if token.text == "use" {
            at += code::item(&tokens[at..]);
        } else {
            kept.push(*token);
            at += 1;
        }
    }
    kept
}

/// All runs of at least [`MOST_TOKENS`] that stand in a second place, each as long as it goes.
fn duplicates(files: &[File<'_>]) -> Vec<Duplicate> {
    let mut words = HashMap::new();
    let mut places = HashMap::new();
    let mut found = Vec::new();
    for (file, File { tokens, .. }) in files.iter().enumerate() {
        for (at, hash) in hashes(tokens, &mut words).into_iter().enumerate() {
            match places.entry(hash) {
                Entry::Vacant(entry) => {
                    entry.insert((file, at));
                }
                Entry::Occupied(entry) => extend(&mut found, *entry.get(), (file, at)),
            }
        }
    }
    found
}

/// A hash of each run of [`MOST_TOKENS`], by the place of its first; `words` numbers the texts.
fn hashes<'a>(tokens: &[Token<'a>], words: &mut HashMap<&'a str, u64>) -> Vec<u64> {
    const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut up_to = vec![0_u64];
    for (at, token) in tokens.iter().enumerate() {
        let next = words.len() as u64 + 1;
        let number = *words.entry(token.text).or_insert(next);
        up_to.push(up_to[at].wrapping_mul(BASE).wrapping_add(number));
    }
    let shift = (0..MOST_TOKENS).fold(1_u64, |shift, _| shift.wrapping_mul(BASE));
    let runs = up_to.iter().zip(up_to.iter().skip(MOST_TOKENS));
    runs.map(|(before, all)| all.wrapping_sub(before.wrapping_mul(shift))).collect()
}

/// Adds a run to the one that it continues, if it does.
fn extend(found: &mut Vec<Duplicate>, first: (usize, usize), second: (usize, usize)) {
    if let Some(last) = found.last_mut() {
        let further = last.length - MOST_TOKENS + 1;
        let continued = |begin: (usize, usize)| (begin.0, begin.1 + further);
        if continued(last.first) == first && continued(last.second) == second {
            last.length += 1;
            return;
        }
    }
    // A run that overlaps itself is a table with equal rows.
    if first.0 != second.0 || second.1 - first.1 >= MOST_TOKENS {
        found.push(Duplicate { first, second, length: MOST_TOKENS });
    }
}

/// The entry of [`ALLOWED`] for a run.
fn allowed(files: &[File<'_>], found: &Duplicate) -> Option<usize> {
    let (file, at) = found.first;
    let File { name, tokens } = &files[file];
    ALLOWED.iter().position(|(file, words, _)| {
        let words: Vec<&str> = words.split(' ').collect();
        file == name && code::begins(&tokens[at..], &words)
    })
}

/// A line for a duplicate.
fn line(files: &[File<'_>], found: &Duplicate) -> String {
    let place = |(file, at): (usize, usize)| {
        let File { name, tokens } = &files[file];
        format!("{name}:{}", tokens[at].line)
    };
    format!("{} and {}: {} equal tokens", place(found.first), place(found.second), found.length)
}

#[test]
fn nothing_stands_twice() {
    let sources: Vec<_> =
        ["src", "crates"].into_iter().flat_map(|folder| sources(&root().join(folder))).collect();
    let ours = sources.iter().filter_map(|(path, text)| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let is_fuzz = name.contains("/fuzz/") || name.ends_with("/fuzz.rs");
        (!is_fuzz).then(|| File { name, tokens: without_imports(code::tokens(text)) })
    });
    let files: Vec<File<'_>> = ours.collect();
    let found = duplicates(&files);
    let not_allowed = found.iter().filter(|found| allowed(&files, found).is_none());
    let lines: Vec<String> = not_allowed.map(|found| line(&files, found)).collect();
    assert!(lines.is_empty(), "stands twice:\n{}", lines.join("\n"));
    let used: BTreeSet<usize> = found.iter().filter_map(|found| allowed(&files, found)).collect();
    assert_eq!(used.len(), ALLOWED.len(), "an entry that allows nothing; used: {used:?}");
}

#[test]
fn a_duplicate_is_found_in_any_file_and_named() {
    let statements = |count: usize| "a = b;\n".repeat(4) + &"c(d, 1);\n".repeat(count);
    let find = |texts: &[String]| {
        let file = |text: &'_ String| {
            let tokens = without_imports(code::tokens(text.clone().leak()));
            File { name: "x.rs".to_owned(), tokens }
        };
        let files: Vec<File<'_>> = texts.iter().map(file).collect();
        duplicates(&files).iter().map(|found| line(&files, found)).collect::<Vec<_>>()
    };
    // 16 tokens and 7 a line.
    let (short, long) = (statements(6), statements(7));
    assert_eq!(find(&[format!("{short} e"), format!("f {short}")]), [""; 0]);
    assert_eq!(
        find(&[format!("{long} e"), format!("\nf {long}")]),
        ["x.rs:1 and x.rs:2: 65 equal tokens"]
    );
    let apart = format!("{long} e;\nfn f() {{\n{long}}}");
    assert_eq!(find(&[apart]), ["x.rs:1 and x.rs:14: 65 equal tokens"]);
    let imports = format!("use a::{{{}}};", "b, c::d, ".repeat(20));
    assert_eq!(find(&[imports.clone(), imports]), [""; 0]);
    let tests = format!("#[cfg(test)]\nmod tests {{ {long} }}");
    assert_eq!(find(&[tests, long]), [""; 0]);
}
