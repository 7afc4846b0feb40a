//! The layers of a target as JSON.

use serde::Serialize;

use super::values::{date, seconds};
use crate::layers::readings::{PingReadings, PortReadings, Readings};
use crate::supervisor::View;
use ledger::{Column, Layer, Reading};
use mail::text;

/// The column of layers, the lowest first.
#[derive(Serialize)]
pub(super) struct ColumnRecord {
    /// The lowest bad layer.
    to_blame: Option<&'static str>,
    states: Vec<LayerRecord>,
}

#[derive(Serialize)]
struct LayerRecord {
    layer: &'static str,
    state: &'static str,
}

/// The results of ping and the TCP port checks.
#[derive(Serialize)]
pub(super) struct ChecksRecord<'a> {
    began: Option<String>,
    ping: Option<PingRecord>,
    ports: Vec<PortRecord<'a>>,
}

#[derive(Serialize)]
struct PingRecord {
    at: Option<String>,
    requests: Option<u32>,
    replies: Option<u32>,
    mean_seconds: Option<f64>,
    obstacle: Option<String>,
}

#[derive(Serialize)]
struct PortRecord<'a> {
    name: &'a str,
    host: &'a str,
    port: u16,
    at: Option<String>,
    answers: Option<bool>,
    seconds: Option<f64>,
    reason: Option<&'static str>,
}

impl ColumnRecord {
    pub(in crate::web) fn new(view: &View) -> Self {
        let column = Column::of(&view.snapshot, &view.layers.evidence());
        let states = column.states();
        Self {
            to_blame: column.to_blame().map(Layer::label),
            states: states
                .map(|(layer, state)| LayerRecord { layer: layer.label(), state: word(state) })
                .collect(),
        }
    }
}

impl<'a> ChecksRecord<'a> {
    pub(super) fn new(readings: &'a Readings) -> Self {
        Self {
            began: readings.began.map(date),
            ping: readings.ping.as_ref().map(PingRecord::new),
            ports: readings.ports.iter().map(PortRecord::new).collect(),
        }
    }
}

impl PingRecord {
    fn new(ping: &PingReadings) -> Self {
        let newest = ping.newest.value();
        let times = newest.and_then(|outcome| outcome.round_trips);
        let obstacle = ping.obstacle.as_ref();
        Self {
            at: ping.at.map(date),
            requests: newest.map(|outcome| outcome.sent),
            replies: newest.map(|outcome| outcome.received),
            mean_seconds: times.map(|times| seconds(times.mean)),
            obstacle: obstacle.map(|it| text::shown(it.to_string().as_bytes())),
        }
    }
}

impl<'a> PortRecord<'a> {
    fn new(port: &'a PortReadings) -> Self {
        Self {
            name: &port.check.name,
            host: &port.check.host,
            port: port.check.port,
            at: port.at.map(date),
            answers: port.answers().value(),
            seconds: port.newest.value().flatten().map(seconds),
            reason: port.fault.as_ref().map(|fault| fault.reason.label()),
        }
    }
}

fn word(state: Reading<bool>) -> &'static str {
    match state {
        Reading::Is(true) => "good",
        Reading::Is(false) => "bad",
        Reading::NotApplicable => "not_applicable",
        Reading::Unmeasured => "unmeasured",
    }
}
