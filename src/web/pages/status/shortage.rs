//! The notice that the exporter itself is short of something, or was late.

use crate::probing::lag::Lately;
use crate::web::lateness;
use crate::web::pages::words::Prose;
use mail::shortage::news::Current;

/// A notice for the reader of the page.
pub(in crate::web::pages) struct ShortageNote {
    /// Sentences.
    pub(in crate::web::pages) words: String,
    /// What to do, without a final stop.
    pub(in crate::web::pages) advice: Prose,
}

impl From<Current> for ShortageNote {
    fn from(current: Current) -> Self {
        let Current { shortage, times, ago } = current;
        let plural = if times == 1 { "" } else { "s" };
        let seconds = ago.as_secs();
        let words = format!(
            "The exporter itself is short of {}: {times} time{plural} so far, most recently \
             {seconds} s ago. What it could not test because of that is not measured and does not \
             count as a failure of a server.",
            shortage.things()
        );
        Self { words, advice: Prose::new(mail::shortage::advice(shortage)) }
    }
}

impl From<Lately> for ShortageNote {
    fn from(lately: Lately) -> Self {
        let words = format!("{}.", lateness::words(lately));
        Self { words, advice: Prose::new(lateness::ADVICE) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use ledger::Shortage;

    #[test]
    fn the_notice_says_what_is_short_and_what_to_do() {
        let (shortage, ago) = (Shortage::Descriptors, Duration::from_secs(3));
        let note = ShortageNote::from(Current { shortage, times: 2, ago });
        let begins = "The exporter itself is short of file descriptors: 2 times so far, most recently 3 s \
             ago.";
        assert!(note.words.starts_with(begins), "{}", note.words);
        let advice = note.advice.to_string();
        assert!(advice.contains("<code>LimitNOFILE=</code>"), "{advice}");
        assert!(!advice.ends_with('.'), "{advice}");
    }
}
