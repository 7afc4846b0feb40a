//! How long the two ways of a test mail took, of targets that wait for an answer (`match: reply`).

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::Views;
use mail::inspection::{Delay, ThereAndBack};

/// All of them; none if no target of `all` waits for an answer.
pub(super) fn parts(all: &Views) -> Vec<Part> {
    if !all.iter().any(|view| view.target.takes_replies()) {
        return Vec::new();
    }
    vec![Part::family(Page::encode_way_out), Part::family(Page::encode_way_back)]
}

impl Page {
    fn encode_way_out(&self, writer: &mut Writer<'_>) {
        let name = "mailtrip_way_out_seconds";
        let help = "Time of the latest test mail from transmission to the other side, by the header of what came back. \
                    NaN where it does not tell";
        self.encode_way(Family::gauge(writer, name, help), |ways| ways.out);
    }

    fn encode_way_back(&self, writer: &mut Writer<'_>) {
        let name = "mailtrip_way_back_seconds";
        let help = "Time of the latest answer, or of the test mail that was sent back, from the other side to the mailbox, \
                    by its header. NaN where it does not tell";
        self.encode_way(Family::gauge(writer, name, help), |ways| ways.back);
    }

    fn encode_way(&self, mut family: Family<'_>, way: impl Fn(ThereAndBack) -> Delay) {
        for view in self.views().filter(|view| view.target.takes_replies()) {
            let ways = view.inspection.as_ref().and_then(|inspection| inspection.there_and_back);
            let took = ways.and_then(|ways| way(ways).measured());
            family.gauge_sample(&labels(view, []), took.map_or(f64::NAN, |it| it.as_secs_f64()));
        }
    }
}
