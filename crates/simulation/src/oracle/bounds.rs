//! What a site may have lost, may be in doubt about, and may say of its round trips: never more than what really happened.

use std::time::Duration;

use ledger::{Reading, Snapshot, Totals};

use super::rules::{DATED, ROUND_TRIP_SLACK, WATCHED};
use super::{CALM_ROUND_TRIP, LOST_AFTER, Oracle};
use crate::site::Site;
use crate::truth::Mail;

impl Oracle {
    /// Of a site that works, a mail is given up only if it did not arrive in time, and none is in doubt. To be called
    /// before these totals are noted.
    pub(super) fn judge_losses(&self, site: &Site, totals: &Totals) -> Result<(), String> {
        let Some((record, steady)) = self.steady(site) else { return Ok(()) };
        let now = self.clock.age();
        let settled = steady.max(record.send.since).max(record.receive.since);
        let longest = record.longest();
        let is_settled = now.saturating_sub(settled) > longest && now >= record.inexact_until;
        let Some(before) = record.totals.filter(|_| is_settled && record.works_for(longest, now))
        else {
            return Ok(());
        };
        let name = &site.user;
        let doubtful = totals.doubtful.saturating_sub(before.doubtful);
        if doubtful > 0 {
            return Err(format!("{name}: {doubtful} in doubt, and each attempt succeeds"));
        }
        let lost = totals.lost.saturating_sub(before.lost);
        if lost == 0 {
            return Ok(());
        }
        let is_overdue = |mail: &Mail| {
            let age = now.saturating_sub(mail.accepted);
            let arrived = mail.placed.map(|placed| placed.saturating_sub(mail.accepted));
            let longest = record.interval.max(record.earlier_interval);
            let is_late = arrived.is_none_or(|it| it + DATED + longest >= LOST_AFTER);
            is_late && age + DATED >= LOST_AFTER
        };
        let overdue = self.truth.site(site.number, |truth| {
            truth.mails.values().filter(|mail| is_overdue(mail)).count() as u64
        });
        match lost <= overdue {
            true => Ok(()),
            false => Err(format!("{name}: {lost} lost, and {overdue} had not arrived in time")),
        }
    }

    /// The mean of the round trips that is published lies between those of the newest arrivals, and there is none where
    /// nothing arrived.
    pub(super) fn judge_mean(&self, site: &Site, snapshot: &Snapshot) -> Result<(), String> {
        let Reading::Is(mean) = snapshot.roundtrip else { return Ok(()) };
        let Some((record, steady)) = self.steady(site) else { return Ok(()) };
        let (now, longest) = (self.clock.age(), record.longest());
        let settled = steady.max(record.send.since).max(record.receive.since);
        let is_settled = now.saturating_sub(settled) > longest * 2 && now >= record.inexact_until;
        if !is_settled || !record.works_for(longest * 2, now) {
            return Ok(());
        }
        let name = &site.user;
        let pop3 = record.latest_look(site);
        let is_new = |placed: &Duration| now.saturating_sub(*placed) <= longest * 2;
        let (least, most) = self.truth.site(site.number, |truth| {
            let new = truth.mails.values().filter_map(|mail| {
                let placed = mail.placed.filter(is_new)?;
                Some(placed.saturating_sub(mail.accepted))
            });
            new.fold((None, None), |(least, most): (Option<Duration>, Option<Duration>), trip| {
                (Some(least.map_or(trip, |it| it.min(trip))), most.max(Some(trip)))
            })
        });
        let (Some(least), Some(most)) = (least, most) else {
            return Err(format!("{name}: round trips of {mean:?}, and nothing arrived"));
        };
        let most = most.mul_f64(WATCHED) + ROUND_TRIP_SLACK + pop3;
        if mean + DATED + pop3 < least || mean > most {
            return Err(format!(
                "{name}: round trips of {mean:?}, and they took {least:?} to {most:?}"
            ));
        }
        if site.fate.is_calm && mean > CALM_ROUND_TRIP && !self.is_disk_behind() {
            return Err(format!("{name}: round trips of {mean:?}, and nothing is wrong"));
        }
        Ok(())
    }
}
