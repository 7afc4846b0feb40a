//! The labels that stand on every series of a target, as text that is made once: they are on some hundred
//! series of each scrape.

use std::sync::OnceLock;

use super::Target;

/// The text, once somebody asked for it. It follows from the rest of the target: two targets do not differ by
/// it, and a copy that is changed makes its own.
#[derive(Debug, Default)]
pub(super) struct SeriesText(OnceLock<Written>);

#[derive(Debug)]
struct Written {
    text: Box<str>,
    /// Where the labels of a single series belong.
    middle: usize,
}

impl Clone for SeriesText {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for SeriesText {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Target {
    /// The labels of each of its series in the text formats of Prometheus: what stands before those of a single
    /// series, without a brace, and what follows them, with the brace and a space.
    pub fn series_labels(&self) -> (&str, &str) {
        let Written { text, middle } = self.series_text.0.get_or_init(|| self.write_labels());
        text.split_at_checked(*middle).unwrap_or_default()
    }

    fn write_labels(&self) -> Written {
        let mut text = String::new();
        push_label(&mut text, "target", self.name.as_str());
        let middle = text.len();
        for (name, value) in &self.labels {
            text.push(',');
            push_label(&mut text, name, value);
        }
        text.push_str("} ");
        Written { text: text.into(), middle }
    }
}

/// Writes a label as it stands on a series.
pub(crate) fn push_label(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push_str("=\"");
    push_escaped(text, value);
    text.push('"');
}

fn push_escaped(text: &mut String, value: &str) {
    // Next to none has anything to escape, and the loop over bytes is the faster one.
    if !value.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n')) {
        text.push_str(value);
        return;
    }
    for character in value.chars() {
        match character {
            '\n' => text.push_str("\\n"),
            '"' | '\\' => text.extend(['\\', character]),
            _ => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Config, TargetName};
    use super::*;

    fn target() -> Target {
        let yaml = "targets:\n- name: m\n  host: h\n  labels: {site: \"x\\n\\\"y\\\\\", a: ü}\n  \
                    from: a@b.example\n  to: a@b.example\n  \
                    receive: {protocol: imap, username: u, password: p}\n";
        let config = Config::parse(yaml, Path::new("test.yml")).unwrap();
        config.targets.values().next().unwrap().as_ref().clone()
    }

    #[test]
    fn the_name_comes_first_and_what_is_configured_last() {
        let target = target();
        let labels = target.series_labels();
        assert_eq!(labels, ("target=\"m\"", ",a=\"ü\",site=\"x\\n\\\"y\\\\\"} "));
    }

    #[test]
    fn a_target_that_was_changed_has_its_own_labels_and_equal_ones_stay_equal() {
        let target = target();
        let before = target.series_labels();
        let mut copy = target.clone();
        assert_eq!(copy, target, "though only one has its text");
        copy.name = TargetName::new(r#"a "b""#).unwrap();
        copy.labels.clear();
        assert_eq!(copy.series_labels(), (r#"target="a \"b\"""#, "} "));
        assert_eq!(target.series_labels(), before);
    }
}
