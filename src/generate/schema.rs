//! The JSON schema of the configuration, for editors, in draft 7, which the YAML language server knows best.
//!
//! It refuses what is wrong by its form, as far as a pattern can tell. Only the program itself refuses what needs more than
//! one place, as a target that lacks what `defaults` do not have either; what has to be computed, as a duration that is
//! too long, a port in quotes beyond the last or a folder that is named twice in another case; and `2.0`, which is a whole
//! number to JSON.

#![allow(clippy::indexing_slicing, reason = "an object of JSON takes any key")]

use serde_json::{Map, Value, json};

use super::configuration::capitalised;
use super::rules;
use crate::config::TargetName;
use crate::config::reference::{self, Default, Home, Key, Kind};

/// The schema of a main file or of an included one.
pub(super) fn text(included: bool) -> String {
    let root = if included { Home::Included } else { Home::Main };
    let mut schema = map(root);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!(format!("The configuration of {}", env!("CARGO_PKG_NAME")));
    // A place for anchors.
    schema["patternProperties"] = json!({"^x-": true});
    let others = Home::ALL.into_iter().filter(|home| match home {
        Home::Main | Home::Included => false,
        Home::Defaults => !included,
        _ => true,
    });
    schema["definitions"] = others.map(|home| (home.name().to_owned(), map(home))).collect();
    format!("{schema:#}\n")
}

fn map(home: Home) -> Value {
    let properties: Map<String, Value> =
        home.keys().iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let mut map = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    let rules = rules::of(home);
    if !rules.is_empty() {
        map["allOf"] = Value::Array(rules);
    }
    map
}

/// The reference to the map of this home.
fn reference(home: Home) -> Value {
    json!({"$ref": format!("#/definitions/{}", home.name())})
}

fn property(key: &Key) -> Value {
    let mut property = value(&key.kind);
    property["description"] = json!(description(key));
    match key.default {
        Default::Required | Default::Nothing | Default::Told(_) => {}
        Default::Number(number) => property["default"] = json!(number),
        Default::Boolean(value) => property["default"] = json!(value),
        Default::Duration(_) | Default::Text(_) => {
            property["default"] = json!(key.default.to_string());
        }
    }
    property
}

fn description(key: &Key) -> String {
    let meaning = format!("{}.", key.meaning);
    let meaning = match &key.kind {
        kind @ (Kind::Duration(_) | Kind::Number(..) | Kind::Bytes(..)) => {
            format!("{meaning} {}.", capitalised(&kind.to_string()))
        }
        _ => meaning,
    };
    match key.default {
        Default::Told(words) => format!("{meaning} Default: {words}."),
        _ => meaning,
    }
}

/// The kinds of a value that the program takes as the text that is written.
const SCALAR: [&str; 3] = ["string", "number", "boolean"];
const ONE_LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";
/// A URL and a host with its port are none of them.
const HOST: &str =
    r"^(\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+|([^\s:/@\[\].]+\.)*[^\s:/@\[\].]+\.?)$";
const ADDRESS: &str = r"^.+@[^\s<>@]*[^\s<>@.]$";
const URL: &str = r"^[hH][tT][tT][pP][sS]://[^\s/?#@]+([/?][^\s#]*)?$";
/// A number in quotes.
const DIGITS: &str = "^(0|[1-9][0-9]*)$";
const PORT: &str = r"^([A-Za-z0-9_-]{1,63}:((\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+|[^\s:/@\[\]]+):)?)?[1-9][0-9]{0,4}$";
const FOLDER: &str =
    r"^([^\\\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*|\\[A-Za-z0-9]+)$";
const BYTES: &str = "^[0-9]+ *(B|kB|KB|MB|KiB|MiB)?$";
/// A tab and the ends of lines are no control characters here.
const LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]+$";
const FIELD: &str = "^[!-9;-~]{1,76}$";
const ZONE: &str = r"^([^\s:/@\[\].]+\.)+[^\s:/@\[\].]*[^\s:/@\[\].0-9][^\s:/@\[\].]*\.?$";
/// Lists that know whoever asks by a part of the zone.
const ZONE_WITH_A_KEY: &str = r"\.([dD][qQ]\.[sS][pP][aA][mM][hH][aA][uU][sS]\.[nN][eE][tT]|[mM][aA][iI][lL]\.[aA][bB][uU][sS][iI][xX]\.[zZ][oO][nN][eE])\.?$";
const IP_ADDRESS: &str = r"^([0-9]+(\.[0-9]+){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)$";
/// What `humantime` takes, without months and years.
const DURATION: &str = r"^\s*([0-9][0-9\s]*(\.\s*[0-9][0-9\s]*)?(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|min|mins|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w)\s*)+$";

fn value(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Path => json!({"type": SCALAR, "pattern": ONE_LINE}),
        Kind::Verbatim => json!({"type": SCALAR, "pattern": r"^[^\u0000\n\r]+$"}),
        Kind::Name => json!({
            "type": SCALAR,
            "maxLength": TargetName::MAX_CHARS,
            "allOf": [{"pattern": ONE_LINE}, {"pattern": r"^\S(.*\S)?$"}],
        }),
        Kind::Host => json!({"type": "string", "pattern": HOST}),
        Kind::Address => json!({"type": "string", "pattern": ADDRESS}),
        Kind::Url => json!({"type": "string", "pattern": URL}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Number(least, most) => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": DIGITS,
        }),
        Kind::Bytes(least, most) => json!({
            "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": BYTES,
        }),
        Kind::Lines => json!({"type": SCALAR, "pattern": LINES}),
        Kind::Fields => json!({
            "type": "object",
            "propertyNames": {"pattern": FIELD},
            "additionalProperties": {"type": SCALAR, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"},
        }),
        Kind::Duration(_) => json!({"type": "string", "pattern": DURATION}),
        Kind::Word(words) => any_case(words),
        Kind::Paths => list(json!({"type": SCALAR, "pattern": ONE_LINE})),
        Kind::Folders => {
            let mut folders = list(json!({"type": SCALAR, "pattern": FOLDER}));
            folders["minItems"] = json!(1);
            folders["uniqueItems"] = json!(true);
            folders
        }
        Kind::Ports => list(json!({
            "type": ["integer", "string"], "minimum": 1, "maximum": u16::MAX, "pattern": PORT,
            // The names of the ports of both sides.
            "not": {"type": "string", "pattern": "^(send|receive):"},
        })),
        Kind::Labels => labels(),
        Kind::Domain => json!({"type": "string", "pattern": ZONE}),
        Kind::Zones(home) => zones(*home),
        Kind::IpAddresses => {
            let mut addresses = list(json!({"type": "string", "pattern": IP_ADDRESS}));
            (addresses["minItems"], addresses["maxItems"]) = (json!(1), json!(32));
            addresses
        }
        Kind::Words(words) => {
            let mut words = list(any_case(words));
            words["minItems"] = json!(1);
            words
        }
        // What stands beside a reference is not read in this draft.
        Kind::Map(home) => json!({"allOf": [reference(*home)]}),
        Kind::Switch(home) => json!({"anyOf": [{"type": "boolean"}, reference(*home)]}),
        Kind::List(home) => list(reference(*home)),
    }
}

fn zones(home: Home) -> Value {
    let zone = json!({"type": "string", "pattern": ZONE, "not": {"pattern": ZONE_WITH_A_KEY}});
    let mut zones = list(json!({"anyOf": [zone, reference(home)]}));
    (zones["minItems"], zones["maxItems"]) = (json!(1), json!(10));
    zones["uniqueItems"] = json!(true);
    zones
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Words as the program lists them, for the editor to offer, and in any other case. A word that looks like a number
/// is one to the editor.
fn any_case(words: &[&str]) -> Value {
    let numbers = words.iter().filter_map(|word| word.parse().ok()).map(|it: f64| json!(it));
    let listed: Vec<Value> = words.iter().map(|word| json!(word)).chain(numbers).collect();
    let pattern = |word: &&str| word.chars().map(either_case).collect::<String>();
    let pattern = words.iter().map(pattern).collect::<Vec<_>>().join("|");
    json!({"anyOf": [{"enum": listed}, {"type": "string", "pattern": format!("^({pattern})$")}]})
}

fn either_case(letter: char) -> String {
    match letter {
        'a'..='z' => format!("[{letter}{}]", letter.to_ascii_uppercase()),
        '.' => r"\.".to_owned(),
        other => other.to_string(),
    }
}

fn labels() -> Value {
    let taken: Vec<&str> = reference::taken_labels().collect();
    json!({
        "type": "object",
        "propertyNames": {
            "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
            "not": {"anyOf": [{"pattern": "^__"}, {"enum": taken}]},
        },
        "additionalProperties": {"type": SCALAR, "maxLength": reference::MOST_CHARS_OF_LABEL},
    })
}
