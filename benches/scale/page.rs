//! A page of metrics, summed up over all targets: it may have a million series.

use std::collections::BTreeMap;

/// What it says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) series: usize,
    pub(crate) accepted: f64,
    pub(crate) received: f64,
    pub(crate) failures: f64,
    pub(crate) skipped: f64,
    /// The newest round trip of each target, in seconds.
    pub(crate) round_trips: Vec<f64>,
    /// When each target sent last, in seconds since the epoch.
    pub(crate) sent: Vec<f64>,
    /// How late the exporter was: by part, the bounds in seconds with what came within each. `None`: it
    /// does not tell.
    lag: Option<BTreeMap<String, Vec<(f64, f64)>>>,
}

impl Page {
    /// Reads the text format.
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            page.series += 1;
            page.take(line);
        }
        page
    }

    fn take(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("mailtrip_") else { return };
        let Some((key, value)) = rest.rsplit_once(' ') else { return };
        let name = key.split('{').next().unwrap_or_default();
        let value = value.parse().unwrap_or(f64::NAN);
        match name {
            "probes_accepted_total" => self.accepted += value,
            "probes_received_total" => self.received += value,
            "failures_total" => self.failures += value,
            "periods_skipped_total" => self.skipped += value,
            "roundtrip_last_seconds" if !value.is_nan() => self.round_trips.push(value),
            "last_attempt_timestamp_seconds" if key.contains("side=\"send\"") && value > 0.0 => {
                self.sent.push(value);
            }
            "scheduler_lag_seconds_bucket" => {
                let label = |name: &str| {
                    let rest = key.split_once(&format!("{name}=\""))?.1;
                    rest.split('"').next()
                };
                let bound = label("le").map(|le| le.parse().unwrap_or(f64::INFINITY));
                let part = label("part").unwrap_or("all").to_owned();
                let lag = self.lag.get_or_insert_default().entry(part).or_default();
                lag.extend(bound.map(|bound| (bound, value)));
            }
            _ => {}
        }
    }

    /// How late it was since an earlier page at the 99th percentile, by part; straight within a bucket, as
    /// Prometheus has it. `None`: it does not tell.
    pub(crate) fn lag_since(&self, earlier: &Self) -> Option<Vec<(String, f64)>> {
        let lag = self.lag.as_ref()?;
        let parts = lag.iter().map(|(part, buckets)| {
            let before = earlier.lag.as_ref().and_then(|lag| lag.get(part));
            let counts = buckets.iter().enumerate().map(|(index, (bound, count))| {
                let before = before.and_then(|before| before.get(index));
                (*bound, count - before.map_or(0.0, |(_, count)| *count))
            });
            (part.clone(), percentile_of_buckets(&counts.collect::<Vec<_>>(), 0.99))
        });
        Some(parts.collect())
    }

    /// How many targets sent last within one second, the fullest of all.
    pub(crate) fn fullest_second(&self) -> usize {
        let mut seconds = BTreeMap::<i64, usize>::new();
        for moment in &self.sent {
            *seconds.entry(moment.floor() as i64).or_default() += 1;
        }
        seconds.into_values().max().unwrap_or_default()
    }
}

/// The value below which such a share lies; the buckets are cumulative and in order.
fn percentile_of_buckets(buckets: &[(f64, f64)], share: f64) -> f64 {
    let Some((_, all)) = buckets.last().filter(|(_, all)| *all > 0.0) else { return f64::NAN };
    let wanted = all * share;
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            let within = (wanted - below) / (count - below);
            return if bound.is_finite() { lower + (bound - lower) * within } else { lower };
        }
        (lower, below) = (*bound, *count);
    }
    f64::NAN
}
