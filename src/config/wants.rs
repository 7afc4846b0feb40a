//! What a target asks for beyond the plain round trip. Most ask for nothing, and have a pointer that is empty.

use mail::content::Form;

use super::section::{Level, Report, Section};
use super::source::Sources;
use super::{Target, value};
pub use dnsbl::{Dnsbl, DnsblList};
pub use domain_checks::DomainChecks;
pub use expect::{Expected, RefusedAt};
pub use reply::Match;

pub(super) mod dnsbl;
pub(super) mod domain_checks;
pub(super) mod expect;
pub(super) mod form;
pub(super) mod reply;

/// The wants of a target, one at least.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wants {
    /// What its test mail is like; `None`: as the exporter writes it by itself.
    pub mail: Option<Form>,
    /// What counts as the arrival of its test mail.
    pub matches: Match,
    /// What must become of its test mails; `None`: they are to be delivered.
    pub expect: Option<Expected>,
    /// On which lists its outgoing addresses are looked up; `None`: on none.
    pub dnsbl: Option<Dnsbl>,
    /// What of its domains is checked; `None`: nothing.
    pub domain_checks: Option<DomainChecks>,
}

/// The wants that a section describes, of a target that `inspects` the headers of its mails or not; `None` if it
/// has none.
pub(super) fn wants(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    inspects: bool,
    report: &mut Report,
) -> Option<Box<Wants>> {
    let mail = form::form(section, sources, report);
    let expect = expect::expected(section, mail.as_ref(), report);
    // What must not pass goes to foreign domains and from nowhere: nothing is to be learned of these, unless it is asked.
    let is_asked = |key| expect.is_none() || section.find_in(Level::Own, key).is_some();
    let (asks_lists, asks_domains) = (is_asked("dnsbl"), is_asked("domain_checks"));
    let wants = Wants {
        expect,
        mail,
        matches: section.read("match", report, value::choice(&reply::MATCHES)).unwrap_or_default(),
        dnsbl: asks_lists.then(|| dnsbl::dnsbl(section, sources, inspects, report)).flatten(),
        domain_checks: asks_domains
            .then(|| domain_checks::domain_checks(section, report))
            .flatten(),
    };
    (wants != Wants::default()).then(|| Box::new(wants))
}

/// What does not go together with the rest of the target.
pub(super) fn check(target: &Target, section: &Section<'_>, report: &mut Report) {
    form::check(target, section, report);
    reply::check(target, section, report);
    expect::check(target, section, report);
}

/// What of the wants is allowed and yet worth a look, as sentences without the name of the target.
pub(super) fn doubts(target: &Target) -> Vec<String> {
    let mut doubts = form::doubts(target);
    doubts.extend(reply::doubts(target));
    doubts.extend(expect::doubts(target));
    doubts
}

impl Target {
    /// What its test mail is like, if its configuration says so.
    pub fn form(&self) -> Option<&Form> {
        self.wants.as_ref()?.mail.as_ref()
    }
}
