//! Writing one metric family in the library's terms.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// One metric family that is being written.
pub(super) struct Family<'a>(pub(super) prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    pub(super) fn gauge(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Gauge).map(Self)
    }

    /// `name` is the name of the samples; the library adds the suffix to that of the family.
    pub(super) fn counter(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        let family = name.strip_suffix("_total").unwrap_or(name);
        encoder.encode_descriptor(family, help, None, MetricType::Counter).map(Self)
    }

    pub(super) fn gauge_sample(&mut self, labels: impl EncodeLabelSet, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_family(&labels)?)
    }

    /// The one sample of a family without labels.
    pub(super) fn single(self, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0)
    }

    pub(super) fn counter_sample(
        &mut self,
        labels: impl EncodeLabelSet,
        value: u64,
    ) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_family(&labels)?)
    }
}
