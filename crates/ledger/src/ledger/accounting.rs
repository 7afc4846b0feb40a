//! What the account adds to the availability of the target: the time, by the abilities as they are shown,
//! with the mails that became late or were lost meanwhile.

use super::{ClockJump, Ledger, Moment, StoredAccount, Totals};
use crate::{Availability, AvailabilityChanges, LineInstant, PerSide, Side};

/// What of the account the availability holds already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Accounted {
    /// Until when, on the time line and by the wall clock; `None`: nothing yet.
    until: Option<Moment>,
    late: u64,
    lost: u64,
}

impl Ledger {
    /// How the target was over the latest hours and days.
    pub fn availability(&mut self, now: Moment) -> Availability {
        self.expire(now);
        self.availability.clone()
    }

    /// What is to be kept of it now, and what of it has changed since this was last asked.
    pub fn take_availability(&mut self, now: Moment) -> AvailabilityChanges {
        self.expire(now);
        self.availability.take_changes()
    }

    /// Whether an outage has begun or ended since then.
    pub fn has_turned(&self) -> bool {
        self.availability.has_turned()
    }

    /// Goes on from what was kept: nothing is known of the time since then.
    pub(super) fn restore_availability(&mut self, stored: &StoredAccount, now: Moment) {
        self.availability = Availability::restore(&stored.availability, now.wall);
        let Totals { late, lost, .. } = *self.totals;
        self.accounted = Accounted { until: Some(now), late, lost };
    }

    /// Counts the mails that became late or were lost since the last time.
    pub(super) fn account_mails(&mut self, now: Moment) {
        let Totals { late, lost, .. } = *self.totals;
        let before = &mut self.accounted;
        let more = (late.saturating_sub(before.late), lost.saturating_sub(before.lost));
        (before.late, before.lost) = (late, lost);
        self.availability.count_mails(more.0, more.1, now.wall);
    }

    /// Counts the time up to this point, which is not to come. Each side had the ability that it shows, until
    /// that was outlived.
    pub(super) fn account_time(&mut self, to: LineInstant, now: Moment) {
        let date = now.date_of(to);
        let Some(mut from) = self.accounted.until.filter(|until| until.instant < to) else {
            self.accounted.until.get_or_insert(Moment { instant: to, wall: date });
            return;
        };
        self.accounted.until = Some(Moment { instant: to, wall: date });
        let ends = PerSide {
            send: self.ability_ends(Side::Send),
            receive: self.ability_ends(Side::Receive),
        };
        let abilities = PerSide {
            send: self.send_ability.value(),
            receive: self.receive_ability.value().map(|able| if able { 1.0 } else { 0.0 }),
        };
        let mut cuts = [ends.send, ends.receive, Some(to)].map(|end| end.unwrap_or(to).min(to));
        cuts.sort();
        for cut in cuts {
            if cut <= from.instant {
                continue;
            }
            let holds = |end: Option<LineInstant>| end.is_none_or(|end| end >= cut);
            let abilities = PerSide {
                send: abilities.send.filter(|_| holds(ends.send)),
                receive: abilities.receive.filter(|_| holds(ends.receive)),
            };
            // From where the last ended, so that the clocks may tremble beside each other.
            let until = Moment { instant: cut, wall: now.date_of(cut) };
            self.availability.count_time(abilities, from.wall, until.wall);
            from = until;
        }
    }
}

impl Accounted {
    /// The wall clock was set.
    pub(super) fn follow(&mut self, jump: ClockJump) {
        if let Some(until) = &mut self.until {
            until.wall = jump.correct(until.wall);
        }
    }
}
