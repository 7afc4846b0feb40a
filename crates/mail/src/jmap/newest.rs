//! Which mails lie in a mailbox, the newest first.

use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::json;

use super::calls::{EmailList, Found, MAILS, Reply};
use super::{EmailId, Jmap};
use crate::Interrupted;
use ledger::Step;

/// How many pages of one mailbox are asked for at most, where the server gives fewer mails at once than it is asked for.
const PAGES: usize = 50;

impl Jmap {
    /// The state of the mails now, and then the ids of those in `mailboxes` that the server took in from `since` on:
    /// mailbox by mailbox, each once, the newest first, `most` of each.
    ///
    /// Each mailbox is asked for by itself: a condition in an operator (RFC 8621 section 4.4.1) is not understood by
    /// all servers; Apache James takes no `inMailbox` there.
    ///
    /// # Errors
    /// The connection's, or a refusal.
    pub async fn newest(
        &mut self,
        mailboxes: &[String],
        since: Option<SystemTime>,
        most: usize,
    ) -> Result<(String, Vec<EmailId>), Interrupted> {
        let (mut first_state, mut known, mut ids) = (None, BTreeSet::new(), Vec::new());
        for mailbox in mailboxes {
            let (mut position, mut of_this) = (0, BTreeSet::new());
            for _ in 0..PAGES {
                let wanted = most.saturating_sub(position).min(MAILS);
                let (state, page) = self.page(mailbox, since, position, wanted).await?;
                first_state.get_or_insert(state);
                let limit = page.limit.unwrap_or(wanted).min(wanted);
                let page = page.ids.0;
                position += page.len();
                let is_whole = page.len() >= limit;
                let mut is_news = false;
                for id in page {
                    is_news |= of_this.insert(id.clone());
                    if known.insert(id.clone()) {
                        ids.push(id);
                    }
                }
                if !is_news || !is_whole || position >= most {
                    break;
                }
            }
        }
        Ok((first_state.unwrap_or_default(), ids))
    }

    /// From `position` on; with the state before, so that nothing comes between.
    async fn page(
        &mut self,
        mailbox: &str,
        since: Option<SystemTime>,
        position: usize,
        limit: usize,
    ) -> Result<(String, Found), Interrupted> {
        let mut filter = json!({"inMailbox": mailbox});
        if let (Some(filter), Some(since)) = (filter.as_object_mut(), since) {
            let date = humantime::format_rfc3339_seconds(since).to_string();
            filter.insert("after".to_owned(), json!(date));
        }
        let query = json!({
            "filter": filter,
            "sort": [{"property": "receivedAt", "isAscending": false}],
            "collapseThreads": false,
            "position": position,
            "limit": limit,
        });
        let calls = [
            ("Email/get", self.arguments(json!({"ids": [], "properties": ["id"]}))),
            ("Email/query", self.arguments(query)),
        ];
        let replies: (Reply<EmailList>, Reply<Found>) = self.call(Step::Fetch, &calls).await?;
        let (state, found) = replies;
        let state = state.0.map_err(|error| self.refusal("Email/get", error))?.state;
        let found = found.0.map_err(|error| self.refusal("Email/query", error))?;
        Ok((state, found))
    }
}
