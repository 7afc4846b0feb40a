//! The metrics of what has failed on the sides: how often, of what, and when last.

use super::family::{Family, Writer};
use super::labels::{Labels, labels};
use super::{Page, Part, timestamp};
use crate::supervisor::View;
use ledger::{Cause, Side};

/// All of them.
pub(super) fn parts() -> [Part; 3] {
    [
        Part::family(Page::encode_failures),
        Part::family(Page::encode_failure_reasons),
        Part::family(Page::encode_last_failures),
    ]
}

impl Page {
    fn encode_failures(&self, writer: &mut Writer<'_>) {
        let mut family = Family::counter(
            writer,
            "mailtrip_failures_total",
            "Failures of a side, including failed looks and removals",
        );
        for (view, side, state) in self.sides() {
            let labels = labels(view, [("side", side.label())]);
            family.counter_sample(&labels, state.failures.total());
        }
    }

    fn encode_failure_reasons(&self, writer: &mut Writer<'_>) {
        let mut family = Family::counter(
            writer,
            "mailtrip_failure_reasons_total",
            "Failures of a side by step and reason. Combinations that never occurred are absent",
        );
        for (view, side, state) in self.sides() {
            for failures in state.failures.iter() {
                family.counter_sample(&cause_labels(view, side, failures.cause), failures.count);
            }
        }
    }

    fn encode_last_failures(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_last_failure_timestamp_seconds",
            "Unix time of the latest failure of a side, with its step and reason. Absent before the \
             first; a success does not remove it",
        );
        for (view, side, state) in self.sides() {
            if let Some(newest) = state.failures.newest() {
                let labels = cause_labels(view, side, newest.cause);
                family.gauge_sample(&labels, timestamp(newest.last));
            }
        }
    }
}

fn cause_labels(view: &View, side: Side, (step, reason): Cause) -> Labels<'_, 3> {
    labels(view, [("side", side.label()), ("step", step.label()), ("reason", reason.label())])
}
