//! How long the hops of a mail usually take, for targets that learn it (`inspect: {usual: true}`).

use super::family::{Family, Writer};
use super::inspection::POSITIONS;
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::Views;

/// All of them; none if no target of `all` learns what is usual.
pub(super) fn parts(all: &Views) -> Vec<Part> {
    let is_learned = all.iter().any(|view| view.target.usual);
    is_learned.then(|| Part::family(Page::encode_usual_hops)).into_iter().collect()
}

impl Page {
    fn encode_usual_hops(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_hop_usual_delay_seconds",
            "Usual time to this hop: the median of the mails of this target before the latest that went the same way, right to \
             a factor of two. Absent before 20 of them",
        );
        for (view, usual) in self.views().filter_map(|view| Some((view, view.usual.as_deref()?))) {
            let hops = view.inspection.as_ref().map_or(0, |inspection| inspection.hops.len());
            for (stretch, position) in (0..hops).zip(POSITIONS) {
                if let Some(usual) = usual.of(stretch) {
                    let labels = labels(view, [("hop", position)]);
                    family.gauge_sample(&labels, usual.median.as_secs_f64());
                }
            }
        }
    }
}
