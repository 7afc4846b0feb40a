//! The header of a mail: which mail it is, and what it shows of its way, of SPF, DKIM and DMARC, of spam
//! filters and of TLS.
//!
//! Input: the header.

use std::time::{Duration, SystemTime};

use crate::fuzz::shown::{self, PASSWORD, USER};
use crate::header::{FIELD_BYTES, FIELDS, bounded};
use crate::inspection::{Ends, Inspection, MAX_HOPS, Rules, TransitTimes};
use crate::test_mail::Header;
use crate::text::Scrubber;

pub(in crate::fuzz) fn check(input: &[u8]) {
    let read = bounded(input);
    assert!(read.len() <= input.len() + 2 * FIELDS, "{} bytes of {}", read.len(), input.len());
    assert_eq!(bounded(&read), read, "what is bounded is bounded");
    let longest = read.split(|byte| *byte == b'\n').map(<[u8]>::len).max().unwrap_or_default();
    assert!(longest <= FIELD_BYTES + 2 || is_behind_the_end(&read), "a line of {longest} bytes");

    let header = Header::parse(input);
    assert_eq!(header, Header::parse(&read), "only what is bounded is read");
    let sender = || USER.parse().ok();
    if let Some(token) = header.claim(|_| sender()) {
        assert!(header.carries(token), "claimed for a token that it does not carry");
    }
    assert_eq!(header.claim(|_| None), None, "claimed for a token that nobody knows");
    if let Some(token) = header.answered(|_| true) {
        assert!(header.names(token), "answers a mail that it does not name");
    }
    assert_eq!(header.answered(|_| false), None, "answers a mail for which nobody waits");
    assert!(header.of_no_report().claim(|_| sender()).is_none(), "what is no report is an answer");
    inspect(input);
}

/// Whether the header ends before its longest line: what follows is a body, and is not looked at.
fn is_behind_the_end(read: &[u8]) -> bool {
    read.split(|byte| *byte == b'\n').any(|line| line.trim_ascii().is_empty())
}

fn inspect(input: &[u8]) {
    let seen = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_860_000);
    let scrubber = Scrubber::for_login(USER, PASSWORD);
    for authserv_id in [None, Some("mx.example.test")] {
        let transmitted = Some(seen - Duration::from_secs(30));
        let transit = TransitTimes { transmitted, seen, arrived: Some(seen) };
        let rules = Rules { authserv_id, scrubber: &scrubber };
        let inspection = Inspection::read(input, transit, rules);
        assert!(inspection.hops.len() <= MAX_HOPS && inspection.authentication.len() <= 3);
        assert!(inspection.hops.len() <= inspection.hop_count);
        assert!(inspection.outgoing.is_none_or(crate::dnsbl::can_be_listed));
        assert!(inspection.is_sound(), "what was kept of it would not be shown");
        let hops = inspection.hops.iter();
        let hops = hops.flat_map(|hop| [&hop.by, &hop.from, &hop.tls_version, &hop.protocol]);
        let last = inspection.last_hop.iter().flat_map(|hop| [&hop.by, &hop.from, &hop.cipher]);
        for text in hops.chain(last).chain([&inspection.authserv_id]).flatten() {
            shown::check(text);
            assert!(text.chars().count() <= 101, "{text}");
        }
        let delays = inspection.hops.iter().filter_map(|hop| hop.delay.measured());
        let total: Duration = delays.sum();
        assert!(total <= Duration::from_secs(30 + 2), "{total:?} of 30 s");
        let to_mailbox = inspection.to_mailbox.measured().unwrap_or_default();
        assert!(to_mailbox <= Duration::from_secs(30 + 3), "{to_mailbox:?} of 30 s");
        let back = Inspection::read_back(input, transit, rules, Ends { from: USER, to: USER });
        assert!(back.outgoing.is_none() && back.is_sound());
        let ways = back.there_and_back.iter().flat_map(|it| [it.out, it.back]);
        for way in ways.filter_map(crate::inspection::Delay::measured) {
            assert!(way <= Duration::from_secs(30 + 3), "{way:?} of 30 s");
        }
        for spam in &inspection.spam {
            assert!(spam.score.is_none_or(f64::is_finite), "{spam:?}");
        }
    }
}
