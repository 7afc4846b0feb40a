//! The metrics of the size of the test mail, of targets that say what it is like.

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::{View, Views};
use mail::inspection::Sizes;

/// All of them; none if no target of `all` says what its mail is like.
pub(super) fn parts(all: &Views) -> Vec<Part> {
    if all.iter().all(|view| view.target.form().is_none()) {
        return Vec::new();
    }
    vec![Part::family(Page::encode_sent_bytes), Part::family(Page::encode_arrived_bytes)]
}

impl Page {
    fn encode_sent_bytes(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_mail_sent_bytes",
            "Size of the latest test mail that arrived, as it was sent, in bytes. Absent before the first",
        );
        for (view, sizes) in self.sizes() {
            if let Some(sent) = sizes.sent {
                family.gauge_sample(&labels(view, []), of_bytes(sent));
            }
        }
    }

    fn encode_arrived_bytes(&self, writer: &mut Writer<'_>) {
        let mut family = Family::gauge(
            writer,
            "mailtrip_mail_arrived_bytes",
            "Size of the latest test mail that arrived, as its mailbox tells it, in bytes. Absent before the \
             first, and where the mailbox does not tell it",
        );
        for (view, sizes) in self.sizes() {
            family.gauge_sample(&labels(view, []), of_bytes(sizes.arrived));
        }
    }

    fn sizes(&self) -> impl Iterator<Item = (&View, Sizes)> {
        let of_form = self.views().filter(|view| view.target.form().is_some());
        of_form.filter_map(|view| Some((view, view.inspection.as_ref()?.sizes?)))
    }
}

/// No mail is so large that a float could not tell it exactly.
#[allow(clippy::cast_precision_loss, reason = "below 2^53")]
fn of_bytes(bytes: u64) -> f64 {
    bytes as f64
}
