//! The layers on which a mail rests, and which of them is to blame when it does not arrive.

use std::time::SystemTime;

use crate::{Reading, SideState, Snapshot};

/// What a mail needs, the lowest first: each layer stands on the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// The host answers ICMP echo requests.
    Network,
    /// Every checked TCP port answers.
    Tcp,
    /// The SMTP server accepts mail.
    Send,
    /// The mailbox can be read.
    Receive,
    /// What was accepted arrives, in time.
    Delivery,
}

impl Layer {
    /// All layers, the lowest first.
    pub const ALL: [Layer; 5] =
        [Layer::Network, Layer::Tcp, Layer::Send, Layer::Receive, Layer::Delivery];

    /// The value of the label `layer`.
    pub fn label(self) -> &'static str {
        match self {
            Layer::Network => "network",
            Layer::Tcp => "tcp",
            Layer::Send => "send",
            Layer::Receive => "receive",
            Layer::Delivery => "delivery",
        }
    }
}

/// What the newest checks of the layers below the mail service say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NetworkEvidence {
    /// Whether the host replied to a ping.
    pub ping: Reading<bool>,
    /// Whether every checked port answers.
    pub tcp: Reading<bool>,
    /// Whether any checked port answers.
    pub any_port_answers: bool,
    /// When the newest round of checks began; `None` before the first.
    pub round_began: Option<SystemTime>,
}

/// The state of every layer of a target: good, bad, not applicable or not measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    states: [Reading<bool>; 5],
}

impl Column {
    /// What the newest checks of the layers below and the account of the mails say together.
    pub fn of(snapshot: &Snapshot, network: &NetworkEvidence) -> Self {
        Self::from_evidence(&Evidence {
            ping: network.ping,
            tcp: network.tcp,
            connects: network.any_port_answers || has_connected_since(snapshot, network),
            send: snapshot.send_ability.map(|share| share >= 1.0),
            receive: snapshot.receive_ability,
            delivery: snapshot.delivers,
        })
    }

    /// A layer that answers clears the one below it: many networks drop ICMP, and silence there
    /// says something only if TCP fails as well.
    fn from_evidence(evidence: &Evidence) -> Self {
        let network = match evidence.ping {
            Reading::Is(false) if evidence.connects => Reading::NotApplicable,
            Reading::Is(false) if evidence.tcp != Reading::Is(false) => Reading::Unmeasured,
            ping => ping,
        };
        let Evidence { tcp, send, receive, delivery, .. } = *evidence;
        Self { states: [network, tcp, send, receive, delivery] }
    }

    /// The layers with their states, the lowest first.
    pub fn states(&self) -> impl Iterator<Item = (Layer, Reading<bool>)> {
        Layer::ALL.into_iter().zip(self.states)
    }

    /// The lowest bad layer, which is to blame for those above it.
    pub fn to_blame(&self) -> Option<Layer> {
        self.states().find(|(_, state)| *state == Reading::Is(false)).map(|(layer, _)| layer)
    }
}

/// What is known of the layers, each for itself.
#[derive(Debug, Clone, Copy)]
struct Evidence {
    /// Whether the host replied to a ping.
    ping: Reading<bool>,
    /// Whether every checked port answers.
    tcp: Reading<bool>,
    /// Whether any TCP connection came about, of a port check or of a mail test.
    connects: bool,
    send: Reading<bool>,
    receive: Reading<bool>,
    delivery: Reading<bool>,
}

/// Whether a mail test that ended after the newest round of checks began has found its server. An
/// older one says nothing about a network that was cut since.
fn has_connected_since(snapshot: &Snapshot, network: &NetworkEvidence) -> bool {
    let Some(began) = network.round_began else { return false };
    let has_connected = |state: &SideState| {
        state.up == Some(true) && state.last_attempt.is_some_and(|at| at >= began)
    };
    snapshot.sides.iter().any(|(_, state)| has_connected(state))
}

#[cfg(test)]
mod tests;
