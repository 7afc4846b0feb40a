//! The documentation as a book: built without a warning, with links that lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::code::root;

/// Every page of the book in a folder, by its file.
fn pages(book: &Path) -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![book.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let text = fs::read_to_string(&path).unwrap();
                pages.insert(path, text);
            }
        }
    }
    pages
}

/// Where a page leads, and what it shows and loads.
fn links(page: &str) -> BTreeSet<&str> {
    let values = |name: &'static str| page.split(name).skip(1);
    let all = [" href=\"", " src=\"", " srcset=\""].into_iter().flat_map(values);
    all.filter_map(|rest| rest.split('"').next()).collect()
}

/// The file that a link in `folder` leads to.
fn file(folder: &Path, to: &str) -> Option<PathBuf> {
    let path = folder.join(to).canonicalize().ok()?;
    Some(if path.is_dir() { path.join("index.html") } else { path }).filter(|path| path.is_file())
}

#[test]
fn the_book_is_built_without_a_warning_and_has_no_dead_link() {
    // Not target/book, which another run may be making.
    let folder = tempfile::tempdir().unwrap();
    let book = folder.path().canonicalize().unwrap().join("book");
    let output = Command::new(root().join("scripts/book")).arg(&book).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");

    let pages = pages(&book);
    let index = book.join("docs/install.html");
    assert!(pages[&index].contains("Installing and upgrading"), "{:?}", pages.keys());
    let mut dead = Vec::new();
    for (path, page) in pages.iter().filter(|(path, _)| !path.ends_with("404.html")) {
        for link in links(page) {
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            if to.contains(':') {
                continue;
            }
            let found =
                if to.is_empty() { Some(path.clone()) } else { file(path.parent().unwrap(), to) };
            let Some(found) = found else {
                dead.push(format!("{}: {link}", path.display()));
                continue;
            };
            let id = format!(" id=\"{anchor}\"");
            if !anchor.is_empty() && !pages.get(&found).is_some_and(|page| page.contains(&id)) {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "these links lead nowhere:\n{}", dead.join("\n"));
}
