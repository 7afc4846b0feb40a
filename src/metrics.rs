//! Every metric: its name, its help text, its unit, and when it is NaN. No other room knows metric
//! names, percent, minutes or NaN.
//!
//! The names, labels and meanings are public; docs/metrics.md lists them for users. One rule holds for
//! all: a value is measured or it is NaN, and a gauge whose fact was never measured is absent
//! unless its help says NaN. Label values come from the configuration or from a closed set.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use pieces::{Pieces, Syntax, pieces};

use crate::config::Shard;
use crate::probing::lag::{Lateness, Part as OwnPart};
use crate::supervisor::{ReloadState, Supervisor};
use page::{Page, Part};

mod expectation;
mod exporter;
mod failures;
mod family;
mod inspection;
mod labels;
mod layers;
mod page;
mod pieces;
mod replies;
mod standing;
mod targets;
mod test_mail;
mod usual;

/// The state of the exporter itself.
#[derive(Debug, Clone)]
pub struct ExporterFacts {
    reload: ReloadState,
    started: SystemTime,
    store_errors: u64,
    may_ping: Option<bool>,
    /// In the order of [`ledger::Shortage::ALL`].
    shortages: [u64; 5],
    /// In the order of [`OwnPart::ALL`].
    lag: [Lateness; OwnPart::ALL.len()],
    external_url: Option<String>,
    shard: Option<Shard>,
    location: Option<String>,
    /// How many targets the whole configuration has.
    targets: usize,
}

impl ExporterFacts {
    /// The facts of a running exporter, now; `external_url` is the absolute address of its pages.
    pub fn of(supervisor: &Supervisor, external_url: Option<&str>) -> Self {
        let config = supervisor.config();
        Self {
            reload: supervisor.reload_state(),
            started: supervisor.started(),
            store_errors: supervisor.store_errors(),
            may_ping: supervisor.may_ping(),
            shortages: mail::shortage::counts(),
            lag: OwnPart::ALL.map(|part| supervisor.lag().of(part)),
            external_url: external_url.map(str::to_owned),
            shard: config.shard,
            location: config.location.clone(),
            targets: config.targets.len() + config.in_other_shards,
        }
    }
}

fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory stay below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
