//! The system's files for looking names up.
//!
//! Input: `resolv.conf`, `hosts` and `nsswitch.conf`, with the byte 0x1c between them.

use std::time::Duration;

use crate::fuzz::script::TURN;
use crate::net::names::settings::{Settings, hosts, names_other_sources};

pub(in crate::fuzz) fn check(input: &[u8]) {
    let mut files = input.split(|byte| *byte == TURN).map(String::from_utf8_lossy);
    let mut next = || files.next().unwrap_or_default();
    let settings = Settings::of_resolv_conf(&next(), None, None);
    assert!(!settings.servers.is_empty(), "nobody to ask");
    assert!(settings.servers.len() <= 8, "{} servers", settings.servers.len());
    assert!((1..=5).contains(&settings.attempts) && settings.ndots <= 15);
    let bounds = Duration::from_secs(1)..=Duration::from_secs(30);
    assert!(bounds.contains(&settings.timeout), "{:?}", settings.timeout);
    for host in ["mail", "mail.example.test", "mail.example.test."] {
        let candidates = settings.candidates(host);
        assert!(candidates.len() <= settings.search.len() + 1, "{candidates:?}");
    }
    for (name, addresses) in hosts(&next()) {
        assert!(!addresses.is_empty() && name == name.to_ascii_lowercase(), "{name}");
    }
    names_other_sources(&next());
}
