//! Writing one metric family in the library's terms.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// One metric family that is being written.
pub(super) struct Family<'a>(pub(super) prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    pub(super) fn gauge(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        Self::new(encoder, name, help, MetricType::Gauge)
    }

    /// `name` is the name of the samples; the library adds the suffix to that of the family.
    pub(super) fn counter(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        let family = name.strip_suffix("_total").unwrap_or(name);
        Self::new(encoder, family, help, MetricType::Counter)
    }

    pub(super) fn histogram(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        Self::new(encoder, name, help, MetricType::Histogram)
    }

    fn new(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
        kind: MetricType,
    ) -> Result<Self, fmt::Error> {
        let (name, unit) = split_unit(name);
        encoder.encode_descriptor(name, help, unit, kind).map(Self)
    }

    pub(super) fn gauge_sample(&mut self, labels: impl EncodeLabelSet, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_family(&labels)?)
    }

    /// The one sample of a family without labels.
    pub(super) fn single(self, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0)
    }

    /// `counts` are those of the buckets up to each of `bounds`, in seconds, and beyond the last.
    pub(super) fn histogram_sample(
        &mut self,
        labels: impl EncodeLabelSet,
        bounds: &[f64],
        counts: &[u64],
        sum: Duration,
    ) -> fmt::Result {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts.iter().copied()).collect();
        let count = counts.iter().sum();
        let mut encoder = self.0.encode_family(&labels)?;
        encoder.encode_histogram::<NoExemplar>(sum.as_secs_f64(), count, &buckets, None)
    }

    pub(super) fn counter_sample(
        &mut self,
        labels: impl EncodeLabelSet,
        value: u64,
    ) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_family(&labels)?)
    }
}

/// No exemplar.
type NoExemplar = [(&'static str, &'static str); 0];

/// The words at the end of a name that are a unit.
static UNITS: LazyLock<[Unit; 5]> = LazyLock::new(|| {
    let other = |name: &str| Unit::Other(name.to_owned());
    [Unit::Seconds, Unit::Bytes, other("percent"), other("minutes"), other("messages")]
});

/// The name without its unit, which the library adds again.
fn split_unit(name: &'static str) -> (&'static str, Option<&'static Unit>) {
    let split = |unit: &'static Unit| {
        let name = name.strip_suffix(unit.as_str())?.strip_suffix('_')?;
        Some((name, Some(unit)))
    };
    UNITS.iter().find_map(split).unwrap_or((name, None))
}
