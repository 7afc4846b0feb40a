//! The way of a mail by its `Received` fields (RFC 5321, section 4.4), and where its time went.
//!
//! Each server stamps with its own clock, in whole seconds. A delay is the difference of two stamps,
//! so it is reported only where both clocks can be believed, or are the same one.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail_parser::parsers::MessageStream;
use mail_parser::{HeaderValue, Host, Protocol};
use serde::{Deserialize, Serialize};

use super::field::Field;
use super::{MAX_HOPS, TransitTimes, shown, tls};
use crate::test_mail::received_date;
use crate::text::Scrubber;

/// How far a clock may be off and still be believed; the resolution of a stamp comes on top.
const TOLERANCE: Duration = Duration::from_secs(2);
/// The resolution of a stamp.
const RESOLUTION: Duration = Duration::from_secs(1);

/// One server that took the mail in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// Its name as it wrote it, fit to be shown; `None` if it gave none.
    pub by: Option<String>,
    /// Whom it says it had the mail from, fit to be shown.
    pub from: Option<String>,
    /// What it is, where that can be known.
    pub kind: HopKind,
    /// Whether its clock can be believed.
    pub clock: Clock,
    /// The time from the hop before, or from the transmission, to this one: the queue there, and the
    /// way. To a resolution of one second.
    pub delay: Delay,
    /// Whether it was handed the mail over TLS, by its own record. `None`: it recorded neither, or had
    /// the mail inside its own host.
    #[serde(default)]
    pub is_protected: Option<bool>,
    /// The version of TLS, as in `TLSv1.3`, if it was recorded.
    #[serde(default)]
    pub tls_version: Option<String>,
    /// By which protocol it had the mail, as in `ESMTPSA` (RFC 3848), if it was recorded.
    #[serde(default)]
    pub protocol: Option<String>,
}

/// What a hop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HopKind {
    /// It took the mail from the sender.
    Submission,
    /// It passed the mail on; also one of which nothing else is known.
    Relay,
    /// It looked for spam or viruses.
    Filter,
    /// It put the mail into the mailbox.
    Store,
}

impl HopKind {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Relay => "relay",
            Self::Filter => "filter",
            Self::Store => "store",
        }
    }
}

/// What is known of the clock of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// Nothing: it wrote no date, or none that makes sense.
    Unknown,
    /// Its stamp contradicts nothing.
    Believed,
    /// Its stamp lies at least so far after the mail was seen here.
    Ahead(Duration),
    /// Its stamp lies at least so far before the mail was transmitted here.
    Behind(Duration),
    /// Its stamp and that of a neighbour are in the wrong order: one of the two is off.
    Contradicted,
}

/// The time that a mail took to a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Delay {
    /// It is known.
    Measured(Duration),
    /// The clocks on the way do not agree.
    Skewed,
    /// A date is missing.
    #[default]
    Unknown,
}

impl Delay {
    /// The time, where it is known.
    pub fn measured(self) -> Option<Duration> {
        match self {
            Self::Measured(delay) => Some(delay),
            Self::Skewed | Self::Unknown => None,
        }
    }
}

/// One `Received` field.
pub(super) struct Received<'a> {
    /// Its index among the fields of the header.
    pub(super) index: usize,
    /// Its text.
    pub(super) text: &'a str,
    /// What the library made of it.
    pub(super) parsed: mail_parser::Received<'a>,
    date: Option<SystemTime>,
}

impl<'a> Received<'a> {
    /// All of them, newest first.
    pub(super) fn all(fields: &'a [Field<'_>]) -> Vec<Self> {
        let fields = fields.iter().enumerate().filter(|(_, field)| field.is("Received"));
        let read = |(index, field): (usize, &'a Field<'_>)| {
            let text = field.value.as_ref();
            let parsed = match MessageStream::new(text.as_bytes()).parse_received() {
                HeaderValue::Received(parsed) => *parsed,
                _ => mail_parser::Received::default(),
            };
            Self { index, text, parsed, date: received_date(text) }
        };
        fields.map(read).collect()
    }

    /// The name of the server that wrote it.
    pub(super) fn by(&self) -> Option<String> {
        let parsed = self.parsed.by.as_ref().map(host)?;
        // The library takes the last of several, and does not know what stands in brackets or comments.
        let own =
            words_outside_brackets(self.text).skip_while(|word| !word.eq_ignore_ascii_case("by"));
        let own = own.skip(1).map(|word| word.trim_end_matches([';', '.'])).next();
        let is_name = |name: &&str| name.contains('.') && !name.contains(['/', '@']);
        Some(own.filter(is_name).map_or(parsed, str::to_owned))
    }

    /// Whom it had the mail from.
    pub(super) fn from(&self) -> Option<String> {
        let address = || self.parsed.from_ip.map(|address| address.to_string());
        self.parsed.from.as_ref().map(host).or_else(address)
    }

    /// The address it had the mail from, which it saw itself.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.parsed.from {
            Some(Host::IpAddr(address)) => self.parsed.from_ip.or(Some(address)),
            _ => self.parsed.from_ip,
        }
    }

    /// For whom it took the mail, if it says so.
    pub(super) fn recipient(&self) -> Option<&str> {
        let word = self.parsed.for_.as_deref()?;
        Some(word.trim_matches(['<', '>'])).filter(|address| address.contains('@'))
    }

    /// When it says that was.
    pub(super) fn date(&self) -> Option<SystemTime> {
        self.date
    }

    /// Whether the mail was handed over by LMTP, which ends in a mailbox or a filter.
    pub(super) fn is_lmtp(&self) -> bool {
        use Protocol::{LMTP, LMTPA, LMTPS, LMTPSA, UTF8LMTP, UTF8LMTPA, UTF8LMTPS, UTF8LMTPSA};
        let lmtp = [LMTP, LMTPA, LMTPS, LMTPSA, UTF8LMTP, UTF8LMTPA, UTF8LMTPS, UTF8LMTPSA];
        self.parsed.with.is_some_and(|with| lmtp.contains(&with))
    }

    /// Whether a content filter wrote it.
    pub(super) fn is_filter(&self) -> bool {
        const FILTERS: [&str; 12] = [
            "amavis",
            "spamassassin",
            "spampd",
            "rspamd",
            "mailscanner",
            "clamsmtp",
            "dkimproxy",
            "mimedefang",
            "proofpoint",
            "pphosted.com",
            "barracuda",
            "ironport",
        ];
        // Not what stands before `by`: that is the name of another server.
        let text = self.text.to_ascii_lowercase();
        let own = text.split_once("by ").map_or(text.as_str(), |(_, own)| own);
        FILTERS.iter().any(|filter| own.contains(filter))
    }

    fn kind(&self, is_first: bool) -> HopKind {
        let words = self.text.to_ascii_lowercase();
        if self.is_filter() {
            HopKind::Filter
        } else if self.is_lmtp() || words.contains(" with mapi ") || words.contains("(dovecot)") {
            HopKind::Store
        } else if is_first {
            HopKind::Submission
        } else {
            HopKind::Relay
        }
    }

    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        match (self.by(), other.by()) {
            (Some(own), Some(other)) => own.eq_ignore_ascii_case(&other),
            _ => false,
        }
    }
}

/// The words that stand neither in a comment nor in brackets.
fn words_outside_brackets(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    text.split(move |character: char| {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 0 || character.is_whitespace() || matches!(character, ')' | ']')
    })
    .filter(|word| !word.is_empty())
}

fn host(host: &Host<'_>) -> String {
    match host {
        Host::Name(name) => name.trim_end_matches('.').to_owned(),
        Host::IpAddr(address) => address.to_string(),
    }
}

/// The hops, nearest to the sender first, at most [`MAX_HOPS`].
pub(super) fn read(
    received: &[Received<'_>],
    transit: TransitTimes,
    scrubber: &Scrubber,
) -> Vec<Hop> {
    let way: Vec<&Received<'_>> = received.iter().rev().collect();
    let clocks = clocks(&way, transit);
    let show = |name: Option<String>| name.map(|name| shown(&name, scrubber));
    let mut before = None;
    let mut hops = Vec::new();
    for (hop, clock) in way.into_iter().zip(clocks).take(MAX_HOPS) {
        hops.push(Hop {
            by: show(hop.by()),
            from: show(hop.from()),
            kind: hop.kind(before.is_none()),
            clock,
            delay: match before {
                None => first_delay(hop, clock, transit),
                Some(before) => delay(before, (hop, clock), transit),
            },
            is_protected: tls::protection(hop),
            tls_version: tls::version_of(hop),
            protocol: hop.parsed.with.map(|protocol| tls::name(protocol).to_owned()),
        });
        before = Some((hop, clock));
    }
    hops
}

/// Of each hop, nearest to the sender first.
pub(super) fn clocks(way: &[&Received<'_>], transit: TransitTimes) -> Vec<Clock> {
    let mut clocks: Vec<Clock> = way.iter().map(|hop| clock(hop.date, transit)).collect();
    let believed =
        way.iter().enumerate().filter(|(at, _)| clocks.get(*at) == Some(&Clock::Believed));
    let dated: Vec<(usize, SystemTime)> =
        believed.filter_map(|(at, hop)| Some((at, hop.date?))).collect();
    for pair in dated.windows(2) {
        let [(earlier, before), (later, after)] = pair else { continue };
        if *after + TOLERANCE < *before {
            for at in [*earlier, *later] {
                if let Some(clock) = clocks.get_mut(at) {
                    *clock = Clock::Contradicted;
                }
            }
        }
    }
    clocks
}

/// What the stamp alone says of the clock, against the two times that are known here.
pub(super) fn clock(date: Option<SystemTime>, transit: TransitTimes) -> Clock {
    let Some(date) = date else { return Clock::Unknown };
    let ahead = date.duration_since(transit.seen).unwrap_or_default();
    let behind = transit
        .transmitted
        .and_then(|transmitted| transmitted.duration_since(date + RESOLUTION).ok())
        .unwrap_or_default();
    if ahead > TOLERANCE {
        Clock::Ahead(ahead)
    } else if behind > TOLERANCE {
        Clock::Behind(behind)
    } else {
        Clock::Believed
    }
}

/// From the transmission, by our own clock, to the first hop.
fn first_delay(hop: &Received<'_>, clock: Clock, transit: TransitTimes) -> Delay {
    let (Some(transmitted), Some(date)) = (transit.transmitted, hop.date) else {
        return Delay::Unknown;
    };
    match date.duration_since(transmitted) {
        Ok(delay) if clock == Clock::Believed => Delay::Measured(delay),
        // The stamp says only which second it was.
        Err(early) if clock == Clock::Believed && early.duration() < RESOLUTION => {
            Delay::Measured(Duration::ZERO)
        }
        _ => Delay::Skewed,
    }
}

/// From the last hop that is reported to the arrival, by our own clock.
pub(super) fn to_mailbox(received: &[Received<'_>], transit: TransitTimes) -> Delay {
    let way: Vec<&Received<'_>> = received.iter().rev().collect();
    let last = way.len().min(MAX_HOPS).saturating_sub(1);
    let date = way.get(last).and_then(|hop| hop.date);
    let (Some(date), Some(arrived)) = (date, transit.arrived) else { return Delay::Unknown };
    if clocks(&way, transit).get(last) != Some(&Clock::Believed) {
        return Delay::Skewed;
    }
    // The stamp says only which second it was, and the clocks are off by a little.
    let delay = arrived.duration_since(date).unwrap_or_default();
    Delay::Measured(Duration::from_secs(delay.as_secs()))
}

fn delay(
    (before, clock_before): (&Received<'_>, Clock),
    (hop, clock): (&Received<'_>, Clock),
    transit: TransitTimes,
) -> Delay {
    let (Some(from), Some(to)) = (before.date, hop.date) else { return Delay::Unknown };
    let are_believed = clock_before == Clock::Believed && clock == Clock::Believed;
    if !are_believed && !before.is_same_host(hop) {
        return Delay::Skewed;
    }
    let begin = transit.transmitted.unwrap_or(UNIX_EPOCH);
    let whole = transit.seen.duration_since(begin).unwrap_or_default() + RESOLUTION + TOLERANCE;
    match to.duration_since(from) {
        Ok(delay) if delay <= whole => Delay::Measured(delay),
        _ => Delay::Skewed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspection::field::Field;

    #[test]
    fn the_server_that_wrote_it_is_not_looked_for_in_comments_and_brackets() {
        for (value, by) in [
            (
                "from a (61.74.201.69) by b.example (0.0.0.0) with [Mail (c)2012 by Somebody] for c@d",
                "b.example",
            ),
            ("from a.example (HELO b by c.example) by d.example with SMTP; now", "d.example"),
            ("by e.example. (by f.example) with LMTP; now", "e.example"),
        ] {
            let block = format!("Received: {value}\r\n");
            let fields = Field::split(block.as_bytes());
            let all = Received::all(&fields);
            assert_eq!(all.first().and_then(Received::by).as_deref(), Some(by), "{value}");
        }
    }
}
