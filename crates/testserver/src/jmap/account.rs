//! What the server says of itself and of an account.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::request::Request;
use super::{API, DOWNLOAD, EVENTS, MAX_CALLS, MAX_OBJECTS};
use crate::mailbox::Folder;
use crate::wire::Wire;

/// The id of the account of a user: its name, in digits that an id may have.
pub(super) fn account_id(user: &str) -> String {
    user.bytes().fold("a".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

/// The id of a folder.
pub(super) fn folder_id(folder: &Folder) -> String {
    format!("F{}", folder.uid_validity)
}

/// The session resource (RFC 8620, section 2). Its capabilities are `DOWNLOAD` and `EVENTS`, for a script to leave
/// out.
pub(super) fn resource(user: &str, request: &Request, wire: &Wire) -> Value {
    let scheme = if wire.is_encrypted() { "https" } else { "http" };
    let base = format!("{scheme}://{}", request.host);
    let account = account_id(user);
    let core = json!({
        "maxSizeUpload": 1 << 20, "maxConcurrentUpload": 1, "maxSizeRequest": 1 << 20, "maxConcurrentRequests": 4,
        "maxCallsInRequest": MAX_CALLS, "maxObjectsInGet": MAX_OBJECTS, "maxObjectsInSet": MAX_OBJECTS,
        "collationAlgorithms": [],
    });
    let (core_name, mail) = ("urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail");
    let mut resource = json!({
        "capabilities": {core_name: core, mail: {}},
        "accounts": {&account: {
            "name": user, "isPersonal": true, "isReadOnly": false, "accountCapabilities": {core_name: {}, mail: {}},
        }},
        "primaryAccounts": {core_name: account, mail: account},
        "username": user,
        "apiUrl": format!("{base}{API}"),
        "uploadUrl": format!("{base}/jmap/upload/{{accountId}}"),
        "state": "0",
    });
    let own = ["DOWNLOAD", "EVENTS"].map(str::to_owned);
    let kept = wire.shared.faults.capabilities(&own);
    let urls = [
        (
            "DOWNLOAD",
            "downloadUrl",
            format!("{base}{DOWNLOAD}{{accountId}}/{{blobId}}/{{name}}?accept={{type}}"),
        ),
        (
            "EVENTS",
            "eventSourceUrl",
            format!("{base}{EVENTS}?types={{types}}&closeafter={{closeafter}}&ping={{ping}}"),
        ),
    ];
    if let Some(members) = resource.as_object_mut() {
        for (capability, member, url) in urls {
            if kept.iter().any(|it| it == capability) {
                members.insert(member.to_owned(), json!(url));
            }
        }
    }
    resource
}

/// What Mailbox/get lists: one for each folder; one whose name has a slash lies in that before it.
pub(super) fn mailboxes(folders: &BTreeMap<String, Folder>) -> Vec<Value> {
    let mailbox = |(name, folder): (&String, &Folder)| {
        let above = name.rsplit_once('/').and_then(|(above, own)| Some((folders.get(above)?, own)));
        let (parent, own) = match above {
            Some((parent, own)) => (Some(folder_id(parent)), own),
            None => (None, name.as_str()),
        };
        let role = match name.as_str() {
            "INBOX" => Some("inbox".to_owned()),
            _ => folder.special_use.map(|its| its.trim_start_matches('\\').to_ascii_lowercase()),
        };
        json!({
            "id": folder_id(folder), "name": own, "parentId": parent, "role": role, "sortOrder": 0,
            "totalEmails": folder.messages.len(), "isSubscribed": true,
        })
    };
    folders.iter().map(mailbox).collect()
}
