//! The results of ping and the TCP port checks, in words for people.

use crate::layers::readings::{PingReadings, PortReadings};
use crate::web::absence::Absence;
use crate::web::pages::words::exact;
use ledger::Reading;
use mail::text;

/// The network.
pub(super) struct NetworkNote {
    pub(super) words: String,
    pub(super) class: &'static str,
}

/// One TCP port.
pub(super) struct PortNote {
    pub(super) name: String,
    pub(super) endpoint: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    /// How long the connection took, or why it did not come about.
    pub(super) words: String,
}

impl NetworkNote {
    pub(super) fn new(ping: &PingReadings) -> Self {
        if let Some(obstacle) = &ping.obstacle {
            let words = text::shown(obstacle.to_string().as_bytes());
            return Self { words, class: "unmeasured" };
        }
        let (words, class) = match ping.newest {
            Reading::Unmeasured => (Absence::NotMeasuredYet.words().to_owned(), "unmeasured"),
            Reading::NotApplicable => (Absence::StandbyDown.words().to_owned(), "not-applicable"),
            Reading::Is(it) => {
                let mut words = format!("{} of {} requests answered", it.received, it.sent);
                if let Some(times) = it.round_trips {
                    let [min, mean, max] = [times.min, times.mean, times.max].map(exact);
                    words.push_str(&format!(", in {min} to {max}, {mean} on average"));
                }
                let class = match it.received {
                    0 => "failing",
                    received if received < it.sent => "late",
                    _ => "well",
                };
                (words, class)
            }
        };
        Self { words, class }
    }
}

impl PortNote {
    pub(super) fn new(port: &PortReadings) -> Self {
        let check = &port.check;
        let host =
            if check.host.contains(':') { format!("[{}]", check.host) } else { check.host.clone() };
        let (state, class, words) = match port.newest {
            Reading::Unmeasured => (Absence::NotMeasuredYet.words(), "unmeasured", String::new()),
            Reading::NotApplicable => {
                (Absence::StandbyDown.words(), "not-applicable", String::new())
            }
            Reading::Is(Some(time)) => ("answers", "well", exact(time)),
            Reading::Is(None) => ("no answer", "failing", String::new()),
        };
        let fault = port.fault.as_ref();
        let fault =
            fault.map(|it| text::shown(format!("{}: {}", it.reason, it.message).as_bytes()));
        Self {
            name: check.name.clone(),
            endpoint: format!("{host}:{}", check.port),
            state,
            class,
            words: fault.unwrap_or(words),
        }
    }
}
