//! What the header of an arrived mail shows: where the time went, what the receiver made of SPF, DKIM
//! and DMARC, what its spam filter said, and whether the last hop was encrypted.
//!
//! Pure: a header block and three times go in, an [`Inspection`] comes out. A header is written by
//! whoever handled the mail, so nothing in it is believed beyond its place: each fact says whose
//! word it is, and what contradicts another fact or the two times that our own clock has measured is
//! left out rather than corrected.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::text::{Scrubber, is_unsafe};
pub use authentication::{Authentication, Method, Outcome};
use field::Field;
pub use hop::{Clock, Delay, Hop, HopKind};
pub use signature::Signature;
pub use spam::{Filter, Spam};
pub use tls::LastHop;
pub use turning::ThereAndBack;

mod authentication;
mod field;
mod hop;
mod outgoing;
mod signature;
mod spam;
mod tls;
mod turning;

/// The most of a header block that is fetched and read, in bytes.
pub const HEADER_BYTES: usize = 64 << 10;
/// The most hops that are reported.
pub const MAX_HOPS: usize = 8;
/// The least difference of two stamps in whole seconds that is a wait for certain, and not how the seconds
/// happened to fall.
pub const LEAST_WAIT: Duration = Duration::from_secs(2);

/// What the header of one arrived mail showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// When the mail was seen in the mailbox.
    pub seen: SystemTime,
    /// Whether the header did not end in what was read: it is longer than [`HEADER_BYTES`]. Then
    /// no hops are reported: those nearest to the sender stand at its end.
    pub is_cut: bool,
    /// The hops, nearest to the sender first; at most [`MAX_HOPS`].
    pub hops: Vec<Hop>,
    /// The time from the last of `hops` until the mail could be seen in the mailbox: what that server did
    /// with it then stands in no header. To a resolution of one second.
    #[serde(default)]
    pub to_mailbox: Delay,
    /// How many hops the header has.
    pub hop_count: usize,
    /// The verdicts of the receiver, at most one a method, in the order of [`Method::ALL`].
    pub authentication: Vec<Authentication>,
    /// Who gave these verdicts: the id of the `Authentication-Results` that were believed, as it can
    /// be shown; `None` without verdicts, and for a receiver that writes none (Exchange).
    pub authserv_id: Option<String>,
    /// The verdicts of spam filters, at most one a filter, in the order of [`Filter::ALL`].
    pub spam: Vec<Spam>,
    /// How the receiver was given the mail; `None` if it recorded nothing of it.
    pub last_hop: Option<LastHop>,
    /// How large the mail was; `None` where nobody asked, or the mailbox does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    /// The public address from which the receiver had the mail, by its own record.
    #[serde(default)]
    pub outgoing: Option<IpAddr>,
    /// How long it took to the other side and back, where it was to come back; see [`Inspection::read_back`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there_and_back: Option<ThereAndBack>,
    /// Where the keys of its signatures are found, four at most, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<Signature>,
}

/// The addresses between which a test mail goes there and back.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    /// Its sender, to whom it comes back.
    pub from: &'a str,
    /// Its recipient, on the other side.
    pub to: &'a str,
}

/// The size of one mail at both ends of its way, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// As it was sent, before dots were stuffed; `None` if that was another process.
    pub sent: Option<u64>,
    /// As its mailbox tells it.
    pub arrived: u64,
}

/// The times of a mail by the clock of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransitTimes {
    /// When its transmission began; `None` if that was another process. No `Received` header is
    /// older.
    pub transmitted: Option<SystemTime>,
    /// When it was seen in the mailbox. No `Received` header is newer.
    pub seen: SystemTime,
    /// When it arrived there, which is not later; `None` if nobody can tell, as nobody looked.
    pub arrived: Option<SystemTime>,
}

/// How header text is judged and made fit to be shown.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Whose `Authentication-Results` are believed; `None`: those of the last receiving hop.
    pub authserv_id: Option<&'a str>,
    /// The secrets that must not be shown.
    pub scrubber: &'a Scrubber,
}

impl Inspection {
    /// Reads a header block of at most [`HEADER_BYTES`]; what is longer is cut. Hostile input gives at
    /// worst nothing.
    pub fn read(block: &[u8], transit: TransitTimes, rules: Rules<'_>) -> Self {
        let read = block.get(..HEADER_BYTES).unwrap_or(block);
        let is_cut = !field::is_whole(read);
        let fields = Field::split(read);
        let received = hop::Received::all(&fields);
        let verdicts = authentication::read(&fields, &received, rules);
        let hop_count = if is_cut { 0 } else { received.len() };
        Self {
            seen: transit.seen,
            is_cut,
            last_hop: tls::read(&received, rules.scrubber),
            hops: if is_cut { Vec::new() } else { hop::read(&received, transit, rules.scrubber) },
            to_mailbox: if is_cut { Delay::Unknown } else { hop::to_mailbox(&received, transit) },
            hop_count,
            authentication: verdicts.results,
            authserv_id: verdicts.authserv_id,
            spam: spam::read(&fields),
            sizes: None,
            outgoing: outgoing::read(&fields, &received, rules),
            there_and_back: None,
            signatures: signature::read(&fields),
        }
    }

    /// The same of a test mail that came back from its recipient, or of the answer to one: also when it was there.
    pub fn read_back(
        block: &[u8],
        transit: TransitTimes,
        rules: Rules<'_>,
        ends: Ends<'_>,
    ) -> Self {
        let mut inspection = Self::read(block, transit, rules);
        turning::add(&mut inspection, block, transit, ends);
        inspection
    }

    /// Whether the header is that of an answer, and tells of its way alone.
    pub fn is_of_answer(&self) -> bool {
        self.there_and_back.is_some_and(|it| it.is_answer)
    }

    /// The stretches of the way: one to each hop, and the one into the mailbox.
    pub fn stretches(&self) -> impl Iterator<Item = Delay> {
        self.hops.iter().map(|hop| hop.delay).chain([self.to_mailbox])
    }

    /// On which of its [`Inspection::stretches`] the mail waited longest, and for how long. `None`: nowhere
    /// so long that stamps in whole seconds show it, or nobody can tell.
    pub fn longest_wait(&self) -> Option<(usize, Duration)> {
        let known = self.stretches().enumerate().filter_map(|(at, it)| Some((at, it.measured()?)));
        // Of two that are as long the one nearer to the sender.
        let longest = known.reduce(|longest, it| if it.1 > longest.1 { it } else { longest })?;
        (longest.1 >= LEAST_WAIT).then_some(longest)
    }

    /// Whether one that was written down and read again can be shown: it is within its bounds, and its
    /// texts hold nothing that was not escaped.
    pub fn is_sound(&self) -> bool {
        let hops = self.hops.iter();
        let hops = hops.flat_map(|hop| [&hop.by, &hop.from, &hop.tls_version, &hop.protocol]);
        let last = self.last_hop.iter().flat_map(|hop| [&hop.by, &hop.from, &hop.cipher]);
        let mut texts = hops.chain(last).chain([&self.authserv_id]).flatten();
        // The mark of a cut text comes on top.
        let is_shown =
            |text: &String| text.chars().count() <= SHOWN_CHARS + 1 && !text.chars().any(is_unsafe);
        let is_finite = |spam: &Spam| spam.score.is_none_or(f64::is_finite);
        let counts = [self.hops.len(), self.authentication.len(), self.spam.len()];
        counts.iter().all(|count| *count <= MAX_HOPS)
            && self.spam.iter().all(is_finite)
            && self.signatures.len() <= signature::MOST
            && self.signatures.iter().all(Signature::is_sound)
            && texts.all(is_shown)
    }
}

/// The most characters of a name in a header that are shown.
const SHOWN_CHARS: usize = 100;

/// The text of a header as it can be shown: scrubbed, escaped, cut.
fn shown(text: &str, scrubber: &Scrubber) -> String {
    let mut shown = scrubber.show(text.as_bytes());
    if let Some((end, _)) = shown.char_indices().nth(SHOWN_CHARS) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
