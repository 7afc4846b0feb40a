//! The metrics of the layers: ping, TCP ports, and the state of each layer.

use std::time::Duration;

use super::family::{Family, Writer};
use super::labels::labels;
use super::{Page, Part, timestamp};
use crate::layers::ping::{Outcome, RoundTrips};
use crate::layers::readings::{PingReadings, PortReadings};
use crate::supervisor::View;
use ledger::{CauseCount, Column};

/// A gauge of a ping; NaN where there is no value.
struct PingGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&Outcome) -> Option<f64>,
}

const PING_GAUGES: [PingGauge; 5] = [
    PingGauge {
        name: "mailtrip_ping_availability_percent",
        help: "100 if the host replied to at least one ICMP echo request of the latest period, \
               else 0. NaN before the first, while a passive target is down, and if no request \
               could be sent",
        value: |it| Some(if it.received > 0 { 100.0 } else { 0.0 }),
    },
    PingGauge {
        name: "mailtrip_ping_packet_loss_percent",
        help: "Share of the latest period's ICMP echo requests without a timely reply, in percent. \
               NaN whenever the availability is",
        value: |it| {
            Some(f64::from(it.sent - it.received.min(it.sent)) * 100.0 / f64::from(it.sent))
        },
    },
    PingGauge {
        name: "mailtrip_ping_rtt_min_seconds",
        help: "Shortest round trip of the latest period's ICMP echo requests. NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.min),
    },
    PingGauge {
        name: "mailtrip_ping_rtt_avg_seconds",
        help: "Mean round trip of the latest period's ICMP echo requests. NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.mean),
    },
    PingGauge {
        name: "mailtrip_ping_rtt_max_seconds",
        help: "Longest round trip of the latest period's ICMP echo requests. NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.max),
    },
];

/// Writes one family for the targets of a page.
type Encode = fn(&Page, &mut Writer<'_>);

/// All but the gauges of a ping.
const FAMILIES: [Encode; 6] = [
    encode_port_availability,
    encode_port_responses,
    encode_port_failures,
    encode_port_failure_reasons,
    encode_last_port_failures,
    encode_states,
];

/// All of them.
pub(super) fn parts() -> Vec<Part> {
    let gauges = PING_GAUGES
        .iter()
        .map(|gauge| Part::family(|page, writer| encode_ping(page, gauge, writer)));
    gauges.chain(FAMILIES.map(Part::family)).collect()
}

fn encode_states(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_layer_state",
        "1 if the layer is good, 0 if it is bad, NaN if it is not applicable or not measured. The \
         lowest bad layer is to blame",
    );
    for view in page.views() {
        for (layer, state) in Column::of(&view.snapshot, &view.layers.evidence()).states() {
            let value = state.map(|is_good| if is_good { 1.0 } else { 0.0 });
            let value = value.value().unwrap_or(f64::NAN);
            family.gauge_sample(&labels(view, [("layer", layer.label())]), value);
        }
    }
}

/// Whether this system lets the exporter ping; left out before the first ping.
pub(super) fn encode_permission(may_ping: Option<bool>, writer: &mut Writer<'_>) {
    let Some(may_ping) = may_ping else { return };
    Family::gauge(
        writer,
        "mailtrip_ping_permitted",
        "1 if the system permits the exporter to send ICMP echo requests, 0 if it forbids both \
         kinds of socket. Absent before the first ping",
    )
    .single(if may_ping { 1.0 } else { 0.0 })
}

fn encode_ping(page: &Page, gauge: &PingGauge, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(writer, gauge.name, gauge.help);
    for (view, ping) in pings(page) {
        let value = ping.newest.value().and_then(|outcome| (gauge.value)(&outcome));
        family.gauge_sample(&labels(view, []), value.unwrap_or(f64::NAN));
    }
}

fn encode_port_availability(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_tcp_port_availability_percent",
        "100 if the TCP port accepted the latest connection, else 0. NaN before the first and \
         while a passive target is down",
    );
    for (view, port_name, port) in ports(page) {
        let answers = port.answers().map(|answers| if answers { 100.0 } else { 0.0 });
        family.gauge_sample(&labels(view, [port_name]), answers.value().unwrap_or(f64::NAN));
    }
}

fn encode_port_responses(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_tcp_port_response_seconds",
        "Duration of the latest TCP handshake with the port. NaN if it failed. For the ports of the \
         two sides see mailtrip_step_duration_seconds",
    );
    for (view, port_name, port) in further_ports(page) {
        let duration = port.newest.value().flatten().map(|it| it.as_secs_f64());
        family.gauge_sample(&labels(view, [port_name]), duration.unwrap_or(f64::NAN));
    }
}

fn encode_port_failures(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::counter(
        writer,
        "mailtrip_tcp_port_failures_total",
        "Failed connections to the TCP port. For the ports of the two sides see \
         mailtrip_failure_reasons_total",
    );
    for (view, port_name, port) in further_ports(page) {
        family.counter_sample(&labels(view, [port_name]), port.failures.total());
    }
}

fn encode_port_failure_reasons(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::counter(
        writer,
        "mailtrip_tcp_port_failure_reasons_total",
        "Failed connections to the TCP port by reason. Reasons that never occurred are absent",
    );
    for (view, port_name, port) in further_ports(page) {
        for CauseCount { cause, count, .. } in port.failures.iter() {
            let labels = labels(view, [port_name, ("reason", cause.label())]);
            family.counter_sample(&labels, *count);
        }
    }
}

fn encode_last_port_failures(page: &Page, writer: &mut Writer<'_>) {
    let mut family = Family::gauge(
        writer,
        "mailtrip_tcp_port_last_failure_timestamp_seconds",
        "Unix time of the latest failed connection to the TCP port, with its reason. Absent before \
         the first",
    );
    for (view, port_name, port) in ports(page) {
        if let Some(newest) = port.failures.newest() {
            let labels = labels(view, [port_name, ("reason", newest.cause.label())]);
            family.gauge_sample(&labels, timestamp(newest.last));
        }
    }
}

fn pings(page: &Page) -> impl Iterator<Item = (&View, &PingReadings)> {
    page.views().filter_map(|view| Some((view, view.layers.ping.as_ref()?)))
}

/// Every port with the label that names it.
fn ports(page: &Page) -> impl Iterator<Item = (&View, (&'static str, &str), &PortReadings)> {
    page.views().flat_map(|view| {
        let ports = view.layers.ports.iter();
        ports.map(move |port| (view, ("port_name", port.check.name.as_str()), port))
    })
}

/// The ports but those of the sides: their time and their failures are those of the sides, in the steps dns
/// and connect.
fn further_ports(
    page: &Page,
) -> impl Iterator<Item = (&View, (&'static str, &str), &PortReadings)> {
    ports(page).filter(|(_, _, port)| !port.check.is_of_side())
}

fn seconds(
    round_trips: Option<RoundTrips>,
    which: impl FnOnce(RoundTrips) -> Duration,
) -> Option<f64> {
    round_trips.map(which).map(|it| it.as_secs_f64())
}
