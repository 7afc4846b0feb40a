//! The configuration: read, shown and read again.
//!
//! Input: the text of the main file. What includes other files by a pattern is passed over.

use std::path::Path;

use crate::config::Config;
use crate::config::yaml::{self, Node, Value};
use mail::fuzz::shown::{self, PASSWORD};
use mail::text::is_unsafe;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (root, _) = yaml::parse(text);
    if root.as_deref().is_some_and(includes) {
        return;
    }
    drop(root);
    match Config::parse(text, Path::new("/nowhere/mailtrip.yml")) {
        Err(problems) => {
            let told = problems.to_string();
            assert!(!told.is_empty());
            harmless(&told);
            // A name may be told that was accepted as one; a password never.
            let place = format!("password: '{PASSWORD}'");
            if text.matches(PASSWORD).count() == 1 && text.contains(&place) {
                shown::check(&told);
            }
        }
        Ok(config) => {
            config.warnings().iter().chain(&config.describe()).for_each(|line| harmless(line));
            let written = config.to_yaml();
            harmless(&written);
            // The files of these are not shown.
            if written.contains("_file: <secret>") {
                return;
            }
            let again = Config::parse(&written, Path::new("/nowhere/mailtrip.yml"));
            let again = again.unwrap_or_else(|problems| panic!("{problems}\nin\n{written}"));
            assert_eq!(again.to_yaml(), written, "what is shown means what was read");
        }
    }
}

fn harmless(text: &str) {
    let harmful = text.chars().find(|character| *character != '\n' && is_unsafe(*character));
    assert_eq!(harmful, None, "shown as it came: {text:?}");
}

/// Whether it looks for files below some folder.
fn includes(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else { return false };
    let is_pattern = |node: &Node| match &node.value {
        Value::Scalar { text, .. } => text.contains(['*', '?', '[']),
        Value::List(_) | Value::Map(_) => true,
    };
    entries.iter().filter(|entry| &*entry.key == "include").any(|entry| match &entry.node.value {
        Value::List(items) => items.iter().any(|item| is_pattern(item)),
        _ => is_pattern(&entry.node),
    })
}
