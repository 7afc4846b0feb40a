//! What the server has announced of the selected folder: how many messages it holds, and since when that
//! is known of each. A mail is shown by the first response that counts it (EXISTS, RFC 3501 section
//! 7.3.1) or by its own FETCH, whichever was read first.

use std::collections::VecDeque;

use tokio::time::Instant;

/// How many announcements between two readings are kept apart.
const ANNOUNCEMENTS: usize = 64;

/// The selected folder as far as the server has announced it.
#[derive(Debug, Default)]
pub(super) struct View {
    /// The number of messages.
    exists: u32,
    /// Numbers of messages, rising, and when the server first announced each.
    announced: VecDeque<(u32, Instant)>,
    /// When the server announced mail that was not fetched yet.
    news: Option<Instant>,
}

impl View {
    pub(super) fn exists(&self) -> u32 {
        self.exists
    }

    pub(super) fn news(&self) -> Option<Instant> {
        self.news
    }

    /// What was announced so far is about to be fetched, or is part of a view that begins.
    pub(super) fn take_news(&mut self) {
        self.news = None;
    }

    /// EXISTS.
    pub(super) fn announce(&mut self, count: u32, now: Instant) {
        if count > self.exists {
            self.news.get_or_insert(now);
            if self.announced.len() >= ANNOUNCEMENTS {
                // Rather too late than too early: a delay is never shorter than it was.
                self.announced.pop_back();
            }
            self.announced.push_back((count, now));
        }
        self.exists = count;
    }

    /// EXPUNGE: the messages behind this one move up.
    pub(super) fn expunge(&mut self, number: u32) {
        self.exists = self.exists.saturating_sub(1);
        for (count, _) in &mut self.announced {
            if *count >= number {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// When the message of this number, whose FETCH was read at `read_at`, was first shown.
    pub(super) fn shown_at(&self, number: u32, read_at: Instant) -> Instant {
        let counted = self.announced.iter().find(|(count, _)| number <= *count);
        counted.map_or(read_at, |(_, at)| *at)
    }

    /// Everything that was announced before `began` has been fetched.
    pub(super) fn settle(&mut self, began: Instant) {
        while self.announced.get(1).is_some_and(|(_, at)| *at < began) {
            self.announced.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_mail_is_shown_by_the_first_response_that_counts_it() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut view = View::default();
        view.announce(3, at(1));
        view.take_news();
        view.announce(5, at(10));
        view.announce(6, at(20));
        assert_eq!(view.news(), Some(at(10)));
        for (number, shown) in [(3, 1), (4, 10), (5, 10), (6, 20), (7, 30)] {
            assert_eq!(view.shown_at(number, at(30)), at(shown), "message {number}");
        }
        // Another session takes a mail out: those behind it move up.
        view.expunge(2);
        assert_eq!(view.exists(), 5);
        for (number, shown) in [(2, 1), (3, 10), (4, 10), (5, 20), (6, 30)] {
            assert_eq!(view.shown_at(number, at(30)), at(shown), "message {number}");
        }
        view.settle(at(15));
        assert_eq!(view.shown_at(5, at(30)), at(20), "what came while reading keeps its time");
    }

    #[test]
    fn announcements_without_end_are_bounded_and_date_nothing_too_early() {
        let start = Instant::now();
        let mut view = View::default();
        for count in 1..10_000_u32 {
            view.announce(count, start + Duration::from_secs(count.into()));
        }
        assert_eq!(view.announced.len(), ANNOUNCEMENTS);
        for number in [1, 63, 64, 65, 9_999] {
            let came = start + Duration::from_secs(number.into());
            assert!(view.shown_at(number, came) >= came, "message {number}");
        }
    }
}
