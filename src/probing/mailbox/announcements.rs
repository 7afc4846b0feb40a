//! How often a mailbox is looked into because its server says so.

use std::time::Duration;

use tokio::time::Instant;

/// How many announcements in a row are looked for at once.
const BURST: u32 = 20;
/// The time between two looks for announcements that go on and on.
const GAP: Duration = Duration::from_millis(100);

/// When what the server announces is looked for. When it was announced is known all the same.
#[derive(Debug, Default)]
pub(super) struct Announcements {
    /// From when on as many as may be are looked for at once again.
    rested: Option<Instant>,
}

impl Announcements {
    /// When to look for what was announced `now`.
    pub(super) fn look_at(&mut self, now: Instant) -> Instant {
        let rested = self.rested.map_or(now, |rested| rested.max(now));
        self.rested = Some(rested + GAP);
        rested.checked_sub(GAP * BURST).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_without_end_are_looked_for_at_a_pace_and_a_few_at_once() {
        let (mut announcements, begin) = (Announcements::default(), Instant::now());
        let (mut now, mut looks) = (begin, 0);
        while now < begin + Duration::from_secs(3) {
            now = announcements.look_at(now);
            looks += 1;
        }
        assert!((BURST + 29..=BURST + 32).contains(&looks), "{looks}");
        let later = now + Duration::from_secs(10);
        assert!((0..BURST).all(|_| announcements.look_at(later) == later), "it has rested");
    }
}
