//! Which mails Email/query finds (RFC 8621, section 4.4).

use std::collections::BTreeMap;
use std::time::SystemTime;

use mail_parser::DateTime;
use serde_json::{Value, json};

use super::account::folder_id;
use super::calls::error;
use crate::mailbox::{EmailKey, Folder, Message};
use crate::message::unix_seconds;

/// Answers one call.
pub(super) fn answer(
    state: u64,
    folders: &BTreeMap<String, Folder>,
    arguments: &Value,
) -> Result<Value, Value> {
    let filter = arguments.get("filter").filter(|filter| !filter.is_null());
    let mut found: Vec<(SystemTime, EmailKey)> = Vec::new();
    for folder in folders.values() {
        for message in &folder.messages {
            if filter.is_none_or(|filter| passes(filter, folder, message)) {
                let key = EmailKey { uid_validity: folder.uid_validity, uid: message.uid };
                found.push((message.internal_date, key));
            }
        }
    }
    if filter.is_some_and(|filter| !is_known(filter)) {
        return Err(error("unsupportedFilter", "it is more than this server has"));
    }
    found.sort();
    let is_ascending = arguments.pointer("/sort/0/isAscending") != Some(&json!(false));
    if !is_ascending {
        found.reverse();
    }
    let number = |name: &str| arguments.get(name).and_then(Value::as_u64);
    let limit = usize::try_from(number("limit").unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let position = usize::try_from(number("position").unwrap_or(0)).unwrap_or(usize::MAX);
    let ids = found.iter().skip(position).take(limit);
    let ids: Vec<String> = ids.map(|(_, key)| key.to_string()).collect();
    Ok(json!({
        "queryState": state.to_string(), "canCalculateChanges": false, "position": position, "ids": ids,
        "total": found.len(),
    }))
}

/// Whether all of a filter is known here. Its depth is that which the parser allows.
fn is_known(filter: &Value) -> bool {
    let Some(members) = filter.as_object() else { return false };
    match filter.get("conditions").and_then(Value::as_array) {
        Some(conditions) => conditions.iter().all(is_known),
        None => {
            members.keys().all(|name| matches!(name.as_str(), "inMailbox" | "after" | "before"))
        }
    }
}

fn passes(filter: &Value, folder: &Folder, message: &Message) -> bool {
    if let Some(conditions) = filter.get("conditions").and_then(Value::as_array) {
        let mut each = conditions.iter().map(|filter| passes(filter, folder, message));
        return match filter.get("operator").and_then(Value::as_str) {
            Some("OR") => each.any(|passes| passes),
            Some("NOT") => each.all(|passes| !passes),
            _ => each.all(|passes| passes),
        };
    }
    let text = |name: &str| filter.get(name).and_then(Value::as_str);
    let seconds = |name: &str| Some(DateTime::parse_rfc3339(text(name)?)?.to_timestamp());
    let came = unix_seconds(message.internal_date);
    text("inMailbox").is_none_or(|id| id == folder_id(folder))
        && seconds("after").is_none_or(|after| came >= after)
        && seconds("before").is_none_or(|before| came < before)
}
