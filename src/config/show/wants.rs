//! What is wanted of a target beyond its mails, written down again.

use super::{Text, Written, Yaml};
use crate::config::{Dnsbl, DnsblList, Target};

impl Yaml {
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
        if !dnsbl.addresses.is_empty() {
            let addresses = dnsbl.addresses.iter();
            let addresses: Vec<String> =
                addresses.map(|address| Text(&address.to_string()).to_string()).collect();
            self.line(3, "addresses", format_args!("[{}]", addresses.join(", ")));
        }
        self.line(3, "interval", Written(dnsbl.interval));
    }
}

/// What is wanted, as the rest of a sentence; nothing where nothing is.
pub(super) fn described(target: &Target) -> String {
    let Some(Dnsbl { lists, addresses, interval }) = target.dnsbl() else { return String::new() };
    let about = match addresses.as_slice() {
        [] => "the address from which its mail goes out".to_owned(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let lists: Vec<&str> = lists.iter().map(|list| list.name.as_str()).collect();
    format!("; asks {} about {about} every {}", lists.join(", "), Written(*interval))
}
