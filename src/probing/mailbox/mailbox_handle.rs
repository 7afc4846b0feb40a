//! A mailbox as its subscribers see it: who they are, what their configurations say of
//! the mailbox, and when it is checked. The loop over it is its task.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::future::FutureExt;
use tokio_util::sync::CancellationToken;

use super::mailbox_task::MailboxTask;
use super::shared::{Settings, Shared};
use super::{Role, Subscriber};
use crate::config::MailboxId;
use crate::store::Store;
use ledger::{SessionKind, Side};
use mail::wire::ConnectionContext;

/// How long sending waits for the mailbox task to be in place; a broken mailbox never stops it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where the mailbox is known to be far away.
const MOST_PATIENCE: Duration = Duration::from_secs(15);
/// What others hold of one mailbox: the targets that receive there share it.
pub struct MailboxHandle {
    shared: Arc<Shared>,
}

impl MailboxHandle {
    /// A mailbox without subscribers; it does nothing yet. Its memory goes on from that in the store. Nobody logs in
    /// before `opens`.
    pub fn new(id: Arc<MailboxId>, store: Option<Arc<Store>>, opens: Instant) -> Self {
        Self { shared: Arc::new(Shared::new(id, store, opens)) }
    }

    /// Watches on behalf of these subscribers from now on. Folders are the union of theirs; the rest of
    /// what they say of the mailbox is the same, as the configuration has made sure.
    ///
    /// # Errors
    /// What OpenSSL says of the files in the TLS options.
    pub fn set_subscribers(
        &self,
        subscribers: Vec<Arc<Subscriber>>,
        clients: &ConnectionContext,
    ) -> Result<(), openssl::error::ErrorStack> {
        let settings = Settings::of(&subscribers, clients)?;
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.role == Role::Recipient)
        {
            settings.iter().for_each(|settings| settings.report_rhythm(&subscriber.account));
        }
        let mut schedule = self.shared.schedule();
        let settings = settings.map(|settings| match &schedule.settings {
            Some(before) => Arc::new(settings.following(before)),
            None => Arc::new(settings),
        });
        let first_send = subscribers.iter().filter_map(|subscriber| subscriber.next_send()).min();
        // Nor does a mailbox stay closed that is needed.
        schedule.opens = schedule.opens.map(|opens| first_send.map_or(opens, |at| opens.min(at)));
        // The grid of checks goes on; before the first one it begins with the first mail.
        let has_checked = self.shared.checked.get().is_some();
        schedule.next_check = match (schedule.next_check, &settings) {
            // One that is under way is the first of the grid.
            (Some(next), Some(settings)) if has_checked || next <= Instant::now() => {
                Some(next.min(Instant::now() + settings.period))
            }
            // One before the first mail is that of the period before: the grid begins with the mail.
            (_, settings) => first_send.map(|at| {
                let period = settings.as_ref().map(|settings| settings.period);
                let before = period.and_then(|period| at.checked_sub(period));
                if schedule.opens.is_some_and(|opens| opens < at) {
                    before.unwrap_or(at)
                } else {
                    at
                }
            }),
        };
        schedule.subscribers = subscribers.into();
        schedule.settings = settings;
        drop(schedule);
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Which mailbox it is.
    pub fn id(&self) -> &Arc<MailboxId> {
        &self.shared.id
    }

    /// Before this nobody logs in there, as far as is known now.
    pub fn due(&self) -> Instant {
        self.shared.schedule().opens.unwrap_or_else(Instant::now)
    }

    /// A mail is about to be sent that will come here. Waits until the first look for it is as ready as
    /// it can be: where each look is a session of its own, that takes time.
    pub async fn make_ready(&self) {
        let is_by_session =
            |settings: &Arc<Settings>| settings.session_kind() == SessionKind::PerPoll;
        if !self.shared.schedule().settings.as_ref().is_some_and(is_by_session) {
            return;
        }
        let announced = self.shared.announce();
        self.shared.ready_for.wait_for(|ready| ready >= announced).await;
    }

    /// Whether a check is under way that was to be over long ago.
    pub fn has_overrun(&self) -> bool {
        let subscribers = self.shared.schedule().subscribers.clone();
        let mut recipients =
            subscribers.iter().filter(|subscriber| subscriber.role == Role::Recipient);
        recipients.any(|subscriber| subscriber.account.has_overrun(Side::Receive))
    }

    /// A mail was accepted that will come here.
    pub fn mail_accepted(&self) {
        self.shared.changed.notify_one();
    }

    /// How long sending waits for [`MailboxHandle::wait_for_check`] and [`MailboxHandle::make_ready`]: 3 s, and twice
    /// as long as both took lately where the mailbox is so far away that they take longer; never more
    /// than 15 s and half a period.
    pub fn patience(&self) -> Duration {
        let schedule = self.shared.schedule();
        let period = schedule.settings.as_ref().map_or(Duration::ZERO, |settings| settings.period);
        (schedule.took * 2).clamp(PATIENCE, MOST_PATIENCE).min(period / 2)
    }

    /// Waits until the check that belongs to a period that began at `tick` is over; not for one whose
    /// login the server does not allow yet.
    pub async fn wait_for_check(&self, tick: Instant) {
        let period = {
            let schedule = self.shared.schedule();
            let is_put_off = schedule.check_due > schedule.next_check;
            if is_put_off && schedule.check_due.is_some_and(|due| due > Instant::now()) {
                return;
            }
            schedule.settings.as_ref().map(|settings| settings.period)
        };
        let Some(period) = period else { return };
        let is_in_place = |slot: Option<Instant>| slot.is_some_and(|slot| slot + period > tick);
        self.shared.checked.wait_for(is_in_place).await;
    }

    /// Runs until it is cancelled; then the session is ended.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut task = MailboxTask::new(Arc::clone(&self.shared));
        task.restore().await;
        task.run().with_cancellation_token(&cancel).await;
        let settings = task.settings();
        if let Some(settings) = settings {
            task.persist(&settings);
        }
        task.close_session().await;
    }
}
