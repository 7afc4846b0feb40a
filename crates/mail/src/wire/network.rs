//! How long the network takes, as measured by the answers of one connection.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How many answers are remembered.
const REMEMBERED: usize = 7;

/// The newest answers of a server.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// How long each took to begin, newest last.
    took: VecDeque<Duration>,
    /// When something was asked that was not answered yet.
    asked: Option<Instant>,
}

impl Answers {
    /// Something is asked.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// The server says something.
    pub(super) fn came(&mut self, now: Instant) {
        let Some(asked) = self.asked.take() else { return };
        if self.took.len() >= REMEMBERED {
            self.took.pop_front();
        }
        self.took.push_back(now.saturating_duration_since(asked));
    }

    /// The lower median: a server thinks about some commands, and what it says unasked may cross
    /// others.
    pub(super) fn typical(&self) -> Duration {
        let mut took: Vec<Duration> = self.took.iter().copied().collect();
        took.sort_unstable();
        took.get(took.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_slow_answer_nor_one_that_crossed_the_question_counts_much() {
        let mut answers = Answers::default();
        assert_eq!(answers.typical(), Duration::ZERO);
        let mut now = Instant::now();
        for millis in [150, 160, 5000, 0, 155] {
            answers.asked(now);
            now += Duration::from_millis(millis);
            answers.came(now);
            answers.came(now + Duration::from_secs(9));
        }
        assert_eq!(answers.typical(), Duration::from_millis(155));
        for _ in 0..REMEMBERED {
            answers.asked(now);
            answers.came(now + Duration::from_millis(20));
        }
        assert_eq!(answers.typical(), Duration::from_millis(20), "the newest count");
    }
}
