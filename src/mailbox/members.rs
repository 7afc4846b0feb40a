//! The targets that receive in a mailbox, and whose a mail is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::clock::ServerClock;
use super::{Found, Inspector, Judgement, Since};
use crate::config::Target;
use crate::target::account::Account;
use crate::target::inspection::Passage;
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
    inspector: &Inspector,
) -> Judgement {
    let owner = |token| members.iter().find(|member| member.account.is_live(token));
    let claim = found.header.claim(|token| owner(token).map(|member| member.target.from.clone()));
    if let Some(token) = claim
        && let Some(member) = owner(token)
    {
        if found.accounted.contains(&token) {
            return Judgement::Remove(token);
        }
        let now = Moment::now();
        let mut clock = clock.lock().unwrap_or_else(PoisonError::into_inner);
        let dated = found.server_date.and_then(|date| clock.instant(date, (now.instant, now.wall)));
        let sighting = Sighting {
            folder: found.folder,
            shown_at: found.shown_at,
            previous_look: found.previous_look,
            dated,
            style: member.target.receive.protocol.look_style(),
        };
        let transmitted = member.account.transmitted(token);
        let verdict = member.account.seen(token, sighting);
        let ago = now.instant.saturating_duration_since(found.shown_at);
        let seen = now.wall.checked_sub(ago).unwrap_or(now.wall);
        if let (Verdict::Received { is_watched: true, .. }, Some(date)) =
            (verdict, found.server_date)
        {
            clock.learn(date, seen);
        }
        let passage = Passage { transmitted, seen };
        return match verdict {
            Verdict::Unknown => Judgement::Leave,
            Verdict::Received { .. } | Verdict::Early => {
                inspector.judge(token, member, passage, found.block.as_deref())
            }
            Verdict::Returned | Verdict::Duplicate | Verdict::Left => Judgement::Remove(token),
        };
    }
    let Some(mark) = found.header.mark else { return Judgement::Leave };
    let longest = members.iter().map(|member| member.account.lost_after()).max();
    let respected = found.server_date.unwrap_or(mark.expires) + longest.unwrap_or_default();
    Judgement::LeftOver(mark.expires.max(respected))
}

/// When the oldest mail that any member waits for was accepted.
fn oldest_outstanding(members: &[Arc<Member>]) -> Option<SystemTime> {
    members.iter().filter_map(|member| member.account.oldest_outstanding()).min()
}

/// From when on mails matter: ours from the acceptance of the oldest outstanding one, or from the
/// beginning of the watch if one is just being sent; from long ago if a doubtful or lost one may
/// still turn up.
pub(super) fn since(members: &[Arc<Member>], watch_began: SystemTime) -> Since {
    let horizon = left_over_horizon(members, SystemTime::now());
    let is_missing = members.iter().any(|member| member.account.is_missing_mail());
    let is_sending = || members.iter().any(|member| member.account.is_sending());
    let oldest = oldest_outstanding(members).or_else(|| is_sending().then_some(watch_began));
    let ours =
        if is_missing { oldest.map_or(Some(horizon), |at| Some(at.min(horizon))) } else { oldest };
    Since { ours, left_overs: ours.map_or(horizon, |ours| ours.min(horizon)) }
}

/// How far back left-overs are looked for at the first contact with a folder.
fn left_over_horizon(members: &[Arc<Member>], now: SystemTime) -> SystemTime {
    let longest = members.iter().map(|member| member.account.lost_after()).max();
    now.checked_sub(longest.unwrap_or_default() * 2).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Whether a member will send within `soon`.
pub(super) fn sends_soon(members: &[Arc<Member>], soon: Duration) -> bool {
    let limit = Instant::now() + soon;
    members.iter().filter_map(|member| member.next_send()).any(|at| at <= limit)
}
