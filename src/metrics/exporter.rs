//! The metrics of the exporter and of its process.

use super::family::{Family, Histograms, Writer};
use super::{ExporterFacts, count, layers, timestamp};
use crate::build;
use crate::config::LOCATION;
use crate::probing::lag::{Lateness, Part};
use crate::supervisor::ReloadState;
use ledger::Shortage;

impl ExporterFacts {
    /// All of them.
    pub(super) fn encode(&self, writer: &mut Writer<'_>) {
        self.encode_what_it_is(writer);
        let ReloadState { is_successful, last_success } = self.reload;
        let plain = [
            (
                "mailtrip_config_last_reload_successful",
                "1 if the latest load of the configuration succeeded, else 0",
                if is_successful { 1.0 } else { 0.0 },
            ),
            (
                "mailtrip_config_last_reload_success_timestamp_seconds",
                "Unix time at which the configuration was last loaded successfully",
                timestamp(last_success),
            ),
            (
                "process_start_time_seconds",
                "Unix time at which the process started",
                timestamp(self.started),
            ),
        ];
        for (name, help, value) in plain {
            Family::gauge(writer, name, help).single(value);
        }
        let family = Family::counter(
            writer,
            "mailtrip_store_errors_total",
            "Failed writes and reads of the state directory. The exporter continues from memory \
             meanwhile",
        );
        family.single_count(self.store_errors);
        let mut family = Family::counter(
            writer,
            "mailtrip_exporter_shortages_total",
            "Measurements that were not made because the exporter itself was short of a resource",
        );
        for (shortage, count) in Shortage::ALL.into_iter().zip(self.shortages) {
            family.counter_sample([("resource", shortage.label())].as_slice(), count);
        }
        self.encode_lag(writer);
        layers::encode_permission(self.may_ping, writer);
        encode_process(writer)
    }

    fn encode_lag(&self, writer: &mut Writer<'_>) {
        let mut histograms = Histograms::new(
            writer,
            "mailtrip_scheduler_lag_seconds",
            "How late the exporter itself was: start, the start of a send, without waiting for a connection; timer, a \
             timer of its own: round trips measured meanwhile may be too long by several times as much",
            &Lateness::BOUNDS_SECONDS,
        );
        for (part, Lateness { counts, sum }) in Part::ALL.into_iter().zip(self.lag) {
            histograms.sample([("part", part.label())].as_slice(), &counts, sum, |_| None);
        }
    }

    /// What it was built from, where its pages are, and its part of the targets.
    fn encode_what_it_is(&self, writer: &mut Writer<'_>) {
        let labels = [
            ("version", build::VERSION),
            ("revision", build::REVISION),
            ("branch", build::BRANCH),
            ("rustversion", build::RUST_VERSION),
        ];
        Family::gauge(writer, "mailtrip_build_info", "What the exporter was built from. Always 1")
            .gauge_sample(labels.as_slice(), 1.0);
        if let Some(url) = &self.external_url {
            Family::gauge(
                writer,
                "mailtrip_web_info",
                "Absolute address of the pages, if --web.external-url gives it. Always 1",
            )
            .gauge_sample([("external_url", url.as_str())].as_slice(), 1.0);
        }
        self.encode_shard(writer)
    }

    /// Its part of the targets, how many all shards have together, and where it is.
    fn encode_shard(&self, writer: &mut Writer<'_>) {
        let place = self.location.as_deref().map(|location| (LOCATION, location));
        if let Some(shard) = self.shard {
            let [index, count] = [shard.index(), shard.count()].map(|it| it.to_string());
            let labels = [("shard", index.as_str()), ("shards", count.as_str())];
            let labels: Vec<(&str, &str)> = labels.into_iter().chain(place).collect();
            Family::gauge(
                writer,
                "mailtrip_shard_info",
                "Which part of the targets the exporter tests, if --shard gives one. Always 1",
            )
            .gauge_sample(labels.as_slice(), 1.0);
        }
        let mut family = Family::gauge(
            writer,
            "mailtrip_config_targets",
            "Targets in the whole configuration, those that other shards test included",
        );
        match place {
            Some(place) => family.gauge_sample([place].as_slice(), count(self.targets)),
            None => family.single(count(self.targets)),
        }
    }
}

/// The usual `process_` metrics, where the system provides them (Linux). Unavailable ones are left
/// out.
fn encode_process(writer: &mut Writer<'_>) {
    use procfs::WithCurrentSystemInfo as _;
    let Ok(process) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        #[expect(clippy::cast_precision_loss, reason = "sums of ticks and bytes stay below 2^53")]
        let (cpu, virtual_memory, resident_memory) = (
            (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64,
            stat.vsize as f64,
            stat.rss_bytes().get() as f64,
        );
        let family = Family::counter(
            writer,
            "process_cpu_seconds_total",
            "Total user and system CPU time spent, in seconds",
        );
        family.single(cpu);
        for (name, help, value) in [
            ("process_virtual_memory_bytes", "Virtual memory size", virtual_memory),
            ("process_resident_memory_bytes", "Resident memory size", resident_memory),
        ] {
            Family::gauge(writer, name, help).single(value);
        }
    }
    if let Ok(open) = process.fd_count() {
        Family::gauge(writer, "process_open_fds", "Open file descriptors").single(count(open));
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        #[expect(clippy::cast_precision_loss, reason = "a limit of files stays below 2^53")]
        Family::gauge(writer, "process_max_fds", "Maximum number of open file descriptors")
            .single(most as f64);
    }
}
