//! The metric of targets whose mails must not pass; none where there are none.

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::Views;

/// It, if a target of `all` has it.
pub(super) fn parts(all: &Views) -> Vec<Part> {
    let has_any = all.iter().any(|view| view.target.expected().is_some());
    has_any.then(|| Part::family(encode)).into_iter().collect()
}

fn encode(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_expectation_met",
        "1 if the latest test mail that must not pass was refused, filed as junk or found nowhere, as \
         the target expects; 0 if not. NaN before the first, where the server was down, deferred it \
         or refused something else, where nobody could look for it, while a \
         passive target is down, and once the result is outdated",
    );
    for view in page.views() {
        if let Some(judged) = &view.snapshot.expectation {
            let labels = labels(view, [("expect", judged.expectation.label())]);
            let is_met = judged.is_met.map(|is_met| if is_met { 1.0 } else { 0.0 });
            family.gauge_sample(&labels, is_met.value().unwrap_or(f64::NAN));
        }
    }
}
