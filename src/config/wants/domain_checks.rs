//! `domain_checks`: which domains of a target are checked, for what, and how often.

use std::net::IpAddr;
use std::time::Duration;

use lettre::Address;
use mail::posture::Check;

use super::dnsbl::{INTERVALS, addresses};
use crate::config::reference::Home;
use crate::config::section::{Report, Section};
use crate::config::yaml::Node;
use crate::config::{Target, value};

/// `domain_checks`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DomainChecks {
    /// What is checked, in the order of [`Check::ALL`]; never empty.
    pub checks: Vec<Check>,
    /// The domain that sends, in ASCII; `None`: that of `from`.
    pub sending_domain: Option<String>,
    /// The domain that receives, in ASCII; `None`: that of `to`.
    pub receiving_domain: Option<String>,
    /// From where the mail goes out; empty: those of `dnsbl`, else that from which the receiver had the newest mail.
    pub addresses: Vec<IpAddr>,
    /// How often they are made.
    pub interval: Duration,
}

pub(in crate::config) const INTERVAL: Duration = Duration::from_secs(3600);
/// The words of `checks`, in the order of [`Check::ALL`].
pub(in crate::config) const WORDS: [&str; Check::ALL.len()] =
    ["mx", "spf", "dkim", "dmarc", "mta_sts", "tls_rpt", "dane", "ptr"];

impl Target {
    /// The checks of its domains, if it has any.
    pub fn domain_checks(&self) -> Option<&DomainChecks> {
        self.wants.as_ref()?.domain_checks.as_ref()
    }

    /// The domain that a check is about.
    pub fn domain_of<'a>(&'a self, checks: &'a DomainChecks, check: Check) -> &'a str {
        let (named, own): (_, &Address) = match check.is_of_receiver() {
            true => (&checks.receiving_domain, &self.to),
            false => (&checks.sending_domain, &self.from),
        };
        named.as_deref().unwrap_or(own.domain())
    }

    /// The addresses from which its mail goes out, as far as the configuration names them.
    pub fn outgoing_addresses(&self) -> &[IpAddr] {
        let own = self.domain_checks().map(|checks| checks.addresses.as_slice());
        let of_lists = self.dnsbl().map(|dnsbl| dnsbl.addresses.as_slice());
        own.filter(|own| !own.is_empty()).or(of_lists).unwrap_or_default()
    }
}

/// `domain_checks`: `true`, `false`, or a map.
pub(super) fn domain_checks(section: &Section<'_>, report: &mut Report) -> Option<DomainChecks> {
    let written = section.switch("domain_checks", report)?;
    written.check_keys(Home::DomainChecks, report);
    Some(DomainChecks {
        checks: checks(&written, report),
        sending_domain: written.read("sending_domain", report, domain),
        receiving_domain: written.read("receiving_domain", report, domain),
        addresses: addresses(&written, report),
        interval: written.read("interval", report, value::duration(INTERVALS)).unwrap_or(INTERVAL),
    })
}

fn checks(section: &Section<'_>, report: &mut Report) -> Vec<Check> {
    if section.find("checks").is_none() {
        return Check::ALL.to_vec();
    }
    let known: Vec<(&str, Check)> = WORDS.into_iter().zip(Check::ALL).collect();
    let items = section.list("checks", report).unwrap_or_default();
    if items.is_empty()
        && let Some(found) = section.find("checks")
    {
        report.add(
            found.place.problem("must name one check at least; `domain_checks: false` is none"),
        );
    }
    let named = items.into_iter();
    let named = named.map(|(place, node)| report.accept(&place, value::choice(&known)(node)));
    let named: Vec<Check> = named.flatten().collect();
    Check::ALL.into_iter().filter(|check| named.contains(check)).collect()
}

fn domain(node: &Node) -> Result<String, String> {
    let name = value::server_name(node)?;
    match name.contains('.') && name.parse::<IpAddr>().is_err() {
        true => Ok(name),
        false => Err("must be a domain, as example.com".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;

    fn target(checks: &str) -> Arc<Target> {
        let yaml = format!(
            "targets: [{{name: a, host: h, from: a@send.example, to: a@receive.example, receive: \
             {{protocol: pop3, username: u, password: p}}, domain_checks: {checks}}}]\n"
        );
        let config =
            Config::parse(&yaml, Path::new("test.yml")).unwrap_or_else(|it| panic!("{it}"));
        let shown = config.to_yaml().replace("<secret>", "p");
        let again =
            Config::parse(&shown, Path::new("again.yml")).unwrap_or_else(|it| panic!("{it}"));
        let target = Arc::clone(config.targets.values().next().unwrap());
        assert_eq!(again.targets.values().next().unwrap().wants, target.wants, "{shown}");
        target
    }

    #[test]
    fn a_check_is_about_the_domain_that_sends_or_the_one_that_receives() {
        assert_eq!(WORDS, Check::ALL.map(Check::label));
        let of = |target: &Target, check| {
            target.domain_of(target.domain_checks().unwrap(), check).to_owned()
        };
        let usual = target("true");
        assert_eq!(usual.domain_checks().unwrap().checks, Check::ALL);
        let domains = Check::ALL.map(|check| of(&usual, check));
        let (sends, receives) = ("send.example", "receive.example");
        assert_eq!(domains, [receives, sends, sends, sends, receives, receives, receives, sends]);
        let named = target(
            "{sending_domain: BÜCHER.example, receiving_domain: b.example, checks: [spf, MX]}",
        );
        assert_eq!(of(&named, Check::Spf), "xn--bcher-kva.example");
        assert_eq!(of(&named, Check::Dane), "b.example");
        assert_eq!(named.domain_checks().unwrap().checks, [Check::Mx, Check::Spf]);
        assert_eq!(target("false").wants, None);
    }

    #[test]
    fn the_addresses_of_the_lists_serve_both() {
        let [own, of_lists] = ["192.0.2.1", "192.0.2.2"].map(|it| it.parse::<IpAddr>().unwrap());
        assert!(target("true").outgoing_addresses().is_empty());
        let lists = "true, dnsbl: {lists: [bl.example], addresses: [198.51.100.7]}";
        assert_eq!(target(lists).outgoing_addresses(), ["198.51.100.7".parse::<IpAddr>().unwrap()]);
        let both = lists.replace("true,", "{addresses: [192.0.2.1, 192.0.2.2]},");
        assert_eq!(target(&both).outgoing_addresses(), [own, of_lists]);
    }
}
