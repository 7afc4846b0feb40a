//! The key `labels`: what stands on each series of a target beside the labels of the exporter.

use std::collections::BTreeMap;

use super::section::{Report, Section};
use super::{value, written};
use crate::config::yaml::{Node, Value};

/// The label with the place of observation, which the key of the same name at the top of the file gives to all targets.
pub const LOCATION: &str = "location";

/// The names of all labels that the exporter sets on any series.
pub(crate) const OF_THE_EXPORTER: [&str; 29] = [
    "branch",
    "check",
    "cipher",
    "dnsbl",
    "expect",
    "external_url",
    "filter",
    "folder",
    "hop",
    "layer",
    "le",
    LOCATION,
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
const OF_THE_RULES: [&str; 10] = [
    "alertname",
    "alertstate",
    "exporter",
    "exporter_replica",
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

/// The value of [`LOCATION`].
pub(super) fn location(node: &Node) -> Result<String, String> {
    let text = value::line(node)?;
    if text.chars().count() > MOST_CHARS {
        return Err(format!("must be at most {MOST_CHARS} characters"));
    }
    Ok(text)
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
    if name == LOCATION {
        return Err("is the label of the key `location` at the top of the file: write there from where this \
                    exporter tests; for where a server is choose another name, such as `site`"
            .to_owned());
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(location: &str) -> Result<Config, crate::config::Problems> {
        let target = "host: h, from: a@b.example, to: a@b.example, labels: {site: x}, receive: \
                      {protocol: imap, username: u, password: p}";
        let text =
            format!("{location}\ntargets:\n- {{name: a, {target}}}\n- {{name: b, {target}}}\n");
        Config::parse(&text, Path::new("mailtrip.yml"))
    }

    #[test]
    fn the_place_is_a_label_of_every_target_and_comes_back_from_the_running_configuration() {
        let config = parse("location: 'Frankfurt: \"1\"'").unwrap();
        assert_eq!(config.location.as_deref(), Some("Frankfurt: \"1\""));
        for target in config.targets.values() {
            assert_eq!(target.labels.get(LOCATION), config.location.as_ref());
            assert_eq!(target.labels.len(), 2);
        }
        let written = config.to_yaml();
        let again = Config::parse(&written, Path::new("mailtrip.yml")).unwrap();
        assert_eq!((again.location, again.targets.len()), (config.location, 2), "{written}");
        let without = parse("").unwrap();
        assert!(without.targets.values().all(|target| !target.labels.contains_key(LOCATION)));
        assert!(!without.to_yaml().contains(LOCATION));
    }

    #[test]
    fn a_place_that_is_none_is_told_with_its_line() {
        for wrong in ["location: ''".to_owned(), format!("location: {}", "x".repeat(201))] {
            let problem = parse(&wrong).unwrap_err().to_string();
            assert!(problem.starts_with("mailtrip.yml:1: location: "), "{problem}");
        }
    }
}
