//! The watch over one mailbox as its members see it: who they are, what their configurations say of
//! the mailbox, and when it is checked. The loop itself is the patrol.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::patrol::Patrol;
use super::{Member, Role};
use crate::account::Account;
use crate::config::{Folder, Login, MailboxId, Protocol};
use crate::store::Store;
use ledger::LookStyle;
use ledger::Side;
use mail::wire::{ConnectionContext, Dialer};

/// How long sending waits for the watch to be in place; a broken mailbox never stops it.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same where the mailbox is known to be far away.
const MOST_PATIENCE: Duration = Duration::from_secs(15);
/// A session is held if a member sends within this time.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// The watch over one mailbox, shared by the targets that receive there.
pub struct Watch {
    pub(super) id: MailboxId,
    /// Where the memory of the mailbox is kept; `None`: nowhere.
    pub(super) store: Option<Arc<Store>>,
    shared: Mutex<Shared>,
    /// Something happened that may change the plan: a mail was accepted, a member came or went.
    pub(super) changed: Notify,
    /// The slot of the newest check that is over.
    pub(super) checked: watch::Sender<Option<Instant>>,
    /// How often somebody was about to send.
    announced: AtomicU64,
    /// For how many of these the loop is as ready as it can be.
    ready_for: watch::Sender<u64>,
}

pub(super) struct Shared {
    pub(super) members: Vec<Arc<Member>>,
    pub(super) settings: Option<Arc<Settings>>,
    /// The slot of the next check.
    pub(super) next_check: Option<Instant>,
    /// When it can begin: a login may not be allowed before. Of an earlier turn of the loop it may be over.
    pub(super) check_due: Option<Instant>,
    /// How long the newest good check took, and what is made ready after it.
    pub(super) took: Duration,
}

/// What the members' configurations say of the mailbox.
pub(super) struct Settings {
    pub(super) dialer: Dialer,
    pub(super) login: Login,
    /// Where mails arrive; `None`: POP3.
    pub(super) folders: Option<Vec<Folder>>,
    /// Where only senders look, for reports and for copies of what they sent.
    pub(super) copy_folders: Vec<Folder>,
    pub(super) min_look_interval: Duration,
    pub(super) timeout: Duration,
    /// The shortest period of a member.
    pub(super) period: Duration,
}

impl Watch {
    /// A watch without members; it does nothing yet. Its memory goes on from that in the store.
    pub fn new(id: MailboxId, store: Option<Arc<Store>>) -> Self {
        let shared = Shared {
            members: Vec::new(),
            settings: None,
            next_check: None,
            check_due: None,
            took: Duration::ZERO,
        };
        Self {
            id,
            store,
            shared: Mutex::new(shared),
            changed: Notify::new(),
            checked: watch::Sender::new(None),
            announced: AtomicU64::new(0),
            ready_for: watch::Sender::new(0),
        }
    }

    /// Watches on behalf of these members from now on. Folders are the union of theirs; the rest of
    /// what they say of the mailbox is the same, as the configuration has made sure.
    ///
    /// # Errors
    /// What OpenSSL says of the files in the TLS options.
    pub fn set_members(
        &self,
        members: Vec<Arc<Member>>,
        clients: &ConnectionContext,
    ) -> Result<(), openssl::error::ErrorStack> {
        let settings = Settings::of(&members, clients)?;
        for member in members.iter().filter(|member| member.role == Role::Recipient) {
            settings.iter().for_each(|settings| settings.tell_rhythm(&member.account));
        }
        let mut shared = self.shared();
        let settings = settings.map(|settings| match &shared.settings {
            Some(before) => Arc::new(settings.following(before)),
            None => Arc::new(settings),
        });
        let first_send = members.iter().filter_map(|member| member.next_send()).min();
        // The grid of checks goes on; before the first one it begins with the first mail.
        let has_checked = self.checked.borrow().is_some();
        shared.next_check = match (shared.next_check, &settings) {
            // One that is under way is the first of the grid.
            (Some(next), Some(settings)) if has_checked || next <= Instant::now() => {
                Some(next.min(Instant::now() + settings.period))
            }
            // After a restart that keeps its phase the first mail may be far off; the mailbox is
            // judged at once.
            _ => first_send.map(|at| if at > Instant::now() + SOON { Instant::now() } else { at }),
        };
        shared.members = members;
        shared.settings = settings;
        drop(shared);
        self.changed.notify_one();
        Ok(())
    }

    /// A mail is about to be sent that will come here. Waits until the first look for it is as ready as
    /// it can be: where each look is a session of its own, that takes time.
    pub async fn make_ready(&self) {
        let is_by_session = |settings: &Arc<Settings>| settings.style() == LookStyle::Session;
        if !self.shared().settings.as_ref().is_some_and(is_by_session) {
            return;
        }
        let announced = self.announced.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.notify_one();
        // The sender lives as long as this watch.
        let _ = self.ready_for.subscribe().wait_for(|ready| *ready >= announced).await;
    }

    /// How often somebody was about to send.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// The loop is as ready as it can be for so many of these.
    pub(super) fn is_ready_for(&self, announced: u64) {
        self.ready_for.send_if_modified(|ready| std::mem::replace(ready, announced) != announced);
    }

    /// Whether a check is under way that was to be over long ago.
    pub fn has_overrun(&self) -> bool {
        let members = self.shared().members.clone();
        let mut recipients = members.iter().filter(|member| member.role == Role::Recipient);
        recipients.any(|member| member.account.has_overrun(Side::Receive))
    }

    /// A mail was accepted that will come here.
    pub fn mail_accepted(&self) {
        self.changed.notify_one();
    }

    /// How long sending waits for [`Watch::wait_for_check`] and [`Watch::make_ready`]: 3 s, and twice
    /// as long as both took lately where the mailbox is so far away that they take longer; never more
    /// than 15 s and half a period.
    pub fn patience(&self) -> Duration {
        let shared = self.shared();
        let period = shared.settings.as_ref().map_or(Duration::ZERO, |settings| settings.period);
        (shared.took * 2).clamp(PATIENCE, MOST_PATIENCE).min(period / 2)
    }

    /// Waits until the check that belongs to a period that began at `tick` is over; not for one whose
    /// login the server does not allow yet.
    pub async fn wait_for_check(&self, tick: Instant) {
        let period = {
            let shared = self.shared();
            let is_put_off = shared.check_due > shared.next_check;
            if is_put_off && shared.check_due.is_some_and(|due| due > Instant::now()) {
                return;
            }
            shared.settings.as_ref().map(|settings| settings.period)
        };
        let Some(period) = period else { return };
        let mut checked = self.checked.subscribe();
        let is_in_place = |slot: &Option<Instant>| slot.is_some_and(|slot| slot + period > tick);
        // The sender lives as long as this watch.
        let _ = checked.wait_for(is_in_place).await;
    }

    /// Runs until it is cancelled; then the session is ended.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let mut patrol = Patrol::new(self);
        patrol.restore().await;
        cancel.run_until_cancelled(patrol.run()).await;
        let settings = patrol.settings();
        if let Some(settings) = settings {
            patrol.keep(&settings);
        }
        patrol.close_session().await;
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        // The guarded state is replaced whole, so it is whole even after a panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Settings {
    fn of(
        members: &[Arc<Member>],
        clients: &ConnectionContext,
    ) -> Result<Option<Self>, openssl::error::ErrorStack> {
        let sides = || members.iter().map(|member| member.side());
        let Some(first) = sides().next() else { return Ok(None) };
        let is_imap = matches!(first.protocol, Protocol::Imap { .. });
        let folders = union_of_folders(members, Role::Recipient);
        let mut copy_folders = union_of_folders(members, Role::Sender);
        copy_folders.retain(|folder| !folders.contains(folder));
        let mut dialer = Dialer::new(&first.endpoint, Some(&first.login), clients)?;
        if !is_imap {
            // Between the checks, which see the certificate, each look is a connection of its own.
            dialer = dialer.keeping_sessions();
        }
        Ok(Some(Self {
            dialer,
            login: first.login.clone(),
            folders: is_imap.then_some(folders),
            copy_folders,
            min_look_interval: sides().map(|side| side.min_look_interval).max().unwrap_or_default(),
            timeout: first.endpoint.timeout,
            period: members.iter().map(|member| member.target.interval).min().unwrap_or_default(),
        }))
    }

    /// How often the mailbox is checked, as far as the configuration tells: each check over POP3 is a
    /// login, and so is a look.
    pub(super) fn period_of_checks(&self) -> Duration {
        match self.style() {
            LookStyle::Command => self.period,
            LookStyle::Session => self.period.max(self.min_look_interval),
        }
    }

    /// How long a check, a look or a removal may take, all of it: a period, and the time of one answer at
    /// least. What is due meanwhile waits; a server that hangs is found out by the deadline of each answer.
    pub(super) fn longest_turn(&self) -> Duration {
        self.period.max(self.timeout)
    }

    /// Tells a target how often its mailbox is checked.
    pub(super) fn tell_rhythm(&self, account: &Account) {
        account.checks_are_made_every(self.period_of_checks(), self.longest_turn());
    }

    /// What was learned of the server stays known where the way to it stays the same.
    fn following(self, before: &Self) -> Self {
        if self.login != before.login || !self.dialer.is_like(&before.dialer) {
            return self;
        }
        Self { dialer: self.dialer.learning_from(&before.dialer), ..self }
    }

    pub(super) fn style(&self) -> LookStyle {
        if self.folders.is_some() { LookStyle::Command } else { LookStyle::Session }
    }
}

/// The folders of the members to whom the mailbox is this. The inbox comes first: it is the folder
/// that stays selected.
fn union_of_folders(members: &[Arc<Member>], role: Role) -> Vec<Folder> {
    let mut union: Vec<Folder> = Vec::new();
    for member in members.iter().filter(|member| member.role == role) {
        let Protocol::Imap { folders } = &member.side().protocol else { continue };
        for folder in folders {
            if !union.contains(folder) {
                union.push(folder.clone());
            }
        }
    }
    union.sort_by_key(|folder| *folder != Folder::Name("INBOX".into()));
    union
}
