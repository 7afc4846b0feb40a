//! Reading mails, by whatever way the server shows the fields of their headers.

use serde_json::{Value, json};

use super::calls::{
    Asked, Changes, EmailList, MethodError, Reply, WrittenChanges, place_properties, properties,
    result_of,
};
use super::{Email, EmailId, Jmap};
use crate::Interrupted;
use ledger::Step;

impl Jmap {
    /// These mails, as far as they are there; [`Jmap::batch`] at most are asked for. A server that refuses to give the
    /// fields of a header one by one (RFC 8621 section 4.1.3) is asked for all of them, from then on.
    ///
    /// # Errors
    /// The connection's, or a refusal: that of an answer that is too long as well.
    pub async fn emails(&mut self, ids: &[EmailId]) -> Result<Vec<Email>, Interrupted> {
        let ids = ids.get(..self.batch()).unwrap_or(ids);
        let mut reply = self.emails_as_asked(ids).await?;
        if self.asks_for_all(&reply) {
            reply = self.emails_as_asked(ids).await?;
            self.note_all(&reply);
        }
        reply.map(EmailList::emails).map_err(|error| self.refusal("Email/get", error))
    }

    /// What has changed since `state`, with the headers of the mails that are new, asked for as in [`Jmap::emails`], and
    /// the places of the others; `None` where the server cannot tell any more.
    ///
    /// # Errors
    /// The connection's, or a refusal: that of an answer that is too long as well.
    pub async fn changes(&mut self, state: &str) -> Result<Option<Changes>, Interrupted> {
        let mut replies = self.changes_as_asked(state).await?;
        if replies.0.0.is_ok() && self.asks_for_all(&replies.1.0) {
            replies = self.changes_as_asked(state).await?;
            self.note_all(&replies.1.0);
        }
        let (changes, created, updated) = replies;
        let Some(mut changes) = self.changed(changes)? else { return Ok(None) };
        let read = |list: Reply<EmailList>| {
            list.0.map(EmailList::emails).map_err(|error| self.refusal("Email/get", error))
        };
        (changes.emails, changes.places) = (read(created)?, read(updated)?);
        Ok(Some(changes))
    }

    async fn changes_as_asked(
        &mut self,
        state: &str,
    ) -> Result<(Reply<WrittenChanges>, Reply<EmailList>, Reply<EmailList>), Interrupted> {
        let emails = |path, properties: Value| {
            let ids = result_of(0, "Email/changes", path);
            self.arguments(json!({"#ids": ids, "properties": properties}))
        };
        let created = emails("/created", json!(properties(self.asked)));
        // Whoever marks a whole mailbox as read must not have all of its headers sent.
        let updated = emails("/updated", json!(place_properties()));
        let calls = [self.ask_for_changes(state), ("Email/get", created), ("Email/get", updated)];
        self.call(Step::Fetch, &calls).await
    }

    /// Whether the server refuses to give the fields one by one; all of them are asked for now.
    fn asks_for_all(&mut self, reply: &Result<EmailList, MethodError>) -> bool {
        let is_refused = reply.as_ref().is_err_and(MethodError::is_of_arguments);
        let asks_for_all = self.asked == Asked::Each && is_refused;
        if asks_for_all {
            self.asked = Asked::All;
        }
        asks_for_all
    }

    /// What came of that: where all are refused as well, it was not for the fields.
    fn note_all(&mut self, reply: &Result<EmailList, MethodError>) {
        if reply.is_err() {
            self.asked = Asked::Each;
        }
    }

    async fn emails_as_asked(
        &mut self,
        ids: &[EmailId],
    ) -> Result<Result<EmailList, MethodError>, Interrupted> {
        let properties = properties(self.asked);
        let calls = [("Email/get", self.arguments(json!({"ids": ids, "properties": properties})))];
        let (Reply(reply),): (Reply<EmailList>,) = self.call(Step::Fetch, &calls).await?;
        Ok(reply)
    }
}
