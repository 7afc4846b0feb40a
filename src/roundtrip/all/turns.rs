//! Who may go when: at one server, in one mailbox, and altogether.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, MailboxId, Protocol, ReceiveSide, Target};
use crate::roundtrip::{Shared, Verdict};
use crate::supervisor::slots::{self, SlotKey, Slots};

/// The most round trips at a time.
const MOST: usize = 32;
/// The most of them in one IMAP mailbox: servers limit the sessions of a user, and the exporter has one as
/// well. In one POP3 mailbox there can be one session.
const MOST_IN_MAILBOX: usize = 4;

/// What the targets share.
pub(super) struct Turns {
    connections: Slots,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    all: Arc<Semaphore>,
}

struct Mailbox {
    sessions: Arc<Semaphore>,
    /// Held while mails are taken out: the mark of one is in the way of the other.
    removal: Arc<Mutex<()>>,
}

/// Leave to make a round trip, given back when it is dropped.
pub(super) struct Turn {
    all: OwnedSemaphorePermit,
    mailboxes: Vec<OwnedSemaphorePermit>,
}

/// Why a target had no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotBegun {
    OutOfTime,
    Interrupted,
    /// By a fault of this program.
    Broken,
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfTime => "`--timeout` expired before its turn; raise it",
            Self::Interrupted => "interrupted before its turn",
            Self::Broken => "the test broke off by a fault of this program",
        })
    }
}

impl Turns {
    pub(super) fn new(config: &Config) -> Self {
        let mut mailboxes = BTreeMap::new();
        for side in config.targets.values().flat_map(|target| sides(target)) {
            mailboxes.entry(side.mailbox_id()).or_insert_with(|| Mailbox::new(side));
        }
        let connections = slots::reconcile(config, &Slots::new());
        Self { connections, mailboxes, all: Arc::new(Semaphore::new(MOST)) }
    }

    /// What the round trip of the target shares with others while it lasts.
    pub(super) fn shared(&self, target: &Target) -> Shared {
        let mailbox = self.mailboxes.get(&target.receive.mailbox_id());
        Shared {
            connections: self.connections.get(&SlotKey::of(target)).cloned(),
            removal: mailbox.map(|mailbox| Arc::clone(&mailbox.removal)),
        }
    }

    /// Waits for leave to begin.
    ///
    /// # Errors
    /// There is none in time.
    pub(super) async fn take(
        &self,
        target: &Target,
        end: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<Turn, NotBegun> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(NotBegun::Interrupted),
            () = until(end) => Err(NotBegun::OutOfTime),
            turn = self.turn(target) => turn.ok_or(NotBegun::Broken),
        }
    }

    /// In the order of the mailboxes, so that no two wait for each other. `None` never happens: nothing is
    /// closed.
    async fn turn(&self, target: &Target) -> Option<Turn> {
        let ids: BTreeSet<MailboxId> = sides(target).map(ReceiveSide::mailbox_id).collect();
        let mut mailboxes = Vec::new();
        for mailbox in ids.iter().filter_map(|id| self.mailboxes.get(id)) {
            mailboxes.push(Arc::clone(&mailbox.sessions).acquire_owned().await.ok()?);
        }
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Turn { all, mailboxes })
    }
}

impl Turn {
    /// Ends it, as soon as the mailbox may be logged in to again where each look is a login.
    pub(super) fn end(
        self,
        verdict: &Verdict,
        target: &Target,
        end: Option<Instant>,
        stop: &CancellationToken,
    ) {
        drop(self.all);
        let gap = match target.receive.protocol {
            Protocol::Pop3 => target.receive.min_look_interval.max(verdict.login_delay.kept()),
            Protocol::Imap { .. } => Duration::ZERO,
        };
        tokio::spawn(hold(self.mailboxes, gap, end, stop.clone()));
    }
}

/// The result need not wait for it.
async fn hold(
    mailboxes: Vec<OwnedSemaphorePermit>,
    gap: Duration,
    end: Option<Instant>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = sleep(gap) => {}
        () = until(end) => {}
        () = stop.cancelled() => {}
    }
    drop(mailboxes);
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => std::future::pending().await,
    }
}

impl Mailbox {
    fn new(side: &ReceiveSide) -> Self {
        let most = match side.protocol {
            Protocol::Imap { .. } => MOST_IN_MAILBOX,
            Protocol::Pop3 => 1,
        };
        Self { sessions: Arc::new(Semaphore::new(most)), removal: Arc::default() }
    }
}

/// Every mailbox that a round trip looks into.
fn sides(target: &Target) -> impl Iterator<Item = &ReceiveSide> {
    [&target.receive].into_iter().chain(&target.sender_mailbox)
}
