//! YAML as a tree.
//!
//! Input: the text.

use std::rc::Rc;

use crate::config::yaml::{Node, Value, join, parse, shown_key};
use mail::fuzz::shown;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    let (root, faults) = parse(text);
    for fault in &faults {
        shown::check(&format!("{}: {}", fault.key, fault.message));
        assert!(fault.line <= lines + 1, "line {} of {lines}", fault.line);
    }
    assert!(root.is_none() || faults.iter().all(|fault| !fault.key.is_empty() || fault.line > 0));
    if let Some(root) = root {
        let mut left = 20_000;
        walk(&root, "", lines, 0, &mut left);
    }
}

/// The tree is as deep as was promised, its lines are those of the text.
fn walk(node: &Rc<Node>, path: &str, lines: usize, depth: usize, left: &mut usize) {
    // Aliases may stand for more than is worth a look.
    let Some(fewer) = left.checked_sub(1) else { return };
    *left = fewer;
    assert!(depth <= 65, "{depth} levels");
    assert!((1..=lines + 1).contains(&node.line), "line {} of {lines}", node.line);
    match &node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            items.iter().for_each(|item| walk(item, path, lines, depth + 1, left));
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = join(path, shown_key(&entry.key));
                shown::check(shown_key(&entry.key));
                walk(&entry.node, &path[..path.len().min(64)], lines, depth + 1, left);
            }
        }
    }
}
