//! What is wanted of a target beyond its mails, written down again.

use std::net::IpAddr;

use ledger::Expectation;
use mail::posture::Check;

use super::{Text, Written, Yaml};
use crate::config::{Dnsbl, DnsblList, DomainChecks, Expected, Target};

impl Yaml {
    pub(super) fn expected(&mut self, expected: &Expected) {
        self.line(2, "expect", expected.outcome.label());
        if expected.outcome == Expectation::Refused {
            self.line(2, "refused_at", expected.refused_at.label());
        }
    }

    pub(super) fn dnsbl(&mut self, dnsbl: &Dnsbl) {
        self.head(2, "dnsbl");
        let list = |DnsblList { name, zone }: &DnsblList| match zone.file() {
            Some(file) => {
                let file = file.to_string_lossy();
                format!("{{name: {}, zone_file: {}}}", Text(name), Text(&file))
            }
            None => Text(name).to_string(),
        };
        let lists: Vec<String> = dnsbl.lists.iter().map(list).collect();
        self.line(3, "lists", format_args!("[{}]", lists.join(", ")));
        self.addresses(&dnsbl.addresses);
        self.line(3, "interval", Written(dnsbl.interval));
    }

    pub(super) fn domain_checks(&mut self, written: &DomainChecks) {
        let DomainChecks { checks, sending_domain, receiving_domain, addresses, interval } =
            written;
        self.head(2, "domain_checks");
        self.line(3, "checks", format_args!("[{}]", labels(checks)));
        for (key, domain) in
            [("sending_domain", sending_domain), ("receiving_domain", receiving_domain)]
        {
            domain.iter().for_each(|domain| self.line(3, key, Text(domain)));
        }
        self.addresses(addresses);
        self.line(3, "interval", Written(*interval));
    }

    fn addresses(&mut self, addresses: &[IpAddr]) {
        if !addresses.is_empty() {
            let addresses = addresses.iter();
            let addresses: Vec<String> =
                addresses.map(|address| Text(&address.to_string()).to_string()).collect();
            self.line(3, "addresses", format_args!("[{}]", addresses.join(", ")));
        }
    }
}

/// What is wanted, as the rest of a sentence; nothing where nothing is.
pub(super) fn described(target: &Target) -> String {
    let lists = target.dnsbl().map(lists).unwrap_or_default();
    let Some(wanted) = target.domain_checks() else { return lists };
    let [sends, receives] = [Check::Spf, Check::Mx].map(|check| target.domain_of(wanted, check));
    let domains = match sends == receives {
        true => sends.to_owned(),
        false => format!("{sends} and {receives}"),
    };
    format!(
        "{lists}; checks {} of {domains} every {}",
        labels(&wanted.checks),
        Written(wanted.interval)
    )
}

fn labels(checks: &[Check]) -> String {
    checks.iter().map(|check| check.label()).collect::<Vec<_>>().join(", ")
}

fn lists(dnsbl: &Dnsbl) -> String {
    let Dnsbl { lists, addresses, interval } = dnsbl;
    let about = match addresses.as_slice() {
        [] => "the address from which its mail goes out".to_owned(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let lists: Vec<&str> = lists.iter().map(|list| list.name.as_str()).collect();
    format!("; asks {} about {about} every {}", lists.join(", "), Written(*interval))
}
