//! Waiting for the server to announce new mail (IDLE, RFC 2177).

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::answer::NotOk;
use super::{FAREWELL, Imap};
use crate::Interrupted;
use ledger::{Failure, Step};

/// An IDLE that the server ends sooner is of no use.
const SHORTEST_IDLE: Duration = Duration::from_secs(60);

impl Imap {
    /// Waits in IDLE until the server announces new mail (the time at which it did), or `until` has
    /// come or `interrupt` is notified (`None`). The session is usable afterwards.
    ///
    /// # Errors
    /// The connection's, or a refusal; a server that refuses IDLE is not asked again.
    pub async fn idle(
        &mut self,
        until: Instant,
        interrupt: &Notify,
    ) -> Result<Option<Instant>, Failure> {
        self.trace().enter(Step::Fetch);
        let began = Instant::now();
        if !self.begin_idle().await? {
            self.capabilities.remove("IDLE");
            return Ok(self.view.news());
        }
        let mut responses = 0;
        while self.view.news().is_none() {
            let has_input = tokio::select! {
                outcome = self.wire.wait_for_input(until) => outcome?,
                () = interrupt.notified() => false,
            };
            if !has_input {
                break;
            }
            self.wire.expect_reply_within(FAREWELL);
            let response = self.read_response().await?;
            self.take_untagged(&response)?;
            responses += 1;
            self.check_count(responses)?;
            if self.farewell.is_some() {
                return Err(self.ended());
            }
            let is_over = |tag: &String| response.first_line().starts_with(tag.as_bytes());
            if self.idle.as_ref().is_some_and(is_over) {
                // Some servers end it by themselves; DONE would be a command that they do not know.
                // One that does so at once would be asked again and again.
                self.idle = None;
                if began.elapsed() < SHORTEST_IDLE {
                    self.capabilities.remove("IDLE");
                }
                return Ok(self.view.news());
            }
        }
        self.end_idle().await?;
        Ok(self.view.news())
    }

    /// `false` if the server does not want it.
    async fn begin_idle(&mut self) -> Result<bool, Failure> {
        let tag = self.next_tag();
        self.wire.send(&format!("{tag} IDLE")).await?;
        match self.read_answer(&tag, &mut |_, _| {}).await {
            Err(NotOk::Continuation(_)) => {
                self.idle = Some(tag);
                Ok(true)
            }
            Ok(_) | Err(NotOk::Interrupted(Interrupted::Refused(_))) => Ok(false),
            Err(NotOk::Interrupted(Interrupted::Broken(failure))) => Err(failure),
        }
    }

    async fn end_idle(&mut self) -> Result<(), Failure> {
        let Some(tag) = self.idle.take() else { return Ok(()) };
        self.wire.send("DONE").await?;
        let answer = self.read_answer(&tag, &mut |_, _| {}).await;
        answer.map_err(|not_ok| self.no_continuation(not_ok))?;
        Ok(())
    }
}
