//! The column of layers: one line each, in words for people.

use crate::layers::readings::{PortReadings, Readings};
use crate::web::absence::Absence;
use ledger::{Column, Condition, Layer, Reading, Snapshot};
use mail::text;

/// One layer of a target.
pub(in crate::web) struct LayerLine {
    pub(in crate::web) heading: &'static str,
    /// The first letter of the heading, for where there is room for no more.
    pub(in crate::web) letter: char,
    pub(in crate::web) words: String,
    pub(in crate::web) condition: Condition,
    /// Whether it is the lowest bad layer.
    pub(in crate::web) is_to_blame: bool,
    /// What else there is to say; may be empty.
    pub(in crate::web) note: String,
}

/// The layers, the lowest first.
pub(in crate::web) fn lines(snapshot: &Snapshot, readings: &Readings) -> Vec<LayerLine> {
    let column = Column::of(snapshot, &readings.evidence());
    let to_blame = column.to_blame();
    let line = |(layer, state)| LayerLine {
        heading: heading(layer),
        letter: heading(layer).chars().next().unwrap_or_default(),
        words: words(layer, state, snapshot, readings),
        condition: match is_checked(layer, readings) {
            true => Condition::of_ability(state),
            false => Condition::NotApplicable,
        },
        is_to_blame: to_blame == Some(layer),
        note: note(layer, readings),
    };
    column.states().map(line).collect()
}

/// Whether the configuration wants to know of it.
fn is_checked(layer: Layer, readings: &Readings) -> bool {
    layer != Layer::Network || readings.ping.is_some()
}

fn heading(layer: Layer) -> &'static str {
    match layer {
        Layer::Network => "Network",
        Layer::Tcp => "TCP",
        Layer::Send => "Send",
        Layer::Receive => "Receive",
        Layer::Delivery => "Delivery",
    }
}

fn words(layer: Layer, state: Reading<bool>, snapshot: &Snapshot, readings: &Readings) -> String {
    let is_awaited = snapshot.outstanding.value().is_some_and(|count| count > 0);
    let is_readable = snapshot.receive_ability == Reading::Is(true);
    let words = match (layer, state) {
        (Layer::Network, Reading::NotApplicable) if readings.network() == Reading::Is(false) => {
            "silent, but TCP answers"
        }
        _ if !is_checked(layer, readings) => "not checked",
        (Layer::Delivery, Reading::Unmeasured) if is_awaited && !is_readable => {
            "not known: the mailbox cannot be read"
        }
        (_, Reading::Unmeasured) => Absence::NotMeasuredYet.words(),
        (_, Reading::NotApplicable) if snapshot.expectation.is_some() => Absence::NotToPass.words(),
        (_, Reading::NotApplicable) => Absence::StandbyDown.words(),
        (Layer::Network | Layer::Tcp, Reading::Is(true)) => "answers",
        (Layer::Network, Reading::Is(false)) => "no answer",
        (Layer::Tcp, Reading::Is(false)) => return unanswered(readings),
        (Layer::Send | Layer::Receive, Reading::Is(true)) => "works",
        (Layer::Send | Layer::Receive, Reading::Is(false)) => "fails",
        (Layer::Delivery, Reading::Is(true)) => "arrives",
        (Layer::Delivery, Reading::Is(false)) => "late, lost or bounced",
    };
    words.to_owned()
}

/// The ports that do not answer, each with its reason.
fn unanswered(readings: &Readings) -> String {
    let closed = |port: &PortReadings| {
        let fault = port.fault.as_ref()?;
        Some(format!("{} {}: {}", port.check.name, port.check.port, fault.reason))
    };
    readings.ports.iter().filter_map(closed).collect::<Vec<_>>().join(", ")
}

/// What the words omit: why ping is impossible, and how many requests were answered.
fn note(layer: Layer, readings: &Readings) -> String {
    let Some(ping) = readings.ping.as_ref().filter(|_| layer == Layer::Network) else {
        return String::new();
    };
    match (&ping.obstacle, ping.newest) {
        (Some(obstacle), _) => text::shown(obstacle.to_string().as_bytes()),
        (None, Reading::Is(it)) if (1..it.sent).contains(&it.received) => {
            format!("{} of {} requests answered", it.received, it.sent)
        }
        _ => String::new(),
    }
}
