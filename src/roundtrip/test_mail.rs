//! The one mail of a probe: known again, and what reports say of it.

use tokio::time::Instant;

use super::verdict::Arrival;
use crate::clock::on_time_line;
use crate::config::Target;
use crate::probing::mailbox::{Disposition, Found, left_over_until, reports};
use ledger::Action;
use ledger::Token;
use ledger::{self, DeliveryReport, Ledger, Sighting};
use mail::test_mail::Header;

/// The mail, and the account of it.
pub(super) struct TestMail {
    pub(super) token: Token,
    /// When its transmission began.
    pub(super) transmitted: Instant,
    pub(super) ledger: Ledger,
    /// That it was seen, or that it bounced.
    pub(super) seen: Option<Arrival>,
    /// Its header, where it was read anyway (POP3).
    pub(super) header: Option<Vec<u8>>,
    /// The newest report about it.
    pub(super) notice: Option<DeliveryReport>,
}

impl TestMail {
    /// It is about to be sent.
    pub(super) fn new(token: Token, ledger: Ledger) -> Self {
        Self { token, transmitted: Instant::now(), ledger, seen: None, header: None, notice: None }
    }

    /// Ours is only the mail with our token.
    pub(super) fn judge_mail(&mut self, target: &Target, found: &Found) -> Disposition {
        if let Some((disposition, notice)) = reported(target, self.token, found) {
            if let Some(notice) = notice {
                self.apply_report(notice);
            }
            return disposition;
        }
        let sender = |token| (token == self.token).then(|| target.from.clone());
        let is_answered = |token| token == self.token && target.takes_replies();
        let claim = found.header.claim(sender).or_else(|| found.header.answered(is_answered));
        let Some(token) = claim else {
            return left_over(target, found);
        };
        if target.takes_replies() && found.never_left(token, &target.from) {
            return match self.seen {
                Some(_) => Disposition::Discard,
                None => left_over(target, found),
            };
        }
        let sighting = Sighting {
            folder: found.folder,
            shown_at: found.shown_at,
            asked_at: found.asked_at,
            previous_look: found.previous_look,
            dated: None,
            is_stamped_once: false,
            looks_failed: false,
            network: found.network,
            attended_since: on_time_line(self.transmitted),
            style: target.session_kind(),
        };
        let roundtrip = match self.ledger.seen(token, sighting, crate::clock::now()) {
            ledger::SightingOutcome::Received { roundtrip: Some(roundtrip), .. } => roundtrip,
            _ => found.shown_at.saturating_duration_since(on_time_line(self.transmitted)),
        };
        self.seen.get_or_insert(Arrival::Seen { roundtrip, folder: found.folder });
        match &found.block {
            Some(block) if target.inspect => self.header = Some(block.clone()),
            None if target.inspect => return Disposition::Inspect(token),
            _ => {}
        }
        Disposition::Remove(token)
    }

    /// A bounce ends the wait; a delay is only reported.
    pub(super) fn apply_report(&mut self, notice: DeliveryReport) {
        if notice.is_bounce() {
            self.seen.get_or_insert(Arrival::Bounced(self.transmitted.elapsed()));
        }
        self.notice = Some(notice);
    }
}

/// What is to be done with a report, and what it says of the mail with this token; `None` if it is
/// none.
pub(super) fn reported(
    target: &Target,
    token: Token,
    found: &Found,
) -> Option<(Disposition, Option<DeliveryReport>)> {
    let Some(report) = &found.report else {
        return found.header.is_delivery_report.then_some((Disposition::ReadReport, None));
    };
    let returned = Header::parse(&report.returned_header);
    let sender = |claimed| (claimed == token).then(|| target.from.clone());
    let mut named = reports::tokens(report, &returned).chain(returned.claim(sender));
    let (true, Some(worst)) = (named.any(|named| named == token), report.worst()) else {
        return Some((left_over(target, found), None));
    };
    let is_news = worst.action >= Action::Delayed;
    let notice = is_news.then(|| reports::delivery_report(target, token, report, worst));
    Some((Disposition::Discard, notice))
}

/// What is to be done with a test mail, or a report about one, that is none of this probe: once its time
/// has passed it is removed, whoever has sent it, as by a running exporter.
pub(super) fn left_over(target: &Target, found: &Found) -> Disposition {
    let mark = match &found.report {
        Some(report) => report.worst().and_then(|_| Header::parse(&report.returned_header).mark),
        None => found.header.mark,
    };
    mark.map_or(Disposition::Leave, |mark| {
        Disposition::LeftOver(left_over_until(mark, found.server_date, target.lost_after))
    })
}
