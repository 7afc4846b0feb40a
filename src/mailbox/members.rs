//! The targets that receive in a mailbox, and whose a mail is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::clock::ServerClock;
use super::{Found, Judgement};
use crate::config::Target;
use crate::target::account::Account;
use crate::target::ledger::{Moment, Sighting, Verdict};

/// One target that receives in the mailbox.
pub struct Member {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its account.
    pub account: Arc<Account>,
    next_send: Mutex<Option<Instant>>,
}

impl Member {
    /// A target whose first mail is due at `first_send`.
    pub fn new(target: Arc<Target>, account: Arc<Account>, first_send: Instant) -> Self {
        Self { target, account, next_send: Mutex::new(Some(first_send)) }
    }

    /// Says when the next mail will be sent.
    pub fn announce_send(&self, at: Instant) {
        *self.next_send.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// When the next mail will be sent.
    pub fn next_send(&self) -> Option<Instant> {
        *self.next_send.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Decides about a mail on behalf of all members, and tells the one whose it is.
pub(super) fn judge(
    members: &[Arc<Member>],
    found: &Found,
    clock: &Mutex<ServerClock>,
) -> Judgement {
    let owner = |token| members.iter().find(|member| member.account.is_live(token));
    let claim = found.header.claim(|token| owner(token).map(|member| member.target.from.clone()));
    if let Some(token) = claim
        && let Some(member) = owner(token)
    {
        let now = Moment::now();
        let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
        let dated = found.server_date.and_then(|date| clock.instant(date, (now.instant, now.wall)));
        let sighting = Sighting {
            folder: found.folder,
            shown_at: found.shown_at.into_std(),
            previous_look: found.previous_look.map(Instant::into_std),
            dated,
            style: member.target.receive.protocol.look_style(),
        };
        let verdict = member.account.seen(token, sighting);
        if let (Verdict::Received { is_watched: true, .. }, Some(date)) =
            (verdict, found.server_date)
        {
            let ago = now.instant.saturating_duration_since(found.shown_at.into_std());
            clock.learn(date, now.wall.checked_sub(ago).unwrap_or(now.wall));
        }
        return if verdict == Verdict::Unknown { Judgement::Leave } else { Judgement::Remove };
    }
    let Some(mark) = found.header.mark else { return Judgement::Leave };
    let longest = members.iter().map(|member| member.account.lost_after()).max();
    let respected = found.server_date.unwrap_or(mark.expires) + longest.unwrap_or_default();
    Judgement::LeftOver(mark.expires.max(respected))
}

/// When the oldest mail that any member waits for was accepted.
pub(super) fn oldest_outstanding(members: &[Arc<Member>]) -> Option<SystemTime> {
    members.iter().filter_map(|member| member.account.oldest_outstanding()).min()
}

/// From when on mails in a maildrop may be ours: the acceptance of the oldest outstanding one, or
/// the beginning of the watch if one is just being sent; long ago if a doubtful or lost one may still
/// turn up; `None` if there is no such mail.
pub(super) fn in_flight_since(
    members: &[Arc<Member>],
    watch_began: SystemTime,
) -> Option<SystemTime> {
    if members.iter().any(|member| member.account.is_missing_mail()) {
        return Some(left_over_horizon(members, SystemTime::now()));
    }
    let is_sending = || members.iter().any(|member| member.account.is_sending());
    oldest_outstanding(members).or_else(|| is_sending().then_some(watch_began))
}

/// How far back left-overs are looked for at the first contact with a folder.
pub(super) fn left_over_horizon(members: &[Arc<Member>], now: SystemTime) -> SystemTime {
    let longest = members.iter().map(|member| member.account.lost_after()).max();
    now.checked_sub(longest.unwrap_or_default() * 2).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether a member will send within `soon`.
pub(super) fn sends_soon(members: &[Arc<Member>], soon: Duration) -> bool {
    let limit = Instant::now() + soon;
    members.iter().filter_map(|member| member.next_send()).any(|at| at <= limit)
}
