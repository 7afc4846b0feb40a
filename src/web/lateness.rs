//! What is said of an exporter that was late itself, so that what it measured is wrong.

use crate::probing::lag::{LATE, LATEST_MINUTES, Lately};
use ledger::durations::exact;

/// What to do, without a final stop.
pub(in crate::web) const ADVICE: &str = "give the exporter more of a processor, or raise `max_concurrent_probes` if it \
                                         has enough; else test less often (`interval`), or share the targets among \
                                         several exporters (`--shard`)";

/// Sentences, without the last full stop.
pub(in crate::web) fn words(Lately { ratio, worst }: Lately) -> String {
    format!(
        "The exporter itself was late: in the latest {LATEST_MINUTES} minutes {:.0} % of what it had to do came more \
         than {} late, at most {}. Unless it only waited for `max_concurrent_probes`, round trips of that time may be too \
         long by as much",
        (ratio * 100.0).max(1.0),
        exact(LATE),
        exact(worst),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_how_late_and_what_is_wrong_by_it() {
        let lately = Lately { ratio: 0.124, worst: Duration::from_millis(1_560) };
        assert_eq!(
            words(lately),
            "The exporter itself was late: in the latest 5 minutes 12 % of what it had to do came more than 250 ms \
             late, at most 1.6 s. Unless it only waited for `max_concurrent_probes`, round trips of that time may be \
             too long by as much"
        );
    }
}
