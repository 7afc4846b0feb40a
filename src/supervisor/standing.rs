//! The rounds about the standing of a target outside its mails, where any are wanted.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::future::FutureExt;

use super::Supervisor;
use super::kept::Kept;
use super::task::Task;
use super::view::TargetHandle;
use crate::config::Target;
use crate::standing::findings::Standing;
use crate::standing::rounds::Rounds;

impl Supervisor {
    /// What is known of the standing of a target, which goes on; `None` if nothing is wanted.
    pub(super) fn standing(
        target: &Target,
        known: Option<&TargetHandle>,
        kept: &mut Kept,
    ) -> Option<Arc<Standing>> {
        target.dnsbl()?;
        let known = known.and_then(|handle| handle.standing.as_ref());
        let standing = known.map_or_else(|| kept.standing(&target.name), Arc::clone);
        standing.set_target(target);
        Some(standing)
    }

    /// The rounds of a target.
    pub(super) fn start_rounds(&self, handle: &TargetHandle) -> Option<Task> {
        let standing = Arc::clone(handle.standing.as_ref()?);
        let (target, account) = (Arc::clone(&handle.target), Arc::clone(&handle.account));
        let (limiter, store) = (Arc::clone(&self.lists), self.store.clone());
        let name = target.name.clone();
        let name = move || format!("the lists of {name}");
        let rounds = Arc::new(Rounds { target, account, standing, limiter, store });
        let run = move |cancel: tokio_util::sync::CancellationToken, _| {
            let rounds = Arc::clone(&rounds);
            async move {
                rounds.run().with_cancellation_token(&cancel).await;
            }
        };
        Some(Task::put_off(Instant::now(), &self.beginner, name, || false, run))
    }
}
