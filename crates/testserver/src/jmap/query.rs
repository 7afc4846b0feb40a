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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Post;

    #[test]
    fn a_query_finds_what_lies_in_its_folders_since_its_date_the_newest_first() {
        let post = Post::new();
        post.add_account("rita", "p", &[]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (folder, seconds) in [("INBOX", 100), ("INBOX", 300), ("Junk", 200), ("Trash", 400)] {
            post.insert_dated("rita", folder, b"Subject: x\r\n\r\n", at(seconds));
        }
        let ids = |query: &dyn Fn(&str, &str) -> Value| {
            let found = post.emails("rita", |_, folders| {
                let query = query(&folder_id(&folders["INBOX"]), &folder_id(&folders["Junk"]));
                answer(7, folders, &query)
            });
            found.expect("there is an account").map(|found| found["ids"].clone())
        };
        let either = ids(&|inbox, junk| {
            let since = |id| json!({"inMailbox": id, "after": "1970-01-01T00:02:00Z"});
            json!({
                "filter": {"operator": "OR", "conditions": [since(inbox), since(junk)]},
                "sort": [{"property": "receivedAt", "isAscending": false}],
            })
        });
        let both = either.expect("a filter that is known");
        assert_eq!(both.as_array().map(Vec::len), Some(2), "{both}");
        let newest = ids(
            &|inbox, _| json!({"filter": {"inMailbox": inbox}, "limit": 1, "sort": [{"isAscending": false}]}),
        );
        assert_eq!(newest.expect("a filter that is known")[0], both[0]);
        assert!(ids(&|_, _| json!({"filter": {"text": "x"}})).is_err());
    }
}
