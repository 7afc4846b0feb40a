//! Reading mails, by whatever way the server shows the fields of their headers.

use serde_json::json;

use super::calls::{Asked, EmailList, MethodError, Reply, properties};
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
        if self.asked == Asked::Each && reply.as_ref().is_err_and(MethodError::is_of_arguments) {
            self.asked = Asked::All;
            reply = self.emails_as_asked(ids).await?;
            if reply.is_err() {
                // It was not for the fields.
                self.asked = Asked::Each;
            }
        }
        reply.map(EmailList::emails).map_err(|error| self.refusal("Email/get", error))
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
