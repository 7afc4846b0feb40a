//! The metrics of the standing of targets outside their mails; none where nothing of it is looked for.

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part};
use crate::supervisor::Views;

/// All of them that a target of `all` has.
pub(super) fn parts(all: &Views) -> Vec<Part> {
    let has_lists = all.iter().any(|view| view.target.dnsbl().is_some());
    let has_checks = all.iter().any(|view| view.target.domain_checks().is_some());
    let lists = has_lists.then(|| Part::family(encode_lists));
    lists.into_iter().chain(has_checks.then(|| Part::family(encode_checks))).collect()
}

fn encode_lists(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_dnsbl_listed",
        "1 if an address from which the mail goes out is on this list, 0 if none is. NaN before the \
         first answer, where the list does not answer, refuses to or fails its own test, and while no \
         such address is known",
    );
    for view in page.views() {
        for finding in view.standing.iter().flat_map(|standing| &standing.dnsbl) {
            let listed = finding.is_well.map(|is_well| if is_well { 0.0 } else { 1.0 });
            let labels = labels(view, [("dnsbl", finding.name.as_str())]);
            family.gauge_sample(&labels, listed.value().unwrap_or(f64::NAN));
        }
    }
}

fn encode_checks(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_domain_check_passed",
        "1 if a check of what the domains of the target publish about their mail passed, 0 if it failed. NaN before \
         the first check, where nothing is published that need not be, and where it is not known",
    );
    for view in page.views() {
        for finding in view.standing.iter().flat_map(|standing| &standing.domain) {
            let passed = finding.is_well.map(|is_well| if is_well { 1.0 } else { 0.0 });
            let labels = labels(view, [("check", finding.name.as_str())]);
            family.gauge_sample(&labels, passed.value().unwrap_or(f64::NAN));
        }
    }
}
