//! The key `labels`: what stands on each series of a target beside the labels of the exporter.

use std::collections::BTreeMap;

use super::section::{Report, Section};
use super::{value, written};
use crate::config::yaml::{Node, Value};

/// The names of all labels that the exporter sets on any series.
pub(crate) const OF_THE_EXPORTER: [&str; 25] = [
    "branch",
    "cipher",
    "external_url",
    "filter",
    "folder",
    "hop",
    "layer",
    "le",
    "mail_cluster",
    "method",
    "part",
    "passive",
    "port_name",
    "protocol",
    "reason",
    "receive_host",
    "resource",
    "result",
    "revision",
    "rustversion",
    "send_host",
    "side",
    "step",
    "target",
    "version",
];

/// What would not be a label of its own: Prometheus sets the first two when it scrapes, and the third is that
/// of a summary.
const OF_PROMETHEUS: [&str; 3] = ["job", "instance", "quantile"];

/// What the shipped rules and the example of a scrape set: an alert would lose the configured one.
const OF_THE_RULES: [&str; 9] = [
    "alertname",
    "alertstate",
    "exporter",
    "host_agent",
    "of",
    "problem",
    "process",
    "severity",
    "slo",
];

/// The longest value, in characters: it stands on some hundred series of each target.
pub(super) const MOST_CHARS: usize = 200;

/// Every name that is not free.
pub(super) fn taken() -> impl Iterator<Item = &'static str> {
    OF_THE_EXPORTER.into_iter().chain(OF_PROMETHEUS).chain(OF_THE_RULES)
}

/// Those of the defaults and those of the target, which win.
pub(super) fn labels(section: &Section<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let written = section.child("labels", report);
    let mut labels = BTreeMap::new();
    for (place, name, node) in written.entries() {
        let label = label_name(name).and_then(|()| label_value(node));
        if let Some(value) = report.accept(&place, label) {
            labels.insert(name.to_owned(), value);
        }
    }
    labels
}

fn label_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !first || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(
            "is not a label name: letters, digits and underscores only, no digit first".to_owned()
        );
    }
    if name.starts_with("__") {
        return Err("is not a label name: Prometheus keeps those that begin with __".to_owned());
    }
    if OF_THE_EXPORTER.contains(&name) {
        return Err("is a label that the exporter sets itself; choose another name".to_owned());
    }
    if OF_PROMETHEUS.contains(&name) {
        return Err("is a label that Prometheus sets itself; choose another name".to_owned());
    }
    if OF_THE_RULES.contains(&name) {
        return Err("is a label that the alerts set themselves; choose another name".to_owned());
    }
    Ok(())
}

fn label_value(node: &Node) -> Result<String, String> {
    let text = match &node.value {
        // It may be empty.
        Value::Scalar { text, plain: false } => written::check(node, text).map(|()| text.clone()),
        _ => value::text(node).map(str::to_owned),
    }?;
    if text.chars().count() > MOST_CHARS {
        return Err(format!("must be at most {MOST_CHARS} characters"));
    }
    Ok(text)
}
