//! The order of the rooms: a module of the exporter uses only modules that stand below it.

use std::fs;
use std::path::Path;

use super::code::{self, root, sources};

/// The modules of the exporter, the highest first. Those of one line do not use each other.
const ROOMS: &[&[&str]] = &[
    &["fuzz"],
    &["app"],
    &["generate"],
    &["cli", "check", "demo", "healthcheck", "init"],
    &["web"],
    &["metrics", "roundtrip"],
    &["supervisor"],
    &["probing", "layers", "standing"],
    &["account"],
    &["store"],
    &["descriptors"],
    &["config"],
    &["log", "clock", "build"],
];

/// The longest file, in lines, without its tests.
const MOST_LINES: usize = 450;

fn level(room: &str) -> Option<usize> {
    ROOMS.iter().position(|level| level.contains(&room))
}

/// A path as it is written in a message, and the modules that lead to it.
fn names(path: &Path) -> (String, Vec<String>) {
    let inner = path.strip_prefix(root()).unwrap().with_extension("");
    let modules = inner.iter().skip(1).map(|part| part.to_str().unwrap().to_owned());
    (format!("{}.rs", inner.display()), modules.collect())
}

/// What a file uses that stands above it, or beside it.
fn violations(path: &str, modules: &[String], text: &str) -> Vec<String> {
    let room = modules[0].as_str();
    let Some(own) = level(room) else {
        return vec![format!("{path}: room `{room}` has no place in the order")];
    };
    let uses = code::uses(&code::tokens(text), modules.len());
    let above = uses.into_iter().filter_map(|(line, used)| {
        let is_below = |theirs| theirs > own;
        (used != room && !level(&used).is_some_and(is_below)).then(|| {
            format!("{path}:{line}: room `{room}` uses `{used}`, which does not stand below it")
        })
    });
    above.collect()
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let mut found = Vec::new();
    for (path, text) in sources(&root().join("src")) {
        let (name, modules) = names(&path);
        if !["lib", "main"].contains(&modules[0].as_str()) {
            found.extend(violations(&name, &modules, &text));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let find = |room: &str, text: &str| {
        let modules: Vec<String> = room.split('/').map(str::to_owned).collect();
        violations("src/x.rs", &modules, text)
    };
    for (room, text) in [
        ("store", "use crate::layers::tcp;"),
        ("store/rows", "\nfn a() { crate::account::b(); }"),
        ("store/rows", "use super::super::account::Account;"),
        ("layers", "use crate::{clock, probing::send};"),
        ("config", "use crate::{\n    clock::now,\n    store::{Store, rows},\n};"),
        ("log", "/* \" */ use crate::cli::Log;"),
        ("log", "use crate::*;"),
        ("log", "use crate as root;"),
        ("log", "extern crate self as root;"),
        ("log", "use crate::{self as root};"),
        ("store", "use crate::{clock::{self}, *};"),
        ("store/rows", "use super::super::*;"),
        ("store/rows", "use super::super as root;"),
        ("store/rows", "use super::{super::web};"),
        ("store/rows", "use super::{Store, super::{account, store::rows}};"),
        ("store/rows", "use self::super::super::web;"),
        ("store/rows", "use super::{super as root, Store};"),
        ("store/rows", "macro_rules! a { () => { $crate::web::b() } }"),
    ] {
        let found = find(room, text);
        assert_eq!(found.len(), 1, "{room}: {text}: {found:?}");
        assert!(found[0].contains("does not stand below it"), "{found:?}");
    }
    for (room, text) in [
        ("layers", "use crate::{clock, store::Store, layers::ping};"),
        (
            "store",
            "// crate::layers\nconst A: &str = \"crate::web\"; const B: &str = r#\"crate::\"web\"#;",
        ),
        ("store", "#[cfg(test)]\nmod tests {\n    use crate::web::a;\n}\n"),
        ("store", "#[cfg(test)]\nuse crate::web::a;\n"),
        ("store/rows", "use super::web::a;"),
        (
            "store/rows",
            "use super::*; use super::{self, Store, rows::{self as own}}; fn a(&self) {}",
        ),
        ("web", "pub(in crate::web) fn a<'a>(b: &'a str) -> char { '\"' }"),
    ] {
        assert_eq!(find(room, text), [""; 0], "{room}: {text}");
    }
    assert_eq!(find("attic", ""), ["src/x.rs: room `attic` has no place in the order"]);
}

#[test]
fn the_list_of_the_crate_is_this_order() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let order: Vec<&str> = ROOMS.iter().copied().flatten().copied().collect();
    let entry = |line: &'static str| line.strip_prefix("//! - [`").or(line.strip_prefix("//! - `"));
    let text: &'static str = text.leak();
    let listed = text.lines().filter_map(entry).filter_map(|rest| rest.split('`').next());
    assert_eq!(listed.collect::<Vec<_>>(), order);
    let mut modules: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    modules.sort_unstable();
    let mut sorted = order;
    sorted.sort_unstable();
    assert_eq!(modules, sorted);
}

#[test]
fn no_file_is_long() {
    let files = ["src", "crates"].into_iter().flat_map(|folder| sources(&root().join(folder)));
    let long = files.filter_map(|(path, text)| {
        let lines = code::tokens(&text).last().map_or(0, |last| last.line);
        (lines > MOST_LINES).then(|| format!("{}: {lines} lines", names(&path).0))
    });
    let long: Vec<String> = long.collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines:\n{}", long.join("\n"));
}

/// Whether a line of a manifest names the exporter as a dependency, by name, by package or by path.
fn depends_on_exporter(line: &str) -> bool {
    let name = env!("CARGO_PKG_NAME");
    let key = line.split(['=', '.']).next().unwrap_or_default().trim();
    let is_package = line.contains("package") && line.contains(&format!("\"{name}\""));
    key == name || is_package || line.contains("path = \"../..\"")
}

#[test]
fn no_other_crate_depends_on_the_exporter() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        // It lies above the exporter.
        if folder.ends_with("simulation") {
            continue;
        }
        let manifest = folder.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let depends = text.lines().filter(|line| depends_on_exporter(line));
        assert_eq!(depends.count(), 0, "{}", manifest.display());
    }
    assert!(depends_on_exporter("mailtrip_exporter = { workspace = true }"));
    assert!(depends_on_exporter("mailtrip_exporter.workspace = true"));
    assert!(depends_on_exporter("ours = { package = \"mailtrip_exporter\", version = \"1\" }"));
    assert!(depends_on_exporter("ours = { path = \"../..\" }"));
    assert!(!depends_on_exporter("description = \"SMTP, of mailtrip_exporter\""));
}
