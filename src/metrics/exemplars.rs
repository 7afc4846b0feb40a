//! The token of the newest mail in each bucket of the round trips, as exemplars. The library can give
//! exemplars only to a histogram that it has counted itself, so they are added to its text.

use std::fmt::{self, Write};

use super::page::Page;
use super::timestamp;

const SUM: &str = "mailtrip_roundtrip_seconds_sum";
const BUCKET: &str = "mailtrip_roundtrip_seconds_bucket";

/// `histograms`, the family of these targets in OpenMetrics, with its exemplars.
///
/// # Errors
/// Never: a string takes everything.
pub(super) fn added(page: &Page, histograms: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(histograms.len() * 2);
    let mut views = page.views();
    let mut view = None;
    let mut bucket = 0;
    for line in histograms.split_terminator('\n') {
        text.push_str(line);
        if line.starts_with(SUM) {
            // The first sample of a target.
            (view, bucket) = (views.next(), 0);
        } else if line.starts_with(BUCKET) {
            if let Some(exemplar) = view.and_then(|view| view.snapshot.exemplars.of(bucket)) {
                let (token, found) = (exemplar.token, timestamp(exemplar.found));
                let roundtrip = exemplar.roundtrip.as_secs_f64();
                write!(text, " # {{token=\"{token}\"}} {roundtrip} {found}")?;
            }
            bucket += 1;
        }
        text.push('\n');
    }
    Ok(text)
}
