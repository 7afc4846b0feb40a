//! Every metric: its name, its help text, its unit, and when it is NaN. Nowhere else does anything
//! know of metric names, percent, minutes or NaN.
//!
//! The names, labels and meanings are public; README.md lists them for users. One rule holds for
//! all: a value is measured or it is NaN, and a gauge whose fact was never measured is absent
//! unless its help says NaN. Label values come from the configuration or from a closed set.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::config::Target;
use crate::mail::{Reason, Side, Stage};
use crate::supervisor::{ReloadState, Supervisor, View};
use crate::target::ledger::{Histogram, Reading, SideState, Snapshot, Totals};

/// What the exporter knows of itself.
#[derive(Debug, Clone, Copy)]
pub struct ExporterFacts {
    reload: ReloadState,
    started: SystemTime,
    store_errors: u64,
}

impl ExporterFacts {
    /// The facts of a running exporter, now.
    pub fn of(supervisor: &Supervisor) -> Self {
        Self {
            reload: supervisor.reload_state(),
            started: supervisor.started(),
            store_errors: supervisor.store_errors(),
        }
    }
}

/// The metrics of these targets and of the exporter, as OpenMetrics text 1.0.0.
pub fn encode(views: &[View], exporter: &ExporterFacts) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page { views: views.to_vec(), exporter: *exporter }));
    let mut text = String::with_capacity(8192 + views.len() * 9000);
    // Writing to a string does not fail, and the page holds no histogram without buckets.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}

/// A gauge of a target; `None` leaves the series out.
struct TargetGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&Snapshot) -> Option<f64>,
}

const TARGET_GAUGES: [TargetGauge; 6] = [
    TargetGauge {
        name: "mailtrip_send_ability_percent",
        help: "Ability to send mail: share of the newest period's test mails that the SMTP server \
               accepted; NaN before the first and while passive and down",
        value: |it| nan(it.send_ability, |share| share * 100.0),
    },
    TargetGauge {
        name: "mailtrip_receive_ability_percent",
        help: "Ability to receive mail: 100 if at the newest check a fresh login worked and the \
               mailbox could be read, else 0; NaN before the first and while passive and down",
        value: |it| nan(it.receive_ability, |able| if able { 100.0 } else { 0.0 }),
    },
    TargetGauge {
        name: "mailtrip_outstanding_messages",
        help: "Test mails accepted by the SMTP server and not yet seen in the mailbox; NaN before \
               the first and while passive and down",
        value: |it| nan(it.outstanding, count),
    },
    TargetGauge {
        name: "mailtrip_roundtrip_minutes",
        help: "Mean delay in minutes between transmission and reception of the test mails received \
               since the newest period began, else in the one before; NaN if there were none",
        value: |it| nan(it.roundtrip, |mean| mean.as_secs_f64() / 60.0),
    },
    TargetGauge {
        name: "mailtrip_oldest_outstanding_timestamp_seconds",
        help: "When the oldest outstanding test mail was accepted, in seconds since 1970; NaN if \
               none is outstanding",
        value: |it| Some(it.oldest_outstanding.map_or(f64::NAN, timestamp)),
    },
    TargetGauge {
        name: "mailtrip_interval_seconds",
        help: "The configured test period",
        value: |it| Some(it.interval.as_secs_f64()),
    },
];

/// A gauge of a side; `None` leaves the series out.
struct SideGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&SideState) -> Option<f64>,
}

const SIDE_GAUGES: [SideGauge; 6] = [
    SideGauge {
        name: "mailtrip_consecutive_failures",
        help: "Periods (send) or checks (receive) in a row that failed; NaN while passive and down",
        value: |it| match it.consecutive_failures {
            Reading::Unmeasured => None,
            reading => nan(reading, f64::from),
        },
    },
    SideGauge {
        name: "mailtrip_server_up",
        help: "1 if the server answered at the newest attempt, 0 if it was not there: no address, \
               no connection, silence before its greeting, or its own word",
        value: |it| it.up.map(|up| if up { 1.0 } else { 0.0 }),
    },
    SideGauge {
        name: "mailtrip_last_attempt_timestamp_seconds",
        help: "When the newest attempt ended, in seconds since 1970",
        value: |it| it.last_attempt.map(timestamp),
    },
    SideGauge {
        name: "mailtrip_last_success_timestamp_seconds",
        help: "When the newest attempt that succeeded ended, in seconds since 1970",
        value: |it| it.last_success.map(timestamp),
    },
    SideGauge {
        name: "mailtrip_tls_certificate_not_after_timestamp_seconds",
        help: "When the server's certificate ends, in seconds since 1970; also of one that was \
               refused",
        value: |it| it.tls.as_ref().map(|tls| seconds(tls.leaf_not_after)),
    },
    SideGauge {
        name: "mailtrip_tls_chain_not_after_timestamp_seconds",
        help: "The earliest end of a certificate in the chain that the server sent, in seconds \
               since 1970",
        value: |it| it.tls.as_ref().map(|tls| seconds(tls.chain_not_after)),
    },
];

/// A counter of a target.
struct TargetCounter {
    name: &'static str,
    help: &'static str,
    value: fn(&Totals) -> u64,
}

const TARGET_COUNTERS: [TargetCounter; 11] = [
    TargetCounter {
        name: "mailtrip_probes_total",
        help: "Test mails that were tried to send",
        value: |it| it.probes,
    },
    TargetCounter {
        name: "mailtrip_probes_accepted_total",
        help: "Test mails that the SMTP server accepted",
        value: |it| it.accepted,
    },
    TargetCounter {
        name: "mailtrip_probes_doubtful_total",
        help: "Test mails that were handed over without a reply: nobody knows whether they were \
               accepted",
        value: |it| it.doubtful,
    },
    TargetCounter {
        name: "mailtrip_probes_received_total",
        help: "Accepted test mails that were seen in the mailbox, late ones included",
        value: |it| it.received,
    },
    TargetCounter {
        name: "mailtrip_probes_late_total",
        help: "Accepted test mails that were not seen late_after later; counted when it is so",
        value: |it| it.late,
    },
    TargetCounter {
        name: "mailtrip_probes_lost_total",
        help: "Accepted test mails that were not seen lost_after later",
        value: |it| it.lost,
    },
    TargetCounter {
        name: "mailtrip_probes_returned_total",
        help: "Doubtful or lost test mails that turned up after all",
        value: |it| it.returned,
    },
    TargetCounter {
        name: "mailtrip_probes_duplicate_total",
        help: "Further copies of test mails that had been received",
        value: |it| it.duplicate,
    },
    TargetCounter {
        name: "mailtrip_checks_total",
        help: "Checks of the mailbox: fresh logins, one a period",
        value: |it| it.checks,
    },
    TargetCounter {
        name: "mailtrip_check_failures_total",
        help: "Checks of the mailbox that failed",
        value: |it| it.check_failures,
    },
    TargetCounter {
        name: "mailtrip_periods_skipped_total",
        help: "Test periods that did not begin because the one before was still sending",
        value: |it| it.periods_skipped,
    },
];

#[derive(Debug)]
struct Page {
    views: Vec<View>,
    exporter: ExporterFacts,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_target_gauges(&mut encoder)?;
        self.encode_side_gauges(&mut encoder)?;
        self.encode_target_counters(&mut encoder)?;
        self.encode_failures(&mut encoder)?;
        self.encode_found(&mut encoder)?;
        self.encode_roundtrips(&mut encoder)?;
        self.encode_stages(&mut encoder)?;
        self.encode_infos(&mut encoder)?;
        self.encode_exporter(&mut encoder)
    }
}

impl Page {
    fn encode_target_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for gauge in &TARGET_GAUGES {
            let mut family = Family::gauge(encoder, gauge.name, gauge.help)?;
            for view in &self.views {
                if let Some(value) = (gauge.value)(&view.snapshot) {
                    family.gauge_sample([("target", name(view))], value)?;
                }
            }
        }
        Ok(())
    }

    fn encode_side_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for gauge in &SIDE_GAUGES {
            let mut family = Family::gauge(encoder, gauge.name, gauge.help)?;
            for (view, side, state) in self.sides() {
                if let Some(value) = (gauge.value)(state) {
                    family.gauge_sample([("target", name(view)), ("side", side.label())], value)?;
                }
            }
        }
        Ok(())
    }

    fn encode_target_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for counter in &TARGET_COUNTERS {
            let mut family = Family::counter(encoder, counter.name, counter.help)?;
            for view in &self.views {
                let value = (counter.value)(&view.snapshot.totals);
                family.counter_sample([("target", name(view))], value)?;
            }
        }
        let mut family = Family::counter(
            encoder,
            "mailtrip_attempts_not_applicable_total",
            "Attempts while the target was passive and down; in no other counter",
        )?;
        for (view, side, state) in self.sides() {
            let labels = [("target", name(view)), ("side", side.label())];
            family.counter_sample(labels, state.not_applicable)?;
        }
        Ok(())
    }

    fn encode_failures(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::counter(
            encoder,
            "mailtrip_failures_total",
            "Failures of a side by reason, failed looks and removals included",
        )?;
        for (view, side, state) in self.sides() {
            for reason in Reason::of(side) {
                let labels =
                    [("target", name(view)), ("side", side.label()), ("reason", reason.label())];
                family.counter_sample(labels, state.failures_for(*reason))?;
            }
        }
        let mut family = Family::counter(
            encoder,
            "mailtrip_stage_failures_total",
            "Failures of a side by the stage that failed, failed looks and removals included",
        )?;
        for (view, side, state) in self.sides() {
            for stage in Stage::of(side) {
                let labels =
                    [("target", name(view)), ("side", side.label()), ("stage", stage.label())];
                family.counter_sample(labels, state.failures_in(*stage))?;
            }
        }
        Ok(())
    }

    fn encode_found(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::counter(
            encoder,
            "mailtrip_probes_found_total",
            "Received test mails by the folder they were found in",
        )?;
        for view in &self.views {
            for (folder, count) in ["inbox", "junk", "other"].iter().zip(view.snapshot.totals.found)
            {
                family.counter_sample([("target", name(view)), ("folder", folder)], count)?;
            }
        }
        Ok(())
    }

    fn encode_roundtrips(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = encoder.encode_descriptor(
            "mailtrip_roundtrip_seconds",
            "Delays between transmission and reception of the test mails",
            None,
            MetricType::Histogram,
        )?;
        for view in &self.views {
            let labels = [("target", name(view))];
            let Histogram { counts, sum } = view.snapshot.roundtrips;
            let bounds = Histogram::BOUNDS_SECONDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
            let count = counts.iter().sum();
            let mut encoder = family.encode_family(&labels)?;
            encoder.encode_histogram::<NoExemplar>(sum.as_secs_f64(), count, &buckets, None)?;
        }
        Ok(())
    }

    fn encode_stages(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::gauge(
            encoder,
            "mailtrip_stage_duration_seconds",
            "Duration of each stage of the newest attempt; stage delivery is the time from \
             acceptance to arrival of the newest mail that arrived",
        )?;
        for (view, side, state) in self.sides() {
            for (stage, duration) in &state.stages {
                let labels =
                    [("target", name(view)), ("side", side.label()), ("stage", stage.label())];
                family.gauge_sample(labels, duration.as_secs_f64())?;
            }
            if let (Side::Receive, Some(delivery)) = (side, view.snapshot.delivery) {
                let labels =
                    [("target", name(view)), ("side", side.label()), ("stage", "delivery")];
                family.gauge_sample(labels, delivery.as_secs_f64())?;
            }
        }
        Ok(())
    }

    fn encode_infos(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::gauge(
            encoder,
            "mailtrip_tls_info",
            "1; the version and cipher suite of the newest TLS connection",
        )?;
        for (view, side, state) in self.sides() {
            if let Some(tls) = &state.tls {
                let labels = [
                    ("target", name(view)),
                    ("side", side.label()),
                    ("version", tls.version),
                    ("cipher", tls.cipher.as_str()),
                ];
                family.gauge_sample(labels, 1.0)?;
            }
        }
        let mut family =
            Family::gauge(encoder, "mailtrip_target_info", "1; what is configured for the target")?;
        for view in &self.views {
            family.gauge_sample(target_info(&view.target), 1.0)?;
        }
        Ok(())
    }

    fn encode_exporter(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        Family::gauge(encoder, "mailtrip_build_info", "1; the version of the exporter")?
            .gauge_sample([("version", env!("CARGO_PKG_VERSION"))], 1.0)?;
        let ReloadState { is_successful, last_success } = self.exporter.reload;
        let plain = [
            (
                "mailtrip_config_last_reload_successful",
                "1 if the newest load of the configuration succeeded, else 0",
                if is_successful { 1.0 } else { 0.0 },
            ),
            (
                "mailtrip_config_last_reload_success_timestamp_seconds",
                "When the configuration was last loaded with success, in seconds since 1970",
                timestamp(last_success),
            ),
            (
                "process_start_time_seconds",
                "When the process started, in seconds since 1970",
                timestamp(self.exporter.started),
            ),
        ];
        for (name, help, value) in plain {
            Family::gauge(encoder, name, help)?.single(value)?;
        }
        let family = Family::counter(
            encoder,
            "mailtrip_store_errors_total",
            "How often the state directory could not be written or read; meanwhile all goes on from \
             memory",
        )?;
        ConstCounter::new(self.exporter.store_errors).encode(family.0)?;
        encode_process(encoder)
    }

    fn sides(&self) -> impl Iterator<Item = (&View, Side, &SideState)> {
        self.views.iter().flat_map(|view| {
            [(view, Side::Send, &view.snapshot.send), (view, Side::Receive, &view.snapshot.receive)]
        })
    }
}

type NoExemplar = [(&'static str, &'static str); 0];

/// The usual `process_` metrics, where the system tells (Linux). What it hides is left out.
fn encode_process(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    use procfs::WithCurrentSystemInfo as _;
    let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
    if let Ok(stat) = process.stat() {
        #[expect(clippy::cast_precision_loss, reason = "sums of ticks and bytes stay below 2^53")]
        let (cpu, virtual_memory, resident_memory) = (
            (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            stat.vsize as f64,
            stat.rss_bytes().get() as f64,
        );
        let family = Family::counter(
            encoder,
            "process_cpu_seconds_total",
            "User and system CPU time spent",
        )?;
        ConstCounter::new(cpu).encode(family.0)?;
        for (name, help, value) in [
            ("process_virtual_memory_bytes", "Virtual memory size", virtual_memory),
            ("process_resident_memory_bytes", "Resident memory size", resident_memory),
        ] {
            Family::gauge(encoder, name, help)?.single(value)?;
        }
    }
    if let Ok(open) = process.fd_count() {
        Family::gauge(encoder, "process_open_fds", "Open file descriptors")?.single(count(open))?;
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        #[expect(clippy::cast_precision_loss, reason = "a limit of files stays below 2^53")]
        Family::gauge(encoder, "process_max_fds", "The most file descriptors that may be open")?
            .single(most as f64)?;
    }
    Ok(())
}

/// One metric family that is being written.
struct Family<'a>(prometheus_client::encoding::MetricEncoder<'a>);

impl<'a> Family<'a> {
    fn gauge(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        encoder.encode_descriptor(name, help, None, MetricType::Gauge).map(Self)
    }

    /// `name` is the name of the samples; the library adds the suffix to that of the family.
    fn counter(
        encoder: &'a mut DescriptorEncoder<'_>,
        name: &'static str,
        help: &str,
    ) -> Result<Self, fmt::Error> {
        let family = name.strip_suffix("_total").unwrap_or(name);
        encoder.encode_descriptor(family, help, None, MetricType::Counter).map(Self)
    }

    fn gauge_sample(&mut self, labels: impl EncodeLabelSet, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0.encode_family(&labels)?)
    }

    /// The one sample of a family without labels.
    fn single(self, value: f64) -> fmt::Result {
        ConstGauge::new(value).encode(self.0)
    }

    fn counter_sample(&mut self, labels: impl EncodeLabelSet, value: u64) -> fmt::Result {
        ConstCounter::new(value).encode(self.0.encode_family(&labels)?)
    }
}

fn name(view: &View) -> &str {
    view.target.name.as_str()
}

fn target_info(target: &Target) -> Vec<(&str, &str)> {
    let mut labels = vec![
        ("target", target.name.as_str()),
        ("passive", if target.passive { "true" } else { "false" }),
        ("cluster", target.cluster.as_deref().unwrap_or_default()),
        ("protocol", target.receive.protocol.label()),
        ("send_host", &target.send.endpoint.host),
        ("receive_host", &target.receive.endpoint.host),
    ];
    labels.extend(target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    labels
}

/// The value, or NaN where there is none.
fn nan<T>(reading: Reading<T>, value: impl FnOnce(T) -> f64) -> Option<f64> {
    Some(reading.value().map_or(f64::NAN, value))
}

fn timestamp(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "dates stay below 2^53 seconds")]
fn seconds(since_1970: i64) -> f64 {
    since_1970 as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory stay below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
