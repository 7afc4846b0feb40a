//! How a target was over the latest hours and days, as JSON.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::values::{date, seconds};
use crate::web::ranges::{Range, Summary, hundredths, outages};
use ledger::{Availability, Bucket, Outage, Side, Span, Times};
use mail::text;

/// The whole document.
#[derive(Serialize)]
pub(in crate::web) struct HistoryReport<'a> {
    name: &'a str,
    /// When it was made.
    at: String,
    ranges: Vec<RangeRecord>,
    hours: Vec<BucketRecord>,
    days: Vec<BucketRecord>,
    outages: Vec<OutageRecord>,
}

#[derive(Serialize)]
struct RangeRecord {
    range: &'static str,
    #[serde(flatten)]
    counts: CountsRecord,
    send: ShareRecord,
    receive: ShareRecord,
}

#[derive(Serialize)]
struct BucketRecord {
    begins: String,
    #[serde(flatten)]
    counts: CountsRecord,
    send: TimesRecord,
    receive: TimesRecord,
}

#[derive(Serialize)]
struct CountsRecord {
    late: u32,
    lost: u32,
    roundtrips: u64,
    roundtrip_median_seconds: Option<f64>,
    roundtrip_worst_seconds: Option<f64>,
}

#[derive(Serialize)]
struct ShareRecord {
    /// Rounded down to a hundredth.
    able_percent: Option<f64>,
    able_seconds: f64,
    unable_seconds: f64,
}

#[derive(Serialize)]
struct TimesRecord {
    able_seconds: f64,
    unable_seconds: f64,
    /// Of the time that is over.
    unknown_seconds: f64,
}

#[derive(Serialize)]
struct OutageRecord {
    side: &'static str,
    began: String,
    ended: Option<String>,
    seconds: f64,
    step: &'static str,
    reason: &'static str,
    words: String,
}

impl<'a> HistoryReport<'a> {
    /// As it is at `now`.
    pub(in crate::web) fn new(name: &'a str, availability: &Availability, now: SystemTime) -> Self {
        let Summary { ranges, hours, days } = Summary::of(availability, now);
        let records = |span: Span, buckets: &[(SystemTime, Bucket)]| {
            buckets.iter().map(|it| BucketRecord::new(span, it, now)).collect()
        };
        let outages = outages(availability).into_iter();
        let outages = outages.map(|(side, it)| OutageRecord::new(side, it, now));
        Self {
            name,
            at: date(now),
            ranges: ranges.iter().map(|(range, all)| RangeRecord::new(*range, all)).collect(),
            hours: records(Span::Hour, &hours),
            days: records(Span::Day, &days),
            outages: outages.collect(),
        }
    }
}

impl RangeRecord {
    fn new(range: Range, bucket: &Bucket) -> Self {
        Self {
            range: range.name(),
            counts: CountsRecord::new(bucket),
            send: ShareRecord::new(&bucket.sides.send),
            receive: ShareRecord::new(&bucket.sides.receive),
        }
    }
}

impl BucketRecord {
    fn new(span: Span, (begins, bucket): &(SystemTime, Bucket), now: SystemTime) -> Self {
        let over = now.duration_since(*begins).unwrap_or_default().min(span.width());
        Self {
            begins: humantime::format_rfc3339_seconds(*begins).to_string(),
            counts: CountsRecord::new(bucket),
            send: TimesRecord::new(&bucket.sides.send, over),
            receive: TimesRecord::new(&bucket.sides.receive, over),
        }
    }
}

impl CountsRecord {
    fn new(Bucket { late, lost, trips, .. }: &Bucket) -> Self {
        Self {
            late: *late,
            lost: *lost,
            roundtrips: trips.count(),
            roundtrip_median_seconds: trips.median().map(two_digits),
            roundtrip_worst_seconds: trips.worst().map(seconds),
        }
    }
}

/// It is known to a tenth at best: more digits would promise more.
fn two_digits(median: Duration) -> f64 {
    let exact = median.as_secs_f64();
    let scale = 10_f64.powf(1.0 - exact.log10().floor());
    (exact * scale).round() / scale
}

impl ShareRecord {
    fn new(times: &Times) -> Self {
        Self {
            able_percent: hundredths(times).map(|share| share as f64 / 100.0),
            able_seconds: seconds(times.able()),
            unable_seconds: seconds(times.unable()),
        }
    }
}

impl TimesRecord {
    fn new(times: &Times, over: Duration) -> Self {
        Self {
            able_seconds: seconds(times.able()),
            unable_seconds: seconds(times.unable()),
            unknown_seconds: seconds(over.saturating_sub(times.measured())),
        }
    }
}

impl OutageRecord {
    fn new(side: Side, outage: &Outage, now: SystemTime) -> Self {
        let until = outage.ended.unwrap_or(now);
        Self {
            side: side.label(),
            began: date(outage.began),
            ended: outage.ended.map(date),
            seconds: seconds(until.duration_since(outage.began).unwrap_or_default()),
            step: outage.step.label(),
            reason: outage.reason.label(),
            // Escaped where it was read; not relied on here.
            words: text::shown(outage.words.as_bytes()),
        }
    }
}
