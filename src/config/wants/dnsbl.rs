//! `dnsbl`: the lists of addresses on which the outgoing addresses of a target are looked up.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mail::dnsbl::{Zone, can_be_listed};

use crate::config::reference::Home;
use crate::config::section::{Layer, Place, Report, Section};
use crate::config::source::Sources;
use crate::config::yaml::{Node, Value};
use crate::config::{Secret, SecretSource, Target, value};

/// `dnsbl`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Dnsbl {
    /// The lists, 1 to 10, each with a name of its own.
    pub lists: Vec<DnsblList>,
    /// The addresses that are looked up; empty: that from which the receiver had the newest mail.
    pub addresses: Vec<IpAddr>,
    /// How often a list is asked.
    pub interval: Duration,
}

/// A list of addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct DnsblList {
    /// The label `dnsbl`: the zone, or the name that was given to one that nobody may see.
    pub name: String,
    /// The zone in which it is asked.
    pub zone: Zone,
}

pub(in crate::config) const INTERVAL: Duration = Duration::from_secs(3600);
pub(in crate::config) const INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(600)..=Duration::from_secs(7 * 24 * 3600);
const MOST_LISTS: usize = 10;
const MOST_ADDRESSES: usize = 32;
/// Below these the first part of a name is the key of a customer.
const ZONES_OF_KEYS: [&str; 2] = [".dq.spamhaus.net", ".mail.abusix.zone"];

impl Target {
    /// Its lists of addresses, if it has any.
    pub fn dnsbl(&self) -> Option<&Dnsbl> {
        self.wants.as_ref()?.dnsbl.as_ref()
    }
}

/// `dnsbl`: `false`, or a map.
pub(super) fn dnsbl(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    inspects: bool,
    report: &mut Report,
) -> Option<Dnsbl> {
    let written = section.switch("dnsbl", report)?;
    written.check_keys(Home::Dnsbl, report);
    let lists = lists(&written, sources, report);
    let addresses = addresses(&written, report);
    let interval = written.read("interval", report, value::duration(INTERVALS));
    if written.find("addresses").is_none() && !inspects {
        let advice = "`inspect: false` reads no header that could show it";
        written.miss("addresses", advice, report);
    }
    let lists = lists?;
    Some(Dnsbl { lists, addresses, interval: interval.unwrap_or(INTERVAL) })
}

/// `None` if they are missing, or one is not good.
fn lists(
    section: &Section<'_>,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<Vec<DnsblList>> {
    if section.find("lists").is_none() {
        section.miss("lists", "the zones to ask, as [bl.example.org]", report);
    }
    let items = section.list("lists", report)?;
    if !(1..=MOST_LISTS).contains(&items.len()) {
        let place = section.find("lists")?.place;
        report.add(place.problem(format!("must hold 1 to {MOST_LISTS} lists")));
        return None;
    }
    let mut names = BTreeSet::new();
    let mut lists = Vec::new();
    let mut are_good = true;
    for (place, node) in items {
        let Some(list) = list(&place, node, sources, report) else {
            are_good = false;
            continue;
        };
        if !names.insert(list.name.clone()) {
            report.add(place.problem("has the same name as another list; keep one"));
        }
        lists.push(list);
    }
    are_good.then_some(lists)
}

fn list(
    place: &Place<'_>,
    node: &Node,
    sources: &mut Sources<'_>,
    report: &mut Report,
) -> Option<DnsblList> {
    if let Value::Map(_) = node.value {
        let section = Section::over(Layer::new(place.clone(), node, report)?, None);
        section.check_keys(Home::DnsblList, report);
        let name = section.require("name", "what the list is called", report, name);
        let file = section.require("zone_file", "a file that holds its zone", report, value::text);
        let place = section.find("zone_file")?.place;
        let source = report.accept(&place, sources.password_file(&place, file?))?;
        let zone = report.accept(&place, Zone::checked(source))?;
        return Some(DnsblList { name: name?, zone });
    }
    let name = report.accept(place, zone(node))?;
    let zone = Zone::new(SecretSource::Fixed(Secret::new(name.clone())));
    Some(DnsblList { name, zone })
}

fn zone(node: &Node) -> Result<String, String> {
    let zone = value::server_name(node)
        .ok()
        .filter(|zone| zone.contains('.') && zone.parse::<IpAddr>().is_err());
    let zone = zone.ok_or("must be the zone of a list, as bl.example.org")?;
    if ZONES_OF_KEYS.iter().any(|end| zone.ends_with(end)) {
        let message = "holds the key of its owner, which would stand in a label; write {name: .., \
                       zone_file: ..}, and the zone alone into that file";
        return Err(message.to_owned());
    }
    Ok(zone)
}

fn name(node: &Node) -> Result<String, String> {
    let name = value::text(node)?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if (1..=100).contains(&name.len()) && name.chars().all(is_part) {
        return Ok(name.to_owned());
    }
    Err("must be 1 to 100 letters, digits, dots, hyphens and underscores".to_owned())
}

/// `addresses`: from where the mail goes out.
pub(super) fn addresses(section: &Section<'_>, report: &mut Report) -> Vec<IpAddr> {
    if section.find("addresses").is_none() {
        return Vec::new();
    }
    let items = section.list("addresses", report).unwrap_or_default();
    if !(1..=MOST_ADDRESSES).contains(&items.len())
        && let Some(found) = section.find("addresses")
    {
        report.add(found.place.problem(format!("must hold 1 to {MOST_ADDRESSES} addresses")));
    }
    let mut addresses = Vec::new();
    for (place, node) in items {
        let address = report.accept(&place, address(node));
        addresses.extend(address.filter(|address| !addresses.contains(address)));
    }
    addresses
}

fn address(node: &Node) -> Result<IpAddr, String> {
    let wrong = || "must be an IP address, as 198.51.100.7 or 2001:db8::25".to_owned();
    let address: IpAddr = value::text(node)?.parse().map_err(|_| wrong())?;
    match can_be_listed(address) {
        true => Ok(address.to_canonical()),
        false => Err("is of one network or host alone; lists know public addresses".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::config::Config;

    fn config(folder: &Path, more: &str, dnsbl: &str) -> Config {
        let yaml = format!(
            "{more}targets: [{{name: a, host: h, from: a@b.example, to: a@b.example, receive: \
             {{protocol: pop3, username: u, password: p}}, {dnsbl}}}]\n"
        );
        Config::parse(&yaml, &folder.join("mailtrip.yml")).unwrap_or_else(|it| panic!("{it}"))
    }

    fn target(config: &Config) -> Arc<Target> {
        Arc::clone(config.targets.values().next().unwrap())
    }

    #[test]
    fn a_zone_with_a_key_is_shown_nowhere_and_loads_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("zone"), "0123456789abcdef.zen.dq.spamhaus.net\n").unwrap();
        let dnsbl = "dnsbl: {lists: [BL.example., {name: spamhaus, zone_file: zone}], \
                     addresses: ['2001:db8::25'], interval: 30m}";
        let config = config(folder.path(), "", dnsbl);
        let names: Vec<String> =
            target(&config).dnsbl().unwrap().lists.iter().map(|list| list.name.clone()).collect();
        assert_eq!(names, ["bl.example", "spamhaus"]);
        let shown = config.to_yaml();
        assert!(shown.contains("zone_file: "), "{shown}");
        for text in [shown.clone(), format!("{config:?}"), config.describe().concat()] {
            assert!(!text.contains("0123456789abcdef"), "{text}");
        }
        let shown = shown.replace("<secret>", "p");
        let again = Config::parse(&shown, &folder.path().join("again.yml")).unwrap();
        assert_eq!(target(&again).wants, target(&config).wants);
    }

    #[test]
    fn what_holds_no_zone_is_refused_without_being_told() {
        let folder = tempfile::tempdir().unwrap();
        for content in ["hunter2", "hunter2 .example", "x.hunter2.ü"] {
            fs::write(folder.path().join("zone"), content).unwrap();
            let yaml = "targets: [{name: a, host: h, from: a@b.example, to: a@b.example, receive: \
                        {protocol: pop3, username: u, password: p}, dnsbl: {lists: [{name: n, \
                        zone_file: zone}]}}]\n";
            let problems = Config::parse(yaml, &folder.path().join("mailtrip.yml")).unwrap_err();
            let said = problems.to_string();
            assert!(said.contains("does not hold the zone of a list"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_target_turns_off_what_the_defaults_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let defaults = "defaults: {dnsbl: {lists: [bl.example]}}\n";
        assert!(target(&config(folder.path(), defaults, "messages: 1")).dnsbl().is_some());
        assert_eq!(target(&config(folder.path(), defaults, "dnsbl: false")).wants, None);
        assert_eq!(target(&config(folder.path(), "", "messages: 1")).wants, None, "off by itself");
    }
}
