//! What the schema says of keys together: which ones are missing, and which contradict each other.

#![allow(clippy::indexing_slicing, reason = "an object of JSON takes any key")]

use serde_json::{Map, Value, json};

use crate::config::reference::{Default, Home, Kind, PASSWORD_KEYS};

/// The rules for a map, wherever it stands.
pub(super) fn of(home: Home) -> Vec<Value> {
    match home {
        Home::Main => vec![has_targets(), without_defaults()],
        Home::Target => of_target(),
        Home::Defaults => vec![contradiction("ssl", "send"), contradiction("ssl", "receive")],
        Home::Send => {
            let no_login = json!({"required": ["username"], "properties": {"username": none()}});
            let rule = json!({"if": no_login, "then": {"not": one_of(&PASSWORD_KEYS)}});
            one_password().into_iter().chain([rule]).collect()
        }
        Home::Receive | Home::SenderMailbox => {
            let rule = json!({"properties": {"username": {"not": none()}}});
            one_password().into_iter().chain([rule]).collect()
        }
        Home::DnsblList => vec![whole(home)],
        Home::Mail => vec![not_both("body", "body_file")],
        Home::Attachment => vec![not_both("size", "file")],
        Home::Included
        | Home::TlsOptions
        | Home::OAuth2
        | Home::Inspect
        | Home::Ping
        | Home::Dkim
        | Home::Dnsbl
        | Home::DomainChecks => Vec::new(),
    }
}

/// That targets were not forgotten.
fn has_targets() -> Value {
    one_of(&["include", "targets"])
}

/// Where there are no `defaults`, a target has everything that is required. A map of them may hold any of it.
fn without_defaults() -> Value {
    json!({
        "if": {"not": {"required": ["defaults"]}},
        "then": {"properties": {"targets": {"items": whole_target()}}},
    })
}

fn whole_target() -> Value {
    let mut target = whole(Home::Target);
    // What must be refused needs no mailbox.
    if let Some(required) = target["required"].as_array_mut() {
        required.retain(|key| key != "receive");
    }
    let refused = json!({"type": "string", "pattern": "^[rR][eE][fF][uU][sS][eE][dD]$"});
    target["allOf"] = json!([{"anyOf": [
        {"required": ["receive"]},
        {"required": ["expect"], "properties": {"expect": refused}},
    ]}]);
    let sides = json!({
        "required": ["send"],
        "properties": {
            "send": {"anyOf": [{"required": ["host"]}, {"required": ["mx"]}]},
            "receive": {"required": ["host"]},
        },
    });
    target["anyOf"] = json!([{"required": ["host"]}, sides]);
    target
}

/// A map with everything that the table requires, and the maps in it likewise.
fn whole(home: Home) -> Value {
    let keys = home.keys();
    let required = keys.iter().filter(|key| matches!(key.default, Default::Required));
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let maps = keys.iter().filter_map(|key| match key.kind {
        Kind::Map(inner) => Some((key.name.to_owned(), whole(inner))),
        _ => None,
    });
    let maps: Map<String, Value> = maps.collect();
    let mut whole = json!({"required": required, "properties": maps});
    match home {
        Home::Send => {
            let login = json!({"not": none()});
            whole["if"] = json!({"required": ["username"], "properties": {"username": login}});
            whole["then"] = one_of(&PASSWORD_KEYS);
            whole["dependencies"] =
                PASSWORD_KEYS.iter().map(|key| ((*key).to_owned(), json!(["username"]))).collect();
        }
        Home::Receive | Home::SenderMailbox => whole["allOf"] = json!([one_of(&PASSWORD_KEYS)]),
        Home::OAuth2 => {
            whole["allOf"] = json!([one_of(&["client_secret_file", "refresh_token_file"])]);
        }
        Home::TlsOptions => {
            whole["dependencies"] = json!({"cert_file": ["key_file"], "key_file": ["cert_file"]});
        }
        _ => {}
    }
    whole
}

fn one_of(keys: &[&str]) -> Value {
    let keys: Vec<Value> = keys.iter().map(|key| json!({"required": [key]})).collect();
    json!({"anyOf": keys})
}

fn not_both(one: &str, other: &str) -> Value {
    json!({"not": {"required": [one, other]}})
}

/// A target has a name of its own, and contradicts itself in nothing. What `defaults` say gives way, and so they are
/// free to.
fn of_target() -> Vec<Value> {
    let mx = json!({
        "if": {"required": ["mx"], "properties": {"mx": {"const": true}}},
        "then": {"not": {"required": ["host"]}},
    });
    let tls = json!({
        "if": {"required": ["tls"], "properties": {"tls": {"const": "none"}}},
        "then": {"not": {"required": ["tls_options"]}},
    });
    let pop3 = json!({
        "if": {"required": ["protocol"], "properties": {"protocol": {"const": "pop3"}}},
        "then": {"not": {"required": ["folders"]}},
    });
    let jmap = json!({
        "if": {"required": ["protocol"], "properties": {"protocol": {"const": "jmap"}}},
        "then": {"properties": {"tls": {"enum": ["implicit", "none"]}}},
    });
    vec![
        json!({"required": ["name"]}),
        contradiction("ssl", "send"),
        contradiction("ssl", "receive"),
        json!({
            "if": {"required": ["port_checks"], "properties": {"port_checks": {"const": false}}},
            "then": {"not": {"required": ["ports"]}},
        }),
        json!({"properties": {
            "send": {"allOf": [mx, tls]},
            "receive": {"allOf": [tls, pop3, jmap]},
            "sender_mailbox": {"allOf": [tls, pop3, jmap]},
        }}),
    ]
}

/// A key of a target does not go with `tls` of a side.
fn contradiction(key: &str, side: &str) -> Value {
    json!({"not": {"required": [key, side], "properties": {side: {"required": ["tls"]}}}})
}

/// The user name that means no login.
fn none() -> Value {
    json!({"type": "string", "pattern": "^[nN][oO][nN][eE]$"})
}

/// No two sources of a password.
fn one_password() -> Vec<Value> {
    let mut pairs = Vec::new();
    for (index, first) in PASSWORD_KEYS.iter().enumerate() {
        for second in PASSWORD_KEYS.iter().skip(index + 1) {
            pairs.push(json!({"not": {"required": [first, second]}}));
        }
    }
    pairs
}
