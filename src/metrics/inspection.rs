//! The metrics of the header of the latest arrived mail. What was not found is absent.

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::View;
use mail::inspection::Inspection;

/// All of them.
pub(super) fn parts() -> [Part; 5] {
    [
        Part::family(Page::encode_hops),
        Part::family(Page::encode_authentication),
        Part::family(Page::encode_spam_score),
        Part::family(Page::encode_spam_flag),
        Part::family(Page::encode_last_hop),
    ]
}

impl Page {
    fn encode_last_hop(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_last_hop_tls",
            "1 if the last hop of the latest mail used TLS according to its header, else 0",
        );
        for (view, inspection) in self.inspections() {
            if let Some(hop) = &inspection.last_hop {
                let labels = labels(view, []);
                family.gauge_sample(&labels, flag(hop.is_protected));
            }
        }
    }

    fn encode_hops(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_hop_delay_seconds",
            "Time of the latest mail from the previous hop (hop 1: from transmission) to this one, \
             by the Received stamps of its header. Absent where the clocks of the hops disagree",
        );
        for (view, inspection) in self.inspections() {
            for (hop, position) in inspection.hops.iter().zip(POSITIONS) {
                if let Some(delay) = hop.delay.measured() {
                    let labels = labels(view, [("hop", position)]);
                    family.gauge_sample(&labels, delay.as_secs_f64());
                }
            }
        }
    }

    fn encode_authentication(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_authentication_result",
            "Verdict of the receiving server on the latest mail by this method. Always 1",
        );
        for (view, inspection) in self.inspections() {
            for verdict in &inspection.authentication {
                let labels = labels(
                    view,
                    [("method", verdict.method.label()), ("result", verdict.outcome.label())],
                );
                family.gauge_sample(&labels, 1.0);
            }
        }
    }

    fn encode_spam_score(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_spam_score",
            "Score of the latest mail, on the scale of the spam filter that gave it",
        );
        for (view, inspection) in self.inspections() {
            for spam in &inspection.spam {
                if let Some(score) = spam.score {
                    let labels = labels(view, [("filter", spam.filter.label())]);
                    family.gauge_sample(&labels, score);
                }
            }
        }
    }

    fn encode_spam_flag(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_spam_flag",
            "1 if the spam filter classified the latest mail as spam, else 0",
        );
        for (view, inspection) in self.inspections() {
            for spam in &inspection.spam {
                if let Some(is_spam) = spam.is_spam {
                    let labels = labels(view, [("filter", spam.filter.label())]);
                    family.gauge_sample(&labels, flag(is_spam));
                }
            }
        }
    }

    fn inspections(&self) -> impl Iterator<Item = (&View, &Inspection)> {
        self.views().filter_map(|view| Some((view, view.inspection.as_deref()?)))
    }
}

/// The values of the label `hop`.
pub(super) const POSITIONS: [&str; mail::inspection::MAX_HOPS] =
    ["1", "2", "3", "4", "5", "6", "7", "8"];

fn flag(is_so: bool) -> f64 {
    if is_so { 1.0 } else { 0.0 }
}
