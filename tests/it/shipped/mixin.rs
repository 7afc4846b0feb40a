//! The monitoring mixin that is shipped, evaluated by a jsonnet: it says what the rules and the dashboards say that it
//! reads, and what can be changed in it is changed where it has to be.

use std::collections::HashMap;
use std::fs;
use std::process::Stdio;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};
use tokio::process::Command;
use tokio::time::timeout;

use crate::shipped::rules;
use crate::support::prometheus::Release;

/// What an expression about `mixin` evaluates to, or what jsonnet says is wrong.
async fn evaluate(expression: &str) -> Result<Value, String> {
    let program = Release::Newer.program("jsonnet");
    let command = Command::new(&program)
        .arg("--exec")
        .arg(format!("local mixin = import 'mixin.libsonnet'; {expression}"))
        .current_dir(rules::deploy().join("mixin"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(rules::LIMIT, command).await.expect("jsonnet ends").unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The groups of a file of rules, aliases resolved.
pub(crate) fn groups(file: &str) -> Vec<Value> {
    let path = rules::deploy().join(format!("prometheus/mailtrip.{file}.rules.yml"));
    let text = fs::read_to_string(path).unwrap();
    let mut reader = Reader { parser: Parser::new_from_str(&text), anchors: HashMap::new() };
    let mut document = reader.value().unwrap();
    serde_json::from_value(document["groups"].take()).unwrap()
}

/// Reads YAML as JSON, as far as rules have it: every plain scalar is a text.
struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Value>,
}

impl Reader<'_> {
    /// The next value, or none where a list, a map or the text ends.
    fn value(&mut self) -> Option<Value> {
        let (event, _) = self.parser.next_event()?.unwrap();
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let is_number = style == ScalarStyle::Plain && text.parse::<f64>().is_ok();
                assert!(!is_number, "{text}: numbers are not compared yet");
                (Value::String(text.into_owned()), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut list = Vec::new();
                while let Some(item) = self.value() {
                    list.push(item);
                }
                (Value::Array(list), anchor)
            }
            Event::MappingStart(anchor, _) => {
                let mut map = Map::new();
                while let Some(key) = self.value() {
                    map.insert(key.as_str().unwrap().to_owned(), self.value().unwrap());
                }
                (Value::Object(map), anchor)
            }
            Event::Alias(anchor) => (self.anchors[&anchor].clone(), 0),
            Event::SequenceEnd | Event::MappingEnd | Event::StreamEnd => return None,
            _ => return self.value(),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Some(value)
    }
}

#[tokio::test]
async fn the_mixin_has_every_rule_as_it_is_shipped() {
    let folder = tempfile::tempdir().unwrap();
    for (field, files) in
        [("prometheusAlerts", &["alerts", "host"][..]), ("prometheusRules", &["recording"])]
    {
        let made = evaluate(&format!("mixin.{field}")).await.unwrap();
        let shipped: Vec<Value> = files.iter().flat_map(|file| groups(file)).collect();
        assert_eq!(made["groups"].as_array().unwrap().len(), shipped.len(), "{field}");
        for (made, shipped) in made["groups"].as_array().unwrap().iter().zip(&shipped) {
            assert_eq!(made, shipped, "{field}");
        }
        let file = folder.path().join(format!("{field}.json"));
        fs::write(&file, made.to_string()).unwrap();
        rules::run("promtool", &["check", "rules", &file.to_string_lossy()]).await;
    }
    assert_eq!(rules::rule_files().len(), 3, "a file of rules that the mixin does not read");
}

#[tokio::test]
async fn the_mixin_has_every_dashboard_as_it_is_shipped() {
    let made = evaluate("mixin.grafanaDashboards").await.unwrap();
    let files = rules::files(&rules::deploy().join("../grafana"), ".json");
    assert_eq!(made.as_object().unwrap().len(), files.len());
    for file in files {
        let shipped: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(made[name], shipped, "{name}");
    }
}

#[tokio::test]
async fn what_the_mixin_lets_change_is_changed() {
    let changed = "local changed = mixin { _config+:: { hostLayers: false, dashboardTags: ['post'], \
                   limits+: { 'mailtrip:roundtrip_limit:seconds': 'vector(300)' } } }; \
                   { alerts: changed.prometheusAlerts.groups, rules: changed.prometheusRules.groups, \
                   tags: [one.tags for one in std.objectValues(changed.grafanaDashboards)] }";
    let changed = evaluate(changed).await.unwrap();
    assert_eq!(changed["alerts"], Value::Array(groups("alerts")));
    let mut recording = groups("recording");
    let limit = &mut recording[0]["rules"][0];
    assert_eq!(limit["record"], "mailtrip:roundtrip_limit:seconds");
    limit["expr"] = "vector(300)".into();
    assert_eq!(changed["rules"], Value::Array(recording));
    assert_eq!(changed["tags"], serde_json::json!([["post"], ["post"]]));
}

#[tokio::test]
async fn the_mixin_refuses_what_is_no_limit_of_a_loaded_file() {
    for (config, name) in [
        ("", "mailtrip:slow"),
        ("", "target:mailtrip_roundtrip_seconds:mean_week"),
        ("hostLayers: false,", "mailtrip:host_load_limit:ratio"),
    ] {
        let limit = format!("limits+: {{ '{name}': 'vector(1)' }}");
        let said = evaluate(&format!("mixin {{ _config+:: {{ {config} {limit} }} }}")).await;
        assert!(said.unwrap_err().contains(&format!("no such limit: {name}")), "{config} {name}");
    }
}

#[tokio::test]
async fn the_mixin_names_the_line_whose_anchor_it_cannot_read() {
    let parse =
        |text: &str| format!("(import 'rules.libsonnet').parse('x.yml', 'groups:\\n{text}')");
    for (text, message) in [
        ("  a: *here", "x.yml:2: no &here in this file"),
        ("  a: &here text\\n  b: *here", "x.yml:2: after &here only "),
    ] {
        let said = evaluate(&parse(text)).await.unwrap_err();
        assert!(said.contains(message), "{said}");
    }
    let words = evaluate(&parse("  a: &here >-\\n    it says: *this\\n  b: *here")).await.unwrap();
    assert_eq!(words["b"], "it says: *this");
}
