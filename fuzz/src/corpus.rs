//! Between the corpus in the tree and the folders of inputs that libFuzzer has.
//!
//! libFuzzer has the command line to itself, so the words stand in `MAILTRIP_FUZZ_CORPUS`, a line each:
//! `list` prints the names of the targets; `unpack TARGET FOLDER` writes each input of a target into a file;
//! `add TARGET NAME FILE` adds an input to the tree; `adopt TARGET FOLDER` those of a folder that the tree has
//! not, the small ones first, as far as there is room.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use mailtrip_exporter::fuzz::{all, corpus, of};

/// The most that `adopt` lets the corpus of one target become, in bytes of text.
const ROOM: usize = 40 << 10;
/// The most inputs that it adopts, and the longest one.
const MOST: usize = 60;
const LONGEST: usize = 2048;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Does what the environment asks for, and ends the process then.
pub(crate) fn work_if_asked() {
    let Ok(words) = std::env::var("MAILTRIP_FUZZ_CORPUS") else { return };
    let words: Vec<&str> = words.lines().collect();
    let outcome = match words.as_slice() {
        ["list"] => {
            all().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["unpack", name, folder] => unpack(name, Path::new(folder)),
        ["add", name, called, file] => add(name, called, Path::new(file)),
        ["adopt", name, folder] => adopt(name, Path::new(folder)),
        _ => Err("list, unpack TARGET FOLDER, add TARGET NAME FILE, or adopt TARGET FOLDER".into()),
    };
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    std::process::exit(i32::from(outcome.is_err()));
}

/// The file of a target, and what is in it now.
fn corpus_of(name: &str) -> Outcome<(PathBuf, String)> {
    let target = of(name).ok_or_else(|| format!("there is no target {name}"))?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("corpus/{}.txt", target.name));
    let text = fs::read_to_string(&path)?;
    Ok((path, text))
}

fn unpack(name: &str, folder: &Path) -> Outcome<()> {
    let (_, text) = corpus_of(name)?;
    fs::create_dir_all(folder)?;
    for (called, input) in corpus::parse(&text)? {
        fs::write(folder.join(called), input)?;
    }
    Ok(())
}

fn add(name: &str, called: &str, file: &Path) -> Outcome<()> {
    let (path, mut text) = corpus_of(name)?;
    if corpus::parse(&text)?.iter().any(|(known, _)| known == called) {
        return Err(format!("{name} has an input {called} already").into());
    }
    text += &corpus::print(called, &fs::read(file)?);
    fs::write(path, text)?;
    Ok(())
}

fn adopt(name: &str, folder: &Path) -> Outcome<()> {
    let (path, mut text) = corpus_of(name)?;
    let mut known: BTreeSet<Vec<u8>> =
        corpus::parse(&text)?.into_iter().map(|(_, input)| input).collect();
    let mut inputs = Vec::new();
    for entry in fs::read_dir(folder)? {
        inputs.push(fs::read(entry?.path())?);
    }
    inputs.sort_by_key(|input| (input.len(), input.clone()));
    let (before, room) = (known.len(), text.len() + ROOM);
    for input in inputs {
        let printed = corpus::print(&format!("reaches-more-{}", known.len()), &input);
        let fits = input.len() <= LONGEST && text.len() + printed.len() <= room;
        if fits && known.len() < before + MOST && known.insert(input) {
            text += &printed;
        }
    }
    fs::write(path, text)?;
    println!("{name}: {} new inputs", known.len() - before);
    Ok(())
}
