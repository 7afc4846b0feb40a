//! What is said of an exporter that was late itself, so that what it measured is wrong.

use crate::probing::lag::{LATEST_MINUTES, Lately, Part};
use ledger::durations::exact;

/// What to do, without a final stop.
pub(in crate::web) const ADVICE: &str = "give the exporter more of a processor, or raise `max_concurrent_probes` if it \
                                         has enough; else test less often (`interval`), or share the targets among \
                                         several exporters (`--shard`)";

/// Sentences, without the last full stop.
pub(in crate::web) fn words(Lately { part, ratio, worst }: Lately) -> String {
    let (what, meaning) = match part {
        Part::Timer => (
            "its timers went off",
            "Round trips of that time may be too long by several times as much",
        ),
        Part::Start => ("the test mails began", "No round trip is longer by that"),
    };
    format!(
        "The exporter itself was late: in the latest {LATEST_MINUTES} minutes {what} more than {} late {:.0} % of the \
         times, at most {}. {meaning}",
        exact(part.late()),
        (ratio * 100.0).max(1.0),
        exact(worst),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_how_late_and_what_is_wrong_by_it() {
        let lately =
            Lately { part: Part::Timer, ratio: 0.124, worst: Duration::from_millis(1_560) };
        assert_eq!(
            words(lately),
            "The exporter itself was late: in the latest 5 minutes its timers went off more than 25 ms late 12 % of the \
             times, at most 1.6 s. Round trips of that time may be too long by several times as much"
        );
        assert_eq!(
            words(Lately { part: Part::Start, ..lately }),
            "The exporter itself was late: in the latest 5 minutes the test mails began more than 250 ms late 12 % of \
             the times, at most 1.6 s. No round trip is longer by that"
        );
    }
}
