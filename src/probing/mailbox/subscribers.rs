//! The targets that have to do with a mailbox, and whose a mail is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Disposition, Found, Inspector, Since, reports};
use crate::account::{Account, Delay};
use crate::clock;
use crate::config::{ReceiveSide, Target};
use ledger::{LineInstant, ServerClock, SessionKind, Sighting, SightingOutcome, Token};
use mail::bounce::DsnReport;
use mail::inspection::TransitTimes;
use mail::test_mail::{Header, Mark};

/// One target that has to do with the mailbox.
pub struct Subscriber {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account.
    pub account: Arc<Account>,
    /// What the mailbox is to it.
    pub role: Role,
    next_send: Mutex<Option<Instant>>,
    waits_for: Mutex<Option<Delay>>,
}

/// Its mail waits in a queue, until this is dropped.
pub struct InQueue<'a>(&'a Subscriber);

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.0.set_waits_for(None);
    }
}

/// What a mailbox is to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its mails arrive there.
    Recipient,
    /// It is the sender's own: bounces come back to it, and copies of sent mail may lie there. It has
    /// no part in the ability to receive.
    Sender,
}

impl Subscriber {
    /// A target whose first mail is due at `first_send`.
    pub fn new(target: Arc<Target>, account: Arc<Account>, first_send: Instant) -> Self {
        let next_send = Mutex::new(Some(first_send));
        let waits_for = Mutex::default();
        Self { target, account, role: Role::Recipient, next_send, waits_for }
    }

    /// The same target in the mailbox of its sender; `None` if its configuration names none.
    pub fn in_sender_mailbox(&self) -> Option<Self> {
        let next_send = Mutex::new(self.next_send());
        let Self { target, account, .. } = self;
        let (target, account) = (Arc::clone(target), Arc::clone(account));
        target.sender_mailbox.as_deref()?;
        let waits_for = Mutex::default();
        Some(Self { target, account, role: Role::Sender, next_send, waits_for })
    }

    /// What its configuration says of the mailbox.
    pub fn side(&self) -> Option<&ReceiveSide> {
        match (self.role, &self.target.sender_mailbox) {
            (Role::Sender, Some(side)) => Some(side),
            _ => self.target.receive.as_ref(),
        }
    }

    /// The next look that it wants.
    pub(super) fn next_look(
        &self,
        style: SessionKind,
        last_look: Option<LineInstant>,
    ) -> Option<LineInstant> {
        match self.role {
            Role::Recipient => self.account.read(|ledger, _| ledger.next_look(style, last_look)),
            Role::Sender => {
                self.account.read(|ledger, _| ledger.next_report_look(style, last_look))
            }
        }
    }

    /// Whether a mail is being sent that will be looked for within `soon` after its acceptance.
    pub(super) fn looks_soon(&self, style: SessionKind, soon: Duration) -> bool {
        self.role == Role::Recipient
            && self.account.read(|ledger, _| ledger.looks_soon(style, soon))
    }

    fn is(&self, role: Role) -> bool {
        self.role == role
    }

    /// Says when the next mail will be sent.
    pub fn announce_send(&self, at: Instant) {
        *self.next_send.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Its mail is due and waits for this, until what is given is dropped.
    pub fn waits(&self, queue: Delay) -> InQueue<'_> {
        self.set_waits_for(Some(queue));
        InQueue(self)
    }

    /// What its mail waits for that is due; `None`: for nothing of that kind.
    pub fn waits_for(&self) -> Option<Delay> {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_waits_for(&self, queue: Option<Delay>) {
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = queue;
    }

    /// When the next mail will be sent.
    pub fn next_send(&self) -> Option<Instant> {
        *self.next_send.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How well a mailbox is looked after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Since when the task is there to look: since its beginning, or the end of a suspension.
    pub(super) since: LineInstant,
    /// Whether the newest look has failed.
    pub(super) looks_failed: bool,
}

/// Decides about a mail on behalf of all subscribers, and reports it to the one whose it is.
pub(super) fn judge_mail(
    subscribers: &[Arc<Subscriber>],
    found: &Found,
    clock: &Mutex<ServerClock>,
    inspector: &Inspector,
    watch: Watch,
) -> Disposition {
    if let Some(report) = &found.report {
        return judge_report(subscribers, found, report);
    }
    if found.header.is_delivery_report {
        return Disposition::ReadReport;
    }
    let receives = |subscriber: &Subscriber| subscriber.is(Role::Recipient) && !found.is_copy;
    if let Some((token, subscriber)) = claimant(subscribers, &found.header, receives) {
        if found.accounted.contains(&token) {
            return Disposition::Remove(token);
        }
        if subscriber.target.takes_replies() && found.never_left(token, &subscriber.target.from) {
            return copy_of_own(subscribers, subscriber, token);
        }
        let now = crate::clock::now();
        let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
        let dated = found.server_date.and_then(|date| clock.span(date, now));
        let style = subscriber.target.session_kind();
        let sighting = Sighting {
            folder: found.folder,
            shown_at: found.shown_at,
            asked_at: found.asked_at,
            previous_look: found.previous_look,
            dated,
            is_stamped_once: style == SessionKind::PerPoll && found.header.is_stamped_once,
            network: found.network,
            looks_failed: watch.looks_failed,
            attended_since: if found.was_left { found.asked_at } else { watch.since },
            style,
        };
        let transmitted = subscriber.account.read(|ledger, _| ledger.transmitted(token));
        let verdict = subscriber.account.seen(token, sighting);
        if let (SightingOutcome::Received { stamped, .. }, Some(date)) =
            (verdict, found.server_date)
        {
            clock.learn(date, stamped, now);
        }
        let transit = transit(verdict, transmitted, now.date_of(found.shown_at));
        return match verdict {
            SightingOutcome::Unknown => Disposition::Leave,
            SightingOutcome::Received { .. } | SightingOutcome::Early => {
                inspector.judge_arrival(token, subscriber, transit, found.block.as_deref())
            }
            SightingOutcome::Returned | SightingOutcome::Duplicate | SightingOutcome::Left => {
                Disposition::Remove(token)
            }
        };
    }
    if let Some(disposition) = judge_copy(subscribers, found) {
        return disposition;
    }
    found.header.mark.map_or(Disposition::Leave, |mark| left_over(subscribers, found, mark))
}

/// The live token of a mail with this header, and whose of these it is: of whom the mail itself is, or who waits
/// for an answer.
pub(super) fn claimant<'a>(
    subscribers: &'a [Arc<Subscriber>],
    header: &Header,
    is_asked: impl Fn(&Subscriber) -> bool,
) -> Option<(Token, &'a Arc<Subscriber>)> {
    let owner = |token| {
        let mut asked = subscribers.iter().filter(|subscriber| is_asked(subscriber));
        asked.find(|subscriber| subscriber.account.read(|ledger, _| ledger.is_live(token)))
    };
    if let Some(token) = header.claim(|token| owner(token).map(|owner| owner.target.from.clone())) {
        return Some((token, owner(token)?));
    }
    // Whatever a stranger names, nobody else is asked.
    let takes_it = |subscriber: &Subscriber| {
        subscriber.is(Role::Recipient) && subscriber.target.takes_replies() && is_asked(subscriber)
    };
    let waiting = |token| {
        let mut takers = subscribers.iter().filter(|subscriber| takes_it(subscriber));
        takers.find(|subscriber| subscriber.account.read(|ledger, _| ledger.is_live(token)))
    };
    let token = header.answered(|token| waiting(token).is_some())?;
    Some((token, waiting(token)?))
}

/// The times of a mail of which this was the verdict.
fn transit(
    verdict: SightingOutcome,
    transmitted: Option<SystemTime>,
    seen: SystemTime,
) -> TransitTimes {
    let arrived = match verdict {
        SightingOutcome::Received { roundtrip, .. } => {
            let times = transmitted.zip(roundtrip);
            times.and_then(|(begin, took)| begin.checked_add(took)).map(|it| it.min(seen))
        }
        SightingOutcome::Early => Some(seen),
        _ => None,
    };
    TransitTimes { transmitted, seen, arrived }
}

/// A copy that the sending side keeps. While its mail is under way to this very mailbox it stays:
/// where folders are labels, the mail that arrives is the same one. `None`: it is none of ours.
fn judge_copy(subscribers: &[Arc<Subscriber>], found: &Found) -> Option<Disposition> {
    let sends = |subscriber: &&Arc<Subscriber>| subscriber.is(Role::Sender);
    let owner = |token| {
        subscribers
            .iter()
            .filter(sends)
            .find(|subscriber| subscriber.account.read(|ledger, _| ledger.is_live(token)))
    };
    let token = found.header.claim(|token| owner(token).map(|it| it.target.from.clone()))?;
    Some(copy_of_own(subscribers, owner(token)?, token))
}

/// The same of the mail with this live token of this owner.
fn copy_of_own(
    subscribers: &[Arc<Subscriber>],
    owner: &Arc<Subscriber>,
    token: Token,
) -> Disposition {
    let receives_here = subscribers.iter().any(|subscriber| {
        subscriber.is(Role::Recipient) && Arc::ptr_eq(&subscriber.account, &owner.account)
    });
    if receives_here && owner.account.read(|ledger, _| ledger.is_awaited(token)) {
        Disposition::LeftOver(clock::wall() + owner.target.late_after)
    } else {
        Disposition::Discard
    }
}

/// What a report says of a mail of ours is passed on to its account, and the report is done with. One that
/// says nothing of it stays: people may make more of it.
fn judge_report(subscribers: &[Arc<Subscriber>], found: &Found, report: &DsnReport) -> Disposition {
    let Some(worst) = report.worst() else { return Disposition::Leave };
    let returned = Header::parse(&report.returned_header);
    let owner = |token| {
        subscribers
            .iter()
            .find(|subscriber| subscriber.account.read(|ledger, _| ledger.is_live(token)))
    };
    let sender = |token| owner(token).map(|subscriber| subscriber.target.from.clone());
    for token in reports::tokens(report, &returned).chain(returned.claim(sender)) {
        let Some(subscriber) = owner(token) else { continue };
        subscriber.account.delivery_reported(reports::delivery_report(
            &subscriber.target,
            token,
            report,
            worst,
        ));
        return Disposition::Discard;
    }
    returned.mark.map_or(Disposition::Leave, |mark| left_over(subscribers, found, mark))
}

/// A test mail, or a report about one, that nobody here waits for.
fn left_over(subscribers: &[Arc<Subscriber>], found: &Found, mark: Mark) -> Disposition {
    let longest = subscribers
        .iter()
        .map(|subscriber| subscriber.account.read(|ledger, _| ledger.lost_after()))
        .max();
    let until = left_over_until(mark, found.server_date, longest.unwrap_or_default());
    Disposition::LeftOver(until)
}

/// Until when a left-over is respected: until its own time and, by the date of the server that keeps it,
/// ours has passed.
pub(crate) fn left_over_until(
    mark: Mark,
    server_date: Option<SystemTime>,
    lost_after: Duration,
) -> SystemTime {
    mark.expires.max(server_date.unwrap_or(mark.expires) + lost_after)
}

/// Whether there is one among these for whose mails nobody has looked before, and who still waits for one.
pub(super) fn have_joined(before: &[Arc<Subscriber>], now: &[Arc<Subscriber>]) -> bool {
    let known: BTreeSet<*const Account> =
        before.iter().map(|it| Arc::as_ptr(&it.account)).collect();
    let mut joined = now.iter().filter(|it| !known.contains(&Arc::as_ptr(&it.account)));
    joined.any(|it| {
        it.account.read(|ledger, _| {
            let is_awaiting = ledger.oldest_outstanding().is_some();
            is_awaiting || ledger.is_sending() || ledger.is_missing_mail()
        })
    })
}

/// Whether any subscriber waits for a mail.
pub(super) fn is_awaiting(subscribers: &[Arc<Subscriber>]) -> bool {
    oldest_outstanding(subscribers).is_some()
}

/// When the oldest mail that any subscriber waits for was accepted.
fn oldest_outstanding(subscribers: &[Arc<Subscriber>]) -> Option<SystemTime> {
    subscribers
        .iter()
        .filter_map(|subscriber| subscriber.account.read(|ledger, _| ledger.oldest_outstanding()))
        .min()
}

/// From when on mails matter: ours from the acceptance of the oldest outstanding one, or from the
/// beginning of the task if one is just being sent; from long ago if a doubtful or lost one may
/// still turn up.
pub(super) fn since(subscribers: &[Arc<Subscriber>], watch_began: LineInstant) -> Since {
    let now = crate::clock::now();
    let horizon = left_over_horizon(subscribers, now.wall);
    let is_missing = subscribers
        .iter()
        .any(|subscriber| subscriber.account.read(|ledger, _| ledger.is_missing_mail()));
    let is_sending = || {
        subscribers
            .iter()
            .any(|subscriber| subscriber.account.read(|ledger, _| ledger.is_sending()))
    };
    let oldest =
        oldest_outstanding(subscribers).or_else(|| is_sending().then(|| now.date_of(watch_began)));
    let ours =
        if is_missing { oldest.map_or(Some(horizon), |at| Some(at.min(horizon))) } else { oldest };
    Since { ours, left_overs: ours.map_or(horizon, |ours| ours.min(horizon)) }
}

/// How far back left-overs are looked for at the first contact with a folder.
fn left_over_horizon(subscribers: &[Arc<Subscriber>], now: SystemTime) -> SystemTime {
    let longest = subscribers
        .iter()
        .map(|subscriber| subscriber.account.read(|ledger, _| ledger.lost_after()))
        .max();
    now.checked_sub(longest.unwrap_or_default() * 2).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether a subscriber whose mails arrive here will send within `soon`.
pub(super) fn sends_soon(subscribers: &[Arc<Subscriber>], soon: Duration) -> bool {
    let limit = Instant::now() + soon;
    let receives = |subscriber: &&Arc<Subscriber>| subscriber.is(Role::Recipient);
    subscribers
        .iter()
        .filter(receives)
        .filter_map(|subscriber| subscriber.next_send())
        .any(|at| at <= limit)
}
