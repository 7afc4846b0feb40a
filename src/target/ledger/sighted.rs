//! What a mail that was seen in the mailbox does to the account.

use std::time::{Duration, Instant};

use super::arrival::{Arrival, arrival, is_narrow};
use super::{Ending, FoundIn, Ledger, Moment, Outstanding, Sighting, Verdict};
use crate::target::message::Token;

/// How a mail has arrived; see [`Verdict::Received`].
pub(super) struct Arrived {
    pub(super) roundtrip: Option<Duration>,
    is_watched: bool,
}

impl Ledger {
    /// A mail with this token was seen in the mailbox, at a place where it was not seen before.
    pub fn seen(&mut self, token: Token, sighting: Sighting, now: Moment) -> Verdict {
        self.expire(now);
        if let Some(sending) = self.sending.get_mut(&token) {
            if sending.seen.is_some() {
                self.totals.duplicate += 1;
                return Verdict::Duplicate;
            }
            sending.seen = Some(sighting);
            self.journal.touch(token);
            return Verdict::Early;
        }
        if let Some(index) = self.outstanding.iter().position(|mail| mail.token == token)
            && let Some(mail) = self.outstanding.remove(index)
        {
            let Arrived { roundtrip, is_watched } = self.arrive(mail, &sighting, now);
            return Verdict::Received { roundtrip, is_watched };
        }
        match self.ending_of(token) {
            Some(Ending::Received) => {
                self.totals.duplicate += 1;
                Verdict::Duplicate
            }
            Some(Ending::Doubtful | Ending::Lost | Ending::Bounced) => {
                self.totals.returned += 1;
                self.end(token, Ending::Received, now);
                Verdict::Returned
            }
            Some(Ending::Left) => Verdict::Left,
            None => Verdict::Unknown,
        }
    }

    /// An accepted mail was seen, whether before the server's reply or after it.
    pub(super) fn arrive(
        &mut self,
        mail: Outstanding,
        sighting: &Sighting,
        now: Moment,
    ) -> Arrived {
        let accepted = mail.accepted.instant;
        let arrival = arrival(mail.transmitted, accepted, sighting);
        match arrival {
            Arrival::Watched(at) => self.pacing.learn(accepted, sighting.previous_look, at),
            // The looks were far off; the next ones begin well before it.
            Arrival::Dated(at) => self.pacing.learn(accepted, None, at),
            Arrival::Unknown => {}
        }
        let is_watched = is_narrow(mail.transmitted, sighting);
        let roundtrip = self.receive_mail(mail, arrival.instant(), sighting.folder, now);
        Arrived { roundtrip, is_watched }
    }

    /// The round trip is `None` if it is not known when the mail arrived.
    fn receive_mail(
        &mut self,
        mail: Outstanding,
        arrived: Option<Instant>,
        folder: FoundIn,
        now: Moment,
    ) -> Option<Duration> {
        self.totals.received += 1;
        if let Some(count) = self.totals.found.get_mut(folder as usize) {
            *count += 1;
        }
        self.end(mail.token, Ending::Received, now);
        let arrived = arrived?;
        let roundtrip = arrived.checked_duration_since(mail.transmitted)?;
        self.roundtrips.observe(roundtrip);
        self.period.received += 1;
        self.period.sum += roundtrip;
        self.delivery = Some(arrived.saturating_duration_since(mail.accepted.instant));
        Some(roundtrip)
    }
}
