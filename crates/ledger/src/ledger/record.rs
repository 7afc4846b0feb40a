//! What of an account outlives the process: which records an event has changed, and how an account
//! begins again from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::lifecycle::REMEMBERED;
use super::{
    ClockJump, Ended, Histogram, Ledger, MailState, Moment, Newest, Outstanding, Rules,
    SideCounters, SideState, Totals,
};
use crate::{KeptAvailability, LineInstant, PerSide, Purpose, Token};

/// What is kept of a mail. A time that a record does not tell is that of the record before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MailRecord {
    /// What became of it. One that is being sent and has a time in `ended` was seen in the mailbox
    /// before the server's reply: should no reply follow, it has returned.
    pub state: MailState,
    /// What it was sent for.
    pub purpose: Purpose,
    /// Whether it was counted as late.
    pub is_late: bool,
    /// When its transmission began.
    pub transmitted: Option<SystemTime>,
    /// When all of it but the final dot was written.
    pub handed_over: Option<SystemTime>,
    /// When the SMTP server accepted it.
    pub accepted: Option<SystemTime>,
    /// When the wait for it ended; of one that is being sent, when it was seen.
    pub ended: Option<SystemTime>,
}

impl MailRecord {
    /// This record with the times that only the one before it tells.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self {
            is_late: self.is_late || before.is_late,
            transmitted: self.transmitted.or(before.transmitted),
            handed_over: self.handed_over.or(before.handed_over),
            accepted: self.accepted.or(before.accepted),
            ended: self.ended.or(before.ended),
            ..self
        }
    }
}

/// What is kept of an account beside its mails.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountRecord {
    /// The counters.
    pub totals: Totals,
    /// The counters of the two sides.
    pub sides: PerSide<SideCounters>,
    /// Sessions and looks in the sender's own mailbox that failed.
    pub sender_mailbox_failures: u64,
    /// The round trips.
    pub roundtrips: Histogram,
    /// That of the newest mail that arrived.
    pub last_roundtrip: Option<Duration>,
    /// When a mail was last sent, accepted or not.
    pub last_sent: Option<SystemTime>,
}

/// What has changed since the changes were last taken. All of it belongs together: written in part,
/// the account would not add up.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The account, if it has changed.
    pub account: Option<AccountRecord>,
    /// The newest measurements, if they have changed.
    pub newest: Option<Newest>,
    /// The mails that have changed; `None`: forgotten.
    pub mails: BTreeMap<Token, Option<MailRecord>>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.account.is_none() && self.newest.is_none() && self.mails.is_empty()
    }

    /// Whether all that has changed is what was measured: no mail and no counter.
    pub fn is_measurement(&self) -> bool {
        self.account.is_none() && self.mails.is_empty()
    }

    /// Adds what has changed after these.
    pub fn then(&mut self, newer: Self) {
        self.account = newer.account.or(self.account.take());
        self.newest = newer.newest.or(self.newest.take());
        for (token, record) in newer.mails {
            let before = self.mails.get(&token).copied().flatten();
            let record = record.map(|record| before.map_or(record, |before| record.after(&before)));
            self.mails.insert(token, record);
        }
    }
}

/// An account as it is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredAccount {
    /// The account.
    pub account: AccountRecord,
    /// The newest measurements.
    pub newest: Newest,
    /// Its mails.
    pub mails: BTreeMap<Token, MailRecord>,
    /// How it was over the latest hours and days.
    pub availability: KeptAvailability,
}

impl StoredAccount {
    /// Brings it up to date.
    pub fn apply(&mut self, changes: &Changes) {
        if let Some(account) = &changes.account {
            self.account = account.clone();
        }
        if let Some(newest) = &changes.newest {
            self.newest = newest.clone();
        }
        for (token, record) in &changes.mails {
            match (record, self.mails.get(token)) {
                (Some(record), Some(before)) => self.mails.insert(*token, record.after(before)),
                (Some(record), None) => self.mails.insert(*token, *record),
                (None, _) => self.mails.remove(token),
            };
        }
    }
}

/// Which records are out of date.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal {
    touched: BTreeSet<Token>,
    /// The records as they were last taken; `None`: as of an account that has just begun.
    kept: Option<Box<AccountRecord>>,
    newest: Option<Box<Newest>>,
    last_sent: Option<SystemTime>,
}

impl Journal {
    /// This mail is about to be sent.
    pub(super) fn sent(&mut self, token: Token, now: Moment) {
        self.last_sent = Some(now.wall);
        self.touch(token);
    }

    /// A test that sends no mail begins.
    pub(super) fn asked(&mut self, now: Moment) {
        self.last_sent = Some(now.wall);
    }

    /// The wall clock was set.
    pub(super) fn follow(&mut self, jump: ClockJump) {
        self.last_sent = self.last_sent.map(|date| jump.correct(date));
    }

    /// Something has changed about this mail.
    pub(super) fn touch(&mut self, token: Token) {
        self.touched.insert(token);
    }
}

impl Ledger {
    /// The account as it was kept, going on at `now`.
    ///
    /// Wall times become points of the monotonic clock by the age they have now, which is never
    /// negative. A mail without a recorded reply is doubtful, and has returned if it was seen before
    /// that reply and perhaps removed: nobody will see it again. A mail that nobody here has looked for during
    /// `lost_after` may have been removed by another exporter, as a left-over: it is received if the next look
    /// shows it, and else leaves. Should the records not add up, the
    /// sum of the counters is made to hold, and none is lowered. The newest measurements go on from
    /// their own time; an attempt that was under way is none.
    pub fn restore(rules: Rules, stored: &StoredAccount, now: Moment) -> Self {
        let mut ledger = Self::new(rules);
        ledger.wall_clock.jump(now);
        ledger.totals = stored.account.totals.into();
        ledger.restore_availability(stored, now);
        ledger.sides = stored.account.sides.clone().map(|side| SideState::counted(side).into());
        for (_, side) in ledger.sides.iter_mut() {
            side.failures.are_over(now.wall);
        }
        ledger.sender_mailbox.failures = stored.account.sender_mailbox_failures;
        ledger.roundtrips = stored.account.roundtrips.into();
        ledger.last_roundtrip = stored.account.last_roundtrip;
        ledger.journal.kept = differing(&stored.account);
        ledger.journal.last_sent = stored.account.last_sent;
        ledger.journal.newest = differing(&stored.newest);
        ledger.restore_newest(&stored.newest, now);
        let attended =
            stored.newest.sides.receive.last_success.and_then(|date| now.moment_of(date));
        let mut unanswered = Vec::new();
        for (token, mail) in &stored.mails {
            match mail.state {
                MailState::Sending => unanswered.push((*token, mail)),
                MailState::Outstanding => {
                    let mut mail = restored_outstanding(*token, mail, now);
                    mail.is_unattended = is_unattended(&mail, attended, &rules, now);
                    ledger.outstanding.push_back(mail);
                }
                MailState::Refused => {}
                MailState::Doubtful
                | MailState::Received
                | MailState::Returned
                | MailState::Bounced
                | MailState::Lost
                | MailState::Left => ledger.ended.push_back(restored_end(*token, mail, now)),
            }
        }
        ledger.outstanding.make_contiguous().sort_by_key(|mail| mail.accepted.instant);
        ledger.ended.make_contiguous().sort_by_key(|mail| mail.at);
        ledger.balance();
        // What was sent to another end than is expected now is not waited for.
        ledger.leave_if(|purpose| rules.is_out_of_place(purpose), now);
        while ledger.ended.len() > REMEMBERED {
            ledger.forget_oldest();
        }
        for (token, mail) in unanswered {
            ledger.doubt(token, mail.purpose, mail.ended.is_some(), now);
        }
        while ledger.outstanding.len() > rules.max_outstanding {
            ledger.lose_oldest(now);
        }
        ledger.share_beginnings();
        ledger
    }

    /// What has changed since this was last asked.
    pub fn take_changes(&mut self, now: Moment) -> Changes {
        let touched = std::mem::take(&mut self.journal.touched);
        let mails: BTreeMap<_, _> =
            touched.into_iter().map(|token| (token, self.record_of(token, now))).collect();
        let account = AccountRecord {
            totals: *self.totals,
            sides: self.sides.as_ref().map(|side| side.counters()),
            sender_mailbox_failures: self.sender_mailbox.failures,
            roundtrips: *self.roundtrips,
            last_roundtrip: self.last_roundtrip,
            last_sent: self.journal.last_sent,
        };
        let account = replaced(&mut self.journal.kept, account);
        let newest = self.newest();
        // Before the first measurement there is nothing to keep.
        let is_new = self.journal.newest.is_none() && newest.is_unmeasured();
        let newest = if is_new { None } else { replaced(&mut self.journal.newest, newest) };
        Changes { account, newest, mails }
    }

    /// When a mail was last sent, in this process or an earlier one.
    pub fn last_sent(&self) -> Option<SystemTime> {
        self.journal.last_sent
    }

    pub(super) fn record_of(&self, token: Token, now: Moment) -> Option<MailRecord> {
        let blank = MailRecord {
            state: MailState::Sending,
            purpose: Purpose::Delivery,
            is_late: false,
            transmitted: None,
            handed_over: None,
            accepted: None,
            ended: None,
        };
        if let Some(sending) = self.sending.get(&token) {
            let seen = sending.seen.map(|sighting| sighting.shown_at);
            return Some(MailRecord {
                purpose: sending.purpose,
                transmitted: Some(sending.began.wall),
                ended: seen.map(|at| now.date_of(at)),
                ..blank
            });
        }
        if let Some(mail) = self.outstanding.iter().rev().find(|mail| mail.token == token) {
            let Outstanding { purpose, is_late, transmitted, handed_over, accepted, .. } = *mail;
            return Some(MailRecord {
                state: MailState::Outstanding,
                purpose,
                is_late,
                transmitted: Some(accepted.date_of(transmitted)),
                handed_over: Some(accepted.date_of(handed_over)),
                accepted: Some(accepted.wall),
                ..blank
            });
        }
        let mail = self.ended.iter().rev().find(|mail| mail.token == token)?;
        let ended = Some(now.date_of(mail.at));
        let Ended { purpose, state, is_late, .. } = *mail;
        Some(MailRecord { state, purpose, is_late, ended, ..blank })
    }

    /// Of the mails that are to be delivered, as the others are in no counter:
    /// makes accepted = outstanding + received + bounced + lost + left. A mail whose record is missing has
    /// left: nobody can say what became of it.
    fn balance(&mut self) {
        let totals = &mut self.totals;
        let is_counted = |mail: &&Outstanding| mail.purpose == Purpose::Delivery;
        let outstanding = self.outstanding.iter().filter(is_counted).count();
        let outstanding = u64::try_from(outstanding).unwrap_or(u64::MAX);
        let known = [totals.received, totals.bounced, totals.lost, totals.left]
            .iter()
            .fold(outstanding, |sum, count| sum.saturating_add(*count));
        totals.left = totals.left.saturating_add(totals.accepted.saturating_sub(known));
        totals.accepted = totals.accepted.max(known);
        totals.probes = totals.probes.max(totals.accepted.saturating_add(totals.doubtful));
    }
}

/// A record, if it differs from that of an account that has just begun.
fn differing<T: Clone + Default + PartialEq>(record: &T) -> Option<Box<T>> {
    (*record != T::default()).then(|| Box::new(record.clone()))
}

/// Puts a record in the place of the one that was taken last, and gives it if it differs.
fn replaced<T: Clone + Default + PartialEq>(kept: &mut Option<Box<T>>, record: T) -> Option<T> {
    let is_known = match kept {
        Some(kept) => **kept == record,
        None => record == T::default(),
    };
    if is_known {
        return None;
    }
    *kept = Some(Box::new(record.clone()));
    Some(record)
}

fn restored_outstanding(token: Token, mail: &MailRecord, now: Moment) -> Outstanding {
    // Without its own time, or with one to come, a mail is as young as can be.
    let wall = mail.accepted.map_or(now.wall, |accepted| accepted.min(now.wall));
    let instant = before(now, age(wall, now));
    let earlier = |date: Option<SystemTime>| {
        let distance = mail.accepted.zip(date).and_then(|(at, date)| at.duration_since(date).ok());
        instant.checked_sub(distance.unwrap_or_default()).unwrap_or(instant)
    };
    let transmitted = earlier(mail.transmitted);
    let handed_over = mail.handed_over.map_or(transmitted, |at| earlier(Some(at)));
    Outstanding {
        token,
        purpose: mail.purpose,
        transmitted,
        handed_over,
        taken: handed_over,
        accepted: Moment { instant, wall },
        is_late: mail.is_late,
        overdue: None,
        is_unattended: false,
    }
}

/// Whether the mail may have come and gone since its mailbox was last `attended` to, or since it was sent: others
/// remove it once its arrival lies `lost_after` back, and not before.
fn is_unattended(
    mail: &Outstanding,
    attended: Option<LineInstant>,
    rules: &Rules,
    now: Moment,
) -> bool {
    let since = attended.map_or(mail.accepted.instant, |at| at.max(mail.accepted.instant));
    now.instant.saturating_duration_since(since) >= rules.lost_after
}

fn restored_end(token: Token, mail: &MailRecord, now: Moment) -> Ended {
    let at = before(now, mail.ended.map_or(Duration::ZERO, |at| age(at, now)));
    Ended { token, purpose: mail.purpose, state: mail.state, at, is_late: mail.is_late }
}

fn age(wall: SystemTime, now: Moment) -> Duration {
    now.wall.duration_since(wall).unwrap_or_default()
}

fn before(now: Moment, age: Duration) -> LineInstant {
    now.instant.checked_sub(age).unwrap_or(now.instant)
}
