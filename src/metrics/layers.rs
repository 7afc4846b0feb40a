//! The metrics of the layers: ping, TCP ports, and the state of each layer.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::name;
use crate::checks::ping::{Outcome, RoundTrips};
use crate::checks::readings::{PingReadings, PortReadings};
use crate::supervisor::View;
use ledger::{Column, Reason};

/// A gauge of a ping; NaN where there is no value.
struct PingGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&Outcome) -> Option<f64>,
}

const PING_GAUGES: [PingGauge; 5] = [
    PingGauge {
        name: "mailtrip_ping_availability_percent",
        help: "100 if the host replied to any ICMP echo request of the newest period, else 0; NaN \
               before the first, while passive and down, and where nothing could be sent",
        value: |it| Some(if it.received > 0 { 100.0 } else { 0.0 }),
    },
    PingGauge {
        name: "mailtrip_ping_packet_loss_percent",
        help: "Share of the newest period's ICMP echo requests without a reply in time; NaN as the \
               availability",
        value: |it| {
            Some(f64::from(it.sent - it.received.min(it.sent)) * 100.0 / f64::from(it.sent))
        },
    },
    PingGauge {
        name: "mailtrip_ping_rtt_min_seconds",
        help: "Shortest round trip of the newest period's ICMP echo requests; NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.min),
    },
    PingGauge {
        name: "mailtrip_ping_rtt_avg_seconds",
        help: "Mean round trip of the newest period's ICMP echo requests; NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.mean),
    },
    PingGauge {
        name: "mailtrip_ping_rtt_max_seconds",
        help: "Longest round trip of the newest period's ICMP echo requests; NaN without a reply",
        value: |it| seconds(it.round_trips, |trips| trips.max),
    },
];

/// All of them.
pub(super) fn encode(views: &[View], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    encode_ping(views, encoder)?;
    encode_ports(views, encoder)?;
    let mut family = Family::gauge(
        encoder,
        "mailtrip_layer_state",
        "1 if the layer is good, 0 if it is bad, NaN if it is not applicable or not measured; the \
         lowest bad one is to blame",
    )?;
    for view in views {
        for (layer, state) in Column::of(&view.snapshot, &view.layers.evidence()).states() {
            let value = state.map(|is_good| if is_good { 1.0 } else { 0.0 });
            let value = value.value().unwrap_or(f64::NAN);
            family.gauge_sample([("target", name(view)), ("layer", layer.label())], value)?;
        }
    }
    Ok(())
}

/// Whether this system lets the exporter ping; left out before the first ping.
pub(super) fn encode_permission(
    may_ping: Option<bool>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let Some(may_ping) = may_ping else { return Ok(()) };
    Family::gauge(
        encoder,
        "mailtrip_ping_permitted",
        "1 if the system lets the exporter send ICMP echo requests, 0 if it forbids both kinds of \
         socket; absent before the first",
    )?
    .single(if may_ping { 1.0 } else { 0.0 })
}

fn encode_ping(views: &[View], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for gauge in &PING_GAUGES {
        let mut family = Family::gauge(encoder, gauge.name, gauge.help)?;
        for (view, ping) in pings(views) {
            let value = ping.newest.value().and_then(|outcome| (gauge.value)(&outcome));
            family.gauge_sample([("target", name(view))], value.unwrap_or(f64::NAN))?;
        }
    }
    let mut family =
        Family::counter(encoder, "mailtrip_ping_packets_sent_total", "ICMP echo requests sent")?;
    for (view, ping) in pings(views) {
        family.counter_sample([("target", name(view))], ping.sent)?;
    }
    let mut family = Family::counter(
        encoder,
        "mailtrip_ping_packets_received_total",
        "Replies to ICMP echo requests that came in time",
    )?;
    for (view, ping) in pings(views) {
        family.counter_sample([("target", name(view))], ping.received)?;
    }
    Ok(())
}

fn encode_ports(views: &[View], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::gauge(
        encoder,
        "mailtrip_tcp_port_availability_percent",
        "100 if the TCP port accepted the newest connection, else 0; NaN before the first and while \
         passive and down",
    )?;
    for (labels, port) in ports(views) {
        let answers = port.answers().map(|answers| if answers { 100.0 } else { 0.0 });
        family.gauge_sample(labels, answers.value().unwrap_or(f64::NAN))?;
    }
    let mut family = Family::gauge(
        encoder,
        "mailtrip_tcp_port_response_seconds",
        "Duration of the newest TCP handshake with the port; NaN if it did not come about",
    )?;
    for (labels, port) in ports(views) {
        let duration = port.newest.value().flatten().map(|it| it.as_secs_f64());
        family.gauge_sample(labels, duration.unwrap_or(f64::NAN))?;
    }
    let mut family = Family::counter(
        encoder,
        "mailtrip_tcp_port_failures_total",
        "Connections to the TCP port that did not come about, by reason; dns only where there is a \
         name to resolve, other once it has happened",
    )?;
    for ([target, port_name], port) in ports(views) {
        let is_address = port.check.host.parse::<IpAddr>().is_ok();
        for (reason, count) in port.failures() {
            let can_happen = match reason {
                Reason::Dns => !is_address,
                Reason::Other => false,
                _ => true,
            };
            if can_happen || count > 0 {
                family.counter_sample([target, port_name, ("reason", reason.label())], count)?;
            }
        }
    }
    Ok(())
}

fn pings(views: &[View]) -> impl Iterator<Item = (&View, &PingReadings)> {
    views.iter().filter_map(|view| Some((view, view.layers.ping.as_ref()?)))
}

/// Every port with its labels.
fn ports(views: &[View]) -> impl Iterator<Item = ([(&'static str, &str); 2], &PortReadings)> {
    views.iter().flat_map(|view| {
        view.layers.ports.iter().map(move |port| {
            ([("target", name(view)), ("port_name", port.check.name.as_str())], port)
        })
    })
}

fn seconds(
    round_trips: Option<RoundTrips>,
    which: impl FnOnce(RoundTrips) -> Duration,
) -> Option<f64> {
    round_trips.map(which).map(|it| it.as_secs_f64())
}
