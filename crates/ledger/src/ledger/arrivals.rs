//! What a mail that was seen in the mailbox does to the account.

use std::time::Duration;

use super::arrival::{Arrival, Bracket, arrival, was_unattended};
use super::{
    Ended, Exemplar, FoundIn, Ledger, MailState, Moment, Outstanding, SessionKind, Sighting,
    SightingOutcome,
};
use crate::LineInstant;
use crate::Purpose;
use crate::Token;

/// When the mailbox's server wrote its date. IMAP has that of the arrival (INTERNALDATE, RFC 3501 section 2.3.3). By POP3
/// there is only the newest `Received` (RFC 5321 section 4.4), from when a server took the mail; the arrival may come long
/// after that.
fn stamped(mail: &Outstanding, sighting: &Sighting, arrival: &Arrival) -> Bracket {
    match sighting.style {
        SessionKind::Held => arrival.watched,
        SessionKind::PerPoll => {
            let Bracket { earliest, latest } = arrival.watched;
            Bracket { earliest: earliest.min(mail.transmitted), latest }
        }
    }
}

impl Ledger {
    /// A mail with this token was seen in the mailbox, at a place where it was not seen before.
    pub fn seen(&mut self, token: Token, sighting: Sighting, now: Moment) -> SightingOutcome {
        self.expire(now);
        if let Some(sending) = self.sending.get_mut(&token) {
            if sending.seen.is_some() {
                let purpose = sending.purpose;
                self.tally(purpose).duplicate += 1;
                return SightingOutcome::Duplicate;
            }
            sending.seen = Some(sighting);
            self.journal.touch(token);
            return SightingOutcome::Early;
        }
        if let Some(index) = self.outstanding.iter().position(|mail| mail.token == token)
            && let Some(mail) = self.outstanding.remove(index)
        {
            let arrival = arrival(&mail, &sighting);
            if self.was_lost(&mail, &arrival.bracket) {
                self.tally(mail.purpose).lost += 1;
                self.tally(mail.purpose).returned += 1;
                self.judge_seen(mail.purpose, mail.accepted.instant, sighting.folder, now);
                self.end(token, mail.purpose, MailState::Returned, now);
                self.note_late(&mail);
                return SightingOutcome::Returned;
            }
            let stamped = stamped(&mail, &sighting, &arrival);
            let roundtrip = self.arrive(mail, &sighting, arrival, now);
            return SightingOutcome::Received { roundtrip, stamped };
        }
        let Some(ended) = self.ended.iter().find(|ended| ended.token == token).copied() else {
            return SightingOutcome::Unknown;
        };
        self.seen_after(ended, &sighting, now)
    }

    /// A mail was seen whose wait is over.
    fn seen_after(&mut self, ended: Ended, sighting: &Sighting, now: Moment) -> SightingOutcome {
        let Ended { token, purpose, at, .. } = ended;
        // When it was sent at the latest: it was waited for first.
        let sent = at.checked_sub(self.rules.lost_after).unwrap_or(at);
        match ended.state {
            MailState::Received | MailState::Returned => {
                self.tally(purpose).duplicate += 1;
                SightingOutcome::Duplicate
            }
            MailState::Doubtful | MailState::Lost | MailState::Bounced => {
                self.tally(purpose).returned += 1;
                self.judge_seen(purpose, sent, sighting.folder, now);
                self.end(token, purpose, MailState::Returned, now);
                SightingOutcome::Returned
            }
            MailState::Left => {
                self.judge_seen(purpose, sent, sighting.folder, now);
                SightingOutcome::Left
            }
            // No mail that has ended is in one of these states.
            MailState::Sending | MailState::Outstanding | MailState::Refused => {
                SightingOutcome::Unknown
            }
        }
    }

    /// An accepted mail was seen before the server's reply.
    pub(super) fn arrive_early(
        &mut self,
        mail: Outstanding,
        sighting: &Sighting,
        now: Moment,
    ) -> Option<Duration> {
        let arrival = arrival(&mail, sighting);
        self.arrive(mail, sighting, arrival, now)
    }

    /// An accepted mail has arrived.
    fn arrive(
        &mut self,
        mail: Outstanding,
        sighting: &Sighting,
        arrival: Arrival,
        now: Moment,
    ) -> Option<Duration> {
        let accepted = mail.accepted.instant;
        if !was_unattended(&arrival.watched, sighting) {
            self.pacing.learn(accepted, &arrival.bracket, sighting.asked_at);
        }
        // Of what nobody can date, or was not allowed to look for, only the bracket is known.
        let at = arrival.at.filter(|_| self.look_gap.is_zero());
        let arrived = at.map_or(arrival.bracket.earliest, |_| arrival.bracket.middle());
        let arrived = arrived.saturating_duration_since(accepted);
        let roundtrip = self.receive_mail(mail, arrival.at, sighting.folder, now);
        if arrived >= self.rules.late_after {
            self.note_late(&mail);
        }
        roundtrip
    }

    /// Whether a mail that is seen now was certainly given up before it arrived, by somebody who had
    /// looked in time.
    fn was_lost(&self, mail: &Outstanding, arrived: &Bracket) -> bool {
        let waited = arrived.earliest.saturating_duration_since(mail.accepted.instant);
        waited >= self.rules.lost_after
    }

    /// The mail whose wait has just ended came late.
    fn note_late(&mut self, mail: &Outstanding) {
        if let Some(ended) = self.ended.back_mut().filter(|_| !mail.is_late) {
            ended.is_late = true;
            self.tally(mail.purpose).late += 1;
        }
    }

    /// The round trip is `None` if it is not known when the mail arrived.
    fn receive_mail(
        &mut self,
        mail: Outstanding,
        arrived: Option<LineInstant>,
        folder: FoundIn,
        now: Moment,
    ) -> Option<Duration> {
        self.tally(mail.purpose).received += 1;
        if let Some(count) = self.tally(mail.purpose).found.get_mut(folder as usize) {
            *count += 1;
        }
        self.end(mail.token, mail.purpose, MailState::Received, now);
        if mail.purpose != Purpose::Delivery {
            self.judge_seen(mail.purpose, mail.accepted.instant, folder, now);
            return None;
        }
        // The way of a mail by another server counts, and is not the way of the newest ones.
        let is_newest = self.measured_since.is_none_or(|since| mail.transmitted > since);
        let roundtrip = arrived.and_then(|at| at.checked_duration_since(mail.transmitted));
        let (Some(arrived), Some(roundtrip)) = (arrived, roundtrip) else {
            self.totals.roundtrips_unknown += 1;
            self.period.has_unknown |= is_newest;
            return None;
        };
        self.roundtrips.observe(roundtrip);
        self.availability.count_roundtrip(roundtrip, now.wall);
        self.exemplars.put(Exemplar { token: mail.token, roundtrip, found: now.wall });
        if is_newest {
            self.period.received += 1;
            self.period.sum += roundtrip;
            self.last_roundtrip = Some(roundtrip);
            self.delivery = Some(arrived.saturating_duration_since(mail.accepted.instant));
        }
        Some(roundtrip)
    }
}
