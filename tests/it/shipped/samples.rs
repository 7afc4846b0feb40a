//! What filters are to find stands nowhere as it is: no scanner takes the sources or the program for it.

use std::fs;
use std::path::Path;

use mail::content::Sample;

use super::code::root;

/// The files below a folder, but those that are built or fetched.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = !["target", ".git", "artifacts"].iter().any(|other| name == *other);
        match entry.file_type().unwrap() {
            kind if kind.is_dir() && is_ours => files(&path, found),
            kind if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn neither_the_sources_nor_the_program_hold_a_sample() {
    let mut all = vec![env!("CARGO_BIN_EXE_mailtrip_exporter").into()];
    files(root(), &mut all);
    // Scanners go by the beginning of one and by the middle of the other.
    let parts = [&Sample::Eicar.bytes()[..28], &Sample::Gtube.bytes()[28..52]].map(<[u8]>::to_vec);
    for path in all {
        let bytes = fs::read(&path).unwrap();
        for part in &parts {
            assert!(!holds_part(&bytes, part), "{} holds a sample", path.display());
        }
    }
}

fn holds_part(bytes: &[u8], part: &[u8]) -> bool {
    let first = part[0];
    bytes.iter().enumerate().any(|(at, byte)| *byte == first && bytes[at..].starts_with(part))
}
