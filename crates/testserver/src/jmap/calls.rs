//! The calls of RFC 8621 that a reader needs: Mailbox/get, Email/query, Email/changes, Email/get, and of Email/set what
//! destroys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use mail_parser::DateTime;
use serde_json::{Map, Value, json};

use super::account::{account_id, folder_id, mailboxes};
use super::{MAX_OBJECTS, query};
use crate::mailbox::{EmailKey, Emails, Folder, Message, Post};
use crate::message;
use crate::record::contains;

/// One call of a request.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Value,
    pub(super) id: String,
}

/// Those of one request.
pub(super) struct Calls(pub(super) Vec<Call>);

impl Calls {
    /// Reads what was posted; `None` if it is no request.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let request: Value = serde_json::from_slice(body).ok()?;
        let calls = request.get("methodCalls")?.as_array()?;
        let call = |call: &Value| {
            Some(Call {
                name: call.get(0)?.as_str()?.to_owned(),
                arguments: Value::Object(call.get(1)?.as_object()?.clone()),
                id: call.get(2)?.as_str()?.to_owned(),
            })
        };
        calls.iter().map(call).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// An error of a call (RFC 8620, section 3.6.2).
pub(super) fn error(kind: &str, description: &str) -> Value {
    json!({"type": kind, "description": description})
}

/// The bytes of the mail with this id; `None` if there is none.
pub(super) fn mail(post: &Post, user: &str, id: &str) -> Option<Arc<[u8]>> {
    let key = EmailKey::read(id)?;
    let bytes = post.emails(user, |_, folders| Some(find(folders, key)?.1.bytes.clone()));
    bytes.flatten()
}

/// Answers a call; `earlier` are the answers to those before it, and with `upon` one about a mail that has that text
/// in it fails.
pub(super) fn answer(
    post: &Post,
    user: &str,
    call: &Call,
    earlier: &[Value],
    upon: Option<&str>,
) -> Result<Value, Value> {
    let arguments = resolved(&call.arguments, earlier)?;
    if arguments.get("accountId").and_then(Value::as_str) != Some(account_id(user).as_str()) {
        return Err(error("accountNotFound", "no such account"));
    }
    let look = |emails: &Emails, folders: &BTreeMap<String, Folder>| match call.name.as_str() {
        "Mailbox/get" => Ok(json!({"state": "0", "list": mailboxes(folders), "notFound": []})),
        "Email/query" => query::answer(emails.state(), folders, &arguments),
        "Email/changes" => changes(emails, &arguments),
        "Email/get" => get(emails.state(), folders, &arguments, upon),
        _ => Err(error("unknownMethod", "this server does not know it")),
    };
    let answer = match call.name.as_str() {
        "Email/set" => set(post, user, &arguments),
        _ => post.emails(user, look).unwrap_or_else(|| Err(error("accountNotFound", "it is gone"))),
    };
    answer.map(|mut answer| {
        if let Some(members) = answer.as_object_mut() {
            members.insert("accountId".to_owned(), json!(account_id(user)));
        }
        answer
    })
}

/// The arguments, with what refers to an earlier answer in its place (RFC 8620, section 3.7).
fn resolved(arguments: &Value, earlier: &[Value]) -> Result<Value, Value> {
    let mut resolved = Map::new();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        let Some(name) = name.strip_prefix('#') else {
            resolved.insert(name.clone(), value.clone());
            continue;
        };
        let is_it = |answer: &&Value| {
            answer.get(2) == value.get("resultOf") && answer.get(0) == value.get("name")
        };
        let path = value.get("path").and_then(Value::as_str).unwrap_or_default();
        let found = earlier.iter().find(is_it).and_then(|answer| answer.get(1)?.pointer(path));
        let found = found.ok_or_else(|| error("invalidResultReference", "there is no such"))?;
        resolved.insert(name.to_owned(), found.clone());
    }
    Ok(Value::Object(resolved))
}

fn changes(emails: &Emails, arguments: &Value) -> Result<Value, Value> {
    let since = arguments.get("sinceState").and_then(Value::as_str).unwrap_or_default();
    let most = arguments.get("maxChanges").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let changes = since.parse().ok().and_then(|state| emails.since(state, most));
    let changes = changes.ok_or_else(|| error("cannotCalculateChanges", "too long ago"))?;
    let written = |keys: Vec<EmailKey>| keys.iter().map(EmailKey::to_string).collect::<Vec<_>>();
    Ok(json!({
        "oldState": since, "newState": changes.state.to_string(), "hasMoreChanges": changes.has_more,
        "created": written(changes.created), "updated": written(changes.updated),
        "destroyed": written(changes.destroyed),
    }))
}

fn get(
    state: u64,
    folders: &BTreeMap<String, Folder>,
    arguments: &Value,
    upon: Option<&str>,
) -> Result<Value, Value> {
    let ids: Vec<&str> = match arguments.get("ids").and_then(Value::as_array) {
        Some(ids) if ids.len() <= MAX_OBJECTS => ids.iter().filter_map(Value::as_str).collect(),
        _ => return Err(error("requestTooLarge", "too many at once")),
    };
    let properties = arguments.get("properties").and_then(Value::as_array);
    let properties: Vec<&str> =
        properties.into_iter().flatten().filter_map(Value::as_str).collect();
    let (mut list, mut not_found) = (Vec::new(), Vec::new());
    for id in ids {
        match EmailKey::read(id).and_then(|key| find(folders, key)) {
            None => not_found.push(id),
            Some((_, message))
                if upon.is_some_and(|text| contains(&message.bytes, text.as_bytes())) =>
            {
                return Err(error("serverFail", "this mail cannot be read"));
            }
            Some((folder, message)) => {
                let mut shown = Map::from_iter([("id".to_owned(), json!(id))]);
                for name in &properties {
                    let value = property(name, id, folder, message);
                    let value = value.ok_or_else(|| error("invalidArguments", name))?;
                    shown.insert((*name).to_owned(), value);
                }
                list.push(Value::Object(shown));
            }
        }
    }
    Ok(json!({"state": state.to_string(), "list": list, "notFound": not_found}))
}

/// A property of a mail (RFC 8621, section 4.1); `None` if this server does not know it.
fn property(name: &str, id: &str, folder: &Folder, mail: &Message) -> Option<Value> {
    let fields = || message::fields(message::split(&mail.bytes).0);
    Some(match name {
        "id" | "blobId" | "threadId" => json!(id),
        "mailboxIds" => json!({folder_id(folder): true}),
        "keywords" => {
            let keyword =
                |flag: &String| (flag.replace('\\', "$").to_ascii_lowercase(), json!(true));
            Value::Object(mail.flags.iter().map(keyword).collect())
        }
        "size" => json!(mail.bytes.len()),
        "receivedAt" => json!(utc_date(mail.internal_date)),
        "headers" => {
            let field = |field: &&[u8]| {
                let name = String::from_utf8_lossy(message::name(field)).into_owned();
                json!({"name": name, "value": raw(field)})
            };
            fields().iter().map(field).collect()
        }
        _ => {
            let mut parts = name.strip_prefix("header:")?.split(':');
            let wanted = parts.next()?;
            let forms: Vec<&str> = parts.collect();
            let is_wanted =
                |field: &&&[u8]| message::name(field).eq_ignore_ascii_case(wanted.as_bytes());
            let fields = fields();
            let mut values = fields.iter().filter(is_wanted).map(|field| json!(raw(field)));
            match forms.as_slice() {
                ["asRaw", "all"] | ["all"] => values.collect(),
                ["asRaw"] | [] => values.next_back().unwrap_or(Value::Null),
                _ => return None,
            }
        }
    })
}

/// The value of a field in its raw form (RFC 8621, section 4.1.2.1).
fn raw(field: &[u8]) -> String {
    let value = field.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
    String::from_utf8_lossy(message::without_line_end(value)).into_owned()
}

fn utc_date(time: SystemTime) -> String {
    let date = DateTime::from_timestamp(message::unix_seconds(time));
    let DateTime { year, month, day, hour, minute, second, .. } = date;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn set(post: &Post, user: &str, arguments: &Value) -> Result<Value, Value> {
    let ids = arguments.get("destroy").and_then(Value::as_array);
    let ids: Vec<&str> = ids.into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.len() > MAX_OBJECTS {
        return Err(error("requestTooLarge", "too many at once"));
    }
    let state = || post.emails(user, |emails, _| emails.state()).unwrap_or_default().to_string();
    let before = state();
    let (mut destroyed, mut not_destroyed) = (Vec::new(), Map::new());
    for id in ids {
        match destroy(post, user, id) {
            Some(()) => destroyed.push(id),
            None => drop(not_destroyed.insert(id.to_owned(), json!({"type": "notFound"}))),
        }
    }
    Ok(json!({
        "oldState": before, "newState": state(), "destroyed": destroyed, "notDestroyed": not_destroyed,
        "created": null, "updated": null,
    }))
}

fn destroy(post: &Post, user: &str, id: &str) -> Option<()> {
    let key = EmailKey::read(id)?;
    let named = |_: &Emails, folders: &BTreeMap<String, Folder>| {
        let mut folders = folders.iter();
        let own = folders.find(|(_, folder)| folder.uid_validity == key.uid_validity);
        own.map(|(name, _)| name.clone())
    };
    let name = post.emails(user, named)??;
    let is_gone = post.with_folder(user, &name, |folder| {
        let before = folder.messages.len();
        folder.messages.retain(|message| message.uid != key.uid);
        folder.messages.len() < before
    });
    is_gone?.then_some(())
}

fn find(folders: &BTreeMap<String, Folder>, key: EmailKey) -> Option<(&Folder, &Message)> {
    let folder = folders.values().find(|folder| folder.uid_validity == key.uid_validity)?;
    Some((folder, folder.message(key.uid)?))
}
