//! The one mail of a probe: known again, and what reports say of it.

use tokio::time::Instant;

use super::verdict::Arrival;
use crate::clock::on_time_line;
use crate::config::Target;
use crate::probing::mailbox::{Found, Judgement, left_over_until, reports};
use ledger::Action;
use ledger::Token;
use ledger::{self, Ledger, Notice, Sighting};
use mail::test_mail::Header;

/// The mail, and the account of it.
pub(super) struct TestMail {
    pub(super) token: Token,
    /// When its transmission began.
    pub(super) transmitted: Instant,
    pub(super) ledger: Ledger,
    /// That it was seen, or that it bounced.
    pub(super) seen: Option<Arrival>,
    /// The newest report about it.
    pub(super) notice: Option<Notice>,
}

impl TestMail {
    /// It is about to be sent.
    pub(super) fn new(token: Token, ledger: Ledger) -> Self {
        Self { token, transmitted: Instant::now(), ledger, seen: None, notice: None }
    }

    /// Ours is only the mail with our token.
    pub(super) fn judge(&mut self, target: &Target, found: &Found) -> Judgement {
        if let Some((judgement, notice)) = reported(target, self.token, found) {
            if let Some(notice) = notice {
                self.heed(notice);
            }
            return judgement;
        }
        let sender = |token| (token == self.token).then(|| target.from.clone());
        let Some(token) = found.header.claim(sender) else {
            return left_over(target, found);
        };
        let sighting = Sighting {
            folder: found.folder,
            shown_at: found.shown_at,
            asked_at: found.asked_at,
            previous_look: found.previous_look,
            dated: None,
            network: found.network,
            attended_since: on_time_line(self.transmitted),
            style: target.receive.protocol.look_style(),
        };
        let roundtrip = match self.ledger.seen(token, sighting, crate::clock::now()) {
            ledger::Verdict::Received { roundtrip: Some(roundtrip), .. } => roundtrip,
            _ => found.shown_at.saturating_duration_since(on_time_line(self.transmitted)),
        };
        self.seen.get_or_insert(Arrival::Seen { roundtrip, folder: found.folder });
        Judgement::Remove(token)
    }

    /// A bounce ends the wait; a delay is only reported.
    pub(super) fn heed(&mut self, notice: Notice) {
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
) -> Option<(Judgement, Option<Notice>)> {
    let Some(report) = &found.report else {
        return found.header.is_delivery_report.then_some((Judgement::ReadReport, None));
    };
    let returned = Header::parse(&report.returned_header);
    let sender = |claimed| (claimed == token).then(|| target.from.clone());
    let mut named = reports::tokens(report, &returned).chain(returned.claim(sender));
    let (true, Some(worst)) = (named.any(|named| named == token), report.worst()) else {
        return Some((left_over(target, found), None));
    };
    let is_news = worst.action >= Action::Delayed;
    let notice = is_news.then(|| reports::notice(target, token, report, worst));
    Some((Judgement::Discard, notice))
}

/// What is to be done with a test mail, or a report about one, that is none of this probe: once its time
/// has passed it is removed, whoever has sent it, as by a running exporter.
pub(super) fn left_over(target: &Target, found: &Found) -> Judgement {
    let mark = match &found.report {
        Some(report) => report.worst().and_then(|_| Header::parse(&report.returned_header).mark),
        None => found.header.mark,
    };
    mark.map_or(Judgement::Leave, |mark| {
        Judgement::LeftOver(left_over_until(mark, found.server_date, target.lost_after))
    })
}
