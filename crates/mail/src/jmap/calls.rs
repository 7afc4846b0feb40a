//! The calls of RFC 8621 that a look consists of, as they are written, and what answers them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::few::{Few, First, Members};
use super::resource::{CORE, MAIL};
use crate::test_mail::FIELDS;

/// The most mails of one answer.
pub(super) const MAILS: usize = 1000;
/// How many mailboxes of one account are known.
const MAILBOXES: usize = 2000;
/// How many mailboxes one mail is said to lie in.
const PLACES: usize = 50;
/// How often a field of one mail is read.
const TIMES: usize = 5;
/// The most fields of a whole header.
const HEADER_FIELDS: usize = crate::header::FIELDS;
/// The longest id (RFC 8620 section 1.2).
const ID_BYTES: usize = 255;

/// The id of a mail, the same as long as it exists (RFC 8621 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmailId(Arc<str>);

impl EmailId {
    /// What a server or the store wrote; `None` if no id is like this.
    pub fn read(text: &str) -> Option<Self> {
        let is_id = (1..=ID_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_id.then(|| Self(text.into()))
    }
}

impl fmt::Display for EmailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for EmailId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EmailId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| D::Error::custom("an id that is none"))
    }
}

/// A mailbox of the account: a folder, or a label.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mailbox {
    /// Its id.
    pub id: String,
    /// Its name, without those above it.
    pub name: String,
    /// What it is for, as `junk` (the attributes of IMAP in lower case).
    #[serde(default)]
    pub role: Option<String>,
    /// That in which it lies.
    #[serde(default)]
    pub parent_id: Option<String>,
}

/// A mail as far as a look needs it.
#[derive(Debug, Clone)]
pub struct Email {
    /// Its id.
    pub id: EmailId,
    /// What names its bytes.
    pub blob_id: String,
    /// The mailboxes that it lies in.
    pub mailboxes: Vec<String>,
    /// When the server took it in, to the second.
    pub received_at: Option<SystemTime>,
    /// How many bytes it has, as the server says.
    pub size: Option<u64>,
    /// The header fields that were asked for, as they stand in the mail.
    pub block: Vec<u8>,
}

/// What the server has done to mails since a state.
#[derive(Debug, Default)]
pub struct Changes {
    /// Those that are new.
    pub created: Vec<EmailId>,
    /// Those that have changed.
    pub updated: Vec<EmailId>,
    /// Those that are gone.
    pub destroyed: Vec<EmailId>,
    /// Those that are new, as far as they were shown.
    pub emails: Vec<Email>,
    /// Those that have changed, as far as they were shown: where they lie, and since when, without a header.
    pub places: Vec<Email>,
    /// The state that this leads to.
    pub state: String,
    /// Whether there is more.
    pub has_more: bool,
}

/// What became of mails that were to be destroyed.
#[derive(Debug, Default)]
pub struct Destroyed {
    /// They are gone, as the server says.
    pub gone: Vec<EmailId>,
    /// They are there, and why.
    pub refused: Vec<(EmailId, String)>,
    /// They are gone, as the server says, and shown all the same.
    pub left: Vec<EmailId>,
}

impl Destroyed {
    /// Of some of those that were asked for the server may have said nothing: those that it still shows were refused,
    /// and the others are gone.
    pub(super) fn note_untold(&mut self, asked: &[EmailId], is_there: impl Fn(&EmailId) -> bool) {
        let refused = self.refused.iter().map(|(id, _)| id);
        let told: BTreeSet<EmailId> =
            self.gone.iter().chain(&self.left).chain(refused).cloned().collect();
        let untold = asked.iter().filter(|id| !told.contains(*id)).cloned();
        let (there, gone): (Vec<_>, Vec<_>) = untold.partition(is_there);
        self.refused.extend(there.into_iter().map(|id| (id, "no word about it".to_owned())));
        self.gone.extend(gone);
    }
}

/// Everything that is posted at once; a whole line.
pub(super) fn request(calls: &[(&str, Value)]) -> String {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| json!([name, arguments, index.to_string()]))
        .collect();
    format!("{}\n", json!({"using": [CORE, MAIL], "methodCalls": calls}))
}

/// The result of an earlier call of the same request (RFC 8620 section 3.7).
pub(super) fn result_of(call: usize, name: &str, path: &str) -> Value {
    json!({"resultOf": call.to_string(), "name": name, "path": path})
}

/// How the fields of headers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Asked {
    /// Each by itself, and none but those that matter.
    #[default]
    Each,
    /// All that the header has.
    All,
}

/// What shows beside [`FIELDS`] whether a mail was on its way.
const STAMP: &str = "Received";

/// The properties of an [`Email`].
pub(super) fn properties(asked: Asked) -> Vec<String> {
    let mut all = ["id", "blobId", "mailboxIds", "receivedAt", "size"].map(str::to_owned).to_vec();
    match asked {
        Asked::Each => {
            let fields = FIELDS.iter().chain([&STAMP]);
            all.extend(fields.map(|field| format!("header:{field}:asRaw:all")));
        }
        Asked::All => all.push("headers".to_owned()),
    }
    all
}

/// The properties that say where an [`Email`] lies.
pub(super) fn place_properties() -> [&'static str; 3] {
    ["id", "mailboxIds", "receivedAt"]
}

/// The answers to the calls of one request, one for each.
#[derive(Deserialize)]
pub(super) struct Response<R> {
    #[serde(rename = "methodResponses")]
    pub(super) replies: R,
}

/// The answer to one call.
pub(super) struct Reply<T>(pub(super) Result<T, MethodError>);

/// That a call has failed (RFC 8620 section 3.6.2).
#[derive(Debug, Deserialize)]
pub(super) struct MethodError {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) description: Option<String>,
}

impl MethodError {
    /// Whether the call was not written as the server wants it.
    pub(super) fn is_of_arguments(&self) -> bool {
        self.kind == "invalidArguments"
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Reply<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Invocation<T>(std::marker::PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for Invocation<T> {
            type Value = Reply<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an invocation")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let missing = || A::Error::custom("an invocation without arguments");
                let name: String = parts.next_element()?.ok_or_else(missing)?;
                let reply = match name.as_str() {
                    "error" => Err(parts.next_element()?.ok_or_else(missing)?),
                    _ => Ok(parts.next_element()?.ok_or_else(missing)?),
                };
                while parts.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Reply(reply))
            }
        }

        deserializer.deserialize_seq(Invocation(std::marker::PhantomData))
    }
}

/// Of Mailbox/get.
#[derive(Deserialize)]
pub(super) struct MailboxList {
    pub(super) list: First<Mailbox, MAILBOXES>,
}

/// Of Email/get.
#[derive(Deserialize)]
pub(super) struct EmailList {
    #[serde(default)]
    pub(super) state: String,
    /// Without it there is no answer, which is not the same as no mail.
    list: Few<WrittenEmail, MAILS>,
}

/// Of Email/get, with whole headers.
#[derive(Deserialize)]
pub(super) struct HeaderList {
    #[serde(default)]
    pub(super) list: First<WrittenHeader, 1>,
}

/// Of Email/query.
#[derive(Deserialize)]
pub(super) struct Found {
    pub(super) ids: Few<EmailId, MAILS>,
    /// How many the server gives at once, if that is not what it was asked for (RFC 8620 section 5.5).
    #[serde(default)]
    pub(super) limit: Option<usize>,
}

/// Of Email/changes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenChanges {
    pub(super) new_state: String,
    #[serde(default)]
    pub(super) has_more_changes: bool,
    pub(super) created: Few<EmailId, MAILS>,
    pub(super) updated: Few<EmailId, MAILS>,
    #[serde(default)]
    pub(super) destroyed: First<EmailId, MAILS>,
}

/// Of Email/set.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WrittenDestroyed {
    #[serde(default)]
    destroyed: Few<EmailId, MAILS>,
    #[serde(default)]
    not_destroyed: Members<MethodError, MAILS>,
}

#[derive(Deserialize)]
pub(super) struct WrittenHeader {
    #[serde(default)]
    pub(super) size: Option<u64>,
    #[serde(default)]
    headers: First<WrittenField, HEADER_FIELDS>,
}

#[derive(Deserialize)]
struct WrittenField {
    name: String,
    value: String,
}

impl WrittenField {
    fn matters(&self) -> bool {
        let mut fields = FIELDS.iter().chain([&STAMP]);
        fields.any(|name| name.eq_ignore_ascii_case(&self.name))
    }
}

type Values = First<String, TIMES>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenEmail {
    id: EmailId,
    #[serde(default)]
    blob_id: String,
    #[serde(default)]
    mailbox_ids: Members<bool, PLACES>,
    #[serde(default)]
    received_at: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    headers: First<WrittenField, HEADER_FIELDS>,
    #[serde(default, rename = "header:X-Mailtrip:asRaw:all")]
    mark: Values,
    #[serde(default, rename = "header:Message-ID:asRaw:all")]
    message_id: Values,
    #[serde(default, rename = "header:Subject:asRaw:all")]
    subject: Values,
    #[serde(default, rename = "header:From:asRaw:all")]
    from: Values,
    #[serde(default, rename = "header:In-Reply-To:asRaw:all")]
    in_reply_to: Values,
    #[serde(default, rename = "header:References:asRaw:all")]
    references: Values,
    #[serde(default, rename = "header:Content-Type:asRaw:all")]
    content_type: Values,
    #[serde(default, rename = "header:Auto-Submitted:asRaw:all")]
    auto_submitted: Values,
    #[serde(default, rename = "header:Return-Path:asRaw:all")]
    return_path: Values,
    #[serde(default, rename = "header:X-Failed-Recipients:asRaw:all")]
    failed_recipients: Values,
    #[serde(default, rename = "header:Received:asRaw:all")]
    received: Values,
}

impl WrittenEmail {
    fn read(self) -> Email {
        let values: [Values; FIELDS.len()] = [
            self.mark,
            self.message_id,
            self.subject,
            self.from,
            self.in_reply_to,
            self.references,
            self.content_type,
            self.auto_submitted,
            self.return_path,
            self.failed_recipients,
        ];
        let fields = FIELDS.iter().zip(&values);
        let fields = fields.flat_map(|(name, values)| values.0.iter().map(move |it| (*name, it)));
        let of_all = self.headers.0.iter().filter(|field| field.matters());
        let of_all = of_all.map(|field| (field.name.as_str(), &field.value));
        let stamps = self.received.0.iter().map(|it| (STAMP, it));
        let block = block(fields.chain(stamps).chain(of_all));
        let places = self.mailbox_ids.0.into_iter().filter(|(_, is_there)| *is_there);
        Email {
            id: self.id,
            blob_id: self.blob_id,
            mailboxes: places.map(|(id, _)| id).collect(),
            received_at: self.received_at.and_then(|at| humantime::parse_rfc3339(&at).ok()),
            size: self.size,
            block,
        }
    }
}

impl EmailList {
    pub(super) fn emails(self) -> Vec<Email> {
        self.list.0.into_iter().map(WrittenEmail::read).collect()
    }
}

impl WrittenHeader {
    /// The whole header block, with the empty line that ends it.
    pub(super) fn block(&self) -> Vec<u8> {
        block(self.headers.0.iter().map(|field| (field.name.as_str(), &field.value)))
    }
}

impl WrittenDestroyed {
    pub(super) fn read(self) -> Destroyed {
        let mut destroyed =
            Destroyed { gone: self.destroyed.0, refused: Vec::new(), left: Vec::new() };
        for (id, MethodError { kind, description }) in self.not_destroyed.0 {
            let Some(id) = EmailId::read(&id) else { continue };
            match kind.as_str() {
                "notFound" => destroyed.gone.push(id),
                _ => destroyed.refused.push((id, words(&kind, description.as_deref()))),
            }
        }
        destroyed
    }
}

/// A type of error with what the server says of it.
pub(super) fn words(kind: &str, description: Option<&str>) -> String {
    match description {
        Some(description) => format!("{kind}: {description}"),
        None => kind.to_owned(),
    }
}

/// A header block of fields in their raw form (RFC 8621 section 4.1.2.1), which begins behind the colon.
fn block<'a>(fields: impl Iterator<Item = (&'a str, &'a String)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        for part in [name.as_bytes(), b":", value.as_bytes(), b"\r\n"] {
            block.extend_from_slice(part);
        }
    }
    block.extend_from_slice(b"\r\n");
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_mail::Header;

    /// As Cyrus 3.6 writes it.
    const ANSWER: &str = r#"{"methodResponses":[["Email/changes",{"oldState":"1","newState":"12",
        "hasMoreChanges":false,"created":["M0d"],"updated":[],"destroyed":[],"accountId":"anna"},"0"],
        ["Email/get",{"state":"12","list":[{"id":"M0d","blobId":"G0d","mailboxIds":{"pye":true,"x":false},
        "size":71,"receivedAt":"2026-11-30T19:40:16Z","header:Subject:asRaw:all":[" hello"],
        "header:X-Mailtrip:asRaw:all":[" v=1; token=00000000000000000000000000000001;\r\n expires=2030-01-01T00:00:00Z"]
        }],"notFound":[],"accountId":"anna"},"1"],["error",{"type":"invalidResultReference"},"2"]],
        "sessionState":"0"}"#;

    #[test]
    fn each_call_has_its_own_answer() {
        type Replies = (Reply<WrittenChanges>, Reply<EmailList>, Reply<EmailList>);
        let response: Response<Replies> = serde_json::from_str(ANSWER).unwrap();
        let (changes, emails, error) = response.replies;
        let changes = changes.0.unwrap();
        assert_eq!((changes.new_state.as_str(), changes.created.0.len()), ("12", 1));
        let emails = emails.0.unwrap().emails();
        assert_eq!(
            (emails[0].mailboxes.as_slice(), emails[0].size),
            (&["pye".to_owned()][..], Some(71))
        );
        let seconds =
            emails[0].received_at.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(seconds.as_secs(), 1_796_067_616);
        let mark = Header::parse(&emails[0].block).mark.expect("a folded field is read");
        assert_eq!(mark.token.to_string(), "00000000000000000000000000000001");
        assert_eq!(error.0.err().unwrap().kind, "invalidResultReference");
    }

    /// A bounce that is known by nothing but X-Failed-Recipients is no answer.
    #[test]
    fn every_field_that_is_asked_for_is_read() {
        let asked = properties(Asked::Each);
        let fields: Vec<String> = FIELDS
            .iter()
            .map(|name| {
                let property = format!("header:{name}:asRaw:all");
                assert!(asked.contains(&property), "{property}");
                format!(r#""{property}":[" of {name}"]"#)
            })
            .collect();
        let json = format!(r#"{{"id":"M1",{}}}"#, fields.join(","));
        let email = serde_json::from_str::<WrittenEmail>(&json).unwrap().read();
        let block = String::from_utf8(email.block).unwrap();
        let lines: Vec<&str> = block.lines().collect();
        let wanted: Vec<String> = FIELDS.iter().map(|name| format!("{name}: of {name}")).collect();
        assert_eq!(lines[..FIELDS.len()], wanted);
    }

    #[test]
    fn an_answer_to_fewer_or_more_calls_is_none() {
        type One = (Reply<MailboxList>,);
        for bad in [
            "[]",
            r#"[["error",{"type":"x"},"0"],["error",{"type":"x"},"1"]]"#,
            "[[]]",
            "{}",
            "[7]",
        ] {
            let json = format!(r#"{{"methodResponses":{bad}}}"#);
            assert!(serde_json::from_str::<Response<One>>(&json).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_there_to_be_destroyed_is_gone() {
        let written: WrittenDestroyed = serde_json::from_str(
            r#"{"destroyed":["a"],"notDestroyed":{"b":{"type":"notFound"},
                "c":{"type":"forbidden","description":"no"}},"oldState":"1","newState":"2"}"#,
        )
        .unwrap();
        let destroyed = written.read();
        let id = |text| EmailId::read(text).unwrap();
        assert_eq!(destroyed.gone, [id("a"), id("b")]);
        assert_eq!(destroyed.refused, [(id("c"), "forbidden: no".to_owned())]);
        let nothing: WrittenDestroyed =
            serde_json::from_str(r#"{"destroyed":null,"notDestroyed":null}"#).unwrap();
        assert!(nothing.read().gone.is_empty());
    }

    #[test]
    fn an_id_is_one_word() {
        let long = "a".repeat(ID_BYTES + 1);
        for bad in ["", "a b", "a\nb", "ä", &long] {
            assert_eq!(EmailId::read(bad), None, "{bad}");
        }
        assert!(EmailId::read(&long[1..]).is_some());
    }
}
