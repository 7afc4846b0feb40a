//! What the handle of a mailbox and its task share: who the subscribers are, what their configurations say
//! of the mailbox, and when it is checked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::latest::Latest;
use super::reader::{MailboxAccess, inbox_first};
use super::{Role, Subscriber};
use crate::account::Account;
use crate::clock::{on_time_line, suspended};
use crate::config::{Folder, MailboxId};
use crate::store::Store;
use ledger::{LineInstant, SessionKind};
use mail::wire::{ConnectionContext, Dialer};

/// A session is held if a subscriber sends within this time.
pub(super) const SOON: Duration = Duration::from_secs(60);

/// What the handle and the task share.
pub(super) struct Shared {
    pub(super) id: Arc<MailboxId>,
    /// Where the memory of the mailbox is kept; `None`: nowhere.
    pub(super) store: Option<Arc<Store>>,
    schedule: Mutex<Schedule>,
    /// Something happened that may change the plan: a mail was accepted, a subscriber came or went.
    pub(super) changed: Notify,
    /// The slot of the newest check that is over.
    pub(super) checked: Latest<Option<Instant>>,
    /// How often somebody was about to send.
    announced: AtomicU64,
    /// For how many of these the task is as ready as it can be.
    pub(super) ready_for: Latest<u64>,
}

/// For whom the mailbox is watched, and when.
#[derive(Default)]
pub(super) struct Schedule {
    pub(super) subscribers: Arc<[Arc<Subscriber>]>,
    pub(super) settings: Option<Arc<Settings>>,
    /// Since when the task is there to look though it has not begun, and how long this machine had been suspended by
    /// then; `None`: it has begun.
    pub(super) put_off: Option<(LineInstant, Duration)>,
    /// Nobody logs in before: mailboxes are not opened all at once.
    pub(super) opens: Option<Instant>,
    /// The slot of the next check.
    pub(super) next_check: Option<Instant>,
    /// When it can begin: a login may not be allowed before. Of an earlier turn of the loop it may be over.
    pub(super) check_due: Option<Instant>,
    /// How long the newest good check took, and what is made ready after it.
    pub(super) took: Duration,
}

/// What the subscribers' configurations say of the mailbox.
pub(super) struct Settings {
    /// The way to it. In its copy folders only senders look.
    pub(super) access: MailboxAccess,
    pub(super) min_look_interval: Duration,
    /// The shortest period of a subscriber.
    pub(super) period: Duration,
}

impl Shared {
    /// Nobody is subscribed yet.
    pub(super) fn new(id: Arc<MailboxId>, store: Option<Arc<Store>>, opens: Instant) -> Self {
        let put_off = Some((on_time_line(Instant::now()), suspended()));
        let opens = Some(opens);
        Self {
            id,
            store,
            schedule: Mutex::new(Schedule { put_off, opens, ..Schedule::default() }),
            changed: Notify::new(),
            checked: Latest::new(None),
            announced: AtomicU64::new(0),
            ready_for: Latest::new(0),
        }
    }

    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // The guarded state is replaced whole, so it is whole even after a panic.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody is about to send; gives how often that was so.
    pub(super) fn announce(&self) -> u64 {
        let announced = self.announced.fetch_add(1, Ordering::AcqRel) + 1;
        self.changed.notify_one();
        announced
    }

    /// How often somebody was about to send.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// The task is as ready as it can be for so many of these.
    pub(super) fn is_ready_for(&self, announced: u64) {
        self.ready_for.set(announced);
    }
}

impl Settings {
    pub(super) fn of(
        subscribers: &[Arc<Subscriber>],
        clients: &ConnectionContext,
    ) -> Result<Option<Self>, openssl::error::ErrorStack> {
        let sides = || subscribers.iter().filter_map(|subscriber| subscriber.side());
        let Some(first) = sides().next() else { return Ok(None) };
        let folders = union_of_folders(subscribers, Role::Recipient);
        let mut copy_folders = union_of_folders(subscribers, Role::Sender);
        copy_folders.retain(|folder| !folders.contains(folder));
        let mut dialer = Dialer::new(&first.endpoint, Some(&first.login), clients)?;
        let protocol = first.protocol.with_folders(|own| as_configured(own, folders));
        if protocol.session_kind() == SessionKind::PerPoll {
            // Between the checks, which see the certificate, each look is a connection of its own.
            dialer = dialer.keeping_sessions();
        }
        let access = MailboxAccess {
            dialer,
            login: first.login.clone(),
            protocol,
            copy_folders,
            timeout: first.endpoint.timeout,
            reads_stamps: subscribers.iter().any(|it| it.target.takes_replies()),
        };
        Ok(Some(Self {
            access,
            min_look_interval: sides().map(|side| side.min_look_interval).max().unwrap_or_default(),
            period: subscribers
                .iter()
                .map(|subscriber| subscriber.target.interval)
                .min()
                .unwrap_or_default(),
        }))
    }

    /// How often the mailbox is checked, as far as the configuration says: each check over POP3 is a
    /// login, and so is a look.
    pub(super) fn period_of_checks(&self) -> Duration {
        match self.session_kind() {
            SessionKind::Held => self.period,
            SessionKind::PerPoll => self.period.max(self.min_look_interval),
        }
    }

    /// How long a check, a look or a removal may take, all of it: a period, and the time of one answer at
    /// least. What is due meanwhile waits; a server that hangs is found out by the deadline of each answer.
    pub(super) fn longest_turn(&self) -> Duration {
        self.period.max(self.access.timeout)
    }

    /// Tells a target how often its mailbox is checked.
    pub(super) fn report_rhythm(&self, account: &Account) {
        let (period, longest) = (self.period_of_checks(), self.longest_turn());
        account.update(|ledger, now| ledger.checks_are_made_every(period, longest, now));
    }

    /// What was learned of the server stays known where the way to it stays the same.
    pub(super) fn following(self, before: &Self) -> Self {
        let (access, known) = (self.access, &before.access);
        let is_same_way = access.login == known.login && access.dialer.is_like(&known.dialer);
        let access = match is_same_way {
            true => MailboxAccess { dialer: access.dialer.learning_from(&known.dialer), ..access },
            false => access,
        };
        Self { access, ..self }
    }

    pub(super) fn session_kind(&self) -> SessionKind {
        self.access.session_kind()
    }
}

/// The same folders, in common with the configuration if they are its own.
fn as_configured(own: &Arc<[Folder]>, folders: Vec<Folder>) -> Arc<[Folder]> {
    if **own == *folders { Arc::clone(own) } else { folders.into() }
}

/// The folders of the subscribers to whom the mailbox is this, in the order in which they are opened.
fn union_of_folders(subscribers: &[Arc<Subscriber>], role: Role) -> Vec<Folder> {
    let mut union: Vec<Folder> = Vec::new();
    for subscriber in subscribers.iter().filter(|subscriber| subscriber.role == role) {
        let Some(side) = subscriber.side() else { continue };
        for folder in side.protocol.folders() {
            if !union.contains(folder) {
                union.push(folder.clone());
            }
        }
    }
    inbox_first(&mut union);
    union
}
