//! Reading a mailbox by JMAP: the client side of RFC 8620 and RFC 8621.
//!
//! `channel` is HTTP over one connection, `framing` how its answers end; `resource` is what the server says of
//! itself, `calls` what it is asked, and [`Events`] what it tells by itself; `opening` is the way in.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::auth::Login;
use crate::sasl;
use crate::secret::Secret;
use crate::trace::Trace;
use crate::wire::Dialer;
use crate::{Fault, Interrupted, Refusal, RefusalScope};
use calls::{
    Asked, EmailList, HeaderList, MAILS, MailboxList, MethodError, Reply, Response, WrittenChanges,
    WrittenDestroyed, request, words,
};
pub use calls::{Changes, Destroyed, Email, EmailId, Mailbox};
use channel::{Answer, Channel, Question};
pub use events::{Events, Told};
use ledger::{Failure, Reason, Step};
pub use opening::{Entry, Greeting};
use refusal::{reason_of, refused};
pub use resource::Site;
use resource::{Resource, expand};
pub use ways::Ways;

mod calls;
mod channel;
mod emails;
mod events;
mod few;
mod framing;
mod login;
mod newest;
mod opening;
mod refusal;
mod resource;
mod ways;

/// The longest answer.
const ANSWER_BYTES: usize = 1 << 20;
/// How much of a mail is its beginning.
const BEGINNING_BYTES: usize = 64 << 10;
/// How many changes are asked for at once, and how many mails.
const BATCH: usize = 50;
const JSON: &str = "application/json";

/// A logged-in session.
pub struct Jmap {
    channel: Channel,
    /// `None` before the login.
    resource: Option<Resource>,
    /// The other server to which this one sends its clients.
    elsewhere: Option<Site>,
    /// How it may be let in once more, and with what it was; each question shows it again.
    login: Option<Login>,
    key: Option<Secret>,
    asked: Asked,
}

impl Jmap {
    /// Connects and asks for the session resource with the login, as the dialer and the login say; all of it ends at
    /// `end` at the latest. After a refused login a second connection is tried if the file of the password holds another
    /// one by then.
    ///
    /// # Errors
    /// The first step that fails, in its step; [`Reason::Deferred`] where another try may succeed. No password is sent
    /// before the server's certificate was accepted, unless the configuration says `tls: none`, and none to another
    /// server than the configured one.
    pub async fn open(
        dialer: &Dialer,
        login: &Login,
        trace: Trace,
        end: Instant,
    ) -> Result<Self, Failure> {
        let jmap: Self = sasl::open(dialer, login, trace, end).await?;
        Ok(Self { login: Some(login.clone()), ..jmap })
    }

    /// The record of this session.
    pub fn trace(&self) -> &Trace {
        self.channel.trace()
    }

    /// How long the network takes there and back.
    pub fn network(&self) -> Duration {
        self.channel.network()
    }

    /// When the newest question was sent.
    pub fn asked(&self) -> Instant {
        self.channel.asked()
    }

    /// The mailboxes of the account.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn mailboxes(&mut self) -> Result<Vec<Mailbox>, Interrupted> {
        let properties = ["id", "name", "role", "parentId"];
        let arguments = self.arguments(json!({"ids": null, "properties": properties}));
        let calls = [("Mailbox/get", arguments)];
        let (Reply(reply),): (Reply<MailboxList>,) = self.call(Step::Select, &calls).await?;
        reply.map(|mailboxes| mailboxes.list.0).map_err(|error| self.refusal("Mailbox/get", error))
    }

    /// What has changed since `state`, without the mails; `None` where the server cannot tell any more.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn changed_ids(&mut self, state: &str) -> Result<Option<Changes>, Interrupted> {
        let calls = [self.ask_for_changes(state)];
        let (changes,): (Reply<WrittenChanges>,) = self.call(Step::Fetch, &calls).await?;
        self.changed(changes)
    }

    fn ask_for_changes(&self, state: &str) -> (&'static str, Value) {
        let most = self.batch();
        ("Email/changes", self.arguments(json!({"sinceState": state, "maxChanges": most})))
    }

    fn changed(&mut self, reply: Reply<WrittenChanges>) -> Result<Option<Changes>, Interrupted> {
        match reply.0 {
            Ok(changes) => Ok(Some(Changes {
                created: changes.created.0,
                updated: changes.updated.0,
                destroyed: changes.destroyed.0,
                state: changes.new_state,
                has_more: changes.has_more_changes,
                ..Changes::default()
            })),
            Err(error) if error.kind == "cannotCalculateChanges" => Ok(None),
            Err(error) => Err(self.refusal("Email/changes", error)),
        }
    }

    /// The whole header block of one mail, and how many bytes all of it has; `None` if it is gone.
    ///
    /// # Errors
    /// The connection's, or a refusal: that of an answer that is too long as well.
    pub async fn header(
        &mut self,
        id: &EmailId,
    ) -> Result<Option<(Vec<u8>, Option<u64>)>, Interrupted> {
        let properties = ["id", "size", "headers"];
        let arguments = self.arguments(json!({"ids": [id], "properties": properties}));
        let calls = [("Email/get", arguments)];
        let (Reply(reply),): (Reply<HeaderList>,) = self.call(Step::Fetch, &calls).await?;
        let list = reply.map_err(|error| self.refusal("Email/get", error))?;
        Ok(list.list.0.first().map(|header| (header.block(), header.size)))
    }

    /// The first 64 KiB of one mail; `None` where the server keeps its mails on another one, or has no such mail.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn beginning(&mut self, blob_id: &str) -> Result<Option<Vec<u8>>, Interrupted> {
        let Some(resource) = &self.resource else { return Ok(None) };
        let Some(template) = &resource.download else { return Ok(None) };
        let values = [
            ("accountId", resource.account.as_str()),
            ("blobId", blob_id),
            ("name", "mail"),
            ("type", "message/rfc822"),
        ];
        let path = expand(template, &values);
        let range = Some(BEGINNING_BYTES);
        let question =
            Question { path: &path, body: None, name: "GET a mail", accept: "*/*", range };
        let answer = self.ask(Step::Fetch, &question, BEGINNING_BYTES).await?;
        match answer.status {
            200 | 206 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(self.not_answered(&answer)),
        }
    }

    /// Takes mails out of the account, as many as may be at once, and asks whether they are gone.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn destroy(&mut self, ids: &[EmailId]) -> Result<Destroyed, Interrupted> {
        let most = self.resource.as_ref().map_or(BATCH, |resource| resource.most_in_set);
        let ids = ids.get(..most.min(MAILS)).unwrap_or(ids);
        let ids = ids.get(..self.batch()).unwrap_or(ids);
        let calls = [
            ("Email/set", self.arguments(json!({"destroy": ids}))),
            ("Email/get", self.arguments(json!({"ids": ids, "properties": ["id"]}))),
        ];
        type Replies = (Reply<WrittenDestroyed>, Reply<EmailList>);
        let (destroyed, shown): Replies = self.call(Step::Remove, &calls).await?;
        let destroyed = destroyed.0.map_err(|error| self.refusal("Email/set", error))?;
        let shown = shown.0.map_err(|error| self.refusal("Email/get", error))?.emails();
        let mut destroyed = destroyed.read();
        let is_there = |id: &EmailId| shown.iter().any(|email| email.id == *id);
        let (left, gone) = destroyed.gone.into_iter().partition(is_there);
        (destroyed.left, destroyed.gone) = (left, gone);
        destroyed.note_untold(ids, is_there);
        Ok(destroyed)
    }

    /// How many mails are asked for at once.
    pub fn batch(&self) -> usize {
        self.resource.as_ref().map_or(BATCH, |resource| resource.most_in_get.min(BATCH))
    }

    /// Whether the server says that it tells by itself when mail comes.
    pub fn has_events(&self) -> bool {
        self.resource.as_ref().is_some_and(|resource| resource.events.is_some())
    }

    fn arguments(&self, mut arguments: Value) -> Value {
        if let (Some(object), Some(resource)) = (arguments.as_object_mut(), &self.resource) {
            object.insert("accountId".to_owned(), json!(resource.account));
        }
        arguments
    }

    async fn call<R: DeserializeOwned>(
        &mut self,
        step: Step,
        calls: &[(&str, Value)],
    ) -> Result<R, Interrupted> {
        let path = self.resource.as_ref().map(|resource| resource.api.clone()).unwrap_or_default();
        let names: Vec<&str> = calls.iter().map(|(name, _)| *name).collect();
        let (name, body) = (names.join(" "), request(calls));
        let question =
            Question { path: &path, body: Some(&body), name: &name, accept: JSON, range: None };
        let answer = self.ask(step, &question, ANSWER_BYTES).await?;
        if answer.status != 200 {
            return Err(self.not_answered(&answer));
        }
        if answer.is_cut {
            let message = format!("the answer to {name} has more than {ANSWER_BYTES} bytes");
            return Err(Interrupted::refused(self.fail(Reason::Protocol, message)));
        }
        let read: Result<Response<R>, _> = serde_json::from_slice(&answer.body);
        read.map(|response| response.replies).map_err(|error| {
            let message = format!("the answer to {name} is none of JMAP: {error}");
            // It was read to its end: the connection is in step, and one mail may be the reason.
            Interrupted::refused(self.fail(Reason::Protocol, message))
        })
    }

    fn fail(&self, reason: Reason, message: String) -> Failure {
        let message = self.trace().words(message.as_bytes());
        self.channel.fail(Fault::new(reason, message))
    }

    /// A call that has failed in a session that goes on.
    fn refusal(&self, call: &str, error: MethodError) -> Interrupted {
        let said = words(&error.kind, error.description.as_deref());
        let message = format!("the server refused {call}: {said}");
        let (reason, scope) = match error.kind.as_str() {
            "serverUnavailable" | "rateLimit" => (Reason::Deferred, RefusalScope::Passing),
            // It may be a matter of one mail.
            "serverFail" | "serverPartialFail" => (Reason::Deferred, RefusalScope::Request),
            "unknownMethod" => (Reason::Rejected, RefusalScope::Syntax),
            "forbidden" | "accountNotFound" | "accountNotSupportedByMethod" | "accountReadOnly" => {
                (Reason::Rejected, RefusalScope::Server)
            }
            _ => (Reason::Rejected, RefusalScope::Request),
        };
        Interrupted::Refused(Refusal { failure: self.fail(reason, message), scope })
    }

    /// An answer with another status than 200. It was read to its end: the connection goes on, but for a login that
    /// the server does not know any more. It knew it before, so that is the end of the session, and no refused login,
    /// which nobody would try again before the next check.
    fn not_answered(&self, answer: &Answer) -> Interrupted {
        let said = refused(answer);
        if answer.status == 401 {
            let message = format!("the server has ended the login: {said}");
            return Interrupted::Broken(self.fail(Reason::Closed, message));
        }
        let failure = self.fail(reason_of(answer), said);
        let scope = match answer.status {
            429 | 502..=504 => RefusalScope::Passing,
            _ => RefusalScope::Request,
        };
        Interrupted::Refused(Refusal { failure, scope })
    }
}

#[cfg(test)]
mod tests;
