//! The way of the latest mail as a picture: a stop for each server, and between two of them a stretch as
//! long as the mail took, drawn as it was protected. The picture is a list of words with a rail beside it,
//! so that it is its own text alternative and fits a phone.

use std::time::Duration;

use super::inspection::{SpamNote, took};
use crate::account::UsualWay;
use crate::web::pages::words::{Breakable, between_stamps, rough};
use ledger::UsualDelay;
use mail::inspection::{Clock, Delay, Hop, HopKind, Inspection, LEAST_WAIT};

/// The height of a stretch that took no time, and what the longest has beyond it, in pixels.
const LEAST_HEIGHT: f64 = 58.0;
const MORE_HEIGHT: f64 = 110.0;
/// What stands for the ends of the way; that of an answer begins on the other side.
const SENDER: &str = "this exporter";
const RESPONDER: &str = "the other side";
const MAILBOX: &str = "the mailbox";

/// The way of one mail.
pub(super) struct Way {
    pub(super) stops: Vec<Stop>,
    /// Where it waited longest.
    pub(super) words: String,
    /// How long that was; `None`: nowhere so long that its stamps show it.
    pub(super) longest_wait: Option<String>,
    /// Whether it waited so long that somebody should look.
    pub(super) is_slow: bool,
}

/// A place where the mail was, and the stretch from there.
pub(super) struct Stop {
    pub(super) name: Breakable,
    /// What the server did with it, and from whom it says that it had it.
    pub(super) words: String,
    /// What is wrong with its clock, if anything is.
    pub(super) clock: Option<String>,
    /// What it found, if it is the filter.
    pub(super) verdicts: Vec<SpamNote>,
    /// How the stretch before this stop is drawn; `None` for the first.
    pub(super) before: Option<String>,
    /// `None` for the last.
    pub(super) stretch: Option<Stretch>,
}

/// From one stop to the next.
pub(super) struct Stretch {
    /// How it is drawn.
    pub(super) class: String,
    /// In pixels.
    pub(super) height: String,
    /// Whether it was protected by TLS; `None`: nothing tells, or there was nothing to protect.
    pub(super) tls: Option<Tls>,
    /// How long it took.
    pub(super) time: String,
    /// How long it usually takes, where that is worth a word.
    pub(super) usually: String,
    /// Whether that is more than it should be.
    pub(super) is_slow: bool,
    /// Whether it is the longest.
    pub(super) is_longest: bool,
}

/// Whether a stretch was protected.
pub(super) struct Tls {
    pub(super) is_protected: bool,
    pub(super) words: String,
}

impl Way {
    /// A wait is slow that is slower than usual, or as long as `late_after`. `None` if the header has no hop.
    pub(super) fn new(
        inspection: &Inspection,
        usual: Option<&UsualWay>,
        late_after: Duration,
    ) -> Option<Self> {
        if inspection.hops.is_empty() {
            return None;
        }
        let longest = inspection.longest_wait();
        let usual = |stretch| usual.and_then(|usual| usual.of(stretch));
        let names = names(inspection);
        let words = longest.map_or_else(
            || "No wait of 2 s or more that the stamps show".to_owned(),
            |(at, wait)| {
                let name = |at: usize| names.get(at).copied().unwrap_or_default();
                let (wait, usually) = (between_stamps(wait), usually(usual(at)));
                format!("Longest wait: {wait}{usually}, from {} to {}", name(at), name(at + 1))
            },
        );
        let total: Duration = inspection.stretches().filter_map(Delay::measured).sum();
        let hops = inspection.hops.iter().map(Some).chain([None]);
        let stretches = hops.zip(inspection.stretches()).enumerate();
        let mut stretches = stretches.map(|(at, (hop, delay))| {
            let is_longest = longest.is_some_and(|(longest, _)| longest == at);
            // No stamp shows a shorter wait, whatever is late.
            let late = late_after.max(LEAST_WAIT);
            let is_slow = delay.measured().is_some_and(|delay| {
                delay >= late || usual(at).is_some_and(|usual| usual.is_exceeded_by(delay))
            });
            let mut stretch = Stretch::new(hop, delay, total, is_slow);
            stretch.is_longest = is_longest;
            if is_slow || is_longest {
                stretch.usually = usually(usual(at));
            }
            stretch
        });
        let mut stops = Self::stops(inspection);
        let mut before: Option<String> = None;
        for stop in &mut stops {
            stop.before = before.take();
            stop.stretch = stretches.next();
            before = stop.stretch.as_ref().map(|stretch| stretch.class.clone());
        }
        let is_slow = stops.iter().filter_map(|stop| stop.stretch.as_ref()).any(|it| it.is_slow);
        let longest_wait = longest.map(|(_, wait)| between_stamps(wait));
        Some(Self { stops, words, longest_wait, is_slow })
    }

    /// The places where the mail was, without the stretches between them.
    fn stops(inspection: &Inspection) -> Vec<Stop> {
        let filters = inspection.hops.iter().filter(|hop| hop.kind == HopKind::Filter).count();
        let did = if inspection.is_of_answer() { "answered" } else { "sent it" };
        let mut stops = vec![Stop::new(beginning(inspection), did.to_owned())];
        for hop in &inspection.hops {
            let mut stop = Stop::new(name(hop), words(hop));
            stop.clock = clock(hop.clock);
            // Of several filters nobody knows which of them it was.
            if hop.kind == HopKind::Filter && filters == 1 {
                stop.verdicts = inspection.spam.iter().map(SpamNote::new).collect();
            }
            stops.push(stop);
        }
        let more = inspection.hop_count.saturating_sub(inspection.hops.len());
        let words = if more > 0 { format!("after {more} more servers") } else { String::new() };
        stops.push(Stop::new(MAILBOX, words));
        stops
    }
}

impl Stop {
    fn new(name: &str, words: String) -> Self {
        let (clock, verdicts, before, stretch) = (None, Vec::new(), None, None);
        Self { name: Breakable::new(name), words, clock, verdicts, before, stretch }
    }
}

impl Stretch {
    fn new(hop: Option<&Hop>, delay: Delay, total: Duration, is_slow: bool) -> Self {
        let share = match delay.measured() {
            Some(delay) if !total.is_zero() => delay.as_secs_f64() / total.as_secs_f64(),
            _ => 0.0,
        };
        let tls = hop.and_then(Tls::new);
        let kind = match &tls {
            Some(tls) if tls.is_protected => "protected",
            Some(_) => "clear",
            None => "inside",
        };
        let class = if is_slow { format!("{kind} slow") } else { kind.to_owned() };
        let time = took(delay);
        let height = format!("{:.0}", LEAST_HEIGHT + MORE_HEIGHT * share);
        let (usually, is_longest) = (String::new(), false);
        Self { class, height, tls, time, usually, is_slow, is_longest }
    }
}

impl Tls {
    fn new(hop: &Hop) -> Option<Self> {
        let is_protected = hop.is_protected?;
        let words = match &hop.tls_version {
            _ if !is_protected => "no TLS".to_owned(),
            Some(version) => version.replace("TLSv", "TLS "),
            None => "TLS".to_owned(),
        };
        Some(Self { is_protected, words })
    }
}

/// Of all stops, in their order.
fn names(inspection: &Inspection) -> Vec<&str> {
    [beginning(inspection)]
        .into_iter()
        .chain(inspection.hops.iter().map(name))
        .chain([MAILBOX])
        .collect()
}

/// Where the mail began whose header it is.
fn beginning(inspection: &Inspection) -> &'static str {
    if inspection.is_of_answer() { RESPONDER } else { SENDER }
}

/// What stands behind a time; nothing where nobody knows what is usual.
fn usually(usual: Option<UsualDelay>) -> String {
    usual.map_or_else(String::new, |usual| format!(", usually {}", between_stamps(usual.median)))
}

fn name(hop: &Hop) -> &str {
    hop.by.as_deref().unwrap_or("unnamed server")
}

/// What it did, and from whom it says that it had the mail.
fn words(hop: &Hop) -> String {
    let mut words = hop.kind.label().to_owned();
    if let Some(from) = &hop.from {
        words.push_str(&format!(" from {from}"));
    }
    if let Some(protocol) = &hop.protocol {
        words.push_str(&format!(" by {protocol}"));
    }
    words
}

fn clock(clock: Clock) -> Option<String> {
    match clock {
        Clock::Believed => None,
        Clock::Unknown => Some("no plausible date".to_owned()),
        Clock::Ahead(by) => Some(format!("its clock is at least {} ahead", rough(by))),
        Clock::Behind(by) => Some(format!("its clock is at least {} behind", rough(by))),
        Clock::Contradicted => Some("its clock contradicts a neighbour's".to_owned()),
    }
}
