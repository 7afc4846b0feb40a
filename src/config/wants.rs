//! What a target asks for beyond the plain round trip. Most ask for nothing, and have a pointer that is empty.

use mail::content::Form;

use super::section::{Report, Section};
use super::source::Sources;
use super::{Target, value};
pub use dnsbl::{Dnsbl, DnsblList};

pub(super) mod dnsbl;
pub(super) mod form;

/// The wants of a target, one at least.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wants {
    /// What its test mail is like; `None`: as the exporter writes it by itself.
    pub mail: Option<Form>,
    /// On which lists its outgoing addresses are looked up; `None`: on none.
    pub dnsbl: Option<Dnsbl>,
}

/// The wants that a section describes, of a target that `inspects` the headers of its mails or not; `None` if it
/// has none.
pub(super) fn wants(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    inspects: bool,
    report: &mut Report,
) -> Option<Box<Wants>> {
    let wants = Wants {
        mail: form::form(section, sources, report),
        dnsbl: dnsbl::dnsbl(section, sources, inspects, report),
    };
    (wants != Wants::default()).then(|| Box::new(wants))
}

/// What does not go together with the rest of the target.
pub(super) fn check(target: &Target, section: &Section<'_>, report: &mut Report) {
    form::check(target, section, report);
}

impl Target {
    /// What its test mail is like, if its configuration says so.
    pub fn form(&self) -> Option<&Form> {
        self.wants.as_ref()?.mail.as_ref()
    }
}
