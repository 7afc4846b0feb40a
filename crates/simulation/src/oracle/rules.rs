//! What must hold of one site.

use std::time::Duration;

use ledger::{Reading, Side, Snapshot, Totals};
use mailtrip_exporter::supervisor::TargetHandle;

use super::{
    CALM_ROUND_TRIP, Known, LOOK, LOST_AFTER, MOST_CONNECTIONS, MOST_SESSIONS, Oracle, Record,
    STANDSTILL,
};
use crate::site::Site;
use crate::trouble::{Effect, Place};

/// What a power loss may take of a counter: what a target has done in a second.
const UNWRITTEN: u64 = 4;
/// The same of the looks into a mailbox.
const UNWRITTEN_LOOKS: u64 = 40;
/// The most mails of a calm site that are awaited at one time.
const MOST_AWAITED: usize = 2;
/// More buckets than a histogram of round trips has.
const EXEMPLARS: usize = 32;
/// A server dates mail by the second.
pub(super) const DATED: Duration = Duration::from_secs(2);
/// Looks are made at a tenth of the time for which a mail is awaited.
pub(super) const WATCHED: f64 = 1.15;
/// What a round trip may have beside the way of the mail: the dialogue before it, and the look that sees it.
pub(super) const ROUND_TRIP_SLACK: Duration = Duration::from_secs(75);

impl Oracle {
    pub(super) fn judge_sessions(&self, site: &Site) -> Result<(), String> {
        let name = &site.user;
        for place in [Place::Send, Place::Receive] {
            let stats = site.server(place).stats();
            if place == Place::Receive && stats.sessions_open > MOST_SESSIONS {
                return Err(format!("{name}: {} sessions are open", stats.sessions_open));
            }
            let addresses = [site.address(place), site.other_address(place)];
            let most =
                addresses.map(|it| site.network.take_most_open(it)).into_iter().sum::<usize>();
            if most > MOST_CONNECTIONS {
                return Err(format!("{name}: {most} connections were open at one time"));
            }
        }
        Ok(())
    }

    pub(super) fn judge_target(
        &mut self,
        site: &Site,
        handle: &TargetHandle,
    ) -> Result<(), String> {
        let snapshot = handle.account.snapshot();
        let awaited = handle.account.read(|ledger, _| ledger.outstanding_mails(usize::MAX).len());
        let totals = *snapshot.totals;
        self.judge_sum(site, &totals, awaited)?;
        self.judge_outlived(site, &totals, &snapshot)?;
        self.judge_look(site, handle)?;
        self.judge_losses(site, &totals)?;
        self.judge_growth(site, &totals)?;
        self.judge_number(site, &totals)?;
        let Some(record) = self.record(site) else { return Ok(()) };
        let (send, receive) = (snapshot.send_ability, snapshot.receive_ability);
        let is_all_or_nothing = |share: f64| share == 0.0 || share == 1.0;
        if let Reading::Is(share) = send
            && site.fate.messages == 1
            && !is_all_or_nothing(share)
        {
            return Err(format!("{}: the ability to send is {share}", site.user));
        }
        let send = send.map(|share| share == 1.0);
        self.judge_ability(site, Side::Send, record.send, send)?;
        self.judge_ability(site, Side::Receive, record.receive, receive)?;
        self.judge_mailbox(site)?;
        self.judge_round_trip(site, &snapshot)?;
        self.judge_mean(site, &snapshot)?;
        self.judge_outstanding(site, awaited)?;
        if site.fate.is_calm {
            self.judge_calm(site, &totals, snapshot.last_roundtrip, awaited)?;
        }
        Ok(())
    }

    /// Each mail is in one place of the books.
    fn judge_sum(&self, site: &Site, totals: &Totals, awaited: usize) -> Result<(), String> {
        let Totals { accepted, received, bounced, lost, left, .. } = *totals;
        let booked = awaited as u64 + received + bounced + lost + left;
        if accepted != booked {
            return Err(format!(
                "{}: {accepted} accepted, and {awaited} outstanding, {received} received, \
                 {bounced} bounced, {lost} lost, {left} left",
                site.user
            ));
        }
        Ok(())
    }

    /// What an earlier process had measured does not stand once it is too old.
    fn judge_outlived(
        &mut self,
        site: &Site,
        totals: &Totals,
        snapshot: &Snapshot,
    ) -> Result<(), String> {
        let Some(record) = self.records.get_mut(site.number) else { return Ok(()) };
        let says = [
            matches!(snapshot.send_ability, Reading::Is(_)),
            matches!(snapshot.receive_ability, Reading::Is(_)),
        ];
        let sides = record.outlived.iter_mut().zip([totals.probes, totals.checks]).zip(says);
        for ((outlived, count), says_something) in sides {
            *outlived = outlived.filter(|then| *then == count);
            if outlived.is_some() && says_something {
                return Err(format!("{}: an old ability stands", site.user));
            }
        }
        Ok(())
    }

    /// A look that decides about a mail is made when it is due.
    fn judge_look(&mut self, site: &Site, handle: &TargetHandle) -> Result<(), String> {
        let is_due = handle.account.read(|ledger, now| ledger.is_look_due(now));
        let (now, alive) = (self.clock.age(), self.alive_since.unwrap_or_default());
        let Some(record) = self.records.get_mut(site.number) else { return Ok(()) };
        let settled = record.receive.since.max(record.undisturbed_since).max(alive);
        let is_settled = now.saturating_sub(settled) > record.longest();
        if !is_due || record.receive.effect != Effect::Works || !is_settled {
            record.look_due_since = None;
            return Ok(());
        }
        let since = *record.look_due_since.get_or_insert(now);
        match now.saturating_sub(since) > LOOK {
            true => Err(format!("{}: a look is due and is not made", site.user)),
            false => Ok(()),
        }
    }

    /// No counter falls, and those of the two loops grow.
    fn judge_growth(&mut self, site: &Site, totals: &Totals) -> Result<(), String> {
        let (now, since) = (self.clock.age(), self.alive_since.unwrap_or_default());
        let accepted = self.truth.site(site.number, |it| it.accepted);
        let Some(record) = self.records.get_mut(site.number) else { return Ok(()) };
        let before = record.totals.replace(*totals).unwrap_or_default();
        if let Some(lost) = record.lost.take() {
            let pairs = counters(&lost).into_iter().zip(counters(totals));
            for ((name, before), (_, after)) in pairs {
                let most = if name == "looks" { UNWRITTEN_LOOKS } else { UNWRITTEN };
                if before > after + most {
                    return Err(format!(
                        "{}: a power loss took the counter {name} from {before} to {after}",
                        site.user
                    ));
                }
            }
        }
        if now < record.inexact_until {
            record.base = (*totals, accepted);
        }
        if !site.fate.is_passive && totals.left > record.base.0.left {
            return Err(format!(
                "{}: {} left, and the target is not passive",
                site.user, totals.left
            ));
        }
        let pairs = counters(&before).into_iter().zip(counters(totals));
        if let Some(((name, before), (_, after))) =
            pairs.into_iter().find(|((_, before), (_, after))| before > after)
        {
            return Err(format!("{}: the counter {name} fell from {before} to {after}", site.user));
        }
        // Not what was skipped: that is counted by the time, whoever lives.
        let done = |it: &Totals| [it.probes, it.checks];
        // A passive target that is down counts nothing.
        let is_excused = site.fate.is_passive && !record.works_for(record.longest(), now);
        let longest = STANDSTILL + record.interval;
        let loops = ["sending", "checking"].into_iter().zip(done(&before)).zip(done(totals));
        for (((name, before), after), grown) in loops.zip(&mut record.progress) {
            if after > before {
                *grown = now;
            }
            if !is_excused && now.saturating_sub((*grown).max(since)) > longest {
                return Err(format!("{}: {name} stands still", site.user));
            }
        }
        Ok(())
    }

    /// No mail was counted that was not, and none twice.
    fn judge_number(&self, site: &Site, totals: &Totals) -> Result<(), String> {
        let (accepted, placed, reported) =
            self.truth.site(site.number, |it| (it.accepted, it.placed, it.reported));
        let name = &site.user;
        if totals.accepted > accepted {
            let told = totals.accepted;
            return Err(format!("{name}: {told} accepted, and the server accepted {accepted}"));
        }
        let seen = totals.received + totals.returned;
        if seen > placed {
            return Err(format!("{name}: {seen} received or returned, and {placed} arrived"));
        }
        if totals.bounced > reported {
            let told = totals.bounced;
            return Err(format!("{name}: {told} bounced, and {reported} were reported"));
        }
        // One that is being sent is not counted yet.
        let now = self.clock.age();
        let Some(record) = self.record(site) else { return Ok(()) };
        let longest = record.longest();
        let is_new = |accepted: Duration| now.saturating_sub(accepted) <= longest;
        let new = self.truth.site(site.number, |it| {
            it.mails.values().filter(|mail| is_new(mail.accepted)).count() as u64
        });
        let (base, accepted_then) = record.base;
        let (known, before) = (totals.accepted + totals.doubtful, base.accepted + base.doubtful);
        let (known, accepted) = (known.saturating_sub(before), accepted - accepted_then);
        if !site.fate.is_passive && known + new < accepted {
            return Err(format!(
                "{name}: {known} accepted or doubtful, and the server accepted {accepted}"
            ));
        }
        Ok(())
    }

    /// A side that works for long enough reads so, and one that fails as well.
    fn judge_ability(
        &self,
        site: &Site,
        side: Side,
        known: Known,
        says: Reading<bool>,
    ) -> Result<(), String> {
        let Some(record) = self.record(site) else { return Ok(()) };
        let Some(alive) = self.alive_since else { return Ok(()) };
        let settled = known.since.max(record.undisturbed_since).max(alive);
        if self.clock.age().saturating_sub(settled) <= record.longest() {
            return Ok(());
        }
        let is_right = match known.effect {
            Effect::Unsure => true,
            Effect::Works => says == Reading::Is(true),
            Effect::Down if site.fate.is_passive => says == Reading::NotApplicable,
            // A server that hangs up or says nothing may be one that is not there.
            Effect::Fails if site.fate.is_passive => says != Reading::Is(true),
            Effect::Fails | Effect::Down => says == Reading::Is(false),
        };
        match is_right {
            true => Ok(()),
            false => Err(format!(
                "{}: the ability to {} is {says:?}, and since {} each attempt {}",
                site.user,
                side.label(),
                crate::clock::shown(known.since),
                if known.effect == Effect::Works { "succeeds" } else { "fails" }
            )),
        }
    }

    /// What is known of a site, and since when neither its target nor the process nor its host was disturbed; `None`
    /// while no process lives.
    pub(super) fn steady(&self, site: &Site) -> Option<(&Record, Duration)> {
        let record = self.record(site)?;
        Some((record, record.undisturbed_since.max(self.alive_since?)))
    }

    /// What lies in a mailbox that can be read is found and removed.
    fn judge_mailbox(&self, site: &Site) -> Result<(), String> {
        let Some((record, steady)) = self.steady(site) else { return Ok(()) };
        if record.receive.effect != Effect::Works || self.is_disk_broken {
            return Ok(());
        }
        let now = self.clock.age();
        let settled = steady.max(record.receive.since).max(record.inexact_until);
        let longest = record.longest() + record.interval;
        // Where EXPUNGE would take mail of others along, ours are only marked.
        let may_stay = site.fate.has_deleted;
        let forgotten = self.truth.site(site.number, |truth| {
            let is_forgotten = |placed: Duration| now.saturating_sub(placed.max(settled)) > longest;
            let mails = truth.mails.iter();
            mails
                .filter(|(_, mail)| !(may_stay && mail.is_marked))
                .filter(|(_, mail)| {
                    let lies = mail.present > 0 && mail.placed.is_some_and(is_forgotten);
                    lies || mail.reports > 0 && mail.reported.is_some_and(is_forgotten)
                })
                .map(|(token, mail)| (token.clone(), mail.clone()))
                .next()
        });
        match forgotten {
            None => Ok(()),
            Some((token, mail)) => Err(format!(
                "{}: the mail {} lies in the mailbox since {}",
                site.user,
                crate::truth::short(&token),
                crate::clock::shown(mail.placed.unwrap_or_default()),
            )),
        }
    }

    /// A new round trip is that of a mail: from the connection over which it went, until it could be seen.
    fn judge_round_trip(&mut self, site: &Site, snapshot: &Snapshot) -> Result<(), String> {
        let round_trip = snapshot.last_roundtrip;
        let Some(record) = self.records.get_mut(site.number) else { return Ok(()) };
        if record.round_trip == round_trip {
            return Ok(());
        }
        record.round_trip = round_trip;
        let Some(trip) = round_trip else { return Ok(()) };
        let pop3 = record.latest_look(site);
        let most_late = ROUND_TRIP_SLACK + pop3;
        let exemplars = (0..EXEMPLARS).filter_map(|bucket| snapshot.exemplars.of(bucket));
        let meant =
            exemplars.filter(|it| it.roundtrip == trip).map(|it| it.token.to_string()).next();
        let fits = self.truth.site(site.number, |truth| {
            // Which mail it was, the newest exemplar tells.
            let is_meant = |token: &str| meant.as_deref().is_none_or(|meant| meant == token);
            truth.mails.iter().filter(|(token, _)| is_meant(token)).any(|(_, mail)| {
                let true_trip = mail.placed.map(|placed| placed.saturating_sub(mail.accepted));
                true_trip.is_some_and(|it| {
                    it <= trip + DATED + pop3 && trip <= it.mul_f64(WATCHED) + most_late
                })
            })
        });
        match fits {
            true => Ok(()),
            false => Err(format!("{}: a round trip of {trip:?}, which no mail had", site.user)),
        }
    }

    /// What was accepted and did not arrive is outstanding, and nothing else is.
    fn judge_outstanding(&self, site: &Site, awaited: usize) -> Result<(), String> {
        let Some((record, steady)) = self.steady(site) else { return Ok(()) };
        let works = |known: Known| known.effect == Effect::Works;
        let (now, settled) = (self.clock.age(), steady.max(record.send.since));
        let settled = settled.max(record.receive.since);
        let longest = record.longest();
        let is_long_enough = now.saturating_sub(settled) > LOST_AFTER + longest;
        if !works(record.send)
            || !works(record.receive)
            || !is_long_enough
            || now < record.inexact_until
        {
            return Ok(());
        }
        let (least, most) = self.truth.site(site.number, |truth| {
            let (mut least, mut most) = (0, 0);
            for mail in truth.mails.values() {
                let age = now.saturating_sub(mail.accepted);
                let seen = mail.placed.or(mail.reported).map(|at| now.saturating_sub(at));
                let is_young = age < LOST_AFTER + longest;
                most += usize::from(is_young && seen.is_none_or(|seen| seen < longest));
                let is_over = mail.placed.is_some() || mail.reported.is_some();
                let waits = !is_over && age > longest && age < LOST_AFTER;
                least += usize::from(waits);
            }
            (least, most)
        });
        match (least..=most).contains(&awaited) {
            true => Ok(()),
            false => Err(format!(
                "{}: {awaited} outstanding, and it should be {least} to {most}",
                site.user
            )),
        }
    }

    /// The neighbour of those in trouble fares as if there were none.
    fn judge_calm(
        &self,
        site: &Site,
        totals: &Totals,
        round_trip: Option<Duration>,
        awaited: usize,
    ) -> Result<(), String> {
        let name = &site.user;
        let Some(record) = self.record(site) else { return Ok(()) };
        let base = &record.base.0;
        for (what, count) in [
            ("late", totals.late - base.late.min(totals.late)),
            ("lost", totals.lost - base.lost.min(totals.lost)),
            ("bounced", totals.bounced),
            ("failed checks", totals.check_failures),
        ] {
            if count > 0 {
                return Err(format!("{name}: {count} {what}, and nothing was ever wrong"));
            }
        }
        let Some(alive) = self.alive_since else { return Ok(()) };
        let settled = self.clock.age().saturating_sub(record.undisturbed_since.max(alive));
        if settled <= record.longest() || self.is_disk_broken || !self.slow_by.is_zero() {
            return Ok(());
        }
        if round_trip.is_none_or(|trip| trip > CALM_ROUND_TRIP) {
            return Err(format!("{name}: a round trip of {round_trip:?}, and nothing is wrong"));
        }
        if awaited > MOST_AWAITED {
            return Err(format!("{name}: {awaited} outstanding, and nothing is wrong"));
        }
        Ok(())
    }
}

/// The counters of an account, with their names: all that there are.
fn counters(totals: &Totals) -> [(&'static str, u64); 19] {
    let Totals {
        probes,
        accepted,
        doubtful,
        received,
        late,
        lost,
        bounced,
        returned,
        duplicate,
        left,
        roundtrips_unknown,
        found: [inbox, junk, other],
        checks,
        check_failures,
        looks,
        periods_skipped,
        checks_skipped,
    } = *totals;
    [
        ("probes", probes),
        ("accepted", accepted),
        ("doubtful", doubtful),
        ("received", received),
        ("late", late),
        ("lost", lost),
        ("bounced", bounced),
        ("returned", returned),
        ("duplicate", duplicate),
        ("left", left),
        ("unknown round trips", roundtrips_unknown),
        ("found in the inbox", inbox),
        ("found as junk", junk),
        ("found elsewhere", other),
        ("checks", checks),
        ("check failures", check_failures),
        ("looks", looks),
        ("periods skipped", periods_skipped),
        ("checks skipped", checks_skipped),
    ]
}
