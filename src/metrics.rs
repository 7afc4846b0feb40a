//! Every metric: its name, its help text, its unit, and when it is NaN. No other room knows metric
//! names, percent, minutes or NaN.
//!
//! The names, labels and meanings are public; README.md lists them for users. One rule holds for
//! all: a value is measured or it is NaN, and a gauge whose fact was never measured is absent
//! unless its help says NaN. Label values come from the configuration or from a closed set.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use crate::supervisor::{ReloadState, Supervisor, View};

mod exporter;
mod family;
mod inspection;
mod labels;
mod layers;
mod targets;

/// The state of the exporter itself.
#[derive(Debug, Clone, Copy)]
pub struct ExporterFacts {
    reload: ReloadState,
    started: SystemTime,
    store_errors: u64,
    may_ping: Option<bool>,
    /// In the order of [`ledger::Shortage::ALL`].
    shortages: [u64; 5],
}

impl ExporterFacts {
    /// The facts of a running exporter, now.
    pub fn of(supervisor: &Supervisor) -> Self {
        Self {
            reload: supervisor.reload_state(),
            started: supervisor.started(),
            store_errors: supervisor.store_errors(),
            may_ping: supervisor.may_ping(),
            shortages: mail::shortage::counts(),
        }
    }
}

/// The metrics of these targets, and of the exporter where its facts are given, as OpenMetrics
/// text 1.0.0.
pub fn encode(views: &[View], exporter: Option<&ExporterFacts>) -> String {
    let mut registry = Registry::default();
    let page = Page { views: views.to_vec(), exporter: exporter.copied() };
    registry.register_collector(Box::new(page));
    let mut text = String::with_capacity(8192 + views.len() * 9000);
    // Writing to a string does not fail, and the page holds no histogram without buckets.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Page {
    views: Vec<View>,
    /// `None`: only the targets are asked for.
    exporter: Option<ExporterFacts>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if !self.views.is_empty() {
            self.encode_targets(&mut encoder)?;
        }
        match &self.exporter {
            Some(facts) => facts.encode(&mut encoder),
            None => Ok(()),
        }
    }
}

impl Page {
    fn encode_targets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_target_gauges(encoder)?;
        self.encode_side_gauges(encoder)?;
        self.encode_target_counters(encoder)?;
        self.encode_sender_mailboxes(encoder)?;
        self.encode_failures(encoder)?;
        self.encode_found(encoder)?;
        self.encode_roundtrips(encoder)?;
        self.encode_steps(encoder)?;
        self.encode_inspections(encoder)?;
        layers::encode(&self.views, encoder)?;
        self.encode_infos(encoder)
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
