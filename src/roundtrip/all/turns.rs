//! Who may go when: at one server, in one mailbox, and altogether.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, MailboxId, Protocol, ReceiveSide, Target};
use crate::probing::bound::Permit;
use crate::roundtrip::{Shared, Verdict};
use crate::supervisor::slots::{self, SlotKey, Slots};
use ledger::SessionKind;

/// The most round trips at a time.
const MOST: usize = 32;
/// The most of them in one IMAP mailbox: servers limit the sessions of a user, and the exporter has one as
/// well. In one POP3 mailbox there can be one session.
const MOST_IN_MAILBOX: usize = 4;

/// What the targets share.
pub(super) struct Turns {
    connections: Slots,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    all: Semaphore,
}

struct Mailbox {
    sessions: Arc<Semaphore>,
    /// Held while mails are taken out: the mark of one is in the way of the other.
    removal: Arc<Mutex<()>>,
}

/// Leave to make a round trip, given back when it is dropped.
pub(super) struct Turn<'a> {
    /// Leave to have a connection to the SMTP server open.
    pub(super) connection: Option<Permit<'a>>,
    _all: SemaphorePermit<'a>,
    mailboxes: Vec<Session>,
}

/// Leave to have a session in a mailbox.
struct Session {
    permit: OwnedSemaphorePermit,
    /// How long after it the next login is allowed.
    gap: Duration,
    is_watched: bool,
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
            Self::OutOfTime => "`--timeout` left too little time for it; raise it",
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
        Self { connections, mailboxes, all: Semaphore::new(MOST) }
    }

    /// What the round trip of the target shares with others while it lasts.
    pub(super) fn shared(&self, target: &Target) -> Shared {
        let removal = |side: &ReceiveSide| {
            self.mailboxes.get(&side.mailbox_id()).map(|mailbox| Arc::clone(&mailbox.removal))
        };
        Shared {
            removal: target.receive.as_ref().and_then(removal),
            sender_removal: target.sender_mailbox.as_deref().and_then(removal),
        }
    }

    /// Waits for leave to begin, until `latest`.
    ///
    /// # Errors
    /// There is none in time.
    pub(super) async fn take(
        &self,
        target: &Target,
        latest: Option<Instant>,
        stop: &CancellationToken,
    ) -> Result<Turn<'_>, NotBegun> {
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(NotBegun::Interrupted),
            () = until(latest) => Err(NotBegun::OutOfTime),
            turn = self.turn(target) => turn.ok_or(NotBegun::Broken),
        }
    }

    /// The mailboxes in their order, so that no two wait for each other; then the SMTP server, and last what
    /// all share, which nobody holds while waiting for a slow server. `None` never happens: nothing is closed.
    async fn turn(&self, target: &Target) -> Option<Turn<'_>> {
        let watched = target.receive.as_ref().map(ReceiveSide::mailbox_id);
        let sides: BTreeMap<MailboxId, &ReceiveSide> =
            sides(target).map(|side| (side.mailbox_id(), side)).collect();
        let mut mailboxes = Vec::new();
        for (id, side) in &sides {
            let Some(mailbox) = self.mailboxes.get(id) else { continue };
            let permit = Arc::clone(&mailbox.sessions).acquire_owned().await.ok()?;
            let gap = gap_between_logins(side);
            mailboxes.push(Session { permit, gap, is_watched: watched.as_ref() == Some(id) });
        }
        let connection = match self.connections.get(&SlotKey::of(target)) {
            Some(connections) => Some(connections.acquire().await.ok()?),
            None => None,
        };
        Some(Turn { connection, _all: self.all.acquire().await.ok()?, mailboxes })
    }
}

/// Where each look is a login.
fn gap_between_logins(side: &ReceiveSide) -> Duration {
    match side.protocol {
        Protocol::Pop3 => side.min_look_interval,
        Protocol::Imap { .. } | Protocol::Jmap { .. } => Duration::ZERO,
    }
}

impl Turn<'_> {
    /// Ends it; each mailbox is free as soon as it may be logged in to again.
    pub(super) fn end(
        self,
        verdict: &Verdict,
        target: &Target,
        end: Option<Instant>,
        stop: &CancellationToken,
    ) {
        for Session { permit, gap, is_watched } in self.mailboxes {
            let gap = match target.session_kind() {
                SessionKind::PerPoll if is_watched => gap.max(verdict.login_delay.kept()),
                _ => gap,
            };
            tokio::spawn(hold(permit, gap, end, stop.clone()));
        }
    }
}

/// The result need not wait for it.
async fn hold(
    mailbox: OwnedSemaphorePermit,
    gap: Duration,
    end: Option<Instant>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = sleep(gap) => {}
        () = until(end) => {}
        () = stop.cancelled() => {}
    }
    drop(mailbox);
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
            Protocol::Imap { .. } | Protocol::Jmap { .. } => MOST_IN_MAILBOX,
            Protocol::Pop3 => 1,
        };
        Self { sessions: Arc::new(Semaphore::new(most)), removal: Arc::default() }
    }
}

/// Every mailbox that a round trip looks into.
fn sides(target: &Target) -> impl Iterator<Item = &ReceiveSide> {
    target.mailboxes()
}
