//! When a mail that came back, or the mail that answers it, was on the other side.
//!
//! Where the test mail itself came back, as by a forwarding rule, the other side is where it was taken in for the
//! recipient for the last time. An answer is a mail of its own: it began there, by its Date or its first stamp,
//! whichever is earlier.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::field::{Field, topmost};
use super::hop::{Clock, Delay, Received, clock, clocks};
use super::{Ends, HEADER_BYTES, Inspection, TransitTimes, field};
use crate::test_mail::{Header, date};

/// The way of a mail to the other side and the way back, each to a resolution of one second, by the clocks of
/// the other side; together they are the round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThereAndBack {
    /// From the transmission until the other side had the mail, or began its answer.
    pub out: Delay,
    /// From then until the arrival.
    pub back: Delay,
    /// Whether an answer came, whose header tells of its own way alone; else it was the test mail itself.
    pub is_answer: bool,
}

impl ThereAndBack {
    fn unknown(delay: Delay, is_answer: bool) -> Self {
        Self { out: delay, back: delay, is_answer }
    }
}

/// Adds what the header block shows of a mail that came back from its recipient, or from there as an answer.
pub(super) fn add(
    inspection: &mut Inspection,
    block: &[u8],
    transit: TransitTimes,
    ends: Ends<'_>,
) {
    let block = block.get(..HEADER_BYTES).unwrap_or(block);
    let fields = Field::split(block);
    let received = Received::all(&fields);
    let way: Vec<&Received<'_>> = received.iter().rev().collect();
    // A forward of which nothing else is left has the stamps of its way out.
    let was_taken_there = way.iter().any(|hop| is_for(hop, ends.to));
    let header = Header::parse(block);
    // Of the mail itself a gateway may have left no more than its sender.
    let is_mail_itself = header.is_test_mail() || header.is_from(ends.from);
    let is_answer = !was_taken_there && !is_mail_itself;
    // The header of the answer shows where the other side sends from, and not this one.
    inspection.outgoing = None;
    let turning = match is_answer {
        _ if !field::is_whole(block) => Err(Delay::Unknown),
        true => answered(&way, &fields, transit),
        false => turned(&way, transit, ends),
    };
    if is_answer && let Some(first) = inspection.hops.first_mut() {
        // What is known of the time before is the way out.
        first.delay = Delay::Unknown;
    }
    inspection.there_and_back = Some(match turning {
        Ok(at) => {
            let at = within(at, transit);
            let (out, back) =
                (between(transit.transmitted, at.into()), between(at.into(), transit.arrived));
            ThereAndBack { out, back, is_answer }
        }
        Err(delay) => ThereAndBack::unknown(delay, is_answer),
    });
}

fn is_for(hop: &Received<'_>, address: &str) -> bool {
    hop.recipient().is_some_and(|recipient| recipient.eq_ignore_ascii_case(address))
}

/// A stamp says only which second it was, and the clocks are off by a little: no further than the loop is long, so that
/// the two ways are it.
fn within(at: SystemTime, transit: TransitTimes) -> SystemTime {
    let at = transit.transmitted.map_or(at, |transmitted| at.max(transmitted));
    transit.arrived.map_or(at, |arrived| at.min(arrived))
}

fn between(from: Option<SystemTime>, to: Option<SystemTime>) -> Delay {
    let Some((from, to)) = from.zip(to) else { return Delay::Unknown };
    Delay::Measured(to.duration_since(from).unwrap_or(Duration::ZERO))
}

/// When an answer began: by its first stamp or by its Date, the earlier of those that can be believed. A responder
/// that stamps nothing may have waited long until the first server took the answer in.
fn answered(
    way: &[&Received<'_>],
    fields: &[Field<'_>],
    transit: TransitTimes,
) -> Result<SystemTime, Delay> {
    let first = way.first().and_then(|first| first.date());
    let first = (first, clocks(way, transit).first().copied().unwrap_or(Clock::Unknown));
    let written = topmost(fields, "Date").and_then(date);
    let candidates = [first, (written, clock(written, transit))];
    let believed = candidates.iter().filter(|(_, clock)| *clock == Clock::Believed);
    let is_dated = candidates.iter().any(|(date, _)| date.is_some());
    let unknown = if is_dated { Delay::Skewed } else { Delay::Unknown };
    believed.filter_map(|(date, _)| *date).min().ok_or(unknown)
}

/// When the mail was taken in on the other side for the last time. The next other host must have taken it in for the
/// sender: else this may be a relay on the way there, behind which the recipient was rewritten or nobody says for
/// whom he takes mail, and nobody knows where it was.
fn turned(
    way: &[&Received<'_>],
    transit: TransitTimes,
    ends: Ends<'_>,
) -> Result<SystemTime, Delay> {
    let last = way.iter().rposition(|hop| is_for(hop, ends.to)).ok_or(Delay::Unknown)?;
    let (Some(hop), Some(_)) = (way.get(last), way.get(last + 1)) else {
        return Err(Delay::Unknown);
    };
    let elsewhere = way.iter().skip(last + 1).find(|it| !it.is_same_host(hop));
    if !elsewhere.is_none_or(|it| is_for(it, ends.from)) {
        return Err(Delay::Unknown);
    }
    let at = hop.date().ok_or(Delay::Unknown)?;
    let is_believed = clocks(way, transit).get(last) == Some(&Clock::Believed);
    is_believed.then_some(at).ok_or(Delay::Skewed)
}
