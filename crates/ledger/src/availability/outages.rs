//! The latest outages of each side.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Span;
use crate::{Failure, PerSide, Reason, Side, Step};

/// A time in which every attempt on a side has failed: from the first that did to the first that did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When the first attempt failed.
    pub began: SystemTime,
    /// When one succeeded again, or until when it was seen before the exporter was away for long; `None`: it
    /// goes on.
    pub ended: Option<SystemTime>,
    /// In which step the first attempt failed,
    pub step: Step,
    /// why,
    pub reason: Reason,
    /// and in which words; cut to [`Outages::MOST_CHARS`].
    pub words: Arc<str>,
}

/// The latest outages of each side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outages(PerSide<VecDeque<Outage>>);

impl Outages {
    /// So many are kept of each side, the newest.
    pub const MOST: usize = 20;
    /// So many characters of the words are kept.
    pub const MOST_CHARS: usize = 160;
    /// An outage goes on over this long without the exporter at most: a restart, an upgrade.
    pub const LONGEST_UNSEEN: Duration = Duration::from_secs(15 * 60);

    /// As they were kept, by a clock that was so far `ahead`. None lies in the future, and only the newest
    /// goes on.
    pub(super) fn restore(kept: &PerSide<Vec<Outage>>, ahead: Duration, now: SystemTime) -> Self {
        let mut kept = Self(kept.as_ref().map(|kept| kept.iter().cloned().collect()));
        kept.redate(now.checked_add(ahead).unwrap_or(now), now);
        Self(kept.0.map(|kept| {
            let mut outages = Vec::from(kept);
            outages.sort_by_key(|outage| outage.began);
            let mut next = None;
            for outage in outages.iter_mut().rev() {
                outage.began = outage.began.min(now);
                outage.ended = outage.ended.or(next).map(|end| end.clamp(outage.began, now));
                outage.words = cut(&outage.words);
                next = Some(outage.began);
            }
            let mut outages = VecDeque::from(outages);
            trim(&mut outages, now);
            outages
        }))
    }

    /// Nobody has looked since `seen`: where that is too long ago, nobody knows whether an outage that went on then
    /// went on after it, and it ends there. Whether there was one.
    pub(super) fn leave_unseen(&mut self, seen: SystemTime, now: SystemTime) -> bool {
        let is_unseen = now.duration_since(seen).is_ok_and(|away| away > Self::LONGEST_UNSEEN);
        // Both, whatever the first says.
        is_unseen && Side::ALL.map(|side| self.end(side, seen)).contains(&true)
    }

    /// An attempt has failed; whether an outage begins with it.
    pub(super) fn begin(&mut self, side: Side, failure: &Failure, now: SystemTime) -> bool {
        let outages = &mut self.0[side];
        if outages.back().is_some_and(|newest| newest.ended.is_none()) {
            return false;
        }
        let Failure { step, reason, message, .. } = failure;
        let (step, reason, words) = (*step, *reason, cut(message));
        outages.push_back(Outage { began: now, ended: None, step, reason, words });
        trim(outages, now);
        true
    }

    /// The outage that goes on is over; whether there was one.
    pub(super) fn end(&mut self, side: Side, now: SystemTime) -> bool {
        let Some(newest) = self.0[side].back_mut().filter(|newest| newest.ended.is_none()) else {
            return false;
        };
        newest.ended = Some(now.max(newest.began));
        true
    }

    /// Gives them other dates, for what was `before` is `now`; whether there are some.
    pub(super) fn redate(&mut self, before: SystemTime, now: SystemTime) -> bool {
        let redate = |date: SystemTime| {
            let moved = match now.duration_since(before) {
                Ok(ahead) => date.checked_add(ahead),
                Err(back) => date.checked_sub(back.duration()),
            };
            moved.unwrap_or(date)
        };
        let mut has_some = false;
        for (_, outages) in self.0.iter_mut() {
            for outage in outages {
                outage.began = redate(outage.began);
                outage.ended = outage.ended.map(redate);
                has_some = true;
            }
        }
        has_some
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> PerSide<Vec<Outage>> {
        self.0.as_ref().map(|outages| outages.iter().cloned().collect())
    }

    /// Those of a side, newest first.
    pub(super) fn of(&self, side: Side) -> impl Iterator<Item = &Outage> {
        self.0[side].iter().rev()
    }
}

/// Leaves the newest of the days that are kept.
fn trim(outages: &mut VecDeque<Outage>, now: SystemTime) {
    let kept = Span::Day.width() * u32::try_from(Span::Day.length()).unwrap_or(u32::MAX);
    let is_old = |end: SystemTime| now.duration_since(end).is_ok_and(|age| age > kept);
    outages.retain(|outage| !outage.ended.is_some_and(is_old));
    while outages.len() > Outages::MOST {
        outages.pop_front();
    }
}

fn cut(words: &str) -> Arc<str> {
    match words.char_indices().nth(Outages::MOST_CHARS) {
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()).into(),
        None => words.into(),
    }
}
